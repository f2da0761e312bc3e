//! What a reviewer is told.

use roundtable_core::effect::Grant;
use roundtable_core::state::{GROUNDED_FROM_ROUND, Run, Unit, WorkReport};
use roundtable_shared::{Criticality, Seat};

use super::around;
use super::unit::unit_brief;
use super::work::{last_check, must_fix};
use crate::prompt::facts::PromptFacts;
use crate::prompt::input::*;

pub(super) fn review(run: &Run, unit: &Unit, grant: &Grant, facts: &PromptFacts) -> Option<ReviewBrief> {
    let Seat::Review(number) = grant.granted.seat else { return None };
    Some(ReviewBrief {
        unit: unit_brief(run, unit, facts)?,
        reviewer: unit.reviewer_id(number),
        number,
        reviewers: unit.review.reviewers.max(number),
        round: unit.review.round,
        grounded_only: unit.review.round >= GROUNDED_FROM_ROUND,
        security: unit.assignment.criticality == Criticality::SecuritySensitive,
        base: grant.granted.base.to_string(),
        commit: unit.work.accepted.as_ref().map(|work| work.commit.to_string()).unwrap_or_default(),
        files: facts.changed.clone(),
        diff: facts.diff.clone(),
        diff_bytes: facts.diff_bytes,
        check: last_check(run, unit),
        place: around::place(run, grant),
        author: author(unit),
        earlier: must_fix(unit, unit.review.round.saturating_sub(1)),
    })
}

/// What the author said of the work under review.
fn author(unit: &Unit) -> AuthorBrief {
    let of_work = |report: &&WorkReport| unit.work.accepted.as_ref().is_none_or(|work| work.attempt == report.attempt);
    let Some(report) = unit.work.report.as_ref().filter(of_work) else { return AuthorBrief::default() };
    AuthorBrief { summary: report.summary.clone(), evidence: report.evidence.iter().map(ToString::to_string).collect() }
}
