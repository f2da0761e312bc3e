//! Which part of the fold each fact belongs to, as patterns: every `apply` names those of the others and has no arm for the rest, so that a fact that
//! is added here and folded nowhere, or not added at all, does not compile.

/// Facts about the fleet, or of a run that begins.
macro_rules! of_fleet {
    () => {
        Fact::RunCreated { .. }
            | Fact::BackendParked { .. }
            | Fact::BackendAnswered { .. }
            | Fact::BackendUnparked { .. }
            | Fact::AllPaused { .. }
            | Fact::AllResumed { .. }
            | Fact::WorkerDrained { .. }
            | Fact::WorkerUndrained { .. }
            | Fact::AssignmentKept { .. }
            | Fact::StoreRestored { .. }
    };
}

/// Facts about who may come in.
macro_rules! of_access {
    () => {
        Fact::TokenCreated { .. }
            | Fact::TokenRevoked { .. }
            | Fact::PeerJoined { .. }
            | Fact::PeerEnrolled { .. }
            | Fact::PeerRenewed { .. }
            | Fact::PeerRevoked { .. }
    };
}

/// Facts about seats and attempts.
macro_rules! of_attempt {
    () => {
        Fact::LeaseGranted { .. }
            | Fact::AttemptStarted { .. }
            | Fact::AttemptSaved { .. }
            | Fact::AttemptEnded { .. }
            | Fact::AttemptLost { .. }
            | Fact::AttemptLate { .. }
    };
}

/// Facts about a run's plan and what is kept of it.
macro_rules! of_plan {
    () => {
        Fact::UnitsPlanned { .. }
            | Fact::ReassignmentSet { .. }
            | Fact::UnitReassigned { .. }
            | Fact::AssignAnswered { .. }
            | Fact::AssignFailed { .. }
            | Fact::NoticeSaid { .. }
            | Fact::BackendSubstituted { .. }
            | Fact::BackendReplaced { .. }
            | Fact::NoWorkerSnoozed { .. }
            | Fact::BaseChecked { .. }
            | Fact::DeferredFixAdded { .. }
            | Fact::LearningsAdded { .. }
            | Fact::BlockedItemAdded { .. }
            | Fact::BlockedItemCleared { .. }
    };
}

/// Facts about the life of a run.
macro_rules! of_life {
    () => {
        Fact::RunPaused { .. }
            | Fact::RunResumed { .. }
            | Fact::RunHalted { .. }
            | Fact::RunAttached { .. }
            | Fact::RunEnding { .. }
            | Fact::RunClosing { .. }
            | Fact::RunClosed { .. }
            | Fact::RunEnded { .. }
            | Fact::RunAccepted { .. }
            | Fact::RunRemoved { .. }
            | Fact::StepOpened { .. }
            | Fact::StepUnitDone { .. }
            | Fact::StepClosed { .. }
            | Fact::RunRests { .. }
    };
}

/// Facts about what people are asked.
macro_rules! of_decision {
    () => {
        Fact::DecisionRaised { .. } | Fact::DecisionAnswered { .. } | Fact::DecisionWithdrawn { .. }
    };
}

/// Facts about the orchestrator agent.
macro_rules! of_agent {
    () => {
        Fact::ConsultationWanted { .. }
            | Fact::ConsultationAnswered { .. }
            | Fact::ConsultationFailed { .. }
            | Fact::OrchestratorDropped { .. }
            | Fact::PhasesHeld { .. }
    };
}

/// Facts about the integration train.
macro_rules! of_train {
    () => {
        Fact::IntegrationStarted { .. }
            | Fact::CandidatePrepared { .. }
            | Fact::CandidateMisfits { .. }
            | Fact::CandidateChecked { .. }
            | Fact::AloneStarted { .. }
            | Fact::AlonePrepared { .. }
            | Fact::IntegrationIntended { .. }
            | Fact::IntegrationDropped { .. }
            | Fact::Integrated { .. }
            | Fact::CompletedWithoutChange { .. }
    };
}

/// Facts about where a unit is and what it holds.
macro_rules! of_unit {
    () => {
        Fact::UnitMoved { .. }
            | Fact::WorkAccepted { .. }
            | Fact::ManifestClaimed { .. }
            | Fact::ManifestSettled { .. }
            | Fact::DependencyFound { .. }
            | Fact::UnitImported { .. }
            | Fact::Counted { .. }
    };
}

/// Facts about a unit's work.
macro_rules! of_work {
    () => {
        Fact::SubtaskMoved { .. }
            | Fact::RequirementsSet { .. }
            | Fact::WorkReported { .. }
            | Fact::WorkReplaced { .. }
            | Fact::ContendedSet { .. }
            | Fact::ContendedFreed { .. }
            | Fact::BreachRecorded { .. }
            | Fact::MergeSet { .. }
            | Fact::FixSet { .. }
            | Fact::CountersReset { .. }
            | Fact::BackoffSet { .. }
            | Fact::ReleaseSet { .. }
    };
}

/// Facts about a unit's reviews.
macro_rules! of_review {
    () => {
        Fact::RoundOpened { .. }
            | Fact::FindingRecorded { .. }
            | Fact::ReviewFailed { .. }
            | Fact::RoundConsolidated { .. }
            | Fact::HistoryAdded { .. }
            | Fact::Escalated { .. }
    };
}

pub(super) use {of_access, of_agent, of_attempt, of_decision, of_fleet, of_life, of_plan, of_review, of_train, of_unit, of_work};
