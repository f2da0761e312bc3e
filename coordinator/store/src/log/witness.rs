//! A small file beside the store (and one in the folder of the audit log) that names the last acknowledged row, so that a log cut short is noticed: a hash
//! chain vouches for what is there, not for what is missing. It is written after each commit and never synced: it may lag behind the log, it cannot be
//! ahead of it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::error::Corruption;
use super::row::{Head, Incarnation, RowHash};

const MAGIC: &[u8; 8] = b"RTHEAD01";
/// magic, incarnation, seq, hash, crc32c.
const SLOT_BYTES: usize = 8 + 16 + 8 + 32 + 4;
/// Two slots written in turn, so that a torn write leaves the other whole.
const SLOT_STRIDE: u64 = 512;

/// The writing side.
#[derive(Debug)]
pub(crate) struct Witness {
    file: File,
    incarnation: Incarnation,
    slot: u64,
}

impl Witness {
    /// Opens or creates the file beside the store.
    pub(crate) fn open(store: &Path, incarnation: Incarnation) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path_of(store))?;
        Ok(Self { file, incarnation, slot: 0 })
    }

    /// Records an acknowledged head.
    pub(crate) fn record(&mut self, head: Head) -> io::Result<()> {
        self.slot ^= 1;
        self.file.write_all_at(&encode(&self.incarnation, head), self.slot * SLOT_STRIDE)
    }
}

/// What the file says; `None` if there is no file, or no whole slot in it. Read it before the log: then a log that is being written can only be further on.
pub(crate) fn read(store: &Path) -> io::Result<Option<(Incarnation, Head)>> {
    let bytes = match std::fs::read(path_of(store)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let slots = [0, SLOT_STRIDE as usize].into_iter().filter_map(|at| bytes.get(at..at + SLOT_BYTES)).filter_map(decode);
    Ok(slots.max_by_key(|(_, head)| head.seq))
}

/// Compares what was witnessed with the log, given the hash of the witnessed row (`None` if the log does not have it).
pub(super) fn check(
    witnessed: Option<(Incarnation, Head)>,
    incarnation: Incarnation,
    head: Head,
    hash_at: impl FnOnce(u64) -> Result<Option<RowHash>, Corruption>,
) -> Result<(), Corruption> {
    let Some((of, seen)) = witnessed.filter(|(_, seen)| seen.seq > 0) else { return Ok(()) };
    if of != incarnation {
        let detail = format!(
            "this is store {incarnation}, but {} rows of store {of} were acknowledged here; if the swap was meant, remove the `-head` file beside it",
            seen.seq
        );
        return Err(Corruption::store(detail));
    }
    if seen.seq > head.seq {
        return Err(Corruption::row(head.seq + 1, format!("missing: the log ends here, but {} rows were acknowledged", seen.seq)));
    }
    if hash_at(seen.seq)? != Some(seen.hash) {
        return Err(Corruption::row(seen.seq, "it is not the row that was acknowledged"));
    }
    Ok(())
}

/// A store that is not there although rows of it were acknowledged.
pub(super) fn gone(seen: Head) -> Corruption {
    Corruption::store(format!("it is gone, but {} rows were acknowledged here; to begin anew remove the `-head` file beside it", seen.seq))
}

fn path_of(store: &Path) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push("-head");
    PathBuf::from(name)
}

fn encode(incarnation: &Incarnation, head: Head) -> [u8; SLOT_BYTES] {
    let mut slot = [0; SLOT_BYTES];
    slot[..8].copy_from_slice(MAGIC);
    slot[8..24].copy_from_slice(&incarnation.0);
    slot[24..32].copy_from_slice(&head.seq.to_le_bytes());
    slot[32..64].copy_from_slice(&head.hash.0);
    let crc = crc32c::crc32c(&slot[..64]);
    slot[64..].copy_from_slice(&crc.to_le_bytes());
    slot
}

fn decode(slot: &[u8]) -> Option<(Incarnation, Head)> {
    let crc = u32::from_le_bytes(slot.get(64..68)?.try_into().ok()?);
    if slot.get(..8)? != MAGIC || crc32c::crc32c(slot.get(..64)?) != crc {
        return None;
    }
    let incarnation = Incarnation(slot.get(8..24)?.try_into().ok()?);
    let seq = u64::from_le_bytes(slot.get(24..32)?.try_into().ok()?);
    let hash = RowHash(slot.get(32..64)?.try_into().ok()?);
    Some((incarnation, Head { seq, hash }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const OURS: Incarnation = Incarnation([1; 16]);

    fn head(seq: u64) -> Head {
        Head { seq, hash: RowHash([seq as u8; 32]) }
    }

    #[test]
    fn the_newest_whole_slot_counts() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("store.db");
        assert_eq!(read(&store).unwrap(), None);
        let mut witness = Witness::open(&store, OURS).unwrap();
        for seq in 1..=4 {
            witness.record(head(seq)).unwrap();
            assert_eq!(read(&store).unwrap(), Some((OURS, head(seq))));
        }
        let mut bytes = std::fs::read(path_of(&store)).unwrap();
        bytes[30] ^= 1;
        std::fs::write(path_of(&store), &bytes).unwrap();
        assert_eq!(read(&store).unwrap(), Some((OURS, head(3))), "the older slot is still whole");
    }

    #[test]
    fn a_short_log_and_a_different_row_are_noticed() {
        let seen = Some((OURS, head(5)));
        let there = |seq: u64| Ok(Some(RowHash([seq as u8; 32])));
        assert_eq!(check(seen, OURS, head(5), there), Ok(()));
        assert_eq!(check(seen, OURS, head(9), there), Ok(()));
        assert_eq!(check(seen, OURS, head(4), there).map_err(|e| e.seq), Err(Some(5)));
        assert_eq!(check(seen, OURS, head(5), |_| Ok(None)).map_err(|e| e.seq), Err(Some(5)));
        assert_eq!(check(seen, Incarnation([2; 16]), head(9), there).map_err(|e| e.seq), Err(None), "another store was put in its place");
        assert_eq!(check(None, OURS, head(1), there), Ok(()));
    }
}
