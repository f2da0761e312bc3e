//! What the run's own agents are told: who assigns its units, who watches over it.

use roundtable_core::Core;
use roundtable_core::command::Now;
use roundtable_core::state::{Run, Stage};
use roundtable_shared::limits::WINDOWS_MAX;
use roundtable_shared::spec::{MentionKind, PathIndex, Unit as Outlined, assign_by_rules};
use roundtable_shared::{SubtaskState, UnitId, UnitType};

use super::spec_name;
use super::unit::steps;
use crate::prompt::facts::{self, PromptFacts};
use crate::prompt::input_of_run::*;
use crate::view;

/// Who has each type of work, in order of preference.
const OWNERS: [(UnitType, &[&str]); 3] = [
    (UnitType::Code, &["codex", "opencode", "gemini"]),
    (UnitType::Ui, &["gemini", "codex", "opencode"]),
    (UnitType::Review, &["codex-review", "codex", "opencode", "gemini"]),
];

pub(super) fn assign(run: &Run, facts: &PromptFacts) -> AssignBrief {
    let index = PathIndex::new(&facts.files, &run.origin.spec_paths);
    // While others are at work it is asked about what has not started, and nothing else.
    let again: Vec<&UnitId> = run.reassignable().map(|unit| &unit.id).collect();
    let units = run.units().filter_map(|unit| {
        let outlined = run.origin.outline.unit(unit.id.as_str())?;
        // Before the first plan nothing of this is decided: the agent sees what would be.
        let rules = assign_by_rules(outlined, run.options.mode);
        let decided = unit.assignment.owner.is_some();
        Some(AssignUnitBrief {
            id: unit.id.to_string(),
            title: unit.spec.title.clone(),
            runs: unit.spec.runs,
            is_open: unit.spec.runs && (run.stage() == Stage::Assigning || again.contains(&&unit.id)),
            details: outlined.own().details.clone(),
            steps: steps(outlined, unit),
            depends_on: outlined.depends_on.iter().map(ToString::to_string).collect(),
            unit_type: if decided { unit.assignment.unit_type } else { rules.unit_type },
            owner_agent: unit.assignment.owner.as_ref().or(rules.owner_agent.as_ref()).map(ToString::to_string),
            criticality: if decided { unit.assignment.criticality } else { rules.criticality },
            writes: unit.assignment.manifest.writes.entries().to_vec(),
            reads: unit.assignment.manifest.reads.entries().to_vec(),
            named: named(&index, outlined),
        })
    });
    AssignBrief {
        spec: spec_name(run),
        units: units.collect(),
        design: run.origin.spec.design.clone(),
        files: facts.files.clone(),
        files_total: facts.files_total,
        owners: owners(&facts.backends),
        backends: facts.backends.clone(),
        windows_max: WINDOWS_MAX,
        refused: run.agents.assigning.problems.clone(),
    }
}

/// The usual owners as far as they are offered, else who plays for them.
fn owners(offered: &[String]) -> Vec<OwnerBrief> {
    let of = |(unit_type, preferred): &(UnitType, &[&str])| {
        let is_offered = |name: &&&str| offered.iter().any(|backend| backend == **name);
        let owner = preferred.iter().find(is_offered).map(|name| (*name).to_owned()).or_else(|| offered.first().cloned())?;
        let instead_of = preferred.first().filter(|usual| **usual != owner).map(|usual| (*usual).to_owned());
        Some(OwnerBrief { unit_type: *unit_type, owner, instead_of })
    };
    OWNERS.iter().filter_map(of).collect()
}

/// The paths that titles and details of a unit name.
fn named(index: &PathIndex, outlined: &Outlined) -> NamedPathsBrief {
    let lines = outlined.tasks.iter().flat_map(|task| std::iter::once(&task.title).chain(&task.details));
    let mut named = NamedPathsBrief::default();
    for mention in index.mentions(lines.map(String::as_str)) {
        match mention.kind {
            MentionKind::Existing => named.existing.push(mention.path),
            MentionKind::NewFile => named.new.push(mention.path),
            MentionKind::NewFolder => named.in_new_folders.push(mention.path),
        }
    }
    named
}

pub(super) fn orchestrate(core: &Core, now: Now, run: &Run, facts: &PromptFacts) -> OrchestrateBrief {
    let (state, pulse) = facts::situation(core, now, run);
    let mut tasks = Vec::new();
    for outlined in &run.origin.outline.units {
        let Some(unit) = run.unit(&outlined.id) else { continue };
        let left_out = if unit.spec.runs { "" } else { " (does not run)" };
        tasks.push(format!("{} {}: {}{left_out}", unit.id, unit.spec.title, unit.state()));
        let states = view::subtask_states(outlined, unit);
        tasks.extend(outlined.subtasks().iter().map(|task| {
            let state = states.get(task.id.as_str()).copied().unwrap_or(SubtaskState::NotStarted);
            format!("  {} {}: {state}", task.id, task.title)
        }));
    }
    OrchestrateBrief {
        spec: spec_name(run),
        state,
        pulse,
        tasks,
        events: facts.last.iter().map(facts::event).collect(),
        actions_max: run.options.max_actions,
        refused: run.agents.orchestrator.asked_again.then(|| "it held no JSON object with the keys named below".to_owned()),
    }
}
