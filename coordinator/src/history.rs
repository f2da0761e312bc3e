//! What happened, as JSON lines in the order it happened: transitions of the log, and between them what the agents of a run said. Memory is bounded: events
//! are read in small batches, and only of attempts that are under way at that point of the log.

use std::collections::{BTreeMap, HashMap, VecDeque};

use roundtable_core::transition::{Fact, Transition};
use roundtable_shared::error::ErrorCode;
use roundtable_shared::time::WallMs;
use roundtable_shared::{AttemptKey, LeaseRef, RunId, UnitId};
use roundtable_store::segment::{EventsError, Reader};
use roundtable_store::{LogReader, ReadError, SegmentStore};
use tokio::sync::mpsc;

use crate::driver::{CodecError, HandleError, decode_row};
use crate::view;

/// Rows read at once.
const ROWS_MAX: usize = 1000;
/// Events of one attempt read at once.
const EVENTS_MAX: usize = 128;

/// Why the past cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The log cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A row cannot be understood.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The agent events cannot be read.
    #[error(transparent)]
    Events(#[from] EventsError),
    /// The driver does not answer.
    #[error(transparent)]
    Driver(#[from] HandleError),
}

impl HistoryError {
    /// The code this maps to at every edge.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Driver(error) => error.code(),
            Self::Read(_) | Self::Codec(_) | Self::Events(_) => ErrorCode::Internal,
        }
    }
}

/// Where lines go.
pub type Lines = mpsc::Sender<Result<String, HistoryError>>;

/// Why telling stopped early; `None`: nobody listens any more.
pub type Stopped = Option<HistoryError>;

/// What is told.
#[derive(Clone, Default, Debug)]
pub struct Wanted {
    /// Only this run; `None` = all.
    pub run: Option<RunId>,
    /// Agent events only of this unit; `-` = the run's own seats.
    pub unit: Option<String>,
    /// Agent events only of attempts of this number.
    pub attempt: Option<u32>,
}

/// A telling that goes on from where it was.
pub struct History {
    wanted: Wanted,
    segments: Option<SegmentStore>,
    seq: u64,
    speaking: BTreeMap<AttemptKey, Speaker>,
}

/// An attempt whose agent may still have something to say.
struct Speaker {
    reader: Reader,
    /// Lines that were read and not told yet.
    ahead: VecDeque<(WallMs, String)>,
    /// Nothing more was there when it was last looked at in this telling.
    dry: bool,
}

impl History {
    /// Tells transitions after row `after_seq`, and with segments also agent events of attempts granted after it.
    pub fn new(wanted: Wanted, segments: Option<SegmentStore>, after_seq: u64) -> Self {
        Self { wanted, segments, seq: after_seq, speaking: BTreeMap::new() }
    }

    /// Tells what is there up to row `head`.
    pub async fn tell(&mut self, log: &dyn LogReader, head: u64, out: &Lines) -> Result<(), Stopped> {
        self.speaking.values_mut().for_each(|speaker| speaker.dry = false);
        while self.seq < head {
            let rows = log.read(self.seq + 1, ROWS_MAX).await.map_err(wrong)?;
            let Some(last) = rows.last().map(|row| row.seq) else { break };
            for row in rows.iter().filter(|row| row.seq <= head) {
                if self.wanted.run.as_ref().is_some_and(|run| row.run.as_deref() != Some(run.as_str())) {
                    continue;
                }
                let transition = decode_row(row).map_err(wrong)?;
                self.speak(Some(WallMs(row.at_ms)), out).await?;
                self.last_words(&transition, out).await?;
                say(out, view::transition_line(row.seq, row.at_ms, &transition)).await?;
                self.listen(&transition);
            }
            self.seq = last.min(head);
        }
        self.speak(None, out).await
    }

    /// A lease was granted: its agent will speak.
    fn listen(&mut self, transition: &Transition) {
        let (Some(segments), Some((LeaseRef { key, .. }, _))) = (&self.segments, transition.granted()) else { return };
        let unit_fits = match self.wanted.unit.as_deref() {
            None => true,
            Some("-") => key.unit.is_none(),
            Some(unit) => key.unit.as_ref() == Some(&UnitId::from(unit)),
        };
        if unit_fits && self.wanted.attempt.is_none_or(|attempt| attempt == key.attempt.0) {
            let speaker = Speaker { reader: segments.reader(&key, 1), ahead: VecDeque::new(), dry: false };
            self.speaking.insert(key, speaker);
        }
    }

    /// What an attempt said comes before its end, whatever its host's clock says. One that was lost may be heard of later.
    async fn last_words(&mut self, transition: &Transition, out: &Lines) -> Result<(), Stopped> {
        let Some(key) = transition.ended() else { return Ok(()) };
        while let Some((_, line)) = self.next_of(&key).await.map_err(wrong)? {
            say(out, line).await?;
        }
        if matches!(transition.fact, Fact::AttemptEnded { .. }) {
            self.speaking.remove(&key);
        }
        Ok(())
    }

    /// Events up to a time (or all there are), the earliest first.
    async fn speak(&mut self, until: Option<WallMs>, out: &Lines) -> Result<(), Stopped> {
        loop {
            let mut first: Option<(WallMs, AttemptKey)> = None;
            for key in self.speaking.keys().cloned().collect::<Vec<_>>() {
                let Some(at) = self.peek(&key).await.map_err(wrong)? else { continue };
                if until.is_none_or(|until| at <= until) && first.as_ref().is_none_or(|(earliest, _)| at < *earliest) {
                    first = Some((at, key));
                }
            }
            let Some((_, key)) = first else { return Ok(()) };
            if let Some((_, line)) = self.next_of(&key).await.map_err(wrong)? {
                say(out, line).await?;
            }
        }
    }

    /// Time of an attempt's next event.
    async fn peek(&mut self, key: &AttemptKey) -> Result<Option<WallMs>, HistoryError> {
        let Some(speaker) = self.speaking.get_mut(key) else { return Ok(None) };
        while speaker.ahead.is_empty() && !speaker.dry {
            let batch = speaker.reader.next(EVENTS_MAX).await?;
            speaker.dry = batch.is_empty();
            speaker.ahead.extend(batch.iter().filter_map(|event| view::agent_event_line(key, event.seq, &event.bytes)));
        }
        Ok(speaker.ahead.front().map(|(at, _)| *at))
    }

    async fn next_of(&mut self, key: &AttemptKey) -> Result<Option<(WallMs, String)>, HistoryError> {
        self.peek(key).await?;
        Ok(self.speaking.get_mut(key).and_then(|speaker| speaker.ahead.pop_front()))
    }
}

/// Agent events alone: one attempt after the other, so that each can be read as a whole. `readers` know how far each came.
pub(crate) async fn attempt_by_attempt(
    segments: &SegmentStore,
    keys: &[AttemptKey],
    readers: &mut HashMap<AttemptKey, Reader>,
    out: &Lines,
) -> Result<(), Stopped> {
    for key in keys {
        let reader = readers.entry(key.clone()).or_insert_with(|| segments.reader(key, 1));
        loop {
            let batch = reader.next(EVENTS_MAX).await.map_err(wrong)?;
            if batch.is_empty() {
                break;
            }
            for event in batch {
                if let Some((_, line)) = view::agent_event_line(key, event.seq, &event.bytes) {
                    say(out, line).await?;
                }
            }
        }
    }
    Ok(())
}

/// Reading failed.
pub(crate) fn wrong(error: impl Into<HistoryError>) -> Stopped {
    Some(error.into())
}

/// One line more.
async fn say(out: &Lines, line: String) -> Result<(), Stopped> {
    out.send(Ok(line)).await.map_err(|_| None)
}

#[cfg(test)]
mod tests;
