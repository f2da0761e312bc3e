//! Workers that are not heard: when they get nothing more, when they lose what they hold, and when nobody is blamed.

use roundtable_core::command::Command;
use roundtable_core::state::{AttemptEnd, LostCause};
use roundtable_shared::{RunOptions, UnitState};

use crate::table::{Table, options};

const ONE: &str = "- [ ] 1. Write a\n  - _writes: a.rs_\n";

fn served() -> RunOptions {
    RunOptions { embedded: false, ..options() }
}

/// Time passes and nobody says anything.
fn silence(table: &mut Table, seconds: u64) {
    for _ in 0..seconds {
        table.now.mono_ms += 1_000;
        table.now.wall.0 += 1_000;
        table.send(Command::Tick);
    }
}

fn end(table: &Table) -> Option<AttemptEnd> {
    table.unit("1").attempts[0].end()
}

#[test]
fn after_half_a_minute_it_gets_nothing_and_with_its_next_word_it_does_again() {
    let mut table = Table::with(ONE, served());
    table.join("w", &[("codex", 1)]);
    silence(&mut table, 31);
    assert!(table.go().is_empty());
    table.pass(1_000);
    assert_eq!(table.go().len(), 1);
}

#[test]
fn after_a_minute_what_it_runs_is_lost_and_goes_elsewhere() {
    let mut table = Table::with(ONE, served());
    table.join("w", &[("codex", 1)]);
    table.go_one("1");
    silence(&mut table, 60);
    assert_eq!(end(&table), None, "it still holds what it holds");
    silence(&mut table, 2);
    assert_eq!(end(&table), Some(AttemptEnd::Lost(LostCause::Silent)));
    table.join("other", &[("codex", 1)]);
    assert_eq!(table.go_one("1").granted.worker.as_str(), "other");
}

#[test]
fn time_in_which_the_coordinator_stood_still_is_nobodys() {
    let mut table = Table::with(ONE, served());
    table.join("w", &[("codex", 1)]);
    table.go_one("1");
    silence(&mut table, 20);
    table.now.mono_ms += 3_600_000;
    table.now.wall.0 += 3_600_000;
    table.send(Command::Tick);
    assert_eq!(end(&table), None);
    silence(&mut table, 30);
    assert_eq!(end(&table), None, "20 s and 30 s");
    silence(&mut table, 15);
    assert_eq!(end(&table), Some(AttemptEnd::Lost(LostCause::Silent)), "what it was silent before counts on");
}

#[test]
fn time_in_which_the_coordinator_stood_still_right_after_its_start_is_nobodys() {
    let mut table = Table::with(ONE, served());
    table.join("w", &[("codex", 1)]);
    table.go_one("1");
    table.restart();
    table.now.mono_ms += 100_000;
    table.now.wall.0 += 100_000;
    table.send(Command::Tick);
    assert_eq!(end(&table), None);
    silence(&mut table, 62);
    assert_eq!(end(&table), Some(AttemptEnd::Lost(LostCause::Silent)));
}

#[test]
fn the_time_of_day_says_nothing_of_silence() {
    let mut table = Table::with(ONE, served());
    table.join("w", &[("codex", 1)]);
    table.go_one("1");
    for jump in [0_u64, 1_000_000_000_000_000] {
        table.now.wall.0 = jump;
        silence(&mut table, 1);
    }
    assert_eq!((end(&table), table.unit("1").state()), (None, UnitState::InProgress));
}
