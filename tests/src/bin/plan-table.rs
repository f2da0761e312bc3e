//! Plans every spec below a folder and says, in a table, how many plan cleanly and why the others do not. Where a spec comes with a `reader_view.json` (tasks
//! as a tolerant reader saw them), ids, optional marks and lines are compared with it. Runs nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use roundtable_coordinator::plan::{PlanOptions, plan};
use roundtable_shared::view::PlanView;
use serde::Deserialize;

/// Largest file of a spec that is read, bytes.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Plans every spec below a folder.
#[derive(Parser)]
struct Args {
    /// Folder whose subfolders are specs.
    plans: PathBuf,
}

/// What a tolerant reader saw.
#[derive(Deserialize, Default)]
struct ReaderView {
    numbered_tasks: Vec<SeenTask>,
    #[serde(default)]
    dependency_lines: Vec<serde_json::Value>,
}

#[derive(Deserialize, PartialEq, Debug)]
struct SeenTask {
    line: u32,
    id: String,
    optional: bool,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let mut folders: Vec<PathBuf> = std::fs::read_dir(&args.plans)
        .with_context(|| format!("{} cannot be read", args.plans.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.join("tasks.md").is_file())
        .collect();
    folders.sort();
    println!("{:<16} {:>5} {:>5} {:>4} {:>4} {:>5} {:>5}  result", "spec", "units", "tasks", "opt", "deps", "waves", "notes");
    let (mut clean, mut differ) = (0, 0);
    for folder in &folders {
        let view = plan(&files_of(folder)?, &PlanOptions::default());
        let unlike = compare(folder, &view)?;
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let result = match view.errors.first() {
            Some(error) => format!("{}:{}: {}", error.file, error.line, error.message),
            None if unlike.is_empty() => "clean".to_owned(),
            None => unlike.join("; "),
        };
        clean += usize::from(view.errors.is_empty());
        differ += usize::from(!unlike.is_empty());
        let tasks: usize = view.units.iter().map(|unit| unit.tasks.len()).sum();
        let optional = view.units.iter().filter(|unit| unit.optional).count();
        let deps: usize = view.units.iter().map(|unit| unit.depends_on.len()).sum();
        println!(
            "{name:<16} {:>5} {tasks:>5} {optional:>4} {deps:>4} {:>5} {:>5}  {result}",
            view.units.len(),
            view.waves,
            view.warnings.len()
        );
    }
    println!("\n{} specs: {clean} plan cleanly, {} do not; {differ} differ from the reader's view", folders.len(), folders.len() - clean);
    Ok(if differ == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn files_of(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for name in ["tasks.md", "requirements.md", "design.md", "bugfix.md"] {
        let path = folder.join(name);
        if std::fs::metadata(&path).is_ok_and(|meta| meta.is_file() && meta.len() <= FILE_BYTES_MAX) {
            files.insert(name.to_owned(), std::fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?);
        }
    }
    Ok(files)
}

/// How the plan differs from what the reader saw. It knows fewer forms of ids, so tasks it did not see are no difference.
fn compare(folder: &Path, view: &PlanView) -> Result<Vec<String>> {
    let path = folder.join("reader_view.json");
    let Ok(text) = std::fs::read(&path) else { return Ok(Vec::new()) };
    let seen: ReaderView = serde_json::from_slice(&text).with_context(|| format!("{} cannot be understood", path.display()))?;
    let ours: BTreeMap<u32, SeenTask> = view
        .units
        .iter()
        .flat_map(|unit| &unit.tasks)
        .map(|task| (task.line, SeenTask { line: task.line, id: task.id.to_string(), optional: task.optional }))
        .collect();
    let mut unlike = Vec::new();
    for theirs in &seen.numbered_tasks {
        match ours.get(&theirs.line) {
            None => unlike.push(format!("line {}: task {} is missing", theirs.line, theirs.id)),
            Some(ours) if ours != theirs => unlike.push(format!("line {}: {ours:?}, the reader saw {theirs:?}", theirs.line)),
            Some(_) => {}
        }
    }
    let has_deps = view.units.iter().any(|unit| !unit.depends_on.is_empty());
    if has_deps && seen.dependency_lines.is_empty() {
        unlike.push("dependencies where the reader saw none".to_owned());
    }
    Ok(unlike)
}
