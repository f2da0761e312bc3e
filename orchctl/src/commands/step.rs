//! `orchctl step`: one phase of a run in manual mode, with workers of its own where no one else serves.

use std::time::Instant;

use roundtable_runtime::config::{Aliases, environment};
use roundtable_runtime::shutdown::{self, Stage};
use roundtable_shared::Mode;
use roundtable_shared::view::{MirrorView, Operation, OperationAct, Query, RunLine, StatusView};

use super::export::written;
use super::run::{Seat, crew_options};
use super::{answer, warn};
use crate::api::Api;
use crate::args::{FleetOptions, PHASES, StepArgs};
use crate::branch::RunBranch;
use crate::context::Context;
use crate::embed::Crew;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::follow::{Ended, Follower, Until};
use crate::mirror::{MirrorWriter, locate};
use crate::output;
use crate::output::progress::Progress;
use crate::select::{Selector, exactly};

pub(super) async fn run(context: &Context, args: &StepArgs) -> Result<Exit> {
    let (run, phase) = words(&args.target)?;
    let mut seat = Seat::take(context).await?;
    let mut crew = None;
    let done = step(context, args, &mut seat, &mut crew, run, phase).await;
    if let Some(crew) = crew {
        crew.stop().await;
    }
    seat.leave().await;
    let (status, exit) = done?;
    let reach = context.reach();
    answer(args.json, &status, |status, paint| output::status::render(status, &reach, paint))?;
    Ok(exit)
}

fn words(target: &[String]) -> Result<(Option<&str>, &str)> {
    let (run, phase) = match target {
        [phase] => (None, phase.as_str()),
        [run, phase] => (Some(run.as_str()), phase.as_str()),
        _ => return Err(Failure::usage("a step is a run and a phase")),
    };
    if PHASES.contains(&phase) {
        return Ok((run, phase));
    }
    Err(Failure::usage(format!("{phase} is no phase")).next(format!("the phases are: {}", PHASES.join(", "))))
}

async fn step(
    context: &Context,
    args: &StepArgs,
    seat: &mut Seat,
    crew: &mut Option<Crew>,
    run: Option<&str>,
    phase: &str,
) -> Result<(StatusView, Exit)> {
    let (_trigger, asked) = shutdown::on_signals().map_err(|error| Failure::failed("signals cannot be handled").why(error))?;
    let api = seat.api();
    let selector = Selector::new(&api, context.git_dir_here().await).await?;
    let line = selector.run(run)?.clone();
    let status: StatusView = api.query(&Query::Status { run: exactly(&line.run) }).await?;
    if status.mode != Mode::Manual {
        return Err(Failure::failed(format!("{} is in mode {}, where phases need no steps", line.run, status.mode))
            .next("a run is stepped if it was started with --mode manual"));
    }
    if phase == "sync-pulse" && status.exit.is_some() {
        // Views can be written at any time; the run itself takes no more steps.
        return write_views(context, &api, &line, status).await;
    }
    if seat.is_embedded() || !args.workers.is_empty() {
        *crew = bring(context, args, phase, status.check.is_some()).await?;
    }
    let mut progress = Progress::for_stderr().with_reach(context.reach());
    progress.start_from(&status, Instant::now());
    let act = OperationAct::Step { phase: phase.to_owned() };
    let reply = api.operate(&Operation { run: exactly(&line.run), all: false, act }).await?;
    progress.say(&reply.text);
    let mirror = mirror_of(context, &line);
    let branch = RunBranch::find(&line.repository, &status.base, &line.run, &status.branch).await?;
    let mut follower = Follower::new(&api, &line.run, progress).with_mirror(mirror).with_branch(branch);
    let ended = follower.follow(Until::Settled, None, &asked, Stage::Draining).await;
    follower.progress.finish();
    match ended {
        Ended::Over(_) if phase == "sync-pulse" && follower.pulse_problem().is_some() => {
            Err(Failure::failed("the pulse was not written").why(follower.pulse_problem().unwrap_or_default()))
        }
        Ended::Over(status) => {
            let exit = if status.decisions > 0 { Exit::DecisionsWait } else { Exit::Complete };
            Ok((*status, exit))
        }
        Ended::Interrupted | Ended::TimedOut => {
            Err(Failure::new(Exit::Interrupted, "the step was left; what its agents did so far is saved"))
        }
        Ended::Lost(failure) => Err(failure),
    }
}

fn mirror_of(context: &Context, line: &RunLine) -> Option<MirrorWriter> {
    match MirrorWriter::open(locate(line.spec.as_ref(), None).paths, &context.data_dir) {
        Ok(writer) => Some(writer),
        Err(error) => {
            warn(&format!("mirror files cannot be written: {error}"));
            None
        }
    }
}

/// The mirror files of a run that has ended, as it ended.
async fn write_views(context: &Context, api: &Api, line: &RunLine, status: StatusView) -> Result<(StatusView, Exit)> {
    if let Some(mut writer) = mirror_of(context, line) {
        let query = Query::Mirror { run: exactly(&line.run), existing: writer.existing_pulse() };
        let view: MirrorView = api.query(&query).await?;
        written(&mut writer, &view)?.complete()?;
    }
    Ok((status, Exit::Complete))
}

/// Workers for what the phase grants: agents, or where there is a check its slot alone, which needs no agent on this machine.
async fn bring(context: &Context, args: &StepArgs, phase: &str, has_check: bool) -> Result<Option<Crew>> {
    let (data_dir, coordinator, config) = (&context.data_dir, context.coordinator.as_deref(), &context.config);
    let fleet = FleetOptions { workers: args.workers.clone(), backend_path: args.backend_path.clone(), ..FleetOptions::default() };
    let options = crew_options(&fleet, Aliases::read(&environment).parallel_max);
    let crew = match phase {
        "assign" | "dispatch" | "reviews" => Crew::join(data_dir, coordinator, config, &options).await?,
        "consolidate" if has_check && args.workers.is_empty() => Crew::join_for_checks(data_dir, coordinator, config).await?,
        "consolidate" if has_check => Crew::join(data_dir, coordinator, config, &options).await?,
        _ => return Ok(None),
    };
    Ok(Some(crew))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_must_be_one() {
        let own = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(words(&own(&["assign"])), Ok((None, "assign")));
        assert_eq!(words(&own(&["login", "sync-pulse"])), Ok((Some("login"), "sync-pulse")));
        assert_eq!(words(&own(&["login"])).map_err(|failure| failure.exit()), Err(Exit::Usage));
    }
}
