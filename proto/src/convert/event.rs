//! Agent events.

use roundtable_shared::AgentEvent;
use roundtable_shared::time::WallMs;
use roundtable_shared::view::EventLine;

use super::WireError;
use crate::v1;
use crate::v1::agent_event::{Completed, Elided, Event, Exec, FileChange, Raw, Started, Subtask, Text};

impl From<EventLine> for v1::AgentEvent {
    fn from(line: EventLine) -> Self {
        let event = match line.event {
            AgentEvent::Started { session } => Event::Started(Started { session: session.map(|session| session.to_string()) }),
            AgentEvent::Message { text } => Event::Message(Text { text }),
            AgentEvent::Reasoning { text } => Event::Reasoning(Text { text }),
            AgentEvent::Exec { command, output, exit_code, ended } => Event::Exec(Exec { command, output, exit_code, ended }),
            AgentEvent::FileChange { paths, ok } => Event::FileChange(FileChange { paths, ok }),
            AgentEvent::Subtask { id, status } => Event::Subtask(Subtask { id, status }),
            AgentEvent::Usage { usage } => Event::Usage(usage.into()),
            AgentEvent::Warning { text } => Event::Warning(Text { text }),
            AgentEvent::Raw { stream, text } => Event::Raw(Raw { stream, text }),
            AgentEvent::Elided { bytes } => Event::Elided(Elided { bytes }),
            AgentEvent::Completed => Event::Completed(Completed {}),
            AgentEvent::Failed { message } => Event::Failed(Text { text: message }),
        };
        Self { at_ms: line.at.0, event: Some(event) }
    }
}

impl TryFrom<v1::AgentEvent> for EventLine {
    type Error = WireError;

    /// An event of a kind that only a later release knows has none here: it is `Missing`.
    fn try_from(event: v1::AgentEvent) -> Result<Self, WireError> {
        let at = WallMs(event.at_ms);
        let event = match event.event.ok_or(WireError::Missing("event.event"))? {
            Event::Started(Started { session }) => AgentEvent::Started { session: session.map(Into::into) },
            Event::Message(Text { text }) => AgentEvent::Message { text },
            Event::Reasoning(Text { text }) => AgentEvent::Reasoning { text },
            Event::Exec(Exec { command, output, exit_code, ended }) => AgentEvent::Exec { command, output, exit_code, ended },
            Event::FileChange(FileChange { paths, ok }) => AgentEvent::FileChange { paths, ok },
            Event::Subtask(Subtask { id, status }) => AgentEvent::Subtask { id, status },
            Event::Usage(usage) => AgentEvent::Usage { usage: usage.into() },
            Event::Warning(Text { text }) => AgentEvent::Warning { text },
            Event::Raw(Raw { stream, text }) => AgentEvent::Raw { stream, text },
            Event::Elided(Elided { bytes }) => AgentEvent::Elided { bytes },
            Event::Completed(Completed {}) => AgentEvent::Completed,
            Event::Failed(Text { text }) => AgentEvent::Failed { message: text },
        };
        Ok(Self { at, event })
    }
}

/// A chunk of consecutive events of one attempt.
pub fn chunk(lease: v1::LeaseRef, first_seq: u64, events: impl IntoIterator<Item = EventLine>) -> v1::EventChunk {
    let events = events.into_iter().map(Into::into).collect();
    v1::EventChunk { lease: Some(lease), first_seq, events, ..v1::EventChunk::default() }
}

/// The same of events as they lie on disk, as that protocol says it.
pub fn chunk_in(protocol: u32, lease: v1::LeaseRef, first_seq: u64, events_json: Vec<Vec<u8>>) -> v1::EventChunk {
    match protocol {
        1 => super::protocol_1::chunk(lease, first_seq, events_json),
        _ => chunk(lease, first_seq, events_json.iter().map(|json| line_of_json(json))),
    }
}

/// How many events a chunk has. No time.
pub fn count_of(chunk: &v1::EventChunk) -> usize {
    if chunk.events.is_empty() { super::protocol_1::events_of(chunk).len() } else { chunk.events.len() }
}

/// The events of a chunk, in order. One that cannot be read, as one of a kind that only a later release knows, is told as output that was not kept: numbers
/// stay what they are.
pub fn events_of(chunk: v1::EventChunk) -> Vec<EventLine> {
    if chunk.events.is_empty() {
        return super::protocol_1::events_of(&chunk).iter().map(|json| line_of_json(json)).collect();
    }
    let line = |event: v1::AgentEvent| {
        let at = WallMs(event.at_ms);
        event.try_into().unwrap_or(EventLine { at, event: AgentEvent::Elided { bytes: 0 } })
    };
    chunk.events.into_iter().map(line).collect()
}

/// An event as it lies on disk. One that cannot be read, as one of a kind that only a later release knows, is told as output that was not kept, at its time.
pub fn line_of_json(json: &[u8]) -> EventLine {
    serde_json::from_slice(json).unwrap_or_else(|_| {
        let other: Option<serde_json::Value> = serde_json::from_slice(json).ok();
        let at = other.and_then(|other| serde_json::from_value(other.get("at")?.clone()).ok()).unwrap_or_default();
        EventLine { at, event: AgentEvent::Elided { bytes: json.len() as u64 } }
    })
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::super::outcome::tests::usage;
    use super::*;

    fn event() -> impl Strategy<Value = AgentEvent> {
        let text = || ".{0,12}";
        prop_oneof![
            option::of(text()).prop_map(|session| AgentEvent::Started { session: session.map(Into::into) }),
            text().prop_map(|text| AgentEvent::Message { text }),
            text().prop_map(|text| AgentEvent::Reasoning { text }),
            (text(), option::of(text()), any::<Option<i32>>(), any::<bool>())
                .prop_map(|(command, output, exit_code, ended)| AgentEvent::Exec { command, output, exit_code, ended }),
            (vec(text(), 0..3), any::<bool>()).prop_map(|(paths, ok)| AgentEvent::FileChange { paths, ok }),
            (text(), text()).prop_map(|(id, status)| AgentEvent::Subtask { id, status }),
            usage().prop_map(|usage| AgentEvent::Usage { usage }),
            text().prop_map(|text| AgentEvent::Warning { text }),
            (text(), text()).prop_map(|(stream, text)| AgentEvent::Raw { stream, text }),
            any::<u64>().prop_map(|bytes| AgentEvent::Elided { bytes }),
            Just(AgentEvent::Completed),
            text().prop_map(|message| AgentEvent::Failed { message }),
        ]
    }

    /// Any event.
    pub(in crate::convert) fn line() -> impl Strategy<Value = EventLine> {
        (any::<u64>(), event()).prop_map(|(at, event)| EventLine { at: WallMs(at), event })
    }

    proptest! {
        #[test]
        fn an_event_survives_the_wire_and_the_disk(line in line()) {
            prop_assert_eq!(EventLine::try_from(v1::AgentEvent::from(line.clone())).unwrap(), line.clone());
            prop_assert_eq!(line_of_json(&serde_json::to_vec(&line).unwrap()), line);
        }
    }

    #[test]
    fn an_event_of_an_unknown_kind_keeps_its_number() {
        let known = EventLine { at: WallMs(1), event: AgentEvent::Completed };
        let mut chunk = chunk(v1::LeaseRef::default(), 1, [known.clone(), known.clone()]);
        chunk.events.insert(1, v1::AgentEvent { at_ms: 7, event: None });
        let unknown = EventLine { at: WallMs(7), event: AgentEvent::Elided { bytes: 0 } };
        assert_eq!(count_of(&chunk), 3);
        assert_eq!(events_of(chunk), [known.clone(), unknown, known]);
        assert_eq!(line_of_json(b"{}").event, AgentEvent::Elided { bytes: 2 });
        // On disk too, and it stands at its time.
        let later = EventLine { at: WallMs(7), event: AgentEvent::Warning { text: String::new() } };
        let json = serde_json::to_string(&later).unwrap().replace("warning", "singing");
        assert_eq!(line_of_json(json.as_bytes()), EventLine { at: WallMs(7), event: AgentEvent::Elided { bytes: json.len() as u64 } });
    }
}
