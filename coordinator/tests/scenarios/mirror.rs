//! The mirror files: every field, words that old readers know, a pulse that keeps what people wrote.

use roundtable_coordinator::mirror::form::TasksParsed;
use roundtable_shared::{Mode, Role};
use serde_json::{Value, json};

use super::world::*;

const PLAN: &str = "\
- [ ] 1. Grüße 日本
  - _writes: lib/a.py_
- [ ] 2. Second
  - _writes: b_
  - Depends on: 1
";

fn report() -> Turn {
    answers(json!({
        "status": "completed", "summary": "wrote the greeting", "files_changed": ["lib/a.py"], "tests_passed": 4, "tests_failed": 1, "coverage": "87%",
    }))
}

#[test]
fn every_field_is_there_with_null_where_nothing_is_known() {
    let world = plan(PLAN).start().script("1", Role::Implement, [report()]).play();
    let text = world.mirror_over(None).agent_state;
    assert!(text.contains("Grüße 日本") && text.ends_with("}\n"), "{text}");
    let state: Value = serde_json::from_str(&text).unwrap();
    for key in [
        "spec_path",
        "session_name",
        "tasks",
        "review_findings",
        "final_reports",
        "blocked_items",
        "pending_decisions",
        "deferred_fixes",
        "window_mapping",
        "roundtable",
    ] {
        assert!(state.get(key).is_some(), "{key}");
    }
    let task = state["tasks"][0].as_object().unwrap();
    for key in [
        "task_id",
        "status",
        "description",
        "type",
        "owner_agent",
        "dependencies",
        "criticality",
        "is_optional",
        "parent_id",
        "subtasks",
        "details",
        "writes",
        "reads",
        "fix_attempts",
        "max_fix_attempts",
        "escalated",
        "escalated_at",
        "original_agent",
        "last_review_severity",
        "review_history",
        "blocked_reason",
        "blocked_by",
        "exit_code",
        "output",
        "error",
        "files_changed",
        "coverage",
        "coverage_num",
        "tests_passed",
        "tests_failed",
        "window_id",
        "pane_id",
        "target_window",
        "created_at",
        "completed_at",
    ] {
        assert!(task.contains_key(key), "{key}");
    }
    assert_eq!((task["window_id"].clone(), task["pane_id"].clone()), (Value::Null, Value::Null));
    assert_eq!((task["output"].as_str(), task["exit_code"].as_i64()), (Some("wrote the greeting"), Some(0)));
    assert_eq!((task["tests_passed"].as_u64(), task["tests_failed"].as_u64()), (Some(4), Some(1)));
    assert_eq!((task["coverage"].as_str(), task["coverage_num"].as_f64()), (Some("87%"), Some(87.0)));
    assert_eq!(task["files_changed"], json!(["lib/a.py"]));
    assert!(task["created_at"].as_str().unwrap().ends_with('Z') && task["completed_at"].as_str().unwrap().ends_with('Z'));
    assert_eq!(state["roundtable"]["run"], "ledger-k3v9q2");
}

#[test]
fn the_parsed_tasks_are_the_same_tasks_without_results() {
    let world = plan(PLAN).start().play();
    let parsed: TasksParsed = serde_json::from_str(&world.mirror_over(None).tasks_parsed).unwrap();
    let state = world.mirror();
    assert_eq!(parsed.spec_path, state.spec_path);
    for (parsed, task) in parsed.tasks.iter().zip(&state.tasks) {
        assert_eq!((&parsed.task_id, &parsed.status, &parsed.description), (&task.task_id, &task.status, &task.description));
    }
    let first: Value = serde_json::from_str(&world.mirror_over(None).tasks_parsed).unwrap();
    assert!(first["tasks"][0].get("owner_agent").is_none() && first["tasks"][0].get("review_history").is_some());
}

/// A state that was written is one that can be continued from.
#[test]
fn what_is_written_can_be_imported() {
    let again = || finds("major", "off by one");
    let world = plan(PLAN).start().script("1", Role::Review, [again(), again(), again(), again()]).play();
    let written: Value = serde_json::from_str(&world.mirror_over(None).agent_state).unwrap();
    let world = plan(PLAN).continuing(written).start().play();
    assert_eq!((world.exit(), world.decisions()[0].id.as_str()), (2, "human-fallback-1"));
    assert_eq!(world.mirrored("1").fix_attempts, 3);
}

#[test]
fn writing_the_pulse_twice_changes_nothing() {
    let again = || finds("critical", "injection");
    let design = "# Design\n\n## Overview\n\nOne pass over\nthe text.\n\n```mermaid\ngraph TD\n  A --> B\n```\n";
    let world = plan(PLAN).design(design).start().script("1", Role::Review, [again(), again(), again(), again()]).play();
    let once = world.mirror_over(None).pulse;
    assert!(once.contains("One pass over the text.\n\n```mermaid\ngraph TD\n  A --> B\n```\n"), "{once}");
    assert!(once.contains("- 🚫 BLOCKED: [1] ") && once.contains("(Resolution: "), "{once}");
    assert!(once.contains("- [human-fallback-1] ") && once.contains(" (task: 1) Options: I've fixed it manually - resume, "), "{once}");
    assert_eq!(world.mirror_over(Some(&once)).pulse, once);
}

#[test]
fn a_persons_own_lines_stay_and_ours_are_renewed() {
    let pulse = "\
# PROJECT_PULSE

Kept by Ada.

## mental model

<!-- Codex: Summarize the system mental model using design.md -->
We think in streams.

## NARRATIVE DELTA

**Orchestration spec:** `old`

**Progress Summary:**
- Total tasks: 99
- Completed: 0

- met with the team

## My notes

```
## Semantic Anchors
```

## 🔴 Risks & Debt

### Cognitive Load Warnings
- 🚫 BLOCKED: [7] gone long ago
- watch the lexer

### Technical Debt
- None

### Pending Decisions
- [human-fallback-9] HUMAN

### Fix Attempt 3 Review
  - [CRITICAL] injection
 (task: 9) Options: resume, skip
- [ ] ask Bob

## Semantic Anchors
- [lib] `old.py` -> `7`
- see also the wiki
";
    let world = plan(PLAN).start().play();
    let view = world.mirror_over(Some(pulse));
    assert_eq!(view.pulse_problem, None);
    let written = view.pulse;
    for kept in [
        "Kept by Ada.",
        "We think in streams.",
        "- met with the team",
        "## My notes\n\n```\n## Semantic Anchors\n```",
        "- watch the lexer",
        "- [ ] ask Bob",
        "- see also the wiki",
    ] {
        assert!(written.contains(kept), "{kept} is kept in\n{written}");
    }
    for gone in ["Total tasks: 99", "`old`", "gone long ago", "human-fallback-9", "Fix Attempt 3", "old.py", "Codex: Summarize"] {
        assert!(!written.contains(gone), "{gone} is gone from\n{written}");
    }
    assert!(written.contains("- Total tasks: 2") && written.contains("- [lib] `lib/a.py` -> `1`"), "{written}");
    assert!(written.contains("## 🟢 Mental Model") && written.contains("## 🔗 Semantic Anchors"), "{written}");
    assert_eq!(world.mirror_over(Some(&written)).pulse, written);
}

#[test]
fn a_pulse_without_its_sections_is_left_alone_and_named() {
    let world = plan(PLAN).mode(Mode::Manual).start();
    let view = world.mirror_over(Some("# hello\n\n## Mental Model\n"));
    assert_eq!(view.pulse, "# hello\n\n## Mental Model\n");
    let problem = view.pulse_problem.unwrap();
    assert!(problem.contains("Narrative Delta") && !problem.contains("Mental Model"), "{problem}");
    assert!(problem.starts_with("Could not parse PULSE document structure"), "{problem}");
}

/// What people write in the form of ours, below each heading.
const MINE: [(&str, &[&str]); 5] = [
    ("- Blocked: 0", &["- ✅ Deployed to staging", "- 🔄 waiting for Bob", "- ✅ 2: looked at it myself"]),
    ("### Cognitive Load Warnings", &["- 🚫 BLOCKED: [ops] my own"]),
    ("### Technical Debt", &["- [ ] refactor login (major)", "- [1] rename it one day (minor)"]),
    ("### Pending Decisions", &["- [quarantine-note] my own reminder", "- [breach-note] a or b? (task: 1) Options: a, b"]),
    ("## 🔗 Semantic Anchors", &["- [docs] `docs/x.md` -> `see wiki`"]),
];

fn with_mine(pulse: &str) -> String {
    MINE.iter().fold(pulse.to_owned(), |pulse, (place, lines)| pulse.replacen(place, &format!("{place}\n{}", lines.join("\n")), 1))
}

#[test]
fn a_persons_lines_in_the_form_of_ours_stay() {
    let world = plan(PLAN).mode(Mode::Manual).start();
    let first = world.mirror_over(None);
    assert!(first.pulse_kept.is_empty());
    let mine: Vec<&str> = MINE.iter().flat_map(|(_, lines)| lines.iter().copied()).collect();
    let edited = with_mine(&first.pulse);
    let view = world.mirror_knowing(Some(&edited), Some(&mine));
    let mut kept: Vec<&str> = view.pulse_kept.iter().map(String::as_str).collect();
    // The first two only begin like ours.
    let mut expected = mine[2..].to_vec();
    kept.sort_unstable();
    expected.sort_unstable();
    assert_eq!(kept, expected);
    mine.iter().for_each(|line| assert_eq!(view.pulse.lines().filter(|each| each == line).count(), 1, "{line} in\n{}", view.pulse));
    // They are not ours the next time either, and the run's own lines go on being renewed.
    assert_eq!(world.mirror_knowing(Some(&view.pulse), Some(&mine)).pulse, view.pulse);
    let done = plan(PLAN).start().play();
    let end = done.mirror_knowing(Some(&view.pulse), Some(&mine));
    mine.iter().for_each(|line| assert!(end.pulse.contains(line), "{line} in\n{}", end.pulse));
    assert!(end.pulse.contains("- Completed: 2") && !end.pulse.contains("- Completed: 0"), "{}", end.pulse);
    assert_eq!(done.mirror_knowing(Some(&end.pulse), Some(&mine)).pulse, end.pulse);
}

/// Without knowing what was written, only what is about a task is taken for ours.
#[test]
fn a_pulse_of_unknown_origin_loses_only_lines_about_tasks() {
    let done = plan(PLAN).start().play();
    let edited = with_mine(&done.pulse().replace("- Blocked: 0", "- Blocked: 7"));
    let edited = edited.replacen("- Blocked: 7", &format!("- Blocked: 7\n{}", MINE[0].1.join("\n")), 1);
    let totals = ["- Blocked: 7", "- ✅ 2: looked at it myself"];
    for foreign in [None, Some(&totals[..])] {
        let view = done.mirror_knowing(Some(&edited), foreign);
        assert!(view.pulse.contains("- ✅ Deployed to staging"), "{}", view.pulse);
        for line in ["- [ ] refactor login (major)", "- [docs] `docs/x.md` -> `see wiki`"] {
            assert_eq!(view.pulse.contains(line), foreign.is_none(), "{line} in\n{}", view.pulse);
        }
        assert!(!view.pulse.contains("looked at it myself") && !view.pulse.contains("Blocked: 7"), "{}", view.pulse);
        assert_eq!(view.pulse.matches("- ✅ 1: Grüße 日本").count(), 1, "{}", view.pulse);
    }
}

/// A line that a person wrote and that is then true is there once, and stays once.
#[test]
fn a_line_that_comes_true_is_there_once() {
    let anchor = "- [lib] `lib/a.py` -> `1`";
    let before = plan(PLAN).mode(Mode::Manual).start();
    let edited = before.pulse().replacen("## 🔗 Semantic Anchors", &format!("## 🔗 Semantic Anchors\n{anchor}"), 1);
    let kept = before.mirror_knowing(Some(&edited), Some(&[anchor]));
    assert_eq!(kept.pulse_kept, [anchor]);
    let done = plan(PLAN).start().play();
    let end = done.mirror_knowing(Some(&kept.pulse), Some(&[anchor]));
    assert_eq!((end.pulse.matches(anchor).count(), end.pulse_kept), (1, Vec::new()));
}

#[test]
fn nothing_in_the_pulse_moves_the_cursor() {
    let tasks = "- [ ] 1. Nul\0here \u{1b}[31mRED\u{1b}[0m \u{7}bell\n  - _writes: a_\n";
    let design = "## Overview\n\nA \u{1b}[1mbold\u{1b}[0m plan.\n\n```mermaid\ngraph\u{7} TD\n\tA --> B\n```\n";
    let answer = || answers(json!({ "status": "failed", "error": "line one\n\u{1b}]0;owned\u{7}## Risks\u{8}" }));
    let world = plan(tasks).design(design).start().script("1", Role::Implement, [answer(), answer(), answer()]).play();
    let pulse = world.pulse();
    assert!(!pulse.chars().any(|c| c.is_control() && c != '\n' && c != '\t'), "{pulse:?}");
    assert!(pulse.contains("A bold plan.") && pulse.contains("graph TD\n\tA --> B") && pulse.contains("line one"), "{pulse}");
    let world = plan(tasks).start().play();
    assert!(world.pulse().contains("- ✅ 1: Nulhere RED bell"), "{}", world.pulse());
}

#[test]
fn decisions_older_than_a_day_are_escalated() {
    let again = || finds("critical", "injection");
    let mut world = plan(PLAN).start().script("1", Role::Review, [again(), again(), again(), again()]).play();
    assert!(!world.pulse().contains("ESCALATED") && !world.decisions()[0].escalated);
    world.now.wall = roundtable_shared::time::WallMs(world.now.wall.0 + 86_400_000);
    assert!(world.pulse().contains("⚠️ ESCALATED") && world.decisions()[0].escalated);
    let pulse = world.pulse();
    assert_eq!(world.mirror_over(Some(&pulse)).pulse, pulse);
}
