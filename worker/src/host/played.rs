//! What came of a turn, from the end of its process to the facts its coordinator is told. Playing it is `turn`'s, asking again for its report `report`'s.

use roundtable_shared::{AttemptFacts, CommitId, Failure, FailureKind, LeftOut, Usage};

use crate::backend::SessionRecord;

/// What came of the turn, before the commit.
pub(super) struct Played {
    pub failure: Option<Failure>,
    pub exit_code: Option<i32>,
    pub answer: String,
    pub session: Option<SessionRecord>,
    pub usage: Usage,
}

impl Played {
    /// A turn that came to nothing.
    pub(super) fn failed(kind: FailureKind, message: impl Into<String>) -> Self {
        let failure = Some(Failure { kind, message: message.into() });
        Self { failure, exit_code: None, answer: String::new(), session: None, usage: Usage::default() }
    }
}

/// The attempt as its coordinator is told of it.
pub(super) fn facts(played: Played, commit: Option<CommitId>) -> AttemptFacts {
    AttemptFacts {
        failure: played.failure,
        exit_code: played.exit_code,
        answer: played.answer,
        commit,
        left_out: LeftOut::default(),
        done: Vec::new(),
        agent_session: played.session.map(|record| record.session),
        usage: played.usage,
        last_event_seq: 0,
    }
}
