//! Failing system calls under an unmodified log: killed at a sync, sync refused, disk full. Needs `strace`; `.ci/run test` sees to it.
//!
//! The test runs itself as the victim: [`victim`] appends and prints what was acknowledged; the others look at what it left.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;
use std::process::{Command, Stdio};

use roundtable_store::log::SqliteOptions;
use roundtable_store::{AppendError, Log, LogReader, NewRow, Row, SqliteLog};

const DIR_VARIABLE: &str = "ROUNDTABLE_TEST_CRASH_DIR";
const APPENDS: u64 = 12;

/// Not a test of its own: appends row after row, telling on stdout what was acknowledged and what was refused.
#[tokio::test]
#[ignore = "run by the other tests of this file"]
async fn victim() {
    let Some(dir) = std::env::var_os(DIR_VARIABLE) else { return };
    let log = match SqliteLog::open(&Path::new(&dir).join("store.db"), SqliteOptions::default()) {
        Ok(log) => log,
        Err(error) => return println!("\nopen failed: {error}"),
    };
    let mut head = log.head().await.unwrap().seq;
    for n in 1..=APPENDS {
        let rows = (0..n).map(|i| NewRow { at_ms: i, run: None, kind: "k".to_owned(), v: 1, body: "x".repeat(900) }).collect();
        match log.append(head, rows).await {
            Ok(appended) => {
                head = appended.last_seq;
                println!("\nacked {} {}", appended.last_seq, appended.head_hash);
            }
            Err(AppendError::Full) => println!("\nfull"),
            Err(error) => println!("\n{} {error}", if error.is_fatal() { "fatal" } else { "other" }),
        }
    }
}

struct Victim {
    acked: Vec<(u64, String)>,
    lines: Vec<String>,
    killed: bool,
}

/// Runs the victim in `dir` with one `strace` injection.
fn run_victim(dir: &Path, inject: &str) -> Victim {
    let output = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync,pwrite64", "-e"])
        .arg(format!("inject={inject}"))
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "victim", "--ignored", "--nocapture", "--test-threads=1"])
        .env(DIR_VARIABLE, dir)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let lines: Vec<String> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    let acked = lines.iter().filter_map(|line| line.strip_prefix("acked ")?.split_once(' '));
    let acked = acked.map(|(seq, hash)| (seq.parse().unwrap(), hash.to_owned())).collect();
    Victim { acked, lines, killed: !output.status.success() }
}

/// Opens what the victim left and checks that everything it acknowledged is there; then that the log goes on.
async fn survivors(dir: &Path, victim: &Victim) -> Vec<Row> {
    let log = SqliteLog::open(&dir.join("store.db"), SqliteOptions::default()).unwrap();
    let rows = log.read(1, usize::MAX).await.unwrap();
    for (seq, hash) in &victim.acked {
        let row = rows.get(*seq as usize - 1).unwrap_or_else(|| panic!("row {seq} was acknowledged and is gone"));
        assert_eq!((row.seq, &row.hash.to_string()), (*seq, hash));
    }
    let next = NewRow { at_ms: 0, run: None, kind: "k".to_owned(), v: 1, body: String::new() };
    log.append(rows.len() as u64, vec![next]).await.unwrap();
    rows
}

fn needs_strace() {
    let traced = Command::new("strace").args(["-f", "-qq", "-o", "/dev/null", "true"]).stdin(Stdio::null()).stderr(Stdio::null()).status();
    assert!(traced.is_ok_and(|status| status.success()), "this test needs strace, and leave to trace");
}

/// Whether the batches were kept whole: batch n has n rows.
fn is_between_batches(rows: usize) -> bool {
    (0..=APPENDS as usize).any(|n| n * (n + 1) / 2 == rows)
}

/// Which call is hit: some, or (with `ROUNDTABLE_TEST_ROUNDS`, as slow suites set it) every one the victim makes.
fn points() -> Vec<u32> {
    match std::env::var_os("ROUNDTABLE_TEST_ROUNDS") {
        Some(_) => (1..=120).collect(),
        None => vec![1, 2, 3, 4, 5, 6, 8, 11, 14, 17, 23, 31],
    }
}

#[tokio::test]
#[ignore = "needs strace: .ci/run test runs it"]
async fn killed_at_any_sync_or_write_nothing_acknowledged_is_lost() {
    needs_strace();
    let mut kills = 0;
    let mut most_acked = 0;
    for call in ["fsync,fdatasync", "pwrite64"] {
        for nth in points() {
            let dir = tempfile::tempdir().unwrap();
            let victim = run_victim(dir.path(), &format!("{call}:signal=SIGKILL:when={nth}"));
            let rows = survivors(dir.path(), &victim).await;
            assert!(is_between_batches(rows.len()), "{call} {nth}: {} rows are part of a batch", rows.len());
            kills += usize::from(victim.killed);
            most_acked = most_acked.max(victim.acked.len());
        }
    }
    assert!(kills >= 10 && most_acked >= 5, "{kills} kills after at most {most_acked} acknowledgements: the injection misses the log");
}

#[tokio::test]
#[ignore = "needs strace: .ci/run test runs it"]
async fn a_refused_sync_is_fatal_and_never_retried() {
    needs_strace();
    let mut fatal = 0;
    for nth in 3..=12 {
        let dir = tempfile::tempdir().unwrap();
        // Only this one sync fails: one that was tried again would succeed, as it does after the kernel has dropped the pages.
        let victim = run_victim(dir.path(), &format!("fsync,fdatasync:error=EIO:when={nth}"));
        survivors(dir.path(), &victim).await;
        let answers: Vec<&String> = victim.lines.iter().filter(|line| line.starts_with("acked ") || line.starts_with("fatal ")).collect();
        let first_fatal = answers.iter().position(|line| line.starts_with("fatal ")).unwrap_or(answers.len());
        assert!(answers[first_fatal..].iter().all(|line| line.starts_with("fatal ")), "sync {nth}: {answers:?}");
        fatal += usize::from(first_fatal < answers.len());
    }
    assert!(fatal >= 5, "only {fatal} of 10 failing syncs were noticed by an append");
}

#[tokio::test]
#[ignore = "needs strace: .ci/run test runs it"]
async fn a_disk_that_fills_up_is_told_and_heals() {
    needs_strace();
    let dir = tempfile::tempdir().unwrap();
    // Created beforehand, so that opening it writes less than the first appends do.
    drop(SqliteLog::open(&dir.path().join("store.db"), SqliteOptions::default()).unwrap());
    let victim = run_victim(dir.path(), "pwrite64:error=ENOSPC:when=15..40");
    assert!(victim.lines.iter().any(|line| line == "full"), "{:?}", victim.lines);
    assert!(victim.lines.iter().any(|line| line.starts_with("acked ")), "{:?}", victim.lines);
    assert!(!victim.lines.iter().any(|line| line.starts_with("fatal ")), "{:?}", victim.lines);
    survivors(dir.path(), &victim).await;
}
