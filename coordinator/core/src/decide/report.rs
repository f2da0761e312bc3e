//! The verdict on an outcome: accepted if and only if its (attempt, lease) is the one its seat holds (I3), once, and the same again gets the
//! same answer. What an accepted outcome means is its seat's to say.

use roundtable_shared::{AttemptKey, FailureKind, OutcomeClass, Seat};

use super::failure::Setback;
use super::{Deciding, assign, check, consult, cordon, park, review, work};
use crate::change::{Reply, Verdict};
use crate::command::Report;
use crate::effect::Effect;
use crate::planted::{Bug, planted};
use crate::state::AttemptEnd;
use crate::transition::{AttemptResult, Fact};

/// Notices of a run after which left-out files are told in its agents' events alone.
const LEFT_OUT_NOTICES_MAX: usize = 500;

/// Judges an outcome and lets what follows follow.
pub(super) fn report(d: &mut Deciding<'_>, report: Report) {
    let verdict = verdict(d, &report);
    let accepted = verdict == Verdict::Accepted;
    d.reply(Reply::Verdict(verdict));
    let is_current = is_current(d, &report);
    if !accepted || !is_current {
        return;
    }
    let key = report.lease.key.clone();
    let Some(seat) = d.state().attempt(&key).map(|attempt| attempt.seat) else { return };
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
fn judge_worker(d: &mut Deciding<'_>, report: &Report) {
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
fn tell_left_out(d: &mut Deciding<'_>, report: &Report) {
    let (key, left_out) = (&report.lease.key, &report.facts.left_out);
    if left_out.is_empty() || d.run(&key.run).notices.len() >= LEFT_OUT_NOTICES_MAX {
        return;
    }
    let unit = key.unit.as_ref().map_or_else(String::new, |unit| format!("unit {unit}, "));
    d.notice(&key.run, format!("{unit}attempt {}: not committed: {left_out}", key.attempt));
}

/// Whether the outcome belongs to the attempt that holds its seat now.
fn is_current(d: &Deciding<'_>, report: &Report) -> bool {
    planted(Bug::LateCounts) || d.state().current(&report.lease).is_some_and(|attempt| attempt.worker == report.worker)
}

fn verdict(d: &mut Deciding<'_>, report: &Report) -> Verdict {
    let key = &report.lease.key;
    let stale = |reason: &str| Verdict::Stale { reason: reason.to_owned() };
    let Some(attempt) = d.state().attempt(key) else { return stale("no such attempt is known") };
    let is_same = attempt.lease_id == report.lease.lease_id || planted(Bug::LeaseIdIgnored);
    if !is_same || attempt.worker != report.worker {
        return stale("the lease is not the one that was granted");
    }
    if attempt.is_live() || planted(Bug::LateCounts) || (planted(Bug::LateAccepted) && attempt.digest.is_none()) {
        return Verdict::Accepted;
    }
    match &attempt.digest {
        Some(digest) if *digest == report.digest && !planted(Bug::VerdictForgotten) => Verdict::Accepted,
        Some(_) => Verdict::Rejected { reason: "another outcome of this attempt was accepted before".to_owned() },
        None => {
            if !attempt.late {
                let commit = report.facts.commit.clone().filter(|_| attempt.role.writes());
                d.emit(&key.run, Fact::AttemptLate { unit: key.unit.clone(), attempt: key.attempt, commit });
            }
            stale("the seat is no longer held by this attempt")
        }
    }
}

/// Records the end of the attempt (I2): the first fact of everything that follows from its outcome.
pub(super) fn ended(d: &mut Deciding<'_>, report: &Report, end: AttemptEnd, class: Option<OutcomeClass>, error: Option<String>) {
    let facts = &report.facts;
    let result = AttemptResult {
        end,
        class,
        error,
        exit_code: facts.exit_code,
        digest: report.digest.clone(),
        commit: facts.commit.clone(),
        agent_session: facts.agent_session.clone(),
        usage: facts.usage,
        events: facts.last_event_seq,
    };
    let key = &report.lease.key;
    let fact = Fact::AttemptEnded { unit: key.unit.clone(), attempt: key.attempt, result: Box::new(result) };
    d.emit(&key.run, fact);
    if class != Some(OutcomeClass::Provider) {
        park::worked(d, report);
    }
}

/// A provider refused: its backend and account are parked. Costs the unit nothing.
pub(super) fn provider_failed(d: &mut Deciding<'_>, key: &AttemptKey, kind: &FailureKind, message: &str) {
    if !planted(Bug::RefusalForgotten) {
        park::park(d, key, kind, message);
    }
}

/// The verdict of a lease frame that no longer fits: its worker is told to stop.
pub(super) fn revoke_unknown(d: &mut Deciding<'_>, worker: &roundtable_shared::WorkerId, lease: &roundtable_shared::LeaseRef) {
    let reason = "the seat is no longer held by this attempt".to_owned();
    d.effect(Effect::Revoke { worker: worker.clone(), lease: lease.clone(), reason });
}
