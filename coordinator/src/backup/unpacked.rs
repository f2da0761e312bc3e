//! What a backup is taken apart into: new files and folders below one, for their owner alone, whatever the names in its list say. How a
//! backup is read is for `archive` and `folder`.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Component, Path};

use super::{BackupError, Manifest, REFS};

/// Refuses names that lead elsewhere, in the list of that backup.
pub(super) fn expect_plain(manifest: &Manifest, backup: &Path) -> Result<(), BackupError> {
    let shown = backup.display();
    let strange = manifest.files.keys().find(|name| !is_plain(name));
    strange.map_or(Ok(()), |name| Err(BackupError::Unfit(format!("{shown} has a file {name:?}, which no backup has; use another one"))))
}

/// A new file, and the folders above it.
pub(super) fn make(path: &Path, mode: u32) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        make_folder(folder)?;
    }
    OpenOptions::new().write(true).create_new(true).mode((mode & 0o777) | 0o600).open(path)
}

/// The folders of refs without which git takes a repository for none; a list names files only.
pub(super) fn make_refs(manifest: &Manifest, folder: &Path) -> Result<(), BackupError> {
    for repository in manifest.repositories() {
        let refs = folder.join(repository).join(REFS);
        make_folder(&refs).map_err(BackupError::io(&refs))?;
    }
    Ok(())
}

/// Leads to below the folder it is in, whatever that is.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && Path::new(name).components().all(|part| matches!(part, Component::Normal(_)))
}

/// Folders are their owner's alone, as those of a data directory are: in a tar there are files only.
fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}
