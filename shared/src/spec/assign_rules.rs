//! Assignments without an agent: keyword rules, and how later sources are laid over them (docs/rules.md, "Assignment"). Who offers a backend is not known here.

use std::collections::HashMap;

use super::model::Unit;
use crate::answer::Proposal;
use crate::domain::{Assignment, Criticality, Mode, UnitType};
use crate::ids::{BackendName, UnitId};
use crate::limits::WINDOWS_MAX;

/// Words in titles that speak of what people see.
const UI: [&str; 34] = [
    "ui",
    "ux",
    "frontend",
    "css",
    "scss",
    "html",
    "layout",
    "layouts",
    "styling",
    "stylesheet",
    "responsive",
    "button",
    "buttons",
    "modal",
    "modals",
    "dialog",
    "dialogs",
    "navbar",
    "sidebar",
    "widget",
    "widgets",
    "screen",
    "screens",
    "page",
    "pages",
    "dashboard",
    "theme",
    "themes",
    "tailwind",
    "react",
    "vue",
    "svelte",
    "wireframe",
    "animation",
];
/// Words in titles after which a slip costs more than a bug.
const SECURITY: [&str; 40] = [
    "auth",
    "authentication",
    "authenticate",
    "authorization",
    "authorisation",
    "authorize",
    "login",
    "logout",
    "password",
    "passwords",
    "credential",
    "credentials",
    "secret",
    "secrets",
    "oauth",
    "oauth2",
    "oidc",
    "jwt",
    "saml",
    "sso",
    "mfa",
    "2fa",
    "encryption",
    "encrypt",
    "decrypt",
    "cryptography",
    "crypto",
    "permission",
    "permissions",
    "rbac",
    "acl",
    "csrf",
    "xss",
    "security",
    "secure",
    "vulnerability",
    "vulnerabilities",
    "payment",
    "payments",
    "privilege",
];
/// Words in titles that speak of work with many consequences.
const COMPLEX: [&str; 20] = [
    "architecture",
    "refactor",
    "refactoring",
    "migration",
    "migrations",
    "migrate",
    "concurrency",
    "concurrent",
    "distributed",
    "transaction",
    "transactions",
    "transactional",
    "algorithm",
    "algorithms",
    "scheduler",
    "consensus",
    "replication",
    "sharding",
    "protocol",
    "deadlock",
];
/// From so many subtasks on a unit is complex.
const COMPLEX_SUBTASKS: usize = 10;

/// What rules and the spec's own lines say about a unit. In manual mode owner and window stay open.
pub fn assign_by_rules(unit: &Unit, mode: Mode) -> Assignment {
    let unit_type = unit_type(unit);
    let owner = if mode == Mode::Legacy { "codex" } else { owner_of(unit_type) };
    let manual = mode == Mode::Manual;
    Assignment {
        unit: unit.id.clone(),
        unit_type,
        owner_agent: (!manual).then(|| BackendName::new(owner)),
        target_window: (!manual).then(|| format!("task-{}", unit.id)),
        criticality: criticality(unit),
        writes: unit.writes.clone(),
        reads: unit.reads.clone(),
        depends_on: Vec::new(),
    }
}

/// Lays a proposal of an agent or an operator over an assignment, field by field.
pub fn apply_proposal(assignment: &mut Assignment, proposal: &Proposal) {
    if let Some(unit_type) = proposal.unit_type {
        assignment.unit_type = unit_type;
    }
    if let Some(criticality) = proposal.criticality {
        assignment.criticality = criticality;
    }
    if let Some(owner) = &proposal.owner_agent {
        assignment.owner_agent = Some(owner.clone());
    }
    if let Some(window) = &proposal.target_window {
        assignment.target_window = Some(window.clone());
    }
    if let Some(writes) = &proposal.writes {
        assignment.writes.clone_from(writes);
    }
    if let Some(reads) = &proposal.reads {
        assignment.reads.clone_from(reads);
    }
    for id in &proposal.depends_on {
        if !assignment.depends_on.contains(id) {
            assignment.depends_on.push(id.clone());
        }
    }
}

/// Assignments of units that run, in their order: rules and spec, then the agent's proposals, then the operator's; windows shared.
pub fn assign_all<'a>(units: impl IntoIterator<Item = &'a Unit>, mode: Mode, agent: &[Proposal], operator: &[Proposal]) -> Vec<Assignment> {
    let mut all: Vec<Assignment> = units.into_iter().map(|unit| assign_by_rules(unit, mode)).collect();
    let place: HashMap<UnitId, usize> = all.iter().enumerate().map(|(at, assignment)| (assignment.unit.clone(), at)).collect();
    for proposal in agent.iter().chain(operator) {
        if let Some(&at) = place.get(&proposal.unit) {
            apply_proposal(&mut all[at], proposal);
        }
    }
    share_windows(&mut all);
    all
}

/// Keeps the first nine window names; units with further ones take turns in those.
pub fn share_windows(assignments: &mut [Assignment]) {
    let mut kept: Vec<String> = Vec::new();
    let mut moved: HashMap<String, String> = HashMap::new();
    for assignment in assignments {
        let Some(window) = &mut assignment.target_window else { continue };
        if kept.contains(window) {
            continue;
        }
        if kept.len() < WINDOWS_MAX {
            kept.push(window.clone());
            continue;
        }
        let turn = moved.len() % WINDOWS_MAX;
        let shared = moved.entry(window.clone()).or_insert_with(|| kept[turn].clone());
        window.clone_from(shared);
    }
}

fn owner_of(unit_type: UnitType) -> &'static str {
    match unit_type {
        UnitType::Code => "codex",
        UnitType::Ui => "gemini",
        UnitType::Review => "codex-review",
    }
}

/// Titles decide; details mention too much in passing.
fn unit_type(unit: &Unit) -> UnitType {
    let title = words(&unit.title);
    if title.first().is_some_and(|word| word == "review" || word == "audit") {
        return UnitType::Review;
    }
    let of_ui = |title: &str| {
        let words = words(title);
        let front_end = words.windows(2).any(|pair| pair[0] == "front" && pair[1] == "end");
        front_end || has_any(&words, &UI)
    };
    let subtasks = unit.subtasks();
    let ui_subtasks = subtasks.iter().filter(|task| of_ui(&task.title)).count();
    let mostly_ui = !subtasks.is_empty() && ui_subtasks * 2 > subtasks.len();
    if of_ui(&unit.title) || mostly_ui { UnitType::Ui } else { UnitType::Code }
}

fn criticality(unit: &Unit) -> Criticality {
    let titles: Vec<Vec<String>> = unit.tasks.iter().map(|task| words(&task.title)).collect();
    if titles.iter().any(|title| has_any(title, &SECURITY)) {
        Criticality::SecuritySensitive
    } else if unit.subtasks().len() >= COMPLEX_SUBTASKS || titles.iter().any(|title| has_any(title, &COMPLEX)) {
        Criticality::Complex
    } else {
        Criticality::Standard
    }
}

/// Whole words, lower case: "author" is not "auth".
fn words(title: &str) -> Vec<String> {
    title.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

fn has_any(words: &[String], known: &[&str]) -> bool {
    words.iter().any(|word| known.contains(&word.as_str()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::spec::parse_tasks;

    fn units(text: &str) -> Vec<Unit> {
        parse_tasks(text.as_bytes(), "tasks.md").units
    }

    #[test]
    fn whole_words_of_titles_decide() {
        for (title, unit_type, owner, criticality) in [
            ("Add the parser", UnitType::Code, "codex", Criticality::Standard),
            ("Show the author of a page", UnitType::Ui, "gemini", Criticality::Standard),
            ("List authors", UnitType::Code, "codex", Criticality::Standard),
            ("Add auth to the API", UnitType::Code, "codex", Criticality::SecuritySensitive),
            ("Build the front-end", UnitType::Ui, "gemini", Criticality::Standard),
            ("Guide the build", UnitType::Code, "codex", Criticality::Standard),
            ("Login page", UnitType::Ui, "gemini", Criticality::SecuritySensitive),
            ("Review the exporter", UnitType::Review, "codex-review", Criticality::Standard),
            ("Store reviews", UnitType::Code, "codex", Criticality::Standard),
            ("Database migration", UnitType::Code, "codex", Criticality::Complex),
        ] {
            let assignment = assign_by_rules(&units(&format!("- [ ] 1. {title}\n"))[0], Mode::Llm);
            assert_eq!((assignment.unit_type, assignment.criticality), (unit_type, criticality), "{title}");
            assert_eq!(assignment.owner_agent.unwrap().as_str(), owner, "{title}");
        }
    }

    #[test]
    fn modes_differ_in_owner_and_window() {
        let unit = &units("- [ ] 1. Login page\n  - _writes: a_\n")[0];
        let legacy = assign_by_rules(unit, Mode::Legacy);
        assert_eq!((legacy.owner_agent.unwrap().as_str(), legacy.criticality), ("codex", Criticality::SecuritySensitive));
        let manual = assign_by_rules(unit, Mode::Manual);
        assert_eq!((manual.owner_agent, manual.target_window), (None, None));
        assert_eq!(manual.writes, ["a"]);
    }

    #[test]
    fn later_sources_win_field_by_field() {
        let units = units("- [ ] 1. A\n  - _writes: a_\n  - _reads: r_\n- [ ] 2. B\n");
        let mut agent = Proposal::keep("1".into());
        agent.writes = Some(vec!["b".to_owned()]);
        agent.owner_agent = Some("gemini".into());
        let mut operator = Proposal::keep("1".into());
        operator.owner_agent = Some("opencode".into());
        let all = assign_all(&units, Mode::Llm, &[agent], &[operator]);
        assert_eq!((all[0].writes.as_slice(), all[0].reads.as_slice()), (["b".to_owned()].as_slice(), ["r".to_owned()].as_slice()));
        assert_eq!(all[0].owner_agent.as_ref().unwrap().as_str(), "opencode");
        assert_eq!(all[1].owner_agent.as_ref().unwrap().as_str(), "codex");
    }

    #[test]
    fn at_most_nine_windows() {
        let text: String = (1..=25).map(|n| format!("- [ ] {n}. Unit\n")).collect();
        let all = assign_all(&units(&text), Mode::Llm, &[], &[]);
        let windows: Vec<&str> = all.iter().map(|assignment| assignment.target_window.as_deref().unwrap()).collect();
        let distinct: std::collections::BTreeSet<&&str> = windows.iter().collect();
        assert_eq!(distinct.len(), WINDOWS_MAX);
        assert_eq!((windows[8], windows[9], windows[18]), ("task-9", "task-1", "task-1"));
    }
}
