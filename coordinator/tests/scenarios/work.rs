//! Work: one turn per unit, what runs beside what, failed steps, unreadable answers, missing workers.

use roundtable_shared::{AttemptOutcome, FailureKind, OutcomeClass, Role, WaitKind};
use serde_json::json;

use super::world::*;

const PARENT: &str = "- [ ] 1. Whole\n  - _writes: a.txt_\n  - [ ] 1.1 First\n  - [ ] 1.2 Second\n  - [ ] 1.10 Third\n";

#[test]
fn a_parent_with_its_steps_is_one_turn_in_their_order() {
    let world = plan(PARENT).start().grant();
    assert_eq!(world.turns(), ["-/assign", "1/implement"]);
    let prompt = &world.told("1", Role::Implement)[0].text;
    let places: Vec<usize> = ["- 1.1 First", "- 1.2 Second", "- 1.10 Third"].iter().map(|step| prompt.find(step).unwrap()).collect();
    assert!(places.is_sorted(), "{prompt}");
    assert!(prompt.ends_with("Roundtable-Turn: ledger-k3v9q2/1/implement/1\n"), "{prompt}");
}

/// The steps are what the agent reports; the unit alone waits for its review.
#[test]
fn after_its_work_a_unit_waits_for_review_and_its_steps_are_done() {
    let world = plan(PARENT).start();
    let world = world.script("1", Role::Review, [fails(FailureKind::TurnFailed)]).play();
    assert!(world.path("1").starts_with(&["in_progress", "pending_review", "under_review"].map(str::to_owned)), "{:?}", world.path("1"));
    for step in ["1.1", "1.2", "1.10"] {
        assert_eq!(world.mirrored(step).status, "completed");
    }
}

#[test]
fn a_failed_step_keeps_what_is_done_and_shows_where_it_stopped() {
    let broken = || {
        answers(
            json!({ "status": "failed", "completed_subtasks": ["1.1"], "failed_subtask": "1.2", "error": "no such table", "summary": "" }),
        )
    };
    let world = plan(PARENT).start().script("1", Role::Implement, [broken(), broken(), broken()]).play();
    let (unit, first, second) = (world.mirrored("1"), world.mirrored("1.1"), world.mirrored("1.2"));
    assert_eq!((unit.status.as_str(), unit.blocked_by.as_deref(), unit.error.as_deref()), ("blocked", Some("1.2"), Some("no such table")));
    assert_eq!((first.status.as_str(), second.status.as_str()), ("completed", "blocked"));
    assert_eq!(second.blocked_reason.as_deref(), Some("no such table"));
    assert_eq!(world.told("1", Role::Implement).len(), 3, "it is resumed by itself until the third failure");
    let again = &world.told("1", Role::Implement)[1].text;
    assert!(again.contains("- 1.1 First — done already"), "{again}");
    assert!(again.contains("- 1.2 Second — TO DO, continue here"), "{again}");
    assert!(again.contains("The last attempt ended badly: attempt 1 failed: no such table"), "{again}");
    assert_eq!(world.decisions()[0].id, "failed-subtask-1");
    assert_eq!(world.exit(), 2);
}

/// It used to stay in progress for ever.
#[test]
fn an_answer_that_cannot_be_read_is_a_failed_turn_and_is_tried_again() {
    let world = plan("- [ ] 1. Only\n").start().script("1", Role::Implement, [says("done!\n")]).play();
    assert_eq!(world.path("1")[..3], ["in_progress", "not_started", "in_progress"].map(str::to_owned));
    assert_eq!(world.exit(), 0);
    let attempts = roundtable_coordinator::view::attempts(world.unit("1"));
    assert_eq!((attempts[0].outcome.known(), attempts[0].class.clone()), (Some(AttemptOutcome::Failed), Some(OutcomeClass::Unit.into())));
}

/// A unit that never succeeds ends as a question to a person, not as a loop.
#[test]
fn a_unit_that_always_fails_becomes_a_decision_after_three_turns() {
    let always = || fails(FailureKind::ExitStatus { code: Some(1), signal: None });
    let world = plan("- [ ] 1. Only\n").start().script("1", Role::Implement, [always(), always(), always(), always()]).play();
    assert_eq!(world.turns().iter().filter(|turn| *turn == "1/implement").count(), 3);
    assert_eq!((world.exit(), world.decisions()[0].id.as_str()), (2, "quarantine-1"));
    assert_eq!(world.mirrored("1").status, "blocked");
}

#[test]
fn without_a_worker_nothing_changes_and_a_person_is_asked() {
    let world = plan("- [ ] 1. Only\n").workers(&[]).start().play();
    assert_eq!(world.mirrored("1").status, "not_started");
    assert_eq!((world.turns().len(), world.exit()), (0, 2));
    assert_eq!(world.decisions()[0].id, "no-worker-codex");
    assert_eq!(world.decisions()[0].keywords.first().map(String::as_str), Some("wait"));
}

#[test]
fn units_without_manifests_run_one_after_the_other_in_document_order() {
    let world = plan("- [ ] 1. A\n- [ ] 2. B\n- [ ] 3. C\n").start().play();
    let work: Vec<String> = world.turns().into_iter().filter(|turn| turn.ends_with("/implement")).collect();
    assert_eq!(work, ["1/implement", "2/implement", "3/implement"]);
    assert!(!world.ran_together("1/implement", "2/implement") && !world.ran_together("2/implement", "3/implement"));
    assert_eq!(world.exit(), 0);
}

/// Both used to run at once.
#[test]
fn what_reads_a_path_waits_for_the_earlier_unit_that_writes_it() {
    let tasks = "- [ ] 1. Writer\n  - _writes: lib/a.txt_\n- [ ] 2. Reader\n  - _writes: lib/b.txt_\n  - _reads: lib/a.txt_\n- [ ] 3. Other\n  - _writes: lib/c.txt_\n";
    let world = plan(tasks).start().grant();
    assert!(world.ran_together("1/implement", "3/implement"));
    let waits = world.shown("2").waiting;
    assert_eq!((waits[0].kind.known(), waits[0].on.as_str(), waits[0].path.as_str()), (Some(WaitKind::Hazard), "1", "lib/a.txt"));
    let world = world.play();
    assert!(!world.ran_together("1/implement", "2/implement"));
    assert_eq!(world.exit(), 0);
}

/// Different spellings used to count as different paths.
#[test]
fn spellings_of_a_path_folders_and_globs_are_one_path() {
    let tasks = "\
- [ ] 1. A\n  - _writes: ./lib/x.py_
- [ ] 2. B\n  - _writes: lib//x.py_
- [ ] 3. C\n  - _writes: lib\\x.py_
- [ ] 4. D\n  - _writes: lib/_
- [ ] 5. E\n  - _writes: lib/*.py_
- [ ] 6. F\n  - _writes: other/x.py_
";
    let world = plan(tasks).start().play();
    assert_eq!(world.exit(), 0);
    for a in ["1", "2", "3", "4", "5"] {
        for b in ["1", "2", "3", "4", "5"] {
            assert!(a == b || !world.ran_together(&format!("{a}/implement"), &format!("{b}/implement")), "{a} and {b}");
        }
    }
    assert!(world.ran_together("1/implement", "6/implement"));
    assert_eq!(world.mirrored("1").writes, ["lib/x.py"]);
}

/// A glob over all folders used to wait for every file that is named.
#[test]
fn a_file_is_no_folder_to_a_glob() {
    let tasks =
        "- [ ] 1. Code\n  - _writes: src/base.txt_\n- [ ] 2. Docs\n  - _writes: **/*.md_\n- [ ] 3. New folder\n  - _writes: lib/new_\n";
    let world = plan(tasks).start().play();
    assert!(world.ran_together("1/implement", "2/implement") && !world.ran_together("2/implement", "3/implement"));
    assert_eq!(world.exit(), 0);
}

/// What looked like a file turns out to be a folder: the other unit, which foresaw the path, has it first.
#[test]
fn below_what_looked_like_a_file_others_come_first() {
    let tasks = "- [ ] 1. Notes\n  - _writes: **/*.md_\n- [ ] 2. Kit\n  - _writes: kit.two_\n";
    let own = || Turn::default().changing(&["kit.two/a.md", "kit.two/b.rs"]);
    let world = plan(tasks).start().script("2", Role::Implement, [own()]);
    let world = world.script("1", Role::Review, [finds("major", "odd")]).play();
    assert!(world.ran_together("1/implement", "2/implement"));
    assert_eq!((world.exit(), world.mirrored("2").fix_attempts), (0, 0));
    assert!(world.mirrored("2").writes.contains(&"kit.two/a.md".to_owned()), "{:?}", world.mirrored("2").writes);
    // With a strict manifest it is still its own.
    let strict =
        plan("- [ ] 1. Kit\n  - _writes: kit.two_\n").options(|options| options.manifest = roundtable_shared::ManifestRule::Strict);
    let world = strict.start().script("1", Role::Implement, [own()]).play();
    assert_eq!((world.exit(), world.told("1", Role::Implement).len()), (0, 1));
}

/// Where the file system does not tell case apart, neither do manifests.
#[test]
fn case_counts_only_where_the_repository_says_so() {
    let tasks = "- [ ] 1. A\n  - _writes: lib/x.py_\n- [ ] 2. B\n  - _writes: LIB/x.py_\n";
    let together = |ignore_case| {
        plan(tasks).options(|options| options.ignore_case = ignore_case).start().play().ran_together("1/implement", "2/implement")
    };
    assert!(together(false) && !together(true));
}

#[test]
fn ten_units_share_nine_windows() {
    let tasks: String = (1..=10).map(|n| format!("- [ ] {n}. Unit {n}\n  - _writes: f{n}_\n")).collect();
    let world = plan(&tasks).workers(&[("codex", 10)]).start().grant();
    let mapping = world.mirror().window_mapping;
    let distinct: std::collections::BTreeSet<&String> = mapping.values().collect();
    assert_eq!((mapping.len(), distinct.len()), (10, 9), "{mapping:?}");
    assert_eq!(mapping["1"], "task-1");
    assert_eq!(world.mirrored("10").target_window.as_ref(), Some(&mapping["10"]));
    let imported = json!({ "tasks": (1..=10).map(|n| json!({ "task_id": n.to_string(), "status": "not_started", "target_window": format!("task-{n}") })).collect::<Vec<_>>() });
    let mapping = plan(&tasks).continuing(imported).start().mirror().window_mapping;
    let distinct: std::collections::BTreeSet<&String> = mapping.values().collect();
    assert!(distinct.len() <= 9, "{mapping:?}");
}

/// It used to end everything with a traceback.
#[test]
fn an_owner_nobody_offers_is_named_and_the_other_units_go_on() {
    let state = json!({ "tasks": [
        { "task_id": "1", "status": "not_started", "owner_agent": "claude" },
        { "task_id": "2", "status": "not_started", "owner_agent": "codex" },
    ] });
    let tasks = "- [ ] 1. A\n  - _writes: a_\n- [ ] 2. B\n  - _writes: b_\n";
    let world = plan(tasks).continuing(state).start().play();
    assert_eq!(world.exit(), 0, "another backend plays for it");
    assert!(world.status().notices.iter().any(|notice| notice.contains("claude")), "{:?}", world.status().notices);
}

/// It used to hold the review back for ever.
#[test]
fn steps_that_were_done_before_do_not_hold_the_review_back() {
    let world = plan("- [ ] 1. Whole\n  - [x] 1.1 Before\n  - [ ] 1.2 Now\n").start().play();
    assert_eq!((world.exit(), world.mirrored("1").status.as_str()), (0, "completed"));
    let prompt = &world.told("1", Role::Implement)[0];
    assert!(prompt.text.contains("1.1 Before — done already"), "{}", prompt.text);
    assert_eq!(prompt.turn_data.open_subtasks.iter().map(|step| step.id.as_str()).collect::<Vec<_>>(), ["1.2"]);
}

/// Dependencies that are met used to be sent along and refused.
#[test]
fn met_dependencies_are_no_obstacle() {
    let world = plan("- [x] 1. Done\n- [ ] 2. Next\n  - Depends on: 1\n").start().play();
    assert_eq!((world.exit(), world.mirrored("2").status.as_str()), (0, "completed"));
    assert_eq!(world.shown("2").waiting, []);
}

/// A path that another unit holds is waited for, not fought over.
#[test]
fn a_change_of_a_path_that_another_unit_holds_waits_until_it_is_free() {
    let tasks = "- [ ] 1. A\n  - _writes: a_\n- [ ] 2. B\n  - _writes: b_\n";
    let world = plan(tasks).start().script("2", Role::Implement, [Turn::default().changing(&["a", "b"])]);
    let world = world.script("1", Role::Review, [finds("major", "odd")]).play();
    assert_eq!((world.exit(), world.mirrored("2").status.as_str()), (0, "completed"));
    assert!(world.mirrored("2").writes.contains(&"a".to_owned()), "it is claimed: {:?}", world.mirrored("2").writes);
    assert_eq!(world.mirrored("2").fix_attempts, 0, "waiting uses no fix attempt");
}

/// Outside of everything allowed: told once, then a person is asked.
#[test]
fn a_strict_manifest_sends_work_back_once_and_then_asks() {
    let outside = || Turn::default().changing(&["a", "c"]);
    let strict = || plan("- [ ] 1. A\n  - _writes: a_\n").options(|options| options.manifest = roundtable_shared::ManifestRule::Strict);
    let world = strict().start().script("1", Role::Implement, [outside()]).play();
    assert_eq!(world.exit(), 0);
    let again = &world.told("1", Role::Implement)[1].text;
    assert!(again.contains("# Changes that were refused") && again.contains("- `c`"), "{again}");
    let world = strict().start().script("1", Role::Implement, [outside(), outside()]).play();
    assert_eq!((world.exit(), world.decisions()[0].id.as_str()), (2, "breach-1"));
}

/// A checkpoint looks at what is there: its own work may change nothing, and then nobody reviews it.
#[test]
fn a_checkpoint_that_changes_nothing_is_completed_without_review() {
    let world = plan("- [ ] 1. A\n- [ ] 2. Checkpoint\n").start().play();
    assert_eq!((world.exit(), world.mirrored("2").status.as_str()), (0, "completed"));
    assert!(
        world.told("2", Role::Review).is_empty()
            && world.told("2", Role::Implement)[0].text.contains("Changing nothing is a valid end here")
    );
}

/// A refusal costs nothing, but a playbook goes on: a turn that is refused for ever could not be played to its end.
#[test]
fn a_refused_turn_is_a_failed_turn_and_counts_against_nobody() {
    let refused = || fails(FailureKind::RateLimit { retry_after_ms: Some(3_000) });
    let world = plan("- [ ] 1. Only\n").start().script("1", Role::Implement, (0..4).map(|_| refused())).play();
    assert_eq!(world.exit(), 0);
    let turns: Vec<u32> =
        world.unit("1").attempts.iter().filter(|each| each.granted.role == Role::Implement).map(|each| each.granted.turn).collect();
    assert_eq!(turns, [1, 2, 3, 4, 5]);
    assert_eq!(world.unit("1").counters.unit_failures, 0);
}

#[test]
fn a_slot_is_filled_again_while_the_work_of_its_last_agent_is_handed_in() {
    let units: String = (1..=3).map(|n| format!("- [ ] {n}. Part\n  - _writes: {n}.txt_\n")).collect();
    let world = plan(&units).workers(&[("codex", 1)]).start().grant();
    assert_eq!(world.turns(), ["-/assign", "1/implement"]);
    let world = world.ending("1");
    assert_eq!(world.turns(), ["-/assign", "1/implement", "2/implement"]);
    let world = world.ending("2");
    assert_eq!(world.turns().len(), 3, "more is not let pile up");
    assert_eq!(world.play().exit(), 0);
}
