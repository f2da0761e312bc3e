//! Why a reviewed unit is not integrated yet: consolidation, the train and its checks, as `explain` tells them.

use roundtable_shared::{DecisionKind, Seat};

use crate::command::Now;
use crate::rules::integration::is_gated_by_check;
use crate::schedule::ready::gates;
use crate::schedule::waiting::{Reasons, WaitKind, Waiting};
use crate::state::{BaseCheck, InFlight, Misfit, Run, State, Unit};

/// Adds what a unit in final review waits for, an empty check seat aside. `ahead` is who is in the queue right before it.
pub(crate) fn waits<'a>(
    (state, now): (&State, Now),
    run: &'a Run,
    unit: &Unit,
    reasons: &mut Reasons,
    ahead: impl FnOnce() -> Option<&'a Unit>,
) {
    // Where the run itself stands still, that is all there is to say.
    let is_over = run.ended().is_some() || run.life.ending.is_some();
    if is_over || (unit.review.reviewers > 0 && !unit.is_consolidated()) {
        gates(state, run, unit, now, &mut None, reasons);
        return;
    }
    if let (Some(flight), Some(place)) = (run.branch.train.flight(&unit.id), place(run, unit)) {
        in_train(run, unit, flight, &place).into_iter().for_each(|reason| reasons.add(|| reason));
        return;
    }
    if is_gated_by_check(run) {
        reasons.add(|| on_base(run));
        return;
    }
    match ahead() {
        Some(ahead) => {
            let text = match run.branch.train.place(&ahead.id) {
                Some(_) => format!(
                    "joins the train once unit {}, the last of {} in it, is prepared and there is room",
                    ahead.id,
                    run.branch.train.flights.len()
                ),
                None => format!("unit {} is integrated before it", ahead.id),
            };
            reasons.add(|| Waiting::on(WaitKind::Integration, &ahead.id, text));
        }
        None => {
            gates(state, run, unit, now, &mut None, reasons);
        }
    }
}

/// Where in the train it stands, in words.
pub(crate) fn place(run: &Run, unit: &Unit) -> Option<String> {
    let nth = run.branch.train.place(&unit.id)? + 1;
    let ending = match (nth % 10, nth % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    Some(format!("in the train, {nth}{ending} of {}", run.branch.train.flights.len()))
}

fn in_train(run: &Run, unit: &Unit, flight: &InFlight, place: &str) -> Option<Waiting> {
    let said = |kind, text: &str| Some(Waiting::on_run(kind, format!("{place}; {text}")));
    if flight.intended {
        return said(WaitKind::Integration, "the run's branch is being moved to it");
    }
    if let Some(attempt) = unit.live(Seat::Check) {
        let what = if flight.alone.is_some() { "check without those integrated since the train started" } else { "check" };
        let doing = if attempt.started_at.is_some() { "running" } else { "being prepared" };
        return Some(Waiting::on(
            WaitKind::Check,
            &attempt.granted.worker,
            format!("{place}; {what} {doing} on {}", attempt.granted.worker),
        ));
    }
    let preparing = flight.is_preparing() || flight.alone.as_ref().is_some_and(|alone| alone.commit.is_none());
    if preparing {
        return said(WaitKind::Integration, "its commit on what is ahead is being made");
    }
    let head = run.branch.train.flights.first().filter(|head| head.unit != unit.id);
    let behind = |how: &str| {
        let Some(head) = head else { return said(WaitKind::Integration, how) };
        Some(Waiting::on(WaitKind::Integration, &head.unit, format!("{place}; {how}; unit {} comes first", head.unit)))
    };
    match (&flight.misfit, run.is_check_due(&unit.id)) {
        (Some(Misfit::Conflict { .. }), _) => behind("it conflicts with what is ahead of it"),
        (Some(Misfit::Outside { .. }), _) => behind("on what is ahead of it, it would change what is not in its manifest"),
        (None, true) => None,
        (None, false) if flight.checks.green => behind("its check is green"),
        (None, false) if flight.checks.red > 0 => behind("its check is red"),
        (None, false) if run.has_checks() => {
            let red = run.branch.train.flights.iter().find(|ahead| ahead.is_red())?;
            Some(Waiting::on(WaitKind::Integration, &red.unit, format!("{place}; the check of unit {} ahead of it is red", red.unit)))
        }
        (None, false) => behind("its commit is made"),
    }
}

/// The check of the base comes first.
fn on_base(run: &Run) -> Waiting {
    let open = run.people.decisions.values().find(|decision| decision.kind == DecisionKind::CheckRedOnBase).map(|decision| &decision.id);
    match (open, &run.branch.base_check) {
        (Some(id), _) => Waiting::on(WaitKind::Decision, id, format!("the check is red on the base: decision {id} is open")),
        (None, BaseCheck::Red { .. }) => Waiting::on_run(WaitKind::Check, "the check is red on the base".to_owned()),
        (None, _) => Waiting::on_run(WaitKind::Check, "the check has not passed on the base yet".to_owned()),
    }
}
