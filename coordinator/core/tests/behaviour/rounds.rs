//! Findings and what their owner says to them, over the rounds of a unit.

use roundtable_shared::{Severity, UnitState, VerdictOnEarlier};

use crate::table::{Table, options};

const PLAN: &str = "- [ ] 1. Write a\n  - _writes: a.rs_\n";

/// A unit with its first work done.
fn begun() -> Table {
    let mut table = Table::with(PLAN, options());
    table.join("w", &[("codex", 2), ("codex-review", 2)]);
    let work = table.go_one("1");
    table.works(&work, &["a.rs"]);
    table
}

/// The one review of the round is answered so.
fn review(table: &mut Table, answer: &str) {
    let grant = table.go_one("1");
    table.reviews_with(&grant, answer);
}

/// The fix is answered so.
fn fix(table: &mut Table, answer: &str) {
    let grant = table.go_one("1");
    table.works_with(&grant, &["a.rs"], answer);
}

const DONE: &str = r#"{"status": "completed", "summary": "done"}"#;
const GROUNDED: &str = r#"{"severity": "major", "summary": "leaks", "issues": [{"description": "never freed", "severity": "major", "file": "a.rs", "line": 3}]}"#;

fn ids(table: &Table, round: u32) -> Vec<String> {
    let findings = table.unit("1").review.findings.iter().filter(|finding| finding.round == round);
    findings.flat_map(|finding| finding.points().into_iter().map(|point| point.id.to_owned()).collect::<Vec<_>>()).collect()
}

#[test]
fn a_finding_that_stays_open_keeps_its_id_and_a_new_one_gets_its_own() {
    let mut table = begun();
    review(&mut table, GROUNDED);
    assert_eq!(ids(&table, 1), ["review-1-1.1"]);
    fix(
        &mut table,
        r#"{"status": "completed", "summary": "done", "answers": [{"finding": "review-1-1.1", "why_not": "it lives as long as the program"}]}"#,
    );
    let answers: Vec<_> = table.unit("1").answers_to("review-1-1.1").map(|each| each.answer.why_not.clone()).collect();
    assert_eq!(answers, [Some("it lives as long as the program".to_owned())]);
    review(
        &mut table,
        r#"{"severity": "major", "summary": "still leaks", "issues": [
            {"description": "typo", "severity": "minor"},
            {"id": "review-1-1.1", "description": "it does not: it is made per request", "severity": "major"},
            {"id": "review-9-9.9", "description": "unknown", "severity": "minor"}],
          "earlier": [{"id": "review-1-1.1", "verdict": "kept"}, {"id": "review-7-7.7", "verdict": "closed"}]}"#,
    );
    assert_eq!(ids(&table, 2), ["review-1-2.1", "review-1-1.1", "review-1-2.2"]);
    let second = &table.unit("1").review.findings[1];
    assert_eq!((second.issues[1].file.as_deref(), second.issues[1].line), (Some("a.rs"), Some(3)), "what was known of it stays");
    assert_eq!(second.earlier.len(), 1, "verdicts on what nobody found are nothing");
}

#[test]
fn what_is_kept_without_being_listed_again_stays_open_and_what_is_accepted_does_not() {
    let mut table = begun();
    review(&mut table, r#"{"severity": "critical", "summary": "loses data"}"#);
    assert_eq!(ids(&table, 1), ["review-1-1"], "a finding without issues is named by its reviewer");
    fix(&mut table, DONE);
    review(
        &mut table,
        r#"{"severity": "none", "summary": "not convinced", "earlier": [{"id": "review-1-1", "verdict": "kept", "note": "as before"}]}"#,
    );
    let second = table.unit("1").review.findings[1].clone();
    assert_eq!((second.severity, second.issues[0].id.as_str()), (Severity::Critical, "review-1-1"));
    assert_eq!(table.unit("1").state(), UnitState::FixRequired);
    fix(
        &mut table,
        r#"{"status": "completed", "summary": "done", "answers": [{"finding": "review-1-1", "why_not": "nothing is written there"}]}"#,
    );
    review(&mut table, r#"{"severity": "none", "summary": "right", "earlier": [{"id": "review-1-1", "verdict": "accepted"}]}"#);
    table.integrate();
    assert_eq!(table.unit("1").state(), UnitState::Completed);
    assert_eq!(table.unit("1").review.findings[2].earlier[0].verdict, VerdictOnEarlier::Accepted);
}

#[test]
fn from_the_third_round_on_opinions_hold_nothing_back() {
    for (last, blocks) in [
        (r#"{"severity": "critical", "summary": "I would do it otherwise"}"#, false),
        (r#"{"severity": "major", "summary": "x", "issues": [{"description": "unclean", "severity": "major", "file": "a.rs"}]}"#, false),
        (
            r#"{"severity": "major", "summary": "x", "issues": [{"description": "wrong", "severity": "major", "file": "a.rs", "line": 9}]}"#,
            true,
        ),
        (
            r#"{"severity": "major", "summary": "x", "issues": [{"description": "red", "severity": "major", "reproduced": {"command": "make", "exit_code": 2}}]}"#,
            true,
        ),
        (r#"{"severity": "none", "summary": "x", "earlier": [{"id": "review-1-1.1", "verdict": "kept"}]}"#, true),
    ] {
        let mut table = begun();
        review(&mut table, GROUNDED);
        fix(&mut table, DONE);
        // In the second round an opinion still counts.
        review(&mut table, r#"{"severity": "major", "summary": "I would do it otherwise"}"#);
        assert_eq!(table.unit("1").state(), UnitState::FixRequired);
        fix(&mut table, DONE);
        review(&mut table, last);
        table.integrate();
        let finding = table.unit("1").review.findings.last().expect("a finding").clone();
        let state = if blocks { UnitState::FixRequired } else { UnitState::Completed };
        assert_eq!(table.unit("1").state(), state, "{last}: {finding:?}");
        if !blocks {
            assert_eq!(finding.severity, Severity::Minor);
            assert_eq!(table.run().people.deferred_fixes.len(), 1, "it is not forgotten");
        }
    }
}

#[test]
fn the_decision_after_the_last_fix_shows_both_sides() {
    let mut table = begun();
    review(&mut table, GROUNDED);
    for _ in 0..2 {
        fix(&mut table, DONE);
        let again = r#"{"severity": "major", "summary": "leaks", "issues": [{"id": "review-1-1.1", "description": "never freed", "severity": "major"}]}"#;
        review(&mut table, again);
    }
    fix(
        &mut table,
        r#"{"status": "completed", "summary": "done", "answers": [{"finding": "review-1-1.1", "why_not": "the arena owns it"}]}"#,
    );
    let typos = [r#"{"description": "typo", "severity": "minor"}"#; 11].join(", ");
    let kept = r#"{"id": "review-1-1.1", "verdict": "kept"}"#;
    review(&mut table, &format!(r#"{{"severity": "none", "summary": "no", "issues": [{typos}], "earlier": [{kept}]}}"#));
    let decision = table.run().people.decisions.values().next().expect("a person is asked");
    assert_eq!(decision.id.as_str(), "human-fallback-1");
    let context = &decision.context;
    assert!(context.contains("review-1-1.1 major: never freed; the owner left it: the arena owns it"), "{context}");
    assert!(!context.contains("more"), "what need not be mended is no point more: {context}");
}
