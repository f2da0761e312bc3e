//! Results of `setup`, kept by what they were made from: command, lock files, brought files. A worktree gets its own copy of what was kept, sharing no
//! file an agent can write. What cannot be told apart from the commit, knows the folder it was made in, or holds what a brought file holds, is not kept.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use aho_corasick::AhoCorasick;
use roundtable_runtime::beneath;
use roundtable_runtime::git::{Git, Oid};
use roundtable_shared::Lease;
use tokio::sync::{OwnedMutexGuard, RwLock};
use tracing::{debug, info, warn};

use super::tree::Tree;

/// Files whose content decides what a setup command installs.
const LOCK_FILES: &[&str] = &[
    "package-lock.json",
    "npm-shrinkwrap.json",
    "yarn.lock",
    "pnpm-lock.yaml",
    "bun.lock",
    "bun.lockb",
    "deno.lock",
    "Cargo.lock",
    "go.sum",
    "poetry.lock",
    "uv.lock",
    "pdm.lock",
    "Pipfile.lock",
    "requirements.txt",
    "Gemfile.lock",
    "composer.lock",
    "mix.lock",
    "pubspec.lock",
    "Package.resolved",
    "packages.lock.json",
    "gradle.lockfile",
    "flake.lock",
];
/// Files of a commit that are looked through for them.
const ENTRIES_MAX: usize = 500_000;
/// Results that are kept; the least recently used go first.
const KEPT_MAX: usize = 8;
/// Largest result that is kept, bytes and files.
const KEPT_BYTES_MAX: u64 = 4 << 30;
const KEPT_FILES_MAX: u64 = 500_000;
/// The file of a result whose time says when it was last used.
const USED: &str = "used";
/// The file of a result that lists what it put where.
const LIST: &str = "list.json";

/// The results of a host.
pub(super) struct Setups {
    root: PathBuf,
    /// Those who copy a result read; who removes one writes.
    kept: RwLock<()>,
    /// One setup per key at a time: whoever comes second gets the result of the first.
    running: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

/// What one attempt's setup is known by. While it lives, no other attempt runs the same setup.
pub(super) struct Turn {
    key: String,
    _alone: OwnedMutexGuard<()>,
}

impl Setups {
    pub(super) fn open(root: PathBuf) -> io::Result<Self> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&root)?;
        // Copies that a crash cut short.
        for entry in std::fs::read_dir(&root)?.flatten() {
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                remove_or_warn(&entry.path());
            }
        }
        Ok(Self { root, kept: RwLock::default(), running: Mutex::default() })
    }

    /// Waits for the turn of this attempt's setup; `None` if its result cannot be kept.
    pub(super) async fn turn(&self, git: &Git, lease: &Lease, command: &str, tree: &Tree) -> Option<Turn> {
        let key = self.key(git, lease, command, tree).await?;
        let lock = Arc::clone(self.running.lock().unwrap_or_else(PoisonError::into_inner).entry(key.clone()).or_default());
        let alone = lock.lock_owned().await;
        Some(Turn { key, _alone: alone })
    }

    /// Puts a kept result into the worktree; false if there is none, or it cannot be used, with nothing left of it.
    pub(super) async fn restore(&self, turn: &Turn, tree: &Tree) -> bool {
        let _reading = self.kept.read().await;
        let (result, dir) = (self.root.join(&turn.key), tree.dir.clone());
        let done = tokio::task::spawn_blocking(move || match std::fs::read(result.join(LIST)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
            Ok(list) => {
                let list: Vec<String> = serde_json::from_slice(&list)?;
                let copied = copy_all(&result.join("files"), &dir, &list, None);
                if copied.is_err() {
                    list.iter().for_each(|path| remove_or_warn(&dir.join(path)));
                }
                // Its time is all that counts.
                let _ = std::fs::write(result.join(USED), "");
                copied.map(|_| true)
            }
        });
        match done.await {
            Ok(Ok(done)) => done,
            Ok(Err(error)) => {
                warn!(key = %turn.key, %error, "a kept result of `setup` could not be used; it is run anew");
                false
            }
            Err(error) => {
                warn!(key = %turn.key, %error, "a kept result of `setup` could not be used; it is run anew");
                false
            }
        }
    }

    /// Keeps what `setup` has just put into the worktree, if that is all it did. Nothing else has run in it yet.
    pub(super) async fn keep(&self, turn: &Turn, git: &Git, tree: &Tree) {
        let list = match git.produced(&tree.checkout, &tree.brought()).await {
            Ok(Some(list)) => list,
            Ok(None) => return debug!(key = %turn.key, "`setup` changed more than ignored files: its result is not kept"),
            Err(error) => return warn!(key = %turn.key, %error, "what `setup` produced cannot be told: it is not kept"),
        };
        let (dir, root, key) = (tree.dir.clone(), self.root.clone(), turn.key.clone());
        let Some(forbidden) = forbidden(&dir, tree.secrets()) else {
            return debug!(key = %turn.key, "what the result of `setup` must not hold is too much to look for: it is not kept");
        };
        let copied = tokio::task::spawn_blocking(move || {
            let aside = tempfile::Builder::new().prefix(".new-").permissions(std::fs::Permissions::from_mode(0o700)).tempdir_in(&root)?;
            let files = aside.path().join("files");
            std::fs::create_dir(&files)?;
            let bounds = Bounds { made_in: dir.clone(), forbidden, bytes_left: KEPT_BYTES_MAX, files_left: KEPT_FILES_MAX };
            if !copy_all(&dir, &files, &list, Some(bounds))? {
                return Ok(None);
            }
            std::fs::write(aside.path().join(LIST), serde_json::to_vec(&list)?)?;
            std::fs::write(aside.path().join(USED), "")?;
            Ok::<_, io::Error>(Some(aside))
        });
        let aside = match copied.await {
            Ok(Ok(Some(aside))) => aside,
            Ok(Ok(None)) => {
                return info!(key = %turn.key, "the result of `setup` is too large, bound to its folder, or holds secrets: it is not kept");
            }
            Ok(Err(error)) => return warn!(key = %turn.key, %error, "the result of `setup` could not be kept"),
            Err(error) => return warn!(key = %turn.key, %error, "the result of `setup` could not be kept"),
        };
        let _writing = self.kept.write().await;
        if let Err(error) = std::fs::rename(aside.path(), self.root.join(&key)) {
            debug!(%key, %error, "the result of `setup` was not put in place");
        }
        self.prune();
    }

    /// `None`: without lock files nothing says when a result is out of date.
    async fn key(&self, git: &Git, lease: &Lease, command: &str, tree: &Tree) -> Option<String> {
        let start = Oid::try_from(&lease.start).ok()?;
        let listing = git.list_tree(&start, None, ENTRIES_MAX).await.ok()?;
        let mut hasher = blake3::Hasher::new();
        let mut add = |text: &str| {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        };
        add("setup 1");
        add(&lease.repository);
        add(command);
        let mut locks = 0;
        for entry in &listing.entries {
            if LOCK_FILES.contains(&entry.path.rsplit('/').next().unwrap_or_default()) {
                add(&entry.path);
                add(entry.oid.as_str());
                locks += 1;
            }
        }
        tree.digests().for_each(|(path, digest)| {
            add(path);
            add(digest);
        });
        (locks > 0).then(|| hasher.finalize().to_hex().to_string())
    }

    fn prune(&self) {
        let mut results: Vec<(SystemTime, PathBuf)> = Vec::new();
        for entry in std::fs::read_dir(&self.root).into_iter().flatten().flatten() {
            if !entry.file_name().as_encoded_bytes().starts_with(b".") {
                let used = entry.path().join(USED).metadata().and_then(|facts| facts.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
                results.push((used, entry.path()));
            }
        }
        results.sort_by(|a, b| b.cmp(a));
        results.iter().skip(KEPT_MAX).for_each(|(_, dir)| remove_or_warn(dir));
    }
}

/// What a result must not be, to be kept.
struct Bounds {
    /// Where it was made.
    made_in: PathBuf,
    /// What no file of it may hold: that path, with which it works nowhere else, and what was brought in, which does not outlive the run.
    forbidden: AhoCorasick,
    bytes_left: u64,
    files_left: u64,
}

/// Copies paths from one folder to another, links as links; false if a bound was met.
fn copy_all(from: &Path, to: &Path, list: &[String], mut bounds: Option<Bounds>) -> io::Result<bool> {
    for path in list {
        let path = Path::new(path.trim_end_matches('/'));
        beneath::make_way(to, path).map_err(io::Error::other)?;
        if !copy(&from.join(path), &to.join(path), &mut bounds)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn copy(from: &Path, to: &Path, bounds: &mut Option<Bounds>) -> io::Result<bool> {
    let facts = from.symlink_metadata()?;
    if facts.is_symlink() {
        let target = std::fs::read_link(from)?;
        if bounds.as_ref().is_some_and(|bounds| target.starts_with(&bounds.made_in)) {
            return Ok(false);
        }
        std::os::unix::fs::symlink(target, to)?;
    } else if facts.is_dir() {
        match std::fs::DirBuilder::new().mode(0o700).create(to) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        for entry in std::fs::read_dir(from)? {
            let name = entry?.file_name();
            if !copy(&from.join(&name), &to.join(&name), bounds)? {
                return Ok(false);
            }
        }
        std::fs::set_permissions(to, std::fs::Permissions::from_mode(facts.mode() & 0o777))?;
    } else if facts.is_file() {
        if let Some(bounds) = bounds {
            if bounds.files_left == 0 || bounds.bytes_left < facts.len() {
                return Ok(false);
            }
            bounds.files_left -= 1;
            bounds.bytes_left -= facts.len();
            if bounds.forbidden.stream_find_iter(std::fs::File::open(from)?).next().transpose()?.is_some() {
                return Ok(false);
            }
        }
        copy_file(from, to, &facts)?;
    }
    // Sockets and the like are nobody's result.
    Ok(true)
}

/// A file of its own with the same content, mode and time; where the file system can, sharing blocks until one of them is written.
fn copy_file(from: &Path, to: &Path, facts: &std::fs::Metadata) -> io::Result<()> {
    let mut source = std::fs::File::open(from)?;
    let mut target = std::fs::File::create_new(to)?;
    if rustix::fs::ioctl_ficlone(&target, &source).is_err() {
        io::copy(&mut source, &mut target)?;
    }
    target.set_permissions(std::fs::Permissions::from_mode(facts.mode() & 0o777))?;
    // Build tools compare times.
    target.set_modified(facts.modified()?)
}

/// Looks for the folder's path, and for what was brought into it.
fn forbidden(dir: &Path, secrets: &[Vec<u8>]) -> Option<AhoCorasick> {
    AhoCorasick::new(secrets.iter().map(Vec::as_slice).chain([dir.as_os_str().as_encoded_bytes()])).ok()
}

fn remove_or_warn(path: &Path) {
    let removed = match path.symlink_metadata() {
        Ok(facts) if facts.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(_) => return,
    };
    if let Err(error) = removed {
        warn!(path = %path.display(), %error, "a result of `setup` could not be removed");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn copies_are_files_of_their_own_with_mode_time_and_links() {
        let home = tempfile::tempdir().unwrap();
        let (from, to) = (home.path().join("from"), home.path().join("to"));
        std::fs::create_dir_all(from.join("node_modules/.bin")).unwrap();
        std::fs::create_dir(&to).unwrap();
        let tool = from.join("node_modules/tool.js");
        std::fs::write(&tool, "one").unwrap();
        std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::File::options().write(true).open(&tool).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        std::fs::hard_link(&tool, from.join("node_modules/same.js")).unwrap();
        std::os::unix::fs::symlink("../tool.js", from.join("node_modules/.bin/tool")).unwrap();
        assert!(copy_all(&from, &to, &["node_modules/".to_owned()], None).unwrap());
        let copied = to.join("node_modules/tool.js");
        assert_eq!(copied.metadata().unwrap().permissions().mode() & 0o777, 0o755);
        assert_eq!(copied.metadata().unwrap().modified().unwrap(), SystemTime::UNIX_EPOCH);
        assert_eq!(copied.metadata().unwrap().nlink(), 1);
        assert_eq!(std::fs::read_to_string(to.join("node_modules/.bin/tool")).unwrap(), "one");
        std::fs::write(copied, "two").unwrap();
        assert_eq!(std::fs::read_to_string(tool).unwrap(), "one");
    }

    #[test]
    fn what_knows_its_folder_or_is_too_large_is_not_kept() {
        let home = tempfile::tempdir().unwrap();
        let from = home.path().join("from");
        std::fs::create_dir_all(&from).unwrap();
        let secrets = [b"TOKEN-0123456789".to_vec()];
        let bounds =
            |bytes_left| Some(Bounds { made_in: from.clone(), forbidden: forbidden(&from, &secrets).unwrap(), bytes_left, files_left: 10 });
        let keeps = |name: &str, bytes_left: u64| {
            let to = tempfile::tempdir_in(home.path()).unwrap();
            copy_all(&from, to.path(), &[name.to_owned()], bounds(bytes_left)).unwrap()
        };
        // The path lies across two reads.
        let far = format!("{}{}/bin/python", "x".repeat((256 << 10) - 5), from.display());
        std::fs::write(from.join("venv"), far).unwrap();
        std::fs::write(from.join("plain"), "x".repeat(100)).unwrap();
        std::os::unix::fs::symlink(from.join("plain"), from.join("link")).unwrap();
        std::fs::write(from.join("secret"), "x = TOKEN-0123456789\n").unwrap();
        assert!(!keeps("secret", 1 << 20));
        assert!(!keeps("venv", 1 << 20) && !keeps("link", 1 << 20) && !keeps("plain", 99) && keeps("plain", 100));
    }
}
