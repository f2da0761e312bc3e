//! Runs as wholes: `runs`, `status`, the word for how a run stands, and the exit code that goes with it.

use std::collections::{BTreeMap, BTreeSet};

use roundtable_core::command::Now;
use roundtable_core::fleet::{Fleet, NeedKind};
use roundtable_core::schedule;
use roundtable_core::state::{Rested, Run, State};
use roundtable_shared::time::WallMs;
use roundtable_shared::view::{Counts, MissingLabelsView, PausedView, RunLine, StatusView, UnitView, WAITING_MAX, WaitedView};
use roundtable_shared::{RunId, RunStatus, UnitState};

use super::number::number;
use super::unit;
use super::viewer::Viewer;

/// Notices that are shown.
const NOTICES_MAX: usize = 50;
/// How long a backend is waited for before that is told.
const MISSING_AFTER_MS: u64 = 2_000;

/// The branch a run's commits are on.
pub fn branch(run: &RunId) -> String {
    format!("roundtable/{run}")
}

/// How a run stands.
pub fn run_status(state: &State, run: &Run) -> RunStatus {
    schedule::standing(state, run).status()
}

/// The exit code as it stands; `None` while the run can go on by itself.
pub fn exit_code(state: &State, run: &Run) -> Option<u8> {
    schedule::standing(state, run).exit()
}

/// `runs`: all, oldest first.
pub fn runs(state: &State) -> Vec<RunLine> {
    state.created.iter().filter_map(|id| state.run(id)).map(|run| run_line(state, run)).collect()
}

/// A run in a list.
pub fn run_line(state: &State, run: &Run) -> RunLine {
    let completed = run.units().filter(|unit| unit.spec.runs && unit.state() == UnitState::Completed).count();
    let exit = exit_code(state, run);
    RunLine {
        run: run.id.to_string(),
        spec: run.origin.source.spec_path.clone(),
        status: run_status(state, run).into(),
        repository: run.origin.source.git_dir.clone(),
        total: number(run.running_units()),
        completed: number(completed),
        decisions: number(run.people.decisions.len()),
        created_at: run.origin.created_at.rfc3339(),
        ended_at: run.ended().map(|ended| ended.at.rfc3339()),
        exit,
        to_accept: exit == Some(0) && can_be_accepted(run),
        removed_at: run.life.removed.as_ref().map(|removed| removed.at.rfc3339()),
    }
}

/// Whether there are commits that nobody has accepted, and that still can be.
pub(super) fn can_be_accepted(run: &Run) -> bool {
    run.life.removed.is_none() && run.has_more_to_accept()
}

/// `status`.
pub fn status(state: &State, fleet: &Fleet, now: Now, run: &Run) -> StatusView {
    let units = unit::units(&mut Viewer::new(state, fleet, now, run, WAITING_MAX));
    let parks = super::parks::parks(state, fleet, now, run, &units);
    let (missing, missing_labels) = missing(state, fleet, now, run);
    StatusView {
        run: run.id.to_string(),
        spec: run.origin.source.spec_path.clone(),
        status: run_status(state, run).into(),
        mode: run.options.mode.into(),
        branch: branch(&run.id),
        base: run.origin.base.to_string(),
        head: run.branch.tip.to_string(),
        counts: counts(run, &units),
        units,
        decisions: number(run.people.decisions.len()),
        usage: run.progress.usage,
        notices: notices(run),
        busy: is_busy(run),
        check: run.options.check.clone(),
        paused: paused(state, run),
        elapsed_ms: run.worked_ms(now.wall),
        waited: waited(run, now.wall),
        exit: exit_code(state, run),
        slots: slots(fleet, now),
        missing,
        missing_labels,
        problems: Vec::new(),
        parks,
        runs: runs(state),
    }
}

fn is_busy(run: &Run) -> bool {
    let integrates = run.branch.train.is_moving() || run.branch.train.flights.iter().any(|flight| flight.is_preparing());
    run.has_live_attempts() || integrates || run.units().any(|unit| unit.merging().is_some())
}

fn paused(state: &State, run: &Run) -> Option<PausedView> {
    let (remark, all) = run.life.paused.as_ref().map(|own| (own, false)).or(state.paused.as_ref().map(|all| (all, true)))?;
    let open = !run.is_ended() && run.life.halted.is_none();
    open.then(|| PausedView { by: remark.by.clone(), note: remark.text.clone(), at: remark.at.rfc3339(), all })
}

/// Units by the state they show (only those that run), and three sums.
pub(super) fn counts(run: &Run, units: &[UnitView]) -> Counts {
    let running = run.units().filter(|unit| !unit.live.is_empty()).count();
    let mut counts = Counts::new(number(run.running_units()), number(run.units.len()), number(running));
    units.iter().filter(|unit| unit.runs).for_each(|unit| counts.add(&unit.status));
    counts
}

pub(super) fn notices(run: &Run) -> Vec<String> {
    let from = run.people.notices.len().saturating_sub(NOTICES_MAX);
    run.people.notices.range(from..).map(|notice| notice.text.clone()).collect()
}

pub(super) fn waited(run: &Run, now: WallMs) -> WaitedView {
    let Rested { people_ms, provider_ms, machines_ms } = run.waited(now);
    WaitedView { people_ms, provider_ms, machines_ms }
}

/// Backends wanted long enough to tell them from those of a worker that is just joining, and labels that who offers one lacks. Any worker brings a check
/// slot, so those are not named.
fn missing(state: &State, fleet: &Fleet, now: Now, run: &Run) -> (Vec<String>, Vec<MissingLabelsView>) {
    let wanted = fleet.missing.iter().filter(|((of, need), since)| {
        *of == run.id && need.kind != NeedKind::Check && now.mono_ms.saturating_sub(**since) >= MISSING_AFTER_MS
    });
    let (mut backends, mut labels) = (BTreeSet::new(), BTreeSet::new());
    for ((_, need), _) in wanted {
        let backend = need.wanted.to_string();
        if schedule::lacks_labels(state, fleet, run, need, now) {
            labels.insert(MissingLabelsView { backend, labels: need.requires.clone() });
        } else {
            backends.insert(backend);
        }
    }
    (backends.into_iter().collect(), labels.into_iter().collect())
}

/// Slots that can take a grant of any kind right now; pools that serve several backends count once.
fn slots(fleet: &Fleet, now: Now) -> u32 {
    let mut slots = 0_u32;
    for worker in fleet.workers.values().filter(|worker| worker.takes_grants(now)) {
        let usable = worker.offers.values().filter(|offer| offer.is_usable(now));
        let pools: BTreeMap<&str, u32> = usable.map(|offer| (offer.offer.pool.as_str(), offer.offer.slots)).collect();
        slots = slots.saturating_add(pools.values().sum());
    }
    slots
}
