//! The log as state: the latest snapshot that is good and the rows after it, else all rows. Starts, looks at a data directory that nobody serves and `verify`
//! fold by this, and by nothing else.

use roundtable_core::Core;
use roundtable_store::snapshot::SnapshotError;
use roundtable_store::{LogReader, ReadError, Row, Snapshots};
use tracing::{debug, warn};

use super::codec::{CodecError, decode_row};
use super::state::{codec, decode_state};

/// Rows read at once while folding.
const FOLD_ROWS: usize = 10_000;

/// Why a log cannot be folded.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A row cannot be understood.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// What a log comes to.
#[derive(Debug, Default)]
pub struct Folded {
    /// Its state, and a fleet of which nothing is known.
    pub core: Core,
    /// The last row that is in it.
    pub head: u64,
    /// Rows that were read for it, those in the snapshot it rests on left out.
    pub rows: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
}

/// Folds a log. The hash chain of the rows that are read is checked, and that the snapshot belongs where it says; the rows before it are `verify`'s to check.
/// A snapshot that is of no use is said, and the one before it, or no snapshot, taken: none makes a state that the rows do not.
pub async fn recover(log: &dyn LogReader, snapshots: &Snapshots) -> Result<Folded, FoldError> {
    let rows = snapshots.rows().unwrap_or_else(|error| {
        warn!(%error, "snapshots cannot be looked for; reading the whole log");
        Vec::new()
    });
    for seq in rows {
        match load(log, snapshots, seq).await? {
            Ok(core) => {
                debug!(seq, "going on from a snapshot");
                return go_on(log, Folded { core, head: seq, ..Folded::default() }, |_, _| ()).await;
            }
            Err(why) => warn!(seq, %why, "a snapshot is of no use; reading more of the log instead"),
        }
    }
    fold(log).await
}

/// Folds all rows of a log.
pub async fn fold(log: &dyn LogReader) -> Result<Folded, FoldError> {
    fold_seen(log, |_, _| ()).await
}

/// The same, showing each row and the state after it.
pub async fn fold_seen(log: &dyn LogReader, see: impl FnMut(&Row, &Core)) -> Result<Folded, FoldError> {
    go_on(log, Folded::default(), see).await
}

/// Why a snapshot is of no use.
#[derive(Debug, thiserror::Error)]
enum Useless {
    /// The file.
    #[error(transparent)]
    File(#[from] SnapshotError),
    /// Other rules may have folded it.
    #[error("a build with other rules made it ({0})")]
    Foreign(String),
    /// Of another store, or of rows that are not there.
    #[error("row {0} of the log is not the one it was made at")]
    Elsewhere(u64),
    /// It is whole, and yet no state.
    #[error("it cannot be understood: {0}")]
    Unreadable(String),
}

/// The state of a snapshot, if it is one of this log and these rules. The outer error is of the log.
async fn load(log: &dyn LogReader, snapshots: &Snapshots, seq: u64) -> Result<Result<Core, Useless>, ReadError> {
    let Some(row) = log.read(seq, 1).await?.pop() else { return Ok(Err(Useless::Elsewhere(seq))) };
    let (snapshots, incarnation) = (snapshots.clone(), log.incarnation());
    let loaded = tokio::task::spawn_blocking(move || {
        let snapshot = snapshots.read(seq)?;
        let label = &snapshot.label;
        if label.incarnation != incarnation || label.head.hash != row.hash {
            return Err(Useless::Elsewhere(seq));
        }
        if label.codec != codec() {
            return Err(Useless::Foreign(label.codec.clone()));
        }
        let state = decode_state(snapshot.body()).map_err(|error| Useless::Unreadable(error.to_string()))?;
        if state.seq != seq {
            return Err(Useless::Unreadable(format!("it is of row {}", state.seq)));
        }
        Ok(Core::of(state))
    });
    Ok(loaded.await.unwrap_or_else(|error| Err(Useless::Unreadable(error.to_string()))))
}

/// Folds the rows that follow. While some are folded, the next ones are read.
async fn go_on(log: &dyn LogReader, mut folded: Folded, mut see: impl FnMut(&Row, &Core)) -> Result<Folded, FoldError> {
    let mut rows = log.read(folded.head + 1, FOLD_ROWS).await?;
    while let Some(last) = rows.last() {
        let after = last.seq + 1;
        let (next, replayed) = tokio::join!(log.read(after, FOLD_ROWS), async { replay(&mut folded, &rows, &mut see) });
        replayed?;
        rows = next?;
    }
    Ok(folded)
}

fn replay(folded: &mut Folded, rows: &[Row], see: &mut impl FnMut(&Row, &Core)) -> Result<(), CodecError> {
    for row in rows {
        folded.core.replay(&decode_row(row)?);
        folded.head = row.seq;
        folded.rows += 1;
        folded.bytes += row.body.len() as u64;
        see(row, &folded.core);
    }
    Ok(())
}
