//! Order and completeness of what is told.
#![allow(clippy::unwrap_used)]

use roundtable_core::effect::Start;
use roundtable_core::state::{AttemptEnd, LostCause};
use roundtable_core::transition::{AttemptResult, Granted};
use roundtable_shared::view::EventLine;
use roundtable_shared::{AgentEvent, AttemptNo, LeaseId, Role, Seat, Usage};
use roundtable_store::log::{Incarnation, MemoryDisk, MemoryLog};
use roundtable_store::{Chunk, Log, SegmentOptions};

use super::*;
use crate::driver::encode_transition;

const RUN: &str = "words-k3v9q2";

struct Rig {
    log: MemoryLog,
    segments: SegmentStore,
    rows: u64,
    _dir: tempfile::TempDir,
}

impl Rig {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let segments = SegmentStore::open(dir.path(), SegmentOptions::default()).unwrap();
        Self { log: MemoryLog::open(&MemoryDisk::new(Incarnation([7; 16]))), segments, rows: 0, _dir: dir }
    }

    async fn row(&mut self, at_ms: u64, fact: Fact) {
        let transition = Transition { run: Some(RUN.into()), at: WallMs(at_ms), fact };
        self.log.append(self.rows, vec![encode_transition(&transition).unwrap()]).await.unwrap();
        self.rows += 1;
    }

    async fn says(&self, unit: &str, first_seq: u64, events: &[(u64, &str)]) {
        let events = events.iter().map(|(at_ms, text)| {
            let line = EventLine { at: WallMs(*at_ms), event: AgentEvent::Message { text: (*text).to_owned() } };
            serde_json::to_vec(&line).unwrap()
        });
        self.segments.append(&key(unit), Chunk { first_seq, events: events.collect() }).await.unwrap();
    }

    /// What a telling adds, as `kind` or the text an agent said.
    async fn told(&self, history: &mut History) -> Vec<String> {
        let (lines, mut told) = mpsc::channel(1000);
        history.tell(&self.log, self.rows, &lines).await.unwrap();
        drop(lines);
        let mut words = Vec::new();
        while let Some(line) = told.recv().await {
            let line: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
            words.push(line.get("text").unwrap_or(&line["kind"]).as_str().unwrap().to_owned());
        }
        words
    }

    fn history(&self, wanted: Wanted) -> History {
        History::new(wanted, Some(self.segments.clone()), 0)
    }
}

fn key(unit: &str) -> AttemptKey {
    AttemptKey { run: RUN.into(), unit: Some(unit.into()), attempt: AttemptNo(1) }
}

fn granted(unit: &str) -> Fact {
    Fact::LeaseGranted(Box::new(Granted {
        unit: Some(unit.into()),
        attempt: AttemptNo(1),
        lease_id: LeaseId(1),
        seat: Seat::Work,
        role: Role::Implement,
        turn: 1,
        round: 0,
        worker: "w".into(),
        backend: "codex".into(),
        pool: "codex".to_owned(),
        account: String::new(),
        model: String::new(),
        base: "b".into(),
        start: Start::Commit("b".into()),
        resumed_from: None,
        resume: None,
        escalated: false,
    }))
}

fn ended(unit: &str) -> Fact {
    let result = AttemptResult {
        end: AttemptEnd::Completed,
        class: None,
        error: None,
        exit_code: Some(0),
        digest: "d".to_owned(),
        commit: None,
        agent_session: None,
        usage: Usage::default(),
        events: 0,
    };
    Fact::AttemptEnded { unit: Some(unit.into()), attempt: AttemptNo(1), result: Box::new(result) }
}

fn of_run() -> Wanted {
    Wanted { run: Some(RUN.into()), ..Wanted::default() }
}

#[tokio::test]
async fn agents_that_speak_at_once_are_told_in_the_order_of_time() {
    let mut rig = Rig::new();
    rig.row(10, granted("1")).await;
    rig.row(11, granted("2")).await;
    rig.says("1", 1, &[(20, "1 begins"), (40, "1 ends")]).await;
    rig.says("2", 1, &[(30, "2 begins"), (60, "2 ends")]).await;
    rig.row(50, ended("1")).await;
    rig.row(70, ended("2")).await;
    let told = rig.told(&mut rig.history(of_run())).await;
    let all =
        ["lease_granted", "lease_granted", "1 begins", "2 begins", "1 ends", "attempt_ended", "2 ends", "attempt_ended"].map(str::to_owned);
    assert_eq!(told, all);
    let only = Wanted { unit: Some("2".to_owned()), ..of_run() };
    let told = rig.told(&mut rig.history(only)).await;
    assert_eq!(told.iter().filter(|word| word.starts_with('1')).count(), 0, "{told:?}");
    assert_eq!(told.iter().filter(|word| word.starts_with('2')).count(), 2, "{told:?}");
}

/// The worker's clock is an hour ahead.
#[tokio::test]
async fn last_words_come_before_the_end_whatever_their_clock_says() {
    let mut rig = Rig::new();
    rig.row(10, granted("1")).await;
    rig.says("1", 1, &[(3_600_020, "said")]).await;
    rig.row(50, ended("1")).await;
    assert_eq!(rig.told(&mut rig.history(of_run())).await, ["lease_granted", "said", "attempt_ended"].map(str::to_owned));
}

#[tokio::test]
async fn a_telling_goes_on_where_it_was_and_hears_of_the_lost_later() {
    let mut rig = Rig::new();
    rig.row(10, granted("1")).await;
    let mut history = rig.history(of_run());
    assert_eq!(rig.told(&mut history).await, ["lease_granted".to_owned()]);
    let many: Vec<(u64, String)> = (0..300).map(|n| (20 + n, format!("word {n}"))).collect();
    let many: Vec<(u64, &str)> = many.iter().map(|(at, word)| (*at, word.as_str())).collect();
    rig.says("1", 1, &many[..200]).await;
    assert_eq!(rig.told(&mut history).await.len(), 200);
    let lost = Fact::AttemptLost {
        unit: Some("1".into()),
        attempt: AttemptNo(1),
        cause: LostCause::Silent,
        class: None,
        reason: "silent".to_owned(),
    };
    rig.row(400, lost).await;
    assert_eq!(rig.told(&mut history).await, ["attempt_lost".to_owned()]);
    rig.says("1", 201, &many[200..]).await;
    let late = rig.told(&mut history).await;
    assert_eq!((late.len(), late[0].as_str()), (100, "word 200"));
    assert_eq!(rig.told(&mut history).await, Vec::<String>::new());
}
