//! The bytes of an audit file: a header line that says where its chain begins, then one JSON line a row. Pure: no files here.

use serde::{Deserialize, Serialize};

use crate::log::{Head, Incarnation, Row, RowHash};

/// Version of the form of files.
const FORMAT: u32 = 1;
/// Longest line, its end included: a body in JSON may be six times as long as itself.
pub(super) const LINE_BYTES_MAX: usize = 6 * super::AUDIT_BODY_BYTES_MAX + 8192;

/// What a file's first line says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Header {
    /// The store whose coordinator began the log.
    pub(super) store: Incarnation,
    /// The last row of the file before; of none, the genesis.
    pub(super) after: Head,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderLine {
    format: u32,
    store: String,
    after_seq: u64,
    after_hash: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RowLine {
    seq: u64,
    at_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    run: Option<String>,
    kind: String,
    v: u32,
    body: String,
    hash: String,
}

impl Header {
    /// Of the first file of a log.
    pub(super) fn first(store: Incarnation) -> Self {
        Self { store, after: Head { seq: 0, hash: store.genesis() } }
    }

    /// The line, with its end.
    pub(super) fn line(&self) -> Vec<u8> {
        let Self { store, after } = self;
        ended(&HeaderLine { format: FORMAT, store: store.to_string(), after_seq: after.seq, after_hash: after.hash.to_string() })
    }

    /// Reads the line, without its end.
    pub(super) fn read(line: &[u8]) -> Result<Self, String> {
        let read: HeaderLine = serde_json::from_slice(line).map_err(|error| format!("it is no header: {error}"))?;
        if read.format > FORMAT {
            return Err(format!("its form is {}, this release knows {FORMAT}: it was written by a newer release", read.format));
        }
        if read.format < FORMAT {
            return Err(format!("there never was a form {}", read.format));
        }
        let store = Incarnation(unhex(&read.store).ok_or("it names no store")?);
        let after = Head { seq: read.after_seq, hash: RowHash(unhex(&read.after_hash).ok_or("its hash is none")?) };
        if after.seq == 0 && after.hash != store.genesis() {
            return Err("it does not begin with its store".to_owned());
        }
        Ok(Self { store, after })
    }
}

/// A row's line, with its end.
pub(super) fn of_row(row: &Row) -> Vec<u8> {
    let Row { seq, at_ms, run, kind, v, body, hash, .. } = row.clone();
    ended(&RowLine { seq, at_ms, run, kind, v, body, hash: hash.to_string() })
}

/// Reads a row's line, without its end. Whether it follows the one before is for the chain to say.
pub(super) fn read_row(line: &[u8]) -> Result<Row, String> {
    let RowLine { seq, at_ms, run, kind, v, body, hash } =
        serde_json::from_slice(line).map_err(|error| format!("it is no row: {error}"))?;
    let hash = RowHash(unhex(&hash).ok_or("its hash is none")?);
    // No epochs here: who holds the data directory writes.
    Ok(Row { seq, epoch: 0, at_ms, run, kind, v, body, hash })
}

fn ended(line: &impl Serialize) -> Vec<u8> {
    // Plain structures of texts and numbers: there is nothing in them that JSON cannot say.
    let mut bytes = serde_json::to_vec(line).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; N];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_they_were_written() {
        let header = Header::first(Incarnation([7; 16]));
        let line = header.line();
        assert_eq!(Header::read(&line[..line.len() - 1]), Ok(header));
        let body = "{\"a\":\"\u{1}\\n\"}".to_owned();
        let row = Row { seq: 3, epoch: 0, at_ms: 9, run: None, kind: "command".to_owned(), v: 1, body, hash: RowHash([0xab; 32]) };
        let line = of_row(&row);
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        assert_eq!(read_row(&line[..line.len() - 1]), Ok(row));
        let spliced = Header { store: Incarnation([8; 16]), after: Header::first(Incarnation([7; 16])).after };
        assert!(Header::read(spliced.line().trim_ascii_end()).unwrap_err().contains("its store"));
    }

    #[test]
    fn what_is_none_of_ours_is_refused() {
        let newer = String::from_utf8(Header::first(Incarnation([7; 16])).line()).unwrap().replace("\"format\":1", "\"format\":2");
        assert!(Header::read(newer.trim_end().as_bytes()).unwrap_err().contains("newer release"));
        for bad in [&b""[..], b"{}", b"\xff", b"null", b"{\"seq\":1}"] {
            assert!(Header::read(bad).is_err() && read_row(bad).is_err());
        }
        assert_eq!((unhex::<2>("ab0F"), unhex::<2>("+b0f"), unhex::<2>("ab")), (Some([0xab, 0x0f]), None, None));
    }
}
