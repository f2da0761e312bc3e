//! A data directory out of a backup. Its log gets a name of its own, and says where it comes from: workers that were here before notice, and offer again what they
//! have delivered since the backup was made.

use std::io;
use std::path::Path;

use roundtable_core::Transition;
use roundtable_core::transition::Fact;
use roundtable_runtime::clock::{Clock, SystemClock};
use roundtable_runtime::fsx;
use roundtable_runtime::lock::DirLock;
use roundtable_store::log::SqliteOptions;
use roundtable_store::{Head, Incarnation, Log, LogReader, NewRow, SqliteLog, SqliteReader};

use super::copy::Copier;
use super::{ASIDE, BackupError, Manifest, REFS, UNFINISHED};
use crate::driver::encode_transition;
use crate::serve::store_path;
use crate::verify;

/// Rows taken over at once.
const ROWS: usize = 1000;

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
    let report = verify::verify(backup).await?;
    if !report.is_good() {
        return Err(BackupError::Unfit(format!("the backup in {shown} is damaged, and nothing was restored:\n{report}")));
    }
    let _lock = DirLock::acquire(data_dir, "coordinator restore")?;
    let replaced = make_way(&manifest, data_dir, replace)?;
    let marker = data_dir.join(UNFINISHED);
    fsx::write_atomic(&marker, format!("{shown}\n").as_bytes(), fsx::PRIVATE).map_err(BackupError::io(&marker))?;
    let (from, to, files) = (backup.to_owned(), data_dir.to_owned(), manifest.clone());
    let copied = tokio::task::spawn_blocking(move || copy_files(&from, &to, &files)).await;
    copied.map_err(io::Error::other).and_then(|copied| copied).map_err(BackupError::io(data_dir))?;
    let store = take_over(&store_path(backup), &store_path(data_dir)).await?;
    fsx::sync_file_system(data_dir).map_err(BackupError::io(data_dir))?;
    std::fs::remove_file(&marker).and_then(|()| fsx::sync_dir(data_dir)).map_err(BackupError::io(&marker))?;
    Ok(Restored { manifest, store: store.to_string(), replaced })
}

/// Sees to it that nothing of the backup's is there, but for what an interrupted restore has left, which goes.
fn make_way(manifest: &Manifest, data_dir: &Path, replace: bool) -> Result<Option<String>, BackupError> {
    let mut names: Vec<&str> = manifest.files.keys().map(|name| name.split('/').next().unwrap_or(name)).collect();
    names.extend(["store.db-wal", "store.db-shm", "store.db-head", "client.json"]);
    names.sort_unstable();
    names.dedup();
    names.retain(|name| data_dir.join(name).symlink_metadata().is_ok());
    let io = |name: &str| BackupError::io(&data_dir.join(name));
    if data_dir.join(UNFINISHED).exists() {
        for name in names {
            let path = data_dir.join(name);
            let removed = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            removed.map_err(io(name))?;
        }
        return Ok(None);
    }
    if names.is_empty() {
        return Ok(None);
    }
    if !replace {
        return Err(BackupError::Unfit(format!(
            "{} holds {} already; name another data directory, or give --replace to put what is there aside",
            data_dir.display(),
            names.join(", ")
        )));
    }
    let mut number = 1;
    while data_dir.join(format!("{ASIDE}{number}")).symlink_metadata().is_ok() {
        number += 1;
    }
    let aside = format!("{ASIDE}{number}");
    fsx::create_private_dir(&data_dir.join(&aside)).map_err(io(&aside))?;
    for name in names {
        std::fs::rename(data_dir.join(name), data_dir.join(&aside).join(name)).map_err(io(name))?;
    }
    Ok(Some(aside))
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
