//! A dispatch unit: what was planned, what happened to it, what it waits for.

use std::collections::{BTreeMap, BTreeSet};

use roundtable_shared::limits::FIX_ATTEMPTS_MAX;
use roundtable_shared::time::WallMs;
use roundtable_shared::{AttemptNo, CommitId, Finding, Role, Seat, Severity, SubtaskState, UnitId, UnitState};
use serde::{Deserialize, Serialize};

use super::attempt::Attempt;
use super::phase::{ComingFix, FailedReview, FixCause, FixOwed, Merging, Release, UnitPhase};
use super::rare::Rare;
use super::report::OwnerAnswer;
use super::spec::{Subtask, UnitAssignment, UnitSpec};
use super::work::{Counters, UnitReview, UnitWork};

/// From this round on only what was reproduced or points at a line sends work back: what is left then is seldom a matter of taste worth another fix.
pub const GROUNDED_FROM_ROUND: u32 = 3;

/// Of every unit that waits for none.
static NO_PATHS: BTreeSet<String> = BTreeSet::new();

/// One unit of a run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Unit {
    /// The id of its top-level task.
    pub id: UnitId,
    /// What the plan says of it.
    pub spec: UnitSpec,
    /// Who does it, and what it may touch.
    pub assignment: UnitAssignment,
    /// Where it is.
    pub phase: UnitPhase,
    /// A fix of which not all is said yet: only between the facts that say it, which are of one batch.
    pub coming: Option<Box<ComingFix>>,
    /// All its attempts; number n is at n - 1.
    pub attempts: Vec<Attempt>,
    /// The live one of each seat.
    pub live: BTreeMap<Seat, AttemptNo>,
    /// What they left.
    pub work: Rare<UnitWork>,
    /// What was found in it.
    pub review: Rare<UnitReview>,
    /// What is counted.
    pub counters: Rare<Counters>,
}

impl Unit {
    /// A unit to which nothing has happened.
    pub(crate) fn blank(id: UnitId) -> Self {
        Self {
            id,
            spec: UnitSpec::default(),
            assignment: UnitAssignment::default(),
            phase: UnitPhase::default(),
            coming: None,
            attempts: Vec::new(),
            live: BTreeMap::new(),
            work: Rare::default(),
            review: Rare::default(),
            counters: Rare::default(),
        }
    }

    /// The outside word for where it is.
    pub fn state(&self) -> UnitState {
        self.phase.state()
    }

    /// Why it is blocked, skipped or cancelled.
    pub fn reason(&self) -> Option<&str> {
        match &self.phase {
            UnitPhase::Blocked(blocked) => blocked.reason.as_deref(),
            UnitPhase::Skipped { reason } | UnitPhase::Cancelled { reason } => reason.as_deref(),
            _ => None,
        }
    }

    /// When it was completed.
    pub fn completed_at(&self) -> Option<WallMs> {
        if let UnitPhase::Completed { at, .. } = &self.phase { *at } else { None }
    }

    /// Its integrated commit.
    pub fn commit(&self) -> Option<&CommitId> {
        if let UnitPhase::Completed { commit, .. } = &self.phase { commit.as_ref() } else { None }
    }

    /// Its place in the order of final review: the integration queue.
    pub fn queued(&self) -> Option<u64> {
        if let UnitPhase::FinalReview { queued, .. } = self.phase { Some(queued) } else { None }
    }

    /// That place, where nothing but integration is left to it: an empty change has no reviewers, and so nothing to consolidate.
    pub fn in_queue(&self) -> Option<u64> {
        self.queued().filter(|_| self.is_consolidated() || self.review.reviewers == 0)
    }

    /// Whether it is in final review and this round was consolidated.
    pub fn is_consolidated(&self) -> bool {
        matches!(self.phase, UnitPhase::FinalReview { consolidated: true, .. })
    }

    /// Who failed a review seat of this round: tried elsewhere first.
    pub fn failed_reviews(&self) -> &[FailedReview] {
        if let UnitPhase::UnderReview { failed } = &self.phase { failed } else { &[] }
    }

    /// Why a fix (or a repeated turn) is owed or under way.
    pub fn fix(&self) -> Option<&FixCause> {
        self.coming.as_ref().and_then(|coming| coming.cause.as_ref()).or(self.phase.fix())
    }

    /// Paths it changed that another unit holds, and it waits for.
    pub fn contended(&self) -> &BTreeSet<String> {
        self.owed().map_or(&NO_PATHS, |owed| &owed.contended)
    }

    /// A merge with the tip that its fix waits for.
    pub fn merging(&self) -> Option<&Merging> {
        self.owed()?.merging.as_ref()
    }

    fn owed(&self) -> Option<&FixOwed> {
        if let UnitPhase::FixRequired(owed) = &self.phase { Some(owed) } else { None }
    }

    /// How it leaves `blocked` once its hold is free.
    pub fn release(&self) -> Option<&Release> {
        if let UnitPhase::Blocked(blocked) = &self.phase { blocked.release.as_ref() } else { None }
    }

    /// Whether it is blocked until a person has answered.
    pub fn waits_for_person(&self) -> bool {
        matches!(&self.phase, UnitPhase::Blocked(blocked) if blocked.release.is_none())
    }

    /// One of its attempts.
    pub fn attempt(&self, no: AttemptNo) -> Option<&Attempt> {
        self.attempts.get((no.0 as usize).checked_sub(1)?)
    }

    /// The live attempt of a seat.
    pub fn live(&self, seat: Seat) -> Option<&Attempt> {
        self.attempt(*self.live.get(&seat)?)
    }

    /// Live attempts.
    pub fn live_attempts(&self) -> impl Iterator<Item = &Attempt> {
        self.live.values().filter_map(|no| self.attempt(*no))
    }

    /// Number of the next attempt.
    pub fn next_attempt(&self) -> AttemptNo {
        AttemptNo(self.attempts.len() as u32 + 1)
    }

    /// Its last attempt that may have changed files.
    pub fn last_work(&self) -> Option<&Attempt> {
        self.attempts.iter().rev().find(|attempt| attempt.granted.role.writes())
    }

    /// Whether an agent may still assign it anew: nothing of it has started, and no person said how it is to be done.
    pub fn is_reassignable(&self) -> bool {
        self.spec.runs
            && self.state() == UnitState::NotStarted
            && !self.work.started
            && self.attempts.is_empty()
            && !self.assignment.pinned
            && self.assignment.carried.is_none()
    }

    /// Whether it counts as reading and writing everything.
    pub fn claims_all(&self) -> bool {
        self.assignment.exclusive && !self.assignment.settled
    }

    /// Whether it holds its writes now.
    pub fn holds(&self) -> bool {
        self.spec.runs && self.state().holds()
    }

    /// Whether it holds that path now.
    pub fn holds_path(&self, path: &str) -> bool {
        self.holds() && (self.claims_all() || self.assignment.manifest.writes.covers(path))
    }

    /// Whether both could hold a path (I4).
    pub fn conflicts(&self, other: &Unit) -> bool {
        self.claims_all() || other.claims_all() || self.assignment.manifest.writes.conflicts(&other.assignment.manifest.writes)
    }

    /// Whether this unit, not yet started, waits for an earlier one: that one writes what this one reads or writes.
    pub fn is_hazard(&self, earlier: &Unit) -> bool {
        self.claims_all()
            || earlier.claims_all()
            || earlier.assignment.manifest.writes.conflicts(&self.assignment.manifest.writes)
            || earlier.assignment.manifest.writes.conflicts(&self.assignment.manifest.reads)
    }

    /// Whether others need not wait for it any more: done, left out, or not running at all.
    pub fn is_settled_for_others(&self) -> bool {
        !self.spec.runs || self.state().is_terminal()
    }

    /// Findings of the present round.
    pub fn round_findings(&self) -> impl Iterator<Item = &Finding> {
        self.review.findings.iter().filter(|finding| finding.round == self.review.round)
    }

    /// The finding of a review seat of the present round, if it is in.
    pub fn finding_of(&self, seat: Seat) -> Option<&Finding> {
        let Seat::Review(n) = seat else { return None };
        let reviewer = self.reviewer_id(n);
        self.round_findings().find(|finding| finding.reviewer == reviewer)
    }

    /// Id of reviewer `n` of the present round: numbers count over all rounds.
    pub fn reviewer_id(&self, n: u32) -> String {
        format!("review-{}-{}", self.id, self.review.reviewers_before + n)
    }

    /// What its owner said to the finding or issue of that id, the latest last.
    pub fn answers_to<'a>(&'a self, finding: &'a str) -> impl DoubleEndedIterator<Item = &'a OwnerAnswer> {
        self.review.answers.iter().filter(move |each| each.answer.finding == finding)
    }

    /// Seats of the present round without a finding.
    pub fn missing_reviews(&self) -> impl Iterator<Item = Seat> {
        (1..=self.review.reviewers).map(Seat::Review).filter(|seat| self.finding_of(*seat).is_none())
    }

    /// Severity of its last consolidation.
    pub fn last_severity(&self) -> Option<Severity> {
        self.review.final_reports.last().map(|report| report.overall_severity).or(self.review.severity_before)
    }

    /// What it changed, before this run too.
    pub fn files(&self) -> Vec<String> {
        let all: BTreeSet<&String> = self.work.files_before.iter().chain(&self.work.changed).collect();
        all.into_iter().cloned().collect()
    }

    /// Role of its next work attempt.
    pub fn next_role(&self) -> Role {
        match self.fix() {
            None => Role::Implement,
            Some(FixCause::Repeat { role } | FixCause::Waiting { role, .. }) => *role,
            Some(_) => Role::Fix,
        }
    }

    /// Index of the next turn of a work role, for playbooks.
    pub fn next_turn(&self) -> u32 {
        match self.next_role() {
            Role::Fix => 1 + self.counters.fix_attempts + self.counters.repeated_fixes,
            _ => 1 + self.counters.failed_turns,
        }
    }

    /// Whether its next work attempt is the last fix, which goes elsewhere.
    pub fn next_escalates(&self) -> bool {
        self.next_role() == Role::Fix && self.counters.fix_attempts + 1 >= FIX_ATTEMPTS_MAX
    }

    /// Subtasks that are open in this run.
    pub fn open_subtasks(&self) -> impl Iterator<Item = &Subtask> {
        self.spec.subtasks.iter().filter(|subtask| subtask.runs && subtask.state != SubtaskState::Completed)
    }

    /// Whether the third fix went elsewhere.
    pub fn escalated(&self) -> bool {
        self.counters.escalated_at.is_some()
    }
}
