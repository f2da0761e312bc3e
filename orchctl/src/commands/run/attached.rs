//! A run in the foreground: submit, follow to the end, take over when another's coordinator ends, and stop in order.

use std::time::Instant;

use roundtable_runtime::shutdown::{self, Shutdown, Stage};
use roundtable_shared::view::{DecisionView, Operation, OperationAct, Query, StatusView, SubmitReply, SummaryView};
use roundtable_shared::{DecisionKind, Mode, RunStatus};

use super::confirm::{confirm, interrupted_before};
use super::prepare::Prepared;
use super::seat::Seat;
use super::submit::{Submitted, ask, submit};
use super::tell_finished;
use crate::api::Api;
use crate::args::JsonArg;
use crate::branch::RunBranch;
use crate::commands::{accept, answer};
use crate::context::Context;
use crate::embed::{Crew, settle_abandoned};
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::follow::{Ended, Follower, Until, exit_of};
use crate::mirror::MirrorWriter;
use crate::output;
use crate::output::progress::Progress;
use crate::output::text::count;
use crate::select::exactly;

/// Why a run is halted by Ctrl-C.
const INTERRUPTED: &str = "interrupted";

/// How it is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(in crate::commands) struct Manner {
    /// Another run although one is unfinished.
    pub(in crate::commands) fresh: bool,
    /// Accept at the end.
    pub(in crate::commands) accept: bool,
    /// Do not ask.
    pub(in crate::commands) yes: bool,
    /// Nothing of it is kept, so that there is nothing to do next.
    pub(in crate::commands) passing: bool,
    /// The summary as JSON.
    pub(in crate::commands) json: JsonArg,
}

/// Coordinators in a row that answer and then go away before the run could be followed at all.
const IN_VAIN_MAX: u32 = 10;

/// What outlives the loss of a coordinator.
struct Kept {
    progress: Progress,
    mirror: Option<MirrorWriter>,
    branch: Option<RunBranch>,
    /// Coordinators lost since the run was last followed.
    in_vain: u32,
}

/// Runs it to its end.
pub(in crate::commands) async fn follow_to_end(context: &Context, prepared: &Prepared, manner: Manner) -> Result<Exit> {
    let (_trigger, asked) = shutdown::on_signals().map_err(|error| Failure::failed("signals cannot be handled").why(error))?;
    // Lines until the question is answered: a bar that redraws would hide it.
    let mut kept =
        Kept { progress: Progress::lines().with_reach(context.reach()), mirror: mirror(context, prepared), branch: None, in_vain: 0 };
    let mut crew = None;
    let mut manner = manner;
    let mut seat = Seat::take(context).await?;
    loop {
        let ended = match steer(context, prepared, &mut manner, &mut seat, &mut crew, &mut kept, &asked).await {
            // Whichever call it was that found another's coordinator gone. Our own does not come back.
            Err(failure) if failure.exit() == Exit::Unreachable && !matches!(seat, Seat::Own(_)) => Ok(Steered::Lost(failure)),
            ended => ended,
        };
        match ended {
            Ok(Steered::Lost(failure)) if kept.in_vain < IN_VAIN_MAX => {
                kept.in_vain += 1;
                kept.progress.note("the coordinator went away; looking for it, or taking over");
                let was_embedded = seat.is_embedded();
                seat.leave().await;
                seat = match Seat::take_again(context, was_embedded, failure).await {
                    Ok(seat) => seat,
                    Err(failure) => {
                        kept.progress.finish();
                        dismiss(crew).await;
                        return Err(failure);
                    }
                };
            }
            other => {
                kept.progress.finish();
                dismiss(crew).await;
                seat.leave().await;
                return match other? {
                    Steered::Ended(exit) => Ok(exit),
                    Steered::Lost(failure) => Err(failure),
                };
            }
        }
    }
}

enum Steered {
    Ended(Exit),
    Lost(Failure),
}

/// One coordinator's worth of it.
async fn steer(
    context: &Context,
    prepared: &Prepared,
    manner: &mut Manner,
    seat: &mut Seat,
    crew: &mut Option<Crew>,
    kept: &mut Kept,
    asked: &Shutdown,
) -> Result<Steered> {
    let api = seat.api();
    let brings_crew = match ask(&api, prepared, seat.is_embedded(), manner.fresh).await? {
        // Before anything is started for it: workers may not even be installed any more.
        Submitted::Finished(reply) => return finished(context, prepared, &api, &reply, manner, kept).await,
        Submitted::Going(reply) => agree(seat, prepared, manner, kept, asked, &reply).await?,
    };
    if brings_crew {
        bring(context, prepared, seat, crew).await?;
    } else if prepared.options.mode == Mode::Manual && matches!(seat, Seat::Own(_)) {
        // A step that was killed may have left agents behind; the run rests once that is settled.
        settle_abandoned(&context.data_dir, &prepared.config).await;
    }
    let reply = match submit(&api, prepared, seat.is_embedded(), manner.fresh).await? {
        Submitted::Finished(reply) => return finished(context, prepared, &api, &reply, manner, kept).await,
        Submitted::Going(reply) => reply,
    };
    manner.fresh = false;
    let status: StatusView = api.query(&Query::Status { run: exactly(&reply.run) }).await?;
    greet(&reply, &status, &mut kept.progress);
    if kept.branch.is_none() {
        kept.branch = Some(RunBranch::new(prepared.workdir.repository.clone(), &reply.run, &status.branch)?);
    }
    let progress = std::mem::replace(&mut kept.progress, Progress::silent());
    let mut follower = Follower::new(&api, &reply.run, progress).with_mirror(kept.mirror.take()).with_branch(kept.branch.take());
    let ended = tokio::select! {
        ended = follower.follow(Until::Over, None, asked, Stage::Draining) => ended,
        ended = seat.ended() => match ended {
            Ok(()) => Ended::Lost(Failure::new(Exit::Interrupted, "ended by `orchctl down`").next("go on with the same command")),
            Err(failure) => Ended::Lost(failure),
        },
    };
    let ended = match ended {
        Ended::Interrupted => halted(&api, &reply.run, &mut follower, asked).await,
        ended => ended,
    };
    let (progress, mirror, branch) = follower.into_parts();
    *kept = Kept { progress, mirror, branch, in_vain: 0 };
    match ended {
        Ended::Over(status) if asked.stage() == Stage::Running && is_interrupted(&status) && seat.anothers_run_ended().await => {
            Ok(Steered::Lost(Failure::failed("the other orchctl was interrupted")))
        }
        Ended::Over(status) => {
            kept.progress.finish();
            let exit = if asked.stage() == Stage::Running { exit_of(&status) } else { Exit::Interrupted };
            conclude(context, &api, &reply.run, exit, manner, kept.branch.as_ref()).await.map(Steered::Ended)
        }
        Ended::Interrupted | Ended::TimedOut => Ok(Steered::Ended(Exit::Interrupted)),
        // Our own coordinator does not come back.
        Ended::Lost(failure) if matches!(seat, Seat::Own(_)) => Err(failure),
        Ended::Lost(failure) => Ok(Steered::Lost(failure)),
    }
}

/// Whether workers are to be brought for what would go on. Asks first, where it has to be asked; progress is shown from then on.
async fn agree(
    seat: &Seat,
    prepared: &Prepared,
    manner: &mut Manner,
    kept: &mut Kept,
    asked: &Shutdown,
    reply: &SubmitReply,
) -> Result<bool> {
    // In manual mode `step` brings the workers.
    let may_bring = prepared.options.mode != Mode::Manual && (seat.is_embedded() || !prepared.crew.workers.is_empty());
    let brings_crew = may_bring && !waits_for_a_person(&seat.api(), reply).await?;
    if !manner.yes {
        confirm(seat, prepared, brings_crew, reply, asked).await?;
        // Asked once; taking over later is the same run.
        manner.yes = true;
    }
    if kept.branch.is_none() && asked.stage() != Stage::Running {
        return Err(interrupted_before());
    }
    kept.progress.show();
    Ok(brings_crew)
}

/// Has workers join, and on a coordinator of our own settles what killed ones left.
async fn bring(context: &Context, prepared: &Prepared, seat: &Seat, crew: &mut Option<Crew>) -> Result<()> {
    if crew.as_ref().is_none_or(Crew::has_ended) {
        *crew = Some(Crew::join(&context.data_dir, context.coordinator.as_deref(), &prepared.config, &prepared.crew).await?);
    }
    if matches!(seat, Seat::Own(_)) {
        settle_abandoned(&context.data_dir, &prepared.config).await;
    }
    Ok(())
}

/// Ctrl-C once: nothing new starts, what runs may end; twice: it is left as it is, and dismissing the workers saves it.
async fn halted(api: &Api, run: &str, follower: &mut Follower<'_>, asked: &Shutdown) -> Ended {
    let act = OperationAct::Halt { reason: INTERRUPTED.to_owned() };
    if let Err(failure) = api.operate(&Operation { run: exactly(run), all: false, act }).await {
        return Ended::Lost(failure);
    }
    follower.progress.note("stopping: nothing new starts, running agents may end. Ctrl-C again stops them now; their work is saved");
    follower.follow(Until::Idle, None, asked, Stage::Stopping).await
}

/// Whether somebody stopped it with Ctrl-C: halted for that reason, and nothing else keeps it.
fn is_interrupted(status: &StatusView) -> bool {
    let waits = status.units.iter().flat_map(|unit| &unit.waiting);
    status.status == RunStatus::Halted && waits.into_iter().any(|wait| wait.text.ends_with(&format!("halted: {INTERRUPTED}")))
}

fn greet(reply: &SubmitReply, status: &StatusView, progress: &mut Progress) {
    let (done, total) = (status.counts.completed(), count(u64::from(status.counts.total()), "unit"));
    if reply.resumed {
        progress.start_from(status, Instant::now());
        progress.say(&format!("{}: going on, {done} of {total} completed", reply.run));
    } else {
        progress.say(&format!("{}: {total}, on branch {}", reply.run, status.branch));
    }
}

/// Whether the run that would go on can only be moved by a person, so that it needs no workers. Where one of its questions is who is to work, workers
/// are an answer: it is taken back when they join.
async fn waits_for_a_person(api: &Api, reply: &SubmitReply) -> Result<bool> {
    if !reply.resumed {
        return Ok(false);
    }
    let status: StatusView = api.query(&Query::Status { run: exactly(&reply.run) }).await?;
    if status.status != RunStatus::Waiting {
        return Ok(false);
    }
    let open: Vec<DecisionView> = api.query(&Query::Decisions { run: exactly(&reply.run), all: false }).await?;
    Ok(!open.iter().any(|decision| DecisionKind::NoWorker.is_of(&decision.id)))
}

/// Mirror files and branch of a run that is over.
pub(super) async fn catch_up(
    prepared: &Prepared,
    api: &Api,
    summary: &SummaryView,
    progress: Progress,
    mirror: Option<MirrorWriter>,
) -> Result<Option<RunBranch>> {
    let branch = RunBranch::new(prepared.workdir.repository.clone(), &summary.run, &summary.branch)?;
    let mut follower = Follower::new(api, &summary.run, progress).with_mirror(mirror).with_branch(Some(branch));
    follower.catch_up().await?;
    let (mut progress, _, branch) = follower.into_parts();
    progress.finish();
    Ok(branch)
}

/// Nothing is left to do but to accept, if that is asked now.
async fn finished(
    context: &Context,
    prepared: &Prepared,
    api: &Api,
    reply: &SubmitReply,
    manner: &Manner,
    kept: &mut Kept,
) -> Result<Steered> {
    let summary: SummaryView = api.query(&Query::Summary { run: exactly(&reply.run) }).await?;
    let exit = summary.exit.map_or(Exit::Failed, Exit::of_run);
    tell_finished();
    // What ended it may have been a person's word, given while nobody was attached to write it down.
    let progress = std::mem::replace(&mut kept.progress, Progress::silent());
    let branch = catch_up(prepared, api, &summary, progress, kept.mirror.take()).await?;
    let (true, Some(client)) = (manner.accept, api.client()) else {
        tell(context, summary, manner)?;
        return Ok(Steered::Ended(exit));
    };
    let mut branch = match branch {
        Some(branch) => branch,
        None => RunBranch::new(prepared.workdir.repository.clone(), &reply.run, &summary.branch)?,
    };
    branch.bring_to(client, &summary.head).await?;
    conclude(context, api, &reply.run, exit, manner, Some(&branch)).await.map(Steered::Ended)
}

/// The summary, with commands that work where it is read.
fn tell(context: &Context, summary: SummaryView, manner: &Manner) -> Result<()> {
    let mut summary = context.with_commands(summary, manner.json);
    if manner.passing {
        summary.next.clear();
    }
    answer(manner.json, &summary, output::summary::render)
}

/// The end of a run: accept if asked, then the summary.
async fn conclude(context: &Context, api: &Api, run: &str, exit: Exit, manner: &Manner, branch: Option<&RunBranch>) -> Result<Exit> {
    let query = Query::Summary { run: exactly(run) };
    let mut summary: SummaryView = api.query(&query).await?;
    let mut accepted = Ok(None);
    if let (true, Exit::Complete, Some(branch)) = (manner.accept, exit, branch) {
        accepted = accept::accept(context, api, &summary, branch, None, false).await.map(Some);
        summary = api.query(&query).await?;
    }
    tell(context, summary, manner)?;
    accepted.map(|_| exit)
}

pub(super) fn mirror(context: &Context, prepared: &Prepared) -> Option<MirrorWriter> {
    match MirrorWriter::open(prepared.location.paths.clone(), &context.data_dir) {
        Ok(writer) => Some(writer),
        Err(error) => {
            crate::commands::warn(&format!("mirror files cannot be written: {error}"));
            None
        }
    }
}

async fn dismiss(crew: Option<Crew>) {
    if let Some(crew) = crew {
        crew.stop().await;
    }
}
