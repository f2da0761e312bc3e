//! Runs specs with the real codex against the model server, once with many slots and once with one, and says in a table what ran side by side and
//! how much faster that was. The model assigns from nothing but what it is shown: the paths a unit names, or a folder called by its title. Needs codex
//! (`.ci/install-clis`) and built programs beside this one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use roundtable_shared::Role;
use roundtable_shared::view::{AttemptView, SummaryView};
use roundtable_tests::model_server::{ModelServer, Script};
use roundtable_tests::rehearsal::Rehearsal;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Where the spec lies in its repository.
const SPEC_DIR: &str = ".kiro/specs/race";
/// Largest file of a spec that is read, bytes.
const FILE_BYTES_MAX: u64 = 64 << 20;

const EXAMPLES: &str = "Examples:
  cargo build --release && cargo run --release -p roundtable-tests --bin plan-race -- target/race SPEC…
                                  each SPEC is a folder with tasks.md; all its boxes count as open";

/// Races a fleet of slots against a single one, on real specs.
#[derive(Parser)]
#[command(after_help = EXAMPLES)]
struct Args {
    /// Folder to work in, outside the system's temporary directory; made anew below for each race.
    dir: PathBuf,
    /// Folders with `tasks.md`, `requirements.md` and `design.md`.
    #[arg(required = true)]
    specs: Vec<PathBuf>,
    /// Slots of the fleet.
    #[arg(long, default_value_t = 4)]
    slots: u32,
    /// The model pauses this long after each event of an answer, milliseconds.
    #[arg(long, default_value_t = 400)]
    pause_ms: u64,
}

/// How one run went.
struct Raced {
    units: usize,
    completed: u32,
    /// Units whose writes the plan or the assignment names.
    with_manifest: usize,
    /// The most implement attempts that were under way at once.
    side_by_side: usize,
    makespan_s: f64,
    exit: i32,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    println!(
        "{:<12} {:>5} {:>9} {:>9} {:>12} {:>10} {:>9} {:>6}",
        "spec", "units", "completed", "manifests", "side by side", "makespan", "one slot", "ratio"
    );
    for spec in &args.specs {
        let name = spec.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let files = files_of(spec)?;
        let many = race(&args, &name, &files, args.slots).await?;
        let one = race(&args, &name, &files, 1).await?;
        println!(
            "{name:<12} {:>5} {:>9} {:>9} {:>12} {:>8.1} s {:>7.1} s {:>6.2}",
            many.units,
            many.completed,
            many.with_manifest,
            many.side_by_side,
            many.makespan_s,
            one.makespan_s,
            one.makespan_s / many.makespan_s
        );
        ensure!(many.exit == 0 && one.exit == 0, "{name}: the runs ended with {} and {}, not 0", many.exit, one.exit);
    }
    Ok(())
}

/// The spec's files with every box open, and an empty file in each folder that its tasks name a file of: assignments look at what is there.
fn files_of(spec: &Path) -> Result<Vec<(String, String)>> {
    let mut files = vec![("README.md".to_owned(), "# Race\n".to_owned())];
    for name in ["tasks.md", "requirements.md", "design.md", "bugfix.md"] {
        let path = spec.join(name);
        if !std::fs::metadata(&path).is_ok_and(|meta| meta.is_file() && meta.len() <= FILE_BYTES_MAX) {
            continue;
        }
        let text =
            String::from_utf8_lossy(&std::fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?).into_owned();
        if name == "tasks.md" {
            let folders: BTreeSet<String> =
                text.split(|c: char| c.is_whitespace() || "`'\"(),:;*".contains(c)).filter_map(folder_of).collect();
            files.extend(folders.into_iter().map(|folder| (format!("{folder}/.keep"), String::new())));
        }
        files.push((format!("{SPEC_DIR}/{name}"), opened(&text)));
    }
    Ok(files)
}

/// The text with every box open, also those of optional tasks (`- [x]* …`).
fn opened(text: &str) -> String {
    text.split_inclusive('\n').map(opened_line).collect()
}

fn opened_line(line: &str) -> String {
    let rest = line.trim_start().trim_start_matches(['-', '*', '+']).trim_start();
    let at = line.len() - rest.len();
    match rest.as_bytes() {
        [b'[', b'x' | b'X' | b'-' | b'~', b']', ..] => format!("{}[ ]{}", &line[..at], &rest[3..]),
        _ => line.to_owned(),
    }
}

/// The folder of a word that looks like the path of a file.
fn folder_of(word: &str) -> Option<String> {
    let (folder, file) = word.trim_end_matches('.').rsplit_once('/')?;
    let is_plain = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.@/".contains(c));
    let is_path = is_plain(word) && !folder.is_empty() && !folder.starts_with('/') && !folder.contains("..") && !folder.contains("//");
    let is_gits = folder.split('/').any(|part| part == ".git");
    let has_ending = file.rsplit_once('.').is_some_and(|(stem, ending)| !stem.is_empty() && (1..=5).contains(&ending.len()));
    (is_path && has_ending && !is_gits).then(|| folder.trim_start_matches("./").to_owned())
}

async fn race(args: &Args, name: &str, files: &[(String, String)], slots: u32) -> Result<Raced> {
    let dir = args.dir.join(format!("{name}-{slots}"));
    if dir.exists() {
        std::fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    }
    std::fs::create_dir_all(&dir)?;
    let server = ModelServer::start(Script { lays_out_folders: true, ..Script::default() }).await?;
    let url = server.scenario_url(&format!("slow:{}", args.pause_ms));
    let borrowed: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let place = Rehearsal::lay_out(&dir, &url, &programs()?, &borrowed).await?;
    let workers = format!("codex={slots}");
    let run = ["run", "--yes", "--spec", SPEC_DIR, "--mode", "deterministic", "--with-optional", "--workers", &workers, "--json"];
    let (summary, exit): (SummaryView, i32) = ask(&place, &run).await?;
    let mut spans = Vec::new();
    for unit in &summary.units {
        let (attempts, _): (Vec<AttemptView>, i32) = ask(&place, &["attempts", &summary.run, unit.id.as_str(), "--json"]).await?;
        spans.extend(attempts.iter().filter(|attempt| attempt.role == Role::Implement).filter_map(span));
    }
    Ok(Raced {
        units: summary.units.len(),
        completed: summary.counts.completed(),
        with_manifest: summary.units.iter().filter(|unit| !unit.writes.is_empty()).count(),
        side_by_side: most_at_once(&spans),
        makespan_s: summary.duration_ms as f64 / 1000.0,
        exit,
    })
}

/// An answer of `orchctl … --json` and its exit code.
async fn ask<T: serde::de::DeserializeOwned>(place: &Rehearsal, args: &[&str]) -> Result<(T, i32)> {
    let mut command = Command::new("orchctl");
    command.args(args).current_dir(place.repo()).env_clear().envs(place.env().iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).stderr(Stdio::piped());
    // The model server lives on this runtime too.
    let output = tokio::task::spawn_blocking(move || command.output()).await?.context("orchctl cannot be started")?;
    let said = || format!("orchctl {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr));
    Ok((serde_json::from_slice(&output.stdout).with_context(said)?, output.status.code().unwrap_or(-1)))
}

/// From when to when an attempt ran.
fn span(attempt: &AttemptView) -> Option<(OffsetDateTime, OffsetDateTime)> {
    let at = |text: &Option<String>| OffsetDateTime::parse(text.as_deref()?, &Rfc3339).ok();
    Some((at(&attempt.started_at)?, at(&attempt.ended_at)?))
}

/// The most spans that have a moment in common.
fn most_at_once(spans: &[(OffsetDateTime, OffsetDateTime)]) -> usize {
    spans.iter().map(|(at, _)| spans.iter().filter(|(from, to)| from <= at && at < to).count()).max().unwrap_or(0)
}

/// Where our own programs lie (beside this one), and the agent CLIs that `.ci/install-clis` brought.
fn programs() -> Result<Vec<PathBuf>> {
    let ours = std::env::current_exe()?.parent().map(Path::to_owned).context("this program lies nowhere")?;
    let clis = Path::new(env!("CARGO_MANIFEST_DIR")).join("../build/clis/node_modules/.bin");
    Ok(vec![ours, std::fs::canonicalize(clis).context("codex is not there: run .ci/install-clis")?])
}
