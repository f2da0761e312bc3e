//! Which units run, in which order, and what checkpoints wait for.

use super::*;

fn chosen(text: &str, with_optional: bool, only: &[&str]) -> Vec<String> {
    let only: Vec<String> = only.iter().map(|id| (*id).to_owned()).collect();
    let selection = select(&plan(text).units, with_optional, &only, "tasks.md");
    let mut out: Vec<String> = selection
        .runs
        .iter()
        .map(|unit| {
            format!("{} <- {}", unit.id, unit.depends_on.iter().map(|id| id.to_string()).collect::<Vec<_>>().join(" "))
                .trim_end_matches([' ', '<', '-'])
                .to_owned()
        })
        .collect();
    out.extend(selection.problems.iter().map(|problem| format!("{:?} {problem}", problem.level)));
    out
}

#[test]
fn order_is_topological_with_ties_by_position() {
    let text = "- [ ] 1. A\n  - Depends on: 3\n- [ ] 2. B\n- [ ] 3. C\n- [ ] 4. D\n  - Depends on: 2\n";
    assert_eq!(chosen(text, false, &[]), ["2", "3", "1 <- 3", "4 <- 2"]);
}

#[test]
fn units_that_do_not_run_are_met() {
    let text = "- [x] 1. A\n- [ ]* 2. B\n- [ ] 3. C\n  - Depends on: 1, 2\n- [ ] 4. D\n  - Depends on: 3\n";
    assert_eq!(
        chosen(text, false, &[]),
        [
            "3",
            "4 <- 3",
            "Note tasks.md:4: unit 3 depends on 1, which is completed in the plan: the dependency counts as met",
            "Warning tasks.md:4: unit 3 depends on 2, which is optional and does not run: the dependency counts as met; add --with-optional to have it done",
        ]
    );
    assert_eq!(chosen(text, true, &["2", "3"])[..2], ["2", "3 <- 2"]);
    assert_eq!(
        chosen(text, false, &["4"]),
        [
            "4",
            "Warning tasks.md:6: unit 4 depends on 3, which is left out by --only: the dependency counts as met; name it too to have it done"
        ]
    );
}

#[test]
fn odd_choices_are_named() {
    let text = "- [ ] 1. A\n  - [ ] 1.1 B\n- [ ]* 2. C\n";
    assert_eq!(
        chosen(text, false, &["1.1", "9", "2"]),
        [
            "Error tasks.md: --only 1.1: that is a subtask and runs with its unit; name unit 1",
            "Error tasks.md: --only 9: there is no such unit; name units of this plan",
            "Warning tasks.md:3: unit 2 is optional and does not run; add --with-optional",
        ]
    );
}

#[test]
fn checkpoints_wait_for_everything_before_them_that_runs() {
    let text = "- [x] 1. A\n- [ ] 2. B\n- [ ]* 3. C\n- [ ] 4. Checkpoint\n- [ ] 5. D\n- [ ] 6. Final checkpoint\n";
    assert_eq!(chosen(text, false, &[]), ["2", "4 <- 2", "5", "6 <- 2 4 5"]);
    assert_eq!(chosen(text, true, &[])[1..3], ["3", "4 <- 2 3"]);
    assert!(plan(text).units[3].depends_on.is_empty(), "implied dependencies depend on the choice");
}

#[test]
fn checkpoints_do_not_wait_for_what_waits_for_them() {
    // 1 depends on the checkpoint 3, and 2 on 1; the second checkpoint waits for all.
    let text = "- [ ] 1. A\n  - Depends on: 3\n- [ ] 2. B\n  - Depends on: 1\n- [ ] 3. Checkpoint\n- [ ] 4. Checkpoint again\n";
    assert_eq!(chosen(text, false, &[]), ["3", "1 <- 3", "2 <- 1", "4 <- 1 2 3"]);
    // 1 depends on the later of two checkpoints: the earlier one waits for 1, so the later must not wait for the earlier.
    let text = "- [ ] 1. A\n  - Depends on: 3\n- [ ] 2. Checkpoint\n- [ ] 3. Checkpoint\n";
    assert_eq!(chosen(text, false, &[]), ["3", "1 <- 3", "2 <- 1"]);
}

#[test]
fn a_hundred_thousand_units_are_chosen() {
    let text: String = (1..=100_000)
        .map(|n| match n {
            1 => "- [ ] 1. U\n".to_owned(),
            n if n % 1000 == 0 => format!("- [ ] {n}. Checkpoint\n"),
            n => format!("- [ ] {n}. U\n  - Depends on: {}\n", n - 1),
        })
        .collect();
    let plan = plan(&text);
    assert!(!plan.has_errors());
    let selection = select(&plan.units, false, &[], "tasks.md");
    assert_eq!(selection.runs.len(), 100_000);
    let edges: usize = selection.runs.iter().map(|unit| unit.depends_on.len()).sum();
    assert!(edges <= 2 * crate::limits::EDGES_MAX, "{edges}");
    let place: std::collections::HashMap<&str, usize> =
        selection.runs.iter().enumerate().map(|(at, unit)| (unit.id.as_str(), at)).collect();
    assert!(selection.runs.iter().enumerate().all(|(at, unit)| unit.depends_on.iter().all(|id| place[id.as_str()] < at)));
}
