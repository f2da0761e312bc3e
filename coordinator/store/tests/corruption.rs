//! Random damage to copies of a live store: it must be refused, or change nothing. Never a different answer.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;

use roundtable_store::log::SqliteOptions;
use roundtable_store::{Log, LogReader, NewRow, Row, SqliteLog, SqliteReader};

/// How much is damaged; `ROUNDTABLE_TEST_ROUNDS` asks for more.
const ROUNDS: u64 = 1_200;
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

#[tokio::test]
async fn random_damage_is_refused_or_harmless() {
    let rounds = std::env::var("ROUNDTABLE_TEST_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().unwrap());
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
