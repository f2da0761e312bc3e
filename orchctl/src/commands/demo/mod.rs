//! `orchctl demo`: a whole run on a sample repository: parallel units, a critical finding, its fix. By scripted agents unless a real one is named.

mod sample;

use std::path::{Path, PathBuf};

use roundtable_runtime::clock::{Clock, SystemClock};
use roundtable_runtime::git::{GitProgram, Oid, Signature};

use super::run::{Manner, Prepared, follow_to_end};
use crate::args::{DemoArgs, FleetOptions, ModeArg, PlanOptions, RunArgs};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::paint::{Paint, Style};
use crate::output::text::{shell_word, short};
use crate::workdir::refusal;

/// Scripted agents at once.
const SLOTS: u32 = 3;
/// Commits listed at the end.
const COMMITS_MAX: usize = 20;

/// The folder of a demo: gone afterwards, or kept.
enum Place {
    Passing(tempfile::TempDir),
    Kept(PathBuf),
}

impl Place {
    fn path(&self) -> &Path {
        match self {
            Self::Passing(dir) => dir.path(),
            Self::Kept(dir) => dir,
        }
    }
}

pub(super) async fn run(context: &Context, args: &DemoArgs) -> Result<Exit> {
    if context.coordinator.is_some() || context.profile.is_some() {
        return Err(Failure::usage("the demo runs on its own and takes no coordinator")
            .next("leave --coordinator and --profile (or ROUNDTABLE_COORDINATOR and ROUNDTABLE_PROFILE) out"));
    }
    let place = place(args)?;
    let root =
        place.path().canonicalize().map_err(|error| Failure::failed(format!("{} cannot be used", place.path().display())).why(error))?;
    let data_dir = if context.data_dir_was_named { context.data_dir.clone() } else { root.join("data") };
    let (repo, spec, playbook) = (root.join("repo"), root.join("repo").join(sample::SPEC_DIR), root.join("playbook.json"));
    make_repository(&repo).await?;
    std::fs::write(&playbook, sample::playbook())
        .map_err(|error| Failure::failed(format!("{} cannot be written", playbook.display())).why(error))?;
    introduce(args, &root)?;
    let context = Context { data_dir, data_dir_was_named: true, ..context.clone() };
    let run_args = run_args(args, &repo, &spec, &playbook);
    let prepared = Prepared::new(&context, &run_args).await?;
    prepared.warn();
    let manner = Manner { json: args.json, yes: args.yes, passing: matches!(place, Place::Passing(_)), ..Manner::default() };
    let exit = follow_to_end(&context, &prepared, manner).await?;
    if !args.json.json {
        tell_commits(&repo, &prepared.base.commit).await?;
        farewell(&place)?;
    }
    Ok(exit)
}

fn place(args: &DemoArgs) -> Result<Place> {
    let Some(dir) = &args.keep else {
        let dir = tempfile::Builder::new().prefix("roundtable-demo-").tempdir();
        return dir.map(Place::Passing).map_err(|error| Failure::failed("a folder for the demo cannot be made").why(error));
    };
    let taken = dir.exists() && std::fs::read_dir(dir).map_or(true, |mut entries| entries.next().is_some());
    if taken {
        return Err(Failure::usage(format!("{} is not empty", dir.display())).next("name a new folder with --keep DIR"));
    }
    std::fs::create_dir_all(dir).map_err(|error| Failure::usage(format!("{} cannot be made", dir.display())).why(error))?;
    Ok(Place::Kept(dir.clone()))
}

async fn make_repository(repo: &Path) -> Result<()> {
    for (path, text) in sample::FILES {
        let path = repo.join(path);
        let failed = |error| Failure::failed(format!("{} cannot be written", path.display())).why(error);
        std::fs::create_dir_all(path.parent().unwrap_or(repo)).map_err(failed)?;
        std::fs::write(&path, text).map_err(failed)?;
    }
    let program = GitProgram::find().await.map_err(refusal)?;
    let by = Signature::roundtable(SystemClock.wall().0 / 1000);
    program.create_repository(repo, "main", &by, "Start of the sample\n").await.map_err(refusal)?;
    Ok(())
}

fn introduce(args: &DemoArgs, root: &Path) -> Result<()> {
    let text = match &args.real {
        Some(real) => format!("a demo with {real}: it costs tokens"),
        None => "a demo: its agents are scripted, no model is called and no account needed".to_owned(),
    };
    let kept = if args.keep.is_some() {
        format!("everything is in {}", root.display())
    } else {
        format!("it works in {}, which is removed afterwards", root.display())
    };
    eprintln!("{}\n{kept}\n", Paint::stderr().style(Style::Strong, &text));
    Ok(())
}

fn run_args(args: &DemoArgs, repo: &Path, spec: &Path, playbook: &Path) -> RunArgs {
    let workers = match &args.real {
        Some(real) => format!("{real}={SLOTS}"),
        None => format!("scripted:{}={SLOTS}", playbook.display()),
    };
    RunArgs {
        spec: Some(spec.to_owned()),
        workdir: Some(repo.to_owned()),
        plan: PlanOptions { mode: Some(ModeArg::Deterministic), ..PlanOptions::default() },
        fleet: FleetOptions { workers: vec![workers], ..FleetOptions::default() },
        ..RunArgs::default()
    }
}

/// The commits the run made, newest first.
async fn tell_commits(repo: &Path, base: &Oid) -> Result<()> {
    let program = GitProgram::find().await.map_err(refusal)?;
    let repository = program.discover(repo).await.map_err(refusal)?;
    let git = repository.git();
    let branches = git.list_refs("refs/heads/roundtable/").await.map_err(refusal)?;
    let Some((name, tip)) = branches.into_iter().next() else {
        return Ok(());
    };
    let paint = Paint::stdout();
    let mut text = format!("\n{}\n", paint.style(Style::Dim, &format!("git log {}", name.short())));
    for commit in git.commits_between(std::slice::from_ref(base), &tip, COMMITS_MAX).await.map_err(refusal)? {
        let info = git.commit_info(&commit).await.map_err(refusal)?;
        let subject = info.message.lines().next().unwrap_or_default().to_owned();
        text.push_str(&format!("  {} {}\n", paint.style(Style::Warning, short(commit.as_str())), crate::output::text::cut(&subject, 64)));
    }
    super::print(&text).map(|_| ())
}

fn farewell(place: &Place) -> Result<()> {
    let text = match place {
        Place::Passing(_) => {
            "\nnothing of it is left; `orchctl demo --keep DIR` keeps it to look at\nyour own: orchctl run --spec DIR\n".to_owned()
        }
        Place::Kept(dir) => {
            let (repo, data) = (shell_word(&dir.join("repo").to_string_lossy()), shell_word(&dir.join("data").to_string_lossy()));
            format!("\nlook around\n  cd {repo}\n  orchctl --data-dir {data} findings\n  orchctl --data-dir {data} accept\n")
        }
    };
    super::print(&text).map(|_| ())
}
