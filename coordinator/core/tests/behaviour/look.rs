//! The scheduler looks only where something may have changed, and what is let out of a batch is durable.

use roundtable_core::command::{Act, Command, Operate};
use roundtable_core::{Batch, Core, Entropy};
use roundtable_shared::{AttemptKey, AttemptNo, HeldLease, LeaseId, LeasePhase, LeaseRef, WorkerId};

use crate::table::{Table, options};

#[test]
fn signs_of_life_and_quiet_ticks_make_nothing_look() {
    let mut table = Table::with("- [ ] 1 One\n", options());
    let worker = WorkerId::from("w");
    table.join("w", &[("codex", 2)]);
    let grants = table.go();
    table.schedule();
    assert!(!table.core.is_schedule_due(table.now), "what was granted has started, and nothing else can be");
    let known = &table.core.fleet.workers[&worker];
    let (session, credits) = (known.session, known.credits.clone());
    let held = grants.iter().map(|grant| HeldLease {
        lease: grant.lease.clone(),
        phase: LeasePhase::Running,
        last_event_seq: 3,
        waiting: String::new(),
    });
    let beat = |held: Vec<HeldLease>| Command::Heartbeat { worker: worker.clone(), session, held };
    table.send(beat(held.collect()));
    for (pool, credits) in credits {
        table.send(Command::Want { worker: worker.clone(), session, pool, credits });
    }
    table.send(Command::Tick);
    assert!(!table.core.is_schedule_due(table.now), "all of that was known");
    table.now.mono_ms += 1_000;
    assert!(table.core.is_schedule_due(table.now), "time may have opened a gate");
}

#[test]
fn what_changes_a_workers_room_makes_it_look() {
    let mut table = Table::with("- [ ] 1 One\n", options());
    let worker = WorkerId::from("w");
    table.join("w", &[("codex", 2)]);
    let grants = table.go();
    table.schedule();
    let known = &table.core.fleet.workers[&worker];
    let (session, pool) = (known.session, known.credits.keys().next().expect("a pool").clone());
    let Some(grant) = grants.first() else { panic!("nothing was granted") };
    // The frame that said so was lost; the heartbeat brings it.
    let held = vec![HeldLease { lease: grant.lease.clone(), phase: LeasePhase::Ending, last_event_seq: 3, waiting: String::new() }];
    table.send(Command::Heartbeat { worker: worker.clone(), session, held });
    assert!(table.core.is_schedule_due(table.now), "a slot may be filled again");
    table.schedule();
    table.send(Command::Want { worker, session, pool, credits: 7 });
    assert!(table.core.is_schedule_due(table.now), "it can take more");
}

#[test]
fn nothing_leaves_a_batch_that_is_not_durable() {
    let (mut core, mut entropy, now) = (Core::default(), Entropy::new(1), Table::new().now);
    let mut batch = Batch::default();
    let pause = Command::Operate(Operate { run: None, by: "ada".to_owned(), act: Act::Pause { note: None } });
    batch.decide(&mut core, pause, "ada", now, &mut entropy);
    let pending = batch.close(&core);
    assert_eq!(pending.transitions().len(), 1);
    let pending = pending.release(0).expect_err("its row is not durable");
    let released = pending.release(1).expect("now it is");
    assert!(matches!(&released.answers[..], [("ada", Ok(_))]), "{:?}", released.answers);
    assert_eq!(released.transitions.len(), 1);
}

#[test]
fn a_refused_command_changes_nothing_to_look_at() {
    let mut table = Table::with("- [ ] 1 One\n", options());
    table.schedule();
    let key = AttemptKey { run: "x".into(), unit: None, attempt: AttemptNo(1) };
    let lease = LeaseRef { key, lease_id: LeaseId(1) };
    table.send(Command::LeaseAccepted { worker: "nobody".into(), lease });
    assert!(table.try_send(Command::Heartbeat { worker: "nobody".into(), session: 1, held: Vec::new() }).is_err());
    assert!(!table.core.is_schedule_due(table.now));
}
