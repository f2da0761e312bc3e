//! Who may bear a worker's name: of two that live the first, after that whoever comes.
#![allow(clippy::unwrap_used)]

use roundtable_core::command::Command;
use roundtable_shared::error::ErrorCode;
use roundtable_shared::{Origin, WorkerId};

use super::table::Table;

fn origin(workspace: &str, life: &str) -> Origin {
    Origin { workspace: workspace.to_owned(), life: life.to_owned(), place: format!("/srv/{workspace} on host") }
}

fn session_of(table: &Table) -> u64 {
    table.core.fleet.workers[&WorkerId::from("w")].session
}

#[test]
fn of_two_live_workers_of_one_name_the_first_keeps_it() {
    let mut table = Table::new();
    table.hello("w", 5, origin("a", "1"), &[("codex", 1)]).unwrap();
    let first = session_of(&table);
    // Another workspace, whatever its start counter; and a copy of the same one.
    for (incarnation, other) in [(1, origin("b", "2")), (9, origin("b", "2")), (5, origin("a", "3"))] {
        let refused = table.hello("w", incarnation, other, &[("codex", 1)]).unwrap_err();
        assert_eq!(refused.code, ErrorCode::Conflict);
        assert!(refused.text.contains("/srv/a on host") && refused.text.contains("--name"), "{refused}");
        assert_eq!(session_of(&table), first);
    }
    // Its stream is gone: the name is free, and the first is the one to be refused.
    table.send(Command::WorkerGone { worker: WorkerId::from("w"), session: first });
    table.hello("w", 1, origin("b", "2"), &[("codex", 1)]).unwrap();
    let refused = table.hello("w", 5, origin("a", "1"), &[("codex", 1)]).unwrap_err();
    assert_eq!(refused.code, ErrorCode::Conflict);
}

#[test]
fn a_silent_stream_does_not_keep_a_name() {
    let mut table = Table::new();
    table.hello("w", 5, origin("a", "1"), &[("codex", 1)]).unwrap();
    table.now.mono_ms += 31_000;
    table.hello("w", 1, origin("b", "2"), &[("codex", 1)]).unwrap();
}

#[test]
fn a_worker_comes_back_to_its_own_name_at_once() {
    let mut table = Table::new();
    table.hello("w", 5, origin("a", "1"), &[("codex", 1)]).unwrap();
    // The old stream is not known to be dead: the same start on a new one, then a new start.
    table.hello("w", 5, origin("a", "1"), &[("codex", 1)]).unwrap();
    table.hello("w", 6, origin("a", "2"), &[("codex", 1)]).unwrap();
    // The start before it does not fight back.
    let refused = table.hello("w", 5, origin("a", "1"), &[("codex", 1)]).unwrap_err();
    assert_eq!(refused.code, ErrorCode::Conflict);
    // A release that does not say where it comes from is let in as ever.
    table.hello("w", 7, Origin::default(), &[("codex", 1)]).unwrap();
}

/// Whoever has a worker's key can say any number; it is to count for no more than the start that says it.
#[test]
fn no_start_counter_keeps_a_worker_out_for_good() {
    let mut table = Table::new();
    table.hello("w", 5, origin("a", "1"), &[("codex", 1)]).unwrap();
    let first = session_of(&table);
    for other in [origin("a", "9"), Origin::default()] {
        let refused = table.hello("w", u64::MAX, other, &[("codex", 1)]).unwrap_err();
        assert_eq!(refused.code, ErrorCode::Conflict);
        assert_eq!(session_of(&table), first, "who lives is not displaced by a leap");
    }
    // While it is away such a hello is let in, as the first one after a restart of the coordinator is; it keeps the name only while it is heard.
    table.send(Command::WorkerGone { worker: WorkerId::from("w"), session: first });
    table.hello("w", u64::MAX, origin("a", "9"), &[("codex", 1)]).unwrap();
    table.hello("w", 6, origin("a", "2"), &[("codex", 1)]).unwrap_err();
    table.now.mono_ms += 31_000;
    table.hello("w", 7, origin("a", "3"), &[("codex", 1)]).unwrap();
    // And it is that start's number that counts from then on.
    table.hello("w", 8, origin("a", "4"), &[("codex", 1)]).unwrap();
}
