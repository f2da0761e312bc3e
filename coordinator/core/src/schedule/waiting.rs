//! Reasons to wait, as `explain` and `status` give them.

/// One reason to wait, now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Waiting {
    /// What kind.
    pub kind: WaitKind,
    /// On what: a unit, backend, worker, decision or time; empty = on the run as a whole.
    pub on: String,
    /// The path that causes it, if one.
    pub path: String,
    /// In words.
    pub text: String,
}

/// Kinds of reasons.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[expect(missing_docs, reason = "each is the word that `as_str` gives, explained where it is raised")]
pub enum WaitKind {
    Dependency,
    Hazard,
    Hold,
    Exclusive,
    Contended,
    Slot,
    Backend,
    Label,
    Parked,
    Backoff,
    Decision,
    Assignment,
    Integration,
    Check,
    Review,
    Paused,
    Step,
    Orchestrator,
    Attempt,
    Ended,
}

impl WaitKind {
    /// The word of JSON and output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dependency => "dependency",
            Self::Hazard => "hazard",
            Self::Hold => "hold",
            Self::Exclusive => "exclusive",
            Self::Contended => "contended",
            Self::Slot => "slot",
            Self::Backend => "backend",
            Self::Label => "label",
            Self::Parked => "parked",
            Self::Backoff => "backoff",
            Self::Decision => "decision",
            Self::Assignment => "assignment",
            Self::Integration => "integration",
            Self::Check => "check",
            Self::Review => "review",
            Self::Paused => "paused",
            Self::Step => "step",
            Self::Orchestrator => "orchestrator",
            Self::Attempt => "attempt",
            Self::Ended => "ended",
        }
    }
}

impl Waiting {
    pub(crate) fn on_run(kind: WaitKind, text: String) -> Self {
        Self { kind, on: String::new(), path: String::new(), text }
    }

    pub(crate) fn on(kind: WaitKind, on: impl ToString, text: String) -> Self {
        Self { kind, on: on.to_string(), path: String::new(), text }
    }
}
