//! A watch that goes on where its connection was cut: that ends with the certificate it has shown, however long a run is followed.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use roundtable_proto::v1;
use roundtable_shared::AgentEvent;
use serde::Deserialize;
use tokio_stream::StreamExt;
use tonic::Streaming;

use super::live::{Client, is_cut};
use super::watch::WatchFor;
use crate::failure::Result;

/// Cuts with neither a new line nor a steady connection between them, after which the coordinator counts as gone.
const CUTS_MAX: u32 = 3;
/// A connection that has lasted so long is steady.
const STEADY_AFTER: Duration = Duration::from_secs(60);

/// Lines of a live coordinator.
pub(super) struct Watching {
    client: Client,
    wanted: WatchFor,
    frames: Streaming<v1::WatchFrame>,
    begun: Instant,
    told: Told,
    /// It was cut: from then on lines come more than once.
    was_cut: bool,
    cuts: u32,
}

impl Watching {
    pub(super) async fn begin(client: Client, wanted: WatchFor) -> Result<Self> {
        let frames = open(&client, wanted.request(0)).await?;
        Ok(Self { client, wanted, frames, begun: Instant::now(), told: Told::default(), was_cut: false, cuts: 0 })
    }

    /// The next line that was not told before; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        loop {
            match self.frames.next().await {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    // What is of a later release may not be placed right, and nothing is left out for that before it has to be.
                    if self.told.is_new(&frame.line) || !self.was_cut {
                        self.cuts = 0;
                        return Ok(Some(frame.line));
                    }
                }
                Some(Err(status)) if is_cut(&status) && self.is_worth_a_try() => self.go_on().await?,
                Some(Err(status)) => return Err(self.client.refusal(status)),
            }
        }
    }

    fn is_worth_a_try(&mut self) -> bool {
        if self.begun.elapsed() >= STEADY_AFTER {
            self.cuts = 0;
        }
        self.cuts += 1;
        self.cuts <= CUTS_MAX
    }

    /// Asks again. What an agent says is found by the row that granted its attempt, so with agents' words all of it comes once more, and is passed over here.
    async fn go_on(&mut self) -> Result<()> {
        let after = if self.wanted.agent_events { 0 } else { self.told.row };
        self.frames = open(&self.client, self.wanted.request(after)).await?;
        (self.begun, self.was_cut) = (Instant::now(), true);
        Ok(())
    }
}

async fn open(client: &Client, request: v1::WatchRequest) -> Result<Streaming<v1::WatchFrame>> {
    Ok(client.control().watch(request).await.map_err(|status| client.refusal(status))?.into_inner())
}

/// How far a watch has come: rows of the log come in their order, and so do the words of each attempt.
#[derive(Default)]
struct Told {
    row: u64,
    /// By unit and attempt.
    words: HashMap<(String, u64), u64>,
}

#[derive(Deserialize)]
struct Row {
    seq: u64,
}

#[derive(Deserialize)]
struct Words {
    seq: u64,
    unit: String,
    attempt: u64,
}

impl Told {
    /// Whether a line was not told yet; from now on it was. What cannot be placed is always told.
    fn is_new(&mut self, line: &[u8]) -> bool {
        let is_of_agent = serde_json::from_slice::<AgentEvent>(line).is_ok();
        let (seq, last) = if is_of_agent {
            let Ok(Words { seq, unit, attempt }) = serde_json::from_slice(line) else { return true };
            (seq, self.words.entry((unit, attempt)).or_default())
        } else {
            let Ok(Row { seq }) = serde_json::from_slice(line) else { return true };
            (seq, &mut self.row)
        };
        let is_new = seq > *last;
        *last = seq.max(*last);
        is_new
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::played::{Coordinator, serve};
    use super::*;
    use crate::exit::Exit;

    const ROWS: [&str; 3] = [
        r#"{"seq":1,"kind":"run_created","run":"r"}"#,
        r#"{"seq":2,"kind":"lease_granted","run":"r","unit":"1","attempt":1}"#,
        r#"{"seq":7,"kind":"attempt_ended","run":"r","unit":"1","attempt":1}"#,
    ];
    const WORDS: [&str; 3] = [
        r#"{"seq":1,"run":"r","unit":"1","attempt":1,"kind":"message","text":"one"}"#,
        r#"{"seq":2,"run":"r","unit":"1","attempt":1,"kind":"message","text":"two"}"#,
        r#"{"seq":1,"run":"r","unit":"-","attempt":1,"kind":"message","text":"of the run"}"#,
    ];

    fn wanted(agent_events: bool) -> WatchFor {
        WatchFor { run: "r".to_owned(), transitions: true, agent_events, follow: true, ..WatchFor::default() }
    }

    /// All lines, and how it ended.
    async fn told(coordinator: &Coordinator, wanted: WatchFor) -> (Vec<String>, Result<()>) {
        let mut watching = Watching::begin(serve(coordinator).await, wanted).await.unwrap();
        let mut lines = Vec::new();
        loop {
            match watching.next().await {
                Ok(Some(line)) => lines.push(String::from_utf8(line).unwrap()),
                Ok(None) => return (lines, Ok(())),
                Err(failure) => return (lines, Err(failure)),
            }
        }
    }

    #[tokio::test]
    async fn each_line_is_told_once_over_cuts() {
        let coordinator = Coordinator::default();
        let all = [ROWS[0], ROWS[1], WORDS[0], WORDS[2], WORDS[1], ROWS[2]];
        // Over another link agents' words may stand elsewhere between the rows.
        let again = [ROWS[0], ROWS[1], WORDS[2], WORDS[0], WORDS[1], ROWS[2]];
        coordinator.script().watches = [(all[..3].to_vec(), true), (again[..5].to_vec(), true), (all.to_vec(), false)].into();
        let (lines, ended) = told(&coordinator, wanted(true)).await;
        assert!(ended.is_ok());
        assert_eq!(lines, [ROWS[0], ROWS[1], WORDS[0], WORDS[2], WORDS[1], ROWS[2]]);
        assert_eq!(coordinator.script().after, [0, 0, 0]);
    }

    #[tokio::test]
    async fn what_an_agent_says_in_a_later_release_is_told_and_hides_nothing() {
        let later = [1, 9].map(|seq| format!(r#"{{"seq":{seq},"run":"r","unit":"1","attempt":1,"kind":"of_tomorrow"}}"#));
        let later: [&'static str; 2] = later.map(|line| -> &'static str { line.leak() });
        let coordinator = Coordinator::default();
        let all = [ROWS[0], ROWS[1], later[0], later[1], ROWS[2]];
        coordinator.script().watches = [(all.to_vec(), false)].into();
        let (lines, ended) = told(&coordinator, wanted(true)).await;
        assert!(ended.is_ok() && lines == all, "{lines:?}");
    }

    #[tokio::test]
    async fn rows_alone_go_on_after_the_last() {
        let coordinator = Coordinator::default();
        coordinator.script().watches = [(ROWS[..2].to_vec(), true), (ROWS[2..].to_vec(), false)].into();
        let (lines, ended) = told(&coordinator, wanted(false)).await;
        assert!(ended.is_ok() && lines == ROWS, "{lines:?}");
        assert_eq!(coordinator.script().after, [0, 2]);
    }

    #[tokio::test]
    async fn one_that_is_always_cut_is_given_up() {
        let coordinator = Coordinator::default();
        coordinator.script().watches = vec![(ROWS.to_vec(), true); 100].into();
        let (lines, ended) = told(&coordinator, wanted(true)).await;
        assert_eq!((lines.len(), ended.unwrap_err().exit()), (3, Exit::Unreachable));
        assert_eq!(coordinator.script().after.len(), 4);
    }
}
