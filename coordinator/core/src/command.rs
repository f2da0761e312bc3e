//! What can be asked of the core. Each command comes from one place: a service, the driver's clock, or the shell's answer to an effect.

use roundtable_shared::answer::{CheckedAssignment, OrchestrateAnswer, Proposal, ReviewAnswer, WorkAnswer};
use roundtable_shared::spec::{Plan, Spec};
use roundtable_shared::{
    AttemptFacts, BackendName, BackendOffer, ChangedPath, Choice, CommitId, Criticality, DecisionId, Dependants, HeldLease, Introduction,
    LeaseRef, Mode, RunId, RunOptions, TaskId, UnitId, WorkerId,
};

use crate::state::{KeptAssignment, Saved};

mod access;
mod import;

pub use crate::now::Now;
pub use crate::state::{Phase, RunSource};
pub use access::{AccessCommand, Joining, NewToken, Presented};
pub(crate) use import::HUMAN;
pub use import::{Imported, ImportedDecision, ImportedUnit};

/// A request to the core.
#[derive(Clone, PartialEq, Debug)]
pub enum Command {
    /// Start a run (or find the one this resumes: the driver asks `find_resumable` first).
    Submit(Box<Submit>),
    /// An act of a person.
    Operate(Operate),
    /// Who may come in.
    Access(AccessCommand),
    /// A worker's session began.
    WorkerHello(Box<WorkerHello>),
    /// A worker's stream ended. Its leases stay until the worker is back or silent too long.
    WorkerGone {
        /// The worker.
        worker: WorkerId,
        /// The session that ended; an older one is ignored.
        session: u64,
    },
    /// A worker leaves for good: what it still holds is handed back.
    WorkerGoodbye {
        /// The worker.
        worker: WorkerId,
        /// Its session.
        session: u64,
    },
    /// A worker takes nothing more, and leaves when what it holds has ended.
    WorkerDraining {
        /// The worker.
        worker: WorkerId,
        /// Its session.
        session: u64,
    },
    /// Free capacity of a pool, absolute.
    Want {
        /// The worker.
        worker: WorkerId,
        /// Its session.
        session: u64,
        /// The pool.
        pool: String,
        /// Attempts it can take.
        credits: u32,
    },
    /// A backend's offer changed (logged in or out).
    BackendChanged {
        /// The worker.
        worker: WorkerId,
        /// Its session.
        session: u64,
        /// The new offer.
        offer: BackendOffer,
    },
    /// A sign of life, with all the worker holds.
    Heartbeat {
        /// The worker.
        worker: WorkerId,
        /// Its session.
        session: u64,
        /// What it holds.
        held: Vec<HeldLease>,
    },
    /// The worker took the lease.
    LeaseAccepted {
        /// The worker.
        worker: WorkerId,
        /// The lease.
        lease: LeaseRef,
    },
    /// The worker prepares (worktree, setup): a sign of progress.
    LeasePreparing {
        /// The worker.
        worker: WorkerId,
        /// The lease.
        lease: LeaseRef,
    },
    /// The agent runs.
    LeaseStarted {
        /// The worker.
        worker: WorkerId,
        /// The lease.
        lease: LeaseRef,
    },
    /// The model has answered in it: its provider serves.
    LeaseServed {
        /// The worker.
        worker: WorkerId,
        /// The lease.
        lease: LeaseRef,
    },
    /// What it has done so far came, and is kept.
    WorkSaved {
        /// The worker.
        worker: WorkerId,
        /// The lease.
        lease: LeaseRef,
        /// What.
        saved: Saved,
    },
    /// Nothing of the agent runs any more; its work is being handed in.
    LeaseEnding {
        /// The worker.
        worker: WorkerId,
        /// The lease.
        lease: LeaseRef,
    },
    /// The worker gives it back unrun or undone.
    HandBack {
        /// The worker.
        worker: WorkerId,
        /// The lease.
        lease: LeaseRef,
        /// For a person.
        reason: String,
        /// The worker is at fault: counts as infra.
        fault: bool,
    },
    /// An attempt ended; its commit (if any) has been received and looked at.
    Report(Box<Report>),
    /// The shell's answer to an effect.
    Shell(ShellAnswer),
    /// Time passed.
    Tick,
}

/// What a run is made of.
#[derive(Clone, PartialEq, Debug)]
pub struct Submit {
    /// The id the run gets.
    pub run: RunId,
    /// Where it comes from.
    pub source: RunSource,
    /// The spec's texts, for prompts.
    pub spec: Spec,
    /// What its `tasks.md` was read as; stored too, so that a later parser changes nothing.
    pub outline: Plan,
    /// Hash of what an assignment depends on: tasks, design, file list. The same question is not asked twice.
    pub inputs_digest: String,
    /// Options.
    pub options: RunOptions,
    /// The commit it starts from.
    pub base: CommitId,
    /// The branch that was checked out, if one.
    pub started_branch: Option<String>,
    /// Keep an unfinished run of the same source and start another.
    pub fresh: bool,
    /// Whether `tasks.md` is tracked at the base and equals the submitted one: boxes are ticked in commits.
    pub tick_path: Option<String>,
    /// Repository-relative paths of the spec's own files (changes of agents to them are dropped).
    pub spec_paths: Vec<String>,
    /// Repository-relative paths of the mirror files, where they lie inside: never changes.
    pub mirror_paths: Vec<String>,
    /// State carried over by `import`.
    pub imported: Option<Box<Imported>>,
    /// Who submitted (identity of the certificate).
    pub by: String,
}

/// An act of a person on a run.
#[derive(Clone, PartialEq, Debug)]
pub struct Operate {
    /// The run; `None` = all (pause, resume).
    pub run: Option<RunId>,
    /// Who (identity of the certificate).
    pub by: String,
    /// What.
    pub act: Act,
}

/// Acts of a person.
#[derive(Clone, PartialEq, Debug)]
pub enum Act {
    /// Answer a decision.
    Decide {
        /// The decision.
        id: DecisionId,
        /// The choice.
        choice: Choice,
        /// What becomes of dependants, for skip.
        dependants: Dependants,
        /// For the record.
        note: Option<String>,
    },
    /// Change a unit's assignment; absent fields stay.
    Assign {
        /// The unit.
        unit: UnitId,
        /// New owner.
        owner: Option<BackendName>,
        /// New criticality.
        criticality: Option<Criticality>,
        /// New writes.
        writes: Option<Vec<String>>,
        /// New reads.
        reads: Option<Vec<String>>,
        /// New labels of whoever works on it.
        requires: Option<Vec<String>>,
    },
    /// Keep an assignment agent's answer for the run that is to come.
    KeepAssignment {
        /// It, with what it was asked about.
        kept: Box<KeptAssignment>,
    },
    /// Change assignments by a document: all of it, or nothing.
    AssignAll {
        /// What it says, one per unit.
        proposals: Vec<Proposal>,
    },
    /// The work seat again, counters at 0.
    Retry {
        /// The unit.
        unit: UnitId,
    },
    /// Go on without it.
    Skip {
        /// The unit.
        unit: UnitId,
        /// What becomes of dependants.
        dependants: Dependants,
    },
    /// End a unit and those that depend on it, or the whole run.
    Cancel {
        /// The unit; `None` = the run.
        unit: Option<UnitId>,
    },
    /// Grant nothing more.
    Pause {
        /// For the record.
        note: Option<String>,
    },
    /// Grant again.
    Resume,
    /// Manual mode: one phase.
    Step {
        /// The phase.
        phase: Phase,
    },
    /// The user's branch was moved.
    RecordAccept {
        /// Which branch.
        branch: String,
        /// To which commit.
        commit: CommitId,
    },
    /// Remove an ended run's files; what the log says of it stays.
    Remove {
        /// Also if it is complete and nobody has accepted its commits.
        force: bool,
    },
    /// `orchctl run` was interrupted or asked to stop: halt with exit 1, resumable (`Submit` again resumes).
    Halt {
        /// For the record.
        reason: String,
    },
    /// An unfinished run is attached to again: clears a halt.
    Attach {
        /// What was given this time; of it, what does not shape the plan holds from here on.
        options: Box<RunOptions>,
        /// The mode, where one was asked for.
        mode: Option<Mode>,
    },
    /// Grant nothing more to a worker.
    Drain {
        /// The worker.
        worker: WorkerId,
    },
    /// Grant to it again.
    Undrain {
        /// The worker.
        worker: WorkerId,
    },
}

/// A worker's hello.
#[derive(Clone, PartialEq, Debug)]
pub struct WorkerHello {
    /// The worker, from its certificate.
    pub worker: WorkerId,
    /// Number of this stream, given by the service; greater than any before.
    pub session: u64,
    /// What it says of itself.
    pub introduction: Introduction,
}

/// How an attempt ended, with what the shell found in the received commit and the answer.
#[derive(Clone, PartialEq, Debug)]
pub struct Report {
    /// The worker.
    pub worker: WorkerId,
    /// The lease.
    pub lease: LeaseRef,
    /// `AttemptFacts::digest` of what was told, before anything of it was corrected.
    pub digest: String,
    /// The facts.
    pub facts: AttemptFacts,
    /// What base..commit changed (work seats with a commit only).
    pub changed: Vec<ChangedPath>,
    /// Lines the attempt added to `AGENTS.md` files that its manifest does not name: learnings.
    pub learned: Vec<String>,
    /// The parsed answer; `Err` with the reason if the role wants one and it cannot be used.
    pub answer: Result<RoleAnswer, String>,
}

/// The parsed final answer of a role.
#[derive(Clone, PartialEq, Debug)]
pub enum RoleAnswer {
    /// Implement, fix.
    Work(WorkAnswer),
    /// Review.
    Review(ReviewAnswer),
    /// Assign, judged against the plan.
    Assign(CheckedAssignment),
    /// Orchestrate.
    Orchestrate(OrchestrateAnswer),
    /// Check: the exit status says it all.
    None,
}

/// The shell's answers to effects. Each is idempotent: one that no longer fits the state is ignored.
#[derive(Clone, PartialEq, Debug)]
pub enum ShellAnswer {
    /// `Effect::Grant` could not be carried out (git, disk): the lease never reached the worker.
    GrantFailed {
        /// The lease.
        lease: LeaseRef,
        /// For a person.
        reason: String,
    },
    /// Answer to `Effect::PrepareIntegration`.
    IntegrationPrepared {
        /// The run.
        run: RunId,
        /// The unit.
        unit: UnitId,
        /// The tip it was prepared on.
        tip: CommitId,
        /// The attempt's commit it was prepared of.
        of: CommitId,
        /// Boxes it ticks.
        ticks: Vec<TaskId>,
        /// What came out.
        result: Prepared,
    },
    /// Answer to `Effect::MoveBranch`.
    BranchMoved {
        /// The run.
        run: RunId,
        /// Where the branch is now.
        tip: CommitId,
    },
    /// Answer to `Effect::MergeWithTip`.
    Merged {
        /// The run.
        run: RunId,
        /// The unit.
        unit: UnitId,
        /// The tip it was merged with.
        tip: CommitId,
        /// The attempt's commit that was merged.
        of: CommitId,
        /// What came out.
        result: Prepared,
    },
    /// Answer to `Effect::CloseRun`.
    RunClosed {
        /// The run.
        run: RunId,
        /// The closing commit; `None` if there was nothing to commit.
        commit: Option<CommitId>,
    },
    /// The repository lacks what the run stands on: it is halted, and no unit pays for it.
    RepositoryLost {
        /// The run.
        run: RunId,
        /// For a person: what is missing, and what to do.
        reason: String,
    },
    /// Refs that others had moved or deleted are back where the log has them.
    RefsRestored {
        /// The run.
        run: RunId,
        /// For a person: what was found, and what was done.
        text: String,
    },
    /// An effect failed (git, disk). Counts as internal/infra for whom it concerned; retried with backoff.
    Failed {
        /// The run.
        run: RunId,
        /// The unit, if one.
        unit: Option<UnitId>,
        /// For a person.
        reason: String,
    },
}

/// Outcome of a merge with the tip.
#[derive(Clone, PartialEq, Debug)]
pub enum Prepared {
    /// A commit on top of the tip (for `MergeWithTip`: a merge of the attempt with the tip).
    Clean {
        /// The commit.
        commit: CommitId,
        /// What it changes against the tip.
        changed: Vec<ChangedPath>,
    },
    /// It changes nothing against the tip.
    Empty,
    /// It conflicts.
    Conflict {
        /// Paths in conflict.
        paths: Vec<String>,
        /// What git said, bounded.
        evidence: String,
    },
}
