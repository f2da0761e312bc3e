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
    /// A later release wrote it, of a kind that this one has not.
    #[error("row {seq} is a {kind}, which this release does not know: it was written by a newer release; use that one")]
    UnknownKind {
        /// The row.
        seq: u64,
        /// Its kind.
        kind: String,
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
    let fact: Fact = serde_json::from_str(&row.body).map_err(|source| {
        let (seq, kind) = (row.seq, row.kind.clone());
        if Fact::is_kind(&kind) { CodecError::Unreadable { seq, kind, source } } else { CodecError::UnknownKind { seq, kind } }
    })?;
    Ok(Transition { run: row.run.clone().map(Into::into), at: WallMs(row.at_ms), fact })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use roundtable_store::RowHash;

    use super::*;

    fn row(kind: &str, v: u32, body: &str) -> Row {
        Row { seq: 7, epoch: 1, at_ms: 1, run: None, kind: kind.to_owned(), v, body: body.to_owned(), hash: RowHash([0; 32]) }
    }

    #[test]
    fn rows_of_newer_releases_are_refused_with_what_to_do() {
        let newer = decode_row(&row("all_resumed", VERSION + 1, "{}")).unwrap_err();
        let unknown = decode_row(&row("all_teleported", VERSION, r#"{"all_teleported":{}}"#)).unwrap_err();
        for error in [newer, unknown] {
            assert!(error.to_string().contains("newer release; use that one"), "{error}");
        }
        let damaged = decode_row(&row("all_resumed", VERSION, r#"{"all_resumed":{}}"#)).unwrap_err();
        assert!(matches!(damaged, CodecError::Unreadable { .. }), "{damaged}");
    }

    #[test]
    fn what_is_written_is_read_back() {
        let fact = Fact::StoreRestored { store: "ab".to_owned(), through_seq: 3, head: "cd".to_owned() };
        let transition = Transition { run: None, at: WallMs(5), fact };
        let NewRow { at_ms, run, kind, v, body } = encode_transition(&transition).unwrap();
        let row = Row { seq: 1, epoch: 1, at_ms, run, kind, v, body, hash: RowHash([0; 32]) };
        assert_eq!(decode_row(&row).unwrap(), transition);
    }
}
