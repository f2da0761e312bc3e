//! Rows per second of the log and bytes per second of the segments, each as a ratio to what the disk gives a bare `write` and `fdatasync` in the same
//! run. `cargo bench -p roundtable-store`; figures of one machine say little, the ratios carry over.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use roundtable_shared::{AttemptKey, AttemptNo};
use roundtable_store::log::{LogFuture, SqliteOptions};
use roundtable_store::{Chunk, Log, LogReader, NewRow, SegmentOptions, SegmentStore, SqliteLog};

const ROW_BYTES: usize = 200;
const REPEATS: usize = 5;
const SLICE: Duration = Duration::from_millis(300);

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // Beside the build output, so on the disk and not in a memory file system.
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    println!("{:<28} {:>12} {:>12} {:>12} {:>7}", "log, rows of 200 B", "commits/s", "rows/s", "raw syncs/s", "ratio");
    for group in [1, 16, 64, 256] {
        let (store, raw) = runtime.block_on(measure_log(dir.path(), group));
        print_line(&format!("{group} a commit"), store, store * group as f64, raw);
    }
    let (rows, raw) = runtime.block_on(measure_in_flight(dir.path(), 64));
    print_line("1 an append, 64 in flight", rows / 64.0, rows, raw);
    runtime.block_on(measure_fold(dir.path()));
    let (stored, raw) = runtime.block_on(measure_segments(dir.path()));
    println!("segments: {:.0} MB/s durable, raw {:.0} MB/s, ratio {:.2}", stored / 1e6, raw / 1e6, stored / raw);
}

fn print_line(what: &str, commits: f64, rows: f64, raw: f64) {
    println!("{what:<28} {commits:>12.0} {rows:>12.0} {raw:>12.0} {:>7.2}", commits / raw);
}

/// Commits per second of the log and syncs per second of a bare file, for groups of the same bytes; medians of interleaved slices.
async fn measure_log(dir: &Path, group: usize) -> (f64, f64) {
    let log = SqliteLog::open(&dir.join(format!("log-{group}.db")), SqliteOptions::default()).unwrap();
    let mut file = File::create(dir.join(format!("raw-{group}"))).unwrap();
    let bytes = vec![b'x'; group * ROW_BYTES];
    let (mut store, mut raw) = (Vec::new(), Vec::new());
    for _ in 0..REPEATS {
        raw.push(rate(|| sync_once(&mut file, &bytes)));
        let mut head = log.head().await.unwrap().seq;
        let started = Instant::now();
        let mut commits = 0;
        while started.elapsed() < SLICE {
            head = log.append(head, rows(group)).await.unwrap().last_seq;
            commits += 1;
        }
        store.push(f64::from(commits) / started.elapsed().as_secs_f64());
    }
    (median(store), median(raw))
}

/// Rows per second when many appends of one row are queued at a time, as a busy driver would without batches of its own.
async fn measure_in_flight(dir: &Path, in_flight: u64) -> (f64, f64) {
    let log = SqliteLog::open(&dir.join("log-flight.db"), SqliteOptions::default()).unwrap();
    let mut file = File::create(dir.join("raw-flight")).unwrap();
    let (mut store, mut raw) = (Vec::new(), Vec::new());
    for _ in 0..REPEATS {
        raw.push(rate(|| sync_once(&mut file, &[b'x'; ROW_BYTES])));
        let mut head = log.head().await.unwrap().seq;
        let started = Instant::now();
        let mut count = 0_u32;
        while started.elapsed() < SLICE {
            let appends: Vec<_> = (0..in_flight).map(|n| log.append(head + n, rows(1))).collect();
            head = all(appends).await.into_iter().map(|done| done.unwrap().last_seq).max().unwrap();
            count += in_flight as u32;
        }
        store.push(f64::from(count) / started.elapsed().as_secs_f64());
    }
    (median(store), median(raw))
}

/// How fast a log is read back and checked, as a coordinator does when it starts.
async fn measure_fold(dir: &Path) {
    let log = SqliteLog::open(&dir.join("log-256.db"), SqliteOptions::default()).unwrap();
    let started = Instant::now();
    let mut count = 0;
    loop {
        let rows = log.read(count + 1, 4096).await.unwrap();
        if rows.is_empty() {
            break;
        }
        count += rows.len() as u64;
    }
    println!("fold: {count} rows read and checked, {:.0} rows/s", count as f64 / started.elapsed().as_secs_f64());
}

/// Bytes per second of events of 200 B made durable chunk by chunk with up to 4 MiB unacknowledged, and of bare writes of the same size.
async fn measure_segments(dir: &Path) -> (f64, f64) {
    const CHUNK_EVENTS: u64 = 1280;
    let store =
        SegmentStore::open(&dir.join("segments"), SegmentOptions { attempt_bytes_max: u64::MAX, ..SegmentOptions::default() }).unwrap();
    let key = AttemptKey { run: "bench".into(), unit: Some("1".into()), attempt: AttemptNo(1) };
    let events = || vec![vec![b'x'; ROW_BYTES]; CHUNK_EVENTS as usize];
    let chunk_bytes = CHUNK_EVENTS as f64 * ROW_BYTES as f64;
    let mut file = File::create(dir.join("raw-segments")).unwrap();
    let block = vec![b'x'; chunk_bytes as usize * 4];
    let (mut stored, mut raw) = (Vec::new(), Vec::new());
    let mut next = 1;
    for _ in 0..REPEATS {
        raw.push(rate(|| sync_once(&mut file, &block)) * block.len() as f64);
        let started = Instant::now();
        let mut chunks = 0;
        while started.elapsed() < SLICE {
            store.append(&key, Chunk { first_seq: next, events: events() }).await.unwrap();
            next += CHUNK_EVENTS;
            chunks += 1;
            store.durable(&key, next.saturating_sub(16 * CHUNK_EVENTS + 1)).await.unwrap();
        }
        store.flush(&key).await.unwrap();
        stored.push(f64::from(chunks) * chunk_bytes / started.elapsed().as_secs_f64());
    }
    (median(stored), median(raw))
}

fn rows(count: usize) -> Vec<NewRow> {
    let row = |n| NewRow {
        at_ms: n as u64,
        run: Some("spec-ab12cd".to_owned()),
        kind: "unit_started".to_owned(),
        v: 1,
        body: "x".repeat(ROW_BYTES),
    };
    (0..count).map(row).collect()
}

fn sync_once(file: &mut File, bytes: &[u8]) {
    file.write_all(bytes).unwrap();
    file.sync_data().unwrap();
}

/// How often a second `act` can be done.
fn rate(mut act: impl FnMut()) -> f64 {
    let started = Instant::now();
    let mut count = 0;
    while started.elapsed() < SLICE {
        act();
        count += 1;
    }
    f64::from(count) / started.elapsed().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Drives all futures together until each is done.
async fn all<T>(mut futures: Vec<LogFuture<'_, T>>) -> Vec<T> {
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
