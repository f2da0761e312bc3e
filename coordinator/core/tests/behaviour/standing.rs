//! Whoever waits for a run is told when only a person can move it.

use roundtable_core::command::Command;
use roundtable_core::schedule::{Standing, standing};
use roundtable_shared::{Choice, FailureKind, HazardRule, RunOptions, Severity, UnitState};

use crate::table::{Table, options};

#[test]
fn what_a_stuck_unit_without_a_manifest_keeps_back_waits_for_a_person_too() {
    let plan = "- [ ] 1. Write a\n  - _writes: a.rs_\n- [ ] 2. Do anything\n  - Depends on: 4\n- [ ] 3. Write c\n  - Depends on: 4\n  - _writes: c.rs_\n\
                - [ ] 4. Write d\n  - _writes: d.rs_\n";
    let mut table = Table::with(plan, RunOptions { hazards: HazardRule::Writes, ..options() });
    table.join("reviewer", &[("codex-review", 4)]);
    table.join("w", &[("codex", 2)]);
    let work = table.go();
    assert_eq!(work.len(), 2, "units 1 and 4 start");
    table.works(&work[0], &["a.rs"]);
    table.works(&work[1], &["d.rs"]);
    let reviews = table.go();
    table.reviews(&reviews[1], Severity::None);
    table.integrate();
    assert_eq!(table.unit("4").state(), UnitState::Completed);
    // Nobody can review unit 1 any more. Unit 2 waits for its hold, and keeps 3 from starting.
    table.send(Command::WorkerGoodbye { worker: "reviewer".into(), session: 1 });
    assert!(table.go().is_empty());
    assert!(table.run().people.decisions.keys().any(|id| id.as_str() == "no-worker-codex-review"));
    assert_eq!(standing(&table.core.state, table.run()), Standing::Waiting);
}

/// It was carried over with work, so it counts as begun; tried again, it waits for what it depends on all the same.
#[test]
fn a_unit_that_has_begun_waits_with_what_it_depends_on() {
    let plan = "- [ ] 1. Write a\n  - _writes: a.rs_\n- [ ] 2. Write b\n  - Depends on: 1\n  - _writes: b.rs_\n";
    let mut table = Table::with_imported(plan, options(), &[("1", "not_started", Some("codex")), ("2", "pending_review", Some("gemini"))]);
    table.join("w", &[("codex", 1), ("codex-review", 1), ("gemini", 1)]);
    loop {
        let turns = table.go();
        if turns.is_empty() {
            break;
        }
        turns.iter().for_each(|turn| table.breaks(turn, FailureKind::TurnFailed));
    }
    assert_eq!(table.run().people.decisions.keys().map(|id| id.as_str()).collect::<Vec<_>>(), ["quarantine-1", "review-failed-2"]);
    table.decide("review-failed-2", Choice::Retry);
    assert!(table.go().is_empty());
    assert_eq!((table.unit("2").state(), table.unit("2").work.started), (UnitState::NotStarted, true));
    assert_eq!(standing(&table.core.state, table.run()), Standing::Waiting);
}
