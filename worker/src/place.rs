//! A worker's place: a name that no other live worker of the data directory bears, and a workspace that no other holds. Both are held by locks, which the
//! kernel lifts when the worker ends, however it ends.

use std::path::{Path, PathBuf};

use roundtable_runtime::fsx;
use roundtable_runtime::identity::check_id;
use roundtable_runtime::lock::{DirLock, LockError};
use roundtable_shared::Origin;
use tracing::info;

use crate::error::JoinError;
use crate::options::JoinOptions;

/// Names tried for a worker without one.
const NAMES_MAX: u32 = 1000;
/// Largest of the small files in a workspace.
const SMALL_FILE_BYTES_MAX: u64 = 256;

/// A claimed place; dropped, it is free.
#[derive(Debug)]
pub(crate) struct Place {
    /// The worker's name.
    pub name: String,
    /// Its folder.
    pub workspace: PathBuf,
    _workspace: DirLock,
    _name: DirLock,
}

impl Place {
    /// Finds a name and a folder that no other worker holds.
    pub fn claim(options: &JoinOptions) -> Result<Self, JoinError> {
        if let Some(name) = &options.name {
            check_id(name).map_err(|error| JoinError::Usage(format!("--name {name}: {error}")))?;
        }
        let place = match (&options.workspace, &options.name) {
            (Some(workspace), name) => {
                let lock = lock_workspace(workspace)?;
                let (name, held) = match name {
                    Some(name) => (name.clone(), claim_name(&options.data_dir, name, workspace)?),
                    None => free_name(&options.data_dir, workspace)?,
                };
                Self { name, workspace: workspace.clone(), _workspace: lock, _name: held }
            }
            (None, Some(name)) => {
                let workspace = options.data_dir.join("workers").join(name);
                let lock = lock_workspace(&workspace)?;
                let held = claim_name(&options.data_dir, name, &workspace)?;
                Self { name: name.clone(), workspace, _workspace: lock, _name: held }
            }
            (None, None) => Self::first_free(&options.data_dir)?,
        };
        place.remember()?;
        Ok(place)
    }

    /// The first number whose name and folder are both free.
    fn first_free(data_dir: &Path) -> Result<Self, JoinError> {
        for name in default_names() {
            let workspace = data_dir.join("workers").join(&name);
            let Some(held) = unless_held(lock_name(data_dir, &name, &workspace))? else { continue };
            let Some(lock) = unless_held(lock_workspace(&workspace))? else { continue };
            return Ok(Self { name, workspace, _workspace: lock, _name: held });
        }
        Err(no_name_left())
    }

    /// Keeps the name in the workspace, so that it stays the same at the next start.
    fn remember(&self) -> Result<(), JoinError> {
        if remembered(&self.workspace).as_deref() == Some(&self.name) {
            return Ok(());
        }
        write_small(&self.workspace.join("name"), &self.name)
    }

    /// Which worker of its name this is, and which start of it.
    pub fn origin(&self) -> Result<Origin, JoinError> {
        let path = self.workspace.join("id");
        let workspace = match read_small(&path)? {
            Some(id) => id,
            None => {
                let id = drawn(&path)?;
                write_small(&path, &id)?;
                id
            }
        };
        let place = format!("{}, pid {}, on {}", self.workspace.display(), std::process::id(), host_name());
        Ok(Origin { workspace, life: drawn(&path)?, place })
    }

    /// The number of this start: greater than at any before, and durable.
    pub fn next_incarnation(&self) -> Result<u64, JoinError> {
        let path = self.workspace.join("incarnation");
        let last: u64 = read_small(&path)?.and_then(|text| text.parse().ok()).unwrap_or(0);
        write_small(&path, &(last + 1).to_string())?;
        Ok(last + 1)
    }
}

/// The name a workspace had at its last start, else the first free number.
fn free_name(data_dir: &Path, workspace: &Path) -> Result<(String, DirLock), JoinError> {
    if let Some(name) = remembered(workspace) {
        match unless_held(lock_name(data_dir, &name, workspace))? {
            Some(held) => return Ok((name, held)),
            None => info!(name, "another worker bears this worker's last name now; taking another"),
        }
    }
    for name in default_names() {
        if let Some(held) = unless_held(lock_name(data_dir, &name, workspace))? {
            return Ok((name, held));
        }
    }
    Err(no_name_left())
}

fn remembered(workspace: &Path) -> Option<String> {
    read_small(&workspace.join("name")).ok().flatten().filter(|name| check_id(name).is_ok())
}

/// A name that was asked for: another live worker keeps it.
fn claim_name(data_dir: &Path, name: &str, workspace: &Path) -> Result<DirLock, JoinError> {
    lock_name(data_dir, name, workspace).map_err(|error| match error {
        LockError::Held { holder, .. } => {
            let holder = holder.map_or_else(|| "another worker".to_owned(), |holder| holder.to_string());
            JoinError::Refused(format!("the name {name} is held by {holder}\n  choose another with --name, or end that worker first"))
        }
        error => error.into(),
    })
}

fn lock_name(data_dir: &Path, name: &str, workspace: &Path) -> Result<DirLock, LockError> {
    DirLock::acquire(&data_dir.join("names").join(name), &format!("worker join in {}", workspace.display()))
}

fn lock_workspace(workspace: &Path) -> Result<DirLock, LockError> {
    DirLock::acquire(workspace, "worker join")
}

fn unless_held(lock: Result<DirLock, LockError>) -> Result<Option<DirLock>, LockError> {
    match lock {
        Ok(lock) => Ok(Some(lock)),
        Err(LockError::Held { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn default_names() -> impl Iterator<Item = String> {
    let host = host_name();
    (1..=NAMES_MAX).map(move |number| format!("{host}-{number}"))
}

fn no_name_left() -> JoinError {
    JoinError::Usage(format!("{NAMES_MAX} workers live on this host already; name this one with --name"))
}

fn host_name() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let plain: String =
        text.trim().chars().map(|each| if each.is_ascii_alphanumeric() { each.to_ascii_lowercase() } else { '-' }).take(40).collect();
    let plain = plain.trim_matches('-');
    if plain.is_empty() { "worker".to_owned() } else { plain.to_owned() }
}

/// 128 random bits in hex.
fn drawn(path: &Path) -> Result<String, JoinError> {
    let mut bits = [0_u8; 16];
    getrandom::fill(&mut bits)
        .map_err(|error| JoinError::Io { path: path.to_owned(), source: std::io::Error::other(error.to_string()) })?;
    Ok(bits.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A small file's text; `None` if it is not there or says nothing.
fn read_small(path: &Path) -> Result<Option<String>, JoinError> {
    let bytes = fsx::read_bounded(path, SMALL_FILE_BYTES_MAX).map_err(|source| JoinError::Io { path: path.to_owned(), source })?;
    Ok(bytes.and_then(|bytes| String::from_utf8(bytes).ok()).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()))
}

fn write_small(path: &Path, text: &str) -> Result<(), JoinError> {
    fsx::write_atomic(path, format!("{text}\n").as_bytes(), fsx::PRIVATE).map_err(|source| JoinError::Io { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn options(data: &Path, workspace: Option<&str>, name: Option<&str>) -> JoinOptions {
        JoinOptions {
            coordinator: None,
            data_dir: data.join("data"),
            entry: None,
            workspace: workspace.map(|folder| data.join(folder)),
            name: name.map(str::to_owned),
            labels: std::collections::BTreeMap::new(),
            backends: Vec::new(),
            host: std::sync::Arc::new(crate::backend::Host::current(Default::default(), Default::default()).unwrap()),
            once: false,
            max_idle: None,
            patience: None,
            park_probe: std::time::Duration::from_secs(1),
            keep: Default::default(),
            quotas: Default::default(),
            on_partition: Default::default(),
            tmux: None,
        }
    }

    /// Claims until what a dropped place held is free. A process that another test is just starting has our descriptors, and with them our locks, until
    /// it has become its own program.
    fn claim_once_free(options: &JoinOptions, fits: impl Fn(&Place) -> bool) -> Place {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        let before = options.workspace.as_deref().and_then(remembered);
        loop {
            match Place::claim(options) {
                Ok(place) if fits(&place) => return place,
                other => assert!(std::time::Instant::now() < deadline, "{other:?}"),
            }
            if let (Some(workspace), Some(name)) = (&options.workspace, &before) {
                write_small(&workspace.join("name"), name).unwrap();
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn workers_without_a_name_get_different_ones_wherever_their_workspaces_are_and_keep_them() {
        let dir = tempfile::tempdir().unwrap();
        let claim = |workspace| Place::claim(&options(dir.path(), workspace, None)).unwrap();
        let (a, b, c) = (claim(Some("a")), claim(Some("b")), claim(None));
        let (host, names) = (host_name(), [a.name.clone(), b.name.clone(), c.name.clone()]);
        assert_eq!(names, [1, 2, 3].map(|number| format!("{host}-{number}")));
        assert_ne!(a.origin().unwrap().workspace, b.origin().unwrap().workspace);
        let before = b.origin().unwrap();
        drop((a, b));
        // It stays the same.
        let again = claim_once_free(&options(dir.path(), Some("b"), None), |place| place.name == names[1]);
        assert!(again.origin().unwrap().is_same_worker(&before) && !again.origin().unwrap().is_same_start(&before));
        // Its last name is taken: another one.
        drop(again);
        let named = claim_once_free(&options(dir.path(), Some("d"), Some(&names[1])), |_| true);
        claim_once_free(&options(dir.path(), Some("b"), None), |place| place.name != names[1]);
        drop((named, c));
    }

    #[test]
    fn a_name_that_another_bears_is_refused_and_a_workspace_that_another_holds_is_held() {
        let dir = tempfile::tempdir().unwrap();
        let claim = |workspace, name| Place::claim(&options(dir.path(), workspace, name));
        let first = claim(Some("a"), Some("w1")).unwrap();
        for workspace in [Some("b"), None] {
            let Err(JoinError::Refused(why)) = claim(workspace, Some("w1")) else { panic!("refused") };
            assert!(why.contains("--name") && why.contains(&format!("{}/a (pid {}", dir.path().display(), std::process::id())), "{why}");
        }
        assert!(matches!(claim(Some("a"), Some("w2")), Err(JoinError::Lock(LockError::Held { .. }))));
        drop(first);
        claim_once_free(&options(dir.path(), Some("b"), Some("w1")), |_| true);
    }
}
