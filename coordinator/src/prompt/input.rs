//! What a prompt is made of, as plain data: no state, no files, no wording. Texts are as they were read; cleaning and bounds come when they are
//! rendered.

use roundtable_shared::{ChangedPath, Severity, TurnData};
use serde::Serialize;

use super::input_of_run::{AssignBrief, OrchestrateBrief};
use super::input_of_unit::UnitBrief;

/// All a prompt says.
#[derive(Clone, PartialEq, Debug)]
pub struct PromptInput {
    /// The structured half, sent beside the prompt; its tag is the prompt's last line.
    pub turn: TurnData,
    /// By role.
    pub body: PromptBody,
}

/// The role's own part.
#[derive(Clone, PartialEq, Debug)]
pub enum PromptBody {
    /// Implement.
    Implement(Box<WorkBrief>),
    /// Fix.
    Fix(Box<WorkBrief>),
    /// Review.
    Review(Box<ReviewBrief>),
    /// Assign.
    Assign(Box<AssignBrief>),
    /// Orchestrate.
    Orchestrate(Box<OrchestrateBrief>),
    /// A check runs a command; nobody is prompted.
    Check,
}

/// What implement and fix are told.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct WorkBrief {
    /// The unit.
    pub unit: UnitBrief,
    /// The worktree already holds the work of this earlier attempt.
    pub continues_attempt: Option<u32>,
    /// The agent's own conversation is resumed: it knows what it did.
    pub same_session: bool,
    /// How the last attempt ended, if it failed.
    pub last_failure: Option<String>,
    /// It may end without changing anything.
    pub may_be_empty: bool,
    /// The command that is run on the result.
    pub check_command: Option<String>,
    /// What surrounds the agent.
    pub place: PlaceBrief,
    /// What units before it left for it.
    pub delivered: Vec<DeliveredBrief>,
    /// Every other unit of the run.
    pub others: Vec<OtherBrief>,
    /// What completed units found out about files near this one's.
    pub learnings: Vec<LearningBrief>,
    /// Why it was sent back other than by findings.
    pub evidence: EvidenceBrief,
    /// The fix, for that role.
    pub fix: Option<FixBrief>,
}

/// What an agent cannot see of where it works.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct PlaceBrief {
    /// Whether its commands reach the network.
    pub network: Network,
    /// Whether it can run commands.
    pub shell: Shell,
    /// The command that has prepared the worktree.
    pub setup: Option<String>,
}

/// Whether commands reach the network.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// A sandbox keeps them from it, unless the user opened it.
    Closed,
    /// As far as the machine does.
    Open,
    /// Nothing is known of that backend.
    #[default]
    Unknown,
}

/// Whether a turn's agent can run commands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Shell {
    /// It can.
    Yes,
    /// Its CLI offers none in this role.
    No,
    /// Nothing is known of that backend.
    #[default]
    Unknown,
}

/// What a unit before this one left for it.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct DeliveredBrief {
    /// Id.
    pub id: String,
    /// Title.
    pub title: String,
    /// What its agent said it did.
    pub summary: String,
    /// What it changed.
    pub files: Vec<String>,
}

/// Something another unit's agent found out.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct LearningBrief {
    /// The unit.
    pub unit: String,
    /// In a sentence.
    pub text: String,
}

/// Another unit of the run, in a line.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct OtherBrief {
    /// Id.
    pub id: String,
    /// Title.
    pub title: String,
    /// How it stands, in words.
    pub state: String,
    /// It waits for this one.
    pub depends_on_this: bool,
}

/// Why work was sent back, beside findings.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct EvidenceBrief {
    /// The tip moved under it and both changed the same lines.
    pub conflict: Option<ConflictBrief>,
    /// Paths it changed while another unit held them, now its own.
    pub contended: Vec<RefusedPath>,
    /// Paths it may not change, changed all the same.
    pub breach: Vec<RefusedPath>,
    /// The check was red.
    pub check: Option<CheckBrief>,
}

/// A merge conflict.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct ConflictBrief {
    /// Paths in conflict.
    pub paths: Vec<String>,
    /// What git said.
    pub evidence: String,
    /// The worktree has the markers.
    pub markers: bool,
}

/// A path and why it was refused.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct RefusedPath {
    /// The path.
    pub path: String,
    /// Why.
    pub why: String,
}

/// How the check command ended.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct CheckBrief {
    /// The command.
    pub command: String,
    /// Whether it passed.
    pub passed: bool,
    /// Its exit code, if it exited.
    pub exit_code: Option<i32>,
    /// What it printed; the end counts.
    pub output: String,
}

/// Which fix, and what it must close.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct FixBrief {
    /// From 1.
    pub attempt: u32,
    /// Of how many.
    pub attempts_max: u32,
    /// The work was taken from its owner.
    pub escalated: bool,
    /// That owner.
    pub original_agent: Option<String>,
    /// Findings that must be closed.
    pub findings: Vec<FindingBrief>,
    /// All rounds so far, for an escalated fix.
    pub history: Vec<HistoryBrief>,
    /// What was said of the attempts so far, for an escalated fix.
    pub earlier: Vec<EarlierBrief>,
}

/// What the agent of an earlier attempt said it did.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct EarlierBrief {
    /// The attempt.
    pub attempt: u32,
    /// What it was asked to do.
    pub role: String,
    /// Who it was.
    pub backend: String,
    /// In its own words.
    pub summary: String,
}

/// A finding.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct FindingBrief {
    /// By which it is answered where it names no issue.
    pub id: String,
    /// Who found it.
    pub reviewer: String,
    /// In which round.
    pub round: u32,
    /// How bad.
    pub severity: Severity,
    /// In a sentence.
    pub summary: String,
    /// At length.
    pub details: Option<String>,
    /// One by one.
    pub issues: Vec<IssueBrief>,
    /// What the owner said to it, oldest first.
    pub answers: Vec<AnswerBrief>,
}

/// The owner's answer to a finding.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct AnswerBrief {
    /// The attempt that gave it.
    pub attempt: u32,
    /// How it was fixed.
    pub fixed: Option<String>,
    /// Why it was not.
    pub why_not: Option<String>,
}

/// One issue of a finding.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct IssueBrief {
    /// By which it is answered; it stays over the rounds.
    pub id: String,
    /// How bad.
    pub severity: Severity,
    /// What.
    pub description: String,
    /// `file:line`, as far as named.
    pub place: Option<String>,
    /// The command that shows it, with how it ended.
    pub reproduced: Option<String>,
    /// What the owner said to it, oldest first.
    pub answers: Vec<AnswerBrief>,
}

/// A round that sent the unit back.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct HistoryBrief {
    /// 0 = first review, k = after fix k.
    pub attempt: u32,
    /// Highest severity.
    pub severity: Severity,
    /// What was found.
    pub findings: Vec<HistoryFindingBrief>,
}

/// A finding as history keeps it.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct HistoryFindingBrief {
    /// How bad.
    pub severity: Severity,
    /// In a sentence.
    pub summary: String,
    /// At length.
    pub details: Option<String>,
    /// One by one.
    pub issues: Vec<IssueBrief>,
}

/// What a reviewer is told.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct ReviewBrief {
    /// The unit.
    pub unit: UnitBrief,
    /// `review-<task>-<n>`.
    pub reviewer: String,
    /// Which reviewer of the round, from 1.
    pub number: u32,
    /// Reviewers of the round.
    pub reviewers: u32,
    /// Round, from 1.
    pub round: u32,
    /// Only what is reproduced or points at a line sends the work back.
    pub grounded_only: bool,
    /// Security brief.
    pub security: bool,
    /// Base commit.
    pub base: String,
    /// Commit under review.
    pub commit: String,
    /// What it changes.
    pub files: Vec<ChangedPath>,
    /// Unified diff base..commit, as far as it was read.
    pub diff: String,
    /// Size of the whole diff, bytes.
    pub diff_bytes: u64,
    /// How the unit's last check ended: it ran on an earlier state of the work.
    pub check: Option<CheckBrief>,
    /// What surrounds the reviewer.
    pub place: PlaceBrief,
    /// What the author says of the work.
    pub author: AuthorBrief,
    /// Findings of the round before, which sent it back.
    pub earlier: Vec<FindingBrief>,
}

/// What the author of the work says of it.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct AuthorBrief {
    /// What was done.
    pub summary: String,
    /// Commands it says it ran, each with how that ended.
    pub evidence: Vec<String>,
}
