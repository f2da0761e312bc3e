//! `verify` counts what is good and names the first bad record.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::{Path, PathBuf};

use roundtable_shared::{AttemptKey, AttemptNo};
use roundtable_store::log::SqliteOptions;
use roundtable_store::segment::{EventsError, check_events};
use roundtable_store::{Chunk, Log, NewRow, OpenError, Report, SegmentOptions, SegmentStore, SqliteLog, verify};

fn key(attempt: u32) -> AttemptKey {
    AttemptKey { run: "spec-ab12cd".into(), unit: Some("1".into()), attempt: AttemptNo(attempt) }
}

async fn data_dir() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let (store, segments) = (dir.path().join("store.db"), dir.path().join("segments"));
    let log = SqliteLog::open(&store, SqliteOptions::default()).unwrap();
    let row = |n: u64| NewRow { at_ms: n, run: (n > 2).then(|| "spec-ab12cd".to_owned()), kind: "k".to_owned(), v: 1, body: n.to_string() };
    log.append(0, (1..=5000).map(row).collect()).await.unwrap();
    let events = SegmentStore::open(&segments, SegmentOptions::default()).unwrap();
    events.append(&key(1), Chunk { first_seq: 1, events: vec![b"one".to_vec(), b"two".to_vec()] }).await.unwrap();
    events.finish(&key(1)).await.unwrap();
    events.append(&key(2), Chunk { first_seq: 1, events: vec![b"three".to_vec()] }).await.unwrap();
    (dir, store, segments)
}

fn first(report: &Report) -> (&str, &str) {
    let problem = report.problems.first().expect("a problem");
    (&problem.place, &problem.what)
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).unwrap();
    change(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn a_good_data_dir_is_counted() {
    let (_dir, store, segments) = data_dir().await;
    let report = verify(&store, &segments).await.unwrap();
    assert!(report.is_good(), "{:?}", report.problems);
    assert_eq!((report.rows, report.rows_by_run[""], report.rows_by_run["spec-ab12cd"]), (5000, 2, 4998));
    assert_eq!((report.attempts, report.events, report.event_bytes, report.torn_tails), (2, 3, 11, 0));
}

#[tokio::test]
async fn the_first_bad_row_is_named() {
    let (_dir, store, segments) = data_dir().await;
    let conn = rusqlite::Connection::open(&store).unwrap();
    conn.execute("UPDATE log SET at_ms = 7 WHERE seq IN (4321, 4400)", []).unwrap();
    let report = verify(&store, &segments).await.unwrap();
    assert_eq!(first(&report), ("log row 4321", "its content does not match its hash"));
    assert_eq!((report.rows, report.problems.len()), (4320, 1));
    conn.execute("DELETE FROM log WHERE seq > 10", []).unwrap();
    let report = verify(&store, &segments).await.unwrap();
    assert_eq!(first(&report).0, "log row 11");
    assert_eq!(report.events, 3, "the segments are looked at all the same");
}

#[tokio::test]
async fn bad_events_are_named_and_torn_tails_counted() {
    let (_dir, store, segments) = data_dir().await;
    let attempt = |n: u32| segments.join(format!("spec-ab12cd/1/{n}/00000000000000000001.seg"));
    change(&attempt(2), |bytes| bytes.truncate(bytes.len() - 2));
    let report = verify(&store, &segments).await.unwrap();
    assert_eq!((report.problems.len(), report.torn_tails, report.events), (0, 1, 2));
    change(&attempt(1), |bytes| *bytes.last_mut().unwrap() ^= 1);
    let report = verify(&store, &segments).await.unwrap();
    assert_eq!(first(&report).0, "segments/spec-ab12cd/1/1/00000000000000000001.seg event 2");
}

#[tokio::test]
async fn events_are_held_to_a_count() {
    let (_dir, store, segments) = data_dir().await;
    let report = verify(&store, &segments).await.unwrap();
    assert_eq!((report.events_of(&key(1)), report.events_of(&key(2)), report.events_of(&key(3))), (2, 1, 0));
    assert_eq!(check_events(&segments, &key(1), 2), Ok(()));
    assert_eq!(check_events(&segments, &key(2), 1), Ok(()), "without a mark too");
    let bad = |attempt: u32, count: u64| match check_events(&segments, &key(attempt), count) {
        Err(EventsError::Corrupt { file, seq, .. }) => (file, seq),
        other => panic!("{other:?}"),
    };
    let file = |attempt: u32, name: &str| format!("spec-ab12cd/1/{attempt}/{name}");
    assert_eq!(bad(1, 3), (file(1, "end"), 3), "the mark says less");
    assert_eq!(bad(2, 2), (file(2, "00000000000000000001.seg"), 2));
    std::fs::write(segments.join(file(2, "00000000000000000001.seg")), b"").unwrap();
    assert_eq!(bad(2, 1), (file(2, "00000000000000000001.seg"), 1), "emptied");
}

#[tokio::test]
async fn nothing_to_verify_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store.db");
    assert_eq!(verify(&store, dir.path()).await, Err(OpenError::Missing { path: store.clone() }));
}
