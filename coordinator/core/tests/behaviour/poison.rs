//! A unit under which workers die: after the second one a person is asked, and everything else goes on.

use roundtable_core::command::Command;
use roundtable_core::effect::Grant;
use roundtable_shared::{HeldLease, LeasePhase, LeaseRef, Severity, UnitState, WorkerId};

use crate::table::{Table, options};

const PLAN: &str = "- [ ] 1. Kill\n  - _writes: a.rs_\n- [ ] 2. Live\n  - _writes: b.rs_\n- [ ] 3. After the first\n  - _writes: c.rs_\n  - Depends on: 1\n";

/// Nothing is heard of these workers for longer than a minute; all others live, with what they hold.
fn fall_silent(table: &mut Table, gone: &[&WorkerId]) {
    for _ in 0..70 {
        table.now.mono_ms += 1_000;
        table.now.wall.0 += 1_000;
        let others: Vec<(WorkerId, u64)> = table
            .core
            .fleet
            .workers
            .values()
            .filter(|worker| !gone.contains(&&worker.id))
            .map(|worker| (worker.id.clone(), worker.session))
            .collect();
        for (worker, session) in others {
            let held: Vec<HeldLease> = table
                .core
                .state
                .live_of(&worker)
                .map(|(key, attempt)| HeldLease {
                    lease: LeaseRef { key: key.clone(), lease_id: attempt.granted.lease_id },
                    phase: LeasePhase::Running,
                    last_event_seq: 0,
                    waiting: String::new(),
                })
                .collect();
            table.send(Command::Heartbeat { worker, session, held });
        }
        table.send(Command::Tick);
    }
}

fn of_unit(grants: &[Grant], unit: &str) -> Grant {
    grants.iter().find(|grant| grant.lease.key.unit.as_ref().is_some_and(|id| id.as_str() == unit)).expect("it is granted").clone()
}

#[test]
fn a_unit_that_two_workers_were_lost_under_waits_for_a_person_and_the_others_end() {
    let mut table = Table::with(PLAN, options());
    for worker in ["x", "y", "z"] {
        table.join(worker, &[("codex", 1), ("codex-review", 1)]);
    }
    let grants = table.go();
    let (first, lives) = (of_unit(&grants, "1"), of_unit(&grants, "2"));
    fall_silent(&mut table, &[&first.granted.worker]);
    assert_eq!(table.unit("1").state(), UnitState::NotStarted, "one may be chance");
    let second = table.go_one("1");
    assert!(second.granted.worker != first.granted.worker && second.granted.worker != lives.granted.worker);
    fall_silent(&mut table, &[&first.granted.worker, &second.granted.worker]);

    assert_eq!(table.unit("1").state(), UnitState::Blocked);
    let decision = table.run().people.decisions.values().next().expect("a person is asked").clone();
    assert_eq!(decision.id.as_str(), "quarantine-1");
    assert!(decision.context.contains("2 workers were lost while running it"), "{}", decision.context);
    // The worker that is left runs everything but it and what comes after it.
    table.works(&lives, &["b.rs"]);
    let review = table.go_one("2");
    table.reviews(&review, Severity::None);
    table.integrate();
    assert_eq!(table.unit("2").state(), UnitState::Completed);
    assert!(table.go().is_empty(), "nobody is sent to it again");
    assert_eq!(table.unit("3").state(), UnitState::NotStarted);
}
