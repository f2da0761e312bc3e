//! `orchctl decide`.

use std::path::Path;

use roundtable_shared::view::{DecisionView, Operation, OperationAct, OperationReply, Query, RunLine, RunSelector, option_index};
use roundtable_shared::{Choice, DecisionKind};

use super::act::after_act;
use crate::api::{Api, upload};
use crate::args::DecideArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Result;
use crate::output::text::shell_word;
use crate::select::{Selector, exactly, pick};
use crate::session::Session;
use crate::workdir::{Workdir, refusal};

pub(super) async fn run(context: &Context, args: &DecideArgs) -> Result<Exit> {
    let session = Session::begin(context).await?;
    let done = answered(context, &session.api, args).await;
    after_act(context, session, args.json, done).await
}

async fn answered(context: &Context, api: &Api, args: &DecideArgs) -> Result<OperationReply> {
    let selector = Selector::new(api, context.git_dir_here().await).await?;
    let (run, id) = match named_run(selector.runs(), &args.id)? {
        Some((run, id)) => (exactly(&run), id),
        None => (exactly(&unnamed_run(context, &selector, api, args).await?), args.id.clone()),
    };
    let commit = match &args.commit {
        Some(rev) => Some(brought(api, rev).await?),
        None => None,
    };
    let dependants = args.dependants.map(|dependants| dependants.word());
    let act = OperationAct::Decide { id, choice: args.choice.clone(), commit, dependants, note: args.note.clone() };
    api.operate(&Operation { run, all: false, act }).await
}

/// The run whose decision is meant: the only one here that has it open, else the only one anywhere, else what RUN left out always means.
async fn unnamed_run(context: &Context, selector: &Selector<'_>, api: &Api, args: &DecideArgs) -> Result<String> {
    let open: Vec<DecisionView> = api.query(&Query::Decisions { run: RunSelector::default(), all: false }).await?;
    let holders: Vec<&DecisionView> = open.iter().filter(|decision| decision.id == args.id).collect();
    let run = holder(selector.runs(), &holders, selector.git_dir()).map_or_else(|| selector.pick(None), |run| selector.pick(Some(run)))?;
    selector.announce(run);
    let meant = holders.iter().find(|decision| decision.run == run.run);
    let aborts = meant.is_some_and(|decision| {
        let at = option_index(&decision.keywords, &decision.options, &args.choice);
        at.and_then(|at| decision.keywords.get(at)).is_some_and(|keyword| keyword == Choice::Abort.keyword())
    });
    if aborts {
        let command = |run: &str| context.command(&format!("orchctl decide {} abort", shell_word(&format!("{run}/{}", args.id))));
        selector.candidates().settle(run, command, args.sure.yes).await?;
    }
    Ok(run.run.clone())
}

fn holder<'v>(runs: &[RunLine], holders: &[&'v DecisionView], git_dir: Option<&str>) -> Option<&'v str> {
    let is_here = |decision: &&&DecisionView| runs.iter().any(|run| run.run == decision.run && Some(run.repository.as_str()) == git_dir);
    let here: Vec<&&DecisionView> = holders.iter().filter(is_here).collect();
    match (here.as_slice(), holders) {
        ([only], _) => Some(&only.run),
        ([], [only]) => Some(&only.run),
        _ => None,
    }
}

/// `RUN/ID`, where what stands before the first slash is a run: ids may have slashes of their own.
fn named_run(runs: &[RunLine], word: &str) -> Result<Option<(String, String)>> {
    let Some((run, id)) = word.split_once('/') else { return Ok(None) };
    match pick(runs, Some(run), None) {
        Ok(run) => Ok(Some((run.run.clone(), id.to_owned()))),
        // The id of a question about a backend with a file's name.
        Err(_) if DecisionKind::NoWorker.is_of(run) => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// The commit a person made, brought to the coordinator.
async fn brought(api: &Api, rev: &str) -> Result<String> {
    let workdir = Workdir::open(Path::new(".")).await?;
    let git = workdir.repository.git();
    let commit = git.resolve_commit(rev).await.map_err(refusal)?;
    upload(api.live_client()?, git, &workdir.facts.root, &commit).await?;
    Ok(commit.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_run_before_the_slash_names_one() {
        let runs = [RunLine { run: "login-k3f9qa".into(), ..RunLine::default() }];
        let named = |word: &str| named_run(&runs, word).expect("a run or none is named");
        assert_eq!(named_run(&runs, "nope/human-fallback-2").expect_err("there is no such run").what(), "there is no run nope");
        assert_eq!(named("login/human-fallback-3"), Some(("login-k3f9qa".into(), "human-fallback-3".into())));
        assert_eq!(named("no-worker-scripted:/tmp/play.json"), None);
        assert_eq!(named("login-k3/no-worker-scripted:/tmp/x"), Some(("login-k3f9qa".into(), "no-worker-scripted:/tmp/x".into())));
        assert_eq!(named("human-fallback-3"), None);
    }
}
