//! Bugs that a test plants, one at a time, to see whether the simulation finds each. They are in builds with the feature `planted-bugs` alone, which is
//! for that test: in every other build `planted` is the constant `false`, and the compiler leaves nothing of them.

macro_rules! bugs {
    ($(#[doc = $what:literal] $name:ident,)*) => {
        /// A bug, by what the core then does.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum Bug {
            $(#[doc = $what] $name,)*
        }

        #[cfg(feature = "planted-bugs")]
        impl Bug {
            /// All of them, each with what the core then does.
            pub const ALL: &[(Self, &str)] = &[$((Self::$name, $what),)*];
        }
    };
}

bugs! {
    // Order, holds and manifests.
    /// grants work on what another unit holds
    HoldForgotten,
    /// starts a unit before what it depends on
    DependencyForgotten,
    /// starts a unit before an earlier one that writes what it touches
    HazardForgotten,
    /// takes a unit without a manifest for one that touches nothing
    ExclusiveForgotten,
    /// starts a checkpoint before what it checks
    CheckpointForgotten,
    /// leaves a dependency that an agent found out of its index
    FoundDependencyForgotten,
    /// keeps no index of who holds what
    HoldersUnindexed,
    /// claims paths that another unit holds
    HeldPathClaimed,
    /// lets work outside the manifest pass
    BreachPassed,
    /// lets files pass that need an entry of their own
    ProtectedPassed,
    /// lets submodules and links out of the repository pass
    ForbiddenPassed,
    /// claims no path that has become free
    FreedUnclaimed,
    /// leaves units blocked that a person has answered for
    ReleaseForgotten,
    /// lets units wait for each other for ever
    CycleKept,

    // Grants.
    /// grants while a run is paused
    PauseIgnored,
    /// grants while everything is paused
    PauseOfAllIgnored,
    /// grants to a worker that a person has drained
    DrainIgnored,
    /// grants to a worker without the labels
    LabelsIgnored,
    /// fills a seat twice
    SeatTwice,
    /// grants more than a worker has slots for
    SlotsIgnored,
    /// grants what a provider refuses until a reset
    ParkIgnored,
    /// sends several attempts at once to see whether a provider serves
    SecondProbe,
    /// grants before the pause between two tries is over
    BackoffIgnored,
    /// moves a manual run without a step
    StepIgnored,
    /// grants in a phase that the orchestrator agent holds back
    HoldBackIgnored,
    /// has an agent session resumed where it is not
    SessionElsewhere,
    /// gives the third fix to whom had the others
    EscalationForgotten,
    /// uses the number of an attempt again
    NumberAgain,
    /// uses the id of a lease again
    LeaseIdAgain,
    /// sets no deadline for a lease
    DeadlineForgotten,
    /// starts units on the commit the run began with
    StartsOnBase,
    /// leaves out the work that a unit has waited for
    FoundDependencyUnmerged,
    /// does not look for grants when workers say what they can take
    LooksLess,

    // Outcomes.
    /// lets a late outcome count
    LateCounts,
    /// tells a worker that its late outcome was accepted
    LateAccepted,
    /// takes an outcome for another lease of the same number
    LeaseIdIgnored,
    /// refuses an outcome, delivered again, that it has accepted
    VerdictForgotten,
    /// watches an attempt that has ended
    DeadlineKept,
    /// keeps an ended attempt in the index of live ones
    LiveIndexKept,
    /// forgets work that was handed in on the way
    SavedForgotten,
    /// gives out answers and effects before the append
    AnswersEarly,
    /// takes the proof of an earlier append for that of a batch
    ProofTooOld,

    // Silence and time.
    /// takes a worker for lost after half the time
    LostEarly,
    /// never takes a worker for lost
    SilentForever,
    /// blames workers for the time in which it stood still itself
    StallBlamed,
    /// gives workers no time to come back after a restart
    GraceForgotten,
    /// lets an attempt run on, far over its limits
    OverdueForever,
    /// keeps attempts that a worker comes back without
    ReconcileForgotten,
    /// tells a worker to keep what is another's by now
    StaleKept,
    /// tells a worker to stop what it holds rightly
    CurrentRevoked,
    /// does not tell a worker to stop what it has lost
    RevokeForgotten,
    /// keeps a provider parked after its reset
    ParkForever,
    /// lets nothing be granted to a broken worker ever again
    CordonForever,
    /// never repeats an effect that failed
    ErrandForgotten,
    /// waits for the orchestrator agent without end
    ConsultationForever,
    /// holds phases back without end
    HoldBackForever,
    /// forgets, restarted, what the repository still owes
    OwedForgotten,
    /// forgets in the fleet that a drain was taken back
    UndrainForgotten,
    /// forgets a drain when its worker says hello
    DrainForgottenAtHello,

    // Who pays.
    /// has a unit pay for its provider's refusal
    RefusalCosts,
    /// parks nothing when a provider refuses
    RefusalForgotten,
    /// has nobody pay for what failed on a worker
    SetbackFree,
    /// has a unit pay for what was handed back
    HandBackCosts,
    /// counts no turn that failed
    FailureFree,
    /// counts no fix that was made
    FixFree,
    /// tries a unit on and on, however often it fails
    PatienceEndless,
    /// asks nobody when a reviewer is of no use
    ReviewerEndless,
    /// asks nobody when a unit brings its workers down
    LossesEndless,
    /// asks nobody when a unit leaves its manifest again and again
    BreachesEndless,
    /// lets failures from before a person's answer count on
    CountersKept,
    /// sends a unit into a fourth fix
    FourthFix,
    /// sends a unit back for no reason
    CauseForgotten,

    // Reviews and the train.
    /// has a change reviewed by nobody
    ReviewSkipped,
    /// ends a round while reviewers are out
    RoundEarly,
    /// lets a unit pass with findings that must be fixed
    FindingsPassed,
    /// integrates what was not checked
    CheckSkipped,
    /// takes a red check for a green one
    RedIsGreen,
    /// checks no base
    BaseUnchecked,
    /// asks nobody about a base that is red
    BaseRedUnasked,
    /// lets units join the train in another order than that of their final reviews
    TrainOutOfOrder,
    /// prepares each unit on the tip, whoever is ahead of it
    TrainOnTip,
    /// keeps those behind a unit that has left the train
    TrainBehindKept,
    /// intends while the branch is being moved
    IntentAgain,
    /// takes a commit that was made on another one than is ahead
    StaleCandidate,
    /// has a box ticked twice
    BoxTwice,
    /// checks a red unit alone where the others are
    AloneOnTip,
    /// forgets where the branch has moved to
    TipForgotten,

    // Ends.
    /// ends a run while something of it runs
    EndsLive,
    /// ends a run while its branch is being moved
    EndsInMove,
    /// ends every run with exit 0
    EndsWell,
    /// blocks a unit and asks nobody
    DecisionUnasked,
    /// goes on asking about a unit that is at its end
    DecisionKept,
    /// lets a unit that was skipped work on
    SkipKeepsWorking,
    /// keeps a unit that was cancelled in the train
    CancelKeepsFlight,
    /// lets people act on a run that has ended
    ActsAfterEnd,
    /// removes a run that is under way
    RemovedEarly,
    /// removes a run twice
    RemovedTwice,
    /// tells of a rest while something runs
    RestsLive,

    // Who comes in.
    /// lets more keys in than a token is for
    TokenAgain,
    /// lets somebody in as something else than the token is for
    TokenRoleIgnored,
}

#[cfg(feature = "planted-bugs")]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// From here on this thread's core has that bug, or none.
#[cfg(feature = "planted-bugs")]
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

/// Whether the core has that bug.
#[cfg(feature = "planted-bugs")]
pub(crate) fn planted(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

/// Whether the core has that bug: it does not.
#[cfg(not(feature = "planted-bugs"))]
pub(crate) const fn planted(_: Bug) -> bool {
    false
}
