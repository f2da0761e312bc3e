//! A data directory out of a backup. Its log gets a name of its own, and says where it comes from: workers that were here before notice, and offer again what they
//! have delivered since the backup was made.

use std::io;
use std::path::{Path, PathBuf};

use roundtable_core::Transition;
use roundtable_core::transition::Fact;
use roundtable_runtime::clock::{Clock, SystemClock};
use roundtable_runtime::fsx;
use roundtable_runtime::lock::DirLock;
use roundtable_store::log::SqliteOptions;
use roundtable_store::{Head, Incarnation, Log, LogReader, NewRow, SqliteLog, SqliteReader};

use super::copy::Copier;
use super::{ASIDE, BackupError, MANIFEST, Manifest, PUTTING_ASIDE, REFS, UNFINISHED};
use crate::driver::encode_transition;
use crate::serve::store_path;
use crate::verify;

/// Rows taken over at once.
const ROWS: usize = 1000;
/// Bytes of the file that names a folder.
const NAME_BYTES_MAX: u64 = 256;
/// What a coordinator keeps in its data directory, whether the backup has some of it or not: events, prompts and repositories of runs that the restored log does
/// not know, or knows as they were, must not be taken for its own.
const ITS_OWN: [&str; 12] = [
    "store.db",
    "store.db-wal",
    "store.db-shm",
    "store.db-head",
    "client.json",
    "ca",
    "audit",
    "segments",
    "prompts",
    "attachments",
    "repos",
    "incoming",
];

/// A data directory that was restored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Restored {
    /// What the backup says of itself.
    pub manifest: Manifest,
    /// Name of the new store.
    pub store: String,
    /// What was there before lies in that folder of the data directory.
    pub replaced: Option<String>,
}

/// Restores a backup into a data directory that holds none of it yet; with `replace`, what it holds is put aside.
pub async fn restore(backup: &Path, data_dir: &Path, replace: bool) -> Result<Restored, BackupError> {
    let shown = backup.display();
    let manifest = Manifest::read(backup)?
        .ok_or_else(|| BackupError::Unfit(format!("{shown} holds no whole backup; `coordinator backup DIR` makes one")))?;
    if data_dir.join(MANIFEST).exists() {
        return Err(BackupError::Unfit(format!("{} is a backup itself; name another data directory", data_dir.display())));
    }
    let report = verify::verify(backup).await?;
    if !report.is_good() {
        return Err(BackupError::Unfit(format!("the backup in {shown} is damaged, and nothing was restored:\n{report}")));
    }
    let _lock = DirLock::acquire(data_dir, "coordinator restore")?;
    let replaced = make_way(&manifest, data_dir, replace)?;
    let marker = begin(backup, data_dir)?;
    let (from, to, files) = (backup.to_owned(), data_dir.to_owned(), manifest.clone());
    let copied = tokio::task::spawn_blocking(move || copy_files(&from, &to, &files)).await;
    copied.map_err(io::Error::other).and_then(|copied| copied).map_err(BackupError::io(data_dir))?;
    let store = take_over(&store_path(backup), &store_path(data_dir)).await?;
    fsx::sync_file_system(data_dir).map_err(BackupError::io(data_dir))?;
    std::fs::remove_file(&marker).and_then(|()| fsx::sync_dir(data_dir)).map_err(BackupError::io(&marker))?;
    Ok(Restored { manifest, store: store.to_string(), replaced })
}

/// Sees to it that nothing of the backup's is there, but for what an interrupted restore has left, which goes. The folder in which lies what was there.
fn make_way(manifest: &Manifest, data_dir: &Path, replace: bool) -> Result<Option<String>, BackupError> {
    let names = names_there(manifest, data_dir);
    // First: what lies there still is not from a restore.
    let aside = match begun_aside(data_dir)? {
        Some(aside) => aside,
        None if data_dir.join(UNFINISHED).exists() => {
            for name in names {
                let path = data_dir.join(name);
                let removed = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
                removed.map_err(BackupError::io(&path))?;
            }
            return Ok(None);
        }
        None if names.is_empty() => return Ok(None),
        None if !replace => {
            return Err(BackupError::Unfit(format!(
                "{} holds {} already; name another data directory, or give --replace to put what is there aside",
                data_dir.display(),
                names.join(", ")
            )));
        }
        None => free_aside(data_dir),
    };
    put_aside(data_dir, &aside, &names)?;
    Ok(Some(aside))
}

/// What is there of all that a data directory of a coordinator, or this backup, has.
fn names_there<'n>(manifest: &'n Manifest, data_dir: &Path) -> Vec<&'n str> {
    let mut names: Vec<&str> = manifest.files.keys().map(|name| name.split('/').next().unwrap_or(name)).collect();
    names.extend(ITS_OWN);
    names.sort_unstable();
    names.dedup();
    names.retain(|name| data_dir.join(name).symlink_metadata().is_ok());
    names
}

/// The folder of a putting aside that was interrupted.
fn begun_aside(data_dir: &Path) -> Result<Option<String>, BackupError> {
    let path = data_dir.join(PUTTING_ASIDE);
    let Some(name) = fsx::read_bounded(&path, NAME_BYTES_MAX).map_err(BackupError::io(&path))? else { return Ok(None) };
    let name = String::from_utf8_lossy(&name).trim().to_owned();
    let is_ours = name.strip_prefix(ASIDE).is_some_and(|number| number.parse::<u32>().is_ok());
    if is_ours {
        return Ok(Some(name));
    }
    Err(BackupError::Unfit(format!("{} names no folder `{ASIDE}N`; write the one into it that was begun, and try again", path.display())))
}

fn free_aside(data_dir: &Path) -> String {
    let mut number = 1_u32;
    while data_dir.join(format!("{ASIDE}{number}")).symlink_metadata().is_ok() {
        number += 1;
    }
    format!("{ASIDE}{number}")
}

/// Puts all of it there. Said first, so that a directory of which half is gone is neither served nor taken for what a restore has left.
fn put_aside(data_dir: &Path, aside: &str, names: &[&str]) -> Result<(), BackupError> {
    let io = |name: &str| BackupError::io(&data_dir.join(name));
    fsx::create_private_dir(&data_dir.join(aside)).map_err(io(aside))?;
    fsx::write_atomic(&data_dir.join(PUTTING_ASIDE), format!("{aside}\n").as_bytes(), fsx::PRIVATE).map_err(io(PUTTING_ASIDE))?;
    for name in names {
        std::fs::rename(data_dir.join(name), data_dir.join(aside).join(name)).map_err(io(name))?;
    }
    fsx::sync_dir(&data_dir.join(aside)).map_err(io(aside))
}

/// From here on what lies there is the restore's, and would go with the next one.
fn begin(backup: &Path, data_dir: &Path) -> Result<PathBuf, BackupError> {
    let (marker, putting) = (data_dir.join(UNFINISHED), data_dir.join(PUTTING_ASIDE));
    fsx::write_atomic(&marker, format!("{}\n", backup.display()).as_bytes(), fsx::PRIVATE).map_err(BackupError::io(&marker))?;
    match std::fs::remove_file(&putting) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(BackupError::io(&putting)(error)),
        _ => fsx::sync_dir(data_dir).map_err(BackupError::io(data_dir)).map(|()| marker),
    }
}

/// Everything but the log, which is taken over row by row.
fn copy_files(backup: &Path, data_dir: &Path, manifest: &Manifest) -> io::Result<()> {
    let mut copier = Copier::into(data_dir)?;
    for (name, listed) in manifest.files.iter().filter(|(name, _)| name.as_str() != "store.db") {
        let is_plain = Path::new(name).components().all(|part| matches!(part, std::path::Component::Normal(_)));
        if !is_plain || !copier.file(&backup.join(name), name)? || copier.files.get(name) != Some(listed) {
            return Err(io::Error::other(format!("{name} of the backup changed while it was copied")));
        }
        if let Some((repository, "HEAD")) = name.rsplit_once('/').filter(|(folder, _)| folder.starts_with("repos/")) {
            copier.folder(&format!("{repository}/{REFS}"))?;
        }
    }
    Ok(())
}

/// The rows of a log in a new store, and one that says where they come from. The chain begins anew from the new store's name.
async fn take_over(from: &Path, to: &Path) -> Result<Incarnation, BackupError> {
    let reader = SqliteReader::open(from)?;
    let log = SqliteLog::open(to, SqliteOptions::default())?;
    let mut seq = 0;
    loop {
        let rows = reader.read(seq + 1, ROWS).await?;
        if rows.is_empty() {
            break;
        }
        let rows: Vec<NewRow> =
            rows.into_iter().map(|row| NewRow { at_ms: row.at_ms, run: row.run, kind: row.kind, v: row.v, body: row.body }).collect();
        seq = log.append(seq, rows).await?.last_seq;
    }
    let head: Head = reader.head().await?;
    let fact = Fact::StoreRestored { store: reader.incarnation().to_string(), through_seq: head.seq, head: head.hash.to_string() };
    log.append(seq, vec![encode_transition(&Transition { run: None, at: SystemClock.wall(), fact })?]).await?;
    Ok(log.incarnation())
}
