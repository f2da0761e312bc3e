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

/// Reasons as they are gathered: so many in words, the others by their number.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Reasons {
    /// The first, in words: the same, in the same order, as where all are told.
    pub told: Vec<Waiting>,
    /// Further ones.
    pub left_out: usize,
    /// There may be still more than `left_out` says: they were too many to be counted for one unit among others.
    pub at_least: bool,
    most: usize,
}

impl Reasons {
    /// None yet, and no more than so many in words.
    pub(crate) fn at_most(most: usize) -> Self {
        Self { most, ..Self::default() }
    }

    /// How many more are told in words.
    pub(crate) fn room(&self) -> usize {
        self.most - self.told.len()
    }

    /// One more: in words while there is room, or by its number. What was said just before is not said again.
    pub(crate) fn add(&mut self, reason: impl FnOnce() -> Waiting) {
        if self.room() == 0 {
            self.left_out += 1;
            return;
        }
        let reason = reason();
        if self.told.last() != Some(&reason) {
            self.told.push(reason);
        }
    }

    /// So many more, of which nothing is told; with `at_least` there may be still more.
    pub(crate) fn leave_out(&mut self, count: usize, at_least: bool) {
        self.left_out += count;
        self.at_least |= at_least;
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
