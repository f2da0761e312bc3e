//! Providers that refuse: what was refused where and why, when it goes on, and what of a run waits for it.

use roundtable_core::command::Now;
use roundtable_core::fleet::Fleet;
use roundtable_core::schedule::{Parked, goes_on, parked};
use roundtable_core::state::{Park, ParkKey, Run, State};
use roundtable_shared::WaitKind;
use roundtable_shared::view::{ParkView, UnitView};

use super::number::number;

/// Parks that are told at most.
const PARKS_MAX: usize = 20;

/// The parks that keep this run from a backend now.
pub(super) fn parks(state: &State, fleet: &Fleet, now: Now, run: &Run, units: &[UnitView]) -> Vec<ParkView> {
    if run.is_ended() {
        return Vec::new();
    }
    let of_run = state.parks.keys().filter(|key| key.model == run.model_of(&key.backend));
    of_run.filter_map(|key| Some((key, told(state, key, now)?))).take(PARKS_MAX).map(|found| park(fleet, now, found, units)).collect()
}

/// The park of a key until a model has answered: one whose time has come still counts while nobody has tried, or it would seem to be over.
fn told<'s>(state: &'s State, key: &ParkKey, now: Now) -> Option<(&'s Park, Parked)> {
    let due = || state.parks.get(key).filter(|park| !park.answered).map(|park| (park, Parked::Until(park.until)));
    parked(state, key, now).or_else(due)
}

fn park(fleet: &Fleet, now: Now, (key, (park, how)): (&ParkKey, (&Park, Parked)), units: &[UnitView]) -> ParkView {
    let waits = |unit: &&UnitView| {
        let mut reasons = unit.waiting.iter();
        reasons.any(|reason| reason.kind == WaitKind::Parked && reason.on == key.backend.as_str())
    };
    ParkView {
        backend: key.backend.to_string(),
        model: key.model.clone(),
        cause: park.cause(),
        reason: park.reason.clone(),
        worker: park.worker.as_ref().map(|worker| fleet.name_of(worker).to_owned()),
        until: park.until.rfc3339(),
        probed_by: match &how {
            Parked::Until(_) => None,
            Parked::Probed(attempt) => Some(attempt.to_string()),
        },
        goes_on: goes_on(&how, now),
        units_waiting: number(units.iter().filter(waits).count()),
    }
}

/// The same in words: `429 Too Many Requests on host-b, again in 30 s`.
pub(super) fn text(fleet: &Fleet, now: Now, park: &Park, how: &Parked) -> String {
    let place = park.worker.as_ref().map_or_else(String::new, |worker| format!(" on {}", fleet.name_of(worker)));
    format!("{}{place}, {}", park.cause(), goes_on(how, now))
}
