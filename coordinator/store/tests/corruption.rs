//! Random damage to copies of a live store, to segments of agent events and to the audit log: it must be refused, or change nothing. Never a different answer.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use roundtable_shared::{AttemptKey, AttemptNo};
use roundtable_store::log::SqliteOptions;
use roundtable_store::segment::attempt_dir;
use roundtable_store::{
    AuditError, AuditLog, AuditOptions, AuditReader, Chunk, Cursor, Incarnation, Log, LogReader, NewRow, Row, SegmentOptions, SegmentStore,
    SqliteLog, SqliteReader, verify,
};

/// How much is damaged; `ROUNDTABLE_TEST_ROUNDS` asks for more.
const ROUNDS: u64 = 1_200;
/// A look at all there is takes milliseconds, so that more than this would take minutes.
const VERIFIED_ROUNDS_MAX: u64 = 2_000;
const FILES: [&str; 3] = ["store.db", "store.db-wal", "store.db-head"];

/// SplitMix64: enough randomness for choosing bytes, and the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

fn new_row(n: u64) -> NewRow {
    let run = (!n.is_multiple_of(3)).then(|| format!("spec-{}", n % 3));
    NewRow {
        at_ms: 1_700_000_000_000 + n,
        run,
        kind: "unit_started".to_owned(),
        v: 1,
        body: format!("{{\"unit\":\"{n}\",\"attempt\":{}}}", n % 7),
    }
}

/// A store half of whose rows are in the file and half in the write-ahead log, as a kill would leave it.
async fn store_files() -> (Vec<Vec<u8>>, Vec<Row>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let mut seq = 0;
    let mut log = SqliteLog::open(&path, SqliteOptions::default()).unwrap();
    for count in [1, 60, 3, 70, 20, 40, 6] {
        if seq > 100 && seq < 140 {
            drop(log);
            log = SqliteLog::open(&path, SqliteOptions::default()).unwrap();
        }
        seq = log.append(seq, (seq + 1..=seq + count).map(new_row).collect()).await.unwrap().last_seq;
    }
    assert!(std::fs::metadata(&path).unwrap().len() > 16 << 10, "the first half was not folded into the file");
    let files = FILES.map(|name| std::fs::read(dir.path().join(name)).unwrap()).to_vec();
    (files, log.read(1, usize::MAX).await.unwrap())
}

/// What the damaged store answers to one who reads it all; `None` if it refuses.
async fn answer(dir: &Path, as_writer: bool) -> Option<Vec<Row>> {
    let path = dir.join("store.db");
    let log: Box<dyn LogReader> = match as_writer {
        true => Box::new(SqliteLog::open(&path, SqliteOptions::default()).ok()?),
        false => Box::new(SqliteReader::open(&path).ok()?),
    };
    let rows = log.read(1, usize::MAX).await.ok()?;
    (log.head().await.ok()?.seq == rows.len() as u64).then_some(rows)
}

fn rounds() -> u64 {
    std::env::var("ROUNDTABLE_TEST_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().unwrap())
}

#[tokio::test]
async fn random_damage_is_refused_or_harmless() {
    let rounds = rounds();
    let (files, rows) = store_files().await;
    assert!(files.iter().all(|bytes| bytes.len() > 500), "each file has something to damage");
    let mut random = Random(20_260_101);
    let (mut refused, mut harmless) = (0, 0);
    let dir = tempfile::tempdir().unwrap();
    for round in 0..rounds {
        let mut copies = files.clone();
        let file = [0, 0, 0, 0, 1, 1, 1, 1, 1, 2][random.below(10)];
        let at = random.below(copies[file].len());
        let what = if random.below(10) == 0 {
            copies[file].truncate(at);
            format!("{} cut at {at}", FILES[file])
        } else {
            let mask = 1 + random.below(255) as u8;
            copies[file][at] ^= mask;
            format!("{} byte {at} ^ {mask:#04x}", FILES[file])
        };
        let _ = std::fs::remove_file(dir.path().join("store.db-shm"));
        FILES.iter().zip(&copies).for_each(|(name, bytes)| std::fs::write(dir.path().join(name), bytes).unwrap());
        match answer(dir.path(), round % 8 == 0).await {
            None => refused += 1,
            Some(found) => {
                assert!(found == rows, "round {round}: {what}: {} rows of {}, not the ones acknowledged", found.len(), rows.len());
                harmless += 1;
            }
        }
    }
    println!("{refused} refused, {harmless} harmless");
    assert!(refused > rounds / 3, "only {refused} of {rounds} refused: the damage does not reach the rows");
    assert!(harmless > 0, "an undamaged answer is never given: the test refuses everything");
}

/// Something happens to a file; `None`: it is gone. In words, too.
fn damaged(random: &mut Random, bytes: &[u8]) -> (Option<Vec<u8>>, String) {
    let mut copy = bytes.to_vec();
    let at = random.below(copy.len());
    match random.below(20) {
        0 => (None, "gone".to_owned()),
        1..=4 => {
            copy.truncate(at);
            (Some(copy), format!("cut at {at}"))
        }
        5..=7 => {
            let length = (1 + random.below(48)).min(copy.len() - at);
            copy[at..at + length].fill(0);
            (Some(copy), format!("{length} bytes of nothing at {at}"))
        }
        8 => {
            copy.extend_from_within(at..);
            (Some(copy), format!("its end from {at} on twice"))
        }
        _ => {
            let mask = 1 + random.below(255) as u8;
            copy[at] ^= mask;
            (Some(copy), format!("byte {at} ^ {mask:#04x}"))
        }
    }
}

/// All files below a folder, with what is in them.
fn files_below(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
            match entry.file_type().unwrap().is_dir() {
                true => open.push(entry.path()),
                false => drop(found.insert(entry.path(), fs::read(entry.path()).unwrap())),
            }
        }
    }
    found
}

fn put(path: &Path, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => fs::write(path, bytes).unwrap(),
        None => fs::remove_file(path).unwrap(),
    }
}

/// Attempts with as many events as their numbers, in many small files; of each other one the end is marked.
async fn events_of_attempts(root: &Path) -> Vec<(AttemptKey, u64)> {
    let options = SegmentOptions { file_bytes_max: 300, sync_ms: 5, ..SegmentOptions::default() };
    let store = SegmentStore::open(root, options).unwrap();
    let mut attempts = Vec::new();
    for (n, count) in [1_u64, 7, 12, 30, 31].into_iter().enumerate() {
        let attempt = AttemptNo(u32::try_from(n).unwrap() + 1);
        let key = AttemptKey { run: "spec-ab12cd".into(), unit: (n != 2).then(|| "1".into()), attempt };
        for seq in 1..=count {
            let event = format!("{{\"seq\":{seq},\"of\":{n},\"text\":\"{}\"}}", "x".repeat((seq as usize * 7) % 40)).into_bytes();
            store.append(&key, Chunk { first_seq: seq, events: vec![event] }).await.unwrap();
        }
        store.flush(&key).await.unwrap();
        if n % 2 == 0 {
            store.finish(&key).await.unwrap();
        }
        attempts.push((key, count));
    }
    attempts
}

/// An attempt's events as a reader gets them; `None` if it is told that they are damaged.
fn events(root: &Path, key: &AttemptKey) -> Option<Vec<Vec<u8>>> {
    let mut cursor = Cursor::open(root, key, 1).ok()?;
    let mut all = Vec::new();
    loop {
        let batch = cursor.next_batch(7, None).ok()?;
        if batch.events.is_empty() {
            return Some(all);
        }
        all.extend(batch.events.into_iter().map(|event| event.bytes));
    }
}

/// What a reader gets may be short where the end was cut; then `verify`, which knows how many there were, says so. It is never anything else.
#[tokio::test]
async fn random_damage_to_segments_is_noticed_and_costs_no_other_attempt() {
    let home = tempfile::tempdir().unwrap();
    let (store, root) = (home.path().join("store.db"), home.path().join("segments"));
    SqliteLog::open(&store, SqliteOptions::default()).unwrap().append(0, vec![new_row(1)]).await.unwrap();
    let attempts = events_of_attempts(&root).await;
    let good: Vec<Vec<Vec<u8>>> = attempts.iter().map(|(key, _)| events(&root, key).unwrap()).collect();
    assert!(attempts.iter().zip(&good).all(|((_, count), events)| events.len() as u64 == *count));
    let files: Vec<(PathBuf, Vec<u8>)> = files_below(&root).into_iter().filter(|(_, bytes)| !bytes.is_empty()).collect();
    assert!(files.len() > 20, "{} files", files.len());
    let mut random = Random(20_261_130);
    let (mut noticed, mut harmless) = (0, 0);
    let rounds = rounds().min(VERIFIED_ROUNDS_MAX);
    for round in 0..rounds {
        let (path, bytes) = &files[random.below(files.len())];
        let (bad, what) = damaged(&mut random, bytes);
        let told = format!("round {round}: {}: {what}", path.display());
        put(path, bad.as_deref());
        let report = verify(&store, &root).await.unwrap();
        for ((key, count), good) in attempts.iter().zip(&good) {
            let is_hit = path.starts_with(root.join(attempt_dir(key)));
            let is_told = report.events_of(key) < *count || (is_hit && !report.is_good());
            let read = events(&root, key);
            if let Some(read) = &read {
                assert!(good.starts_with(read), "{told}: {key}: other events than those that were kept");
            }
            let is_whole = read.as_ref() == Some(good);
            assert!(is_whole || is_told, "{told}: {key}: {:?} of {count} events, and nobody is told", read.map(|read| read.len()));
            assert!(is_hit || (is_whole && !is_told), "{told}: {key} pays for another");
            noticed += usize::from(is_hit && is_told);
            harmless += usize::from(is_hit && !is_told);
        }
        put(path, Some(bytes));
    }
    println!("{noticed} noticed, {harmless} harmless");
    assert!(noticed as u64 > rounds / 2, "only {noticed} were noticed: the damage does not reach the events");
    assert!(verify(&store, &root).await.unwrap().is_good(), "the undamaged ones are good");
}

fn rows(dir: &Path) -> Result<Vec<Row>, AuditError> {
    let mut reader = AuditReader::open(dir);
    let mut all = Vec::new();
    loop {
        let batch = reader.next_batch(5)?;
        if batch.is_empty() {
            return Ok(all);
        }
        all.extend(batch);
    }
}

/// A row is never another, and none is missing between others or at the end. The oldest file may be gone: they go by themselves.
#[tokio::test]
async fn random_damage_to_the_audit_log_is_noticed() {
    let home = tempfile::tempdir().unwrap();
    let log = AuditLog::open(home.path(), AuditOptions { file_bytes_max: 900, files_max: 99 }, Incarnation([7; 16])).unwrap();
    for n in 0..40 {
        log.append(vec![new_row(n)]).await.unwrap();
    }
    drop(log);
    let good = rows(home.path()).unwrap();
    let files: Vec<(PathBuf, Vec<u8>)> = files_below(home.path()).into_iter().collect();
    assert!(good.len() == 40 && files.len() > 5, "{} files", files.len());
    let oldest = files.iter().map(|(path, _)| path).find(|path| path.extension().is_some_and(|ext| ext == "jsonl")).unwrap();
    let mut random = Random(20_261_131);
    let mut noticed = 0;
    for round in 0..rounds() {
        let (path, bytes) = &files[random.below(files.len())];
        let (bad, what) = damaged(&mut random, bytes);
        let told = format!("round {round}: {}: {what}", path.display());
        put(path, bad.as_deref());
        match rows(home.path()) {
            Err(_) => noticed += 1,
            Ok(found) => {
                let is_same = found == good || bad.as_ref() == Some(bytes);
                let is_late = path == oldest && bad.is_none() && good.ends_with(&found);
                assert!(is_same || is_late, "{told}: {} rows, not those that were recorded", found.len());
            }
        }
        put(path, Some(bytes));
    }
    println!("{noticed} noticed");
    assert!(noticed > rounds() / 2, "only {noticed} were noticed: the damage does not reach the rows");
    assert_eq!(rows(home.path()).unwrap(), good);
}
