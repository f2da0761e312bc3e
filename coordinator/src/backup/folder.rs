//! Backups of earlier releases: a folder laid out like a data directory, with the list of all files in it. They are read and restored as those of one file are,
//! and not made any more.

use std::fs::File;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::copy::pump;
use super::unpacked::{expect_plain, make, make_refs};
use super::{BackupError, Checked, DIFFERENCES_MAX, FileFacts, Manifest};

/// What such a backup says of itself.
pub(super) fn list(folder: &Path) -> Result<Manifest, BackupError> {
    let Some(manifest) = Manifest::read(folder)? else {
        return Err(BackupError::Unfit(format!(
            "{} is a folder without the list of a backup; a backup is one file, as `coordinator backup FILE` makes it",
            folder.display()
        )));
    };
    expect_plain(&manifest, folder)?;
    Ok(manifest)
}

/// Reads all of it and holds each file to the list. With a folder, which is made, copies it into that.
pub(super) fn walk(folder: &Path, into: Option<&Path>) -> Result<Checked, BackupError> {
    let manifest = list(folder)?;
    let Some(into) = into else {
        let differences = manifest.differences(folder);
        return Ok(Checked { manifest, differences });
    };
    let mut differences = Vec::new();
    for (name, listed) in &manifest.files {
        let found = copy(&folder.join(name), &into.join(name)).map_err(BackupError::io(&folder.join(name)))?;
        if found.as_ref() != Some(listed) && differences.len() < DIFFERENCES_MAX {
            differences.push(format!("{name} is not what the backup's list says"));
        }
    }
    make_refs(&manifest, into)?;
    Ok(Checked { manifest, differences })
}

/// Copies a file with its permissions; `None` if it is not there.
fn copy(from: &Path, to: &Path) -> io::Result<Option<FileFacts>> {
    let mut source = match File::open(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        source => source?,
    };
    let mut target = make(to, source.metadata()?.permissions().mode())?;
    pump(&mut source, &mut target).map(Some)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use super::super::copy::Copier;
    use super::super::{FORMAT, MANIFEST, archive};
    use super::*;

    fn listed(folder: &Path, files: BTreeMap<String, FileFacts>) -> Manifest {
        let text = || "x".to_owned();
        let manifest = Manifest { format: FORMAT, version: text(), made_at: text(), store: text(), rows: 1, head: text(), files };
        std::fs::write(folder.join(MANIFEST), serde_json::to_vec_pretty(&manifest).unwrap()).unwrap();
        manifest
    }

    #[test]
    fn a_folder_that_an_earlier_release_made_is_taken_like_a_file() {
        let home = tempfile::tempdir().unwrap();
        let (folder, into) = (home.path().join("monday"), home.path().join("into"));
        let mut copier = Copier::into(&folder).unwrap();
        copier.bytes(b"pem", "ca/ca.pem").unwrap();
        copier.bytes(b"ref: refs/heads/main\n", "repos/x.git/HEAD").unwrap();
        let manifest = listed(&folder, copier.files.clone());
        assert_eq!(archive::list(&folder).unwrap(), manifest);
        assert_eq!(archive::walk(&folder, None).unwrap().differences, Vec::<String>::new());
        assert_eq!(archive::walk(&folder, Some(&into)).unwrap().differences, Vec::<String>::new());
        assert_eq!(std::fs::read(into.join("ca/ca.pem")).unwrap(), b"pem");
        let mode = |name: &str| into.join(name).metadata().unwrap().permissions().mode() & 0o777;
        let modes = ["ca", "ca/ca.pem", "repos/x.git/refs/heads"].map(mode);
        assert_eq!((modes, into.join(MANIFEST).exists()), ([0o700, 0o600, 0o700], false));
        // Damaged, gone, and with names that lead elsewhere.
        std::fs::remove_dir_all(&into).unwrap();
        std::fs::write(folder.join("ca/ca.pem"), "pen").unwrap();
        std::fs::remove_file(folder.join("repos/x.git/HEAD")).unwrap();
        assert_eq!(archive::walk(&folder, None).unwrap().differences.len(), 2);
        assert_eq!(archive::walk(&folder, Some(&into)).unwrap().differences.len(), 2);
        listed(&folder, BTreeMap::from([("../x".to_owned(), FileFacts { bytes: 0, blake3: "x".to_owned() })]));
        assert!(archive::list(&folder).unwrap_err().to_string().contains("no backup has"));
        std::fs::remove_file(folder.join(MANIFEST)).unwrap();
        assert!(archive::list(&folder).unwrap_err().to_string().contains("folder"));
    }
}
