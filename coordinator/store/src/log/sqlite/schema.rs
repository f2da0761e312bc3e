//! Tables, their version and the store's identity: recognising a store, creating and upgrading it, beginning an epoch.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::failure::Failure;
use super::{Opened, query};
use crate::log::error::Corruption;
use crate::log::row::{Head, Incarnation};
use crate::log::witness;

/// `PRAGMA application_id` of our files: "Rtbl".
const APPLICATION_ID: i64 = 0x5274_626c;
/// The write-ahead log is cut back to this size when it is reused.
const WAL_KEPT_BYTES: i64 = 16 << 20;
/// How long SQLite waits for a lock held by another connection (a reader that recovers the index, a second opener).
const BUSY_MS: u64 = 5_000;

/// Steps from an empty file to the newest schema, in order. Never change one that was released: append.
const MIGRATIONS: [(&str, &str); 1] = [(
    "log",
    "CREATE TABLE store (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        incarnation BLOB NOT NULL,
        epoch INTEGER NOT NULL,
        hash BLOB NOT NULL
     ) STRICT;
     CREATE TABLE log (
        seq INTEGER PRIMARY KEY,
        epoch INTEGER NOT NULL,
        at_ms INTEGER NOT NULL,
        run TEXT,
        kind TEXT NOT NULL,
        v INTEGER NOT NULL,
        body TEXT NOT NULL,
        hash BLOB NOT NULL
     ) STRICT;",
)];
const KNOWN: u32 = MIGRATIONS.len() as u32;

/// Settings every connection needs.
pub(super) fn configure(conn: &Connection) -> Result<(), Failure> {
    conn.busy_timeout(std::time::Duration::from_millis(BUSY_MS))?;
    conn.pragma_update(None, "trusted_schema", false)?;
    conn.pragma_update(None, "cell_size_check", true)?;
    conn.pragma_update(None, "mmap_size", 0)?;
    Ok(())
}

/// Settings of the one writing connection: a commit is on the disk when it returns, and the writer itself says when to checkpoint, because SQLite
/// would not report a checkpoint that failed after a commit.
pub(super) fn configure_writer(conn: &Connection, bytes_max: Option<u64>) -> Result<(), Failure> {
    let mode: String = conn.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    if mode != "wal" {
        return Err(Failure::Io(format!("its file system does not support a write-ahead log (journal mode is {mode}); use a local disk")));
    }
    conn.pragma_update(None, "synchronous", "full")?;
    conn.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))?;
    conn.pragma_update_and_check(None, "journal_size_limit", WAL_KEPT_BYTES, |_| Ok(()))?;
    if let Some(bytes) = bytes_max {
        let page: u64 = conn.query_row("PRAGMA page_size", [], |row| row.get::<_, i64>(0))?.unsigned_abs().max(512);
        let pages = i64::try_from(bytes / page).unwrap_or(i64::MAX).max(1);
        conn.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
    }
    Ok(())
}

/// Whose file it is: ours, or still empty; anything else is refused.
pub(super) fn recognise(conn: &Connection) -> Result<Contents, Failure> {
    let id: i64 = conn.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match (id, tables) {
        (0, 0) => Ok(Contents::Empty),
        (APPLICATION_ID, _) => Ok(Contents::Ours),
        _ => Err(Failure::NotAStore),
    }
}

/// What a file holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Contents {
    /// Nothing yet.
    Empty,
    /// A store.
    Ours,
}

/// Brings the schema up to date, checks identity, head and witness, and takes the next epoch; all in one transaction.
pub(super) fn begin_epoch(conn: &mut Connection, witnessed: Option<(Incarnation, Head)>) -> Result<Opened, Failure> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if recognise(&tx)? == Contents::Empty {
        tx.pragma_update(None, "application_id", APPLICATION_ID)?;
        tx.execute_batch("CREATE TABLE schema_version (version INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT")?;
    }
    migrate(&tx)?;
    let (incarnation, epoch_before) = match identity(&tx)? {
        Some(identity) => identity,
        None => (mint(&tx)?, 0),
    };
    let head = query::verified_head(&tx, incarnation)?;
    witness::check(witnessed, incarnation, head.head, |seq| query::hash_at(&tx, seq).map_err(as_corruption))?;
    let epoch = epoch_before.max(head.epoch) + 1;
    write_identity(&tx, incarnation, epoch)?;
    tx.commit()?;
    Ok(Opened { incarnation, epoch, head: head.head })
}

/// What a reader checks before it believes a file. Returns the store's identity.
pub(super) fn check_readable(conn: &Connection, witnessed: Option<(Incarnation, Head)>) -> Result<Incarnation, Failure> {
    if recognise(conn)? == Contents::Empty {
        return Err(Failure::Missing);
    }
    let found = version(conn)?;
    if found < KNOWN {
        return Err(Failure::Older { found, known: KNOWN });
    }
    let (incarnation, _) = identity(conn)?.ok_or_else(|| Corruption::store("the store has lost its identity"))?;
    let head = query::verified_head(conn, incarnation)?;
    witness::check(witnessed, incarnation, head.head, |seq| query::hash_at(conn, seq).map_err(as_corruption))?;
    Ok(incarnation)
}

/// The store's incarnation and current epoch; `None` in a file that has none yet.
pub(super) fn identity(conn: &Connection) -> Result<Option<(Incarnation, u64)>, Failure> {
    let stored = conn
        .prepare_cached("SELECT incarnation, epoch, hash FROM store WHERE id = 1")?
        .query_row([], |row| Ok((row.get::<_, [u8; 16]>(0)?, row.get::<_, i64>(1)?, row.get::<_, [u8; 32]>(2)?)))
        .optional()?;
    let Some((incarnation, epoch, hash)) = stored else { return Ok(None) };
    let incarnation = Incarnation(incarnation);
    let epoch = u64::try_from(epoch).map_err(|_| Corruption::store("the store's epoch is negative"))?;
    if hash != identity_hash(incarnation, epoch) {
        return Err(Corruption::store("the store's identity does not match its hash").into());
    }
    Ok(Some((incarnation, epoch)))
}

/// Applies the migrations that are missing; refuses a store that has more than we know.
fn migrate(conn: &Connection) -> Result<(), Failure> {
    let found = version(conn)?;
    for (index, (name, sql)) in MIGRATIONS.iter().enumerate().skip(found as usize) {
        conn.execute_batch(sql)?;
        conn.execute("INSERT INTO schema_version (version, name) VALUES (?1, ?2)", params![index as i64 + 1, name])?;
    }
    Ok(())
}

/// How many migrations the store has had.
fn version(conn: &Connection) -> Result<u32, Failure> {
    let (count, max): (u32, Option<u32>) =
        conn.query_row("SELECT count(*), max(version) FROM schema_version", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let found = max.unwrap_or(0);
    if found > KNOWN {
        return Err(Failure::Newer { found, known: KNOWN });
    }
    if count != found {
        return Err(Corruption::store(format!("schema version {found}, but {count} steps to it are recorded")).into());
    }
    Ok(found)
}

fn mint(conn: &Connection) -> Result<Incarnation, Failure> {
    let rows: i64 = conn.query_row("SELECT count(*) FROM (SELECT 1 FROM log LIMIT 1)", [], |row| row.get(0))?;
    if rows != 0 {
        return Err(Corruption::store("the store has lost its identity").into());
    }
    Ok(Incarnation(conn.query_row("SELECT randomblob(16)", [], |row| row.get(0))?))
}

fn write_identity(conn: &Connection, incarnation: Incarnation, epoch: u64) -> Result<(), Failure> {
    let stored = i64::try_from(epoch).map_err(|_| Corruption::store("the store's epoch is out of range"))?;
    conn.execute(
        "INSERT OR REPLACE INTO store (id, incarnation, epoch, hash) VALUES (1, ?1, ?2, ?3)",
        params![incarnation.0, stored, identity_hash(incarnation, epoch)],
    )?;
    Ok(())
}

fn identity_hash(incarnation: Incarnation, epoch: u64) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"roundtable store 1\0").update(&incarnation.0).update(&epoch.to_le_bytes());
    hasher.finalize().into()
}

fn as_corruption(failure: Failure) -> Corruption {
    match failure {
        Failure::Corrupt(corruption) => corruption,
        other => Corruption::store(format!("{other:?}")),
    }
}
