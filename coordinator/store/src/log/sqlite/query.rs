//! The statements on the `log` table: reading rows through the chain, and inserting them.

use rusqlite::{Connection, OptionalExtension, params};

use super::failure::Failure;
use crate::log::READ_BYTES_MAX;
use crate::log::error::Corruption;
use crate::log::row::{Chain, Head, Incarnation, Row, RowHash};

/// The end of the log and the epoch of its last row (0 if there is none).
#[derive(Clone, Copy, Debug)]
pub(super) struct VerifiedHead {
    pub(super) head: Head,
    pub(super) epoch: u64,
}

/// The last row, checked against the one before it.
pub(super) fn verified_head(conn: &Connection, incarnation: Incarnation) -> Result<VerifiedHead, Failure> {
    let head = head(conn, incarnation)?;
    if head.seq == 0 {
        return Ok(VerifiedHead { head, epoch: 0 });
    }
    let last = read(conn, incarnation, head.seq, 1)?.pop().ok_or_else(|| Corruption::row(head.seq, "missing"))?;
    Ok(VerifiedHead { head, epoch: last.epoch })
}

/// The end of the log, unchecked: for the writer, which wrote it.
pub(super) fn head(conn: &Connection, incarnation: Incarnation) -> Result<Head, Failure> {
    let last = conn
        .prepare_cached("SELECT seq, hash FROM log ORDER BY seq DESC LIMIT 1")?
        .query_row([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, [u8; 32]>(1)?)))
        .optional()?;
    match last {
        None => Ok(Head { seq: 0, hash: incarnation.genesis() }),
        Some((seq, hash)) => Ok(Head { seq: unsigned(seq)?, hash: RowHash(hash) }),
    }
}

/// The stored hash of a row, if it is there.
pub(super) fn hash_at(conn: &Connection, seq: u64) -> Result<Option<RowHash>, Failure> {
    let Ok(seq) = i64::try_from(seq) else { return Ok(None) };
    let hash: Option<[u8; 32]> =
        conn.prepare_cached("SELECT hash FROM log WHERE seq = ?1")?.query_row([seq], |row| row.get(0)).optional()?;
    Ok(hash.map(RowHash))
}

/// Rows from `from_seq` on, each checked; the caller holds a transaction if another connection may write meanwhile.
pub(super) fn read(conn: &Connection, incarnation: Incarnation, from_seq: u64, limit: usize) -> Result<Vec<Row>, Failure> {
    let from_seq = from_seq.max(1);
    let (Ok(from), limit) = (i64::try_from(from_seq), i64::try_from(limit).unwrap_or(i64::MAX)) else { return Ok(Vec::new()) };
    let before = match from_seq - 1 {
        0 => Some(incarnation.genesis()),
        seq => hash_at(conn, seq).map_err(|failure| failure.at_row(seq))?,
    };
    let mut statement = conn
        .prepare_cached("SELECT seq, epoch, at_ms, run, kind, v, body, hash FROM log WHERE seq >= ?1 ORDER BY seq LIMIT ?2")
        .map_err(|error| Failure::from(error).at_row(from_seq))?;
    let mut stored = statement.query(params![from, limit]).map_err(|error| Failure::from(error).at_row(from_seq))?;
    let mut chain = before.map(|hash| Chain::after(Head { seq: from_seq - 1, hash }));
    let mut rows = Vec::new();
    let mut bytes = 0;
    loop {
        let seq = from_seq + rows.len() as u64;
        let Some(row) = next_row(&mut stored).map_err(|failure| failure.at_row(seq))? else { return Ok(rows) };
        // A row can only be judged by the hash before it; when that row is missing, it is the bad one.
        let chain = chain.as_mut().ok_or_else(|| Corruption::row(from_seq - 1, "missing"))?;
        chain.check(&row)?;
        bytes += row.body.len();
        rows.push(row);
        if bytes > READ_BYTES_MAX {
            return Ok(rows);
        }
    }
}

/// Inserts a row of ours.
pub(super) fn insert(conn: &Connection, row: &Row) -> Result<(), Failure> {
    let (seq, epoch, at_ms) = (signed(row.seq)?, signed(row.epoch)?, signed(row.at_ms)?);
    conn.prepare_cached("INSERT INTO log (seq, epoch, at_ms, run, kind, v, body, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?
        .execute(params![seq, epoch, at_ms, row.run, row.kind, i64::from(row.v), row.body, row.hash.0])?;
    Ok(())
}

fn next_row(stored: &mut rusqlite::Rows<'_>) -> Result<Option<Row>, Failure> {
    let Some(row) = stored.next()? else { return Ok(None) };
    Ok(Some(Row {
        seq: unsigned(row.get(0)?)?,
        epoch: unsigned(row.get(1)?)?,
        at_ms: unsigned(row.get(2)?)?,
        run: row.get(3)?,
        kind: row.get(4)?,
        v: row.get(5)?,
        body: row.get(6)?,
        hash: RowHash(row.get(7)?),
    }))
}

fn unsigned(value: i64) -> Result<u64, Failure> {
    u64::try_from(value).map_err(|_| Corruption::store(format!("negative number {value}")).into())
}

fn signed(value: u64) -> Result<i64, Failure> {
    i64::try_from(value).map_err(|_| Failure::Io(format!("number {value} is out of range")))
}
