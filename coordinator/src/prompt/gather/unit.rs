//! The unit as those who work on it, review it or assign it see it.

use std::collections::BTreeSet;

use roundtable_core::state::{Run, Unit};
use roundtable_shared::spec::{Hints, RequirementIndex, Task, Unit as Outlined, design_parts};
use roundtable_shared::{Answer, Choice, ManifestRule};

use super::spec_name;
use crate::prompt::facts::PromptFacts;
use crate::prompt::input_of_unit::*;
use crate::view;

/// A design no longer than this is told as it stands, bytes.
const DESIGN_WHOLE_BYTES: usize = 8 << 10;

pub(super) fn unit_brief(run: &Run, unit: &Unit, facts: &PromptFacts) -> Option<UnitBrief> {
    let outlined = run.origin.outline.unit(unit.id.as_str())?;
    let (requirements, requirements_unknown) = requirements(run, outlined);
    Some(UnitBrief {
        id: unit.id.to_string(),
        title: unit.spec.title.clone(),
        spec: spec_name(run),
        unit_type: unit.assignment.unit_type,
        criticality: unit.assignment.criticality,
        details: outlined.own().details.clone(),
        decided: decided(run, unit),
        steps: steps(outlined, unit),
        requirements,
        requirements_unknown,
        design: design(run, unit, outlined),
        writes: unit.assignment.manifest.writes.entries().to_vec(),
        reads: unit.assignment.manifest.reads.entries().to_vec(),
        exclusive: unit.claims_all(),
        strict: run.options.manifest == ManifestRule::Strict,
        conventions: facts.conventions.clone(),
    })
}

/// What a person has answered to questions about the unit, in words: the option chosen of an imported one, and the note given with any.
fn decided(run: &Run, unit: &Unit) -> Vec<String> {
    let about = run.people.answered.values().filter(|decision| decision.unit.as_ref() == Some(&unit.id));
    let answered = about.filter_map(|decision| match decision.answer.as_ref()? {
        Answer { choice: Choice::Answer { option }, note, .. } => {
            let note = note.as_ref().map(|note| format!(" ({note})")).unwrap_or_default();
            Some(format!("{}\nAnswer: {option}{note}", decision.context))
        }
        Answer { note, .. } => note.as_ref().map(|note| format!("{note}\n(said to: {})", decision.context)),
    });
    answered.collect()
}

/// The design, its part for this unit first where it is long.
fn design(run: &Run, unit: &Unit, outlined: &Outlined) -> Option<DesignBrief> {
    let text = run.origin.spec.design.as_deref()?;
    if text.len() <= DESIGN_WHOLE_BYTES {
        return Some(DesignBrief { near: String::new(), rest: text.to_owned() });
    }
    let entries = unit.assignment.manifest.writes.entries().iter().chain(unit.assignment.manifest.reads.entries());
    let links = outlined.tasks.iter().flat_map(|task| &task.requirements);
    let titles = outlined.tasks.iter().map(|task| task.title.as_str());
    let hints = Hints::new(entries.map(String::as_str), links.map(String::as_str), titles);
    let parts = design_parts(text, &hints);
    Some(DesignBrief { near: parts.near, rest: parts.rest })
}

/// The steps in document order, as deep as the plan has them.
pub(super) fn steps(outlined: &Outlined, unit: &Unit) -> Vec<StepBrief> {
    let states = view::subtask_states(outlined, unit);
    let told = outlined.subtasks().iter().map(|task| {
        let leaf = unit.spec.subtasks.iter().find(|leaf| leaf.id == task.id);
        StepBrief {
            id: task.id.to_string(),
            title: task.title.clone(),
            depth: depth(outlined, task),
            details: task.details.clone(),
            optional: leaf.map_or(task.optional, |leaf| !leaf.needed),
            wanted: leaf.is_none_or(|leaf| leaf.runs),
            is_group: !task.subtasks.is_empty(),
            state: states.get(task.id.as_str()).copied().unwrap_or(task.status),
            error: leaf.and_then(|leaf| leaf.error.clone()),
            is_next: false,
        }
    });
    told.collect()
}

/// How far below the unit's direct children, from 0.
fn depth(outlined: &Outlined, task: &Task) -> usize {
    let mut depth = 0;
    let mut at = task.parent.as_ref();
    // A parent stands before its children, so this ends; the bound is for plans that are damaged.
    while let Some(parent) = at.filter(|id| id.as_str() != outlined.id.as_str()).and_then(|id| outlined.task(id.as_str())) {
        depth += 1;
        at = parent.parent.as_ref();
        if depth > outlined.tasks.len() {
            break;
        }
    }
    depth
}

/// Texts of linked requirements, each once, and the links that lead nowhere. A bugfix that links nothing is told whole.
fn requirements(run: &Run, outlined: &Outlined) -> (Vec<RequirementBrief>, Vec<String>) {
    let text = run.origin.spec.requirements.as_deref().or(run.origin.spec.bugfix.as_deref());
    let mut seen = BTreeSet::new();
    let links: Vec<&String> = outlined.tasks.iter().flat_map(|task| &task.requirements).filter(|id| seen.insert(id.as_str())).collect();
    let Some(text) = text else { return (Vec::new(), links.into_iter().cloned().collect()) };
    if links.is_empty() && run.origin.spec.requirements.is_none() {
        return (vec![RequirementBrief { id: "bugfix.md".to_owned(), text: text.to_owned() }], Vec::new());
    }
    let index = RequirementIndex::new(text);
    let mut found = Vec::new();
    let mut unknown = Vec::new();
    for id in links {
        match index.get(id) {
            Some(requirement) => {
                found.push(RequirementBrief { id: id.clone(), text: format!("{}\n{}", requirement.heading, requirement.text) });
            }
            None => unknown.push(id.clone()),
        }
    }
    (found, unknown)
}
