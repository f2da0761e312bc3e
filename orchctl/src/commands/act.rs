//! `orchctl assign`, `retry`, `skip`, `cancel`, `pause`, `resume`: one act each on a unit or run.

use std::collections::BTreeSet;
use std::path::Path;

use roundtable_shared::view::{Operation, OperationAct, OperationReply, Query, RunSelector, WorkerView};
use roundtable_shared::{BUILT_IN_BACKENDS, CHECK_BACKEND};

use super::answer;
use crate::api::Api;
use crate::args::{AssignArgs, CancelArgs, JsonArg, PauseArgs, ResumeArgs, SkipArgs, UnitArgs};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::intake::{read_stdin, read_text};
use crate::output::text::shell_word;
use crate::select::{Selector, Target, exactly};
use crate::session::Session;

pub(super) async fn assign(context: &Context, args: &AssignArgs) -> Result<Exit> {
    if let Some(file) = &args.from {
        return assign_from(context, args, file).await;
    }
    let session = Session::begin(context).await?;
    let done = async {
        if let Some(owner) = &args.owner {
            refuse_unknown_owner(context, &session.api, owner).await?;
        }
        let target = Selector::new(&session.api, context.git_dir_here().await).await?.unit(&args.target).await?;
        let act = OperationAct::Assign {
            unit: target.unit.unwrap_or_default(),
            owner: args.owner.clone(),
            criticality: args.criticality.map(|criticality| criticality.word()),
            writes: args.writes.clone(),
            reads: args.reads.clone(),
            requires: args.requires.clone(),
        };
        session.api.operate(&on(exactly(&target.run), act)).await
    };
    let done = done.await;
    after_act(context, session, args.json, done).await
}

/// All a document says, or nothing.
async fn assign_from(context: &Context, args: &AssignArgs, file: &Path) -> Result<Exit> {
    let word = match args.target.as_slice() {
        [] => None,
        [run] => Some(run.as_str()),
        _ => return Err(Failure::usage("a document names its units itself; --from takes a run alone")),
    };
    let document = if file.as_os_str() == "-" { read_stdin("assignment document")? } else { read_text(file, "assignment document")? };
    let session = Session::begin(context).await?;
    let done = async {
        let run = Selector::new(&session.api, context.git_dir_here().await).await?.run(word)?.run.clone();
        session.api.operate(&on(exactly(&run), OperationAct::AssignDocument { document })).await
    };
    let done = done.await;
    after_act(context, session, args.json, done).await
}

/// A unit owned by what nobody has would wait for ever. Known are the built-in backends, the configured ones, and what workers offer now.
async fn refuse_unknown_owner(context: &Context, api: &Api, owner: &str) -> Result<()> {
    let mut known: BTreeSet<String> = BUILT_IN_BACKENDS.iter().map(|name| (*name).to_owned()).collect();
    known.extend(context.config.backends.keys().cloned());
    let workers: Vec<WorkerView> = api.query(&Query::Workers).await?;
    known.extend(workers.into_iter().flat_map(|worker| worker.backends.into_keys()).filter(|name| name != CHECK_BACKEND));
    if known.contains(owner) {
        return Ok(());
    }
    let known: Vec<String> = known.into_iter().collect();
    Err(Failure::usage(format!("no backend is called {owner}; there are: {}", known.join(", ")))
        .next("a backend of your own is made known by `[backend.NAME]` in the configuration, or by a worker that offers it"))
}

pub(super) async fn retry(context: &Context, args: &UnitArgs) -> Result<Exit> {
    on_unit(context, &args.target, args.json, |unit| OperationAct::Retry { unit }).await
}

pub(super) async fn skip(context: &Context, args: &SkipArgs) -> Result<Exit> {
    on_unit(context, &args.target, args.json, |unit| OperationAct::Skip { unit, dependants: None }).await
}

pub(super) async fn cancel(context: &Context, args: &CancelArgs) -> Result<Exit> {
    let session = Session::begin(context).await?;
    let done = async {
        let selector = Selector::new(&session.api, context.git_dir_here().await).await?;
        let target = selector.maybe_unit(&args.target).await?;
        let words_besides_unit = args.target.len() - usize::from(target.unit.is_some());
        if words_besides_unit == 0 {
            let unit = target.unit.as_deref().map(|unit| format!(" {}", shell_word(unit))).unwrap_or_default();
            let command = |run: &str| context.command(&format!("orchctl cancel {run}{unit}"));
            selector.candidates().settle(selector.run(Some(&target.run))?, command, args.sure.yes).await?;
        }
        session.api.operate(&on(target.selector(), OperationAct::Cancel { unit: target.unit })).await
    };
    let done = done.await;
    after_act(context, session, args.json, done).await
}

pub(super) async fn pause(context: &Context, args: &PauseArgs) -> Result<Exit> {
    on_run(context, args.run.as_deref(), args.all, args.json, OperationAct::Pause { note: args.note.clone() }).await
}

pub(super) async fn resume(context: &Context, args: &ResumeArgs) -> Result<Exit> {
    on_run(context, args.run.as_deref(), args.all, args.json, OperationAct::Resume).await
}

async fn on_unit(context: &Context, words: &[String], json: JsonArg, act: impl FnOnce(String) -> OperationAct) -> Result<Exit> {
    let session = Session::begin(context).await?;
    let done = async {
        let Target { run, unit } = Selector::new(&session.api, context.git_dir_here().await).await?.unit(words).await?;
        session.api.operate(&on(exactly(&run), act(unit.unwrap_or_default()))).await
    };
    let done = done.await;
    after_act(context, session, json, done).await
}

async fn on_run(context: &Context, word: Option<&str>, all: bool, json: JsonArg, act: OperationAct) -> Result<Exit> {
    let session = Session::begin(context).await?;
    let done = async {
        let run = if all {
            RunSelector::default()
        } else {
            exactly(&Selector::new(&session.api, context.git_dir_here().await).await?.run(word)?.run)
        };
        session.api.operate(&Operation { run, all, act }).await
    };
    let done = done.await;
    after_act(context, session, json, done).await
}

fn on(run: RunSelector, act: OperationAct) -> Operation {
    Operation { run, all: false, act }
}

/// Ends the session, and prints what came of an act, with what is needed for the run to go on.
pub(super) async fn after_act(context: &Context, session: Session, json: JsonArg, done: Result<OperationReply>) -> Result<Exit> {
    let next = match &done {
        Ok(reply) if !reply.run.is_empty() => session.how_to_go_on(context, &reply.run).await,
        _ => None,
    };
    session.end().await;
    let next = next.map(|next| format!("{next}\n")).unwrap_or_default();
    answer(json, &done?, |reply, _| format!("{}\n{next}", reply.text))?;
    Ok(Exit::Complete)
}
