//! An audit log through its life: appended to, followed, rolled, damaged, cut off, refused.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use super::*;
use crate::log::{Row, RowHash};

const STORE: Incarnation = Incarnation([7; 16]);

fn row(text: &str) -> NewRow {
    NewRow { at_ms: 5, run: Some("r-1".to_owned()), kind: "command".to_owned(), v: 1, body: format!("{{\"did\":\"{text}\"}}") }
}

fn open(dir: &Path, options: AuditOptions) -> Result<AuditLog, AuditError> {
    AuditLog::open(dir, options, STORE)
}

/// A file per append.
fn rolling(files_max: usize) -> AuditOptions {
    AuditOptions { file_bytes_max: 1, files_max }
}

fn read(dir: &Path) -> Result<Vec<Row>, AuditError> {
    let mut reader = AuditReader::open(dir);
    let mut all = Vec::new();
    loop {
        let batch = reader.next_batch(2)?;
        if batch.is_empty() {
            return Ok(all);
        }
        all.extend(batch);
    }
}

fn seqs(rows: &[Row]) -> Vec<u64> {
    rows.iter().map(|row| row.seq).collect()
}

async fn write(log: &AuditLog, texts: &[&str]) -> Result<u64, AuditError> {
    log.append(texts.iter().map(|text| row(text)).collect()).await
}

#[tokio::test]
async fn rows_are_read_as_they_were_appended_also_by_a_later_life() {
    let dir = tempfile::tempdir().unwrap();
    assert!(read(&dir.path().join("absent")).unwrap().is_empty());
    let log = open(dir.path(), AuditOptions::default()).unwrap();
    assert_eq!(write(&log, &["a", "b"]).await.unwrap(), 2);
    drop(log);
    let log = AuditLog::open(dir.path(), AuditOptions::default(), Incarnation([8; 16])).unwrap();
    assert_eq!(write(&log, &["c"]).await.unwrap(), 3, "the chain is the one that was begun");
    let rows = read(dir.path()).unwrap();
    assert_eq!(seqs(&rows), [1, 2, 3]);
    assert_eq!((rows[2].body.as_str(), rows[2].run.as_deref()), (r#"{"did":"c"}"#, Some("r-1")));
    let refused = log.append(Vec::new()).await.unwrap_err();
    assert!(matches!(refused, AuditError::Refused { .. }), "{refused}");
    let long = NewRow { body: "x".repeat(AUDIT_BODY_BYTES_MAX + 1), ..row("") };
    assert!(matches!(log.append(vec![row("d"), long]).await, Err(AuditError::Refused { .. })));
    assert_eq!(read(dir.path()).unwrap().len(), 3, "all or none");
}

#[tokio::test]
async fn files_are_bounded_and_the_oldest_go() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), rolling(3)).unwrap();
    for text in ["a", "b", "c", "d", "e"] {
        write(&log, &[text]).await.unwrap();
    }
    assert_eq!(indices(dir.path()).unwrap(), [4, 5, 6]);
    assert_eq!(seqs(&read(dir.path()).unwrap()), [3, 4, 5]);
    drop(log);
    let log = open(dir.path(), rolling(3)).unwrap();
    assert_eq!(write(&log, &["f"]).await.unwrap(), 6);
    assert_eq!(seqs(&read(dir.path()).unwrap()), [4, 5, 6]);
}

#[tokio::test]
async fn a_reader_follows_the_writer_from_file_to_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut reader = AuditReader::open(dir.path());
    assert!(reader.next_batch(9).unwrap().is_empty());
    let log = open(dir.path(), rolling(2)).unwrap();
    assert!(reader.next_batch(9).unwrap().is_empty());
    for seq in 1..=4 {
        write(&log, &["x"]).await.unwrap();
        assert_eq!(seqs(&reader.next_batch(9).unwrap()), [seq]);
    }
    // Too slow: what has gone meanwhile is skipped, and the numbers show it.
    for _ in 0..4 {
        write(&log, &["x"]).await.unwrap();
    }
    assert_eq!(seqs(&reader.next_batch(9).unwrap()), [7, 8]);
}

#[tokio::test]
async fn every_change_of_a_byte_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), AuditOptions { file_bytes_max: 400, files_max: 9 }).unwrap();
    for text in ["a", "b", "c", "d", "e", "f"] {
        write(&log, &[text]).await.unwrap();
    }
    drop(log);
    let good = read(dir.path()).unwrap();
    let files = indices(dir.path()).unwrap();
    assert!(files.len() > 2);
    for index in &files {
        let path = dir.path().join(file_name(*index));
        let bytes = fs::read(&path).unwrap();
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 0x01;
            fs::write(&path, &bad).unwrap();
            let found = read(dir.path());
            assert!(found.is_err(), "byte {at} of file {index}: {found:?}");
        }
        fs::write(&path, &bytes).unwrap();
    }
    assert_eq!(read(dir.path()).unwrap(), good);
    fs::remove_file(dir.path().join(file_name(files[0] + 1))).unwrap();
    assert!(matches!(read(dir.path()), Err(AuditError::Corrupt { place, .. }) if place.contains(&file_name(files[2]))));
}

#[tokio::test]
async fn the_good_rows_come_before_the_bad_one_which_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), AuditOptions::default()).unwrap();
    write(&log, &["one", "two", "three"]).await.unwrap();
    drop(log);
    let path = dir.path().join(file_name(1));
    let text = fs::read_to_string(&path).unwrap().replace("two", "TWO");
    fs::write(&path, text).unwrap();
    let mut reader = AuditReader::open(dir.path());
    assert_eq!(seqs(&reader.next_batch(9).unwrap()), [1]);
    let damaged = AuditError::Corrupt {
        place: "audit/00000001.jsonl line 3".to_owned(),
        detail: "row 2: its content does not match its hash".to_owned(),
    };
    assert_eq!(reader.next_batch(9), Err(damaged.clone()));
    assert_eq!(open(dir.path(), AuditOptions::default()).unwrap_err(), damaged, "nothing is appended to what cannot be believed");
}

#[tokio::test]
async fn what_a_crash_left_of_a_row_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), AuditOptions::default()).unwrap();
    write(&log, &["one"]).await.unwrap();
    drop(log);
    let path = dir.path().join(file_name(1));
    let whole = fs::read(&path).unwrap();
    for torn in [&b"{\"seq\":2,\"at"[..], &[0; 40]] {
        fs::write(&path, [whole.as_slice(), torn].concat()).unwrap();
        assert_eq!(seqs(&read(dir.path()).unwrap()), [1]);
        let log = open(dir.path(), AuditOptions::default()).unwrap();
        assert_eq!(fs::read(&path).unwrap(), whole);
        assert_eq!(write(&log, &["two"]).await.unwrap(), 2);
        assert_eq!(seqs(&read(dir.path()).unwrap()), [1, 2]);
        // As it was before, in all its files.
        fs::write(&path, &whole).unwrap();
        fs::remove_file(dir.path().join(".rows-head")).unwrap();
    }
}

#[tokio::test]
async fn a_log_that_was_cut_short_or_written_anew_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), rolling(9)).unwrap();
    for text in ["one", "two", "three"] {
        write(&log, &[text]).await.unwrap();
    }
    drop(log);
    let last = dir.path().join(file_name(*indices(dir.path()).unwrap().last().unwrap()));
    let (bytes, good) = (fs::read(&last).unwrap(), read(dir.path()).unwrap());
    let header = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    for short in [header, bytes.len() - 1] {
        fs::write(&last, &bytes[..short]).unwrap();
        for found in [read(dir.path()).map(|_| ()), open(dir.path(), rolling(9)).map(|_| ())] {
            assert!(matches!(&found, Err(AuditError::Corrupt { detail, .. }) if detail.contains("3 rows were acknowledged")), "{found:?}");
        }
    }
    fs::remove_file(&last).unwrap();
    assert!(read(dir.path()).is_err() && open(dir.path(), rolling(9)).is_err(), "its newest file is gone");
    fs::write(&last, &bytes).unwrap();
    assert_eq!(read(dir.path()).unwrap(), good);
    // Another log of as many rows, each of which follows the one before it.
    let other = tempfile::tempdir().unwrap();
    write(&open(other.path(), rolling(9)).unwrap(), &["x", "y", "z"]).await.unwrap();
    for index in indices(dir.path()).unwrap() {
        fs::remove_file(dir.path().join(file_name(index))).unwrap();
    }
    for index in indices(other.path()).unwrap() {
        fs::copy(other.path().join(file_name(index)), dir.path().join(file_name(index))).unwrap();
    }
    assert!(matches!(read(dir.path()), Err(AuditError::Corrupt { detail, .. }) if detail.contains("not the row that was acknowledged")));
}

#[tokio::test]
async fn a_refused_append_changes_nothing_and_may_succeed_later() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("audit");
    let log = open(&dir, rolling(9)).unwrap();
    write(&log, &["one"]).await.unwrap();
    fs::remove_dir_all(&dir).unwrap();
    let refused = write(&log, &["two"]).await.unwrap_err();
    assert!(matches!(refused, AuditError::Refused { .. }), "{refused}");
    assert_eq!(*log.failed().borrow(), None);
    fs::create_dir(&dir).unwrap();
    assert_eq!(write(&log, &["two"]).await.unwrap(), 2);
    let rows = read(&dir).unwrap();
    assert_eq!(seqs(&rows), [2], "what was removed is gone, and its number shows it");
    assert_ne!(rows[0].hash, RowHash([0; 32]));
}
