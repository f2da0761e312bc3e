//! What a unit's attempts left: work, reviews, and what is counted of them. Each is a part that a unit has once there is something of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use roundtable_shared::time::WallMs;
use roundtable_shared::{
    AttemptNo, BackendName, CommitId, FinalReport, Finding, ReviewHistoryEntry, Seat, Severity, UnitId, Usage, WorkerId,
};
use serde::{Deserialize, Serialize};

use super::rare::Blank;
use super::report::{OwnerAnswer, Said, WorkReport};

/// A commit of an attempt with the base it is looked at from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Work {
    /// The attempt; 0 for a person's commit before any.
    pub attempt: AttemptNo,
    /// The base.
    pub base: CommitId,
    /// The commit.
    pub commit: CommitId,
}

/// Paths outside the manifest.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Breach {
    /// The attempt.
    pub attempt: AttemptNo,
    /// The paths, each with why.
    pub paths: Vec<(String, String)>,
}

/// What the attempts of a unit left.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct UnitWork {
    /// It had a work grant: hazards were judged.
    pub started: bool,
    /// What the next work attempt goes on from.
    pub last: Option<Work>,
    /// What is reviewed and integrated.
    pub accepted: Option<Work>,
    /// What base..commit of `accepted` changes, ours and ignored paths left out; sorted.
    pub changed: Vec<String>,
    /// What it changed before this run, by the state it was imported from.
    pub files_before: Vec<String>,
    /// What the agent last said of its work.
    pub report: Option<WorkReport>,
    /// What its agents said of each attempt, oldest first; the last of them.
    pub said: Vec<Said>,
    /// Its last work went outside the manifest; told to the next attempt.
    pub breach: Option<Breach>,
    /// The unit its agent said it needs first, which it waited for; at most one. It is among `depends_on` too.
    pub blocked_on: Option<UnitId>,
    /// Sum over its attempts.
    pub usage: Usage,
}

/// The reviews of a unit.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct UnitReview {
    /// Review round, from 1; 0 before the first.
    pub round: u32,
    /// Reviewers of this round.
    pub reviewers: u32,
    /// Reviewers of the rounds before: ids count on from here.
    pub reviewers_before: u32,
    /// Findings of all rounds.
    pub findings: Vec<Finding>,
    /// What its owner said to findings, the latest last.
    pub answers: Vec<OwnerAnswer>,
    /// One report per round; consumers take the last.
    pub final_reports: Vec<FinalReport>,
    /// Severity of the last round before this run, where there is no report of it.
    pub severity_before: Option<Severity>,
    /// Rounds that sent it back.
    pub history: Vec<ReviewHistoryEntry>,
}

/// What is counted of a unit, and what follows for its next grant.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Counters {
    /// Implements that ended with class unit, since the last decision.
    pub unit_failures: u32,
    /// Ends for infra reasons, any seat, since the last decision.
    pub infra: u32,
    /// Workers lost while running it, since the last decision.
    pub lost_workers: BTreeSet<WorkerId>,
    /// Failures of each review seat, since the round began or a decision.
    pub review_failures: BTreeMap<Seat, u32>,
    /// Times its work went outside the manifest, since the last decision.
    pub breaches: u32,
    /// Hand-backs in a row.
    pub hand_backs: u32,
    /// Not granted before: work, reviews and checks alike.
    pub retry_at: Option<WallMs>,
    /// Workers whose disk or tools failed it since its work was last accepted, the latest last: others first.
    pub avoid: Vec<WorkerId>,
    /// Fixes that ended with an answer or with class unit.
    pub fix_attempts: u32,
    /// Turns of fix that were repeated without using a fix attempt.
    pub repeated_fixes: u32,
    /// When the third fix went elsewhere.
    pub escalated_at: Option<WallMs>,
    /// Owner before that.
    pub original_agent: Option<BackendName>,
    /// Turns of implement that failed, ever.
    pub failed_turns: u32,
}

impl Counters {
    /// A decision was answered: failures count from 0, and with `fixes` fixes do too.
    pub(crate) fn reset(&mut self, fixes: bool) {
        let Self { fix_attempts, repeated_fixes, escalated_at, original_agent, failed_turns, .. } = std::mem::take(self);
        (self.original_agent, self.failed_turns) = (original_agent, failed_turns);
        if !fixes {
            (self.fix_attempts, self.repeated_fixes, self.escalated_at) = (fix_attempts, repeated_fixes, escalated_at);
        }
    }
}

/// What each part is before anything of it is set.
macro_rules! blank {
    ($($part:ident),*) => {
        $(impl Blank for $part {
            fn blank() -> &'static Self {
                static BLANK: LazyLock<$part> = LazyLock::new($part::default);
                &BLANK
            }
        })*
    };
}

blank!(UnitWork, UnitReview, Counters);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_forgets_failures_and_keeps_what_it_is_not_about() {
        let counted = Counters { infra: 3, fix_attempts: 2, escalated_at: Some(WallMs(5)), failed_turns: 4, ..Counters::default() };
        let mut kept = counted.clone();
        kept.reset(false);
        assert_eq!(kept, Counters { infra: 0, ..counted.clone() });
        kept.reset(true);
        assert_eq!(kept, Counters { failed_turns: 4, ..Counters::default() });
    }
}
