//! One orchestration of a spec on a base commit.

use std::collections::BTreeMap;
use std::sync::Arc;

use roundtable_shared::spec::{Plan as Outline, Spec, Unit as Outlined};
use roundtable_shared::time::WallMs;
use roundtable_shared::{
    AttemptNo, BackendName, BlockedItem, CommitId, Decision, DecisionId, DecisionKind, DeferredFix, RunId, RunOptions, Seat, UnitId,
    UnitState, Usage,
};
use serde::{Deserialize, Serialize};

use super::agents::Agents;
use super::attempt::Attempt;
use super::branch::{BaseCheck, Branch};
use super::life::{Ended, Life, RunPhase, Stage};
use super::plan::Plan;
use super::source::RunSource;
use super::step::Phase;
use super::unit::Unit;
use crate::planted::{Bug, planted};
use crate::shared::List;

/// A run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// What it was made of; never changes.
    pub origin: Arc<Origin>,
    /// What it was asked to do.
    pub options: Arc<RunOptions>,
    /// How far it is, and what keeps it.
    pub life: Life,
    /// Units in document order.
    pub units: List<Unit>,
    /// Index: place of each unit in `units`.
    #[serde(skip)]
    pub positions: Arc<BTreeMap<UnitId, usize>>,
    /// Index: order, hazards, critical path.
    pub plan: Plan,
    /// The run's own attempts; number n is at n - 1.
    pub attempts: List<Attempt>,
    /// The live one of each of its seats.
    pub live: BTreeMap<Seat, AttemptNo>,
    /// Agents that serve the run as a whole.
    pub agents: Agents,
    /// What people are asked and told.
    pub people: People,
    /// Its branch and what comes onto it.
    pub branch: Branch,
    /// What is counted.
    pub progress: Progress,
    /// Backends in others' places.
    pub backends: BackendChoices,
}

/// What a run was made of.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Origin {
    /// Where it comes from.
    pub source: RunSource,
    /// Who submitted it.
    pub by: String,
    /// When.
    pub created_at: WallMs,
    /// The spec's texts: prompts use these and nothing else.
    pub spec: Arc<Spec>,
    /// What its `tasks.md` was read as.
    pub outline: Arc<Outline>,
    /// Hash of what an assignment depends on, for the cache.
    pub inputs_digest: String,
    /// The commit it started from.
    pub base: CommitId,
    /// The user's branch it started on.
    pub started_branch: Option<String>,
    /// `tasks.md`, if boxes are ticked in commits.
    pub tick_path: Option<String>,
    /// The spec's own files: changes of agents to them are dropped.
    pub spec_paths: Vec<String>,
    /// Mirror files: never changes.
    pub mirror_paths: Vec<String>,
    /// Names the state it went on from, if one.
    pub imported: Option<String>,
}

/// What people are asked and told.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct People {
    /// Open decisions.
    pub decisions: BTreeMap<DecisionId, Decision>,
    /// The last answered one of each id.
    pub answered: Arc<BTreeMap<DecisionId, Decision>>,
    /// What was said, oldest first.
    pub notices: List<Notice>,
    /// Units that cannot go on by themselves, as the mirror files show them.
    pub blocked_items: Vec<BlockedItem>,
    /// Minor issues left for later.
    pub deferred_fixes: List<DeferredFix>,
}

/// Something said once.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Notice {
    /// The text.
    pub text: String,
    /// When.
    pub at: WallMs,
}

/// What is counted of a run.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Infra ends that cost budget.
    pub infra_used: u32,
    /// Sum over attempts.
    pub usage: Usage,
    /// Moves of units so far: what progress is measured by, and the order of final review.
    pub moves: u64,
}

/// Backends in others' places, or waited for without asking.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct BackendChoices {
    /// Backends a person put in another's place.
    pub uses: BTreeMap<BackendName, BackendName>,
    /// Backends we put in another's place while it is not offered; said once each.
    pub substitutes: BTreeMap<BackendName, BackendName>,
    /// Backends whose absence is not asked about before.
    pub snoozed: BTreeMap<BackendName, WallMs>,
}

impl Run {
    /// The unit of that id.
    pub fn unit(&self, id: &UnitId) -> Option<&Unit> {
        self.positions.get(id).and_then(|at| self.units.get(*at))
    }

    /// What the spec says of a unit: its tasks as they are written.
    pub fn outlined(&self, id: &UnitId) -> Option<&Outlined> {
        let here = self.positions.get(id).and_then(|at| self.origin.outline.units.get(*at)).filter(|unit| unit.id == *id);
        here.or_else(|| self.origin.outline.unit(id.as_str()))
    }

    /// Units in document order.
    pub fn units(&self) -> impl DoubleEndedIterator<Item = &Unit> + Clone {
        self.units.iter()
    }

    /// Units in plan order (document order before planning).
    pub fn in_order(&self) -> impl DoubleEndedIterator<Item = &Unit> + Clone {
        self.plan.order.iter().filter_map(|at| self.units.get(*at))
    }

    /// One of the run's own attempts.
    pub fn attempt(&self, no: AttemptNo) -> Option<&Attempt> {
        self.attempts.get((no.0 as usize).checked_sub(1)?)
    }

    /// The live attempt of one of its own seats.
    pub fn live(&self, seat: Seat) -> Option<&Attempt> {
        self.attempt(*self.live.get(&seat)?)
    }

    /// Number of its next own attempt.
    pub fn next_attempt(&self) -> AttemptNo {
        AttemptNo(self.attempts.len() as u32 + 1)
    }

    /// The model that backend is asked for with this run; empty = its own.
    pub fn model_of(&self, backend: &BackendName) -> String {
        let legacy = (backend.as_str() == "opencode").then_some(self.options.switches.opencode_model.as_ref()).flatten();
        self.options.models.get(backend).or(legacy).cloned().unwrap_or_default()
    }

    /// How far it is.
    pub fn stage(&self) -> Stage {
        self.life.phase.stage()
    }

    /// How it ended, if it has.
    pub fn ended(&self) -> Option<&Ended> {
        if let RunPhase::Ended(ended) = &self.life.phase { Some(ended) } else { None }
    }

    /// Whether it is over.
    pub fn is_ended(&self) -> bool {
        self.stage() == Stage::Ended
    }

    /// Whether anything of it runs on a worker.
    pub fn has_live_attempts(&self) -> bool {
        let is_live = |unit: &Unit| !unit.live.is_empty();
        !self.live.is_empty() || self.active().any(is_live) || self.begun().any(is_live)
    }

    /// Whether every unit that runs has come to its end.
    pub fn is_done(&self) -> bool {
        self.plan.unfinished.is_empty()
    }

    /// Whether a person is asked something about the run as a whole that an imported state brought along: no unit waits for the answer, its end does.
    pub fn is_asked_as_a_whole(&self) -> bool {
        self.people.decisions.values().any(|decision| decision.kind == DecisionKind::Imported && decision.unit.is_none())
    }

    /// Units that are to be assigned anew and still can be.
    pub fn reassignable(&self) -> impl Iterator<Item = &Unit> {
        let is_working = self.stage() == Stage::Working && self.life.ending.is_none();
        self.agents.assigning.again.iter().filter(move |_| is_working).filter_map(|id| self.unit(id)).filter(|unit| unit.is_reassignable())
    }

    /// Exit code if it ended now: 0 when every unit that runs is completed or skipped.
    pub fn exit_when_done(&self) -> u8 {
        let fine = self.units().filter(|unit| unit.spec.runs).all(|unit| matches!(unit.state(), UnitState::Completed | UnitState::Skipped));
        u8::from(!fine)
    }

    /// Units that hold their writes now.
    pub fn holders(&self) -> impl Iterator<Item = &Unit> {
        self.plan.holders.iter().filter_map(|at| self.units.get(at))
    }

    /// Other units that hold that path now.
    pub fn holders_of<'a>(&'a self, unit: &'a UnitId, path: &'a str) -> impl Iterator<Item = &'a Unit> {
        self.holders().filter(move |other| other.id != *unit && other.holds_path(path))
    }

    /// Units that have begun and have not come to their end, in plan order.
    pub fn begun(&self) -> impl DoubleEndedIterator<Item = &Unit> + Clone {
        self.plan.begun.iter().filter_map(|rank| self.units.get(*self.plan.order.get(rank)?))
    }

    /// Of those, the ones that do not stand in the integration queue.
    pub fn active(&self) -> impl DoubleEndedIterator<Item = &Unit> + Clone {
        self.plan.active.iter().filter_map(|rank| self.units.get(*self.plan.order.get(rank)?))
    }

    /// Units that have begun and may have a seat to fill: of the queue only those in the train have one.
    pub fn seatable(&self) -> impl Iterator<Item = &Unit> {
        let in_train = self.branch.train.flights.iter().filter_map(|flight| self.unit(&flight.unit));
        self.active().chain(in_train.filter(|unit| unit.in_queue().is_some()))
    }

    /// Units that have not been begun and wait for no other by order, in no order.
    pub fn startable(&self) -> impl Iterator<Item = &Unit> {
        self.plan.all_startable(&self.units).filter_map(|at| self.units.get(at))
    }

    /// Units that run and have not come to their end, in plan order.
    pub fn unfinished(&self) -> impl DoubleEndedIterator<Item = &Unit> + Clone {
        self.plan.unfinished.iter().filter_map(|rank| self.units.get(*self.plan.order.get(rank)?))
    }

    /// Units whose holds stand against this unit's.
    pub fn hold_conflicts<'a>(&'a self, unit: &'a Unit) -> impl Iterator<Item = &'a Unit> {
        self.holders().filter(move |other| other.id != unit.id && other.conflicts(unit))
    }

    /// Units in the order of final review: the integration queue.
    pub fn queue(&self) -> impl DoubleEndedIterator<Item = &Unit> + Clone {
        self.plan.lookup(&self.units).queue.iter().filter_map(|(_, rank)| self.units.get(*self.plan.order.get(*rank)?))
    }

    /// Whether one of these phases is held back by the orchestrator now.
    pub fn is_held(&self, phase: Phase, now: WallMs) -> bool {
        self.agents.orchestrator.held.as_ref().is_some_and(|held| held.until > now && held.phases.contains(&phase))
            && !planted(Bug::HoldBackIgnored)
    }

    /// Whether checks gate integration.
    pub fn has_checks(&self) -> bool {
        self.branch.base_check != BaseCheck::None
    }

    /// Whether it has commits that nobody has accepted.
    pub fn has_more_to_accept(&self) -> bool {
        self.branch.tip != self.origin.base && self.life.accepted.as_ref().is_none_or(|accepted| accepted.tip != self.branch.tip)
    }

    /// All its attempts, its own first.
    pub fn all_attempts(&self) -> impl Iterator<Item = &Attempt> {
        self.attempts.iter().chain(self.units().flat_map(|unit| unit.attempts.iter()))
    }

    /// Units that run.
    pub fn running_units(&self) -> usize {
        self.units().filter(|unit| unit.spec.runs).count()
    }

    /// Infra ends that are free of quarantine (docs/rules.md, "Attempts").
    pub fn infra_budget(&self) -> u32 {
        let fifth = u32::try_from(self.running_units().div_ceil(5)).unwrap_or(u32::MAX);
        fifth.max(10)
    }

    /// Whether the branch changed something the unit may write since that base.
    pub fn tip_changed_paths_of(&self, unit: &Unit, base: &CommitId) -> bool {
        if *base == self.branch.tip {
            return false;
        }
        let since = self.branch.integrations.iter().rev().take_while(|integration| integration.commit != *base);
        since.flat_map(|integration| &integration.changed).any(|path| {
            unit.claims_all()
                || unit.assignment.manifest.writes.covers(path)
                || unit.assignment.manifest.reads.covers(path)
                || unit.work.changed.binary_search(path).is_ok()
        })
    }
}
