//! What a seat asks of whoever plays it: backend and labels; and which offers answer to that.

use roundtable_shared::{BackendName, CHECK_BACKEND, Decision, DecisionKind, Seat, UnitId, UnitType, has_label};

use crate::fleet::{Need, NeedKind, Offer, Worker};
use crate::planted::{Bug, planted};
use crate::state::{Run, Unit};

/// What the seat needs.
pub(crate) fn need(run: &Run, unit: Option<&UnitId>, seat: Seat) -> Need {
    let options = &run.options;
    let unit = unit.and_then(|unit| run.unit(unit));
    let requires = requirements(unit, seat);
    let of = |kind, wanted: &BackendName| {
        let wanted = run.backends.uses.get(wanted).unwrap_or(wanted).clone();
        Need { kind, wanted, owner: None, requires: requires.to_vec() }
    };
    match (seat, unit) {
        (Seat::Assign, _) => of(NeedKind::Assign, &options.assign_backend),
        (Seat::Orchestrate, _) => of(NeedKind::Orchestrate, &options.orchestrator_backend),
        (Seat::Check, _) => of(NeedKind::Check, &CHECK_BACKEND.into()),
        (Seat::Review(_), _) | (Seat::Work, None) => of(NeedKind::Review, &"codex-review".into()),
        (Seat::Work, Some(unit)) => {
            let codex = BackendName::from("codex");
            let owner = unit.assignment.owner.as_ref().unwrap_or(&codex);
            if unit.next_escalates() {
                return Need { owner: Some(owner.clone()), ..of(NeedKind::Escalation, &options.escalate_backend) };
            }
            match unit.assignment.unit_type {
                UnitType::Code => of(NeedKind::Code, owner),
                UnitType::Ui => of(NeedKind::Ui, owner),
                UnitType::Review => of(NeedKind::Review, owner),
            }
        }
    }
}

/// Whether that is what the decision asks about.
pub(crate) fn is_about(decision: &Decision, need: &Need) -> bool {
    decision.kind == DecisionKind::NoWorker && decision.backend.as_ref() == Some(&need.wanted) && decision.requires == need.requires
}

/// Labels that the worker of a seat must have. Whoever reviews only reads, and may do so anywhere.
pub(crate) fn requirements(unit: Option<&Unit>, seat: Seat) -> &[String] {
    match (seat, unit) {
        (Seat::Work | Seat::Check, Some(unit)) => &unit.assignment.requires,
        _ => &[],
    }
}

/// Whether the worker has all of these labels.
pub(crate) fn has_labels(worker: &Worker, requires: &[String]) -> bool {
    requires.iter().all(|label| has_label(&worker.labels, label)) || planted(Bug::LabelsIgnored)
}

/// Whether the offer plays that backend. One that serves every role has no check seats: each worker's check slot, of which it has one, runs the
/// command or plays what stands for it.
pub(crate) fn plays(offer: &Offer, wanted: &BackendName) -> bool {
    offer.offer.name == *wanted || (offer.offer.serves_all && wanted.as_str() != CHECK_BACKEND)
}
