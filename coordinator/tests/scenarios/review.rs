//! Reviews and the fix loop: who looks, what sends a unit back, what a fix is told, when a person is asked.

use roundtable_shared::{FailureKind, Role, UnitState};
use serde_json::json;

use super::world::*;

const ONE: &str = "- [ ] 1. Only\n  - _writes: lib/a.py_\n";
const TWO: &str = "- [ ] 1. First\n  - _writes: a_\n- [ ] 2. Second\n  - Depends on: 1\n  - _writes: b_\n";

#[test]
fn a_clean_review_completes_the_unit() {
    let world = plan(ONE).start().play();
    assert_eq!(world.path("1"), ["in_progress", "pending_review", "under_review", "final_review", "completed"]);
    let state = world.mirror();
    assert_eq!((state.review_findings[0].reviewer.as_str(), state.review_findings[0].severity.as_str()), ("review-1-1", "none"));
    assert_eq!((state.final_reports[0].task_id.as_str(), state.final_reports[0].overall_severity.as_str()), ("1", "none"));
    assert_eq!(world.exit(), 0);
    let pulse = world.pulse();
    assert!(pulse.contains("**Recent Completions:**\n- ✅ 1: Only\n"), "{pulse}");
    assert!(pulse.contains("- [lib] `lib/a.py` -> `1`"), "{pulse}");
}

/// It used to stay in its final review, and its dependants blocked.
#[test]
fn a_critical_finding_is_fixed_reviewed_again_and_then_counts_no_more() {
    let world = plan(TWO).start().script("1", Role::Review, [finds("critical", "injection")]).play();
    assert_eq!(
        world.path("1"),
        [
            "in_progress",
            "pending_review",
            "under_review",
            "final_review",
            "fix_required",
            "in_progress",
            "pending_review",
            "under_review",
            "final_review",
            "completed"
        ]
    );
    let state = world.mirror();
    let reports: Vec<&str> =
        state.final_reports.iter().filter(|report| report.task_id == "1").map(|report| report.overall_severity.as_str()).collect();
    assert_eq!(reports, ["critical", "none"], "a report per round; readers take the last");
    assert!(state.blocked_items.is_empty());
    let first = world.mirrored("1");
    assert_eq!((first.status.as_str(), first.fix_attempts, first.last_review_severity.as_deref()), ("completed", 1, Some("none")));
    assert_eq!((first.review_history.len(), first.review_history[0].attempt), (1, 0));
    assert_eq!(first.review_history[0].findings[0].summary, "injection");
    assert_eq!(
        state.review_findings.iter().filter(|finding| finding.task_id == "1").map(|finding| finding.reviewer.as_str()).collect::<Vec<_>>(),
        ["review-1-1", "review-1-2"]
    );
    assert_eq!((world.mirrored("2").status.as_str(), world.exit()), ("completed", 0));
    let fix = &world.told("1", Role::Fix)[0].text;
    assert!(fix.contains("fix attempt 1/3") && fix.contains("[CRITICAL] injection") && fix.contains("injection, at length"), "{fix}");
    let again = &world.told("1", Role::Review)[1].text;
    assert!(again.contains("Findings of the earlier round") && again.contains("[CRITICAL] injection"), "{again}");
}

/// While it is being fixed, those that depend on it show what they wait for.
#[test]
fn dependants_of_a_unit_that_was_sent_back_show_as_blocked_by_it() {
    let world = plan(TWO).start().script("1", Role::Review, [finds("critical", "injection")]).script(
        "1",
        Role::Fix,
        [fails(FailureKind::Quota { retry_after_ms: Some(3_600_000) })],
    );
    let mut world = world.grant();
    while world.unit("1").state().as_str() != "fix_required" {
        world = world.play_one();
    }
    let second = world.mirrored("2");
    assert_eq!((second.status.as_str(), second.blocked_by.as_deref()), ("blocked", Some("1")));
    assert!(second.blocked_reason.as_deref().unwrap().starts_with("Upstream task 1: "), "{:?}", second.blocked_reason);
    assert_eq!(world.mirror().blocked_items[0].dependent_tasks, ["2"]);
    assert_eq!((world.shown("2").status.known(), world.shown("2").blocked_by.as_deref()), (Some(UnitState::Blocked), Some("1")));
    let pulse = world.pulse();
    assert_eq!(pulse.matches("🚫 BLOCKED: [1]").count(), 1, "{pulse}");
}

#[test]
fn the_third_fix_goes_elsewhere_with_the_whole_history() {
    let again = || finds("major", "off by one");
    let world = plan("- [ ] 1. Page layout of the form\n  - _writes: page.css_\n").start().grant();
    let owner = world.unit("1").assignment.owner.as_ref().map(ToString::to_string);
    assert_eq!(owner.as_deref(), Some("gemini"), "user interfaces go to gemini");
    let world = world.script("1", Role::Review, [again(), again(), again()]).play();
    let fixes: Vec<(&str, bool)> = world
        .grants
        .iter()
        .filter(|grant| grant.granted.role == Role::Fix)
        .map(|grant| (grant.granted.backend.as_str(), grant.granted.escalated))
        .collect();
    assert_eq!(fixes, [("gemini", false), ("gemini", false), ("codex", true)]);
    let last = &world.told("1", Role::Fix)[2].text;
    assert!(last.contains("fix attempt 3/3") && last.contains("earlier fixes by gemini"), "{last}");
    assert!(last.contains("First review — highest severity major") && last.contains("Review after fix 2"), "{last}");
    let unit = world.mirrored("1");
    assert!(unit.escalated && unit.escalated_at.is_some());
    assert_eq!((unit.original_agent.as_deref(), unit.fix_attempts, unit.status.as_str()), (Some("gemini"), 3, "completed"));
}

#[test]
fn after_the_third_fix_a_person_is_asked() {
    let again = || finds("critical", "injection");
    let world = plan(TWO).start().script("1", Role::Review, [again(), again(), again(), again()]).play();
    let (first, second) = (world.mirrored("1"), world.mirrored("2"));
    assert_eq!(
        (first.status.as_str(), first.blocked_reason.as_deref(), first.fix_attempts),
        ("blocked", Some("human_intervention_required"), 3)
    );
    assert_eq!((second.status.as_str(), second.blocked_by.as_deref()), ("blocked", Some("1")));
    let state = world.mirror();
    assert_eq!(state.pending_decisions.len(), 1);
    let decision = &state.pending_decisions[0];
    assert_eq!((decision.id.as_str(), decision.task_id.as_str(), decision.priority.as_str()), ("human-fallback-1", "1", "critical"));
    assert_eq!(
        decision.options[..3],
        ["I've fixed it manually - resume", "Skip this task - continue without it", "Abort orchestration"].map(str::to_owned)
    );
    assert_eq!(state.blocked_items.iter().map(|item| item.task_id.as_str()).collect::<Vec<_>>(), ["1"]);
    assert_eq!(world.exit(), 2);
}

#[test]
fn a_minor_finding_is_deferred_and_does_not_hold_the_unit_back() {
    let verdict = json!({ "severity": "minor", "summary": "naming", "issues": [{ "description": "call it rest", "severity": "minor", "file": "lib/a.py", "line": 3 }] });
    let world = plan(ONE).start().script("1", Role::Review, [answers(verdict)]).play();
    let state = world.mirror();
    assert_eq!((world.mirrored("1").status.as_str(), world.mirrored("1").fix_attempts), ("completed", 0));
    assert_eq!(state.final_reports[0].overall_severity, "minor");
    assert_eq!((state.deferred_fixes[0].task_id.as_str(), state.deferred_fixes[0].severity.as_str()), ("1", "minor"));
    assert!(state.deferred_fixes[0].description.contains("call it rest"), "{:?}", state.deferred_fixes);
    assert!(world.pulse().contains("### Technical Debt\n- [1] "), "{}", world.pulse());
}

/// A verdict inside prose, in a list, with other spellings of its words.
#[test]
fn a_verdict_is_found_in_whatever_the_reviewer_says() {
    let world = plan(ONE)
        .start()
        .script("1", Role::Review, [says("I looked.\n```json\n{\"severity\": \"None\", \"summary\": \"fine\"}\n```\nBye.")])
        .play();
    assert_eq!((world.exit(), world.told("1", Role::Review).len()), (0, 1));
}

/// It used to count as clean, or to be waited for in vain.
#[test]
fn a_reviewer_that_fails_or_cannot_be_read_is_asked_again_and_never_counts_as_clean() {
    let world = plan(ONE).start().script("1", Role::Review, [says("looks good to me"), fails(FailureKind::TurnFailed)]).play();
    assert_eq!((world.exit(), world.told("1", Role::Review).len()), (0, 3));
    assert_eq!(world.mirror().review_findings.len(), 1);
    let world = plan(ONE).start().script("1", Role::Review, [says("?"), says("?"), says("?")]).play();
    assert_eq!((world.exit(), world.decisions()[0].id.as_str()), (2, "review-failed-1"));
}

/// One of two answers used to leave the unit under review for ever.
#[test]
fn complex_units_get_two_reviewers_and_wait_for_both() {
    let state = json!({ "tasks": [{ "task_id": "1", "status": "not_started", "criticality": "complex", "owner_agent": "codex" }] });
    let world = plan(ONE).continuing(state).start().script("1", Role::Review, [finds("none", "ok"), says("?")]).play();
    assert_eq!(world.exit(), 0);
    let reviewers: Vec<String> = world.mirror().review_findings.into_iter().map(|finding| finding.reviewer).collect();
    assert_eq!(reviewers.len(), 2, "{reviewers:?}");
    assert!(reviewers.contains(&"review-1-1".to_owned()) && reviewers.contains(&"review-1-2".to_owned()));
    assert_eq!(world.told("1", Role::Review).len(), 3, "only the missing one is asked again");
}

#[test]
fn security_sensitive_units_get_two_reviewers_with_a_security_brief() {
    let world = plan("- [ ] 1. Check the password of a login\n  - _writes: auth.py_\n").start().play();
    assert_eq!(world.mirrored("1").criticality.as_deref(), Some("security-sensitive"));
    let told = world.told("1", Role::Review);
    assert_eq!(told.len(), 2);
    assert!(told.iter().all(|prompt| prompt.text.contains("# Security brief")));
    assert!(world.ran_together("1/review", "1/review"));
}

#[test]
fn what_the_owner_says_to_a_finding_reaches_the_next_reviewer_under_its_id() {
    let left =
        json!({ "status": "completed", "summary": "left it", "answers": [{ "finding": "review-1-1.1", "why_not": "the input is bound" }] });
    let world = plan(ONE).start().script("1", Role::Review, [finds("major", "injection")]).script("1", Role::Fix, [answers(left)]).play();
    let fix = &world.told("1", Role::Fix)[0].text;
    assert!(fix.contains("`review-1-1.1` [MAJOR] `lib/a.py:1`: injection") && fix.contains("\"answers\": ["), "{fix}");
    let review = &world.told("1", Role::Review)[1].text;
    assert!(review.contains("     The owner in attempt 3, not changed: the input is bound"), "{review}");
    assert!(review.contains("\"earlier\": [{ \"id\"") && !review.contains("Everything else counts as minor"), "{review}");
    let finding = &roundtable_coordinator::view::findings(world.run(), Some(world.unit("1")))[0];
    assert_eq!((finding.id.as_str(), finding.issues[0].id.as_str(), finding.answers.len()), ("review-1-1", "review-1-1.1", 1));
}
