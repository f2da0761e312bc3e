//! Copies of files, counted and hashed on the way. What goes while it is copied is left out, and said.

use std::collections::BTreeMap;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use roundtable_runtime::fsx;

use super::FileFacts;

/// Bytes copied at once.
pub(super) const PIECE_BYTES: usize = 1 << 20;
/// How deep folders are followed.
const DEPTH_MAX: usize = 32;
/// How often a folder is copied again because it changed meanwhile.
const ROUNDS_MAX: usize = 20;

/// What tells that a file has been replaced.
pub(super) type Mark = fn(&Metadata) -> [u64; 3];

/// Its name alone: it is only ever written on.
pub(super) const GROWS: Mark = |_| [0; 3];
/// Another file, or another time of writing.
pub(super) const REPLACED: Mark = |found| [found.ino(), found.mtime().cast_unsigned(), found.mtime_nsec().cast_unsigned()];

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

    /// A flat folder whose files belong together: copied again until none came, went or was replaced meanwhile. In the order of their names, so that what the
    /// last one has to do with those before it holds in the copy.
    pub(super) fn at_rest(&mut self, from: &Path, name: &str, takes: &dyn Fn(&str) -> bool, by: Mark) -> io::Result<()> {
        for _ in 0..ROUNDS_MAX {
            let before = listing(from, takes, by)?;
            self.forget(name)?;
            for own in before.keys() {
                self.file(&from.join(own), &format!("{name}/{own}"))?;
            }
            if listing(from, takes, by)? == before {
                return Ok(());
            }
        }
        Err(io::Error::other(format!("{} does not come to rest; try again", from.display())))
    }

    /// Takes a folder out again.
    fn forget(&mut self, name: &str) -> io::Result<()> {
        let below = format!("{name}/");
        self.files.retain(|file, _| !file.starts_with(&below));
        match std::fs::remove_dir_all(self.to.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
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

/// The files of a folder that are taken, with what tells them from others of the same name; none if it is not there.
fn listing(folder: &Path, takes: &dyn Fn(&str) -> bool, by: Mark) -> io::Result<BTreeMap<String, [u64; 3]>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        entries => entries?,
    };
    let mut found = BTreeMap::new();
    for entry in entries {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        match entry.metadata() {
            Ok(facts) if facts.is_file() && takes(&name) => {
                found.insert(name, by(&facts));
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            // Gone, or none of the files.
            _ => {}
        }
    }
    Ok(found)
}

/// Size and hash of a file.
pub(super) fn hash_file(path: &Path) -> io::Result<FileFacts> {
    pump(&mut File::open(path)?, &mut io::sink())
}

/// Copies to the end; what it was.
pub(super) fn pump(from: &mut dyn Read, to: &mut dyn Write) -> io::Result<FileFacts> {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_folder_that_changes_while_it_is_copied_is_copied_again() {
        let home = tempfile::tempdir().unwrap();
        let (from, to) = (home.path().join("audit"), home.path().join("to"));
        std::fs::create_dir(&from).unwrap();
        for name in ["1", "2"] {
            std::fs::write(from.join(name), "row\n").unwrap();
        }
        // Between the look and the copy the newest file grows, and another begins; the oldest goes.
        let looks = Cell::new(0);
        let rotating = |name: &str| {
            looks.set(looks.get() + 1);
            if looks.get() == 2 {
                std::fs::write(from.join("2"), "row\nrow\n").unwrap();
                std::fs::write(from.join("3"), "row\n").unwrap();
                std::fs::remove_file(from.join("1")).unwrap();
            }
            name != "draft"
        };
        std::fs::write(from.join("draft"), "half").unwrap();
        let mut copier = Copier::into(&to).unwrap();
        copier.at_rest(&from, "audit", &rotating, GROWS).unwrap();
        assert_eq!(copier.files.keys().collect::<Vec<_>>(), ["audit/2", "audit/3"]);
        assert_eq!(std::fs::read_to_string(to.join("audit/2")).unwrap(), "row\nrow\n");
        assert!(!to.join("audit/1").exists() && !to.join("audit/draft").exists());
    }

    #[test]
    fn what_is_replaced_without_end_is_said() {
        let home = tempfile::tempdir().unwrap();
        let (from, to) = (home.path().join("ca"), home.path().join("to"));
        std::fs::create_dir(&from).unwrap();
        std::fs::write(from.join("ca.pem"), "0").unwrap();
        let turn = Cell::new(0);
        let replacing = |_: &str| {
            turn.set(turn.get() + 1);
            std::fs::write(from.join("new"), turn.get().to_string()).unwrap();
            std::fs::rename(from.join("new"), from.join("ca.pem")).unwrap();
            true
        };
        let mut copier = Copier::into(&to).unwrap();
        let said = copier.at_rest(&from, "ca", &replacing, REPLACED).unwrap_err().to_string();
        assert!(said.contains("rest"), "{said}");
        copier.at_rest(&from, "ca", &|_| true, REPLACED).unwrap();
        assert_eq!(std::fs::read_to_string(to.join("ca/ca.pem")).unwrap(), turn.get().to_string());
    }
}
