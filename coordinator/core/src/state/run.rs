//! One orchestration of a spec on a base commit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use roundtable_shared::answer::Proposal;
use roundtable_shared::spec::{Plan as Outline, Spec, Unit as Outlined};
use roundtable_shared::time::WallMs;
use roundtable_shared::{
    AttemptNo, BackendName, BlockedItem, CommitId, Decision, DecisionId, DecisionKind, DeferredFix, RunId, RunOptions, Seat, UnitId,
    UnitState, Usage,
};
use serde::{Deserialize, Serialize};

use super::attempt::Attempt;
use super::plan::Plan;
use super::removal::Removed;
use super::rest::{Rested, Resting};
use super::source::RunSource;
use super::step::{Phase, Step};
use super::train::Train;
use super::unit::Unit;
use crate::planted::{Bug, planted};

/// A run.
#[derive(Clone, PartialEq, Debug)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// Where it comes from.
    pub source: RunSource,
    /// Who submitted it.
    pub by: String,
    /// When.
    pub created_at: WallMs,
    /// What it was asked to do.
    pub options: RunOptions,
    /// The spec's texts: prompts use these and nothing else.
    pub spec: Arc<Spec>,
    /// What its `tasks.md` was read as.
    pub outline: Arc<Outline>,
    /// Hash of what an assignment depends on, for the cache.
    pub inputs_digest: String,
    /// The commit it started from.
    pub base: CommitId,
    /// Tip of its branch.
    pub tip: CommitId,
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
    /// How far it is.
    pub stage: Stage,
    /// How it ended.
    pub ended: Option<Ended>,
    /// Asked to end, as soon as the branch rests.
    pub ending: Option<Ending>,
    /// Nothing is granted.
    pub paused: Option<Remark>,
    /// Stopped for now; running again goes on.
    pub halted: Option<Remark>,
    /// Who assigned owners.
    pub plan_source: Option<PlanSource>,
    /// Units in document order.
    pub units: Vec<Arc<Unit>>,
    /// Index: place of each unit in `units`.
    pub positions: BTreeMap<UnitId, usize>,
    /// Index: order, hazards, critical path.
    pub plan: Plan,
    /// The run's own attempts; number n is at n - 1.
    pub attempts: Vec<Attempt>,
    /// The live one of each of its seats.
    pub live: BTreeMap<Seat, AttemptNo>,
    /// The assignment agent's seat.
    pub assigning: Assigning,
    /// What it answered, for the cache.
    pub assign_answer: Option<AssignAnswer>,
    /// Open decisions.
    pub decisions: BTreeMap<DecisionId, Decision>,
    /// The last answered one of each id.
    pub answered: BTreeMap<DecisionId, Decision>,
    /// What was said, oldest first.
    pub notices: Vec<Notice>,
    /// Units that cannot go on by themselves, as the mirror files show them.
    pub blocked_items: Vec<BlockedItem>,
    /// Minor issues left for later.
    pub deferred_fixes: Vec<DeferredFix>,
    /// What goes to `AGENTS.md` in the end.
    pub learnings: Vec<Learning>,
    /// What moved the branch, oldest first.
    pub integrations: Vec<Integration>,
    /// Integrations under way.
    pub train: Train,
    /// Units completed whose box no commit has ticked yet.
    pub unticked: Vec<UnitId>,
    /// The check of the base.
    pub base_check: BaseCheck,
    /// Infra ends that cost budget.
    pub infra_used: u32,
    /// Sum over attempts.
    pub usage: Usage,
    /// Moves of units so far: what progress is measured by, and the order of final review.
    pub moves: u64,
    /// The orchestrator agent.
    pub orchestrator: Orchestrator,
    /// Manual mode: the phase under way.
    pub step: Option<Step>,
    /// Backends a person put in another's place.
    pub uses: BTreeMap<BackendName, BackendName>,
    /// Backends we put in another's place while it is not offered; said once each.
    pub substitutes: BTreeMap<BackendName, BackendName>,
    /// Backends whose absence is not asked about before.
    pub snoozed: BTreeMap<BackendName, WallMs>,
    /// Where it was accepted into.
    pub accepted: Option<Accepted>,
    /// Its files are gone, or go.
    pub removed: Option<Removed>,
    /// Rests that are over.
    pub rested: Rested,
    /// The rest that goes on, once that is told.
    pub resting: Option<Resting>,
}

/// How far a run is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Owners and manifests are being found.
    Assigning,
    /// Units are worked on.
    Working,
    /// The closing commit is being made.
    Closing,
    /// Over.
    Ended,
}

/// Who assigned owners and manifests.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanSource {
    /// Keyword rules and the spec's own lines.
    Rules,
    /// The assignment agent, over those.
    Agent,
    /// An earlier answer to the same question.
    Cache,
    /// Nobody yet (manual mode).
    Manual,
}

/// A person's word with who and when.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Remark {
    /// What.
    pub text: String,
    /// Who.
    pub by: String,
    /// When.
    pub at: WallMs,
}

/// How a run ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ended {
    /// 0 or 1.
    pub exit: u8,
    /// In words; empty for a normal end.
    pub reason: String,
    /// When.
    pub at: WallMs,
}

/// A run that is to end before its units have.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ending {
    /// Why.
    pub reason: String,
    /// Who.
    pub by: String,
}

/// The assignment agent's seat.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Assigning {
    /// Answers that could not be used whole, or failures of class unit.
    pub failures: u32,
    /// Ends for other reasons.
    pub lost: u32,
    /// Providers that refused: another backend is asked meanwhile.
    pub refused: u32,
    /// Why the last answer was refused; told when asked again.
    pub problems: Vec<String>,
    /// Units that are to be assigned anew while others are at work; nothing waits for that.
    pub again: Vec<UnitId>,
}

/// What an assignment agent answered, as far as it could be taken.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AssignAnswer {
    /// Who was asked.
    pub backend: BackendName,
    /// With which model; empty = the backend's own.
    pub model: String,
    /// The answer.
    pub proposals: Vec<Proposal>,
}

/// Something said once.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Notice {
    /// The text.
    pub text: String,
    /// When.
    pub at: WallMs,
}

/// Something reusable an agent learned.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Learning {
    /// The unit it comes from.
    pub unit: UnitId,
    /// The text.
    pub text: String,
    /// Files it concerns: what the unit changed.
    pub paths: Vec<String>,
}

/// One move of the run's branch.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Integration {
    /// The unit; `None` for the closing commit.
    pub unit: Option<UnitId>,
    /// The commit.
    pub commit: CommitId,
    /// What it changed.
    pub changed: Vec<String>,
    /// When.
    pub at: WallMs,
}

/// The check of the base, before any integration.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum BaseCheck {
    /// No check is configured.
    #[default]
    None,
    /// Not run yet.
    Wanted {
        /// Times it was red (one retry).
        red: u32,
        /// Times it could not be run.
        lost: u32,
        /// Not before.
        retry_at: Option<WallMs>,
    },
    /// Green: checks hold.
    Green,
    /// Red; a decision is open.
    Red {
        /// The end of its output.
        evidence: String,
    },
    /// Red and waived: checks are reported but held against nobody until one is green.
    Waived,
}

/// The orchestrator agent of llm mode.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Orchestrator {
    /// Whether it is consulted at all.
    pub enabled: bool,
    /// A consultation is due.
    pub wanted: Option<Wanted>,
    /// The one under way.
    pub current: Option<Wanted>,
    /// Consultations answered.
    pub answers: u32,
    /// The last answer could not be read: asked again once.
    pub asked_again: bool,
    /// Failed in a row.
    pub failures: u32,
    /// Answers in a row without any unit changing state.
    pub idle_answers: u32,
    /// `Run::moves` when it was last asked, if it has answered that.
    pub moves_seen: u64,
    /// `Run::moves` when it was asked what it has not answered yet: what happens meanwhile it has not seen.
    pub moves_asked: u64,
    /// Phases that wait.
    pub held: Option<HeldPhases>,
    /// It was heard before the end.
    pub heard_at_end: bool,
    /// What it last said.
    pub notes: String,
}

/// A consultation that is due.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Wanted {
    /// Since when: collected for a while.
    pub since: WallMs,
    /// Why.
    pub why: String,
    /// It is the one before the end.
    pub at_end: bool,
}

/// Phases the orchestrator asked to hold back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HeldPhases {
    /// Which.
    pub phases: BTreeSet<Phase>,
    /// At most until then.
    pub until: WallMs,
}

/// The user's branch was moved.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Accepted {
    /// Which branch.
    pub branch: String,
    /// To which commit.
    pub commit: CommitId,
    /// The run's tip then.
    pub tip: CommitId,
    /// Who.
    pub by: String,
    /// When.
    pub at: WallMs,
}

impl Run {
    /// The unit of that id.
    pub fn unit(&self, id: &UnitId) -> Option<&Unit> {
        self.positions.get(id).and_then(|at| self.units.get(*at)).map(Arc::as_ref)
    }

    /// What the spec says of a unit: its tasks as they are written.
    pub fn outlined(&self, id: &UnitId) -> Option<&Outlined> {
        let here = self.positions.get(id).and_then(|at| self.outline.units.get(*at)).filter(|unit| unit.id == *id);
        here.or_else(|| self.outline.unit(id.as_str()))
    }

    /// Units in document order.
    pub fn units(&self) -> impl DoubleEndedIterator<Item = &Unit> + Clone {
        self.units.iter().map(Arc::as_ref)
    }

    /// Units in plan order (document order before planning).
    pub fn in_order(&self) -> impl DoubleEndedIterator<Item = &Unit> + Clone {
        self.plan.order.iter().filter_map(|at| self.units.get(*at)).map(Arc::as_ref)
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

    /// Whether it is over.
    pub fn is_ended(&self) -> bool {
        self.stage == Stage::Ended
    }

    /// Whether anything of it runs on a worker.
    pub fn has_live_attempts(&self) -> bool {
        !self.live.is_empty() || self.begun().any(|unit| !unit.live.is_empty())
    }

    /// Whether every unit that runs has come to its end.
    pub fn is_done(&self) -> bool {
        self.plan.unfinished.is_empty()
    }

    /// Whether a person is asked something about the run as a whole that an imported state brought along: no unit waits for the answer, its end does.
    pub fn is_asked_as_a_whole(&self) -> bool {
        self.decisions.values().any(|decision| decision.kind == DecisionKind::Imported && decision.unit.is_none())
    }

    /// Units that are to be assigned anew and still can be.
    pub fn reassignable(&self) -> impl Iterator<Item = &Unit> {
        let is_working = self.stage == Stage::Working && self.ending.is_none();
        self.assigning.again.iter().filter(move |_| is_working).filter_map(|id| self.unit(id)).filter(|unit| unit.is_reassignable())
    }

    /// Exit code if it ended now: 0 when every unit that runs is completed or skipped.
    pub fn exit_when_done(&self) -> u8 {
        let fine = self.units().filter(|unit| unit.spec.runs).all(|unit| matches!(unit.state(), UnitState::Completed | UnitState::Skipped));
        u8::from(!fine)
    }

    /// Units that hold their writes now.
    pub fn holders(&self) -> impl Iterator<Item = &Unit> {
        self.plan.holders.iter().filter_map(|at| self.units.get(*at)).map(Arc::as_ref)
    }

    /// Other units that hold that path now.
    pub fn holders_of<'a>(&'a self, unit: &'a UnitId, path: &'a str) -> impl Iterator<Item = &'a Unit> {
        self.holders().filter(move |other| other.id != *unit && other.holds_path(path))
    }

    /// Units that have begun and have not come to their end, in plan order.
    pub fn begun(&self) -> impl DoubleEndedIterator<Item = &Unit> + Clone {
        self.plan.begun.iter().filter_map(|rank| self.units.get(*self.plan.order.get(*rank)?)).map(Arc::as_ref)
    }

    /// Units that have not been begun and wait for no other by order, in no order.
    pub fn startable(&self) -> impl Iterator<Item = &Unit> {
        self.plan.all_startable().filter_map(|at| self.units.get(at)).map(Arc::as_ref)
    }

    /// Units that run and have not come to their end, in plan order.
    pub fn unfinished(&self) -> impl DoubleEndedIterator<Item = &Unit> + Clone {
        self.plan.unfinished.iter().filter_map(|rank| self.units.get(*self.plan.order.get(*rank)?)).map(Arc::as_ref)
    }

    /// Units whose holds stand against this unit's.
    pub fn hold_conflicts<'a>(&'a self, unit: &'a Unit) -> impl Iterator<Item = &'a Unit> {
        self.holders().filter(move |other| other.id != unit.id && other.conflicts(unit))
    }

    /// Units in the order of final review: the integration queue. An empty change has no reviewers, and so nothing to consolidate.
    pub fn queue(&self) -> Vec<&Unit> {
        let is_next = |unit: &&Unit| unit.state() == UnitState::FinalReview && (unit.is_consolidated() || unit.review.reviewers == 0);
        let mut queue: Vec<&Unit> = self.begun().filter(is_next).collect();
        queue.sort_by_key(|unit| unit.queued());
        queue
    }

    /// Whether one of these phases is held back by the orchestrator now.
    pub fn is_held(&self, phase: Phase, now: WallMs) -> bool {
        self.orchestrator.held.as_ref().is_some_and(|held| held.until > now && held.phases.contains(&phase))
            && !planted(Bug::HoldBackIgnored)
    }

    /// Whether checks gate integration.
    pub fn has_checks(&self) -> bool {
        self.base_check != BaseCheck::None
    }

    /// Whether it has commits that nobody has accepted.
    pub fn has_more_to_accept(&self) -> bool {
        self.tip != self.base && self.accepted.as_ref().is_none_or(|accepted| accepted.tip != self.tip)
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
        if *base == self.tip {
            return false;
        }
        let since = self.integrations.iter().rev().take_while(|integration| integration.commit != *base);
        since.flat_map(|integration| &integration.changed).any(|path| {
            unit.claims_all()
                || unit.assignment.manifest.writes.covers(path)
                || unit.assignment.manifest.reads.covers(path)
                || unit.work.changed.binary_search(path).is_ok()
        })
    }
}
