//! Behaviour of the segment store as its callers see it.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::time::Duration;

use roundtable_shared::AttemptNo;
use tempfile::TempDir;

use super::*;

fn key(unit: &str) -> AttemptKey {
    AttemptKey { run: "spec-ab12cd".into(), unit: Some(unit.into()), attempt: AttemptNo(1) }
}

fn event(seq: u64) -> Vec<u8> {
    format!("{{\"seq\":{seq},\"kind\":\"message\"}}").into_bytes()
}

fn chunk(seqs: std::ops::RangeInclusive<u64>) -> Chunk {
    Chunk { first_seq: *seqs.start(), events: seqs.map(event).collect() }
}

fn open(dir: &TempDir) -> SegmentStore {
    SegmentStore::open(dir.path(), SegmentOptions { sync_ms: 10, ..SegmentOptions::default() }).unwrap()
}

fn seqs(events: &[StoredEvent]) -> Vec<u64> {
    assert!(events.iter().all(|stored| stored.bytes == event(stored.seq)));
    events.iter().map(|event| event.seq).collect()
}

async fn read_all(store: &SegmentStore, key: &AttemptKey) -> Vec<u64> {
    seqs(&store.read(key, 1, usize::MAX).await.unwrap())
}

/// The attempt's files, in order.
fn files(dir: &TempDir, key: &AttemptKey) -> Vec<PathBuf> {
    let at = dir.path().join(place::relative_dir(key));
    place::list_files(&at).unwrap().into_iter().map(|first| at.join(place::file_name(first))).collect()
}

#[tokio::test]
async fn events_are_kept_once_whatever_is_sent_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let key = key("1");
    assert_eq!(store.append(&key, chunk(2..=3)).await, Err(ChunkError::Nack { expected: 1 }));
    for seqs in [1..=3, 1..=3, 2..=5, 4..=4, 6..=6] {
        store.append(&key, chunk(seqs)).await.unwrap();
    }
    assert_eq!(store.append(&key, chunk(8..=9)).await, Err(ChunkError::Nack { expected: 7 }));
    assert_eq!(store.append(&key, Chunk { first_seq: 7, events: Vec::new() }).await.unwrap().written_seq, 6);
    assert_eq!(read_all(&store, &key).await, [1, 2, 3, 4, 5, 6]);
    assert_eq!(seqs(&store.read(&key, 3, 2).await.unwrap()), [3, 4]);
    assert_eq!(seqs(&store.read(&key, 9, 2).await.unwrap()), [0; 0]);
}

#[tokio::test]
async fn what_is_said_to_be_durable_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (key("1"), key("2"));
    let store = open(&dir);
    store.append(&one, chunk(1..=10)).await.unwrap();
    store.append(&two, chunk(1..=4)).await.unwrap();
    assert!(store.durable(&one, 10).await.unwrap().durable_seq >= 10);
    assert_eq!(store.flush(&two).await.unwrap().durable_seq, 4);
    drop(store);
    let store = open(&dir);
    assert_eq!(store.position(&one).await.unwrap(), Position { written_seq: 10, durable_seq: 10, finished: false });
    assert_eq!(store.append(&one, chunk(5..=12)).await.unwrap().written_seq, 12);
    assert_eq!(read_all(&store, &one).await.len(), 12);
    assert_eq!(read_all(&store, &two).await.len(), 4);
}

#[tokio::test]
async fn a_finished_attempt_takes_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let (one, silent) = (key("1"), key("2"));
    store.append(&one, chunk(1..=3)).await.unwrap();
    for _ in 0..2 {
        let ended = Position { written_seq: 3, durable_seq: 3, finished: true };
        assert_eq!(store.finish(&one).await.unwrap(), ended);
    }
    assert!(store.finish(&silent).await.unwrap().finished);
    assert_eq!(store.append(&one, chunk(4..=4)).await, Err(ChunkError::Finished { last_seq: 3 }));
    assert_eq!(store.append(&one, chunk(2..=3)).await.unwrap().written_seq, 3, "sent again: nothing new");
    drop(store);
    let store = open(&dir);
    assert!(store.position(&silent).await.unwrap().finished);
    assert_eq!(store.append(&one, chunk(4..=4)).await, Err(ChunkError::Finished { last_seq: 3 }));
    assert_eq!(read_all(&store, &one).await, [1, 2, 3]);
}

#[tokio::test]
async fn files_and_attempts_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let options = SegmentOptions { file_bytes_max: 500, attempt_bytes_max: 4000, sync_ms: 1, ..SegmentOptions::default() };
    let store = SegmentStore::open(dir.path(), options).unwrap();
    let key = key("1");
    let mut last = 0;
    let refused = loop {
        match store.append(&key, chunk(last + 1..=last + 3)).await {
            Ok(position) => last = position.written_seq,
            Err(error) => break error,
        }
    };
    assert_eq!(refused, ChunkError::Quota { bytes_max: 4000 });
    let sizes: Vec<u64> = files(&dir, &key).iter().map(|file| std::fs::metadata(file).unwrap().len()).collect();
    assert!(sizes.len() > 4 && sizes.iter().all(|bytes| *bytes < 800) && sizes.iter().sum::<u64>() <= 4000, "{sizes:?}");
    assert_eq!(read_all(&store, &key).await, (1..=last).collect::<Vec<_>>());
    assert_eq!(seqs(&store.read(&key, last - 1, 10).await.unwrap()), [last - 1, last]);
    let big = Chunk { first_seq: 1, events: vec![vec![0; EVENT_BYTES_MAX + 1]] };
    assert!(matches!(store.append(&key, big).await, Err(ChunkError::Refused { .. })));
    assert!(matches!(store.append(&key, chunk(0..=1)).await, Err(ChunkError::Refused { .. })));
}

#[tokio::test]
async fn a_reader_goes_on_where_it_was_and_looks_at_nothing_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = SegmentStore::open(dir.path(), SegmentOptions { file_bytes_max: 500, sync_ms: 1, ..SegmentOptions::default() }).unwrap();
    let key = key("1");
    let mut reader = store.reader(&key, 2);
    assert_eq!(seqs(&reader.next(4).await.unwrap()), [0; 0], "nothing is there yet");
    store.append(&key, chunk(1..=5)).await.unwrap();
    assert_eq!(seqs(&reader.next(2).await.unwrap()), [2, 3]);
    let first = std::fs::OpenOptions::new().write(true).open(&files(&dir, &key)[0]).unwrap();
    let of_first_event = (frame::HEADER_BYTES + frame::RECORD_OVERHEAD_BYTES) as u64;
    std::os::unix::fs::FileExt::write_all_at(&first, b"x", of_first_event).unwrap();
    assert!(
        matches!(store.read(&key, 4, 1).await, Err(EventsError::Corrupt { seq: 1, .. })),
        "whoever looks for event 4 anew meets the damage"
    );
    let mut seen = Vec::new();
    for from in (6..=56).step_by(5) {
        store.append(&key, chunk(from..=from + 4)).await.unwrap();
        seen.extend(seqs(&reader.next(4).await.unwrap()));
    }
    store.finish(&key).await.unwrap();
    loop {
        let more = reader.next(4).await.unwrap();
        if more.is_empty() {
            break;
        }
        seen.extend(seqs(&more));
    }
    assert_eq!(seen, (4..=60).collect::<Vec<_>>());
    assert!(files(&dir, &key).len() > 3, "over several files");
}

#[tokio::test]
async fn few_files_serve_many_attempts() {
    let dir = tempfile::tempdir().unwrap();
    let options = SegmentOptions { open_files_max: 3, attempts_max: 8, sync_ms: 1, ..SegmentOptions::default() };
    let store = SegmentStore::open(dir.path(), options).unwrap();
    for round in 0..3 {
        for unit in 0..20 {
            let seq = round * 2 + 1;
            store.append(&key(&unit.to_string()), chunk(seq..=seq + 1)).await.unwrap();
        }
    }
    for unit in 0..20 {
        assert_eq!(read_all(&store, &key(&unit.to_string())).await, [1, 2, 3, 4, 5, 6]);
    }
}

#[tokio::test]
async fn a_follower_sees_each_event_once_and_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let store = SegmentStore::open(dir.path(), SegmentOptions { file_bytes_max: 300, sync_ms: 1, ..SegmentOptions::default() }).unwrap();
    let key = key("1");
    let mut early = store.follow(&key, 1).await.unwrap();
    let early = tokio::spawn(async move {
        let mut seen = Vec::new();
        while let Some(events) = early.next(7).await.unwrap() {
            assert!(!events.is_empty() && events.len() <= 7);
            seen.extend(seqs(&events));
        }
        seen
    });
    let mut from_40 = store.follow(&key, 40).await.unwrap();
    for first in (1..=97).step_by(4) {
        store.append(&key, chunk(first..=first + 3)).await.unwrap();
        if first == 21 {
            // A read that is given up loses nothing.
            let _ = tokio::time::timeout(Duration::from_millis(1), from_40.next(100)).await;
        }
    }
    store.finish(&key).await.unwrap();
    assert_eq!(early.await.unwrap(), (1..=100).collect::<Vec<_>>());
    let mut seen = Vec::new();
    while let Some(events) = from_40.next(100).await.unwrap() {
        seen.extend(seqs(&events));
    }
    assert_eq!(seen, (40..=100).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_torn_tail_is_cut_and_sent_again() {
    let dir = tempfile::tempdir().unwrap();
    let key = key("1");
    let store = open(&dir);
    store.append(&key, chunk(1..=5)).await.unwrap();
    drop(store);
    let file = files(&dir, &key).remove(0);
    let whole = std::fs::read(&file).unwrap();
    let record = frame::RECORD_OVERHEAD_BYTES + event(5).len();
    for cut in 1..=record {
        std::fs::write(&file, &whole[..whole.len() - cut]).unwrap();
        let mut offline = Cursor::open(dir.path(), &key, 1).unwrap();
        let batch = offline.next_batch(100, None).unwrap();
        assert_eq!((seqs(&batch.events), batch.torn_bytes), (vec![1, 2, 3, 4], (record - cut) as u64));
        let store = open(&dir);
        assert_eq!(store.append(&key, chunk(6..=6)).await, Err(ChunkError::Nack { expected: 5 }));
        store.append(&key, chunk(5..=6)).await.unwrap();
        assert_eq!(read_all(&store, &key).await, [1, 2, 3, 4, 5, 6]);
    }
    // A crash between creating a file and writing its header.
    std::fs::write(file.with_file_name(place::file_name(7)), b"RTSE").unwrap();
    let store = open(&dir);
    assert_eq!(store.append(&key, chunk(7..=7)).await.unwrap().written_seq, 7);
    assert_eq!(read_all(&store, &key).await, [1, 2, 3, 4, 5, 6, 7]);
}

#[tokio::test]
async fn damage_to_an_ended_attempt_never_gives_another_answer() {
    let dir = tempfile::tempdir().unwrap();
    let key = key("1");
    let store = SegmentStore::open(dir.path(), SegmentOptions { file_bytes_max: 150, ..SegmentOptions::default() }).unwrap();
    for seq in 1..=12 {
        store.append(&key, chunk(seq..=seq)).await.unwrap();
    }
    store.finish(&key).await.unwrap();
    drop(store);
    let mut paths = files(&dir, &key);
    assert!(paths.len() > 2);
    paths.push(paths[0].with_file_name(place::END_NAME));
    for path in &paths {
        let good = std::fs::read(path).unwrap();
        for at in 0..good.len() {
            for cut in [false, true] {
                let mut bad = good.clone();
                if cut {
                    bad.truncate(at);
                } else {
                    bad[at] ^= 1 << (at % 8);
                }
                std::fs::write(path, &bad).unwrap();
                let read = Cursor::open(dir.path(), &key, 1).and_then(|mut cursor| cursor.next_batch(100, None));
                assert!(matches!(read, Err(EventsError::Corrupt { .. })), "{} at {at}, cut: {cut}: {read:?}", path.display());
            }
        }
        std::fs::write(path, &good).unwrap();
    }
    let store = open(&dir);
    assert_eq!(read_all(&store, &key).await.len(), 12);
}

#[tokio::test]
async fn damage_within_a_live_attempt_is_reported_and_the_bytes_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let key = key("1");
    let store = open(&dir);
    store.append(&key, chunk(1..=9)).await.unwrap();
    let file = files(&dir, &key).remove(0);
    let mut bytes = std::fs::read(&file).unwrap();
    let third = frame::HEADER_BYTES + 2 * (frame::RECORD_OVERHEAD_BYTES + event(1).len());
    bytes[third + 20] ^= 4;
    std::fs::write(&file, &bytes).unwrap();
    let error = store.read(&key, 1, 100).await.unwrap_err();
    assert!(matches!(error, EventsError::Corrupt { seq: 3, .. }), "{error}");
    drop(store);
    let error = Cursor::open(dir.path(), &key, 1).unwrap().next_batch(100, None).unwrap_err();
    assert!(matches!(error, EventsError::Corrupt { seq: 3, .. }), "{error}");
    let store = open(&dir);
    assert_eq!(store.append(&key, chunk(10..=10)).await, Err(ChunkError::Nack { expected: 3 }), "the worker sends them again");
    assert_eq!(std::fs::read(file.with_extension("damaged")).unwrap(), bytes[third..]);
}

#[tokio::test]
async fn a_store_that_cannot_write_says_so_for_good() {
    let dir = tempfile::tempdir().unwrap();
    let store = SegmentStore::open(dir.path(), SegmentOptions { file_bytes_max: 1, ..SegmentOptions::default() }).unwrap();
    let (one, two) = (key("1"), key("2"));
    store.append(&one, chunk(1..=1)).await.unwrap();
    store.flush(&one).await.unwrap();
    // A directory where the next file should be.
    std::fs::create_dir(dir.path().join(place::relative_dir(&one)).join(place::file_name(2))).unwrap();
    let error = store.append(&one, chunk(2..=2)).await.unwrap_err();
    assert!(matches!(error, ChunkError::Io { .. }), "{error}");
    assert_eq!(store.append(&two, chunk(1..=1)).await, Err(error), "the first failure is everyone's: the process must stop");
    assert_eq!(Cursor::open(dir.path(), &one, 1).unwrap().next_batch(1, Some(1)).unwrap().events.len(), 1);
}

#[tokio::test]
async fn a_forgotten_run_leaves_nothing_and_others_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let (gone, stays) = (key("1"), AttemptKey { run: "spec-zz99zz".into(), ..key("1") });
    for key in [&gone, &stays] {
        store.append(key, chunk(1..=3)).await.unwrap();
        store.finish(key).await.unwrap();
    }
    let forgotten = async {
        while !store.forget(&gone.run).await.unwrap() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), forgotten).await.expect("nothing of it is being written");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left of it");
    assert_eq!((read_all(&store, &gone).await, read_all(&store, &stays).await), (vec![], vec![1, 2, 3]));
    assert!(store.forget(&"never-ab12cd".into()).await.unwrap(), "nothing to forget is fine");
    // What a crash left half removed goes at the next start.
    std::fs::create_dir_all(dir.path().join(".removed-0-spec-old/1/1")).unwrap();
    store.clear_aside().await.unwrap();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_run_that_is_still_written_is_not_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    // Nothing is synced by itself for a long time.
    let store = SegmentStore::open(dir.path(), SegmentOptions { sync_ms: 600_000, ..SegmentOptions::default() }).unwrap();
    let key = key("1");
    store.append(&key, chunk(1..=1)).await.unwrap();
    assert!(!store.forget(&key.run).await.unwrap());
    assert_eq!(read_all(&store, &key).await, [1]);
}
