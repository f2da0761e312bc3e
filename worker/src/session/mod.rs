//! The worker's side of a session: the link to the coordinator, the leases it holds, and the delivery of what they produce. How an attempt is run is
//! behind [`Runner`].

mod bulk;
mod deliver;
mod dial;
mod fence;
mod fetch;
mod large;
mod link;
mod put;
mod save;
mod work;

use std::path::PathBuf;

use bytes::Bytes;
use roundtable_shared::view::EventLine;
use roundtable_shared::{AttemptFacts, BackendOffer, CommitId, Lease};
use tokio::sync::{mpsc, watch};

pub use bulk::Bulk;
pub use dial::{Dial, DialError};
pub use fence::{Beats, Fence};
pub use link::{Frames, LinkEnd, keep};
pub use work::Work;

use crate::spool::AttemptSpool;

/// Pieces of a pack.
pub type Pieces = mpsc::Receiver<Result<Bytes, RunnerError>>;

/// A file that came with the run (`copy`).
#[derive(Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Repository-relative path.
    pub path: PathBuf,
    /// Permission bits.
    pub mode: u32,
    /// Content.
    pub data: Vec<u8>,
}

impl std::fmt::Debug for Attachment {
    /// Without the content: it may be a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Attachment({}, {} bytes)", self.path.display(), self.data.len())
    }
}

/// Why the worker's own part of an attempt failed: counts as infra, not against the unit.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct RunnerError(pub String);

/// How far an attempt is, as its runner tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Progress {
    /// Worktree and setup: what is being done.
    Preparing(String),
    /// The agent runs.
    Started,
    /// The tree is being ended, the commit made.
    Ending,
}

/// All one attempt needs to run.
pub struct Job {
    /// The lease.
    pub lease: Lease,
    /// Files under `copy`.
    pub attachments: Vec<Attachment>,
    /// Where its events go.
    pub events: AttemptSpool,
    /// Tells how far it is.
    pub progress: mpsc::Sender<Progress>,
    /// Some with a reason once it is to stop: its work is committed all the same.
    pub cancel: watch::Receiver<Option<String>>,
}

impl Job {
    /// Spools an event, now.
    pub fn push(&self, line: EventLine) {
        if let Err(error) = self.events.push(line) {
            tracing::warn!(lease = %self.lease.lease.key, %error, "an event could not be spooled");
        }
    }
}

/// Runs attempts and keeps repositories. Implemented over worktrees and process trees; tests of the session bring their own.
pub trait Runner: Send + Sync + 'static {
    /// What is offered now; what cannot be used says why.
    fn offers(&self) -> Vec<BackendOffer>;
    /// Changes whenever the offers do.
    fn changes(&self) -> watch::Receiver<u64>;
    /// Looks after the machine for as long as it is polled: its disk, its logins.
    fn attend(&self) -> impl Future<Output = ()> + Send;
    /// Why nothing can be taken now; `None` if there is room for work.
    fn full(&self) -> Option<String>;
    /// An attempt's last words find no room: gives up what was kept for them.
    fn make_room(&self);
    /// An earlier life left what `owed` names, of which `unfinished` was being run: what else it left behind may go.
    fn tidy(&self, owed: &[Lease], unfinished: &[Lease]);
    /// What a lease left is owed again, though it had been delivered: its commit stays until the lease is forgotten.
    fn owes(&self, lease: &Lease);
    /// Keys of the repositories that have an object cache.
    fn repositories(&self) -> Vec<String>;
    /// Whether a commit is in the object cache.
    fn has(&self, repository: &str, commit: &CommitId) -> impl Future<Output = Result<bool, RunnerError>> + Send;
    /// Commits of a repository the coordinator may count on.
    fn haves(&self, repository: &str) -> impl Future<Output = Result<Vec<CommitId>, RunnerError>> + Send;
    /// Puts a pack that brings `commit` into the object cache.
    fn receive(&self, repository: &str, commit: &CommitId, pieces: Pieces) -> impl Future<Output = Result<(), RunnerError>> + Send;
    /// A pack of `commit` for a coordinator that has `haves`.
    fn pack(&self, repository: &str, commit: &CommitId, haves: &[CommitId]) -> impl Future<Output = Result<Pieces, RunnerError>> + Send;
    /// Runs an attempt to its end; whatever the end, what is in the worktree is committed and nothing of it runs any more.
    fn run(&self, job: Job) -> impl Future<Output = AttemptFacts> + Send;
    /// A commit of what a running attempt has done so far, without disturbing it; `None` while there is nothing.
    fn in_progress(&self, lease: &Lease) -> impl Future<Output = Result<Option<CommitId>, RunnerError>> + Send;
    /// Commits what an earlier life of this worker left in an attempt's worktree, if it is there.
    fn salvage(&self, lease: &Lease) -> impl Future<Output = Option<CommitId>> + Send;
    /// The attempt has been delivered: its worktree may go.
    fn forget(&self, lease: &Lease) -> impl Future<Output = ()> + Send;
}

#[cfg(test)]
mod tests;
