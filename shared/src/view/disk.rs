//! What a data directory takes on the disk, as `du` shows it. All sizes are bytes that the disk has given away.

use serde::{Deserialize, Serialize};

use super::Word;
use crate::domain::RunStatus;

/// `du --json`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct DiskView {
    /// The coordinator's data directory.
    pub data_dir: String,
    /// All of it.
    pub bytes: u64,
    /// Free on its disk.
    pub free_bytes: u64,
    /// The log: rows of all runs, also of removed ones.
    pub log_bytes: u64,
    /// Runs of which anything is there, oldest first.
    pub runs: Vec<RunDisk>,
    /// Repositories: objects of all runs of the same repository.
    pub repositories: Vec<RepositoryDisk>,
    /// Workers of this host whose workspace lies in the data directory.
    pub workers: Vec<WorkerDisk>,
    /// Room that the workers of this host keep for a full disk; shared by all of them, and given back by itself.
    pub ballast_bytes: u64,
    /// The last texts of mirror files that this user's commands wrote, by which an edit is told from them.
    pub mirrors_bytes: u64,
    /// Everything else: certificates, locks.
    pub other_bytes: u64,
}

/// A run's own files.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct RunDisk {
    /// Id; that of a folder if no run of that name is known.
    pub run: String,
    /// As in `RunLine`; no word (`""`) if no run of that name is known.
    pub status: Word<RunStatus>,
    /// RFC 3339; null while unfinished.
    pub ended_at: Option<String>,
    /// It is complete, with commits that nobody has accepted.
    pub to_accept: bool,
    /// What its agents said.
    pub events_bytes: u64,
    /// What its agents were told.
    pub prompts_bytes: u64,
    /// Files under `copy`, while it is unfinished.
    pub attached_bytes: u64,
}

impl RunDisk {
    /// All of it.
    pub fn bytes(&self) -> u64 {
        self.events_bytes + self.prompts_bytes + self.attached_bytes
    }
}

/// One repository.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct RepositoryDisk {
    /// Its root commit.
    pub repository: String,
    /// Its size.
    pub bytes: u64,
    /// Runs whose commits it keeps.
    pub runs: u32,
}

/// One worker's workspace.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct WorkerDisk {
    /// Its name.
    pub worker: String,
    /// What it owes, or keeps a day.
    pub spool_bytes: u64,
    /// Worktrees under way, and idle ones.
    pub trees_bytes: u64,
    /// Objects by repository.
    pub cache_bytes: u64,
    /// Results of `setup`, conversations, and the rest.
    pub other_bytes: u64,
}

impl WorkerDisk {
    /// All of it.
    pub fn bytes(&self) -> u64 {
        self.spool_bytes + self.trees_bytes + self.cache_bytes + self.other_bytes
    }
}
