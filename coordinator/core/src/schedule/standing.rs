//! How a run stands as a whole: whether anything can still move, and the exit code if it were left now (docs/rules.md, "The end of a run").

use std::collections::BTreeSet;

use roundtable_shared::{HazardRule, Mode, RunStatus, Seat, UnitState};

use crate::fleet::Need;
use crate::schedule::need::{is_about, need};
use crate::schedule::ready::{due_seats, wants_work};
use crate::state::{BaseCheck, Run, Stage, State, Unit};

/// How a run stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// Owners and manifests are being found.
    Assigning,
    /// Something moves, or will by itself.
    Running,
    /// Nothing more is granted until somebody resumes it.
    Paused,
    /// Only open decisions can move it.
    Waiting,
    /// Manual mode: the next step moves it.
    Manual {
        /// Decisions are open.
        decisions: bool,
    },
    /// Stopped for now, and at rest.
    Halted {
        /// Decisions are open.
        decisions: bool,
    },
    /// Over: every unit that runs is completed or skipped.
    Complete,
    /// Over otherwise.
    Incomplete,
}

impl Standing {
    /// As views tell it.
    pub fn status(self) -> RunStatus {
        match self {
            Self::Assigning => RunStatus::Assigning,
            Self::Running => RunStatus::Running,
            Self::Paused => RunStatus::Paused,
            Self::Waiting | Self::Manual { .. } => RunStatus::Waiting,
            Self::Halted { .. } => RunStatus::Halted,
            Self::Complete => RunStatus::Complete,
            Self::Incomplete => RunStatus::Incomplete,
        }
    }

    /// The exit code of whoever waits for the run; `None` = go on waiting. Open decisions win over everything but a normal end.
    pub fn exit(self) -> Option<u8> {
        match self {
            Self::Complete => Some(0),
            Self::Incomplete => Some(1),
            Self::Waiting => Some(2),
            Self::Manual { decisions } | Self::Halted { decisions } => Some(if decisions { 2 } else { 1 }),
            Self::Assigning | Self::Running | Self::Paused => None,
        }
    }
}

/// How the run stands.
pub fn standing(state: &State, run: &Run) -> Standing {
    if let Some(ended) = &run.ended() {
        return if ended.exit == 0 { Standing::Complete } else { Standing::Incomplete };
    }
    let decisions = !run.people.decisions.is_empty();
    let at_rest = !run.has_live_attempts() && !run.branch.train.is_moving() && run.stage() != Stage::Closing;
    if run.life.halted.is_some() {
        return if at_rest { Standing::Halted { decisions } } else { Standing::Running };
    }
    if run.life.paused.is_some() || state.paused.is_some() {
        return Standing::Paused;
    }
    if run.stage() == Stage::Assigning {
        return Standing::Assigning;
    }
    let moving = run.has_live_attempts()
        || run.stage() == Stage::Closing
        || run.life.ending.is_some()
        || run.active().any(|unit| unit.merging().is_some());
    if moving {
        return Standing::Running;
    }
    if run.options.mode == Mode::Manual && run.life.step.is_none() && run.branch.train.flights.is_empty() {
        return Standing::Manual { decisions };
    }
    if decisions && is_stuck(run) { Standing::Waiting } else { Standing::Running }
}

/// Whether every unit that is not at its end, or that end itself, waits for a decision, directly or not.
fn is_stuck(run: &Run) -> bool {
    let open: Vec<&Unit> = run.unfinished().collect();
    let mut stuck: BTreeSet<usize> = open.iter().filter(|unit| waits_for_a_person(run, unit)).map(|unit| unit.spec.position).collect();
    loop {
        let more: Vec<usize> = open
            .iter()
            .filter(|unit| !stuck.contains(&unit.spec.position) && waits_for_any(run, unit, &stuck))
            .map(|unit| unit.spec.position)
            .collect();
        if more.is_empty() {
            break;
        }
        stuck.extend(more);
    }
    if open.is_empty() { run.is_asked_as_a_whole() } else { open.iter().all(|unit| stuck.contains(&unit.spec.position)) }
}

/// Whether a decision itself holds the unit.
fn waits_for_a_person(run: &Run, unit: &Unit) -> bool {
    let is_asked = |need: &Need| run.people.decisions.values().any(|decision| is_about(decision, need));
    if unit.waits_for_person() {
        return true;
    }
    if unit.state() == UnitState::FinalReview && matches!(run.branch.base_check, BaseCheck::Red { .. }) {
        return true;
    }
    let base_check = need(run, None, Seat::Check);
    if unit.state() == UnitState::FinalReview && matches!(run.branch.base_check, BaseCheck::Wanted { .. }) && is_asked(&base_check) {
        return true;
    }
    due_seats(run, unit).into_iter().any(|seat| is_asked(&need(run, Some(&unit.id), seat)))
}

/// Whether the unit waits for one of these others.
fn waits_for_any(run: &Run, unit: &Unit, stuck: &BTreeSet<usize>) -> bool {
    let holds = |other: &Unit| stuck.contains(&other.spec.position);
    if unit.contended().iter().any(|path| run.holders_of(&unit.id, path).any(holds)) {
        return true;
    }
    let takes_hold = unit.state() == UnitState::NotStarted || unit.release().is_some();
    if takes_hold && run.hold_conflicts(unit).any(holds) {
        return true;
    }
    // In the train it waits for whoever is ahead, and to join it for all. While its check is due that can still show it red, which moves it.
    let ahead = run.branch.train.flights.iter().take_while(|flight| flight.unit != unit.id);
    let is_checked = unit.state() == UnitState::FinalReview && due_seats(run, unit).is_empty();
    if is_checked && ahead.filter_map(|flight| run.unit(&flight.unit)).any(holds) {
        return true;
    }
    if !wants_work(unit) {
        return false;
    }
    // Also one that has begun: it may have been carried over, or given a dependency since.
    if unit.state() != UnitState::FixRequired && run.plan.needs[unit.spec.position].iter().any(|at| stuck.contains(at)) {
        return true;
    }
    if unit.work.started {
        return false;
    }
    if run.options.hazards == HazardRule::Writes {
        return keeps_back(run, unit, stuck);
    }
    earlier_without_manifest(run, unit).any(|at| stuck.contains(&at))
        || run.plan.any_open_hazard(&run.units, unit, |at| stuck.contains(&at))
}

/// Whether a unit without a manifest, which waits for holds that do not end, keeps this one from its first grant.
fn keeps_back(run: &Run, unit: &Unit, stuck: &BTreeSet<usize>) -> bool {
    let waits = |other: &Unit| other.state() == UnitState::NotStarted && other.claims_all() && !other.work.started;
    stuck.iter().map(|at| &run.units[*at]).any(|other| other.id != unit.id && waits(other) && !run.plan.hold_is_free(&run.units, other))
}

/// Earlier units that are not at their end, which this one meets because one of both has no manifest.
fn earlier_without_manifest<'a>(run: &'a Run, unit: &Unit) -> impl Iterator<Item = usize> + 'a {
    let plan = &run.plan;
    let earlier = if unit.claims_all() { &plan.unfinished } else { &plan.unfinished_all };
    earlier.before(plan.rank[unit.spec.position]).map(|rank| plan.order[rank])
}
