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

use super::{ASIDE, BackupError, Checked, MANIFEST, Manifest, PUTTING_ASIDE, UNFINISHED, UNPACKED, archive, discard};
use crate::driver::{decode_row, encode_transition};
use crate::serve::store_path;
use crate::verify;

/// Rows taken over at once.
const ROWS: usize = 1000;
/// The log, which is not moved but taken over.
const STORE: &str = "store.db";
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
/// Commands that are listed.
const COMMANDS_MAX: usize = 1000;

/// A data directory that was restored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Restored {
    /// What the backup says of itself.
    pub manifest: Manifest,
    /// Name of the new store.
    pub store: String,
    /// What was there before lies in that folder of the data directory.
    pub replaced: Option<String>,
    /// Commands that refuse anew whom somebody refused after the backup was made, as far as what was there before tells; `None` where it does not.
    pub revoked: Option<Vec<String>>,
}

/// Restores a backup into a data directory that holds none of it yet; with `replace`, what it holds is put aside.
pub async fn restore(backup: &Path, data_dir: &Path, replace: bool) -> Result<Restored, BackupError> {
    let listed = archive::list(backup)?;
    if data_dir.join(MANIFEST).exists() {
        let shown = data_dir.display();
        return Err(BackupError::Unfit(format!("{shown} holds what a backup was taken apart into; name another data directory")));
    }
    let _lock = DirLock::acquire(data_dir, "coordinator restore")?;
    // Before anything is read: all of it may take a while.
    expect_way(&listed, data_dir, replace)?;
    let unpacked = data_dir.join(UNPACKED);
    discard(&unpacked).map_err(BackupError::io(&unpacked))?;
    let manifest = match unpack(backup, &unpacked).await {
        Ok(manifest) => manifest,
        Err(error) => {
            // It is tried anew the next time; what is there is as it was.
            let _ = discard(&unpacked);
            return Err(error);
        }
    };
    let replaced = make_way(&manifest, data_dir, replace)?;
    let marker = begin(backup, data_dir)?;
    for name in manifest.top().into_iter().filter(|name| *name != STORE) {
        let to = data_dir.join(name);
        std::fs::rename(unpacked.join(name), &to).map_err(BackupError::io(&to))?;
    }
    let store = take_over(&unpacked.join(STORE), &store_path(data_dir), &manifest).await?;
    fsx::sync_file_system(data_dir).map_err(BackupError::io(data_dir))?;
    discard(&unpacked).map_err(BackupError::io(&unpacked))?;
    std::fs::remove_file(&marker).and_then(|()| fsx::sync_dir(data_dir)).map_err(BackupError::io(&marker))?;
    let revoked = match &replaced {
        Some(aside) => revoked_since(&data_dir.join(aside).join(STORE), &manifest).await,
        None => None,
    };
    Ok(Restored { manifest, store: store.to_string(), replaced, revoked })
}

/// Takes a backup apart in a folder, and verifies what is in it.
async fn unpack(backup: &Path, into: &Path) -> Result<Manifest, BackupError> {
    fsx::create_private_dir(into).map_err(BackupError::io(into))?;
    let (from, to) = (backup.to_owned(), into.to_owned());
    let walked = tokio::task::spawn_blocking(move || archive::walk(&from, Some(&to))).await;
    let Checked { manifest, differences } = walked.map_err(io::Error::other).map_err(BackupError::io(into))??;
    let damaged =
        |found: String| BackupError::Unfit(format!("the backup {} is damaged, and nothing was restored:\n{found}", backup.display()));
    if !differences.is_empty() {
        return Err(damaged(differences.join("\n")));
    }
    let report = verify::verify(into).await?;
    if report.is_good() { Ok(manifest) } else { Err(damaged(report.to_string())) }
}

/// Refuses a data directory that holds something, unless that is to be put aside, or is what an interrupted restore has left.
fn expect_way(manifest: &Manifest, data_dir: &Path, replace: bool) -> Result<(), BackupError> {
    let names = names_there(manifest, data_dir);
    let is_begun = [UNFINISHED, PUTTING_ASIDE].iter().any(|name| data_dir.join(name).exists());
    if names.is_empty() || replace || is_begun {
        return Ok(());
    }
    Err(BackupError::Unfit(format!(
        "{} holds {} already; name another data directory, or give --replace to put what is there aside",
        data_dir.display(),
        names.join(", ")
    )))
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
                discard(&path).map_err(BackupError::io(&path))?;
            }
            return Ok(None);
        }
        None if names.is_empty() => return Ok(None),
        None => {
            expect_way(manifest, data_dir, replace)?;
            free_aside(data_dir)
        }
    };
    put_aside(data_dir, &aside, &names)?;
    Ok(Some(aside))
}

/// What is there of all that a data directory of a coordinator, or this backup, has.
fn names_there<'n>(manifest: &'n Manifest, data_dir: &Path) -> Vec<&'n str> {
    let mut names = manifest.top();
    names.extend(ITS_OWN);
    names.retain(|name| data_dir.join(name).symlink_metadata().is_ok());
    names.into_iter().collect()
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

/// The rows of a log in a new store, and one that says where they come from. The chain begins anew from the new store's name.
async fn take_over(from: &Path, to: &Path, manifest: &Manifest) -> Result<Incarnation, BackupError> {
    let reader = SqliteReader::open(from)?;
    let head: Head = reader.head().await?;
    if (reader.incarnation().to_string(), head.hash.to_string()) != (manifest.store.clone(), manifest.head.clone()) {
        return Err(BackupError::Unfit("the log of the backup is not the one that its list names; use another backup".to_owned()));
    }
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
    let fact = Fact::StoreRestored { store: reader.incarnation().to_string(), through_seq: head.seq, head: head.hash.to_string() };
    log.append(seq, vec![encode_transition(&Transition { run: None, at: SystemClock.wall(), fact })?]).await?;
    Ok(log.incarnation())
}

/// What must be done again so that nobody comes in whom somebody refused since the backup was made; `None` if the log that was put aside is not the one the
/// backup is of, or cannot be read.
async fn revoked_since(store: &Path, manifest: &Manifest) -> Option<Vec<String>> {
    let reader = SqliteReader::open(store).ok()?;
    if reader.incarnation().to_string() != manifest.store {
        return None;
    }
    let (mut seq, mut commands) = (manifest.rows, Vec::new());
    loop {
        let rows = reader.read(seq + 1, ROWS).await.ok()?;
        let Some(last) = rows.last() else { return Some(commands) };
        seq = last.seq;
        for row in &rows {
            let command = match decode_row(row).ok()?.fact {
                // Nobody did the others: identities that were lent have ended, as they do again.
                Fact::PeerRevoked { peer, by, .. } if !by.is_empty() => format!("coordinator revoke {}/{}", peer.role, peer.id),
                Fact::TokenRevoked { id, .. } => format!("coordinator token revoke {id}"),
                _ => continue,
            };
            if !commands.contains(&command) && commands.len() < COMMANDS_MAX {
                commands.push(command);
            }
        }
    }
}
