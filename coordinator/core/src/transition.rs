//! Durable facts: what the log holds, one row each. They say what happened, never what should; replay decides nothing again.
//!
//! Rows live for ever: variants and fields are added (with defaults), never renamed or removed. `VERSION` is written beside each row.

mod access;
mod kind;

pub use access::{PeerJoined, TokenCreated};

use roundtable_shared::answer::Proposal;
use roundtable_shared::spec::{Plan as Outline, Spec};
use roundtable_shared::time::WallMs;
use roundtable_shared::{
    AgentSessionId, Answer, Assignment, AttemptKey, AttemptNo, BackendName, BlockedItem, CommitId, Criticality, Decision, DecisionId,
    DeferredFix, FinalReport, Finding, LeaseRef, OutcomeClass, PeerName, ReviewHistoryEntry, Role, RunId, RunOptions, Seat, Severity,
    SubtaskState, TaskId, TokenId, UnitId, UnitState, Usage, WorkerId,
};
use serde::{Deserialize, Serialize};

use crate::command::{Phase, RunSource};
pub use crate::state::Granted;
use crate::state::{
    AttemptEnd, BaseCheck, Breach, Candidate, FixCause, InFlight, KeptAssignment, Learning, LostCause, Merging, Misfit, ParkKey,
    PlanSource, Release, Remains, Rest, Saved, Subtask, Work, WorkReport,
};

/// Version of the rows' form.
pub const VERSION: u32 = 1;

/// One fact, of one run or (parks, `pause --all`, who may come in) of the fleet.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Transition {
    /// The run it belongs to, if one.
    pub run: Option<RunId>,
    /// When it was decided.
    pub at: WallMs,
    /// What happened.
    pub fact: Fact,
}

/// What happened. `unit: None` in facts about attempts means one of the run's own seats.
#[expect(missing_docs, reason = "fields bear the names, and mean what the docs say, of the parts of the state they set")]
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// A run begins.
    RunCreated(Box<RunCreated>),
    /// The assignment agent answered (kept for the cache).
    AssignAnswered { backend: BackendName, model: String, proposals: Vec<Proposal> },
    /// The assignment agent's turn was of no use.
    AssignFailed { backend: BackendName, kind: AssignFailure, problems: Vec<String> },
    /// Owners, manifests and order are fixed; units may be granted.
    UnitsPlanned { source: PlanSource, assignments: Vec<Assignment>, order: Vec<UnitId> },
    /// The orchestrator agent wants these units, none of which has started, assigned anew; none = that is over.
    ReassignmentSet { units: Vec<UnitId> },
    /// One unit's assignment changed.
    UnitReassigned { assignment: Box<Assignment>, by: String },
    /// Whoever works on a unit must have these labels.
    RequirementsSet { unit: UnitId, requires: Vec<String>, by: String },
    /// Nothing more is granted to the run.
    RunPaused { note: String, by: String },
    /// Grants go on.
    RunResumed { by: String },
    /// Stopped for now.
    RunHalted { reason: String, by: String },
    /// Nothing of it is live, and it waits for that since then; `None` = it goes on. Told only when it changes.
    RunRests { on: Option<Rest>, since: WallMs },
    /// Attached to again: a halt is over, and these options hold (the earlier ones where there are none).
    RunAttached { embedded: bool, options: Option<Box<RunOptions>> },
    /// It is to end before its units have.
    RunEnding { reason: String, by: String },
    /// All units are at their end; the closing commit is being made.
    RunClosing,
    /// The closing commit.
    RunClosed { commit: Option<CommitId>, ticked: Vec<UnitId> },
    /// It is over.
    RunEnded { exit: u8, reason: String },
    /// The user's branch was moved.
    RunAccepted { branch: String, commit: CommitId, by: String },
    /// Its files go: events, prompts, refs and the objects only they keep. The rows of the log stay, and this tells what there was.
    RunRemoved { by: String, remains: Box<Remains> },
    /// Something was said once.
    NoticeSaid { text: String },
    /// A person is asked.
    DecisionRaised { decision: Box<Decision> },
    /// A person answered.
    DecisionAnswered { id: DecisionId, answer: Box<Answer> },
    /// Nothing is left to ask.
    DecisionWithdrawn { id: DecisionId, reason: String },
    /// A backend plays for another that is not offered.
    BackendSubstituted { wanted: BackendName, used: BackendName },
    /// A person put a backend in another's place.
    BackendReplaced { wanted: BackendName, used: BackendName },
    /// Its absence is not asked about before that time.
    NoWorkerSnoozed { backend: BackendName, until: WallMs },
    /// How the check of the base stands.
    BaseChecked { result: BaseCheck },
    /// The orchestrator agent is due.
    ConsultationWanted { why: String, at_end: bool },
    /// It answered.
    ConsultationAnswered { notes: String, idle: u32 },
    /// Its turn was of no use; `again`: asked once more at once.
    ConsultationFailed { reason: String, again: bool },
    /// It is not consulted any more.
    OrchestratorDropped { reason: String },
    /// Phases wait for its next answer, at most until then; none = all go on.
    PhasesHeld { phases: Vec<Phase>, until: WallMs },
    /// Manual mode: a phase begins.
    StepOpened { phase: Phase, units: Vec<UnitId> },
    /// A unit has had its turn in the phase.
    StepUnitDone { unit: UnitId },
    /// The phase is over.
    StepClosed,

    /// A seat is filled.
    LeaseGranted(Box<Granted>),
    /// The agent runs.
    AttemptStarted { unit: Option<UnitId>, attempt: AttemptNo },
    /// Its worker handed in what it has done so far.
    AttemptSaved { unit: Option<UnitId>, attempt: AttemptNo, saved: Box<Saved> },
    /// Its outcome is accepted (I2, I3).
    AttemptEnded { unit: Option<UnitId>, attempt: AttemptNo, result: Box<AttemptResult> },
    /// It ended without an outcome; what was handed in on the way is gone on from.
    AttemptLost { unit: Option<UnitId>, attempt: AttemptNo, cause: LostCause, class: Option<OutcomeClass>, reason: String },
    /// Its outcome came too late and decides nothing; what it left is kept, and gone on from where nothing newer is there.
    AttemptLate {
        unit: Option<UnitId>,
        attempt: AttemptNo,
        #[serde(default)]
        commit: Option<CommitId>,
    },

    /// A unit goes to another state.
    UnitMoved { unit: UnitId, to: UnitState, reason: Option<String> },
    /// A subtask goes to another state.
    SubtaskMoved { unit: UnitId, task: TaskId, to: SubtaskState, error: Option<String> },
    /// What the agent says of its work.
    WorkReported { unit: UnitId, report: Box<WorkReport> },
    /// Its work lies within the manifest and goes on to review.
    WorkAccepted { unit: UnitId, work: Work, changed: Vec<String> },
    /// A commit other than the last attempt's is what counts (merged with the tip, a person's).
    WorkReplaced { unit: UnitId, work: Work },
    /// Paths are its own from now on.
    ManifestClaimed { unit: UnitId, paths: Vec<String> },
    /// Planned without a manifest: what it changed is its manifest from now on.
    ManifestSettled { unit: UnitId, paths: Vec<String> },
    /// It waits for paths others hold.
    ContendedSet { unit: UnitId, paths: Vec<String> },
    /// It waits for them no more.
    ContendedFreed { unit: UnitId, paths: Vec<String> },
    /// Its work went outside its manifest; `None` = put right.
    BreachRecorded { unit: UnitId, breach: Option<Breach> },
    /// A merge with the tip is owed; `None` = done.
    MergeSet { unit: UnitId, merging: Option<Merging> },
    /// A review round begins.
    RoundOpened { unit: UnitId, reviewers: u32 },
    /// A reviewer's finding.
    FindingRecorded { unit: UnitId, finding: Box<Finding> },
    /// A reviewer was of no use.
    ReviewFailed { unit: UnitId, seat: Seat, worker: WorkerId, backend: BackendName },
    /// A round is consolidated.
    RoundConsolidated { unit: UnitId, report: Box<FinalReport> },
    /// A round that sends it back.
    HistoryAdded { unit: UnitId, entry: Box<ReviewHistoryEntry> },
    /// It cannot go on by itself.
    BlockedItemAdded { item: Box<BlockedItem> },
    /// It can.
    BlockedItemCleared { unit: UnitId },
    /// Why a fix is owed; `None` = none is.
    FixSet { unit: UnitId, cause: Option<FixCause> },
    /// A fix went (or goes) elsewhere.
    Escalated { unit: UnitId },
    /// Something is counted.
    Counted { unit: UnitId, what: Counter },
    /// A decision was answered: failures count from 0.
    CountersReset { unit: UnitId, fixes: bool },
    /// Its agent says that it needs another unit's work first: from here on it depends on that unit.
    DependencyFound { unit: UnitId, on: UnitId },
    /// Nothing is granted to it before then.
    BackoffSet { unit: UnitId, until: Option<WallMs>, avoid: Option<WorkerId> },
    /// How it leaves `blocked`.
    ReleaseSet { unit: UnitId, release: Option<Release> },
    /// It joins the train.
    IntegrationStarted { flight: Box<InFlight> },
    /// Its commit on the one ahead.
    CandidatePrepared { unit: UnitId, candidate: Candidate },
    /// Its work does not go onto what is ahead.
    CandidateMisfits { unit: UnitId, misfit: Misfit },
    /// A check of its candidate ended: green, or the end of a red one's output.
    CandidateChecked { unit: UnitId, red: Option<String> },
    /// It is checked without those that were integrated since the train started, on that commit.
    AloneStarted { unit: UnitId, tip: CommitId },
    /// What comes of that.
    AlonePrepared { unit: UnitId, commit: CommitId },
    /// The branch may move from here on, past this unit and all ahead of it.
    IntegrationIntended { unit: UnitId },
    /// It leaves the train, and those behind are prepared again; `judged`: for what its own candidate is.
    IntegrationDropped {
        unit: UnitId,
        reason: String,
        #[serde(default)]
        judged: bool,
    },
    /// The branch has moved (I1).
    Integrated { unit: UnitId, commit: CommitId, changed: Vec<String> },
    /// Nothing to integrate; its box is ticked in the next commit.
    CompletedWithoutChange { unit: UnitId },
    /// A minor issue is left for later.
    DeferredFixAdded { fix: Box<DeferredFix> },
    /// Something reusable.
    LearningsAdded { learnings: Vec<Learning> },
    /// Carried over from mirror files.
    UnitImported { unit: UnitId, import: Box<UnitImport> },

    /// A provider refused: nothing is granted to that backend, account and model until then.
    BackendParked {
        park: ParkKey,
        until: WallMs,
        known: bool,
        reason: String,
        #[serde(default)]
        worker: Option<WorkerId>,
        #[serde(default)]
        step: u32,
    },
    /// Its probe is being served: grants go on.
    BackendAnswered { park: ParkKey },
    /// It works again.
    BackendUnparked { park: ParkKey },
    /// `pause --all`.
    AllPaused { note: String, by: String },
    /// `resume --all`.
    AllResumed { by: String },
    /// A person wants nothing more granted to that worker, however often it starts.
    WorkerDrained { worker: WorkerId, by: String },
    /// It gets work again.
    WorkerUndrained { worker: WorkerId, by: String },
    /// An assignment agent was asked before any run: the run that follows takes its answer.
    AssignmentKept { kept: Box<KeptAssignment> },
    /// Everything before this was taken over from a backup of that store, which ended with that row, into a store of another name. Nothing follows for the
    /// state: leases are lost or kept as their workers say.
    StoreRestored { store: String, through_seq: u64, head: String },
    /// Somebody may come in by it.
    TokenCreated(Box<TokenCreated>),
    /// Nobody may any more.
    TokenRevoked { id: TokenId, by: String },
    /// Somebody came in; one use of the token is spent with this.
    PeerJoined(Box<PeerJoined>),
    /// A worker of the coordinator's own user has this name from here on, whether it is there or not.
    PeerEnrolled { peer: PeerName },
    /// It has renewed its certificate; one in a month is recorded.
    PeerRenewed { peer: PeerName },
    /// Certificates that this name has so far are refused from here on. `by` is empty where an identity was to end with its worker.
    PeerRevoked { peer: PeerName, by: String, reason: String },
}

/// A run begins.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct RunCreated {
    /// Where it comes from.
    pub source: RunSource,
    /// Who submitted it.
    pub by: String,
    /// What it was asked to do.
    pub options: RunOptions,
    /// The spec's texts.
    pub spec: Spec,
    /// What its `tasks.md` was read as.
    pub outline: Outline,
    /// Hash of what an assignment depends on.
    pub inputs_digest: String,
    /// The commit it starts from.
    pub base: CommitId,
    /// The user's branch.
    pub started_branch: Option<String>,
    /// `tasks.md`, if boxes are ticked in commits.
    pub tick_path: Option<String>,
    /// The spec's own files.
    pub spec_paths: Vec<String>,
    /// Mirror files.
    pub mirror_paths: Vec<String>,
    /// The state it went on from, if one.
    #[serde(default)]
    pub imported: Option<String>,
    /// Its units, in document order.
    pub units: Vec<NewUnit>,
}

/// A unit as the spec has it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct NewUnit {
    /// Its id.
    pub id: UnitId,
    /// Its title.
    pub title: String,
    /// Whether it is optional.
    pub optional: bool,
    /// Whether it depends on everything before it.
    pub checkpoint: bool,
    /// Whether it runs.
    pub runs: bool,
    /// The plan says it is done.
    pub completed: bool,
    /// Lines of details.
    pub details: u32,
    /// Explicit dependencies that run.
    pub depends_on: Vec<UnitId>,
    /// Implied ones of a checkpoint.
    pub checkpoint_on: Vec<UnitId>,
    /// Its tasks without subtasks.
    pub subtasks: Vec<Subtask>,
    /// Its writes by the spec, normalised.
    pub writes: Vec<String>,
    /// Its reads by the spec, normalised.
    pub reads: Vec<String>,
    /// Labels that whoever works on it must have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<String>,
}

/// How an assignment agent's turn failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AssignFailure {
    /// Its answer could not be used, or it failed.
    Answer,
    /// The provider refused.
    Provider,
    /// It was lost.
    Lost,
}

/// An accepted outcome.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct AttemptResult {
    /// How it ended.
    pub end: AttemptEnd,
    /// Who pays.
    pub class: Option<OutcomeClass>,
    /// What failed, for a person.
    pub error: Option<String>,
    /// The CLI's exit code.
    pub exit_code: Option<i32>,
    /// Digest of the outcome.
    pub digest: String,
    /// What it left.
    pub commit: Option<CommitId>,
    /// The CLI's conversation.
    pub agent_session: Option<AgentSessionId>,
    /// Tokens and cost.
    pub usage: Usage,
    /// How many events it had; 0 also in rows of releases that did not say.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub events: u64,
}

/// What needs no room in a row.
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What is counted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Counter {
    /// An implement ended with class unit.
    UnitFailure,
    /// A fix ended with an answer or with class unit.
    Fix,
    /// A turn of that role repeats without any of the above.
    Repeated(Role),
    /// Work outside the manifest.
    Breach,
    /// An end for infra reasons; costs budget.
    Infra,
    /// A worker was lost while running it.
    LostWorker(WorkerId),
    /// A hand-back; costs nothing.
    HandBack,
    /// A red check of the candidate, as releases before the train counted it; the others say `CandidateChecked`.
    RedCheck,
}

/// What a unit brings along from mirror files.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct UnitImport {
    /// State it begins in.
    pub state: UnitState,
    /// Why it is skipped or cancelled.
    pub reason: Option<String>,
    /// Subtasks that are done.
    pub completed: Vec<TaskId>,
    /// Fixes used.
    pub fix_attempts: u32,
    /// Whether it was escalated.
    pub escalated: bool,
    /// Owner before that.
    pub original_agent: Option<BackendName>,
    /// Findings of its last round.
    pub findings: Vec<Finding>,
    /// Its work, as far as it is in the base.
    pub work: Option<Work>,
    /// Criticality, if it had one.
    pub criticality: Option<Criticality>,
    /// What it was assigned beside owner and window.
    #[serde(default)]
    pub assignment: Option<Proposal>,
    /// What it changed before this run.
    #[serde(default)]
    pub files: Vec<String>,
    /// Rounds that sent it back.
    #[serde(default)]
    pub history: Vec<ReviewHistoryEntry>,
    /// Consolidations of its rounds.
    #[serde(default)]
    pub final_reports: Vec<FinalReport>,
    /// Severity of the last one.
    #[serde(default)]
    pub last_severity: Option<Severity>,
    /// What its agent last said of its work.
    #[serde(default)]
    pub report: Option<WorkReport>,
    /// When it was completed.
    #[serde(default)]
    pub completed_at: Option<WallMs>,
}

impl Transition {
    /// The lease this grants, if it does, and to whom.
    pub fn granted(&self) -> Option<(LeaseRef, &Granted)> {
        let (Some(run), Fact::LeaseGranted(granted)) = (&self.run, &self.fact) else { return None };
        Some((granted.lease(run), granted))
    }

    /// The attempt this ends, if it does.
    pub fn ended(&self) -> Option<AttemptKey> {
        let run = self.run.as_ref()?;
        match &self.fact {
            Fact::AttemptEnded { unit, attempt, .. } | Fact::AttemptLost { unit, attempt, .. } => {
                Some(AttemptKey { run: run.clone(), unit: unit.clone(), attempt: *attempt })
            }
            _ => None,
        }
    }

    /// The word of the row's `kind` column and of `events --jsonl`.
    pub fn kind(&self) -> &'static str {
        self.fact.kind()
    }
}
