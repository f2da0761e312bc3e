//! Making a backup, beside a coordinator that serves or of a data directory that nobody does. The log comes first: repositories and events are never behind
//! it, and of what they have beyond it nothing is taken that it does not know. All is copied into a folder beside the file, verified there, and packed.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use roundtable_runtime::clock::{Clock, SystemClock};
use roundtable_runtime::fsx;
use roundtable_runtime::git::GitProgram;
use roundtable_runtime::identity::INTERMEDIATE_FILE;
use roundtable_runtime::lock::{DirLock, FileLock};
use roundtable_store::OpenError;
use roundtable_store::log::{Copied, copy_store};
use tokio::time::Instant;

use super::copy::{Copier, GROWS, REPLACED};
use super::known::Known;
use super::{ASIDE, BackupError, FORMAT, MANIFEST, Manifest, REFS, UNPACKED, archive, unservable};
use crate::offline;
use crate::removal;
use crate::serve::store_path;
use crate::verify::{self, Report};

/// Names at the top of a data directory that are of one machine or moment, or dealt with by themselves.
const LEFT_OUT: [&str; 13] = [
    "lock",
    "files.lock",
    "client.json",
    "reach",
    "profiles",
    "names",
    "workers",
    "worker-key.json",
    "ballast",
    "incoming",
    "repos",
    "snapshots",
    UNPACKED,
];
/// In the audit log, a file that is not yet one of it.
const DRAFT: &str = ".new";
/// Beginnings of names that writers give for a moment, and of the witness of where the audit log ends at this one; no id encodes to one.
const PASSING: [&str; 4] = [".tmp-", ".trial", ".removed-", ".rows-head"];
/// Where a user's files are kept by their own names.
const USERS: &str = "attachments";
/// Where events of attempts are kept.
const EVENTS: &str = "segments";
/// Whoever removes files is waited for so long.
const ALONE_WITHIN: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often a repository is looked through again because it was packed anew meanwhile.
const ROUNDS_MAX: usize = 20;

/// A backup that was made; none if what was copied is damaged.
#[derive(Debug)]
pub struct Taken {
    /// What it says of itself.
    pub manifest: Manifest,
    /// All that is in it.
    pub bytes: u64,
    /// What was found in the copy.
    pub report: Report,
}

/// Makes a backup of a data directory in a file that is not there yet. Whole and durable when it is there. What is damaged is not packed.
pub async fn take(data_dir: &Path, to: &Path) -> Result<Taken, BackupError> {
    if let Some(why) = unservable(data_dir) {
        return Err(BackupError::Unfit(why));
    }
    let store = store_path(data_dir);
    if !store.is_file() {
        return Err(OpenError::Missing { path: store }.into());
    }
    expect_outside(to, data_dir)?;
    let workshop = Workshop::beside(to)?;
    let manifest = copy_all(data_dir, &workshop.files()).await?;
    let report = verify::verify(&workshop.files()).await?;
    let bytes = manifest.files.values().map(|file| file.bytes).sum();
    if !report.is_good() {
        return Ok(Taken { manifest, bytes, report });
    }
    let (folder, packed, target, listed) = (workshop.files(), workshop.packed(), to.to_owned(), manifest.clone());
    let done = tokio::task::spawn_blocking(move || finish(&folder, &packed, &target, &listed)).await;
    done.map_err(io::Error::other).map_err(BackupError::io(to))??;
    Ok(Taken { manifest, bytes, report })
}

/// Packs what was copied, reads it once more, and gives it its name.
fn finish(folder: &Path, packed: &Path, to: &Path, manifest: &Manifest) -> Result<(), BackupError> {
    archive::pack(folder, manifest, packed)?;
    // A backup that nobody has read is none.
    let read = archive::walk(packed, None)?;
    if let Some(difference) = read.differences.first() {
        return Err(BackupError::Unfit(format!(
            "what was written could not be read again ({difference}); check the disk of {}",
            to.display()
        )));
    }
    let io = || BackupError::io(to);
    if to.symlink_metadata().is_ok() {
        return Err(BackupError::Unfit(is_there(to)));
    }
    std::fs::rename(packed, to).map_err(io())?;
    fsx::sync_dir(&folder_of(to)).map_err(io())
}

/// Where a backup is made: a folder beside its file, for one process at a time, gone with this.
struct Workshop {
    dir: PathBuf,
    _lock: DirLock,
}

impl Workshop {
    fn beside(file: &Path) -> Result<Self, BackupError> {
        if file.symlink_metadata().is_ok() {
            return Err(BackupError::Unfit(is_there(file)));
        }
        let (folder, Some(name)) = (folder_of(file), file.file_name()) else {
            return Err(BackupError::Unfit(format!("{} names no file", file.display())));
        };
        // Not made: a disk that is not mounted has no such folder.
        if !folder.is_dir() {
            return Err(BackupError::Unfit(format!("there is no folder {}; make it, or name another", folder.display())));
        }
        let mut making = name.to_owned();
        making.push(".making");
        let dir = folder.join(making);
        // Before the lock, whose words are those of a data directory.
        fsx::create_private_dir(&dir).map_err(BackupError::io(&dir))?;
        let lock = DirLock::acquire(&dir, "coordinator backup")?;
        let workshop = Self { dir, _lock: lock };
        // What one that was killed has left.
        for left in [workshop.files(), workshop.packed()] {
            super::discard(&left).map_err(BackupError::io(&left))?;
        }
        Ok(workshop)
    }

    fn files(&self) -> PathBuf {
        self.dir.join("files")
    }

    fn packed(&self) -> PathBuf {
        self.dir.join("packed")
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.dir) {
            tracing::warn!(folder = %self.dir.display(), %error, "what the backup was made in could not be removed");
        }
    }
}

fn folder_of(file: &Path) -> PathBuf {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}

fn is_there(file: &Path) -> String {
    format!("{} is there already; name a file that is not", file.display())
}

/// Copies a data directory into a folder, with the list of what is in it.
async fn copy_all(data_dir: &Path, to: &Path) -> Result<Manifest, BackupError> {
    let _kept = keep_files(data_dir).await?;
    let program = GitProgram::find().await?;
    let copier = Copier::into(to).map_err(BackupError::io(to))?;
    let (from, place) = (data_dir.to_owned(), to.to_owned());
    let (copied_log, copier) = blocking(to, move || copy_log(&from, &place, copier)).await?;
    let copied = offline::fold(to).await;
    let copied = copied.map_err(|error| BackupError::Unfit(format!("the log that was copied cannot be read: {error}")))?;
    let known = Arc::new(Known::of(&copied.state));
    let (from, place, of) = (data_dir.to_owned(), to.to_owned(), Arc::clone(&known));
    let mut copier = blocking(to, move || copy_beside(&from, &place, copier, &of)).await?;
    for entry in read_dir(&data_dir.join("repos"))? {
        let Some(name) = entry.strip_suffix(".git").map(str::to_owned) else { continue };
        let from = data_dir.join("repos").join(&entry);
        // Refs first: whatever they name is there when objects are copied.
        let refs = program.own(&from)?.all_refs().await?;
        let refs = refs.iter().map(|(name, oid)| (name.to_string(), oid.to_string()));
        let packed: String = refs.filter_map(|(name, oid)| Some(format!("{} {name}\n", known.place_of(&name, &oid)?))).collect();
        let below = format!("repos/{name}.git");
        copier = tokio::task::spawn_blocking(move || copy_repository(copier, &from, &below, &packed))
            .await
            .map_err(io::Error::other)
            .and_then(|copied| copied)
            .map_err(BackupError::io(to))?;
    }
    let manifest = Manifest {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        made_at: SystemClock.wall().rfc3339(),
        store: copied_log.incarnation.to_string(),
        rows: copied_log.head.seq,
        head: copied_log.head.hash.to_string(),
        files: copier.files,
    };
    let text = serde_json::to_vec_pretty(&manifest).map_err(|error| BackupError::Unfit(error.to_string()))?;
    std::fs::write(to.join(MANIFEST), &text).map_err(BackupError::io(to))?;
    Ok(manifest)
}

/// A backup in what it is a backup of would hold itself, and goes with it, by whatever way one comes there.
fn expect_outside(file: &Path, data_dir: &Path) -> Result<(), BackupError> {
    let real = |path: &Path| real(path).map_err(BackupError::io(path));
    if real(file)?.starts_with(real(data_dir)?) {
        return Err(BackupError::Unfit(format!(
            "{} lies in the data directory; name a file elsewhere, best on another disk",
            file.display()
        )));
    }
    Ok(())
}

/// Where a path leads; what is not there yet lies where the folder that is leads.
fn real(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    for there in path.ancestors() {
        if let (Ok(real), Ok(rest)) = (there.canonicalize(), path.strip_prefix(there)) {
            return Ok(real.join(rest));
        }
    }
    Ok(path)
}

/// Nothing is removed until the lock is dropped.
async fn keep_files(data_dir: &Path) -> Result<FileLock, BackupError> {
    let deadline = Instant::now() + ALONE_WITHIN;
    loop {
        match removal::keep_files(data_dir).map_err(BackupError::io(data_dir))? {
            Some(lock) => return Ok(lock),
            None if Instant::now() < deadline => tokio::time::sleep(LOOK_EVERY).await,
            None => return Err(BackupError::Unfit("files of removed runs are being removed; try again in a moment".to_owned())),
        }
    }
}

async fn blocking<T: Send + 'static>(to: &Path, work: impl FnOnce() -> Result<T, BackupError> + Send + 'static) -> Result<T, BackupError> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other).map_err(BackupError::io(to))?
}

/// The log, and how it stood.
fn copy_log(data_dir: &Path, to: &Path, mut copier: Copier) -> Result<(Copied, Copier), BackupError> {
    let taken = copy_store(&store_path(data_dir), &store_path(to))?;
    copier.list("store.db").map_err(BackupError::io(to))?;
    Ok((taken, copier))
}

/// All else but repositories.
fn copy_beside(data_dir: &Path, to: &Path, mut copier: Copier, known: &Known) -> Result<Copier, BackupError> {
    for name in read_dir(data_dir)? {
        let path = data_dir.join(&name);
        let is_beside = name.contains(".db-") || name.starts_with("store.db") || name.starts_with(ASIDE);
        if LEFT_OUT.contains(&name.as_str()) || is_beside || !is_lasting(&name) {
            continue;
        }
        let takes: fn(&str) -> bool = if name == USERS { |_| true } else { is_lasting };
        let copied = if name == EVENTS {
            known.folders().iter().try_for_each(|folder| copier.tree(&path.join(folder), &format!("{name}/{}", folder.display()), &takes))
        } else if name == "audit" {
            // Its files are chained: a new one may begin, and an old one go, meanwhile.
            copier.at_rest(&path, &name, &|file| is_lasting(file) && !file.ends_with(DRAFT), GROWS)
        } else if name == "ca" {
            // A step of a rotation moves a root from one file to the other. What signs is this coordinator's alone: a restored one makes its own.
            copier.at_rest(&path, &name, &|file| is_lasting(file) && file != INTERMEDIATE_FILE, REPLACED)
        } else if path.is_dir() {
            copier.tree(&path, &name, &takes)
        } else if name.ends_with(".db") && copy_store(&path, &to.join(&name)).is_ok() {
            // Another log of ours, which may be written just now.
            copier.list(&name)
        } else {
            copier.file(&path, &name).map(|_| ())
        };
        copied.map_err(BackupError::io(&path))?;
    }
    Ok(copier)
}

fn is_lasting(name: &str) -> bool {
    !PASSING.iter().any(|passing| name.starts_with(passing))
}

/// A bare repository whose refs are known. Objects are files that never change: they are copied as they are, those that no ref reaches too, until none has gone
/// while the others were copied.
fn copy_repository(mut copier: Copier, from: &Path, below: &str, packed_refs: &str) -> io::Result<Copier> {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for _ in 0..ROUNDS_MAX {
        let (mut is_whole, mut found) = (true, Vec::new());
        for folder in names_in(&from.join("objects"))?.into_iter().filter(|name| name.len() == 2 || name == "pack") {
            let inside = names_in(&from.join("objects").join(&folder))?;
            found.extend(inside.into_iter().map(|name| format!("objects/{folder}/{name}")));
        }
        for name in found.into_iter().filter(|name| is_object(name)) {
            if seen.contains(&name) {
                continue;
            }
            if copier.file(&from.join(&name), &format!("{below}/{name}"))? {
                seen.insert(name);
            } else {
                // What was in it is in a new pack.
                is_whole = false;
            }
        }
        if is_whole {
            for name in ["HEAD", "config", "shallow", "roundtable-collect"] {
                copier.file(&from.join(name), &format!("{below}/{name}"))?;
            }
            copier.bytes(packed_refs.as_bytes(), &format!("{below}/packed-refs"))?;
            copier.folder(&format!("{below}/{REFS}"))?;
            return Ok(copier);
        }
    }
    Err(io::Error::other(format!("{} does not come to rest; try again", from.display())))
}

fn is_object(name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or(name);
    !file.starts_with("tmp_")
        && (!name.starts_with("objects/pack/") || [".pack", ".idx", ".rev", ".keep", ".mtimes"].iter().any(|end| file.ends_with(end)))
}

fn read_dir(folder: &Path) -> Result<Vec<String>, BackupError> {
    names_in(folder).map_err(BackupError::io(folder))
}

/// Names in a folder, in order; none if it is not there.
fn names_in(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry?.file_name().into_string());
    }
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_place_that_cannot_be_written_is_named_and_not_taken_for_a_data_directory() {
        let home = tempfile::tempdir().unwrap();
        // With what is added to it the name is longer than a file system has.
        let why = Workshop::beside(&home.path().join("b".repeat(250))).err().unwrap().to_string();
        assert!(why.contains(".making") && !why.contains("data dir"), "{why}");
        drop(Workshop::beside(&home.path().join("b.tar")).unwrap());
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0, "gone with what was done in it");
    }
}
