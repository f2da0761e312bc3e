//! The model server by hand: for demonstrations and for looking at what real agent CLIs do. Serves until interrupted.

use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use roundtable_tests::model_server::{Home, ModelServer, Script};

/// A model provider on loopback that plays a playbook.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Port on 127.0.0.1; 0 = any free one, printed.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Playbook (JSON or TOML), or an object with `playbook` and `writes`.
    #[arg(long)]
    script: Option<PathBuf>,
    /// Also make a home directory there in which codex, gemini and opencode talk to this server; its variables are printed for `eval`.
    #[arg(long)]
    home: Option<PathBuf>,
    /// Scenario that every request of that home meets (429:30, 401, hang, cut, …); none = play.
    #[arg(long, default_value = "play")]
    scenario: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let script = match &args.script {
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            Script::parse(&text).with_context(|| format!("cannot use {}", path.display()))?
        }
        None => Script::default(),
    };
    let server = ModelServer::start_on(args.port, script).await.context("cannot listen: choose another --port")?;
    eprintln!("{}", server.url());
    if let Some(dir) = &args.home {
        let home = Home::create(dir, &server.scenario_url(&args.scenario))?;
        for (name, value) in home.env() {
            println!("export {name}='{}'", value.replace('\'', "'\\''"));
        }
    }
    tokio::signal::ctrl_c().await?;
    Ok(())
}
