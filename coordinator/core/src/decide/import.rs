//! State carried over from mirror files, half-finished runs included: what was done is in the base, what was under way goes on from there
//! (SEMANTICS §11).

use roundtable_shared::limits::FIX_ATTEMPTS_MAX;
use roundtable_shared::{BackendName, Criticality, DecisionKind, Finding, RunId, Severity, SubtaskState, UnitId, UnitState};

use super::blocking::{Block, block};
use super::fix::HUMAN;
use super::{Deciding, raise};
use crate::command::{Imported, ImportedUnit};
use crate::state::{FixCause, Release, Unit, Work};
use crate::transition::{Fact, UnitImport};

/// Carries the units over. Assignment follows; decisions after that.
pub(super) fn import(d: &mut Deciding<'_>, run: &RunId, imported: &Imported) {
    for (id, from) in &imported.units {
        let Some(unit) = d.state().unit(run, id).filter(|unit| unit.runs) else { continue };
        let import = translate(d, run, unit, from);
        let is_fix = import.state == UnitState::FixRequired;
        d.emit(run, Fact::UnitImported { unit: id.clone(), import: Box::new(import) });
        if is_fix {
            d.emit(run, Fact::FixSet { unit: id.clone(), cause: Some(FixCause::Imported) });
        }
        carry_assignment(d, run, id, from);
    }
}

fn translate(d: &Deciding<'_>, run: &RunId, unit: &Unit, from: &ImportedUnit) -> UnitImport {
    let base = d.run(run).base.clone();
    let is_human = from.blocked_reason.as_deref() == Some(HUMAN);
    let state = match from.status.as_str() {
        "completed" => UnitState::Completed,
        // The work of a unit under review is in the base; reviewers look at the files as they are.
        "pending_review" | "under_review" | "final_review" => UnitState::PendingReview,
        "fix_required" => UnitState::FixRequired,
        "blocked" if is_human && from.fix_attempts >= FIX_ATTEMPTS_MAX => UnitState::FixRequired,
        // Whatever else it was blocked by, a failed step or a unit before it, is found out again.
        _ => UnitState::NotStarted,
    };
    let is_done = |word: &str| matches!(word, "completed" | "pending_review" | "under_review" | "final_review");
    let completed = unit.subtasks.iter().filter(|subtask| {
        let word = from.subtasks.get(subtask.id.as_str()).map(String::as_str);
        state != UnitState::NotStarted || word.is_some_and(is_done) || subtask.state == SubtaskState::Completed
    });
    let findings = from.findings.iter().enumerate().map(|(at, (severity, summary, details))| Finding {
        task_id: unit.id.task(),
        reviewer: format!("review-{}-{}", unit.id, at + 1),
        round: 1,
        severity: Severity::from_agent(severity),
        summary: summary.clone(),
        details: details.clone(),
        issues: Vec::new(),
        created_at: d.now.wall,
    });
    let has_work = matches!(state, UnitState::PendingReview | UnitState::FixRequired);
    UnitImport {
        state,
        reason: None,
        completed: completed.map(|subtask| subtask.id.clone()).collect(),
        fix_attempts: from.fix_attempts.min(FIX_ATTEMPTS_MAX),
        escalated: from.escalated,
        original_agent: from.original_agent.clone().map(BackendName::from),
        findings: findings.collect(),
        work: has_work.then(|| Work { attempt: Default::default(), base: base.clone(), commit: base }),
        criticality: from.criticality.as_deref().and_then(Criticality::parse),
    }
}

/// Owners, windows and criticality that were given before are kept.
fn carry_assignment(d: &mut Deciding<'_>, run: &RunId, id: &UnitId, from: &ImportedUnit) {
    let unit = d.unit(run, id);
    let assignment = roundtable_shared::Assignment {
        unit: id.clone(),
        unit_type: unit.unit_type,
        owner_agent: from.owner_agent.clone().map(BackendName::from),
        target_window: from.target_window.clone(),
        criticality: from.criticality.as_deref().and_then(Criticality::parse).unwrap_or(unit.criticality),
        writes: unit.manifest.writes.entries().to_vec(),
        reads: unit.manifest.reads.entries().to_vec(),
        depends_on: Vec::new(),
    };
    d.emit(run, Fact::UnitReassigned { assignment: Box::new(assignment), by: "import".to_owned() });
}

/// Imported units that only a person can move: fixes without an owner, fixes used up.
pub(super) fn ask(d: &mut Deciding<'_>, run: &RunId) {
    let fixes: Vec<UnitId> = d.run(run).units().filter(|unit| unit.fix == Some(FixCause::Imported)).map(|unit| unit.id.clone()).collect();
    for id in fixes {
        let unit = d.unit(run, &id);
        if unit.fix_attempts >= FIX_ATTEMPTS_MAX {
            let context = format!("unit {id} was imported after {} fixes with findings still open", unit.fix_attempts);
            block(d, run, &id, Block { kind: DecisionKind::HumanFallback, reason: HUMAN.to_owned(), context });
        } else if unit.owner.is_none() {
            let context = format!("unit {id} was imported in fix_required without an owner");
            d.move_unit(run, &id, UnitState::Blocked, Some("no owner".to_owned()));
            raise(d, run, DecisionKind::MissingOwnerAgent, Some(&id), None, context);
        }
    }
}

/// Imported units that hold what an earlier one holds wait until it is free; the others are reviewed, or fixed, at once.
pub(super) fn make_room(d: &mut Deciding<'_>, run: &RunId) {
    let holding: Vec<UnitId> = d.run(run).holders().map(|unit| unit.id.clone()).collect();
    for id in holding {
        let unit = d.unit(run, &id);
        let earlier = d.run(run).hold_conflicts(unit).find(|other| other.position < unit.position).map(|other| other.id.clone());
        let Some(earlier) = earlier else {
            if unit.state == UnitState::PendingReview {
                let reviewers = unit.criticality.reviewers();
                d.emit(run, Fact::RoundOpened { unit: id, reviewers });
            }
            continue;
        };
        let release = match (&unit.fix, unit.last.clone()) {
            (None, Some(work)) => Release::Review { work },
            _ => Release::Fix,
        };
        d.move_unit(run, &id, UnitState::Blocked, Some(format!("waits for what unit {earlier} holds")));
        d.emit(run, Fact::ReleaseSet { unit: id, release: Some(release) });
    }
}
