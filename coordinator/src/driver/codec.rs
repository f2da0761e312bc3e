//! Transitions as rows of the log and back. The row has run, time and kind in columns of their own; the body is the fact as JSON.

use roundtable_core::transition::{Fact, Transition, VERSION};
use roundtable_shared::time::WallMs;
use roundtable_store::{NewRow, Row};

/// Why a row cannot be written or understood.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// A later release wrote it.
    #[error("row {seq} ({kind}) has version {found}, this release knows {VERSION}: it was written by a newer release; use that one")]
    Newer {
        /// The row.
        seq: u64,
        /// Its kind.
        kind: String,
        /// Its version.
        found: u32,
    },
    /// The body is not what its kind says.
    #[error("row {seq} ({kind}) cannot be understood: {source}")]
    Unreadable {
        /// The row.
        seq: u64,
        /// Its kind.
        kind: String,
        /// Why.
        source: serde_json::Error,
    },
    /// A fact has no JSON form: a bug.
    #[error("a {kind} cannot be written: {source}")]
    Unwritable {
        /// Its kind.
        kind: &'static str,
        /// Why.
        source: serde_json::Error,
    },
}

/// The row of a transition.
pub fn encode_transition(transition: &Transition) -> Result<NewRow, CodecError> {
    let kind = transition.kind();
    let body = serde_json::to_string(&transition.fact).map_err(|source| CodecError::Unwritable { kind, source })?;
    let run = transition.run.as_ref().map(ToString::to_string);
    Ok(NewRow { at_ms: transition.at.0, run, kind: kind.to_owned(), v: VERSION, body })
}

/// The transition of a row.
pub fn decode_row(row: &Row) -> Result<Transition, CodecError> {
    if row.v > VERSION {
        return Err(CodecError::Newer { seq: row.seq, kind: row.kind.clone(), found: row.v });
    }
    let fact: Fact =
        serde_json::from_str(&row.body).map_err(|source| CodecError::Unreadable { seq: row.seq, kind: row.kind.clone(), source })?;
    Ok(Transition { run: row.run.clone().map(Into::into), at: WallMs(row.at_ms), fact })
}
