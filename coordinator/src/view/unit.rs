//! One unit as `status`, `summary` and `show` have it.

use std::collections::BTreeSet;

use roundtable_core::command::Now;
use roundtable_core::fleet::Fleet;
use roundtable_core::schedule::Waiting;
use roundtable_core::state::{Attempt, Run, State, Unit};
use roundtable_shared::view::{UnitView, WAITING_MAX, WaitView, Word};
use roundtable_shared::{AttemptKey, Role, Seat, UnitState};

use super::findings::open_findings;
use super::number::number;
use super::viewer::Viewer;

/// All units in plan order.
pub(super) fn units(viewer: &mut Viewer<'_>) -> Vec<UnitView> {
    in_shown_order(viewer.run).into_iter().map(|unit| view(viewer, unit)).collect()
}

/// One unit.
pub fn unit(state: &State, fleet: &Fleet, now: Now, run: &Run, unit: &Unit) -> UnitView {
    view(&mut Viewer::new(state, fleet, now, run, WAITING_MAX), unit)
}

pub(super) fn view(viewer: &mut Viewer<'_>, unit: &Unit) -> UnitView {
    let reasons = viewer.explainer.reasons(unit);
    let live = shown_attempt(unit);
    let by = viewer.upstream.blocker(&unit.id);
    UnitView {
        id: unit.id.to_string(),
        title: unit.spec.title.clone(),
        status: if by.is_some() { UnitState::Blocked } else { unit.state() }.into(),
        runs: unit.spec.runs,
        optional: unit.spec.optional,
        unit_type: unit.assignment.unit_type.into(),
        owner_agent: unit.assignment.owner.as_ref().map(ToString::to_string),
        worker: live.map(|attempt| attempt.granted.worker.to_string()),
        backend: live.map(|attempt| attempt.granted.backend.to_string()),
        role: live.map(|attempt| attempt.granted.role.into()),
        attempt: live.map_or(number(unit.attempts.len()), |attempt| attempt.granted.attempt.0),
        attempts: number(unit.attempts.len()),
        tries: turns(unit, Role::Implement),
        reviews: turns(unit, Role::Review),
        checks: turns(unit, Role::Check),
        fix_attempts: unit.counters.fix_attempts,
        escalated: unit.escalated(),
        criticality: unit.assignment.criticality.into(),
        blocked_by: by.map(|by| by.id.to_string()),
        blocked_reason: match by {
            Some(by) => Some(viewer.upstream.reason(by)),
            None => unit.reason().map(str::to_owned),
        },
        writes: unit.assignment.manifest.writes.entries().to_vec(),
        reads: unit.assignment.manifest.reads.entries().to_vec(),
        requires: unit.assignment.requires.clone(),
        depends_on: unit.assignment.depends_on.iter().map(ToString::to_string).collect(),
        waiting: reasons.told.into_iter().map(wait).collect(),
        waiting_left_out: number(reasons.left_out),
        waiting_left_out_at_least: reasons.at_least,
        files: if unit.commit().is_some() { unit.files() } else { unit.work.files_before.clone() },
        commit: unit.commit().map(ToString::to_string),
        open_findings: open_count(viewer, unit),
        last_severity: unit.last_severity().map(Word::from),
        running_ms: live.map(|attempt| viewer.now.wall.since(attempt.granted_at)),
        delivering: live.and_then(|attempt| viewer.fleet.delivering(&key(viewer.run, unit, attempt))).map(str::to_owned),
        summary: unit.work.report.as_ref().map(|report| report.summary.clone()).filter(|summary| !summary.is_empty()),
    }
}

fn wait(Waiting { kind, on, path, text }: Waiting) -> WaitView {
    WaitView { kind: kind.into(), on, path, text }
}

pub(super) fn key(run: &Run, unit: &Unit, attempt: &Attempt) -> AttemptKey {
    AttemptKey { run: run.id.clone(), unit: Some(unit.id.clone()), attempt: attempt.granted.attempt }
}

/// Plan order; units the order does not name (those that do not run) stand behind, in document order.
fn in_shown_order(run: &Run) -> Vec<&Unit> {
    let mut shown: Vec<&Unit> = run.in_order().collect();
    let named: BTreeSet<usize> = shown.iter().map(|unit| unit.spec.position).collect();
    shown.extend(run.units().filter(|unit| !named.contains(&unit.spec.position)));
    shown
}

/// Turns of a role that were played or are under way.
fn turns(unit: &Unit, role: Role) -> u32 {
    let of_role = unit.attempts.iter().filter(|attempt| attempt.granted.role == role);
    // One that lost its seat before it handed something in was played again by another.
    number(of_role.filter(|attempt| attempt.is_live() || (attempt.is_played() && !attempt.is_late())).count())
}

/// The live attempt that stands for the unit: work, else the check, else the first reviewer.
fn shown_attempt(unit: &Unit) -> Option<&Attempt> {
    unit.live(Seat::Work).or_else(|| unit.live(Seat::Check)).or_else(|| unit.live_attempts().next())
}

/// Deferred once it is completed, open before.
fn open_count(viewer: &Viewer<'_>, unit: &Unit) -> u32 {
    if unit.state() == UnitState::Completed {
        return number(viewer.deferred.get(unit.id.as_str()).copied().unwrap_or(0));
    }
    number(open_findings(unit).count())
}
