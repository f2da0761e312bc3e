//! How much of each text a prompt carries. Their sum stays below the largest control message, which brings the prompt to its worker.

use serde::Serialize;

/// Longest prompt, bytes; the bounds below add up to less.
pub const PROMPT_BYTES_MAX: usize = 720 << 10;

/// Bytes unless said otherwise; templates see these as `BOUNDS`.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Bounds {
    /// A title, reason or other single line.
    pub line: usize,
    /// Details of the unit as a whole.
    pub details: usize,
    /// Details of one step.
    pub step: usize,
    /// All steps.
    pub steps: usize,
    /// All linked requirements.
    pub requirements: usize,
    /// The design, for the agent that assigns.
    pub design: usize,
    /// Parts of the design that speak of the unit.
    pub design_near: usize,
    /// Its other parts.
    pub design_rest: usize,
    /// One file of conventions.
    pub convention: usize,
    /// Files of conventions (number).
    pub conventions: usize,
    /// Entries of a manifest list, together.
    pub paths: usize,
    /// The diff under review.
    pub diff: usize,
    /// The list of changed files.
    pub changed: usize,
    /// Details of one finding.
    pub finding: usize,
    /// Description of one issue.
    pub issue: usize,
    /// Issues of one finding (number).
    pub issues: usize,
    /// All findings.
    pub findings: usize,
    /// Details of one finding of the history.
    pub history_finding: usize,
    /// The whole history.
    pub history: usize,
    /// What units before left, together.
    pub delivered: usize,
    /// What one of them says it did.
    pub delivered_summary: usize,
    /// The files one of them changed.
    pub delivered_files: usize,
    /// A title in a list of many.
    pub title: usize,
    /// The list of the other units.
    pub others: usize,
    /// What git said about a conflict.
    pub evidence: usize,
    /// Output of a check.
    pub check_output: usize,
    /// Reasons why an answer was refused (number).
    pub refused: usize,
    /// Steps shown per unit to the assignment agent (number).
    pub assign_steps: usize,
    /// Details of a unit or of one of its steps, as the assignment agent sees them.
    pub assign_details: usize,
    /// Paths of one kind that a unit's text names.
    pub assign_named: usize,
    /// All units shown to the assignment agent.
    pub assign_units: usize,
    /// The repository's file list.
    pub files: usize,
    /// The run's state shown to the orchestrator.
    pub state: usize,
    /// Tasks shown to the orchestrator.
    pub tasks: usize,
    /// The pulse shown to the orchestrator.
    pub pulse: usize,
    /// Transitions shown to the orchestrator.
    pub events: usize,
    /// Longest learning (characters).
    pub learning_chars: usize,
}

/// The bounds in force.
pub(super) const BOUNDS: Bounds = Bounds {
    line: 400,
    details: 32 << 10,
    step: 4 << 10,
    steps: 96 << 10,
    requirements: 48 << 10,
    design: 64 << 10,
    design_near: 32 << 10,
    design_rest: 24 << 10,
    convention: 16 << 10,
    conventions: 4,
    paths: 16 << 10,
    diff: 200 << 10,
    changed: 16 << 10,
    finding: 8 << 10,
    issue: 2 << 10,
    issues: 30,
    findings: 96 << 10,
    history_finding: 4 << 10,
    history: 64 << 10,
    delivered: 12 << 10,
    delivered_summary: 1 << 10,
    delivered_files: 1 << 10,
    title: 120,
    others: 8 << 10,
    evidence: 16 << 10,
    check_output: 16 << 10,
    refused: 50,
    assign_steps: 40,
    assign_details: 3 << 10,
    assign_named: 2 << 10,
    assign_units: 320 << 10,
    files: 128 << 10,
    state: 192 << 10,
    tasks: 96 << 10,
    pulse: 32 << 10,
    events: 16 << 10,
    learning_chars: roundtable_shared::limits::LEARNING_CHARS_MAX,
};
