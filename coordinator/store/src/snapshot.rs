//! Snapshots: files beside the log, each with the state that the rows up to one of them come to, so that a start reads only the rows after it. They are
//! derived: whatever is wrong with one is said, and the log is read instead. What their bytes mean is the caller's.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::log::{Head, Incarnation, RowHash};

/// So many are kept: should the last one be damaged, the one before it serves.
pub const SNAPSHOTS_KEPT: usize = 2;
/// Largest snapshot that is read, bytes.
pub const SNAPSHOT_BYTES_MAX: u64 = 16 << 30;

const MAGIC: &[u8; 8] = b"RTSNAP01";
/// magic, incarnation, seq, hash, length of the codec's name.
const HEADER_BYTES: usize = 8 + 16 + 8 + 32 + 1;
const HASH_BYTES: usize = 32;
const BUFFER_BYTES: usize = 1 << 18;
const ENDING: &str = ".snapshot";
/// One that is being written; what a crash leaves of it goes with the next.
const UNFINISHED: &str = ".unfinished";

/// What a snapshot holds the state of, and who can read it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Label {
    /// The store.
    pub incarnation: Incarnation,
    /// The last row that is in the state; its hash vouches for all rows before.
    pub head: Head,
    /// How the state is encoded and by which rules it was folded; at most 255 bytes.
    pub codec: String,
}

/// A snapshot as it was read: its hash is right.
#[derive(Debug)]
pub struct Snapshot {
    /// What it is of.
    pub label: Label,
    bytes: Vec<u8>,
    begins: usize,
}

impl Snapshot {
    /// The state, encoded.
    pub fn body(&self) -> &[u8] {
        let end = self.bytes.len() - HASH_BYTES;
        &self.bytes[self.begins..end]
    }
}

/// Why a snapshot is of no use.
#[derive(Debug, Error)]
pub enum SnapshotError {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    /// Its content is not what was written.
    #[error("its content does not match its hash")]
    Damaged,
    /// Another release wrote it.
    #[error("it is no snapshot of a form that this release knows")]
    Unknown,
}

/// The folder of snapshots of one store. One process at a time may write.
#[derive(Clone, Debug)]
pub struct Snapshots {
    dir: PathBuf,
}

impl Snapshots {
    /// In that folder, which is made with the first snapshot.
    pub fn in_dir(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// The rows there are snapshots at, the latest first; none where there is no folder.
    pub fn rows(&self) -> io::Result<Vec<u64>> {
        let entries = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut rows = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            rows.extend(name.to_str().and_then(|name| name.strip_suffix(ENDING)?.parse::<u64>().ok()));
        }
        rows.sort_unstable_by(|left, right| right.cmp(left));
        Ok(rows)
    }

    /// Reads the one at that row and checks its hash. Takes memory for all of it.
    pub fn read(&self, seq: u64) -> Result<Snapshot, SnapshotError> {
        let file = File::open(self.path(seq))?;
        let length = file.metadata()?.len();
        if length > SNAPSHOT_BYTES_MAX {
            return Err(SnapshotError::Unknown);
        }
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
        file.take(SNAPSHOT_BYTES_MAX).read_to_end(&mut bytes)?;
        let Some((content, hash)) = bytes.split_last_chunk::<HASH_BYTES>() else { return Err(SnapshotError::Damaged) };
        if !content.starts_with(MAGIC) {
            return Err(SnapshotError::Unknown);
        }
        if blake3::hash(content) != *hash {
            return Err(SnapshotError::Damaged);
        }
        let (label, begins) = decode(content).filter(|(label, _)| label.head.seq == seq).ok_or(SnapshotError::Damaged)?;
        Ok(Snapshot { label, bytes, begins })
    }

    /// Writes one with what `encode` puts out, durable when this returns, and removes all but the last [`SNAPSHOTS_KEPT`]. Returns its bytes. If it fails or
    /// the process dies on the way, those that were there are as they were.
    pub fn write(&self, label: &Label, encode: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<u64> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
        self.remove_unfinished()?;
        let path = self.path(label.head.seq);
        let unfinished = path.with_extension(&UNFINISHED[1..]);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
        let mut hashing = Hashing { file: BufWriter::with_capacity(BUFFER_BYTES, file), hasher: blake3::Hasher::new(), bytes: 0 };
        let written = hashing.write_all(&header(label)?).and_then(|()| encode(&mut hashing)).and_then(|()| hashing.finish());
        if written.is_err() {
            // It only takes room: the next one removes it all the same.
            let _ = fs::remove_file(&unfinished);
        }
        let bytes = written?;
        fs::rename(&unfinished, &path)?;
        File::open(&self.dir)?.sync_all()?;
        // Whatever is beyond a row that is the last one now is of another log.
        let (beyond, known): (Vec<u64>, Vec<u64>) = self.rows()?.into_iter().partition(|seq| *seq > label.head.seq);
        for old in known.into_iter().skip(SNAPSHOTS_KEPT).chain(beyond) {
            fs::remove_file(self.path(old))?;
        }
        Ok(bytes)
    }

    fn remove_unfinished(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            if entry.file_name().to_str().is_some_and(|name| name.ends_with(UNFINISHED)) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn path(&self, seq: u64) -> PathBuf {
        self.dir.join(format!("{seq:020}{ENDING}"))
    }
}

/// A file that is hashed as it is written.
struct Hashing {
    file: BufWriter<File>,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl Hashing {
    fn finish(mut self) -> io::Result<u64> {
        let hash = self.hasher.finalize();
        self.file.write_all(hash.as_bytes())?;
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        Ok(self.bytes + HASH_BYTES as u64)
    }
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        self.file.write_all(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn header(label: &Label) -> io::Result<Vec<u8>> {
    let Label { incarnation, head, codec } = label;
    let length = u8::try_from(codec.len()).map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "the codec's name is too long"))?;
    let mut header = Vec::with_capacity(HEADER_BYTES + codec.len());
    header.extend_from_slice(MAGIC);
    header.extend_from_slice(&incarnation.0);
    header.extend_from_slice(&head.seq.to_le_bytes());
    header.extend_from_slice(&head.hash.0);
    header.push(length);
    header.extend_from_slice(codec.as_bytes());
    Ok(header)
}

/// The label, and where the body begins.
fn decode(content: &[u8]) -> Option<(Label, usize)> {
    let incarnation = Incarnation(content.get(8..24)?.try_into().ok()?);
    let seq = u64::from_le_bytes(content.get(24..32)?.try_into().ok()?);
    let hash = RowHash(content.get(32..64)?.try_into().ok()?);
    let begins = HEADER_BYTES + usize::from(*content.get(64)?);
    let codec = std::str::from_utf8(content.get(HEADER_BYTES..begins)?).ok()?.to_owned();
    Some((Label { incarnation, head: Head { seq, hash }, codec }, begins))
}
