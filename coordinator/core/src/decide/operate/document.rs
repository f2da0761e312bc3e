//! An assignment document a person applies: all of it or nothing, with every problem named by unit and field.

use roundtable_shared::answer::{Proposal, Refusal};
use roundtable_shared::manifest::Manifest;
use roundtable_shared::{Assignment, RunId, UnitId};

use crate::change::Rejection;
use crate::moves::{assignment, run};
use crate::rules::planner::Planner;
use crate::state::{PlanSource, Run, Stage, Unit};
use crate::transition::Fact;
use crate::txn::Txn;

/// Gives each unit named what is said of it; what is left out stays.
pub(crate) fn assign_all(d: &mut Txn<'_>, run: &RunId, proposals: &[Proposal], by: &str) -> Result<(), Rejection> {
    let now = d.run(run);
    let mut refused: Vec<Refusal> = proposals.iter().flat_map(|said| problems(now, said)).collect();
    let mut planner = Planner::new(now);
    let mut assignments: Vec<Assignment> = Vec::new();
    for said in proposals {
        let Some(unit) = now.unit(&said.unit) else { continue };
        let before = planner.problems.len();
        let depends_on: Vec<UnitId> = said.depends_on.iter().filter(|on| planner.add_dependency(unit.spec.position, on)).cloned().collect();
        refused.extend(planner.problems[before..].iter().map(|problem| refusal(&said.unit, "depends_on", problem.clone())));
        assignments.push(Assignment { depends_on, ..assignment(unit, said) });
    }
    if !refused.is_empty() {
        let listed: Vec<String> = refused.iter().map(|refusal| format!("- {refusal}")).collect();
        return Err(Rejection::invalid(format!("nothing was applied:\n{}", listed.join("\n"))));
    }
    let adds_dependencies = assignments.iter().any(|assignment| !assignment.depends_on.is_empty());
    let (order, source) = (planner.order(), now.agents.plan_source.unwrap_or(PlanSource::Rules));
    if adds_dependencies {
        d.emit(run, Fact::UnitsPlanned { source, assignments: assignments.clone(), order });
        run::forget_missing(d, run);
    }
    for said in proposals {
        if let Some(requires) = said.requires.clone() {
            d.emit(run, Fact::RequirementsSet { unit: said.unit.clone(), requires, by: by.to_owned() });
        }
    }
    let count = assignments.len();
    for assignment in assignments {
        assignment::reassign(d, run, Assignment { depends_on: Vec::new(), ..assignment }, by.to_owned());
    }
    d.done(match count {
        0 => "the document names no unit; nothing changed".to_owned(),
        1 => "1 unit is assigned anew".to_owned(),
        count => format!("{count} units are assigned anew"),
    });
    Ok(())
}

/// Why this cannot be said of the unit now.
fn problems(run: &Run, said: &Proposal) -> Vec<Refusal> {
    let id = &said.unit;
    let Some(unit) = run.unit(id) else { return vec![refusal(id, "task_id", format!("run {} has no such unit", run.id))] };
    if unit.state().is_terminal() || !unit.spec.runs {
        return vec![refusal(id, "task_id", format!("it is {} and does not run any more; leave it out", unit.state()))];
    }
    let mut problems = Vec::new();
    for (field, list, is_writes) in [("writes", &said.writes, true), ("reads", &said.reads, false)] {
        let Some(list) = list else { continue };
        let (writes, reads): (&[String], &[String]) = if is_writes { (list, &[]) } else { (&[], list) };
        if unit.holds() {
            problems.push(refusal(id, field, format!("it is {} and holds its writes; retry it first, or leave this out", unit.state())));
        } else if let Err(error) = Manifest::new(writes, reads, run.options.ignore_case) {
            problems.push(refusal(id, field, error.to_string()));
        }
    }
    if !said.depends_on.is_empty() {
        if run.stage() == Stage::Assigning {
            problems.push(refusal(id, "depends_on", "the run is still being assigned; apply it again once that is done".to_owned()));
        } else if unit.work.started {
            problems.push(refusal(id, "depends_on", format!("it has begun ({}); leave this out", unit.state())));
        }
    }
    problems
}

fn assignment(unit: &Unit, said: &Proposal) -> Assignment {
    let list = |said: &Option<Vec<String>>, own: &[String]| said.clone().unwrap_or_else(|| own.to_vec());
    Assignment {
        unit: unit.id.clone(),
        unit_type: said.unit_type.unwrap_or(unit.assignment.unit_type),
        owner_agent: said.owner_agent.clone().or_else(|| unit.assignment.owner.clone()),
        target_window: said.target_window.clone().or_else(|| unit.assignment.window.clone()).or_else(|| Some(format!("task-{}", unit.id))),
        criticality: said.criticality.unwrap_or(unit.assignment.criticality),
        writes: list(&said.writes, unit.assignment.manifest.writes.entries()),
        reads: list(&said.reads, unit.assignment.manifest.reads.entries()),
        depends_on: Vec::new(),
    }
}

fn refusal(unit: &UnitId, field: &str, reason: String) -> Refusal {
    Refusal { unit: unit.to_string(), field: field.to_owned(), reason }
}
