//! What holds for every input: no panic, no lost line, the same answer twice.

use proptest::prelude::*;

use super::*;

/// Lines that look like parts of plans, so that random files reach deep into the parser.
fn line() -> impl Strategy<Value = String> {
    let indent = prop::sample::select(vec!["", "  ", "    ", "\t", "      "]);
    let id = "(([1-9]|10)(\\.[1-3]){0,3}[.: ]|[AT]0?[1-4][.: ]|)";
    let checkbox =
        ("[-*+]", "( |x|X|-|~|)", "(\\*|\\\\\\*|)", id, "[a-z ]{0,6}").prop_map(|(b, c, o, id, t)| format!("{b} [{c}]{o} {id} {t}"));
    let detail = "(- _writes: [a-c/.*]{0,8}_|- Depends on: ([1-9](\\.[1-3])?(, |-)){0,3}[1-9]|_Requirements: [1-3]\\.[1-3]_|- text|```|~~~~|<!--|-->|---|# [1-4]\\. H|## T)";
    (indent, prop_oneof![3 => checkbox, 2 => detail.prop_map(|text| text)]).prop_map(|(indent, text)| format!("{indent}{text}"))
}

fn plan_text() -> impl Strategy<Value = String> {
    prop::collection::vec(line(), 0..40).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse_tasks(&bytes, "tasks.md");
    }

    #[test]
    fn any_text_is_read(text in "[\\PC\\n\\r\\t \\-*\\[\\]x0-9.`~#<>!_:,]{0,200}") {
        let plan = parse_tasks(text.as_bytes(), "tasks.md");
        let _ = (select(&plan.units, true, &[], "tasks.md"), tick(&text, &[]), RequirementIndex::new(&text).get("1.1"), design_overview(&text), first_mermaid(&text));
    }

    #[test]
    fn plans_hold_together(text in plan_text()) {
        let plan = parse_tasks(text.as_bytes(), "tasks.md");
        prop_assert_eq!(&plan, &parse_tasks(text.as_bytes(), "tasks.md"));
        prop_assert_eq!(&plan, &parse_tasks(text.replace('\n', "\r\n").as_bytes(), "tasks.md"));
        let mut seen = std::collections::HashSet::new();
        for unit in &plan.units {
            prop_assert_eq!(unit.own().id.as_str(), unit.id.as_str());
            prop_assert_eq!(&unit.own().parent, &None);
            for task in &unit.tasks {
                prop_assert!(seen.insert(task.id.clone()), "{} twice", task.id);
                for child in &task.subtasks {
                    prop_assert_eq!(unit.task(child.as_str()).and_then(|child| child.parent.as_ref()), Some(&task.id));
                }
            }
            for target in &unit.depends_on {
                prop_assert!(plan.unit(target.as_str()).is_some() && *target != unit.id);
            }
        }
        let selection = select(&plan.units, false, &[], "tasks.md");
        prop_assert_eq!(selection.runs.len() + selection.left_out.len(), plan.units.len());
        if !plan.has_errors() {
            let place = |id: &str| selection.runs.iter().position(|unit| unit.id.as_str() == id);
            for (at, unit) in selection.runs.iter().enumerate() {
                prop_assert!(unit.depends_on.iter().all(|id| place(id.as_str()).is_some_and(|before| before < at)), "{:?}", selection);
            }
        }
    }

    #[test]
    fn ticking_everything_completes_everything(text in plan_text()) {
        let before = parse_tasks(text.as_bytes(), "tasks.md");
        let ids: Vec<_> = before.tasks().iter().map(|task| task.id.clone()).collect();
        let ticked = tick(&text, &ids);
        prop_assert_eq!(tick(&ticked, &ids), ticked.clone());
        prop_assert_eq!(shape_text(&ticked), shape_text(&text));
        let after = parse_tasks(ticked.as_bytes(), "tasks.md");
        prop_assert!(after.units.iter().all(|unit| unit.completed), "{}", ticked);
        prop_assert_eq!(before.units.len(), after.units.len());
    }
}

#[test]
fn depth_costs_no_stack() {
    // Nesting by indentation, far beyond what ids can name.
    let deep: String = (0..5000).map(|n| format!("{}- [ ] task\n", " ".repeat(n))).collect();
    assert!(!plan(&deep).units.is_empty());
    // One id with very many parts, and a chain of dependencies through every unit.
    let long = format!("- [ ] 1{} Title\n- [ ] 1. A\n", ".1".repeat(1_000_000));
    assert_eq!(plan(&long).units.len(), 1);
    let chain: String = (1..=20_000).map(|n| format!("- [ ] {n}. U\n  - Depends on: {}\n", n % 20_000 + 1)).collect();
    assert_eq!(plan(&chain).problems.len(), 1);
}
