//! A backend nobody can be given: what is asked, and what is offered in its place.

use roundtable_shared::{Decision, FailureKind};

use crate::table::{Table, options};

const ONE: &str = "- [ ] 1. Write a\n  - _writes: a.rs_\n";

/// The provider of the first grant refuses for longer than is waited for.
fn refused(backends: &[(&str, u32)]) -> Decision {
    let mut table = Table::with(ONE, options());
    table.join("w", backends);
    let work = table.go_one("1");
    table.breaks(&work, FailureKind::RateLimit { retry_after_ms: Some(100_000_000) });
    table.schedule();
    table.run().decisions.values().next().cloned().expect("a person is asked")
}

#[test]
fn what_is_refused_itself_is_not_offered_in_its_own_place() {
    let asked = refused(&[("scripted:book", 1)]);
    assert_eq!((asked.id.as_str(), asked.keywords.as_slice()), ("no-worker-codex", ["wait", "abort"].map(String::from).as_slice()));
    assert!(asked.context.contains("its provider refuses") && asked.context.contains("nothing that is here could play for it"));
}

#[test]
fn what_may_be_put_in_its_place_is_not_denied() {
    let asked = refused(&[("codex", 1), ("gemini", 1)]);
    assert_eq!(asked.keywords, ["wait", "use:gemini", "abort"]);
    assert!(asked.context.contains("another plays for it only if you say so"), "{}", asked.context);
}
