//! What protocol 1 said in JSON inside its messages, read and written for workers and coordinators of the release before. The one place that knows its form;
//! which protocol is written is chosen beside the messages that came after (`lease_in`, `report_in`, `chunk_in`).
#![allow(deprecated)]

use roundtable_shared::{AttemptFacts, Lease, LeaseRef, Switches, TurnData};

use super::WireError;
use crate::v1;

/// A lease for a worker that speaks it.
pub fn lease(lease: &Lease) -> v1::Lease {
    v1::Lease {
        turn_data: None,
        switches: None,
        // Plain data of ours: it can always be written.
        turn_data_json: serde_json::to_string(&lease.turn_data).unwrap_or_default(),
        switches_json: serde_json::to_string(&lease.switches).unwrap_or_default(),
        ..v1::Lease::from(lease)
    }
}

/// The report of an outcome for a coordinator that speaks it.
pub fn report(lease: &LeaseRef, facts: &AttemptFacts) -> v1::OutcomeReport {
    let facts_json = serde_json::to_string(facts).unwrap_or_default();
    let report = v1::OutcomeReport { lease: Some(lease.into()), facts_json, ..v1::OutcomeReport::default() };
    v1::OutcomeReport { digest: digest(&report), ..report }
}

/// The digest that the report of an outcome has to name: of its text as it stands.
pub fn digest(report: &v1::OutcomeReport) -> String {
    blake3::hash(report.facts_json.as_bytes()).to_hex().to_string()
}

/// Consecutive events, each as JSON, for a coordinator that speaks it.
pub fn chunk(lease: v1::LeaseRef, first_seq: u64, events_json: Vec<Vec<u8>>) -> v1::EventChunk {
    v1::EventChunk { lease: Some(lease), first_seq, events_json, events: Vec::new() }
}

/// What a lease's turn is about, held to what is asked of the message that came after.
pub(super) fn turn_data(lease: &v1::Lease) -> Result<TurnData, WireError> {
    match lease.turn_data_json.as_str() {
        "" => Err(WireError::Missing("lease.turn_data")),
        text => {
            let data: TurnData = serde_json::from_str(text).map_err(|error| unreadable("lease.turn_data_json", &error))?;
            v1::TurnData::from(&data).try_into()
        }
    }
}

/// A lease's switches.
pub(super) fn switches(lease: &v1::Lease) -> Result<Switches, WireError> {
    match lease.switches_json.as_str() {
        "" => Ok(Switches::default()),
        text => serde_json::from_str(text).map_err(|error| unreadable("lease.switches_json", &error)),
    }
}

/// The facts of a report, whose digest is that of their text; held to what is asked of the message that came after.
pub(super) fn facts_of(report: &v1::OutcomeReport) -> Result<AttemptFacts, WireError> {
    if report.facts_json.is_empty() {
        return Err(WireError::Missing("report.outcome"));
    }
    if digest(report) != report.digest {
        return Err(WireError::Digest);
    }
    let facts: AttemptFacts = serde_json::from_str(&report.facts_json).map_err(|error| unreadable("report.facts_json", &error))?;
    v1::Outcome::from(&facts).try_into()
}

/// The events of a chunk, each as JSON.
pub(super) fn events_of(chunk: &v1::EventChunk) -> &[Vec<u8>] {
    &chunk.events_json
}

fn unreadable(field: &'static str, error: &serde_json::Error) -> WireError {
    WireError::Json { field, error: error.to_string() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;
    use roundtable_shared::{AttemptKey, AttemptNo, LeaseId};

    use super::super::{event, outcome, turn};
    use super::*;
    use crate::convert::{events_of, facts_of};

    fn reference() -> LeaseRef {
        let key = AttemptKey { run: "demo-abcdef".into(), unit: None, attempt: AttemptNo(3) };
        LeaseRef { key, lease_id: LeaseId(7) }
    }

    proptest! {
        #[test]
        fn an_outcome_survives_and_has_the_digest_of_every_protocol(facts in outcome::tests::facts()) {
            let report = report(&reference(), &facts);
            prop_assert_eq!(&report.digest, &facts.digest());
            prop_assert_eq!(facts_of(report).unwrap(), facts);
        }

        #[test]
        fn turn_data_and_switches_survive(data in turn::tests::turn_data(), switches in turn::tests::switches()) {
            let wire = v1::Lease {
                turn_data_json: serde_json::to_string(&data).unwrap(),
                switches_json: serde_json::to_string(&switches).unwrap(),
                ..v1::Lease::default()
            };
            prop_assert_eq!((turn_data(&wire).unwrap(), super::switches(&wire).unwrap()), (data, switches));
        }

        #[test]
        fn events_survive(lines in proptest::collection::vec(event::tests::line(), 0..4)) {
            let json = lines.iter().map(|line| serde_json::to_vec(line).unwrap()).collect();
            prop_assert_eq!(events_of(chunk((&reference()).into(), 1, json)), lines);
        }
    }

    #[test]
    fn a_report_without_facts_or_with_others_is_refused() {
        assert_eq!(facts_of(v1::OutcomeReport::default()), Err(WireError::Missing("report.outcome")));
        let of = |text: &str| {
            let digest = blake3::hash(text.as_bytes()).to_hex().to_string();
            v1::OutcomeReport { facts_json: text.to_owned(), digest, ..v1::OutcomeReport::default() }
        };
        assert!(matches!(facts_of(of("{}")), Err(WireError::Json { field: "report.facts_json", .. })));
        assert_eq!(facts_of(v1::OutcomeReport { digest: "00".repeat(32), ..of("{}") }), Err(WireError::Digest));
    }

    #[test]
    fn turn_data_is_held_to_what_its_message_is() {
        let of = |text: &str| turn_data(&v1::Lease { turn_data_json: text.to_owned(), ..v1::Lease::default() });
        let whole = r#"{"run":"r","unit":"","title":"","role":"implement","attempt":1,"turn_index":1,"round":0,"reviewer":0,"writes":[],"reads":[],"open_subtasks":[],"units":[]}"#;
        assert_eq!(of(whole).unwrap().unit, None, "none, as in a message");
        assert!(matches!(of(&whole.replace(r#""run":"r""#, r#""run":"""#)), Err(WireError::Missing(_))));
    }
}
