//! Frames of both directions: any bytes are refused or understood, and what was understood is the same after it has gone over the wire again. Texts within
//! messages that are JSON (operations, and what protocol 1 said so) too.

use std::fmt::Debug;

use prost::Message;
use roundtable_proto::convert::{
    self, code_of, count_of, events_of, facts_of, line_of_json, message_of, protocol_1, status_of, told_code_of,
};
use roundtable_proto::v1;
use roundtable_shared::view::{AccessRequest, EventLine, Operation, Query, SubmitRequest};
use roundtable_shared::{AgentEvent, AttemptFacts, BackendOffer, HeldLease, Introduction, Lease, LeaseRef, Reconciled, TurnData};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tonic::Status;

/// Reads the bytes as a message of the kind that the first one names.
pub fn check(data: &[u8]) {
    let Some((kind, bytes)) = crate::chosen(data, 12) else { return };
    match kind {
        0 => decoded::<v1::WorkerFrame>(bytes).and_then(|frame| frame.frame).into_iter().for_each(from_a_worker),
        1 => decoded::<v1::CoordinatorFrame>(bytes).and_then(|frame| frame.frame).into_iter().for_each(from_a_coordinator),
        2 => decoded::<v1::PutPackFrame>(bytes).and_then(|frame| frame.frame).into_iter().for_each(of_a_pack),
        3 => decoded::<v1::EventChunk>(bytes).into_iter().for_each(chunk),
        4 => decoded::<v1::OutcomeReport>(bytes).into_iter().for_each(outcome),
        5 => decoded::<v1::FetchPackRequest>(bytes).into_iter().for_each(|request| lease(request.lease)),
        6 => status(bytes),
        7 => json::<AttemptFacts>(bytes),
        8 => json::<EventLine>(bytes),
        9 => json::<Operation>(bytes),
        10 => {
            json::<Query>(bytes);
            json::<AccessRequest>(bytes);
        }
        _ => {
            json::<SubmitRequest>(bytes);
            json::<TurnData>(bytes);
        }
    }
}

/// A message, which encodes to what is read as the same message.
fn decoded<M: Message + Default + PartialEq + Clone + Debug>(bytes: &[u8]) -> Option<M> {
    let message = M::decode(bytes).ok()?;
    assert_eq!(M::decode(message.encode_to_vec().as_slice()).as_ref(), Ok(&message));
    Some(message)
}

/// What of a message is understood is the same once it has been sent on.
fn understood<W, D>(wire: W) -> Option<D>
where
    D: TryFrom<W> + PartialEq + Debug + 'static,
    D::Error: Into<Status>,
    W: for<'d> From<&'d D> + Message + Default,
{
    match D::try_from(wire) {
        Ok(domain) => {
            let sent = W::decode(W::from(&domain).encode_to_vec().as_slice()).expect("our own encoding is read");
            match D::try_from(sent) {
                Ok(again) => assert_eq!(again, domain),
                Err(_) => panic!("what was understood is refused the second time: {domain:?}"),
            }
            Some(domain)
        }
        Err(error) => {
            let status: Status = error.into();
            assert!(told_code_of(&status).is_some() && !message_of(&status).is_empty());
            None
        }
    }
}

/// A lease that is understood is named in one way alone.
fn lease(wire: Option<v1::LeaseRef>) {
    let Some(wire) = wire else { return };
    if let Some(read) = understood::<v1::LeaseRef, LeaseRef>(wire.clone()) {
        assert_eq!(v1::LeaseRef::from(&read), wire);
    }
}

fn held(wire: v1::HeldLease) {
    lease(wire.lease.clone());
    let phase = wire.phase;
    if let Some(read) = understood::<v1::HeldLease, HeldLease>(wire) {
        assert_eq!(i32::from(v1::Phase::from(read.phase)), phase);
    }
}

fn from_a_worker(frame: v1::worker_frame::Frame) {
    use v1::worker_frame::Frame;
    match frame {
        Frame::Hello(hello) => {
            hello.held.iter().cloned().for_each(held);
            hello.backends.iter().cloned().for_each(|offer| drop(understood::<v1::BackendOffer, BackendOffer>(offer)));
            drop(understood::<v1::Hello, Introduction>(hello));
        }
        Frame::Heartbeat(beat) => beat.held.into_iter().for_each(held),
        Frame::BackendChanged(offer) => drop(understood::<v1::BackendOffer, BackendOffer>(offer)),
        Frame::Accepted(said) => lease(said.lease),
        Frame::Preparing(said) => lease(said.lease),
        Frame::Started(said) => lease(said.lease),
        Frame::Ending(said) => lease(said.lease),
        Frame::HandBack(said) => lease(said.lease),
        Frame::Want(_) | Frame::Goodbye(_) | Frame::Draining(_) => {}
    }
}

fn from_a_coordinator(frame: v1::coordinator_frame::Frame) {
    use v1::coordinator_frame::Frame;
    match frame {
        Frame::Lease(wire) => {
            lease(wire.lease.clone());
            let (seat, role) = (wire.seat.clone(), wire.role.clone());
            if let Some(read) = understood::<v1::Lease, Lease>(wire) {
                assert_eq!(read.seat.to_string(), seat);
                assert!(read.role.as_str().eq_ignore_ascii_case(role.trim()), "{role}");
            }
        }
        Frame::Welcome(welcome) => welcome.reconciled.into_iter().for_each(|each| {
            lease(each.lease.clone());
            drop(understood::<v1::Reconciled, Reconciled>(each));
        }),
        Frame::HeartbeatAck(ack) => ack.revoke.into_iter().for_each(|revoke| lease(revoke.lease)),
        Frame::Revoke(revoke) => lease(revoke.lease),
        Frame::Drain(_) | Frame::Restored(_) => {}
    }
}

fn of_a_pack(frame: v1::put_pack_frame::Frame) {
    if let v1::put_pack_frame::Frame::Header(header) = frame {
        lease(header.lease);
    }
}

/// A status that anything on the way may have made up; and one of ours with the same words, which comes back as it was.
fn status(bytes: &[u8]) {
    let Some((number, details)) = crate::chosen(bytes, 17) else { return };
    let made_up = Status::with_details(i32::from(number).into(), "made up", details.to_vec().into());
    let code = code_of(&made_up);
    assert!(told_code_of(&made_up).is_none_or(|told| told == code));
    let words = String::from_utf8_lossy(details);
    let ours = status_of(code, words.clone());
    assert_eq!((code_of(&ours), told_code_of(&ours), message_of(&ours)), (code, Some(code), words.into_owned()));
}

/// Every event of a chunk has its number, and is the same on the wire and on disk.
fn chunk(chunk: v1::EventChunk) {
    lease(chunk.lease.clone());
    let (reference, count) = (chunk.lease.clone().unwrap_or_default(), count_of(&chunk));
    let events = events_of(chunk);
    assert_eq!(events.len(), count);
    for event in &events {
        // Not a number is nothing as JSON.
        let is_number = !matches!(event.event, AgentEvent::Usage { usage } if usage.cost_usd.is_some_and(|cost| !cost.is_finite()));
        let json = serde_json::to_vec(event).expect("what was read can be written");
        assert!(!is_number || line_of_json(&json) == *event, "{event:?}");
    }
    if !events.iter().any(|event| matches!(event.event, AgentEvent::Usage { usage } if usage.cost_usd.is_some_and(f64::is_nan))) {
        assert_eq!(events_of(convert::chunk(reference, 1, events.clone())), events);
    }
}

/// The facts of a report that are believed have its digest, whichever protocol told them.
fn outcome(report: v1::OutcomeReport) {
    lease(report.lease.clone());
    let named = report.lease.clone().and_then(|named| LeaseRef::try_from(named).ok());
    // What has not the digest it names is still read the same, once it has.
    let digest = match report.outcome.clone().map(AttemptFacts::try_from) {
        Some(Ok(facts)) => facts.digest(),
        Some(Err(_)) => report.digest.clone(),
        None => protocol_1::digest(&report),
    };
    let Ok(facts) = facts_of(v1::OutcomeReport { digest, ..report }) else { return };
    let Some(named) = named else { return };
    if facts.usage.cost_usd.is_none_or(f64::is_finite) {
        assert_eq!(facts_of(convert::report(&named, &facts)).as_ref(), Ok(&facts));
        assert_eq!(facts_of(protocol_1::report(&named, &facts)).as_ref(), Ok(&facts));
    }
}

fn json<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) {
    let Ok(value) = serde_json::from_slice::<T>(bytes) else { return };
    let text = serde_json::to_vec(&value).expect("what was read can be written");
    assert_eq!(serde_json::from_slice::<T>(&text).expect("what was written can be read"), value);
}
