//! The assignment agent asked before anything runs: a coordinator and workers of its own on a folder that is gone afterwards, so that no run is made. Its
//! answer is kept for the run that follows, and written into the plan where that is asked for.

use std::path::Path;
use std::time::Instant;

use roundtable_runtime::fsx;
use roundtable_runtime::shutdown::{self, Shutdown, Stage};
use roundtable_shared::spec::{Annotated, annotate};
use roundtable_shared::view::{AssignmentView, Operation, OperationAct, Query, RunSelector, StatusView};

use super::run::{Prepared, Seat, Submitted, crew_options, submit};
use super::warn;
use crate::args::{FleetOptions, ModeArg, PlanArgs, PlanOptions, RunArgs};
use crate::context::Context;
use crate::embed::Crew;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::follow::{Ended, Follower, Until};
use crate::output::progress::Progress;
use crate::select::exactly;
use crate::session::Session;

/// What came of asking.
pub(super) struct Asked {
    /// The answer.
    pub(super) assignment: AssignmentView,
    /// What was prepared for it: the spec as it is now, and the options.
    pub(super) prepared: Prepared,
    /// What was said along the way.
    pub(super) notices: Vec<String>,
    /// What was written into `tasks.md`, if that was asked for.
    pub(super) written: Option<Annotated>,
}

/// Asks, keeps the answer, and writes it into the plan if asked to.
pub(super) async fn ask(context: &Context, args: &PlanArgs) -> Result<Asked> {
    let place = tempfile::Builder::new().prefix("roundtable-plan-").tempdir();
    let place = place.map_err(|error| Failure::failed("a folder for the agent to work in cannot be made").why(error))?;
    let data_dir = place.path().canonicalize().map_err(|error| Failure::failed("a folder to work in cannot be used").why(error))?;
    let passing = Context { data_dir, data_dir_was_named: true, coordinator: None, profile: None, ..context.clone() };
    let prepared = prepared(&passing, args).await?;
    prepared.warn();
    let (_trigger, shutdown) = shutdown::on_signals().map_err(|error| Failure::failed("signals cannot be handled").why(error))?;
    let seat = Seat::take(&passing).await?;
    let asked = answered(&passing, args, &seat, prepared, &shutdown).await;
    seat.leave().await;
    let (mut asked, written) = asked?;
    // Also where it cannot be written: what the agent was paid for is there for the run.
    keep(context, &asked.assignment).await;
    asked.written = written?;
    Ok(asked)
}

async fn prepared(context: &Context, args: &PlanArgs) -> Result<Prepared> {
    let run_args = RunArgs {
        spec: Some(args.spec.clone()),
        workdir: Some(args.workdir.clone()),
        plan: PlanOptions {
            mode: Some(ModeArg::Deterministic),
            assign_backend: args.assign.clone().flatten(),
            read: args.read,
            ..PlanOptions::default()
        },
        fleet: FleetOptions { workers: args.workers.clone(), backend_path: args.backend_path.clone(), ..FleetOptions::default() },
        ..RunArgs::default()
    };
    let mut prepared = Prepared::new(context, &run_args).await?;
    prepared.options.plan_only = true;
    if args.workers.is_empty() {
        // Nobody else is needed.
        let fleet = FleetOptions { workers: vec![format!("{}=1", prepared.options.assign_backend)], ..run_args.fleet };
        prepared.crew = crew_options(&fleet, None);
    }
    Ok(prepared)
}

/// The answer, and what came of writing it.
async fn answered(
    context: &Context,
    args: &PlanArgs,
    seat: &Seat,
    prepared: Prepared,
    shutdown: &Shutdown,
) -> Result<(Asked, Result<Option<Annotated>>)> {
    let crew = Crew::join(&context.data_dir, None, &prepared.config, &prepared.crew).await?;
    let answer = turn(seat, &prepared, shutdown).await;
    crew.stop().await;
    let (assignment, notices) = answer?;
    let mut asked = Asked { assignment, prepared, notices, written: None };
    let written = if args.write { written(context, args, seat, &mut asked).await.map(Some) } else { Ok(None) };
    Ok((asked, written))
}

/// Writes the answer into the plan. The question is another one then, and has the same answer: nobody needs to be asked again.
async fn written(context: &Context, args: &PlanArgs, seat: &Seat, asked: &mut Asked) -> Result<Annotated> {
    let written = write(&asked.prepared, &asked.assignment)?;
    if !written.changed.is_empty() {
        asked.prepared = prepared(context, args).await?;
        asked.assignment.inputs_digest = submitted(seat, &asked.prepared, true).await?.1;
    }
    Ok(written)
}

/// One turn of the agent, or two where its first answer has to be mended.
async fn turn(seat: &Seat, prepared: &Prepared, shutdown: &Shutdown) -> Result<(AssignmentView, Vec<String>)> {
    let api = seat.api();
    let (run, _) = submitted(seat, prepared, false).await?;
    let status: StatusView = api.query(&Query::Status { run: exactly(&run) }).await?;
    let mut progress = Progress::for_stderr();
    progress.start_from(&status, Instant::now());
    progress.say(&format!("asking {} who is to do what, and what each unit writes", prepared.options.assign_backend));
    let mut follower = Follower::new(&api, &run, progress);
    let ended = follower.follow(Until::Over, None, shutdown, Stage::Draining).await;
    follower.progress.finish();
    let status = match ended {
        Ended::Over(status) => status,
        Ended::Interrupted | Ended::TimedOut => return Err(Failure::new(Exit::Interrupted, "interrupted; nothing was planned")),
        Ended::Lost(failure) => return Err(failure),
    };
    let answer: Option<AssignmentView> = api.query(&Query::Assignment { run: exactly(&run) }).await?;
    match answer {
        Some(answer) => Ok((answer, status.notices)),
        None => {
            let why = if status.notices.is_empty() { "it gave no answer that can be used".to_owned() } else { status.notices.join("\n") };
            Err(Failure::failed(format!("{} did not assign the plan", prepared.options.assign_backend))
                .why(why)
                .next("name another with --assign BACKEND, or see what ails it with `worker doctor`"))
        }
    }
}

/// The run that stands for the question, and the name of the question.
async fn submitted(seat: &Seat, prepared: &Prepared, again: bool) -> Result<(String, String)> {
    match submit(&seat.api(), prepared, true, again).await? {
        Submitted::Going(reply) => Ok((reply.run, reply.inputs_digest)),
        Submitted::Finished(_) => Err(Failure::failed("there is nothing to assign: every unit is completed")),
    }
}

/// Writes the answer into `tasks.md`, if nobody has changed that meanwhile.
fn write(prepared: &Prepared, assignment: &AssignmentView) -> Result<Annotated> {
    let path = prepared.spec.path.join("tasks.md");
    let before = prepared.spec.files.get("tasks.md").cloned().unwrap_or_default();
    let text = String::from_utf8(before.clone()).map_err(|error| Failure::usage(format!("{} is no text", path.display())).why(error))?;
    let done = annotate(&text, &assignment.proposals);
    if done.changed.is_empty() {
        return Ok(done);
    }
    let failed = |error: std::io::Error| Failure::failed(format!("{} cannot be written", path.display())).why(error);
    if std::fs::read(&path).map_err(failed)? != before {
        return Err(Failure::failed(format!("{} was changed while the agent was asked; nothing was written", path.display()))
            .why("the answer is about the plan as it was")
            .next("the same command again asks about the plan as it is"));
    }
    fsx::write_atomic(&path, done.text.as_bytes(), mode_of(&path)).map_err(failed)?;
    Ok(done)
}

fn mode_of(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).map_or(0o644, |found| found.permissions().mode() & 0o7777)
}

/// Leaves the answer where the run that follows finds it. If that fails the run asks again, and nothing else is lost.
async fn keep(context: &Context, assignment: &AssignmentView) {
    let kept = async {
        let session = Session::begin(context).await?;
        let act = OperationAct::KeepAssignment { assignment: assignment.clone() };
        let done = session.api.operate(&Operation { run: RunSelector::default(), all: false, act }).await;
        session.end().await;
        done
    };
    if let Err(failure) = kept.await {
        warn(&format!("the answer is not kept, so the run will ask again: {}", failure.what()));
    }
}
