//! One suite of behaviour that every implementation of `Log` must show; a new implementation joins with a fixture and a line at the end.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;

use roundtable_store::log::{Fault, READ_BYTES_MAX, SqliteOptions};
use roundtable_store::{AppendError, Incarnation, Log, MemoryDisk, MemoryLog, NewRow, ReadError, Row, SqliteLog};

/// A place a log can be opened at again and again, and damaged.
trait Fixture {
    fn new() -> Self;
    fn open(&self) -> Arc<dyn Log>;
    /// A log on which the second append, of a large row, finds no space.
    fn open_nearly_full(&self) -> Arc<dyn Log>;
    /// Changes the stored body of a row behind the log's back.
    fn damage(&self, seq: u64);
}

struct Memory(MemoryDisk);

impl Fixture for Memory {
    fn new() -> Self {
        Self(MemoryDisk::new(Incarnation([3; 16])))
    }

    fn open(&self) -> Arc<dyn Log> {
        Arc::new(MemoryLog::open(&self.0))
    }

    fn open_nearly_full(&self) -> Arc<dyn Log> {
        self.0.fail_append(2, Fault::Full);
        self.open()
    }

    fn damage(&self, seq: u64) {
        assert!(self.0.damage(seq, |row| row.body.push(' ')));
    }
}

struct Sqlite(tempfile::TempDir);

impl Sqlite {
    fn open_with(&self, options: SqliteOptions) -> Arc<dyn Log> {
        Arc::new(SqliteLog::open(&self.0.path().join("store.db"), options).unwrap())
    }
}

impl Fixture for Sqlite {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn open(&self) -> Arc<dyn Log> {
        self.open_with(SqliteOptions::default())
    }

    fn open_nearly_full(&self) -> Arc<dyn Log> {
        self.open_with(SqliteOptions { bytes_max: Some(512 << 10) })
    }

    fn damage(&self, seq: u64) {
        let conn = rusqlite::Connection::open(self.0.path().join("store.db")).unwrap();
        assert_eq!(conn.execute("UPDATE log SET body = body || ' ' WHERE seq = ?1", [seq as i64]).unwrap(), 1);
    }
}

fn row(body: &str) -> NewRow {
    NewRow { at_ms: 1_700_000_000_000, run: Some("spec-abc234".to_owned()), kind: "unit_started".to_owned(), v: 1, body: body.to_owned() }
}

fn rows(count: usize) -> Vec<NewRow> {
    (0..count).map(|n| row(&format!("{{\"n\":{n}}}"))).collect()
}

async fn read_all(log: &dyn Log) -> Result<Vec<Row>, ReadError> {
    let mut all: Vec<Row> = Vec::new();
    loop {
        let more = log.read(all.len() as u64 + 1, 100).await?;
        if more.is_empty() {
            return Ok(all);
        }
        all.extend(more);
    }
}

async fn an_empty_log_has_head_zero<F: Fixture>(at: F) {
    let log = at.open();
    let head = log.head().await.unwrap();
    assert_eq!((head.seq, head.hash), (0, log.incarnation().genesis()));
    assert_eq!(log.read(1, 10).await.unwrap(), []);
    assert_eq!(log.append(0, Vec::new()).await.unwrap().last_seq, 0);
}

async fn rows_come_back_as_they_were_written<F: Fixture>(at: F) {
    let log = at.open();
    let odd = [
        NewRow { at_ms: 0, run: None, kind: String::new(), v: 0, body: String::new() },
        NewRow { at_ms: 1, run: Some(String::new()), kind: "k\0ü".to_owned(), v: u32::MAX, body: "{\"t\":\"\u{1F7E2}\0\"}".to_owned() },
        NewRow { at_ms: i64::MAX as u64, ..row("[]") },
    ];
    let appended = log.append(0, odd.to_vec()).await.unwrap();
    assert_eq!(appended.last_seq, 3);
    let back = read_all(&*log).await.unwrap();
    for (n, (row, new)) in back.iter().zip(&odd).enumerate() {
        assert_eq!((row.seq, row.epoch, row.at_ms, row.v), (n as u64 + 1, log.epoch(), new.at_ms, new.v));
        assert_eq!((&row.run, &row.kind, &row.body), (&new.run, &new.kind, &new.body));
    }
    assert_eq!(back.last().unwrap().hash, appended.head_hash);
    let head = log.head().await.unwrap();
    assert_eq!((head.seq, head.hash), (3, appended.head_hash));
}

async fn an_append_elsewhere_than_at_the_head_is_refused<F: Fixture>(at: F) {
    let log = at.open();
    log.append(0, rows(3)).await.unwrap();
    for expected in [0, 2, 4, 1000] {
        assert_eq!(log.append(expected, rows(1)).await, Err(AppendError::Moved { actual: 3 }));
        assert_eq!(log.append(expected, Vec::new()).await, Err(AppendError::Moved { actual: 3 }));
    }
    assert_eq!(log.append(3, rows(1)).await.unwrap().last_seq, 4);
    assert_eq!(read_all(&*log).await.unwrap().len(), 4);
}

async fn of_rivals_for_one_place_one_wins<F: Fixture>(at: F) {
    let log = at.open();
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..40 {
        let log = Arc::clone(&log);
        tasks.spawn(async move { log.append(0, vec![row(&n.to_string()), row("second")]).await });
    }
    let answers = tasks.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert!(answers.iter().filter_map(|answer| answer.as_ref().err()).all(|error| *error == AppendError::Moved { actual: 2 }));
    assert_eq!(read_all(&*log).await.unwrap().len(), 2);
}

async fn every_acknowledged_append_is_there_once<F: Fixture>(at: F) {
    let log = at.open();
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..30_u32 {
        let log = Arc::clone(&log);
        tasks.spawn(async move {
            let mut expected = 0;
            loop {
                match log.append(expected, vec![row(&n.to_string())]).await {
                    Ok(appended) => return (appended.last_seq, n),
                    Err(AppendError::Moved { actual }) => expected = actual,
                    Err(error) => panic!("{error}"),
                }
            }
        });
    }
    let mut acknowledged = tasks.join_all().await;
    acknowledged.sort_unstable();
    let stored = read_all(&*log).await.unwrap();
    let stored: Vec<(u64, u32)> = stored.iter().map(|row| (row.seq, row.body.parse().unwrap())).collect();
    assert_eq!(stored, acknowledged);
}

async fn appends_queued_one_after_another_all_land<F: Fixture>(at: F) {
    // The driver may queue the next batch before the one in flight is answered: each is compared with the head the ones before it leave.
    let log = at.open();
    let futures: Vec<_> = (0..20).map(|n| log.append(n * 2, rows(2))).collect();
    for (n, answer) in futures_in_order(futures).await.into_iter().enumerate() {
        assert_eq!(answer.unwrap().last_seq, n as u64 * 2 + 2);
    }
    assert_eq!(read_all(&*log).await.unwrap().len(), 40);
}

/// Polls all futures together, in order, until each is done.
async fn futures_in_order<T>(mut futures: Vec<roundtable_store::log::LogFuture<'_, T>>) -> Vec<T> {
    let mut done: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|cx| {
        for (slot, future) in done.iter_mut().zip(&mut futures).filter(|(slot, _)| slot.is_none()) {
            if let std::task::Poll::Ready(value) = future.as_mut().poll(cx) {
                *slot = Some(value);
            }
        }
        if done.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}

async fn a_refused_row_takes_its_whole_append_with_it<F: Fixture>(at: F) {
    let log = at.open();
    let bad = NewRow { at_ms: u64::MAX, ..row("{}") };
    assert!(matches!(log.append(0, vec![row("{}"), bad, row("{}")]).await, Err(AppendError::Refused { .. })));
    assert!(matches!(log.append(u64::MAX, rows(1)).await, Err(AppendError::Refused { .. })));
    assert_eq!(log.head().await.unwrap().seq, 0);
    log.append(0, rows(1)).await.unwrap();
}

async fn a_log_survives_its_handle_and_epochs_grow<F: Fixture>(at: F) {
    let first = at.open();
    let (epoch, incarnation) = (first.epoch(), first.incarnation());
    first.append(0, rows(5)).await.unwrap();
    let before = read_all(&*first).await.unwrap();
    drop(first);
    let second = at.open();
    assert!(second.epoch() > epoch);
    assert_eq!(second.incarnation(), incarnation);
    assert_eq!(read_all(&*second).await.unwrap(), before);
    assert_eq!(second.append(5, rows(1)).await.unwrap().last_seq, 6);
    assert_eq!(read_all(&*second).await.unwrap()[5].epoch, second.epoch());
}

async fn a_deposed_handle_cannot_append<F: Fixture>(at: F) {
    let old = at.open();
    old.append(0, rows(2)).await.unwrap();
    let new = at.open();
    let deposed = AppendError::Deposed { epoch: old.epoch(), by: new.epoch() };
    assert_eq!(old.append(2, rows(1)).await, Err(deposed.clone()), "also before the new one wrote anything");
    new.append(2, rows(1)).await.unwrap();
    assert_eq!(old.append(3, rows(1)).await, Err(deposed));
    let epochs: Vec<u64> = read_all(&*new).await.unwrap().iter().map(|row| row.epoch).collect();
    assert!(epochs.is_sorted(), "I12: {epochs:?}");
}

async fn reads_take_any_window<F: Fixture>(at: F) {
    let log = at.open();
    log.append(0, rows(10)).await.unwrap();
    let seqs = |rows: Vec<Row>| rows.iter().map(|row| row.seq).collect::<Vec<_>>();
    assert_eq!(seqs(log.read(0, 2).await.unwrap()), [1, 2]);
    assert_eq!(seqs(log.read(4, 3).await.unwrap()), [4, 5, 6]);
    assert_eq!(seqs(log.read(9, 100).await.unwrap()), [9, 10]);
    for (from, limit) in [(11, 5), (12, 5), (u64::MAX, 5), (1, 0)] {
        assert_eq!(seqs(log.read(from, limit).await.unwrap()), [0; 0]);
    }
}

async fn large_bodies_come_in_several_reads<F: Fixture>(at: F) {
    let log = at.open();
    let body = "x".repeat(READ_BYTES_MAX / 3 + 1);
    log.append(0, (0..5).map(|_| row(&body)).collect()).await.unwrap();
    let first = log.read(1, 100).await.unwrap();
    assert!((1..5).contains(&first.len()), "{} rows at once", first.len());
    assert_eq!(read_all(&*log).await.unwrap().len(), 5);
}

async fn damage_is_noticed_and_named<F: Fixture>(at: F) {
    let log = at.open();
    log.append(0, rows(8)).await.unwrap();
    at.damage(5);
    assert_eq!(log.read(1, 4).await.unwrap().len(), 4, "what is before is still good");
    for from in [1, 4, 5] {
        match log.read(from, 100).await {
            Err(ReadError::Corrupt(corruption)) => assert_eq!(corruption.seq, Some(5)),
            other => panic!("reading from {from}: {other:?}"),
        }
    }
}

async fn a_full_disk_refuses_and_heals<F: Fixture>(at: F) {
    let log = at.open_nearly_full();
    log.append(0, rows(1)).await.unwrap();
    assert_eq!(log.append(1, vec![row(&"x".repeat(1 << 20))]).await, Err(AppendError::Full));
    assert_eq!(log.head().await.unwrap().seq, 1);
    assert_eq!(log.append(1, rows(1)).await.unwrap().last_seq, 2, "small rows still fit: nothing was left behind");
    assert_eq!(read_all(&*log).await.unwrap().len(), 2);
}

macro_rules! contract {
    ($module:ident, $fixture:ty: $($test:ident),* $(,)?) => {
        mod $module {
            use super::*;
            $(
                #[tokio::test]
                async fn $test() {
                    super::$test(<$fixture as Fixture>::new()).await;
                }
            )*
        }
    };
}

macro_rules! contract_for {
    ($($module:ident: $fixture:ty),* $(,)?) => {
        $(contract!($module, $fixture:
            an_empty_log_has_head_zero,
            rows_come_back_as_they_were_written,
            an_append_elsewhere_than_at_the_head_is_refused,
            of_rivals_for_one_place_one_wins,
            every_acknowledged_append_is_there_once,
            appends_queued_one_after_another_all_land,
            a_refused_row_takes_its_whole_append_with_it,
            a_log_survives_its_handle_and_epochs_grow,
            a_deposed_handle_cannot_append,
            reads_take_any_window,
            large_bodies_come_in_several_reads,
            damage_is_noticed_and_named,
            a_full_disk_refuses_and_heals,
        );)*
    };
}

contract_for!(memory: Memory, sqlite: Sqlite);
