//! What plans may look like, and how each shape is read.

use super::*;
use crate::domain::SubtaskState;

#[test]
fn units_are_top_level_tasks_with_all_descendants() {
    let plan = plan(
        "# Plan\n\n- [x] 1. Lay the table\n  - Plates\n  - _Requirements: 1.1_\n\n- [ ] 2. Cook\n  - [ ] 2.1 Soup\n    - _writes: src/soup.rs, tests/soup.rs\n    - _reads: src/salt.rs\n  - [ ]* 2.2 Garnish\n\n- [ ] 3. Serve\n  - Depends on: 1, 2\n",
    );
    assert_eq!(ids(&plan), ["1", "2 2.1 2.2", "3"]);
    assert!(plan.problems.is_empty(), "{:?}", plan.problems);
    assert!(plan.units[0].completed && !plan.units[1].completed);
    assert_eq!(plan.units[0].own().details, ["- Plates", "- _Requirements: 1.1_"]);
    assert_eq!(plan.units[0].own().plain_details(), ["Plates", "_Requirements: 1.1_"]);
    assert_eq!(plan.units[0].own().requirements, ["1.1"]);
    assert_eq!(plan.units[1].writes, ["src/soup.rs", "tests/soup.rs"]);
    assert_eq!(plan.units[1].reads, ["src/salt.rs"]);
    assert!(!plan.units[1].exclusive && plan.units[2].exclusive);
    assert!(plan.units[1].task("2.2").unwrap().optional && !plan.units[1].task("2.2").unwrap().needed);
    assert_eq!(plan.units[2].depends_on, ["1".into(), "2".into()]);
    let lines: Vec<u32> = plan.tasks().iter().map(|task| task.line).collect();
    assert_eq!(lines, [3, 7, 8, 11, 13]);
}

#[test]
fn one_checkbox_line() {
    for (line, id, title, optional, parallel) in [
        ("- [ ] 1. Title", "1", "Title", false, false),
        ("* [ ] 1 Title", "1", "Title", false, false),
        ("+ [x] 1: Title", "1", "Title", false, false),
        ("- [ ]   1.   Title  ", "1", "Title", false, false),
        ("-   [ ] 1.2 Title", "1.2", "Title", false, false),
        ("- [ ]* 1.2 Title", "1.2", "Title", true, false),
        ("- [ ]\\* 1.2 Title", "1.2", "Title", true, false),
        ("- [ ] * 1.2 Title", "1.2", "Title", true, false),
        ("- [ ]*1.2 Title", "1.2", "Title", true, false),
        ("- [ ]1. Title", "1", "Title", false, false),
        ("- [ ] 1) Title", "1", "Title", false, false),
        ("- [ ] 1：Title", "1", "Title", false, false),
        ("- [ ] 1.2.3.4 Title", "1.2.3.4", "Title", false, false),
        ("- [ ] A1. Title", "A1", "Title", false, false),
        ("- [ ] T01: Title", "T01", "Title", false, false),
        ("- [ ] P2.1 Title", "P2.1", "Title", false, false),
        ("- [ ] 1.4a Title", "1.4a", "Title", false, false),
        ("- [ ] 1.4a.2 Title", "1.4a.2", "Title", false, false),
        ("- [ ] 2A. Title", "2A", "Title", false, false),
        ("- [ ] 2.3B Title", "2.3B", "Title", false, false),
        ("- [ ] 2.1 (P) Title", "2.1", "Title", false, true),
        ("- [ ]* 2. (P) Title", "2", "Title", true, true),
        ("- [ ] **1.1** Title", "1.1", "Title", false, false),
        ("- [ ] **1.1 Title**", "1.1", "Title", false, false),
        ("- [ ] **1.1. Title** with more", "1.1", "Title with more", false, false),
        ("- [ ] 1.1 **Title** and **more**", "1.1", "**Title** and **more**", false, false),
        ("- [ ] 1 - Title", "1", "Title", false, false),
        ("- [ ] 1.实现", "1", "实现", false, false),
        ("- [ ] 1. Title <!-- aside -->", "1", "Title", false, false),
        ("\t- [ ] 1. Title", "1", "Title", false, false),
    ] {
        let plan = plan(line);
        let task = plan.units.first().unwrap_or_else(|| panic!("{line}")).own();
        assert_eq!((task.id.as_str(), task.title.as_str(), task.optional, task.parallel), (id, title, optional, parallel), "{line}");
    }
}

#[test]
fn lines_that_are_no_tasks() {
    for line in [
        "- [link](https://example.org) 1. A",
        "- [1] a reference",
        "- [x](y) 1. A",
        "[ ] 1. A",
        "1. [ ] A",
        "> - [ ] 1. A",
        "`- [ ] 1. A`",
        "-[ ] 1. A",
        "text - [ ] 1. A",
        "- [ab] 1. A",
    ] {
        assert!(plan(line).units.is_empty(), "{line}");
    }
}

#[test]
fn bare_numbers_and_words_are_ids_only_where_the_plan_uses_them_so() {
    assert_eq!(unit_ids("- [ ] 1 A\n- [ ] 2 B\n"), ["1", "2"]);
    assert_eq!(unit_ids("- [ ] T001 A\n- [ ] T002 [P] B\n"), ["T001", "T002"]);
    assert_eq!(unit_ids("- [ ] A1 A\n- [ ] A2 B\n"), ["A1", "A2"]);
    // Letters before numbers are what this plan uses.
    let mixed = "- [ ] 1. One\n- [ ] A1 Alpha\n- [ ] T01 Tee\n- [ ] P2.1 Pee\n- [ ] 1.4a Four\n- [ ] 2 Two\n- [ ] S3: bucket\n";
    assert_eq!(unit_ids(mixed), ["1 1.4a", "A1", "T01", "P2.1", "2", "S3"]);
    assert!(problems(mixed).is_empty(), "{:?}", problems(mixed));
    // A count below a task is a detail.
    let plan = plan("- [ ] 1. A\n  - [ ] 3 reviewers agree\n  - [ ] S3 bucket\n- [ ] 2. B\n");
    assert_eq!(ids(&plan), ["1", "2"]);
    assert_eq!(plan.units[0].own().details.len(), 2);
    // A plan without ids keeps being one when a title begins with a number.
    let text = "- [ ] Write\n- [ ] 5 tests\n- [ ] Read\n- [ ] S3 bucket\n- [ ] Rest\n";
    assert_eq!(unit_ids(text), ["1", "2", "3", "4", "5"]);
}

#[test]
fn checkboxes_of_a_list_of_criteria_are_details_of_the_task_above() {
    for label in
        ["**Acceptance criteria:**", "Acceptance criteria:", "- **Done when**:", "### Acceptance Criteria", "#### Definition of Done"]
    {
        let text =
            format!("## Tasks\n\n- [ ] 1. A\n- [ ] 2. Next\n\n{label}\n\n- [ ] a works\n- [ ] b works\n  - and well\n\n- [ ] 3. Third\n");
        let plan = plan(&text);
        assert_eq!(ids(&plan), ["1", "2", "3"], "{label}");
        assert!(plan.problems.is_empty(), "{label}: {:?}", plan.problems);
        let label = label.trim_start_matches('-').trim();
        assert!(plan.units[1].own().details.iter().any(|detail| detail.contains(label)), "{:?}", plan.units[1].own().details);
        for detail in ["a works", "b works", "and well"] {
            assert!(plan.units[1].own().details.iter().any(|line| line.ends_with(detail)), "{:?}", plan.units[1].own().details);
        }
    }
    // Prose ends the list, a section of the plan is none, and a label further in is another one's.
    for text in [
        "- [ ] 1. A\n\nCriteria:\n\nNone yet.\n\n- [ ] Loose\n",
        "- [ ] 1. A\n\n## Acceptance Criteria\n- [ ] Loose\n",
        "- [ ] 1. A\n  - Steps:\n- [ ] Loose\n",
        "Legend:\n- [ ] Loose\n- [ ] 1. A\n",
    ] {
        let found = problems(text);
        assert!(found.len() == 1 && found[0].contains("belongs to no task"), "{text:?}: {found:?}");
    }
}

#[test]
fn a_checkpoint_is_a_whole_word() {
    for (title, is_one) in [
        ("Checkpoint", true),
        ("Checkpoint - all tests pass", true),
        ("Final checkpoint: ship", true),
        ("**Checkpoints.**", true),
        ("Checkpoint_helper module", false),
        ("checkpoint-helper", false),
        ("checkpoint.rs", false),
        ("Checkpointing", false),
        ("Checkpoint 2", true),
    ] {
        assert_eq!(plan(&format!("- [ ] 1. {title}\n")).units[0].checkpoint, is_one, "{title}");
    }
}

#[test]
fn boxes_and_their_states() {
    let plan = plan("- [ ] 1. A\n- [x] 2. B\n- [X] 3. C\n- [-] 4. D\n- [~] 5. E\n- [] 6. F\n");
    let done: Vec<bool> = plan.units.iter().map(|unit| unit.completed).collect();
    assert_eq!(done, [false, true, true, false, false, false]);
    let notes: Vec<&str> = plan.problems.iter().map(|problem| problem.message.as_str()).collect();
    assert_eq!(notes, ["task 4 is marked in progress; it counts as not started", "task 5 is marked queued; it counts as not started"]);
}

#[test]
fn a_parents_box_is_ignored() {
    let text = "- [x] 1. A\n  - [ ] 1.1 B\n  - [x] 1.2 C\n- [ ] 2. D\n  - [x] 2.1 E\n  - [ ]* 2.2 F\n- [ ] 3. G\n  - [ ]* 3.1 H\n";
    let plan = plan(text);
    assert_eq!(plan.units.iter().map(|unit| unit.completed).collect::<Vec<_>>(), [false, true, false]);
    assert_eq!(
        problems(text),
        [
            "N tasks.md:1: the box of 1 is ticked, but its subtasks decide: it counts as not completed",
            "N tasks.md:4: the box of 2 is not ticked, but its subtasks decide: it counts as completed",
        ]
    );
}

#[test]
fn optional_marks_are_the_lines_own() {
    let plan = plan("- [ ]* 1. A\n  - [ ] 1.1 B\n- [ ] 2. C\n  - [ ]* 2.1 D\n    - [ ] 2.1.1 E\n  - [x] 2.2 F\n");
    let flags: Vec<(&str, bool, bool)> = plan.tasks().iter().map(|task| (task.id.as_str(), task.optional, task.needed)).collect();
    assert_eq!(
        flags,
        [("1", true, true), ("1.1", false, true), ("2", false, true), ("2.1", true, false), ("2.1.1", false, false), ("2.2", false, true)]
    );
    assert!(plan.units[0].optional && !plan.units[1].optional);
    assert!(plan.units[1].completed, "an open subtask of an optional one is not needed");
}

#[test]
fn parents_come_from_ids_whatever_the_indentation() {
    let plan = plan("- [ ] 1. A\n- [ ] 1.1 B\n- [ ] 1.2.1 D\n- [ ] 2. E\n    - [ ] 1.3 F\n");
    assert_eq!(ids(&plan), ["1 1.1 1.2.1 1.3", "2"]);
    assert_eq!(plan.units[0].task("1.2.1").unwrap().parent.as_ref().unwrap().as_str(), "1", "the nearest ancestor there is");
    let children: Vec<&str> = plan.units[0].own().subtasks.iter().map(|id| id.as_str()).collect();
    assert_eq!(children, ["1.1", "1.2.1", "1.3"]);
    assert_eq!(unit_ids("- [ ] 1.1 A\n- [ ] 1. B\n- [ ] 1.2 C\n"), ["1 1.1 1.2"], "the unit's own task comes first");
}

#[test]
fn an_indented_top_level_task_is_a_unit_of_its_own() {
    let text = "- [ ] 3. Store\n  - [ ] 3.1 Table\n    - _writes: src/table.rs_\n  - [x] 4 Wire\n    - it all\n    - [x] 4.1 Frames\n      - _writes: src/frames.rs_\n    - [ ] 4.2 Codec\n- [ ] 5. Serve\n";
    let read = plan(text);
    assert_eq!(ids(&read), ["3 3.1", "4 4.1 4.2", "5"]);
    assert_eq!(
        (read.units[0].writes.as_slice(), read.units[1].writes.as_slice()),
        (&["src/table.rs".into()][..], &["src/frames.rs".into()][..])
    );
    assert_eq!((read.units[1].title.as_str(), read.units[1].own().details.as_slice()), ("Wire", &["- it all".to_owned()][..]));
    assert_eq!(
        problems(text)[0],
        "W tasks.md:4: task 4 is indented below task 3, but its id makes it a task of its own, which it is; take the indentation away"
    );
    assert_eq!(tick("- [ ] 3. A\n  - [ ] 4 B\n    - [ ] 4.1 C\n", &["4.1".into()]), "- [ ] 3. A\n  - [ ] 4 B\n    - [x] 4.1 C\n");
    // Nothing below it, but just the number that is missing; with a delimiter it needs no such sign.
    assert_eq!(unit_ids("- [ ] 1. A\n  - [ ] 2 B\n- [ ] 3. C\n"), ["1", "2", "3"]);
    assert_eq!(unit_ids("- [ ] 1. A\n  - [ ] 7. B\n- [ ] 3. C\n"), ["1", "7", "3"]);
    // Counts stay details.
    for text in [
        "- [ ] 1. A\n  - [ ] 3 retries at most\n- [ ] 2. B\n",
        "- [ ] 1. A\n  - [ ] 2 of them\n- [ ] 2. B\n  - [ ] 2.1 C\n",
        "- [ ] 1. A\n  - [ ] 2 of them\n## 2. B\n- [ ] 2.1 C\n",
        "- [ ] 1. A\n  - [ ] 2 of them\n",
    ] {
        assert_eq!(plan(text).units[0].own().details.len(), 1, "{text}");
    }
}

#[test]
fn a_leaf_without_parents_is_a_unit() {
    assert_eq!(unit_ids("- [ ] 1.1 A\n- [ ] 1.2 B\n- [ ] 2. C\n"), ["1.1", "1.2", "2"]);
}

#[test]
fn headings_stand_in_for_parents() {
    let text = "# Plan\n\n## 1. Core\n\nAll about it.\n_writes: src/core/_\n\n- [ ] 1.1 Parser\n- [x] 1.2 Printer\n\n## 2. Rest\n\n- [x] 2.1 Docs\n";
    let plan = plan(text);
    assert_eq!(ids(&plan), ["1 1.1 1.2", "2 2.1"]);
    assert_eq!((plan.units[0].title.as_str(), plan.units[0].own().line, plan.units[0].own().heading), ("Core", 3, true));
    assert_eq!(plan.units[0].own().details, ["All about it.", "_writes: src/core/_"]);
    assert_eq!(plan.units[0].writes, ["src/core/"]);
    assert!(!plan.units[0].completed && plan.units[1].completed);
    for heading in [
        "## Task 1: Core",
        "### Phase 1 - Core",
        "## 1) Core ##",
        "## 任务 1：Core",
        "## フェーズ1: Core",
        "## **1. Core**",
        "## 🚀 Step 1: Core",
    ] {
        let plan = parse_tasks(format!("{heading}\n- [ ] 1.1 A\n").as_bytes(), "tasks.md");
        assert_eq!(ids(&plan), ["1 1.1"], "{heading}");
        assert_eq!(plan.units[0].title, "Core", "{heading}");
    }
    assert_eq!(unit_ids("## 1. A\n### 1.2 B\n- [ ] 1.2.1 C\n- [ ] 1.3 D\n"), ["1 1.2 1.2.1 1.3"]);
    assert_eq!(unit_ids("## 1. A\n- [ ] 1. B\n- [ ] 1.1 C\n"), ["1 1.1"], "a task wins over a heading");
    assert_eq!(unit_ids("- [ ] 1.1 C\n## 1. A\n"), ["1.1"], "a heading below is none above");
    assert!(parse_tasks(b"## 1. A\n- [ ]* 1.1 B\n", "tasks.md").units[0].optional, "all below it is optional");
}

#[test]
fn plans_without_ids_get_them_in_file_order() {
    let text = "# Todo\n- [ ] First\n  - about it\n  - [x] Inside\n    - [ ] Deeper\n  - [ ] Beside\n\n## Later\n* [x] Second\n";
    let plan = plan(text);
    assert!(plan.generated_ids);
    assert_eq!(ids(&plan), ["1 1.1 1.1.1 1.2", "2"]);
    assert_eq!(plan.units[0].own().details, ["- about it"]);
    assert!(plan.units[1].completed);
    assert_eq!(tick(text, &["1.1.1".into(), "1.2".into()]).matches("[x]").count(), 4);
}

#[test]
fn checkboxes_without_ids_below_a_task_are_details() {
    let plan = plan(
        "- [ ] 1. A\n  - Criteria:\n    - [ ] fast\n    - [x] small\n  - [ ] 1.1 B\n    - b\n  - [ ] loose\n    - looser\n- [ ] 2. C\n",
    );
    assert_eq!(ids(&plan), ["1 1.1", "2"]);
    assert_eq!(plan.units[0].own().details, ["- Criteria:", "  - [ ] fast", "  - [x] small", "- [ ] loose", "  - looser"]);
    assert_eq!(plan.units[0].task("1.1").unwrap().details, ["- b"]);
    assert!(plan.problems.is_empty());
}

#[test]
fn details_keep_code_and_end_at_headings() {
    let text =
        "- [ ] 1. A\n  - x\n\n  ```sh\n  - [ ] 9. no\n\n    indented\n  ```\n  ---\n  - y\n\n## Notes\n- not a detail\n- _writes: z_\n";
    let plan = plan(text);
    assert_eq!(ids(&plan), ["1"]);
    assert_eq!(plan.units[0].own().details, ["- x", "```sh", "- [ ] 9. no", "", "  indented", "```", "- y"]);
    assert!(plan.units[0].exclusive);
    assert_eq!(problems(text), ["N tasks.md:4: 1 checkbox line inside this code fence is no task"]);
}

#[test]
fn fences_and_comments_hide_tasks() {
    assert_eq!(unit_ids("- [ ] 1. A\n~~~\n- [ ] 2. B\n```\n~~~\n- [ ] 3. C\n"), ["1", "3"]);
    assert_eq!(unit_ids("- [ ] 1. A\n````\n```\n- [ ] 2. B\n````\n- [ ] 3. C\n"), ["1", "3"]);
    assert_eq!(unit_ids("- ```\n  - [ ] 2. B\n  ```\n- [ ] 3. C\n"), ["3"]);
    assert_eq!(unit_ids("- [ ] 1. A\n<!-- - [ ] 2. B\n- [ ] 3. C -->\n- [ ] 4. D\n"), ["1", "4"]);
    assert_eq!(unit_ids("<!-- - [ ] 1. A --> \n- [ ] 2. B `<!--`\n- [ ] 3. C\n"), ["2", "3"]);
    assert_eq!(unit_ids("```\n<!--\n```\n- [ ] 1. A\n"), ["1"]);
    assert_eq!(unit_ids("<!--\n```\n-->\n- [ ] 1. A\n"), ["1"]);
    assert_eq!(unit_ids("- [ ] 1. A\n    ```\n    never closed\n- [ ] 2. B\n"), ["1", "2"], "a list item ends its fences");
    let plan = plan("- [ ] 1. A\n  - b\n  <!-- - gone -->\n  - c <!-- gone --> d\n");
    assert_eq!(plan.units[0].own().details, ["- b", "- c               d"]);
}

#[test]
fn manifest_lines() {
    for (line, expected) in [
        ("_writes: a, b/c.rs_", vec!["a", "b/c.rs"]),
        ("_writes: a, b/c.rs", vec!["a", "b/c.rs"]),
        ("_Writes:_ a, ./b", vec!["a", "b"]),
        ("**Writes:** a", vec!["a"]),
        ("**writes**: `a b.txt`, `c`", vec!["a b.txt", "c"]),
        ("`_writes: a_`", vec!["a"]),
        ("`writes: a, b`", vec!["a", "b"]),
        ("_writes: src/*_", vec!["src/*"]),
        ("_writes: src/**/*.rs_", vec!["src/**/*.rs"]),
        ("_writes: src/_private.py, b_", vec!["src/_private.py", "b"]),
        ("_writes: app/(site)/[slug]/page.tsx_", vec!["app/(site)/[slug]/page.tsx"]),
        ("_writes: a.md (new), b.md_", vec!["a.md", "b.md"]),
        ("_writes: src\\win.rs_", vec!["src/win.rs"]),
        ("_writes: src/{a,b}.rs, c/{x}.rs_", vec!["src/a.rs", "src/b.rs", "c/{x}.rs"]),
        ("_writes: src/[a,b].rs_", vec!["src/[a,b].rs"]),
        ("_writes: none_", vec![]),
        ("writes: src/a.rs", vec!["src/a.rs"]),
        ("Writes: the audit log to disk", vec![]),
        ("It _writes: a_", vec![]),
        ("_writes to a_", vec![]),
        ("[ ] _writes: a_", vec!["a"]),
    ] {
        let plan = plan(&format!("- [ ] 1. A\n  - {line}\n"));
        assert_eq!(plan.units[0].writes, expected, "{line}");
    }
    let plan = plan("- [ ] 1. A\n  - _writes: a_\n  - _writes: b, a_\n  - [ ] 1.1 B\n    - _writes: c, b_\n    - _reads: a_\n");
    assert_eq!(plan.units[0].writes, ["a", "b", "c"]);
    assert_eq!(plan.units[0].reads, ["a"]);
    assert_eq!(plan.units[0].task("1.1").unwrap().writes, ["c", "b"]);
}

/// Twelve tasks `1`–`10`, `2.1`–`2.3`, of which the last has the line under test.
fn depending(line: &str) -> (Vec<String>, Vec<String>) {
    let mut text: String = (1..=9).map(|n| format!("- [ ] {n}. Unit {n}\n")).collect();
    text.push_str("- [ ] 2.1 A\n- [ ] 2.2 B\n- [ ] 2.3 C\n- [ ] T01: D\n- [ ] T02: E\n");
    text.push_str(&format!("- [ ] 10. Last\n  - {line}\n"));
    let plan = plan(&text);
    let last = plan.unit("10").unwrap();
    let named = last.own().depends_on.iter().map(|dependency| dependency.task.to_string()).collect();
    (named, plan.problems.iter().map(|problem| problem.message.clone()).collect())
}

#[test]
fn dependency_lines() {
    for (line, expected) in [
        ("dependencies: 1, 2.1", "1 2.1"),
        ("Depends on: 3-5", "3 4 5"),
        ("_Depends: 2.1, 2.2_", "2.1 2.2"),
        ("**Depends on**: 1", "1"),
        ("**Depends on:** 1", "1"),
        ("DEPENDENCIES : 1", "1"),
        ("_Dependencies: 2.1-2.3_", "2.1 2.2 2.3"),
        ("Depends on: 2.1–3", "2.1 3"),
        ("Depends on: 1 to 3, 5", "1 2 3 5"),
        ("Depends on: 1..3", "1 2 3"),
        ("Depends on: T01-T02", "T01 T02"),
        ("Depends on: tasks 1 and 2", "1 2"),
        ("Depends on: task 1 (the base), task 3", "1 3"),
        ("Depends on: #1, #2.", "1 2"),
        ("Depends on: 1; 2、3，4", "1 2 3 4"),
        ("Depends on: 1 2 3", "1 2 3"),
        ("Depends on 1, 2", "1 2"),
        ("Depends on: 1 Unit 1, 2: Unit", "1 2"),
        ("_Dependencies: タスク2-3完了（認証）_", "2 3"),
        ("依存: 1, 2", "1 2"),
        ("Зависимости: 1", "1"),
        ("Depends on: none", ""),
        ("Depends on: -", ""),
        ("Depends on:", ""),
        // Prose.
        ("Dependencies: react 18.2, vite 5", ""),
        ("Dependencies: 5 packages", ""),
        ("Add dependencies: 1, 2", ""),
        ("Dependency checks at 03:00", ""),
        ("This depends on task 2 being done", ""),
        ("depends on the outcome of 1", ""),
        ("Depends on task 2 being done", ""),
        ("Dependency injection for 3 services", ""),
        ("Python 3.11", ""),
        ("Requirement 4.1", ""),
        ("Depends on: T-1", ""),
    ] {
        let (named, problems) = depending(line);
        assert_eq!(named.join(" "), expected, "{line} {problems:?}");
    }
}

#[test]
fn dependencies_are_lifted_to_units() {
    let text = "- [x] 1. A\n- [ ] 2. B\n  - [ ] 2.1 C\n    - Depends on: 2, 2.2\n  - [ ] 2.2 D\n    - Depends on: 1\n- [ ] 3. E\n  - [ ] 3.1 F\n    - Depends on: 2.1\n- [ ] 4. G\n  - Depends on: 3.1, 3\n";
    assert_eq!(depends(text), ["2: 1", "3: 2", "4: 3"]);
    assert!(problems(text).is_empty());
}

#[test]
fn requirement_links() {
    for (line, expected) in [
        ("_Requirements: 1.1, 2.3_", "1.1 2.3"),
        ("**Validates: Requirements 1.2, 1.3**", "1.2 1.3"),
        ("_Requirements: 9.9 (idempotency), 10.4_", "9.9 10.4"),
        ("_Requirements: 1.2-1.4_", "1.2 1.3 1.4"),
        ("_Requirements: FR-1.2, NFR-3, 7A.1_", "FR-1.2 NFR-3 7A.1"),
        ("_要件: 1.4, 1.5_", "1.4 1.5"),
        ("**检验: Requirement 1, 2**", "1 2"),
        ("Requirement: 3", "3"),
        ("_Requirements: All_", ""),
        ("Requirements from the client of 2019 apply", ""),
    ] {
        let plan = plan(&format!("- [ ] 1. A\n  - {line}\n"));
        assert_eq!(plan.units[0].own().requirements.join(" "), expected, "{line}");
    }
}

#[test]
fn checkpoints_are_known_by_their_title() {
    for (title, expected) in [
        ("Checkpoint", true),
        ("Checkpoint - all tests pass", true),
        ("Final checkpoint: done", true),
        ("FINAL CHECKPOINT", true),
        ("🏁 Checkpoint", true),
        ("Add checkpoints to the store", false),
        ("Checkpointing of the log", false),
        ("Final touches", false),
    ] {
        assert_eq!(plan(&format!("- [ ] 1. {title}\n")).units[0].checkpoint, expected, "{title}");
    }
}

#[test]
fn line_ends_and_byte_order_marks_change_nothing() {
    let text = "# P\n- [ ] 1. A\n  - a\n  ```\n  code\n\n  ```\n- [x]* 2. B\n  - _writes: x_\n  - Depends on: 1\n";
    assert_eq!(plan(text), plan(&text.replace('\n', "\r\n")));
    assert_eq!(plan(text), plan(&format!("\u{feff}{text}")));
    assert_eq!(plan(text).units[1].own().status, SubtaskState::Completed);
}

#[test]
fn a_plan_is_stored_as_it_is() {
    let plan = plan("- [ ] 1. A\n  - [ ]* 1.1 (P) B\n    - _writes: x_\n    - _Requirements: 1_\n- [ ] 2. C\n  - Depends on: 1.1\n");
    let json = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan);
}
