//! A fix goes on with the conversation of the work before it, where the worker that had it still has it.

use roundtable_core::effect::Grant;
use roundtable_shared::{AgentSessionId, Role, Severity};

use crate::table::{Table, options};

/// A unit whose work was done in a conversation on `w` and whose review asks for a fix.
fn reviewed() -> Table {
    let mut table = Table::with("- [ ] 1. Write a\n  - _writes: a.rs_\n", options());
    table.join("w", &[("codex", 2), ("codex-review", 2)]);
    works(&mut table, None, "first");
    table
}

/// The next work goes on with `known`, ends in `left`, and is sent back.
fn works(table: &mut Table, known: Option<&str>, left: &str) {
    let work = table.go_one("1");
    assert_eq!((work.granted.role.writes(), conversation(&work)), (true, known));
    table.conversation = Some(AgentSessionId::from(left));
    table.works(&work, &["a.rs"]);
    let review = table.go_one("1");
    table.reviews(&review, Severity::Major);
}

fn conversation(grant: &Grant) -> Option<&str> {
    grant.granted.resume.as_ref().map(AgentSessionId::as_str)
}

#[test]
fn a_fix_goes_on_with_its_conversation_and_the_last_one_starts_afresh() {
    let mut table = reviewed();
    works(&mut table, Some("first"), "second");
    works(&mut table, Some("second"), "third");
    let last = table.go_one("1");
    assert_eq!(
        (last.granted.role, last.granted.escalated, conversation(&last)),
        (Role::Fix, true, None),
        "who got nowhere twice is not asked again"
    );
}

/// Else the worker that has lost it would be asked for it for ever.
#[test]
fn a_fix_whose_conversation_is_lost_comes_again_without_it() {
    let mut table = reviewed();
    let fix = table.go_one("1");
    assert_eq!((fix.granted.role, conversation(&fix)), (Role::Fix, Some("first")));
    table.gives_back(&fix);
    let again = table.go_one("1");
    assert_eq!((again.granted.role, again.granted.worker.as_str(), conversation(&again)), (Role::Fix, "w", None));
    let counters = &table.unit("1").counters;
    assert_eq!((counters.hand_backs, counters.infra, table.unit("1").counters.fix_attempts), (1, 0, 0), "it costs neither a try nor a fix");
}
