//! What only the SQLite log must show: whose files it opens, schema versions, readers beside a writer, a log cut short.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::{Path, PathBuf};

use roundtable_store::log::{SqliteOptions, copy_store};
use roundtable_store::{Log, LogReader, NewRow, OpenError, Row, SqliteLog, SqliteReader};
use rusqlite::Connection;

fn new_row(n: u64) -> NewRow {
    NewRow { at_ms: n, run: None, kind: "k".to_owned(), v: 1, body: format!("{{\"n\":{n}}}") }
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    (dir, path)
}

fn open(path: &Path) -> Result<SqliteLog, OpenError> {
    SqliteLog::open(path, SqliteOptions::default())
}

async fn filled(path: &Path, count: u64) -> Vec<Row> {
    let log = open(path).unwrap();
    log.append(0, (1..=count).map(new_row).collect()).await.unwrap();
    log.read(1, usize::MAX).await.unwrap()
}

#[tokio::test]
async fn a_reader_needs_no_writer_and_disturbs_none() {
    let (_dir, path) = place();
    assert_eq!(SqliteReader::open(&path).unwrap_err(), OpenError::Missing { path: path.clone() });
    let rows = filled(&path, 10).await;
    let offline = SqliteReader::open(&path).unwrap();
    assert_eq!(offline.read(1, 100).await.unwrap(), rows);

    let log = open(&path).unwrap();
    assert_eq!(offline.head().await.unwrap().seq, 10);
    log.append(10, vec![new_row(11)]).await.unwrap();
    assert_eq!(offline.head().await.unwrap().seq, 11, "a reader sees what was acknowledged since");
    let beside = SqliteReader::open(&path).unwrap();
    assert_eq!(beside.read(11, 1).await.unwrap().len(), 1);
    log.append(11, vec![new_row(12)]).await.unwrap();
}

#[tokio::test]
async fn a_store_that_is_gone_is_not_one_that_never_was() {
    let (_dir, path) = place();
    filled(&path, 10).await;
    std::fs::remove_file(&path).unwrap();
    let error = SqliteReader::open(&path).unwrap_err();
    assert!(matches!(error, OpenError::Corrupt { .. }) && error.to_string().contains("10 rows were acknowledged"), "{error}");
}

#[tokio::test]
async fn a_reader_recovers_what_a_killed_writer_left() {
    let (dir, path) = place();
    filled(&path, 10).await;
    let log = open(&path).unwrap();
    log.append(10, (11..=20).map(new_row).collect()).await.unwrap();
    // The files as a kill leaves them: the last rows are only in the write-ahead log, its index is stale or gone.
    let left = dir.path().join("left");
    std::fs::create_dir(&left).unwrap();
    for name in ["store.db", "store.db-wal", "store.db-head"] {
        std::fs::copy(dir.path().join(name), left.join(name)).unwrap();
    }
    let reader = SqliteReader::open(&left.join("store.db")).unwrap();
    assert_eq!(reader.head().await.unwrap().seq, 20);
}

#[tokio::test]
async fn a_newer_schema_and_foreign_files_are_refused_untouched() {
    let (dir, path) = place();
    filled(&path, 3).await;
    Connection::open(&path).unwrap().execute("INSERT INTO schema_version (version, name) VALUES (2, 'later')", []).unwrap();
    let newer = OpenError::Newer { found: 2, known: 1 };
    assert_eq!(open(&path).unwrap_err(), newer);
    assert_eq!(SqliteReader::open(&path).unwrap_err(), newer);

    let other = dir.path().join("other.db");
    Connection::open(&other).unwrap().execute_batch("CREATE TABLE theirs (a)").unwrap();
    let before = std::fs::read(&other).unwrap();
    assert_eq!(open(&other).unwrap_err(), OpenError::NotAStore { path: other.clone() });
    assert_eq!(std::fs::read(&other).unwrap(), before);

    let text = dir.path().join("notes.txt");
    std::fs::write(&text, "not a database, and longer than the hundred bytes of a header ".repeat(20)).unwrap();
    assert!(matches!(open(&text), Err(OpenError::Corrupt(_))));
}

#[tokio::test]
async fn rows_missing_at_the_end_are_noticed() {
    let (dir, path) = place();
    filled(&path, 10).await;
    Connection::open(&path).unwrap().execute("DELETE FROM log WHERE seq > 7", []).unwrap();
    for error in [open(&path).unwrap_err(), SqliteReader::open(&path).unwrap_err()] {
        let OpenError::Corrupt(corruption) = error else { panic!("{error}") };
        assert_eq!(corruption.seq, Some(8));
    }
    // Without its witness the log is a good log that ends at 7: as restored from an older copy.
    std::fs::remove_file(dir.path().join("store.db-head")).unwrap();
    assert_eq!(open(&path).unwrap().head().await.unwrap().seq, 7);
}

#[tokio::test]
async fn rows_missing_in_the_middle_are_noticed() {
    let (_dir, path) = place();
    filled(&path, 10).await;
    Connection::open(&path).unwrap().execute("DELETE FROM log WHERE seq = 4", []).unwrap();
    let log = open(&path).unwrap();
    for (from, bad) in [(1, 4), (4, 4), (5, 4)] {
        let Err(roundtable_store::ReadError::Corrupt(corruption)) = log.read(from, 100).await else { panic!("read from {from}") };
        assert_eq!(corruption.seq, Some(bad));
    }
    assert_eq!(log.read(6, 100).await.unwrap().len(), 5);
}

#[test]
fn the_store_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (dir, path) = place();
    let _log = open(&path).unwrap();
    for name in ["store.db", "store.db-wal", "store.db-head"] {
        let mode = std::fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name} has mode {mode:o}");
    }
}

#[tokio::test]
async fn the_write_ahead_log_is_kept_short() {
    let (dir, path) = place();
    let log = open(&path).unwrap();
    let body = "x".repeat(64 << 10);
    for n in 0..640 {
        log.append(n, vec![NewRow { body: body.clone(), ..new_row(n) }]).await.unwrap();
    }
    let wal = std::fs::metadata(dir.path().join("store.db-wal")).unwrap().len();
    assert!(wal < 16 << 20, "40 MiB of rows left a write-ahead log of {wal} bytes");
}

#[tokio::test]
async fn a_copy_is_the_log_of_one_moment_whoever_writes() {
    use std::os::unix::fs::PermissionsExt;
    let (dir, path) = place();
    let rows = filled(&path, 10).await;
    let log = open(&path).unwrap();
    log.append(10, vec![new_row(11)]).await.unwrap();
    let copy = dir.path().join("copy.db");
    let taken = copy_store(&path, &copy).unwrap();
    assert_eq!((taken.incarnation, taken.head.seq), (log.incarnation(), 11));
    log.append(11, vec![new_row(12)]).await.unwrap();
    let reader = SqliteReader::open(&copy).unwrap();
    assert_eq!(reader.read(1, 10).await.unwrap(), rows, "the same rows, the same chain");
    assert_eq!((reader.head().await.unwrap(), reader.incarnation()), (taken.head, log.incarnation()));
    assert_eq!(std::fs::metadata(&copy).unwrap().permissions().mode() & 0o077, 0);
    assert!(matches!(copy_store(&path, &copy), Err(OpenError::Io { .. })), "nothing is written over");
    assert!(matches!(copy_store(&dir.path().join("absent.db"), &dir.path().join("x.db")), Err(OpenError::Missing { .. })));
}

#[tokio::test]
async fn each_commit_of_rows_is_timed() {
    let (_dir, path) = place();
    let times = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let told = std::sync::Arc::clone(&times);
    let log =
        SqliteLog::open_timed(&path, SqliteOptions::default(), std::sync::Arc::new(move |took| told.lock().unwrap().push(took))).unwrap();
    for n in 0..3 {
        log.append(n, vec![new_row(n)]).await.unwrap();
    }
    log.append(3, Vec::new()).await.unwrap();
    let times = times.lock().unwrap();
    assert!(times.len() == 3 && times.iter().all(|took| !took.is_zero()), "{times:?}: what has no rows is no commit of rows");
}
