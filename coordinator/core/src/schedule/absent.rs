//! Why nobody can be given for a backend although somebody might be thought to: what keeps the workers that would play it, in words.

use roundtable_shared::BackendName;

use super::place::plays;
use crate::command::Now;
use crate::fleet::{Fleet, LOST_MS, Worker};

/// Workers named at most.
const NAMED_MAX: usize = 5;

/// That workers which would play the backend are drained, and how to take that back; empty if none is.
pub(super) fn drained(fleet: &Fleet, wanted: &BackendName, now: Now) -> String {
    let would = |worker: &&Worker| {
        let is_drained = worker.drained_ms.is_some() && !worker.is_silent(now, LOST_MS);
        is_drained && worker.offers.values().any(|offer| plays(offer, wanted))
    };
    let names: Vec<&str> = fleet.workers.values().filter(would).map(|worker| worker.id.as_str()).take(NAMED_MAX).collect();
    match names.as_slice() {
        [] => String::new(),
        [one] => format!("; worker {one} is drained (`orchctl undrain {one}` gives it work again)"),
        several => format!("; workers {} are drained (`orchctl undrain WORKER` gives one work again)", several.join(", ")),
    }
}
