//! What a state knows of a unit beside where it stands: what was assigned, found, reported, changed. None of it stops an import.

use std::collections::{BTreeMap, BTreeSet};

use roundtable_core::command::{ImportedDecision, ImportedUnit};
use roundtable_core::state::WorkReport;
use roundtable_shared::answer::{AssignAnswer, Proposal};
use roundtable_shared::spec::{Plan, Unit};
use roundtable_shared::{
    DecisionId, DecisionKind, DeferredFix, FinalReport, HistoryFinding, Priority, ReviewHistoryEntry, Severity, TaskId, UnitId,
    read_requirements,
};
use serde_json::{Map, Value, json};

use super::{Place, Tasks, filled, time};
use crate::mirror::form::{AgentState, MirrorTask};

/// Decisions taken from a state.
const DECISIONS_MAX: usize = 1000;
/// Options of one.
const OPTIONS_MAX: usize = 20;

/// Lays what an earlier assignment said over the units; gives what of it is refused.
pub(super) fn assignments(units: &mut BTreeMap<UnitId, ImportedUnit>, state: &AgentState, plan: &Plan, tasks: &Tasks<'_>) -> Vec<String> {
    let assigned = plan.units.iter().filter_map(|unit| assigned(unit, tasks)).collect();
    let checked = AssignAnswer { dispatch_units: assigned, window_mapping: BTreeMap::new() }.check(&plan.units, &[]);
    for proposal in checked.accepted {
        if let Some(unit) = units.get_mut(&proposal.unit) {
            unit.assignment = Some(proposal);
        }
    }
    let mut told: Vec<String> = checked.refused.iter().map(|refusal| format!("AGENT_STATE.json, {refusal}; not used")).collect();
    // Only our own files say what is asked of workers.
    for (id, typed) in state.roundtable.iter().flat_map(|extra| &extra.requires) {
        let Some(imported) = units.get_mut(id.as_str()) else { continue };
        match read_requirements(typed) {
            Ok(labels) => imported.assignment.get_or_insert_with(|| Proposal::keep(UnitId::from(id.as_str()))).requires = Some(labels),
            Err(why) => told.push(format!("AGENT_STATE.json, unit {id}, requires: {why}; not used")),
        }
    }
    told
}

/// In the words of an assignment agent. A unit's manifest is the sum of its tasks', as in a plan.
fn assigned(unit: &Unit, tasks: &Tasks<'_>) -> Option<Map<String, Value>> {
    let (_, own) = tasks.get(unit.id.as_str())?;
    let sum = |list: fn(&MirrorTask) -> &Vec<String>| -> BTreeSet<&String> {
        unit.tasks.iter().filter_map(|task| tasks.get(task.id.as_str())).flat_map(|(_, task)| list(task)).collect()
    };
    let said = json!({
        "task_id": unit.id.as_str(),
        "type": own.task_type,
        "criticality": own.criticality,
        "writes": sum(|task| &task.writes),
        "reads": sum(|task| &task.reads),
        "depends_on": own.dependencies,
    });
    let Value::Object(said) = said else { return None };
    Some(said.into_iter().filter(|(_, value)| !value.is_null() && *value != json!("") && *value != json!([])).collect())
}

/// Units a person went on without, or ended: only our own files say so.
pub(super) fn ended_by_person(state: &AgentState, unit: &UnitId) -> Option<String> {
    let extra = state.roundtable.as_ref()?;
    let lists = [("skipped", &extra.skipped), ("cancelled", &extra.cancelled)];
    let found = lists.into_iter().find(|(_, list)| list.iter().any(|id| id == unit.as_str()));
    found.map(|(word, _)| word.to_owned())
}

/// `skipped: why` is how the files show the reason of a unit that was skipped.
pub(super) fn without_prefix(reason: &str, status: &str) -> String {
    let rest = reason.strip_prefix(status).map(|rest| rest.strip_prefix(':').unwrap_or(rest).trim_start());
    rest.unwrap_or(reason).to_owned()
}

/// What a unit and its tasks have changed.
pub(super) fn files(unit: &Unit, tasks: &Tasks<'_>, place: &Place) -> Vec<String> {
    let of_tasks = unit.tasks.iter().filter_map(|task| tasks.get(task.id.as_str()));
    let files: BTreeSet<String> = of_tasks.flat_map(|(_, task)| &task.files_changed).filter_map(|file| place.path(file)).collect();
    files.into_iter().collect()
}

/// Rounds that sent it back.
pub(super) fn history(task: &MirrorTask) -> Vec<ReviewHistoryEntry> {
    let entries = task.review_history.iter().map(|entry| ReviewHistoryEntry {
        attempt: entry.attempt,
        severity: Severity::from_agent(&entry.severity),
        findings: entry
            .findings
            .iter()
            .map(|finding| HistoryFinding {
                severity: Severity::from_agent(&finding.severity),
                summary: finding.summary.clone(),
                details: filled(&finding.details),
            })
            .collect(),
        reviewed_at: time(&entry.reviewed_at).unwrap_or_default(),
    });
    entries.collect()
}

/// Consolidations of its rounds, oldest first.
pub(super) fn final_reports(state: &AgentState, unit: &Unit) -> Vec<FinalReport> {
    let of_unit = state.final_reports.iter().filter(|report| report.task_id == unit.id.as_str());
    let reports = of_unit.map(|report| FinalReport {
        task_id: unit.id.task(),
        overall_severity: Severity::from_agent(&report.overall_severity),
        summary: report.summary.clone(),
        finding_count: report.finding_count,
        created_at: time(&report.created_at).unwrap_or_default(),
    });
    reports.collect()
}

/// What its agent last said of its work, if it said anything.
pub(super) fn report(task: &MirrorTask) -> Option<WorkReport> {
    let report = WorkReport {
        summary: filled(&task.output).unwrap_or_default(),
        tests_passed: task.tests_passed,
        tests_failed: task.tests_failed,
        coverage: filled(&task.coverage),
        coverage_num: task.coverage_num,
        error: filled(&task.error),
        exit_code: task.exit_code.and_then(|code| i32::try_from(code).ok()),
        ..WorkReport::default()
    };
    (report != WorkReport::default()).then_some(report)
}

/// Questions to a person. One about a task the plan does not have is named and left out; those about the run as a whole that we ask ourselves come again.
pub(super) fn decisions(state: &AgentState, plan: &Plan, notices: &mut Vec<String>) -> Vec<ImportedDecision> {
    let ours = |id: &str| id == DecisionKind::CheckRedOnBase.as_str() || id.starts_with(DecisionKind::NoWorker.as_str());
    let mut decisions: Vec<ImportedDecision> = Vec::new();
    for asked in state.pending_decisions.iter().take(DECISIONS_MAX) {
        let task = asked.task_id.trim();
        let unit = plan.units.iter().find(|unit| unit.id.as_str() == task || unit.task(task).is_some()).map(|unit| unit.id.clone());
        if asked.id.is_empty() || ours(&asked.id) || decisions.iter().any(|known| known.id.as_str() == asked.id) {
            continue;
        }
        if unit.is_none() && !task.is_empty() {
            notices.push(format!("AGENT_STATE.json, decision {}: there is no task {task}; not asked", asked.id));
            continue;
        }
        decisions.push(ImportedDecision {
            id: DecisionId::new(asked.id.as_str()),
            unit,
            priority: Priority::parse(&asked.priority.trim().to_ascii_lowercase()).unwrap_or(Priority::High),
            context: asked.context.clone(),
            options: asked.options.iter().filter(|option| !option.trim().is_empty()).take(OPTIONS_MAX).cloned().collect(),
            created_at: time(&asked.created_at).unwrap_or_default(),
        });
    }
    decisions
}

/// Minor issues left for later, of tasks the plan still has.
pub(super) fn deferred(state: &AgentState, plan: &Plan) -> Vec<DeferredFix> {
    let known = |id: &str| plan.units.iter().any(|unit| unit.task(id).is_some());
    let fixes = state.deferred_fixes.iter().filter(|fix| known(&fix.task_id)).map(|fix| DeferredFix {
        task_id: TaskId::from(fix.task_id.as_str()),
        description: fix.description.clone(),
        severity: Severity::parse(&fix.severity).unwrap_or(Severity::Minor),
        created_at: time(&fix.created_at).unwrap_or_default(),
    });
    fixes.collect()
}
