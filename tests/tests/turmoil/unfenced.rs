//! A coordinator with a mistake planted in it: an outcome that comes too late is taken for the outcome of whoever holds the seat by then.

use std::sync::atomic::{AtomicBool, Ordering};

use roundtable_core::Core;
use roundtable_core::command::Command;
use roundtable_shared::{AttemptKey, LeaseRef, Seat};

use crate::hosts::{self, Ended, Served};

static USED: AtomicBool = AtomicBool::new(false);

/// Whether the mistake was made.
pub fn was_used() -> bool {
    USED.load(Ordering::SeqCst)
}

/// Serves with the mistake.
pub fn coordinator(served: Served) -> Ended {
    hosts::serve(served, unfenced)
}

fn unfenced(core: &Core, command: Command) -> Command {
    let Command::Report(mut report) = command else { return command };
    let key = report.lease.key.clone();
    let holder = || {
        let unit = core.state.unit(&key.run, key.unit.as_ref()?)?;
        let late = unit.attempt(key.attempt).filter(|attempt| attempt.granted.seat == Seat::Work && !attempt.is_live())?;
        let no = *unit.live.get(&late.granted.seat)?;
        let holder = unit.attempt(no)?;
        let key = AttemptKey { attempt: no, ..key.clone() };
        Some((LeaseRef { key, lease_id: holder.granted.lease_id }, holder.granted.worker.clone()))
    };
    if let Some((lease, worker)) = holder() {
        USED.store(true, Ordering::SeqCst);
        (report.lease, report.worker) = (lease, worker);
    }
    Command::Report(report)
}
