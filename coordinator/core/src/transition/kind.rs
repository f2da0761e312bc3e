//! The word of each fact, as rows and `events --jsonl` bear it. Words live for ever, like the facts.

use super::Fact;

macro_rules! kinds {
    ($($variant:ident => $text:literal),+ $(,)?) => {
        impl Fact {
            /// The word of the row's `kind` column.
            pub fn kind(&self) -> &'static str {
                match self { $(Self::$variant { .. } => $text),+ }
            }

            /// Whether this release knows a word of that column.
            pub fn is_kind(word: &str) -> bool {
                matches!(word, $($text)|+)
            }
        }
    };
}

kinds! {
    RunCreated => "run_created", AssignAnswered => "assign_answered", AssignFailed => "assign_failed", UnitsPlanned => "units_planned",
    ReassignmentSet => "reassignment_set", UnitReassigned => "unit_reassigned", RequirementsSet => "requirements_set", RunPaused => "run_paused", RunResumed => "run_resumed", RunHalted => "run_halted",
    RunRests => "run_rests", RunAttached => "run_attached", RunEnding => "run_ending", RunClosing => "run_closing", RunClosed => "run_closed", RunEnded => "run_ended",
    RunAccepted => "run_accepted", RunRemoved => "run_removed", NoticeSaid => "notice_said", DecisionRaised => "decision_raised", DecisionAnswered => "decision_answered",
    DecisionWithdrawn => "decision_withdrawn", BackendSubstituted => "backend_substituted", BackendReplaced => "backend_replaced",
    NoWorkerSnoozed => "no_worker_snoozed", BaseChecked => "base_checked", ConsultationWanted => "consultation_wanted",
    ConsultationAnswered => "consultation_answered", ConsultationFailed => "consultation_failed", OrchestratorDropped => "orchestrator_dropped",
    PhasesHeld => "phases_held", StepOpened => "step_opened", StepUnitDone => "step_unit_done", StepClosed => "step_closed",
    LeaseGranted => "lease_granted", AttemptStarted => "attempt_started", AttemptSaved => "attempt_saved", AttemptEnded => "attempt_ended",
    AttemptLost => "attempt_lost",
    AttemptLate => "attempt_late", UnitMoved => "unit_moved", SubtaskMoved => "subtask_moved", WorkReported => "work_reported",
    WorkAccepted => "work_accepted", WorkReplaced => "work_replaced", ManifestClaimed => "manifest_claimed", ManifestSettled => "manifest_settled",
    ContendedSet => "contended_set", ContendedFreed => "contended_freed", BreachRecorded => "breach_recorded", MergeSet => "merge_set",
    RoundOpened => "round_opened", FindingRecorded => "finding_recorded", ReviewFailed => "review_failed", RoundConsolidated => "round_consolidated",
    HistoryAdded => "history_added", BlockedItemAdded => "blocked_item_added", BlockedItemCleared => "blocked_item_cleared", FixSet => "fix_set",
    Escalated => "escalated", Counted => "counted", CountersReset => "counters_reset", DependencyFound => "dependency_found", BackoffSet => "backoff_set", ReleaseSet => "release_set",
    IntegrationStarted => "integration_started", CandidatePrepared => "candidate_prepared", CandidateMisfits => "candidate_misfits",
    CandidateChecked => "candidate_checked", AloneStarted => "alone_started", AlonePrepared => "alone_prepared", IntegrationIntended => "integration_intended",
    IntegrationDropped => "integration_dropped", Integrated => "integrated", CompletedWithoutChange => "completed_without_change",
    DeferredFixAdded => "deferred_fix_added", LearningsAdded => "learnings_added", UnitImported => "unit_imported",
    BackendParked => "backend_parked", BackendAnswered => "backend_answered", BackendUnparked => "backend_unparked", AllPaused => "all_paused",
    AllResumed => "all_resumed", WorkerDrained => "worker_drained", WorkerUndrained => "worker_undrained", AssignmentKept => "assignment_kept",
    StoreRestored => "store_restored", TokenCreated => "token_created", TokenRevoked => "token_revoked", PeerJoined => "peer_joined",
    PeerEnrolled => "peer_enrolled", PeerRenewed => "peer_renewed", PeerRevoked => "peer_revoked",
}
