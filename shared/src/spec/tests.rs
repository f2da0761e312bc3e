//! Table tests of plans: our own texts, one property each.
#![allow(clippy::unwrap_used)]

use super::*;

fn plan(text: &str) -> Plan {
    parse_tasks(text.as_bytes(), "tasks.md")
}

fn problems(text: &str) -> Vec<String> {
    plan(text).problems.iter().map(ToString::to_string).collect()
}

fn ids(plan: &Plan) -> Vec<String> {
    plan.units.iter().map(|unit| unit.tasks.iter().map(|task| task.id.as_str()).collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn units_are_top_level_tasks_with_all_descendants() {
    let plan = plan(
        "# Plan\n\n- [x] 1. Lay the table\n  - Plates\n  - _Requirements: 1.1_\n\n- [ ] 2. Cook\n  - [ ] 2.1 Soup\n    - _writes: src/soup.rs, tests/soup.rs\n    - _reads: src/salt.rs\n  - [ ]* 2.2 Garnish\n\n- [ ] 3. Serve\n  - Depends on: 1, 2\n",
    );
    assert_eq!(ids(&plan), ["1", "2 2.1 2.2", "3"]);
    assert!(plan.problems.is_empty(), "{:?}", plan.problems);
    assert!(plan.units[0].completed && !plan.units[1].completed);
    assert_eq!(plan.units[0].own().details, ["- Plates", "- _Requirements: 1.1_"]);
    assert_eq!(plan.units[0].own().requirements, ["1.1"]);
    assert_eq!(plan.units[1].writes, ["src/soup.rs", "tests/soup.rs"]);
    assert_eq!(plan.units[1].reads, ["src/salt.rs"]);
    assert!(!plan.units[1].exclusive && plan.units[2].exclusive);
    assert!(plan.units[1].task("2.2").unwrap().optional && !plan.units[1].task("2.2").unwrap().needed);
    assert_eq!(plan.units[2].depends_on, ["1".into(), "2".into()]);
}

#[test]
fn ticking_changes_boxes_and_nothing_else() {
    let text = "\u{feff}- [ ] 1. A\r\n  - [-]* 1.1 B\r\n  - [ ] 1.2 C\r\n- [ ] 2. D\r\n";
    let ticked = tick(text, &["1".into(), "1.1".into(), "9".into()]);
    assert_eq!(ticked, "\u{feff}- [x] 1. A\r\n  - [x]* 1.1 B\r\n  - [ ] 1.2 C\r\n- [ ] 2. D\r\n");
    assert_eq!(shape_text(text), shape_text(&ticked));
}

#[test]
fn cycles_are_printed_once_from_their_first_unit() {
    let text = "- [ ] 1. A\n  - depends on: 2\n- [ ] 2. B\n  - Depends on: 1\n- [ ] 3. C\n";
    assert_eq!(problems(text), ["tasks.md:2: dependency cycle: 1 -> 2 -> 1; remove one of these dependencies"]);
}
