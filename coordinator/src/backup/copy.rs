//! Copies of files, counted and hashed on the way. What goes while it is copied is left out, and said.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use roundtable_runtime::fsx;

use super::FileFacts;

/// Bytes copied at once.
const PIECE_BYTES: usize = 1 << 20;
/// How deep folders are followed.
const DEPTH_MAX: usize = 32;

/// Copies into a folder.
pub(super) struct Copier {
    to: PathBuf,
    /// What was copied, by its path in the folder.
    pub(super) files: BTreeMap<String, FileFacts>,
}

impl Copier {
    /// Into that folder, which is made, for its owner alone.
    pub(super) fn into(to: &Path) -> io::Result<Self> {
        fsx::create_private_dir(to)?;
        Ok(Self { to: to.to_owned(), files: BTreeMap::new() })
    }

    /// One file, with its permissions; false if it is gone.
    pub(super) fn file(&mut self, from: &Path, name: &str) -> io::Result<bool> {
        let mut source = match File::open(from) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            source => source?,
        };
        let mode = source.metadata()?.permissions().mode() & 0o777;
        let path = self.to.join(name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut target = OpenOptions::new().write(true).create(true).truncate(true).mode(mode | 0o600).open(&path)?;
        let facts = pump(&mut source, &mut target)?;
        self.files.insert(name.to_owned(), facts);
        Ok(true)
    }

    /// Bytes of our own.
    pub(super) fn bytes(&mut self, bytes: &[u8], name: &str) -> io::Result<()> {
        let path = self.to.join(name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut target = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        let facts = pump(&mut io::Cursor::new(bytes), &mut target)?;
        self.files.insert(name.to_owned(), facts);
        Ok(())
    }

    /// A folder, with nothing in it.
    pub(super) fn folder(&self, name: &str) -> io::Result<()> {
        std::fs::create_dir_all(self.to.join(name))
    }

    /// Lists a file that is there already.
    pub(super) fn list(&mut self, name: &str) -> io::Result<()> {
        let facts = hash_file(&self.to.join(name))?;
        self.files.insert(name.to_owned(), facts);
        Ok(())
    }

    /// All files below a folder whose names are taken, and not links.
    pub(super) fn tree(&mut self, from: &Path, name: &str, takes: &dyn Fn(&str) -> bool) -> io::Result<()> {
        self.tree_at(from, name, takes, 0)
    }

    fn tree_at(&mut self, from: &Path, name: &str, takes: &dyn Fn(&str) -> bool, depth: usize) -> io::Result<()> {
        if depth > DEPTH_MAX {
            return Err(io::Error::other(format!("{} is nested too deep", from.display())));
        }
        let entries = match std::fs::read_dir(from) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let Ok(own) = entry.file_name().into_string() else { continue };
            if !takes(&own) {
                continue;
            }
            let (path, below) = (entry.path(), format!("{name}/{own}"));
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => self.tree_at(&path, &below, takes, depth + 1)?,
                Ok(kind) if kind.is_file() => {
                    self.file(&path, &below)?;
                }
                // Links, and what is gone.
                _ => {}
            }
        }
        Ok(())
    }
}

/// Size and hash of a file.
pub(super) fn hash_file(path: &Path) -> io::Result<FileFacts> {
    pump(&mut File::open(path)?, &mut io::sink())
}

fn pump(from: &mut dyn Read, to: &mut dyn Write) -> io::Result<FileFacts> {
    let (mut hasher, mut bytes, mut piece) = (blake3::Hasher::new(), 0, vec![0; PIECE_BYTES]);
    loop {
        let count = match from.read(&mut piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            count => count?,
        };
        if count == 0 {
            return Ok(FileFacts { bytes, blake3: hasher.finalize().to_hex().to_string() });
        }
        hasher.update(&piece[..count]);
        to.write_all(&piece[..count])?;
        bytes += count as u64;
    }
}
