//! What implement and fix are told.

use roundtable_core::effect::{Grant, Start};
use roundtable_core::state::{Attempt, AttemptEnd, FixCause, OwnerAnswer, Run, Said, Unit};
use roundtable_shared::limits::FIX_ATTEMPTS_MAX;
use roundtable_shared::{Finding, Role, Severity, SubtaskState, UnitType};

use super::around;
use super::unit::unit_brief;
use crate::prompt::facts::PromptFacts;
use crate::prompt::input::*;
use crate::prompt::input_of_unit::StepBrief;

pub(super) fn work(run: &Run, unit: &Unit, grant: &Grant, attempt: Option<&Attempt>, facts: &PromptFacts) -> Option<WorkBrief> {
    let mut brief = unit_brief(run, unit, facts)?;
    let resumed_from = attempt.and_then(|attempt| attempt.granted.resumed_from).map(|no| no.0);
    let is_open = |step: &&mut StepBrief| step.wanted && !step.is_group && step.state != SubtaskState::Completed;
    if let (Some(_), Some(next)) = (resumed_from, brief.steps.iter_mut().find(is_open)) {
        next.is_next = true;
    }
    let reads_only = unit.assignment.manifest.writes.is_empty() && !unit.assignment.manifest.reads.is_empty();
    Some(WorkBrief {
        unit: brief,
        continues_attempt: resumed_from,
        same_session: grant.granted.resume.is_some(),
        last_failure: last_failure(unit, grant),
        may_be_empty: unit.spec.checkpoint || unit.assignment.unit_type == UnitType::Review || reads_only,
        check_command: run.options.check.clone(),
        place: around::place(run, grant),
        delivered: around::delivered(run, unit),
        others: around::others(run, unit),
        learnings: around::learnings(run, unit),
        evidence: evidence(run, unit, grant),
        fix: (grant.granted.role == Role::Fix).then(|| fix(unit, grant)),
    })
}

/// How the work attempt before this one ended, if it did not end well.
fn last_failure(unit: &Unit, grant: &Grant) -> Option<String> {
    let earlier =
        unit.attempts.iter().rev().find(|attempt| attempt.granted.role.writes() && attempt.granted.attempt < grant.lease.key.attempt)?;
    if earlier.end().is_none_or(|end| end == AttemptEnd::Completed) {
        return None;
    }
    let what = match earlier.end() {
        Some(AttemptEnd::Failed) => "failed",
        _ => "was interrupted",
    };
    let error = earlier.error().map(|error| format!(": {error}")).unwrap_or_default();
    Some(format!("attempt {} {what}{error}", earlier.granted.attempt))
}

fn evidence(run: &Run, unit: &Unit, grant: &Grant) -> EvidenceBrief {
    let refused = |path: &String, why: &str| RefusedPath { path: path.clone(), why: why.to_owned() };
    let mut evidence = EvidenceBrief {
        breach: unit.work.breach.iter().flat_map(|breach| &breach.paths).map(|(path, why)| refused(path, why)).collect(),
        ..EvidenceBrief::default()
    };
    let merged = matches!(grant.granted.start, Start::MergeWithTip { .. });
    match &unit.fix() {
        Some(FixCause::Conflict { paths, evidence: said }) => {
            // A path that was waited for and is in conflict now was another unit's when it was changed.
            let claimed = unit.assignment.claimed.iter().filter(|path| paths.contains(path));
            evidence.contended.extend(claimed.map(|path| refused(path, "another unit changed it first")));
            evidence.conflict = Some(ConflictBrief { paths: paths.clone(), evidence: said.clone(), markers: merged });
        }
        Some(FixCause::CheckRed { evidence: said }) => {
            evidence.check = last_check(run, unit).map(|check| CheckBrief { passed: false, output: said.clone(), ..check });
        }
        _ => {}
    }
    evidence
}

/// The unit's last check that ended.
pub(super) fn last_check(run: &Run, unit: &Unit) -> Option<CheckBrief> {
    let attempt = unit.attempts.iter().rev().find(|attempt| attempt.granted.role == Role::Check && attempt.end().is_some())?;
    Some(CheckBrief {
        command: run.options.check.clone()?,
        passed: attempt.end() == Some(AttemptEnd::Completed),
        exit_code: attempt.exit_code(),
        output: attempt.error().unwrap_or_default().to_owned(),
    })
}

fn fix(unit: &Unit, grant: &Grant) -> FixBrief {
    let escalated = grant.granted.escalated || unit.escalated();
    FixBrief {
        attempt: (unit.counters.fix_attempts + 1).min(FIX_ATTEMPTS_MAX),
        attempts_max: FIX_ATTEMPTS_MAX,
        escalated,
        original_agent: unit.counters.original_agent.as_ref().map(ToString::to_string),
        findings: owed_findings(unit),
        history: if escalated { unit.review.history.iter().map(|entry| history(unit, entry)).collect() } else { Vec::new() },
        earlier: if escalated { earlier(unit) } else { Vec::new() },
    }
}

/// Findings this fix must close: those of the round that sent it back. A conflict comes after a round that found nothing to fix.
fn owed_findings(unit: &Unit) -> Vec<FindingBrief> {
    match &unit.fix() {
        Some(FixCause::Conflict { .. }) => Vec::new(),
        Some(FixCause::Findings { round }) => must_fix(unit, *round),
        Some(FixCause::Imported) => must_fix(unit, unit.review.findings.iter().map(|finding| finding.round).max().unwrap_or(0)),
        _ => must_fix(unit, unit.review.round),
    }
}

/// Findings of a round that must be closed.
pub(super) fn must_fix(unit: &Unit, round: u32) -> Vec<FindingBrief> {
    unit.review
        .findings
        .iter()
        .filter(|finding| finding.round == round && finding.severity.must_fix())
        .map(|each| finding(unit, each))
        .collect()
}

fn finding(unit: &Unit, finding: &Finding) -> FindingBrief {
    FindingBrief {
        id: finding.id().to_owned(),
        reviewer: finding.reviewer.clone(),
        round: finding.round,
        severity: finding.severity,
        summary: finding.summary.clone(),
        details: finding.details.clone(),
        issues: issues(unit, finding),
        answers: answers(unit, finding.id()),
    }
}

fn issues(unit: &Unit, finding: &Finding) -> Vec<IssueBrief> {
    let issues = finding.issues.iter().filter(|issue| issue.severity != Severity::None).map(|issue| IssueBrief {
        id: issue.id.clone(),
        severity: issue.severity,
        description: issue.description.clone(),
        place: issue.file.as_ref().map(|file| issue.line.map_or_else(|| file.clone(), |line| format!("{file}:{line}"))),
        reproduced: issue.reproduced.as_ref().map(|shown| {
            let exit = shown.exit_code.map_or_else(String::new, |code| format!(" (exit code {code})"));
            format!("{}{exit}", shown.command)
        }),
        answers: answers(unit, &issue.id),
    });
    issues.collect()
}

/// What the owner said to the finding or issue of that id.
fn answers(unit: &Unit, id: &str) -> Vec<AnswerBrief> {
    let brief = |said: &OwnerAnswer| AnswerBrief {
        attempt: said.attempt.0,
        fixed: said.answer.fixed.clone(),
        why_not: said.answer.why_not.clone(),
    };
    unit.answers_to(id).map(brief).collect()
}

/// A round that sent the unit back, with the issues its reviewers named.
fn history(unit: &Unit, entry: &roundtable_shared::ReviewHistoryEntry) -> HistoryBrief {
    let brief = |past: &roundtable_shared::HistoryFinding| {
        let full = unit.review.findings.iter().find(|full| full.summary == past.summary && full.details == past.details);
        HistoryFindingBrief {
            severity: past.severity,
            summary: past.summary.clone(),
            details: past.details.clone(),
            issues: full.map(|full| issues(unit, full)).unwrap_or_default(),
        }
    };
    HistoryBrief { attempt: entry.attempt, severity: entry.severity, findings: entry.findings.iter().map(brief).collect() }
}

/// What was said of the attempts so far, oldest first.
fn earlier(unit: &Unit) -> Vec<EarlierBrief> {
    let brief = |said: &Said| {
        let attempt = unit.attempt(said.attempt)?;
        Some(EarlierBrief {
            attempt: said.attempt.0,
            role: attempt.granted.role.to_string(),
            backend: attempt.granted.backend.to_string(),
            summary: said.summary.clone(),
        })
    };
    unit.work.said.iter().filter_map(brief).collect()
}
