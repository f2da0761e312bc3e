//! Draining a worker by a person's word: nothing more is granted to it, what it has not started is taken back, and what runs there may end for a while.
//! Nothing is asked of the worker, which may be silent, gone, or started again: the word is durable and holds until it is taken back.

use roundtable_shared::{LeasePhase, WorkerId};

use crate::change::Rejection;
use crate::moves::drain::NAMED_MAX;
use crate::moves::{drain, loss};
use crate::planted::{Bug, planted};
use crate::transition::Fact;
use crate::txn::Txn;

/// Workers that may be drained at once: names of such as never come back must not pile up for ever.
const DRAINED_MAX: usize = 4096;

/// Grants it nothing more.
pub(crate) fn drain(d: &mut Txn<'_>, id: &WorkerId, by: String) -> Result<(), Rejection> {
    if d.state().drained.contains_key(id) {
        d.unchanged(format!("worker {id} is drained already"));
        return Ok(());
    }
    if !d.fleet.workers.contains_key(id) {
        return Err(unknown(d, id));
    }
    if d.state().drained.len() >= DRAINED_MAX {
        return Err(Rejection::conflict(format!(
            "{DRAINED_MAX} workers are drained; take that back for those that do not come again: `orchctl undrain WORKER`"
        )));
    }
    let now = d.now;
    d.emit_fleet(Fact::WorkerDrained { worker: id.clone(), by });
    if let Some(worker) = d.fleet.workers.get_mut(id) {
        worker.drained_ms = Some(now.mono_ms);
    }
    let waiting = drain::live(d, id, LeasePhase::Running);
    for key in &waiting {
        loss::take_back(d, key, "its worker was drained before it started");
    }
    let running = d.state().live_of(id).count();
    let within = drain::span(d.fleet.waits.drain_ms);
    let rest = match running {
        0 => "it is empty".to_owned(),
        1 => format!("the attempt it runs may end within {within}"),
        more => format!("the {more} attempts it runs may end within {within}"),
    };
    d.done(format!("worker {id} gets nothing more until `orchctl undrain {id}`; {rest}"));
    Ok(())
}

/// Grants to it again.
pub(crate) fn undrain(d: &mut Txn<'_>, id: &WorkerId, by: String) -> Result<(), Rejection> {
    if !d.state().drained.contains_key(id) {
        if !d.fleet.workers.contains_key(id) {
            return Err(unknown(d, id));
        }
        d.unchanged(format!("worker {id} is not drained"));
        return Ok(());
    }
    d.emit_fleet(Fact::WorkerUndrained { worker: id.clone(), by });
    if let Some(worker) = d.fleet.workers.get_mut(id).filter(|_| !planted(Bug::UndrainForgotten)) {
        worker.drained_ms = None;
    }
    d.done(format!("worker {id} gets work again"));
    Ok(())
}

fn unknown(d: &Txn<'_>, id: &WorkerId) -> Rejection {
    let names: Vec<&str> = d.fleet.workers.keys().map(WorkerId::as_str).take(NAMED_MAX).collect();
    let here = if names.is_empty() { "none is known".to_owned() } else { format!("known are: {}", names.join(", ")) };
    Rejection::not_found(format!("no worker is called {id}; {here}"))
}
