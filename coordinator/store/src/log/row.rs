//! Rows of the log and the hash chain through them: the only integrity mechanism of the log, the same in every implementation.

use std::fmt;

use super::error::Corruption;

/// What a caller appends. Opaque here; `body` is JSON by agreement.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewRow {
    /// When it was decided, wall clock, for people.
    pub at_ms: u64,
    /// The run it belongs to, if it belongs to one.
    pub run: Option<String>,
    /// What kind of transition.
    pub kind: String,
    /// Version of the body's form.
    pub v: u32,
    /// The transition.
    pub body: String,
}

/// A row as it is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// Position in the log, from 1, without gaps.
    pub seq: u64,
    /// Epoch of the coordinator that appended it.
    pub epoch: u64,
    /// When it was decided, wall clock, for people.
    pub at_ms: u64,
    /// The run it belongs to, if it belongs to one.
    pub run: Option<String>,
    /// What kind of transition.
    pub kind: String,
    /// Version of the body's form.
    pub v: u32,
    /// The transition.
    pub body: String,
    /// Hash of the row before and this one.
    pub hash: RowHash,
}

/// BLAKE3 of the hash before and the row, so that it vouches for the whole log up to here.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RowHash(pub [u8; 32]);

impl fmt::Display for RowHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for RowHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RowHash({self})")
    }
}

impl serde::Serialize for RowHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// 128 random bits that name a store; the chain starts from them, so that logs cannot be spliced.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Incarnation(pub [u8; 16]);

impl Incarnation {
    /// The hash before the first row.
    pub fn genesis(&self) -> RowHash {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"roundtable log 1\0").update(&self.0);
        RowHash(hasher.finalize().into())
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Incarnation({self})")
    }
}

/// The end of a log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// The last row; 0 if there is none.
    pub seq: u64,
    /// Its hash; the genesis hash if there is none.
    pub hash: RowHash,
}

/// Walks the chain: gives new rows their numbers and hashes, and checks stored ones.
#[derive(Clone, Copy, Debug)]
pub struct Chain {
    head: Head,
}

impl Chain {
    /// Continues after `head`.
    pub fn after(head: Head) -> Self {
        Self { head }
    }

    /// Where the walk is.
    pub fn head(&self) -> Head {
        self.head
    }

    /// The row that follows, with its number and hash.
    pub fn extend(&mut self, epoch: u64, new: NewRow) -> Row {
        let NewRow { at_ms, run, kind, v, body } = new;
        let mut row = Row { seq: self.head.seq + 1, epoch, at_ms, run, kind, v, body, hash: self.head.hash };
        row.hash = hash_row(&self.head.hash, &row);
        self.head = Head { seq: row.seq, hash: row.hash };
        row
    }

    /// Accepts a stored row, if it is the one that follows.
    pub fn check(&mut self, row: &Row) -> Result<(), Corruption> {
        let want = self.head.seq + 1;
        if row.seq != want {
            return Err(Corruption::row(want, format!("missing; row {} stands in its place", row.seq)));
        }
        if hash_row(&self.head.hash, row) != row.hash {
            return Err(Corruption::row(want, "its content does not match its hash"));
        }
        self.head = Head { seq: row.seq, hash: row.hash };
        Ok(())
    }
}

/// The hash of a row that follows `previous`. Every field is of fixed size or preceded by its length, so no two rows encode alike.
fn hash_row(previous: &RowHash, row: &Row) -> RowHash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&previous.0);
    hasher.update(&row.seq.to_le_bytes());
    hasher.update(&row.epoch.to_le_bytes());
    hasher.update(&row.at_ms.to_le_bytes());
    match &row.run {
        None => {
            hasher.update(&[0]);
        }
        Some(run) => {
            hasher.update(&[1]);
            update_text(&mut hasher, run);
        }
    }
    update_text(&mut hasher, &row.kind);
    hasher.update(&row.v.to_le_bytes());
    update_text(&mut hasher, &row.body);
    RowHash(hasher.finalize().into())
}

fn update_text(hasher: &mut blake3::Hasher, text: &str) {
    hasher.update(&(text.len() as u64).to_le_bytes());
    hasher.update(text.as_bytes());
}

fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(kind: &str, body: &str) -> NewRow {
        NewRow { at_ms: 7, run: Some("r-1".to_owned()), kind: kind.to_owned(), v: 1, body: body.to_owned() }
    }

    fn start() -> Chain {
        Chain::after(Head { seq: 0, hash: Incarnation([7; 16]).genesis() })
    }

    #[test]
    fn every_field_and_the_order_count() {
        let good = start().extend(1, new("k", "{}"));
        let changes: [fn(&mut Row); 8] = [
            |row| row.epoch = 2,
            |row| row.at_ms += 1,
            |row| row.run = None,
            |row| row.run = Some(String::new()),
            |row| row.kind.push('x'),
            |row| row.v = 2,
            |row| row.body.push(' '),
            |row| row.hash.0[31] ^= 1,
        ];
        assert_eq!(start().check(&good), Ok(()));
        for (n, change) in changes.into_iter().enumerate() {
            let mut bad = good.clone();
            change(&mut bad);
            assert_eq!(start().check(&bad).map_err(|e| e.seq), Err(Some(1)), "change {n} went unnoticed");
        }
        let mut renumbered = good.clone();
        renumbered.seq = 2;
        assert_eq!(start().check(&renumbered).map_err(|e| e.seq), Err(Some(1)));
    }

    #[test]
    fn text_cannot_move_between_fields() {
        let a = start().extend(1, new("ab", "c"));
        let b = start().extend(1, new("a", "bc"));
        assert_ne!(a.hash, b.hash);
    }

    #[test]
    fn the_encoding_is_fixed() {
        // A change of the encoding would make every existing log unreadable: it needs a new schema version, not a new expectation here.
        let row = start().extend(3, new("submitted", "{}"));
        let mut bytes = Incarnation([7; 16]).genesis().0.to_vec();
        bytes.extend(b"\x01\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0");
        bytes.extend(b"\x01\x03\0\0\0\0\0\0\0r-1\x09\0\0\0\0\0\0\0submitted\x01\0\0\0\x02\0\0\0\0\0\0\0{}");
        assert_eq!(row.hash.0, *blake3::hash(&bytes).as_bytes());
    }
}
