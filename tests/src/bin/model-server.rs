//! The model server by hand: to rehearse a whole run with the real agent CLIs and no account, and to look at what they do. Serves until
//! interrupted.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Parser;
use roundtable_tests::model_server::{Home, ModelServer, Script};
use roundtable_tests::rehearsal::{FILES, Rehearsal, SCRIPT, STUBBORN};

const EXAMPLES: &str = "Examples:
  model-server --rehearse target/rehearsal        a sample repository, and the real CLIs against this server
  model-server --rehearse target/rehearsal --stubborn
                                                  the same, with a review that no fix satisfies
  eval \"$(model-server --port 7430 --script play.json --home target/home &)\"
                                                  a playbook of your own";

/// A model provider on loopback that plays a playbook for codex, gemini and opencode.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
struct Args {
    /// Port on 127.0.0.1; 0 = any free one, printed.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Playbook (JSON or TOML), or an object with `playbook`, `writes`, `trouble` and `lays_out_folders`.
    #[arg(long, value_name = "FILE", conflicts_with = "stubborn")]
    script: Option<PathBuf>,
    /// Make a place there to rehearse in: home, sample repository, env.sh; says what to type where.
    #[arg(long, value_name = "DIR", conflicts_with = "home")]
    rehearse: Option<PathBuf>,
    /// The sample's other script: a unit whose review stays critical.
    #[arg(long, requires = "rehearse")]
    stubborn: bool,
    /// Make a home directory there in which codex, gemini and opencode talk to this server; its variables are printed for `eval`.
    #[arg(long, value_name = "DIR")]
    home: Option<PathBuf>,
    /// Scenario that every request meets (429:30, 401, hang, cut, …); `play` = the script.
    #[arg(long, default_value = "play")]
    scenario: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let server = ModelServer::start_on(args.port, script(&args)?).await.context("cannot listen: choose another --port")?;
    eprintln!("model server on {}, until interrupted", server.url());
    let url = server.scenario_url(&args.scenario);
    if let Some(dir) = &args.rehearse {
        let place =
            Rehearsal::lay_out(dir, &url, &programs(), &FILES).await.with_context(|| format!("cannot lay out {}", dir.display()))?;
        println!("\n{}", place.guide());
    }
    if let Some(dir) = &args.home {
        for (name, value) in Home::create(dir, &url)?.env() {
            println!("export {name}='{}'", value.replace('\'', "'\\''"));
        }
    }
    tokio::signal::ctrl_c().await?;
    Ok(())
}

fn script(args: &Args) -> anyhow::Result<Script> {
    let text = match &args.script {
        Some(path) => std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?,
        None if args.stubborn => STUBBORN.to_owned(),
        None if args.rehearse.is_some() => SCRIPT.to_owned(),
        None => return Ok(Script::default()),
    };
    Script::parse(&text).with_context(|| format!("cannot use {}", args.script.as_deref().unwrap_or(Path::new("the sample")).display()))
}

/// Where our own programs lie (beside this one), and the agent CLIs that `.ci/install-clis` brought.
fn programs() -> Vec<PathBuf> {
    let ours = std::env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_owned));
    let clis = Path::new(env!("CARGO_MANIFEST_DIR")).join("../build/clis/node_modules/.bin");
    ours.into_iter().chain(std::fs::canonicalize(clis)).collect()
}
