//! Reasons to wait, as `explain` and `status` give them.

pub use roundtable_shared::WaitKind;

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

impl Waiting {
    pub(crate) fn on_run(kind: WaitKind, text: String) -> Self {
        Self { kind, on: String::new(), path: String::new(), text }
    }

    pub(crate) fn on(kind: WaitKind, on: impl ToString, text: String) -> Self {
        Self { kind, on: on.to_string(), path: String::new(), text }
    }
}
