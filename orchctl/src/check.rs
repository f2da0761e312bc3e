//! One thing of this machine that was looked at, and how it stands. Looking is `commands::doctor`'s and `embed`'s.

use serde::Serialize;

/// One thing looked at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Check {
    /// What.
    pub name: String,
    /// How it stands.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What to do about it; empty if nothing.
    pub next: String,
}

/// How a check stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// As it should be.
    Good,
    /// Worth knowing.
    Info,
    /// It cannot be used; others may do.
    #[cfg_attr(not(feature = "embedded"), expect(dead_code, reason = "only a worker inside probes agents"))]
    Unusable,
    /// Nothing can run like this.
    Bad,
}

impl Check {
    /// A check with its state.
    pub fn new(state: State, name: impl Into<String>, found: impl Into<String>, next: impl Into<String>) -> Self {
        Self { name: name.into(), state, found: found.into(), next: next.into() }
    }
}
