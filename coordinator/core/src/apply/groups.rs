//! Which part of the fold each fact belongs to, as patterns. Every part ends with the facts of the others and has no arm for the rest, so that a fact
//! that is added here and folded nowhere, or not added at all, does not compile.

/// The facts of these parts.
macro_rules! facts {
    // Facts about the fleet, or of a run that begins.
    (fleet) => {
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
    // Facts about who may come in.
    (access) => {
        Fact::TokenCreated { .. }
            | Fact::TokenRevoked { .. }
            | Fact::PeerJoined { .. }
            | Fact::PeerEnrolled { .. }
            | Fact::PeerRenewed { .. }
            | Fact::PeerRevoked { .. }
    };
    // Facts about seats and attempts.
    (attempt) => {
        Fact::LeaseGranted { .. }
            | Fact::AttemptStarted { .. }
            | Fact::AttemptSaved { .. }
            | Fact::AttemptEnded { .. }
            | Fact::AttemptLost { .. }
            | Fact::AttemptLate { .. }
    };
    // Facts about a run's plan and what is kept of it.
    (plan) => {
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
    // Facts about the life of a run.
    (life) => {
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
    // Facts about what people are asked.
    (decision) => {
        Fact::DecisionRaised { .. } | Fact::DecisionAnswered { .. } | Fact::DecisionWithdrawn { .. }
    };
    // Facts about the orchestrator agent.
    (agent) => {
        Fact::ConsultationWanted { .. }
            | Fact::ConsultationAnswered { .. }
            | Fact::ConsultationFailed { .. }
            | Fact::OrchestratorDropped { .. }
            | Fact::PhasesHeld { .. }
    };
    // Facts about the integration train.
    (train) => {
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
    // Facts about where a unit is and what it holds.
    (unit) => {
        Fact::UnitMoved { .. }
            | Fact::WorkAccepted { .. }
            | Fact::ManifestClaimed { .. }
            | Fact::ManifestSettled { .. }
            | Fact::DependencyFound { .. }
            | Fact::UnitImported { .. }
            | Fact::Counted { .. }
    };
    // Facts about a unit's work.
    (work) => {
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
    // Facts about a unit's reviews.
    (review) => {
        Fact::RoundOpened { .. }
            | Fact::FindingRecorded { .. }
            | Fact::ReviewFailed { .. }
            | Fact::RoundConsolidated { .. }
            | Fact::HistoryAdded { .. }
            | Fact::Escalated { .. }
    };
    ($first:ident $($other:ident)+) => { facts!($first) $(| facts!($other))+ };
}

/// The facts of all parts but this one.
macro_rules! others {
    (fleet) => { facts!(access attempt plan life decision agent train unit work review) };
    (access) => { facts!(fleet attempt plan life decision agent train unit work review) };
    (attempt) => { facts!(fleet access plan life decision agent train unit work review) };
    (plan) => { facts!(fleet access attempt life decision agent train unit work review) };
    (life) => { facts!(fleet access attempt plan decision agent train unit work review) };
    (decision) => { facts!(fleet access attempt plan life agent train unit work review) };
    (agent) => { facts!(fleet access attempt plan life decision train unit work review) };
    (train) => { facts!(fleet access attempt plan life decision agent unit work review) };
    (unit) => { facts!(fleet access attempt plan life decision agent train work review) };
    (work) => { facts!(fleet access attempt plan life decision agent train unit review) };
    (review) => { facts!(fleet access attempt plan life decision agent train unit work) };
}

pub(super) use {facts, others};
