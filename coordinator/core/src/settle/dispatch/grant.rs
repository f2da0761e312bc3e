//! A grant: the lease, the unit's move, and what the worktree is made of.

use roundtable_shared::{AttemptNo, CommitId, LeaseId, Role, RunId, Seat, UnitId, UnitState};

use crate::effect::{Effect, Grant, Start};
use crate::fleet::LeaseWatch;
use crate::moves::subtasks::reopen_subtasks;
use crate::planted::{Bug, planted};
use crate::schedule::candidate::Candidate;
use crate::schedule::place::Placement;
use crate::state::{Alone, Attempt, FixCause, InFlight, Run, Unit};
use crate::transition::{Fact, Granted};
use crate::txn::Txn;

/// Fills the seat there.
pub(crate) fn grant(d: &mut Txn<'_>, candidate: &Candidate, placement: Placement) {
    let Candidate { run, unit, seat, role, .. } = candidate;
    let (run_now, unit_now) = (d.run(run), unit.as_ref().map(|unit| d.unit(run, unit)));
    let (base, start) = match unit_now {
        Some(unit) => from_where(run_now, unit, *seat),
        None => (run_now.branch.tip.clone(), Start::Commit(run_now.branch.tip.clone())),
    };
    let escalated = *role == Role::Fix && !planted(Bug::EscalationForgotten) && unit_now.is_some_and(Unit::next_escalates);
    let turn = match (role, unit_now) {
        (Role::Implement | Role::Fix, Some(unit)) => unit.next_turn(),
        (Role::Review, Some(unit)) => unit.review.round,
        (Role::Check, Some(unit)) => 1 + answers(unit.attempts.iter(), Seat::Check),
        (Role::Check, None) => 1 + answers(run_now.attempts.iter(), Seat::Check),
        (Role::Assign, _) => 1 + answers(run_now.attempts.iter(), Seat::Assign),
        (Role::Orchestrate, _) => 1 + run_now.agents.orchestrator.answers,
        _ => 1,
    };
    let attempt = next_attempt(run_now, unit_now);
    let resumed_from = unit_now.filter(|_| role.writes()).and_then(resumed_from);
    let needs_escalation = escalated && unit_now.is_some_and(|unit| unit.counters.escalated_at.is_none());
    let limits = run_now.options.limits.clone();
    let round = if *role == Role::Review { unit_now.map_or(0, |unit| unit.review.round) } else { 0 };
    let lease_id = if planted(Bug::LeaseIdAgain) { LeaseId(1) } else { d.entropy.lease_id() };
    let granted = Granted {
        unit: unit.clone(),
        attempt,
        lease_id,
        seat: *seat,
        role: *role,
        turn,
        round,
        worker: placement.worker.clone(),
        backend: placement.backend,
        pool: placement.pool.clone(),
        account: placement.account,
        model: placement.model,
        base,
        start,
        resumed_from,
        resume: placement.resume,
        escalated,
    };
    if let (true, Some(unit)) = (needs_escalation, unit) {
        d.emit(run, Fact::Escalated { unit: unit.clone() });
    }
    let lease = granted.lease(run);
    d.emit(run, Fact::LeaseGranted(Box::new(granted)));
    if let Some(unit) = unit {
        take_state(d, run, unit, *seat);
    }
    if !planted(Bug::DeadlineForgotten) {
        d.fleet.leases.insert(lease.key.clone(), LeaseWatch::granted(placement.worker.clone(), &limits, d.now));
    }
    if let Some(credits) = d.fleet.workers.get_mut(&placement.worker).and_then(|worker| worker.credits.get_mut(&placement.pool)) {
        *credits = credits.saturating_sub(1);
    }
    let Some(granted) = d.state().attempt(&lease.key).map(|attempt| attempt.granted.clone()) else { return };
    d.effect(Effect::Grant(Box::new(Grant { lease, session: placement.session, granted })));
}

fn next_attempt(run: &Run, unit: Option<&Unit>) -> AttemptNo {
    let next = unit.map_or_else(|| run.next_attempt(), Unit::next_attempt);
    if planted(Bug::NumberAgain) { AttemptNo(1) } else { next }
}

/// The attempt whose work the next one goes on from; a person's commit is of none.
fn resumed_from(unit: &Unit) -> Option<AttemptNo> {
    unit.work.last.as_ref().map(|work| work.attempt).filter(|no| no.0 > 0)
}

/// Turns of a seat that were played.
fn answers<'a>(attempts: impl Iterator<Item = &'a Attempt>, seat: Seat) -> u32 {
    attempts.filter(|attempt| attempt.granted.seat == seat && attempt.is_played()).count() as u32
}

fn take_state(d: &mut Txn<'_>, run: &RunId, unit: &UnitId, seat: Seat) {
    match seat {
        Seat::Work => {
            reopen_subtasks(d, run, unit);
            d.move_unit(run, unit, UnitState::InProgress, None);
        }
        Seat::Review(_) if d.unit(run, unit).state() == UnitState::PendingReview => {
            d.move_unit(run, unit, UnitState::UnderReview, None);
        }
        _ => {}
    }
}

/// Base and content of the worktree (docs/rules.md, "Attempts"): the first grant starts at the tip, which contains every dependency; later ones go on from the
/// last commit, merged with the tip if that has touched the unit's paths since, after a conflict or a red check, or where another unit was waited for.
fn from_where(run: &Run, unit: &Unit, seat: Seat) -> (CommitId, Start) {
    let at = |commit: &CommitId| (commit.clone(), Start::Commit(commit.clone()));
    match seat {
        Seat::Check => match run.branch.train.flight(&unit.id) {
            Some(InFlight { alone: Some(Alone { commit: Some(commit), .. }), .. }) => at(commit),
            Some(InFlight { candidate: Some(candidate), .. }) => at(&candidate.commit),
            _ => at(&run.branch.tip),
        },
        Seat::Review(_) => match &unit.work.accepted {
            Some(work) => (work.base.clone(), Start::Commit(work.commit.clone())),
            None => at(&run.branch.tip),
        },
        _ => {
            let first = if planted(Bug::StartsOnBase) { &run.origin.base } else { &run.branch.tip };
            let Some(work) = &unit.work.last else { return at(first) };
            let must_merge = matches!(unit.fix(), Some(FixCause::Conflict { .. } | FixCause::CheckRed { .. }))
                || run.tip_changed_paths_of(unit, &work.base)
                // What it waited for must be there.
                || (unit.work.blocked_on.is_some() && !planted(Bug::FoundDependencyUnmerged));
            if must_merge && work.base != run.branch.tip {
                let start = Start::MergeWithTip { base: work.base.clone(), commit: work.commit.clone(), tip: run.branch.tip.clone() };
                return (run.branch.tip.clone(), start);
            }
            (work.base.clone(), Start::Commit(work.commit.clone()))
        }
    }
}
