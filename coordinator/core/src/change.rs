//! What comes out of a decision: transitions to make durable, effects to carry out after that, and the answer to whoever asked.

use std::fmt;

use roundtable_shared::error::ErrorCode;
use roundtable_shared::{LeaseRef, PeerName, Reconciled, RunId, UnitId, UnitState};

use crate::effect::Effect;
use crate::transition::Transition;

/// The outcome of one or more decisions. Nothing of it may leave the process before `transitions` are durable (I14).
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Change {
    /// Facts, already folded into the core's own state.
    pub transitions: Vec<Transition>,
    /// What to do after the append, in order.
    pub effects: Vec<Effect>,
    /// For whoever asked.
    pub reply: Reply,
    /// Moves the table of states refused: bugs, to be logged.
    pub refused: Vec<Refused>,
}

impl Change {
    /// Adds what a later decision of the same batch came to; replies are not added, each goes its own way.
    pub fn extend(&mut self, later: Change) {
        self.transitions.extend(later.transitions);
        self.effects.extend(later.effects);
        self.refused.extend(later.refused);
    }
}

/// A move of a unit that is not in the table (docs/rules.md, "States of a unit"). It was not done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// The run.
    pub run: RunId,
    /// The unit.
    pub unit: UnitId,
    /// Where it was.
    pub from: UnitState,
    /// Where it was to go.
    pub to: UnitState,
}

/// The answer to a command.
#[derive(Clone, PartialEq, Debug, Default)]
pub enum Reply {
    /// Nothing to say.
    #[default]
    Nothing,
    /// The run that was created, or the unfinished one of the same source.
    Submitted {
        /// The run.
        run: RunId,
        /// It was there before.
        resumed: bool,
        /// What the user should know of what it was imported from.
        notices: Vec<String>,
    },
    /// To a hello: one answer per held lease.
    Welcome {
        /// The answers; `acked_seq` is the shell's to fill in.
        reconciled: Vec<Reconciled>,
    },
    /// To a heartbeat.
    Heartbeat {
        /// Leases to stop, each with why; repeated until they are gone.
        revoke: Vec<(LeaseRef, String)>,
        /// A person has drained it. For its own log: nothing is asked of it.
        drain: bool,
    },
    /// To a report.
    Verdict(Verdict),
    /// To somebody who wanted in, and may.
    Joined {
        /// As whom.
        peer: PeerName,
        /// The certificate that counts: of an earlier answer, if this is the same wish again.
        certificate: String,
    },
    /// To a person's act.
    Done {
        /// In words.
        text: String,
        /// It had been done before.
        unchanged: bool,
    },
}

/// What becomes of an outcome.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It counts (now, or it did when it first came).
    Accepted,
    /// Another attempt holds the seat, or nobody does.
    Stale {
        /// Why.
        reason: String,
    },
    /// Another outcome of the same attempt was accepted before.
    Rejected {
        /// Why.
        reason: String,
    },
}

/// An expected refusal. Nothing was changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rejection {
    /// What kind, for the caller to act on.
    pub code: ErrorCode,
    /// What failed, why, and what to do next.
    pub text: String,
}

impl Rejection {
    /// It contradicts the present state.
    pub fn conflict(text: impl Into<String>) -> Self {
        Self { code: ErrorCode::Conflict, text: text.into() }
    }

    /// What it names does not exist.
    pub fn not_found(text: impl Into<String>) -> Self {
        Self { code: ErrorCode::NotFound, text: text.into() }
    }

    /// It makes no sense.
    pub fn invalid(text: impl Into<String>) -> Self {
        Self { code: ErrorCode::InvalidInput, text: text.into() }
    }

    /// Who asks may not.
    pub fn not_authorised(text: impl Into<String>) -> Self {
        Self { code: ErrorCode::NotAuthorised, text: text.into() }
    }

    /// It comes from a session, lease or incarnation that is over.
    pub fn stale(text: impl Into<String>) -> Self {
        Self { code: ErrorCode::Stale, text: text.into() }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Rejection {}
