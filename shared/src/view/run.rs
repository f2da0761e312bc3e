//! Runs, units, attempts and decisions as commands show them.

use serde::{Deserialize, Serialize};

use super::{Counts, FindingView, ParkView, Word, is_false, is_zero};
use crate::domain::{
    AttemptOutcome, Criticality, Mode, OutcomeClass, Priority, Role, RunStatus, Severity, UnitState, UnitType, Usage, WaitKind,
};
use crate::ids::UnitId;

/// A run in a list.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct RunLine {
    /// Its id.
    pub run: String,
    /// Real path of the spec's folder.
    pub spec: String,
    /// How it stands.
    pub status: Word<RunStatus>,
    /// Real path of the repository's common git directory.
    pub repository: String,
    /// Units that run.
    pub total: u32,
    /// Of those, completed.
    pub completed: u32,
    /// Open decisions.
    pub decisions: u32,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339; null while unfinished.
    pub ended_at: Option<String>,
    /// Exit code it ended with; null while unfinished.
    pub exit: Option<u8>,
    /// Complete, with commits that nobody has accepted.
    #[serde(default)]
    pub to_accept: bool,
    /// RFC 3339: when its files were removed; null while they are there.
    #[serde(default)]
    pub removed_at: Option<String>,
}

/// `status --json`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct StatusView {
    /// Run id.
    pub run: String,
    /// Real path of the spec's folder.
    pub spec: String,
    /// As in [`RunLine`].
    pub status: Word<RunStatus>,
    /// Who decides what runs next.
    pub mode: Word<Mode>,
    /// The run's branch.
    pub branch: String,
    /// Base commit.
    pub base: String,
    /// Tip of the run's branch.
    pub head: String,
    /// Units in plan order.
    pub units: Vec<UnitView>,
    /// Units by state.
    pub counts: Counts,
    /// Open decisions.
    pub decisions: u32,
    /// Sum over attempts.
    pub usage: Usage,
    /// Notices, oldest first (last 50).
    pub notices: Vec<String>,
    /// Something of it is under way: an attempt of a unit or of the run itself, a merge, a move of the branch.
    #[serde(default)]
    pub busy: bool,
    /// The check command, if integration waits for one.
    #[serde(default)]
    pub check: Option<String>,
    /// Who paused it (or everything) and why, while it is paused.
    #[serde(default)]
    pub paused: Option<PausedView>,
    /// Milliseconds in which the run could work, until now or until it ended.
    pub elapsed_ms: u64,
    /// What it waited for beside that.
    #[serde(default)]
    pub waited: WaitedView,
    /// Exit code once ended or halted, else null.
    pub exit: Option<u8>,
    /// Slots offered for the run's backends right now (0 = nobody is here).
    pub slots: u32,
    /// Backends waited for that nobody has offered for a moment.
    #[serde(default)]
    pub missing: Vec<String>,
    /// Backends that are offered, but by nobody with the labels that units ask for.
    #[serde(default)]
    pub missing_labels: Vec<MissingLabelsView>,
    /// What keeps the coordinator itself from going on, each with what it does about it: its data directory cannot be written.
    #[serde(default)]
    pub problems: Vec<String>,
    /// Backends whose provider refuses.
    #[serde(default)]
    pub parks: Vec<ParkView>,
    /// All runs.
    #[serde(default)]
    pub runs: Vec<RunLine>,
}

/// Labels that nobody has who offers a backend.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub struct MissingLabelsView {
    /// The backend.
    pub backend: String,
    /// All that are asked for together.
    pub labels: Vec<String>,
}

/// A pause.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct PausedView {
    /// Who.
    pub by: String,
    /// Why, if that was said.
    pub note: String,
    /// RFC 3339.
    pub at: String,
    /// Every run, not this one alone.
    pub all: bool,
}

/// Reasons that are listed of a unit wherever several units are.
pub const WAITING_MAX: usize = 8;

/// A unit in `status` and `summary`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct UnitView {
    /// Id.
    pub id: String,
    /// Title.
    pub title: String,
    /// Its state; `blocked` also where an upstream unit blocks it.
    pub status: Word<UnitState>,
    /// Whether it runs.
    pub runs: bool,
    /// Whether it is optional.
    pub optional: bool,
    /// What it produces.
    #[serde(rename = "type")]
    pub unit_type: Word<UnitType>,
    /// Owner; null before assignment in manual mode.
    pub owner_agent: Option<String>,
    /// Worker of the live attempt, if one.
    pub worker: Option<String>,
    /// Backend of the live attempt, if one.
    pub backend: Option<String>,
    /// Role of the live attempt, if one.
    pub role: Option<Word<Role>>,
    /// Number of the live attempt, else of the last; 0 before the first.
    pub attempt: u32,
    /// Attempts so far, of all its seats, whatever became of them.
    pub attempts: u32,
    /// Implement turns so far. One that is repeated because its worker or provider failed it is the same one; so with reviews and checks.
    #[serde(default)]
    pub tries: u32,
    /// Turns of reviewers so far.
    #[serde(default)]
    pub reviews: u32,
    /// Checks of its own so far.
    #[serde(default)]
    pub checks: u32,
    /// Fixes that count.
    pub fix_attempts: u32,
    /// Whether the third fix went elsewhere.
    pub escalated: bool,
    /// How carefully it is reviewed.
    pub criticality: Word<Criticality>,
    /// First upstream unit that blocks it.
    pub blocked_by: Option<String>,
    /// Why it is blocked, skipped or cancelled.
    pub blocked_reason: Option<String>,
    /// Its writes now.
    pub writes: Vec<String>,
    /// Its reads.
    pub reads: Vec<String>,
    /// Labels that whoever works on it must have.
    #[serde(default)]
    pub requires: Vec<String>,
    /// Explicit dependencies.
    pub depends_on: Vec<String>,
    /// What it waits for right now: the first reasons, [`WAITING_MAX`] at most. `explain` has them all, these first. Of units it waits for alike, those come
    /// first that come first in plan order, but for holders: those by their place in the document.
    pub waiting: Vec<WaitView>,
    /// Further reasons that are not listed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub waiting_left_out: u32,
    /// There may be still more than `waiting_left_out` says, which are too many to be counted.
    #[serde(default, skip_serializing_if = "is_false")]
    pub waiting_left_out_at_least: bool,
    /// Files its integrated commit changed.
    pub files: Vec<String>,
    /// Its integrated commit.
    pub commit: Option<String>,
    /// Findings that are open or deferred.
    pub open_findings: u32,
    /// Highest severity of its last round.
    pub last_severity: Option<Word<Severity>>,
    /// Milliseconds since its live attempt was granted, if one.
    pub running_ms: Option<u64>,
    /// Its live attempt is over and being handed in: what stands in the way, empty if nothing does; null while it runs.
    #[serde(default)]
    pub delivering: Option<String>,
    /// The agent's own summary of its last accepted work.
    pub summary: Option<String>,
}

/// One reason to wait, now.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct WaitView {
    /// What kind of reason.
    pub kind: Word<WaitKind>,
    /// On what: a unit, backend, worker, decision.
    pub on: String,
    /// The path that causes it, if one.
    pub path: String,
    /// In words.
    pub text: String,
}

/// `run|summary|wait --json`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct SummaryView {
    /// Run id.
    pub run: String,
    /// Exit code as it stands: 0, 1 or 2; null while it runs.
    pub exit: Option<u8>,
    /// As in [`RunLine`].
    pub status: Word<RunStatus>,
    /// Real path of the spec's folder.
    pub spec: String,
    /// The run's branch.
    pub branch: String,
    /// Base commit.
    pub base: String,
    /// Tip of the run's branch.
    pub head: String,
    /// The branch that was checked out when it started; null if none was.
    pub started_branch: Option<String>,
    /// The branch it was accepted into, if it was.
    pub accepted: Option<String>,
    /// Units in plan order.
    pub units: Vec<UnitView>,
    /// As in [`StatusView`].
    pub counts: Counts,
    /// Open decisions.
    pub decisions: Vec<DecisionView>,
    /// Findings of each unit's last round, severity other than none, and deferred ones.
    pub findings: Vec<FindingView>,
    /// Sum over attempts.
    pub usage: Usage,
    /// Milliseconds in which it could work, until now or until it ended.
    pub duration_ms: u64,
    /// What it waited for beside that.
    #[serde(default)]
    pub waited: WaitedView,
    /// Notices.
    pub notices: Vec<String>,
    /// Commands to go on with.
    pub next: Vec<String>,
    /// The command by which the run goes on, or by which what it left open is done.
    #[serde(default)]
    pub resume: String,
    /// What it cost that units had no manifest.
    #[serde(default)]
    pub alone: AloneView,
    /// As in [`RunLine`].
    #[serde(default)]
    pub removed_at: Option<String>,
}

/// Time in which a run could not work, since nothing of it was live and what could go on waited. It is no part of its duration.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct WaitedView {
    /// Milliseconds in which it was paused or halted, or only decisions could move it.
    pub people_ms: u64,
    /// Milliseconds in which providers refused.
    pub provider_ms: u64,
    /// Milliseconds in which no worker, or none with a free slot, was there.
    pub machines_ms: u64,
}

/// Units that ran alone because nobody had said what they write.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct AloneView {
    /// Their ids, in plan order.
    pub units: Vec<UnitId>,
    /// Milliseconds in which one of them was at work, so that nothing else could begin.
    pub ms: u64,
}

/// `decisions --json`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct DecisionView {
    /// Its id.
    pub id: String,
    /// The unit's task; the backend's name or empty where it is about no unit.
    pub task_id: String,
    /// How urgent.
    pub priority: Word<Priority>,
    /// What happened.
    pub context: String,
    /// Options in words.
    pub options: Vec<String>,
    /// Their keywords, same order.
    pub keywords: Vec<String>,
    /// RFC 3339.
    pub created_at: String,
    /// Older than a day.
    pub escalated: bool,
    /// The run.
    pub run: String,
    /// Where its evidence is: commands that show diff, findings, log.
    pub evidence: Vec<String>,
    /// The exact command per option, same order.
    pub commands: Vec<String>,
    /// The answer, once given: keyword, who, when.
    pub answer: Option<AnswerView>,
}

/// A given answer.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct AnswerView {
    /// Keyword.
    pub choice: String,
    /// Who.
    pub by: String,
    /// RFC 3339.
    pub at: String,
    /// Note.
    pub note: Option<String>,
}

/// `attempts --json`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct AttemptView {
    /// Number.
    pub attempt: u32,
    /// `work`, `review-1`, `check`, …
    pub seat: String,
    /// What it was asked to do.
    pub role: Word<Role>,
    /// Worker id.
    pub worker: String,
    /// Backend.
    pub backend: String,
    /// Base commit.
    pub base: String,
    /// Result, if one.
    pub commit: Option<String>,
    /// How it stands or ended.
    pub outcome: Word<AttemptOutcome>,
    /// Who pays for its failure, if it failed.
    pub class: Option<Word<OutcomeClass>>,
    /// What failed, in words.
    pub error: Option<String>,
    /// RFC 3339; null if it never started.
    pub started_at: Option<String>,
    /// RFC 3339; null while it runs.
    pub ended_at: Option<String>,
    /// The attempt whose agent session or commit it went on from.
    pub resumed_from: Option<u32>,
    /// Whether it was the escalated one.
    pub escalated: bool,
    /// Tokens and cost.
    pub usage: Usage,
}

/// `show --json`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct ShowView {
    /// The unit.
    #[serde(flatten)]
    pub unit: UnitView,
    /// Its tasks: id, title, status, optional.
    pub tasks: Vec<TaskView>,
    /// Its attempts.
    pub attempt_list: Vec<AttemptView>,
    /// Its findings, all rounds.
    pub findings: Vec<FindingView>,
    /// Its open decisions.
    pub decisions: Vec<DecisionView>,
    /// Notices about its attempts, oldest first (last 20).
    #[serde(default)]
    pub notices: Vec<String>,
}

/// A task of a unit with its state.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct TaskView {
    /// Id.
    pub id: String,
    /// Title.
    pub title: String,
    /// Its state.
    pub status: Word<UnitState>,
    /// Whether it is optional.
    pub optional: bool,
    /// Why it failed.
    pub error: Option<String>,
}

/// The three mirror files as text.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct MirrorView {
    /// Run id; empty before there is a run.
    pub run: String,
    /// `TASKS_PARSED.json`.
    pub tasks_parsed: String,
    /// `AGENT_STATE.json`.
    pub agent_state: String,
    /// `PROJECT_PULSE.md`; a person's own lines in `existing` are kept.
    pub pulse: String,
    /// A person's lines in it that have the form of ours.
    #[serde(default)]
    pub pulse_kept: Vec<String>,
    /// Why the pulse was left as it stands, if it was.
    #[serde(default)]
    pub pulse_problem: Option<String>,
}

/// `diff`: text of a unified diff.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct DiffView {
    /// From.
    pub base: String,
    /// To.
    pub commit: String,
    /// Unified diff, at most a few MiB.
    pub text: String,
    /// Whether it was cut.
    pub truncated: bool,
}

/// `show --prompt --json`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct PromptView {
    /// Run id.
    pub run: String,
    /// Unit id; `-` = the run's own seats.
    pub unit: String,
    /// Number of the attempt.
    pub attempt: u32,
    /// What it was asked to do.
    pub role: Word<Role>,
    /// What its agent was told, exactly as it was sent.
    pub prompt: String,
}

/// `explain --json`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct ExplainView {
    /// Run id.
    pub run: String,
    /// Unit id.
    pub unit: String,
    /// Its state.
    pub status: Word<UnitState>,
    /// What it waits for; empty = nothing but its own live attempt or nothing at all.
    pub waiting: Vec<WaitView>,
    /// In one or a few sentences.
    pub text: String,
}
