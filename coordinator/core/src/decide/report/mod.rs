//! The verdict on an outcome: accepted if and only if its (attempt, lease) is the one its seat holds (I3), once, and the same again gets the
//! same answer. What an accepted outcome means is its seat's to say.

mod assign;
mod check;
mod consult;
mod review;
mod work;

use roundtable_shared::{OutcomeClass, Seat};

use crate::change::{Reply, Verdict};
use crate::command::Report;
use crate::moves::cordon;
use crate::planted::{Bug, planted};
use crate::rules::setback::Setback;
use crate::transition::Fact;
use crate::txn::Txn;

/// Notices of a run after which left-out files are told in its agents' events alone.
const LEFT_OUT_NOTICES_MAX: usize = 500;

/// Judges an outcome and lets what follows follow.
pub(crate) fn report(d: &mut Txn<'_>, report: Report) {
    let verdict = verdict(d, &report);
    let accepted = verdict == Verdict::Accepted;
    d.reply(Reply::Verdict(verdict));
    let is_current = is_current(d, &report);
    if !accepted || !is_current {
        return;
    }
    let key = report.lease.key.clone();
    let Some(seat) = d.state().attempt(&key).map(|attempt| attempt.granted.seat) else { return };
    if !planted(Bug::DeadlineKept) {
        d.fleet.leases.remove(&key);
    }
    if let Some(worker) = d.fleet.workers.get_mut(&report.worker) {
        worker.saw(d.now);
    }
    tell_left_out(d, &report);
    judge_worker(d, &report);
    match (&key.unit, seat) {
        (Some(unit), Seat::Work) => work::reported(d, &key.run, unit, &report),
        (Some(unit), Seat::Review(_)) => review::reported(d, &key.run, unit, seat, &report),
        (Some(unit), Seat::Check) => check::reported(d, &key.run, unit, &report),
        (None, Seat::Check) => check::base_reported(d, &key.run, &report),
        (None, Seat::Assign) => assign::reported(d, &key.run, &report),
        (None, Seat::Orchestrate) => consult::reported(d, &key.run, &report),
        (None, Seat::Work | Seat::Review(_)) | (Some(_), Seat::Assign | Seat::Orchestrate) => {}
    }
}

/// What the end says of its worker's disk and tools; where a unit pays too, that is said with it.
fn judge_worker(d: &mut Txn<'_>, report: &Report) {
    let key = &report.lease.key;
    match report.facts.failure.as_ref().map(|failure| failure.kind.class()) {
        None | Some(OutcomeClass::Unit) => cordon::clear_streak(d, &report.worker),
        Some(OutcomeClass::Infra | OutcomeClass::Internal) if key.unit.is_none() => {
            if let Some(setback) = Setback::of(d.state(), report) {
                cordon::blame(d, &key.run, None, &setback);
            }
        }
        Some(_) => {}
    }
}

/// Work that is in no commit is lost with its worktree: whoever watches the run must know.
fn tell_left_out(d: &mut Txn<'_>, report: &Report) {
    let (key, left_out) = (&report.lease.key, &report.facts.left_out);
    if left_out.is_empty() || d.run(&key.run).people.notices.len() >= LEFT_OUT_NOTICES_MAX {
        return;
    }
    let unit = key.unit.as_ref().map_or_else(String::new, |unit| format!("unit {unit}, "));
    d.notice(&key.run, format!("{unit}attempt {}: not committed: {left_out}", key.attempt));
}

/// Whether the outcome belongs to the attempt that holds its seat now.
fn is_current(d: &Txn<'_>, report: &Report) -> bool {
    planted(Bug::LateCounts) || d.state().current(&report.lease).is_some_and(|attempt| attempt.granted.worker == report.worker)
}

fn verdict(d: &mut Txn<'_>, report: &Report) -> Verdict {
    let key = &report.lease.key;
    let stale = |reason: &str| Verdict::Stale { reason: reason.to_owned() };
    let Some(attempt) = d.state().attempt(key) else { return stale("no such attempt is known") };
    let is_same = attempt.granted.lease_id == report.lease.lease_id || planted(Bug::LeaseIdIgnored);
    if !is_same || attempt.granted.worker != report.worker {
        return stale("the lease is not the one that was granted");
    }
    if attempt.is_live() || planted(Bug::LateCounts) || (planted(Bug::LateAccepted) && attempt.digest().is_none()) {
        return Verdict::Accepted;
    }
    match attempt.digest() {
        Some(digest) if *digest == report.digest && !planted(Bug::VerdictForgotten) => Verdict::Accepted,
        Some(_) => Verdict::Rejected { reason: "another outcome of this attempt was accepted before".to_owned() },
        None => {
            if !attempt.is_late() {
                let commit = report.facts.commit.clone().filter(|_| attempt.granted.role.writes());
                d.emit(&key.run, Fact::AttemptLate { unit: key.unit.clone(), attempt: key.attempt, commit });
            }
            stale("the seat is no longer held by this attempt")
        }
    }
}
