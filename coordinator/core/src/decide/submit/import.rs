//! State carried over from mirror files, half-finished runs included: what was done is in the base, what was under way goes on from there
//! (docs/migrating.md).

use roundtable_shared::answer::Proposal;
use roundtable_shared::limits::FIX_ATTEMPTS_MAX;
use roundtable_shared::spec::assign_by_rules;
use roundtable_shared::time::WallMs;
use roundtable_shared::{
    Assignment, BackendName, Criticality, Decision, DecisionKind, DeferredFix, FinalReport, Finding, ReviewHistoryEntry, RunId, Severity,
    SubtaskState, TaskId, UnitId, UnitState,
};

use crate::command::{HUMAN, Imported, ImportedDecision, ImportedUnit};
use crate::moves::ask::raise;
use crate::moves::unit::{Block, block};
use crate::state::{FixCause, Release, Unit, Work};
use crate::transition::{Fact, UnitImport};
use crate::txn::Txn;

/// Files named in a notice.
const FILES_NAMED_MAX: usize = 10;

/// Begins a run where a state stands. Gives what the user should know of it.
pub(crate) fn take_up(d: &mut Txn<'_>, run: &RunId, imported: &Imported) -> Vec<String> {
    let said = import(d, run, imported);
    ask(d, run);
    ask_as_imported(d, run, &imported.decisions);
    make_room(d, run);
    said
}

/// Carries the units over. Assignment follows; decisions after that.
fn import(d: &mut Txn<'_>, run: &RunId, imported: &Imported) -> Vec<String> {
    let mut said = imported.notices.clone();
    for (id, from) in &imported.units {
        let Some(unit) = d.state().unit(run, id) else { continue };
        let runs = unit.spec.runs;
        let import = translate(d, run, unit, from);
        let is_fix = import.state == UnitState::FixRequired;
        d.emit(run, Fact::UnitImported { unit: id.clone(), import: Box::new(import) });
        said.extend(about_files(id, from).filter(|_| runs));
        if !runs {
            continue;
        }
        if is_fix {
            d.emit(run, Fact::FixSet { unit: id.clone(), cause: Some(FixCause::Imported) });
        }
        carry_assignment(d, run, id, from);
    }
    for fix in &imported.deferred {
        let fix = DeferredFix { created_at: known_or(fix.created_at, d.now.wall), ..fix.clone() };
        d.emit(run, Fact::DeferredFixAdded { fix: Box::new(fix) });
    }
    for text in &said {
        d.notice(run, text.clone());
    }
    said
}

/// What there is to say where the base lacks files a unit has changed.
fn about_files(id: &UnitId, from: &ImportedUnit) -> Option<String> {
    if !from.has_work() || from.missing.is_empty() {
        return None;
    }
    let files = named(&from.missing);
    Some(match (from.is_lost(), from.status.as_str()) {
        (true, _) => format!("unit {id} was {}, but what it changed is nowhere to be found ({files}): it starts over", from.status),
        (false, "completed") => format!(
            "unit {id} is completed, but the base lacks files it changed: {files}. They were deleted since, or never committed; it stays completed"
        ),
        (false, _) => format!("unit {id} goes on as {}, but the base lacks files it changed: {files}", from.status),
    })
}

/// A time a state left out is that of the import.
fn known_or(at: WallMs, now: WallMs) -> WallMs {
    if at == WallMs::default() { now } else { at }
}

fn named(files: &[String]) -> String {
    let shown = files.iter().take(FILES_NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    if files.len() > FILES_NAMED_MAX { format!("{shown} and {} more", files.len() - FILES_NAMED_MAX) } else { shown }
}

fn translate(d: &Txn<'_>, run: &RunId, unit: &Unit, from: &ImportedUnit) -> UnitImport {
    let (base, now) = (d.run(run).origin.base.clone(), d.now.wall);
    let state = state_of(unit, from);
    let is_lost = from.is_lost();
    let is_done = |word: &str| !is_lost && matches!(word, "completed" | "pending_review" | "under_review" | "final_review");
    let completed = unit.spec.subtasks.iter().filter(|subtask| {
        let word = from.subtasks.get(subtask.id.as_str()).map(String::as_str);
        let all = !matches!(state, UnitState::NotStarted | UnitState::Skipped | UnitState::Cancelled);
        all || word.is_some_and(is_done) || subtask.state == SubtaskState::Completed
    });
    let completed: Vec<TaskId> = completed.map(|subtask| subtask.id.clone()).collect();
    if is_lost {
        return UnitImport { state, completed, ..UnitImport::default() };
    }
    let findings = from.findings.iter().enumerate().map(|(at, (severity, summary, details))| Finding {
        task_id: unit.id.task(),
        reviewer: format!("review-{}-{}", unit.id, at + 1),
        round: 1,
        severity: Severity::from_agent(severity),
        summary: summary.clone(),
        details: details.clone(),
        issues: Vec::new(),
        earlier: Vec::new(),
        created_at: d.now.wall,
    });
    let has_work = matches!(state, UnitState::PendingReview | UnitState::FixRequired);
    UnitImport {
        state,
        reason: from.blocked_reason.clone().filter(|_| matches!(state, UnitState::Skipped | UnitState::Cancelled)),
        completed,
        fix_attempts: from.fix_attempts.min(FIX_ATTEMPTS_MAX),
        escalated: from.escalated,
        original_agent: from.original_agent.clone().map(BackendName::from),
        findings: findings.collect(),
        work: has_work.then(|| Work { attempt: Default::default(), base: base.clone(), commit: base }),
        criticality: from.criticality.as_deref().and_then(Criticality::parse),
        assignment: from.assignment.clone(),
        files: from.files.clone(),
        history: from
            .history
            .iter()
            .map(|entry| ReviewHistoryEntry { reviewed_at: known_or(entry.reviewed_at, now), ..entry.clone() })
            .collect(),
        final_reports: from
            .final_reports
            .iter()
            .map(|report| FinalReport { created_at: known_or(report.created_at, now), ..report.clone() })
            .collect(),
        last_severity: from.last_severity,
        report: from.report.clone(),
        completed_at: from.completed_at,
    }
}

/// Where it begins. What does not run stays as the plan has it, but for being completed.
fn state_of(unit: &Unit, from: &ImportedUnit) -> UnitState {
    match from.status.as_str() {
        "completed" => UnitState::Completed,
        _ if !unit.spec.runs => unit.state(),
        _ if from.is_lost() => UnitState::NotStarted,
        // The work of a unit under review is in the base; reviewers look at the files as they are.
        "pending_review" | "under_review" | "final_review" => UnitState::PendingReview,
        "fix_required" => UnitState::FixRequired,
        "skipped" => UnitState::Skipped,
        "cancelled" => UnitState::Cancelled,
        "blocked" if from.is_exhausted() => UnitState::FixRequired,
        // Whatever else it was blocked by, a failed step or a unit before it, is found out again.
        _ => UnitState::NotStarted,
    }
}

/// What was assigned before is kept: an earlier answer over rules and spec. Dependencies wait for the plan, which knows cycles.
fn carry_assignment(d: &mut Txn<'_>, run: &RunId, id: &UnitId, from: &ImportedUnit) {
    let (now, unit) = (d.run(run), d.unit(run, id));
    let keep = Proposal::keep(id.clone());
    let said = from.assignment.as_ref().unwrap_or(&keep);
    let own = (unit.assignment.manifest.writes.entries().to_vec(), unit.assignment.manifest.reads.entries().to_vec());
    let (writes, reads) = (said.writes.clone().unwrap_or(own.0), said.reads.clone().unwrap_or(own.1));
    let by_rules = now.outlined(id).map(|unit| assign_by_rules(unit, now.options.mode).criticality);
    let criticality = from.criticality.as_deref().and_then(Criticality::parse).or(said.criticality).or(by_rules);
    let assignment = Assignment {
        unit: id.clone(),
        unit_type: said.unit_type.unwrap_or(unit.assignment.unit_type),
        owner_agent: from.owner_agent.clone().map(BackendName::from),
        target_window: from.target_window.clone(),
        criticality: criticality.unwrap_or(unit.assignment.criticality),
        writes,
        reads,
        depends_on: Vec::new(),
    };
    let requires = said.requires.clone().filter(|requires| *requires != unit.assignment.requires);
    d.emit(run, Fact::UnitReassigned { assignment: Box::new(assignment), by: "import".to_owned() });
    if let Some(requires) = requires {
        d.emit(run, Fact::RequirementsSet { unit: id.clone(), requires, by: "import".to_owned() });
    }
}

/// Imported units that only a person can move: fixes without an owner, fixes used up.
fn ask(d: &mut Txn<'_>, run: &RunId) {
    let fixes: Vec<UnitId> =
        d.run(run).units().filter(|unit| unit.fix() == Some(&FixCause::Imported)).map(|unit| unit.id.clone()).collect();
    for id in fixes {
        let unit = d.unit(run, &id);
        if unit.counters.fix_attempts >= FIX_ATTEMPTS_MAX {
            let context = format!("unit {id} was imported after {} fixes with findings still open", unit.counters.fix_attempts);
            block(d, run, &id, Block { kind: DecisionKind::HumanFallback, reason: HUMAN.to_owned(), context });
        } else if unit.assignment.owner.is_none() {
            let context = format!("unit {id} was imported in fix_required without an owner");
            d.move_unit(run, &id, UnitState::Blocked, Some("no owner".to_owned()));
            raise(d, run, DecisionKind::MissingOwnerAgent, Some(&id), context);
        }
    }
}

/// What the state asks a person and nobody has asked yet: in our words where we know the question by its id, else in its own.
fn ask_as_imported(d: &mut Txn<'_>, run: &RunId, decisions: &[ImportedDecision]) {
    for asked in decisions {
        if d.is_open(run, &asked.id) {
            continue;
        }
        let Some(id) = &asked.unit else {
            raise_imported(d, run, asked);
            continue;
        };
        let Some(unit) = d.state().unit(run, id).filter(|unit| unit.spec.runs && !unit.state().is_terminal()) else {
            d.notice(
                run,
                format!("decision {} of the imported state is about unit {id}, which has nothing left to do; not asked", asked.id),
            );
            continue;
        };
        let (has_owner, is_blocked) = (unit.assignment.owner.is_some(), unit.state() == UnitState::Blocked);
        match DecisionKind::OF_UNITS.into_iter().find(|kind| kind.id(Some(id.as_str())) == asked.id) {
            Some(DecisionKind::MissingOwnerAgent) if has_owner => {
                d.notice(run, format!("decision {} of the imported state is settled: unit {id} has an owner", asked.id));
            }
            Some(DecisionKind::MissingOwnerAgent) if !is_blocked => {
                d.move_unit(run, id, UnitState::Blocked, Some("no owner".to_owned()));
                raise(d, run, DecisionKind::MissingOwnerAgent, Some(id), asked.context.clone());
            }
            // Another question about it has blocked it already.
            Some(kind) if is_blocked => raise(d, run, kind, Some(id), asked.context.clone()),
            Some(kind) => block(d, run, id, Block { kind, reason: HUMAN.to_owned(), context: asked.context.clone() }),
            None => {
                if !is_blocked {
                    d.move_unit(run, id, UnitState::Blocked, Some(HUMAN.to_owned()));
                }
                raise_imported(d, run, asked);
            }
        }
    }
}

fn raise_imported(d: &mut Txn<'_>, run: &RunId, asked: &ImportedDecision) {
    let decision = Decision {
        id: asked.id.clone(),
        kind: DecisionKind::Imported,
        unit: asked.unit.clone(),
        backend: None,
        requires: Vec::new(),
        priority: asked.priority,
        context: asked.context.clone(),
        options: asked.options.clone(),
        keywords: (1..=asked.options.len()).map(|number| number.to_string()).collect(),
        created_at: known_or(asked.created_at, d.now.wall),
        answer: None,
    };
    d.emit(run, Fact::DecisionRaised { decision: Box::new(decision) });
}

/// Imported units that hold what an earlier one holds wait until it is free; the others are reviewed, or fixed, at once.
fn make_room(d: &mut Txn<'_>, run: &RunId) {
    let holding: Vec<UnitId> = d.run(run).holders().map(|unit| unit.id.clone()).collect();
    for id in holding {
        let unit = d.unit(run, &id);
        let earlier = d.run(run).hold_conflicts(unit).find(|other| other.spec.position < unit.spec.position).map(|other| other.id.clone());
        let Some(earlier) = earlier else {
            if unit.state() == UnitState::PendingReview {
                let reviewers = unit.assignment.criticality.reviewers();
                d.emit(run, Fact::RoundOpened { unit: id, reviewers });
            }
            continue;
        };
        let release = match (&unit.fix(), unit.work.last.clone()) {
            (None, Some(work)) => Release::Review { work },
            _ => Release::Fix,
        };
        d.move_unit(run, &id, UnitState::Blocked, Some(format!("waits for what unit {earlier} holds")));
        d.emit(run, Fact::ReleaseSet { unit: id, release: Some(release) });
    }
}
