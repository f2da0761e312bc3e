//! Why nobody can be given for a backend although somebody might be thought to: what keeps the workers that would play it, in words.

use roundtable_shared::BackendName;

use crate::command::Now;
use crate::fleet::{Fleet, LOST_MS, Need, Worker};
use crate::schedule::need::plays;
use crate::state::Run;

/// Workers, and units, named at most.
const NAMED_MAX: usize = 5;

/// That workers which would play the backend are drained, and how to take that back; empty if none is.
pub(crate) fn drained(fleet: &Fleet, wanted: &BackendName, now: Now) -> String {
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

/// That nobody who offers the backend has the labels.
pub(crate) fn labels(need: &Need) -> String {
    let labels = need.requires.join(", ");
    format!("no worker that offers {} has {} {labels}", need.wanted, if need.requires.len() == 1 { "the label" } else { "the labels" })
}

/// The same for a person, with whom it concerns and what to do.
pub(crate) fn unlabelled(run: &Run, need: &Need) -> String {
    let asks = run.units().filter(|unit| unit.spec.runs && !unit.state().is_terminal() && unit.assignment.requires == need.requires);
    let units: Vec<&str> = asks.map(|unit| unit.id.as_str()).take(NAMED_MAX).collect();
    let first = units.first().copied().unwrap_or("UNIT");
    let joined: Vec<String> = need.requires.iter().map(|label| format!("--label {label}")).collect();
    format!(
        "{}, which {} {} for; start one with `{}`, or ask for others: `orchctl assign {} {first} --requires LABEL,…` (`none` for none)",
        labels(need),
        if units.len() == 1 { "unit" } else { "units" },
        format_args!("{} {}", units.join(", "), if units.len() == 1 { "asks" } else { "ask" }),
        joined.join(" "),
        run.id
    )
}
