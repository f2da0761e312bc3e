//! From a spec to units: reading, statuses, dependencies, what a fresh state says.

use roundtable_shared::{Mode, Role};

use super::world::*;

const BASIC: &str = "\
# Plan

- [x] 1. Lay out the project
  - one folder per part
  - _Requirements: 1.1_

- [ ] 2. Core
  - [ ] 2.1 Reader
    - _writes: lib/reader.py, tests/test_reader.py_
    - _reads: lib/kinds.py_
  - [ ]* 2.2 Property tests

- [ ] 3. Put together
  - Depends on: 1, 2
";

/// Before anything is assigned: the files of a fresh state.
#[test]
fn a_small_spec_becomes_tasks_with_statuses_manifests_and_dependencies() {
    let world = plan(BASIC).mode(Mode::Manual).start();
    let state = world.mirror();
    let ids: Vec<&str> = state.tasks.iter().map(|task| task.task_id.as_str()).collect();
    assert_eq!(ids, ["1", "2", "2.1", "2.2", "3"]);
    let statuses: Vec<&str> = state.tasks.iter().map(|task| task.status.as_str()).collect();
    assert_eq!(statuses, ["completed", "not_started", "not_started", "not_started", "not_started"]);
    assert_eq!(state.tasks[0].details, ["one folder per part", "_Requirements: 1.1_"]);
    assert_eq!(state.tasks[1].subtasks, ["2.1", "2.2"]);
    assert_eq!(state.tasks[2].parent_id.as_deref(), Some("2"));
    assert_eq!(state.tasks[2].writes, ["lib/reader.py", "tests/test_reader.py"]);
    assert_eq!(state.tasks[2].reads, ["lib/kinds.py"]);
    assert_eq!(state.tasks.iter().map(|task| task.is_optional).collect::<Vec<_>>(), [false, false, false, true, false]);
    assert_eq!(state.tasks[4].dependencies, ["1", "2"]);
    for task in &state.tasks {
        assert_eq!((task.task_type.as_str(), task.fix_attempts, task.max_fix_attempts, task.escalated), ("code", 0, 3, false));
        assert_eq!((task.owner_agent.as_deref(), task.target_window.as_deref()), (None, None), "nobody was assigned yet");
    }
    assert!(state.window_mapping.is_empty() && state.review_findings.is_empty() && state.pending_decisions.is_empty());
    let pulse = world.pulse();
    for part in [
        "# PROJECT_PULSE",
        "Mental Model",
        "Narrative Delta",
        "**Orchestration spec:** `/home/user/ledger/specs/ledger`",
        "- Total tasks: 5",
    ] {
        assert!(pulse.contains(part), "{part} is in\n{pulse}");
    }
    assert_eq!(pulse.matches("- None").count(), 4, "three lists of risks and the anchors are empty:\n{pulse}");
}

/// The whole unit takes over what its steps declare.
#[test]
fn a_unit_carries_the_manifest_of_its_steps() {
    let world = plan(BASIC).mode(Mode::Manual).start();
    let core = world.mirrored("2");
    assert_eq!(
        (core.writes, core.reads),
        (vec!["lib/reader.py".to_owned(), "tests/test_reader.py".to_owned()], vec!["lib/kinds.py".to_owned()])
    );
}

/// One line without a number used to lose the whole plan.
#[test]
fn a_checkbox_without_an_id_never_fails_the_plan() {
    let setup = plan("- [ ] 1. First\n  - a detail\n- [ ] Tell the users\n  - how\n- [ ]\\* 1.1 Marked optional\n- [ ] 2. Second\n");
    assert_eq!(setup.problems(), []);
    let world = setup.mode(Mode::Manual).start();
    let tasks: Vec<(String, bool)> = world.mirror().tasks.into_iter().map(|task| (task.task_id, task.is_optional)).collect();
    assert_eq!(tasks, [("1".to_owned(), false), ("1.1".to_owned(), true), ("2".to_owned(), false)]);
}

/// It used to wait for ever without a word.
#[test]
fn a_dependency_on_a_task_that_does_not_exist_is_an_error_with_its_line() {
    let problems = plan("- [ ] 1. First\n- [ ] 2. Second\n  - Depends on: 1, 9\n").problems();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!((problems[0].file.as_str(), problems[0].line), ("tasks.md", 3));
    assert!(problems[0].message.contains('9'), "{}", problems[0].message);
}

/// Only a line that is a list of dependencies counts as one.
#[test]
fn numbers_in_prose_are_no_dependencies_and_lists_are_read_whole() {
    let tasks = "\
- [x] 1. Base
- [ ] 2. Set up
  - Fetch dependencies: lodash 4.17, eslint 9
- [ ] 3. Deep
  - [ ] 3.1 Middle
    - [ ] 3.1.1 Bottom
- [ ] 4. On the bottom
  - Depends on: 3.1.1
- [ ] 5. Short form
  - _Depends: 1_
- [ ] 6. Range
  - _Dependencies: 1-3_
- [ ] 7. Sentence
  - That depends on task 2 being finished
- [ ] 8. Word
  - Dependency injection in 3 places
";
    let world = plan(tasks).mode(Mode::Manual).start();
    let on = |task: &str| world.mirrored(task).dependencies;
    assert_eq!(on("2"), [""; 0]);
    assert_eq!(on("4"), ["3"], "a dependency on a step is one on its unit");
    assert_eq!(on("5"), ["1"]);
    assert_eq!(on("6"), ["1", "2", "3"]);
    assert_eq!((on("7"), on("8")), (Vec::new(), Vec::new()));
}

/// Plans that number their headings used to end at once, with nothing done.
#[test]
fn headings_are_parents_where_a_plan_numbers_them() {
    let world = plan("# Plan\n\n## 1. Core\n\n- [ ] 1.1 Reader\n- [ ] 1.2 Writer\n\n## 2. Rest\n\n- [ ] 2.1 Papers\n").start().play();
    assert_eq!(world.exit(), 0);
    let done: Vec<(String, String)> = world.mirror().tasks.into_iter().map(|task| (task.task_id, task.status)).collect();
    let expected = ["1", "1.1", "1.2", "2", "2.1"].map(|id| (id.to_owned(), "completed".to_owned()));
    assert_eq!(done, expected);
    assert_eq!(world.told("1", Role::Implement).len(), 1, "a heading's steps are one unit");
}

/// A dependency on a parent means all of it; what is done in the plan is met.
#[test]
fn a_dependency_on_a_parent_waits_for_all_its_steps_and_no_more() {
    let tasks = "\
- [x] 1. Done
  - [x] 1.1 a
  - [x] 1.2 b
- [ ] 2. Open
  - _writes: two.txt_
  - [ ] 2.1 c
- [ ] 3. After the first
  - Depends on: 1
  - _writes: three.txt_
- [ ] 4. After the second
  - Depends on: 2
  - _writes: four.txt_
";
    let world = plan(tasks).start().grant();
    assert!(world.ran_together("2/implement", "3/implement"), "{:?}", world.together);
    assert!(!world.turns().contains(&"4/implement".to_owned()));
    let world = world.play();
    assert_eq!(world.exit(), 0);
    assert!(!world.ran_together("2/implement", "4/implement"));
}

/// It used to be counted as missing for ever.
#[test]
fn an_optional_unit_is_left_out_and_does_not_count() {
    let tasks = "- [ ] 1. Needed\n- [ ]* 2. Nice\n";
    let world = plan(tasks).start().play();
    assert_eq!(world.exit(), 0);
    assert_eq!(world.mirrored("2").status, "not_started");
    assert_eq!(world.status().counts.total(), 1);
    let world = plan(tasks).options(|options| options.with_optional = true).start().play();
    assert_eq!((world.exit(), world.mirrored("2").status.as_str()), (0, "completed"));
}
