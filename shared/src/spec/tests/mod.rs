//! Tests of specs, by subject. All texts are our own.
#![allow(clippy::unwrap_used)]

mod grammar;
mod labels;
mod properties;
mod selection;
mod texts;
mod wrong;

use super::*;

fn plan(text: &str) -> Plan {
    parse_tasks(text.as_bytes(), "tasks.md")
}

/// Problems as printed, with the first letter of their level.
fn problems(text: &str) -> Vec<String> {
    let letter = |level: Level| match level {
        Level::Error => 'E',
        Level::Warning => 'W',
        Level::Note => 'N',
    };
    plan(text).problems.iter().map(|problem| format!("{} {problem}", letter(problem.level))).collect()
}

/// The ids of each unit's tasks, in order of work.
fn ids(plan: &Plan) -> Vec<String> {
    plan.units.iter().map(|unit| unit.tasks.iter().map(|task| task.id.as_str()).collect::<Vec<_>>().join(" ")).collect()
}

fn unit_ids(text: &str) -> Vec<String> {
    ids(&plan(text))
}

/// Dependencies as `unit: targets`.
fn depends(text: &str) -> Vec<String> {
    let list = |unit: &Unit| unit.depends_on.iter().map(|id| id.to_string()).collect::<Vec<_>>().join(" ");
    plan(text).units.iter().filter(|unit| !unit.depends_on.is_empty()).map(|unit| format!("{}: {}", unit.id, list(unit))).collect()
}
