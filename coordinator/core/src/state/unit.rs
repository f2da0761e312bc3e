//! A dispatch unit: what was planned, what happened to it, what it waits for.

use std::collections::{BTreeMap, BTreeSet};

use roundtable_shared::answer::Proposal;
use roundtable_shared::limits::FIX_ATTEMPTS_MAX;
use roundtable_shared::manifest::Manifest;
use roundtable_shared::time::WallMs;
use roundtable_shared::{
    AttemptNo, BackendName, CommitId, Criticality, FinalReport, Finding, ReviewHistoryEntry, Role, Seat, Severity, SubtaskState, TaskId,
    UnitId, UnitState, UnitType, Usage, WorkerId,
};
use serde::{Deserialize, Serialize};

use super::attempt::Attempt;
use super::report::{OwnerAnswer, Said, WorkReport};

/// From this round on only what was reproduced or points at a line sends work back: what is left then is seldom a matter of taste worth another fix.
pub const GROUNDED_FROM_ROUND: u32 = 3;

/// One unit of a run.
#[derive(Clone, PartialEq, Debug)]
pub struct Unit {
    /// The id of its top-level task.
    pub id: UnitId,
    /// The title of that task.
    pub title: String,
    /// Place in the document, from 0.
    pub position: usize,
    /// Whether it is optional.
    pub optional: bool,
    /// Whether it depends on everything before it.
    pub checkpoint: bool,
    /// Whether it runs (docs/rules.md, "Which units run"); only such units count.
    pub runs: bool,
    /// Lines of details: a guess of its size until durations are learned.
    pub details: u32,
    /// Units it depends on, by spec and assignment.
    pub depends_on: Vec<UnitId>,
    /// The unit its agent said it needs first, which it waited for; at most one. It is among `depends_on` too.
    pub blocked_on: Option<UnitId>,
    /// Units it depends on as a checkpoint; these do not cancel it.
    pub checkpoint_on: Vec<UnitId>,
    /// Its tasks without subtasks, in order of work (its own where it has none).
    pub subtasks: Vec<Subtask>,

    /// Kind of work.
    pub unit_type: UnitType,
    /// Backend that implements it; `None` only in manual mode before it is assigned, or imported without one.
    pub owner: Option<BackendName>,
    /// A person, or an import, said who does it: agents assign it no more.
    pub pinned: bool,
    /// Window name of the mirror files.
    pub window: Option<String>,
    /// How carefully it is reviewed.
    pub criticality: Criticality,
    /// What it may write and what it reads, claims included.
    pub manifest: Manifest,
    /// Labels that whoever works on it, or checks it, must have.
    pub requires: Vec<String>,
    /// Paths claimed beyond what was planned.
    pub claimed: Vec<String>,
    /// Planned without a manifest: counts as reading and writing everything until `settled`.
    pub exclusive: bool,
    /// Its work was accepted once: what it changed is its manifest.
    pub settled: bool,

    /// Where it is.
    pub state: UnitState,
    /// Since when.
    pub state_since: WallMs,
    /// Why it is blocked, skipped or cancelled.
    pub reason: Option<String>,
    /// When it was completed.
    pub completed_at: Option<WallMs>,
    /// Its place in the order of final review: the integration queue.
    pub queued: Option<u64>,
    /// It had a work grant: hazards were judged.
    pub started: bool,
    /// All its attempts; number n is at n - 1.
    pub attempts: Vec<Attempt>,
    /// The live one of each seat.
    pub live: BTreeMap<Seat, AttemptNo>,
    /// What the next work attempt goes on from.
    pub last: Option<Work>,
    /// What is reviewed and integrated.
    pub accepted: Option<Work>,
    /// What base..commit of `accepted` changes, ours and ignored paths left out.
    pub changed: Vec<String>,
    /// What it changed before this run, by the state it was imported from.
    pub files_before: Vec<String>,
    /// What the agent last said of its work.
    pub report: Option<WorkReport>,
    /// What its agents said of each attempt, oldest first; the last of them.
    pub said: Vec<Said>,
    /// What it was assigned by the state it was imported from, beside owner and window.
    pub carried: Option<Proposal>,

    /// Review round, from 1; 0 before the first.
    pub round: u32,
    /// Reviewers of this round.
    pub reviewers: u32,
    /// Reviewers of the rounds before: ids count on from here.
    pub reviewers_before: u32,
    /// Findings of all rounds.
    pub findings: Vec<Finding>,
    /// What its owner said to findings, the latest last.
    pub answers: Vec<OwnerAnswer>,
    /// Who failed a review seat of this round: tried elsewhere first.
    pub failed_reviews: Vec<(Seat, WorkerId, BackendName)>,
    /// One report per round; consumers take the last.
    pub final_reports: Vec<FinalReport>,
    /// Severity of the last round before this run, where there is no report of it.
    pub severity_before: Option<Severity>,
    /// Rounds that sent it back.
    pub history: Vec<ReviewHistoryEntry>,
    /// This round was consolidated.
    pub consolidated: bool,

    /// Why a fix (or a repeated turn) is owed.
    pub fix: Option<FixCause>,
    /// Fixes that ended with an answer or with class unit.
    pub fix_attempts: u32,
    /// When the third fix went elsewhere.
    pub escalated_at: Option<WallMs>,
    /// Owner before that.
    pub original_agent: Option<BackendName>,
    /// Its last work went outside the manifest; told to the next attempt.
    pub breach: Option<Breach>,
    /// Paths it changed that another unit holds.
    pub contended: BTreeSet<String>,
    /// A merge with the tip that is owed.
    pub merging: Option<Merging>,
    /// How it leaves `blocked` once its hold is free.
    pub release: Option<Release>,
    /// Failures since the last decision.
    pub counters: Counters,
    /// Turns of implement that failed, ever.
    pub failed_turns: u32,
    /// Turns of fix that were repeated without using a fix attempt.
    pub repeated_fixes: u32,
    /// Not granted before.
    pub retry_at: Option<WallMs>,
    /// Workers whose disk or tools failed it since its work was last accepted, the latest last: others first.
    pub avoid: Vec<WorkerId>,

    /// Its integrated commit.
    pub commit: Option<CommitId>,
    /// Sum over its attempts.
    pub usage: Usage,
}

/// A task without subtasks.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Subtask {
    /// Its id.
    pub id: TaskId,
    /// Its title.
    pub title: String,
    /// Whether the unit is incomplete without it.
    pub needed: bool,
    /// Whether it is done in this run (optional ones only with `--with-optional`).
    pub runs: bool,
    /// Where it is.
    pub state: SubtaskState,
    /// Why it failed.
    #[serde(default)]
    pub error: Option<String>,
}

/// A commit of an attempt with the base it is looked at from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Work {
    /// The attempt; 0 for a person's commit before any.
    pub attempt: AttemptNo,
    /// The base.
    pub base: CommitId,
    /// The commit.
    pub commit: CommitId,
}

/// Why a unit is in `fix_required`, and so what its next work attempt is told.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "cause")]
pub enum FixCause {
    /// Critical or major findings of that round.
    Findings {
        /// The round.
        round: u32,
    },
    /// It conflicts with the tip.
    Conflict {
        /// Paths in conflict.
        paths: Vec<String>,
        /// What git said.
        evidence: String,
    },
    /// The check is red on tip + candidate; also recorded as a finding.
    CheckRed {
        /// The end of its output.
        evidence: String,
    },
    /// The same turn again: its work went outside the manifest where waiting would have been for ever.
    Repeat {
        /// The role to repeat.
        role: Role,
    },
    /// Carried over by `import`.
    Imported,
    /// No fix yet: waits for contended paths or for a merge with the tip.
    Waiting {
        /// The role to repeat if it comes to that.
        role: Role,
        /// The work is a person's.
        by_person: bool,
    },
}

/// Paths outside the manifest.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Breach {
    /// The attempt.
    pub attempt: AttemptNo,
    /// The paths, each with why.
    pub paths: Vec<(String, String)>,
}

/// A merge with the tip that is owed before the unit goes to review.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Merging {
    /// The tip.
    pub tip: CommitId,
    /// What is merged with it.
    pub work: Work,
    /// A person's: paths outside the manifest are claimed, not a breach.
    pub by_person: bool,
}

/// How a unit leaves `blocked`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "release")]
pub enum Release {
    /// At the failed subtask, by a grant.
    Subtask,
    /// To a fix.
    Fix,
    /// To a review of that commit, merged with the tip.
    Review {
        /// The commit.
        work: Work,
    },
}

/// Failures since the last decision.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Counters {
    /// Implements that ended with class unit.
    pub unit_failures: u32,
    /// Ends for infra reasons, any seat.
    pub infra: u32,
    /// Workers lost while running it.
    pub lost_workers: BTreeSet<WorkerId>,
    /// Failures of each review seat.
    pub review_failures: BTreeMap<Seat, u32>,
    /// Times its work went outside the manifest.
    pub breaches: u32,
    /// Hand-backs in a row.
    pub hand_backs: u32,
}

impl Unit {
    /// A unit to which nothing has happened.
    pub(crate) fn blank(id: UnitId) -> Self {
        Self {
            id,
            title: String::new(),
            position: 0,
            optional: false,
            checkpoint: false,
            runs: true,
            details: 0,
            depends_on: Vec::new(),
            blocked_on: None,
            checkpoint_on: Vec::new(),
            subtasks: Vec::new(),
            unit_type: UnitType::default(),
            owner: None,
            pinned: false,
            window: None,
            criticality: Criticality::default(),
            manifest: Manifest::default(),
            requires: Vec::new(),
            claimed: Vec::new(),
            exclusive: false,
            settled: false,
            state: UnitState::NotStarted,
            state_since: WallMs::default(),
            reason: None,
            completed_at: None,
            queued: None,
            started: false,
            attempts: Vec::new(),
            live: BTreeMap::new(),
            last: None,
            accepted: None,
            changed: Vec::new(),
            files_before: Vec::new(),
            report: None,
            said: Vec::new(),
            carried: None,
            round: 0,
            reviewers: 0,
            reviewers_before: 0,
            findings: Vec::new(),
            answers: Vec::new(),
            failed_reviews: Vec::new(),
            final_reports: Vec::new(),
            severity_before: None,
            history: Vec::new(),
            consolidated: false,
            fix: None,
            fix_attempts: 0,
            escalated_at: None,
            original_agent: None,
            breach: None,
            contended: BTreeSet::new(),
            merging: None,
            release: None,
            counters: Counters::default(),
            failed_turns: 0,
            repeated_fixes: 0,
            retry_at: None,
            avoid: Vec::new(),
            commit: None,
            usage: Usage::default(),
        }
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
        self.attempts.iter().rev().find(|attempt| attempt.role.writes())
    }

    /// Whether an agent may still assign it anew: nothing of it has started, and no person said how it is to be done.
    pub fn is_reassignable(&self) -> bool {
        self.runs
            && self.state == UnitState::NotStarted
            && !self.started
            && self.attempts.is_empty()
            && !self.pinned
            && self.carried.is_none()
    }

    /// Whether it counts as reading and writing everything.
    pub fn claims_all(&self) -> bool {
        self.exclusive && !self.settled
    }

    /// Whether it holds its writes now.
    pub fn holds(&self) -> bool {
        self.runs && self.state.holds()
    }

    /// Whether it holds that path now.
    pub fn holds_path(&self, path: &str) -> bool {
        self.holds() && (self.claims_all() || self.manifest.writes.covers(path))
    }

    /// Whether both could hold a path (I4).
    pub fn conflicts(&self, other: &Unit) -> bool {
        self.claims_all() || other.claims_all() || self.manifest.writes.conflicts(&other.manifest.writes)
    }

    /// Whether this unit, not yet started, waits for an earlier one: that one writes what this one reads or writes.
    pub fn is_hazard(&self, earlier: &Unit) -> bool {
        self.claims_all()
            || earlier.claims_all()
            || earlier.manifest.writes.conflicts(&self.manifest.writes)
            || earlier.manifest.writes.conflicts(&self.manifest.reads)
    }

    /// Whether others need not wait for it any more: done, left out, or not running at all.
    pub fn is_settled_for_others(&self) -> bool {
        !self.runs || self.state.is_terminal()
    }

    /// Findings of the present round.
    pub fn round_findings(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.round == self.round)
    }

    /// The finding of a review seat of the present round, if it is in.
    pub fn finding_of(&self, seat: Seat) -> Option<&Finding> {
        let Seat::Review(n) = seat else { return None };
        let reviewer = self.reviewer_id(n);
        self.round_findings().find(|finding| finding.reviewer == reviewer)
    }

    /// Id of reviewer `n` of the present round: numbers count over all rounds.
    pub fn reviewer_id(&self, n: u32) -> String {
        format!("review-{}-{}", self.id, self.reviewers_before + n)
    }

    /// What its owner said to the finding or issue of that id, the latest last.
    pub fn answers_to<'a>(&'a self, finding: &'a str) -> impl DoubleEndedIterator<Item = &'a OwnerAnswer> {
        self.answers.iter().filter(move |each| each.answer.finding == finding)
    }

    /// Seats of the present round without a finding.
    pub fn missing_reviews(&self) -> impl Iterator<Item = Seat> {
        (1..=self.reviewers).map(Seat::Review).filter(|seat| self.finding_of(*seat).is_none())
    }

    /// Severity of its last consolidation.
    pub fn last_severity(&self) -> Option<Severity> {
        self.final_reports.last().map(|report| report.overall_severity).or(self.severity_before)
    }

    /// What it changed, before this run too.
    pub fn files(&self) -> Vec<String> {
        let all: BTreeSet<&String> = self.files_before.iter().chain(&self.changed).collect();
        all.into_iter().cloned().collect()
    }

    /// Role of its next work attempt.
    pub fn next_role(&self) -> Role {
        match &self.fix {
            None => Role::Implement,
            Some(FixCause::Repeat { role } | FixCause::Waiting { role, .. }) => *role,
            Some(_) => Role::Fix,
        }
    }

    /// Index of the next turn of a work role, for playbooks.
    pub fn next_turn(&self) -> u32 {
        match self.next_role() {
            Role::Fix => 1 + self.fix_attempts + self.repeated_fixes,
            _ => 1 + self.failed_turns,
        }
    }

    /// Whether its next work attempt is the last fix, which goes elsewhere.
    pub fn next_escalates(&self) -> bool {
        self.next_role() == Role::Fix && self.fix_attempts + 1 >= FIX_ATTEMPTS_MAX
    }

    /// Subtasks that are open in this run.
    pub fn open_subtasks(&self) -> impl Iterator<Item = &Subtask> {
        self.subtasks.iter().filter(|subtask| subtask.runs && subtask.state != SubtaskState::Completed)
    }

    /// Whether the third fix went elsewhere.
    pub fn escalated(&self) -> bool {
        self.escalated_at.is_some()
    }
}
