//! The worker's look at its own workspace: whether it is there and can be written. What is missing is made anew; what cannot be mended is told in the
//! offers, so that no unit pays for it.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use roundtable_runtime::fsx;
use roundtable_runtime::lock::DirLock;
use tracing::{info, warn};

/// A file that is written and removed to see whether that can be done.
const PROBE: &str = "probe";

/// The file by which it is held.
const LOCK: &str = "lock";

/// Watches the workspace.
pub(super) struct Health {
    workspace: PathBuf,
    folders: Vec<PathBuf>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Why the workspace cannot be used.
    ill: Option<String>,
    /// Our hold on a workspace that was made anew: the old one went with the old folder.
    lock: Option<DirLock>,
}

impl Health {
    /// Of a workspace that its caller has locked, with the folders that are always in it.
    pub(super) fn new(workspace: PathBuf, folders: &[&str]) -> Self {
        let folders = folders.iter().map(|folder| workspace.join(folder)).collect();
        Self { workspace, folders, state: Mutex::default() }
    }

    /// Looks, and mends what can be mended; whether it is otherwise than at the last look.
    pub(super) fn look(&self) -> bool {
        let mut state = self.state();
        let ill = self.mend(&mut state).err();
        let changed = ill != state.ill;
        match (&ill, changed) {
            (Some(why), true) => warn!(why, "nothing is taken until the workspace can be used"),
            (None, true) => info!(workspace = %self.workspace.display(), "the workspace can be used again"),
            (_, false) => {}
        }
        state.ill = ill;
        changed
    }

    /// Why nothing can be taken, as it was last seen.
    pub(super) fn wants(&self) -> Option<String> {
        self.state().ill.clone()
    }

    fn mend(&self, state: &mut State) -> Result<(), String> {
        let told =
            |dir: &Path, error: &dyn std::fmt::Display| format!("the workspace of this worker cannot be used: {}: {error}", dir.display());
        if !self.workspace.join(LOCK).is_file() {
            warn!(workspace = %self.workspace.display(), "the workspace is gone; it is made anew");
            let lock = DirLock::acquire(&self.workspace, "worker join").map_err(|error| told(&self.workspace, &error))?;
            state.lock = Some(lock);
        }
        for folder in self.folders.iter().filter(|folder| !folder.is_dir()) {
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
            made.map_err(|error| told(folder, &error))?;
            info!(folder = %folder.display(), "made anew");
        }
        match self.write() {
            Ok(()) => Ok(()),
            // How much room there is, is looked at elsewhere.
            Err(error) if fsx::is_full(&error) => Ok(()),
            Err(error) => Err(told(&self.workspace, &error)),
        }
    }

    fn write(&self) -> io::Result<()> {
        let probe = self.workspace.join(PROBE);
        std::fs::write(&probe, "probe")?;
        std::fs::remove_file(&probe)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_workspace_that_was_taken_away_is_made_anew_and_one_that_cannot_be_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let workspace = dir.path().join("w");
        std::fs::create_dir(&workspace).unwrap();
        let health = Health::new(workspace.clone(), &["trees", "cache"]);
        assert!(!health.look() && health.wants().is_none());
        std::fs::remove_dir_all(&workspace).unwrap();
        assert!(!health.look() && workspace.join("trees").is_dir() && workspace.join("cache").is_dir());
        // Nobody else may take it meanwhile.
        assert!(DirLock::acquire(&workspace, "another").is_err());
        std::fs::remove_dir_all(&workspace).unwrap();
        std::fs::write(&workspace, "a file").unwrap();
        assert!(health.look());
        assert!(health.wants().unwrap().contains(workspace.to_str().unwrap()));
        std::fs::remove_file(&workspace).unwrap();
        assert!(health.look() && health.wants().is_none());
    }
}
