//! Workers whose disk or tools fail one attempt after the other: they get nothing more until they have mended it, are started again, or a while has
//! passed. The units they failed are innocent until another worker fails them too.

use std::collections::BTreeSet;

use roundtable_shared::{RunId, UnitId, WorkerId};

use crate::fleet::{Cordon, Worker};
use crate::planted::{Bug, planted};
use crate::rules::setback::{Blame, Setback};
use crate::state::Run;
use crate::txn::Txn;

/// Infra ends of different units in a row after which a worker gets nothing more.
const UNITS_MAX: usize = 3;

/// The same for attempts whose agent never ran.
const UNPREPARED_MAX: u32 = 2;

/// A first cordon; each that follows without an attempt that went well is twice as long.
const FIRST_MS: u64 = 300_000;

/// The longest.
const LONGEST_MS: u64 = 3_600_000;

/// An attempt of that unit (`None`: of the run itself) failed there.
pub(crate) fn blame(d: &mut Txn<'_>, run: &RunId, unit: Option<&UnitId>, setback: &Setback) {
    if setback.blame == Blame::Nobody {
        return;
    }
    // What others could not prepare either is more likely to lie with the unit.
    let failed_elsewhere = unit.is_some_and(|unit| d.unit(run, unit).counters.avoid.iter().any(|other| *other != setback.worker));
    let now = d.now;
    let Some(worker) = d.fleet.workers.get_mut(&setback.worker) else { return };
    worker.infra_streak.insert((run.clone(), unit.cloned()));
    if setback.blame == Blame::Preparing && !failed_elsewhere {
        worker.unprepared += 1;
    }
    if worker.cordoned.is_some() {
        return;
    }
    let Some(why) = reason(worker, setback) else { return };
    let wait_ms = FIRST_MS.saturating_mul(1 << worker.cordons.min(16)).min(LONGEST_MS);
    worker.cordons += 1;
    worker.cordoned = Some(Cordon { reason: why.clone(), until_ms: now.mono_ms.saturating_add(wait_ms) });
    let (name, minutes) = (worker.name.clone(), wait_ms / 60_000);
    let again = format!("it is tried again in {minutes} min, or as soon as it is restarted");
    d.say_again(run, format!("{}: {why}; look at its disk and tools: {again}", barred(&name)));
}

fn reason(worker: &Worker, setback: &Setback) -> Option<String> {
    if worker.unprepared >= UNPREPARED_MAX {
        return Some(format!("{} attempts in a row failed there before their agent ran, last: {}", worker.unprepared, setback.reason));
    }
    let units: BTreeSet<&str> = worker.infra_streak.iter().map(|(_, unit)| unit.as_ref().map_or("run", UnitId::as_str)).collect();
    let units: Vec<&str> = units.into_iter().collect();
    (worker.infra_streak.len() >= UNITS_MAX).then(|| {
        let last = &setback.reason;
        format!(
            "attempts of units {} failed there one after the other for reasons of the worker or its tools, last: {last}",
            units.join(", ")
        )
    })
}

/// Cordons whose time is over: the worker gets work again, and the next failure of its own ends that again.
pub(crate) fn lift_due(d: &mut Txn<'_>) {
    let now = d.now.mono_ms;
    let due = d.fleet.workers.values().filter(|worker| worker.cordoned.as_ref().is_some_and(|cordon| cordon.until_ms <= now));
    let due: Vec<WorkerId> = due.map(|worker| worker.id.clone()).collect();
    for id in due.into_iter().filter(|_| !planted(Bug::CordonForever)) {
        lift(d, &id);
    }
}

/// A worker was started again, or has mended by itself what it said was wrong: what was concluded from its failures is over.
pub(crate) fn forgive(d: &mut Txn<'_>, id: &WorkerId) {
    clear_streak(d, id);
    lift(d, id);
}

/// Where the cordon was told, its end is told too.
fn lift(d: &mut Txn<'_>, id: &WorkerId) {
    let Some(worker) = d.fleet.workers.get_mut(id) else { return };
    worker.cordoned = None;
    let (barred, back) = (barred(&worker.name), format!("worker {} is back: it gets work again", worker.name));
    let is_told_last = |run: &Run| {
        let about = run.people.notices.iter().rev().find(|notice| notice.text.starts_with(&barred) || notice.text == back);
        run.ended().is_none() && about.is_some_and(|notice| notice.text != back)
    };
    let told: Vec<RunId> = d.state().runs.values().filter(|run| is_told_last(run)).map(|run| run.id.clone()).collect();
    for run in told {
        d.say_again(&run, back.clone());
    }
}

/// How it is told that a worker gets nothing more.
fn barred(name: &str) -> String {
    format!("worker {name} gets nothing more")
}

/// An attempt there ended otherwise: its streak is over.
pub(crate) fn clear_streak(d: &mut Txn<'_>, worker: &WorkerId) {
    if let Some(worker) = d.fleet.workers.get_mut(worker) {
        worker.infra_streak.clear();
        worker.unprepared = 0;
        worker.cordons = 0;
    }
}

/// An agent runs there: it can prepare.
pub(crate) fn prepared(d: &mut Txn<'_>, worker: &WorkerId) {
    if let Some(worker) = d.fleet.workers.get_mut(worker) {
        worker.unprepared = 0;
    }
}
