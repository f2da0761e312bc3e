//! Everything that can be wrong with a spec, with the exact words a person reads.

use std::collections::BTreeMap;

use super::*;

#[test]
fn plans_that_cannot_be_run() {
    for (text, expected) in [
        ("", vec!["E tasks.md:1: there are no tasks; write at least one line such as `- [ ] 1. Title`"]),
        ("# Only a title\n", vec!["E tasks.md:1: there are no tasks; write at least one line such as `- [ ] 1. Title`"]),
        ("- [ ] 1. A\n\n- [ ] 1. B\n", vec!["E tasks.md:3: task id 1 is used twice, first on line 1; give one of them another id"]),
        (
            "- [ ] 1. A\n  - [ ] 1.1 B\n  - [ ] 1.1 C\n  - [ ] 1.1 D\n",
            vec![
                "E tasks.md:3: task id 1.1 is used twice, first on line 2; give one of them another id",
                "E tasks.md:4: task id 1.1 is used twice, first on line 2; give one of them another id",
            ],
        ),
        ("- [ ] 1. A\n  - Depends on: 9\n", vec!["E tasks.md:2: unknown dependency id 9; name a task of this plan or remove it"]),
        (
            "- [ ] 1. A\n- [ ] 2. B\n- [ ] 5. C\n  - Depends on: 1-4\n",
            vec!["E tasks.md:4: unknown dependency id 4 in `1-4`; name tasks of this plan"],
        ),
        ("- [ ] 1. A\n  - Depends on: 1\n", vec!["E tasks.md:2: dependency cycle: 1 -> 1; remove the dependency"]),
        (
            "- [ ] 1. A\n  - depends on: 2\n- [ ] 2. B\n  - Depends on: 1\n- [ ] 3. C\n",
            vec!["E tasks.md:2: dependency cycle: 1 -> 2 -> 1; remove one of these dependencies"],
        ),
        (
            "- [ ] 1. A\n  - [ ] 1.1 B\n- [ ] 2. C\n  - Depends on: 3\n- [ ] 3. D\n  - [ ] 3.1 E\n    - Depends on: 2\n- [ ] 4. F\n  - Depends on: 3, 1.1\n",
            vec!["E tasks.md:4: dependency cycle: 2 -> 3 -> 2; remove one of these dependencies"],
        ),
        (
            "- [ ] 1. A\n  - [ ] 1.1 B\n    - Depends on: 2.2\n- [ ] 2. C\n  - [ ] 2.1 D\n    - Depends on: 1.1\n  - [ ] 2.2 E\n",
            vec!["E tasks.md:3: dependency cycle: 1 -> 2 -> 1; remove one of these dependencies"],
        ),
        (
            "- [ ] 1. A\n  - [ ] 1.1 B\n    - Depends on: 1.2\n  - [ ] 1.2 C\n    - Depends on: 1.1\n",
            vec!["E tasks.md:3: dependency cycle: 1.1 -> 1.2 -> 1.1; remove one of these dependencies"],
        ),
        (
            "- [ ] 1. A\n- [ ] 2. B\n  - Depends on: 2.1\n  - [ ] 2.1 C\n    - [ ] 2.1.1 D\n",
            vec!["E tasks.md:3: dependency cycle: 2 -> 2.1 -> 2; remove one of these dependencies"],
        ),
        (
            "- [ ] 1. A\n  - [ ] 1.1 B\n    - [ ] 1.1.1 C\n      - Depends on: 1.2\n  - [ ] 1.2 D\n    - Depends on: 1.1\n  - [ ] 1.3 E\n    - Depends on: 1.1\n",
            vec!["E tasks.md:4: dependency cycle: 1.1 -> 1.1.1 -> 1.2 -> 1.1; remove one of these dependencies"],
        ),
        (
            "- [ ] 1. A\n  - _writes: /etc/x_\n",
            vec!["E tasks.md:2: `/etc/x` is absolute; write it relative to the repository's top folder"],
        ),
        (
            "- [ ] 1. A\n  - _writes: ok, ../x, .git/config_\n  - _reads: C:\\x_\n",
            vec![
                "E tasks.md:2: `../x` contains `..`; write it relative to the repository's top folder",
                "E tasks.md:2: `.git/config` is inside `.git`, which no unit may touch; remove it",
                "E tasks.md:3: `C:\\x` is absolute; write it relative to the repository's top folder",
            ],
        ),
        ("- [ ] 1. A\n  - _writes: a\0b_\n", vec!["E tasks.md:2: `a\\0b` contains a NUL byte; remove it"]),
    ] {
        assert_eq!(problems(text), expected, "{text:?}");
        assert!(plan(text).has_errors());
    }
}

#[test]
fn plans_that_run_with_a_remark() {
    for (text, expected) in [
        (
            "- [ ] 1. A\n- [ ] Loose\n  - gone\n- [ ] 2. B\n",
            vec!["W tasks.md:2: this checkbox has no id and belongs to no task, so it is left out; number it, or indent it below a task"],
        ),
        (
            "- [ ] 1. A\n## Done when\n- [ ] all is well\n",
            vec!["W tasks.md:3: this checkbox has no id and belongs to no task, so it is left out; number it, or indent it below a task"],
        ),
        (
            "- [ ] 1. A\n- [ ] H2 database\n- [ ] 2. B\n",
            vec![
                "W tasks.md:2: this checkbox has no id and belongs to no task, so it is left out; number it (`H2.` if H2 is its id), or indent it below a task",
            ],
        ),
        (
            "[ ] 1. Z\n- [ ] 1. A\n-[ ] 2. B\n1. [x] 3. C\n  [ ] 5. D\n1. [ ] Loose\n  1. [ ] a step\n[x](a.md) 2. no\n",
            vec![
                "W tasks.md:1: this looks like a task and is none, so it is left out; a task line looks like `- [ ] 2. Title`: bullet, space, box, space, id",
                "W tasks.md:3: this looks like a task and is none, so it is read as a detail of task 1; a task line looks like `- [ ] 2. Title`: bullet, space, box, space, id",
                "W tasks.md:4: this looks like a task and is none, so it is read as a detail of task 1; a task line looks like `- [ ] 2. Title`: bullet, space, box, space, id",
                "W tasks.md:5: this looks like a task and is none, so it is read as a detail of task 1; a task line looks like `- [ ] 2. Title`: bullet, space, box, space, id",
                "W tasks.md:6: this looks like a task and is none, so it is read as a detail of task 1; a task line looks like `- [ ] 2. Title`: bullet, space, box, space, id",
            ],
        ),
        ("- [ ] 1.\n", vec!["W tasks.md:1: task 1 has no title; say what is to be done"]),
        ("- [?] 1. A\n", vec!["W tasks.md:1: the box `[?]` of task 1 counts as not started; use `[ ]` or `[x]`"]),
        (
            "- [ ] 1. A\n```\n- [ ] 2. B\n",
            vec!["W tasks.md:2: this code fence is never closed, so 1 checkbox line after it is no task; close it with ```"],
        ),
        (
            "- [ ] 1. A\n<!-- open\n- [ ] 2. B\n",
            vec!["W tasks.md:2: this comment is never closed and is read as text; close it with `-->`"],
        ),
        (
            "- [ ] 1. A\n- [ ] 2. B\n  - Depends on: 1, the weather\n",
            vec!["W tasks.md:3: only 1 is read as a dependency, `the weather` names no task; list task ids alone"],
        ),
        (
            "- [ ] 1. A\n- [ ] 2. B\n  - [ ] 2.1 C\n- [ ] 3. D\n  - Depends on: 2.1-1\n",
            vec!["W tasks.md:5: `2.1-1` is no range of one row, so only its two ends count; list the ids one by one"],
        ),
        (
            "- [ ] 1. A\n  - [ ] 1.1 B\n    - [ ] 3.5 seconds at most\n- [ ] 2. C\n",
            vec![
                "W tasks.md:3: `3.5` is read as a detail, not as a task id: it stands below another task and has no parent; write `3.5.` to make it a task",
            ],
        ),
        (
            "- [ ] 1. A\n  - Depends on: luck\n",
            vec!["N tasks.md:2: `luck` names no task, so nothing is depended on here; list task ids if it should"],
        ),
        ("- [ ] 1. A\n  - _writes: _\n", vec!["N tasks.md:2: this `_writes:` line names no path"]),
    ] {
        assert_eq!(problems(text), expected, "{text:?}");
        assert!(!plan(text).has_errors());
    }
}

#[test]
fn bytes_that_are_no_text() {
    let plan = parse_tasks(b"- [ ] 1. A\n- [ ] 2. \xff\n", "tasks.md");
    assert_eq!(plan.problems[0].to_string(), "tasks.md:2: invalid UTF-8 at byte 20; save the file as UTF-8");
    assert!(plan.units.is_empty());
}

#[test]
fn all_problems_come_at_once_in_file_order() {
    let text =
        "- [ ] 1. A\n  - _writes: ../x_\n  - Depends on: 7\n- [ ] 2. B\n  - Depends on: 3\n- [-] 3. C\n  - Depends on: 2\n- [ ] 1. D\n";
    let found = problems(text);
    assert_eq!(found.len(), 5, "{found:#?}");
    let lines: Vec<u32> = plan(text).problems.iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [2, 3, 5, 6, 8]);
}

#[test]
fn long_cycles_are_cut_in_the_middle() {
    let text: String = (1..=30).map(|n| format!("- [ ] {n}. U\n  - Depends on: {}\n", n % 30 + 1)).collect();
    assert_eq!(
        problems(&text),
        [
            "E tasks.md:2: dependency cycle: 1 -> 2 -> 3 -> 4 -> 5 -> 6 -> 7 -> 8 -> 9 -> 10 -> (10 more) -> 21 -> 22 -> 23 -> 24 -> 25 -> 26 -> 27 -> 28 -> 29 -> 30 -> 1; remove one of these dependencies"
        ]
    );
}

fn read(files: &[(&str, &str)], strict: bool) -> Vec<String> {
    let files: BTreeMap<String, Vec<u8>> = files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect();
    let report = Spec::read(&files, strict);
    report.problems.iter().map(|problem| format!("{:?} {problem}", problem.level)).collect()
}

#[test]
fn folders_that_lack_files() {
    assert_eq!(
        read(&[], false),
        [
            "Warning requirements.md: there is no requirements.md (or bugfix.md), so prompts carry no requirements; add one",
            "Warning design.md: there is no design.md, so prompts carry no design; add one",
            "Error tasks.md: there is no tasks.md in the spec folder; write the plan there",
        ]
    );
    let tasks = ("tasks.md", "- [ ] 1. A\n");
    assert_eq!(read(&[tasks, ("bugfix.md", ""), ("design.md", "")], true), Vec::<String>::new());
    assert_eq!(
        read(&[tasks, ("requirements.md", "")], true),
        ["Error design.md: there is no design.md, so prompts carry no design; add one"]
    );
    let linked = ("tasks.md", "- [ ] 1. A\n  - _Requirements: 1.1, 2.1_\n");
    assert_eq!(
        read(&[linked, ("requirements.md", "### Requirement 1\n1. one\n"), ("design.md", "")], true),
        ["Note tasks.md:1: task 1 links to 2.1, which requirements.md does not have"]
    );
    assert_eq!(
        read(&[linked, ("bugfix.md", "Prose."), ("design.md", "")], true),
        ["Note bugfix.md: none of the 2 linked requirements is found here; number its headings as the links do"]
    );
    let files = BTreeMap::from([("tasks.md".to_owned(), b"- [ ] 1. A".to_vec()), ("design.md".to_owned(), vec![0xff])]);
    let report = Spec::read(&files, false);
    assert_eq!(report.problems[0].to_string(), "design.md: invalid UTF-8 at byte 0; save the file as UTF-8");
    assert!(report.has_errors() && report.plan.units.len() == 1);
    assert!(report.into_result().is_err());
}

#[test]
fn plans_beyond_the_limits_say_which() {
    let units: String = (1..=crate::limits::UNITS_MAX + 1).map(|n| format!("- [ ] {n}. U\n")).collect();
    let errors: Vec<String> = problems(&units).into_iter().filter(|said| said.starts_with("E ")).collect();
    let how = "split the spec, or allow more with --units-max, here and where the coordinator is served";
    assert_eq!(errors, [format!("E tasks.md:1: the plan has 100001 units, more than 100000; {how}")]);
    let files = BTreeMap::from([("tasks.md".to_owned(), units.into_bytes())]);
    let within = |units_max: usize| Spec::read_with(&files, ReadOptions { units_max, ..ReadOptions::default() });
    assert!(!within(100_001).has_errors());
    let few = within(2);
    assert!(few.has_errors() && few.plan.units.len() == 2, "what is too much is not kept");
    assert_eq!(few.spec.plan().units.len(), 100_001, "one that was accepted is read whole");
    // Each unit names all before it by a row of ids, four of five of which are no task. The row that is longer than what is left of a million ends at none.
    let dense: String = (1..=2_500)
        .map(|n| if n == 1 { "- [ ] 1. U\n".to_owned() } else { format!("- [ ] {}. U\n  - Depends on: 1-{}\n", 5 * n - 4, 5 * n - 9) })
        .collect();
    let errors: Vec<String> = problems(&dense).into_iter().filter(|said| !said.starts_with("N ")).collect();
    assert_eq!(errors, ["E tasks.md:1266: the plan has more than 1000000 dependencies; name parents instead of all their subtasks"]);
}
