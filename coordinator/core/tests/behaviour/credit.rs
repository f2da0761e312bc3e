//! Credits: what a worker asked for is not lost by what never reached it.

use roundtable_core::command::ShellAnswer;
use roundtable_core::effect::Effect;

use crate::table::{Table, options};

fn lease_of(table: &mut Table) -> roundtable_shared::LeaseRef {
    let at = table.effects.iter().position(|effect| matches!(effect, Effect::Grant(_))).expect("something is granted");
    match table.effects.remove(at) {
        Effect::Grant(grant) => grant.lease,
        _ => unreachable!("it was looked for"),
    }
}

#[test]
fn a_grant_that_cannot_be_sent_costs_no_credit() {
    let mut table = Table::with("- [ ] 1. Write a\n  - _writes: a.rs_\n", options());
    table.join("w", &[("codex", 1)]);
    table.schedule();
    let lease = lease_of(&mut table);
    table.shell(ShellAnswer::GrantFailed { lease, reason: "the disk is full".to_owned() });
    table.go_one("1");
}

#[test]
fn nor_does_one_that_was_given_up_before_it_failed() {
    let mut table = Table::with("- [ ] 1. Write a\n  - _writes: a.rs_\n", options());
    table.join("w", &[("codex", 1)]);
    table.schedule();
    let lease = lease_of(&mut table);
    table.pass(17_000);
    table.shell(ShellAnswer::GrantFailed { lease, reason: "git was slow, then failed".to_owned() });
    table.go_one("1");
}
