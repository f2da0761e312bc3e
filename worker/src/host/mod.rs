//! The host of agents: backends on offer, object caches, worktrees and process trees, put together as the session's [`Runner`].

mod cache;
mod health;
mod offers;
mod played;
mod quotas;
mod report;
mod room;
mod setup;
mod sink;
mod size;
mod tree;
mod turn;
mod yard;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use roundtable_runtime::git::{GitError, GitProgram};
use roundtable_shared::{AttemptFacts, BackendName, BackendOffer, CHECK_BACKEND, CommitId, Lease, TurnData};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::args::BackendSlots;
use crate::backend::{Backend, BackendError, Host, doctor};
use crate::process::{ProcessError, Supervisor, SupervisorOptions};
use crate::session::{Job, Pieces, Runner, RunnerError};
use crate::tmux::Tmux;

use cache::Caches;
use health::Health;
use offers::Offers;
pub use quotas::Quotas;
use room::{Level, Room};
use setup::Setups;
use tree::Trees;

/// How often it is looked at what the object caches hold.
const CACHES_EVERY: Duration = Duration::from_secs(600);
/// Most conversations that are kept for resuming.
const SESSIONS_MAX: usize = 2000;

/// How a host is set up.
pub struct HostOptions {
    /// The worker's folder, locked by the caller.
    pub workspace: PathBuf,
    /// What the workers of this host have in common: the data directory.
    pub shared: PathBuf,
    /// Programs and configuration of backends.
    pub host: Arc<Host>,
    /// What is served, with slots.
    pub backends: Vec<BackendSlots>,
    /// A login that was refused is probed again after this.
    pub park_probe: Duration,
    /// Where attempts are shown.
    pub tmux: Option<Arc<Tmux>>,
    /// What it may keep, and take at once.
    pub quotas: Quotas,
}

/// Why a host cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// A backend cannot be served.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// No way to contain process trees.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// No usable git.
    #[error(transparent)]
    Git(#[from] GitError),
    /// A folder of the workspace.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Runs agents on this machine.
pub struct AgentHost {
    host: Arc<Host>,
    supervisor: Supervisor,
    backends: BTreeMap<BackendName, Arc<dyn Backend>>,
    offers: Offers,
    caches: Arc<Caches>,
    trees: Trees,
    setups: Setups,
    /// Conversations that could be resumed, by file.
    sessions: PathBuf,
    room: Room,
    health: Health,
    tmux: Option<Arc<Tmux>>,
    quotas: Quotas,
}

impl AgentHost {
    /// Kills leftovers, opens backends and asks each CLI for its version.
    pub async fn open(options: HostOptions) -> Result<Self, HostError> {
        let io = |path: &PathBuf| {
            let path = path.clone();
            move |source| HostError::Io { path, source }
        };
        let sessions = options.workspace.join("sessions");
        std::fs::create_dir_all(&sessions).map_err(io(&sessions))?;
        let slots: u32 = options.backends.iter().map(|each| each.slots.unwrap_or(1)).sum();
        let mut supervisor_options = SupervisorOptions::new(&options.workspace);
        supervisor_options.warm = slots.clamp(1, 4) as usize;
        let supervisor = Supervisor::start(supervisor_options).await?;
        if !supervisor.leftovers().killed.is_empty() {
            info!(killed = ?supervisor.leftovers().killed, "processes of an earlier life were killed");
        }
        info!(strategy = ?supervisor.strategy().strategy, "process trees are contained");
        let mut backends = BTreeMap::new();
        let mut offers = Vec::new();
        for wanted in with_reviews(&options.backends, &options.host) {
            if wanted.slots == 0 {
                continue;
            }
            let backend = options.host.open(&wanted.name)?;
            let version = turn::version(&supervisor, &options.workspace, backend.as_ref()).await;
            offers.push(BackendOffer {
                name: BackendName::from(wanted.name.clone()),
                pool: wanted.pool,
                slots: wanted.slots,
                version: version.as_ref().map_or_else(String::new, Clone::clone),
                account: backend.account(),
                serves_all: wanted.name.starts_with("scripted:"),
                unavailable: String::new(),
            });
            backends.insert(BackendName::from(wanted.name), backend);
        }
        offers.push(BackendOffer {
            name: BackendName::from(CHECK_BACKEND),
            pool: CHECK_BACKEND.to_owned(),
            slots: check_slots(&options.backends),
            version: String::new(),
            account: String::new(),
            serves_all: false,
            unavailable: String::new(),
        });
        let program = GitProgram::find().await?;
        let trees = Trees::open(options.workspace.join("trees"), options.quotas.worktree_bytes).map_err(io(&options.workspace))?;
        let setups = Setups::open(options.workspace.join("setups")).map_err(io(&options.workspace))?;
        let caches = Arc::new(Caches::new(options.workspace.join("cache"), program, options.quotas.receive()));
        let health = Health::new(options.workspace.clone(), &["trees", "setups", "cache", "sessions", "spool"]);
        let room = Room::new(options.workspace.clone(), &options.shared);
        let offers = Offers::new(offers, options.park_probe);
        let HostOptions { host, tmux, quotas, .. } = options;
        Ok(Self { host, supervisor, backends, offers, caches, trees, setups, sessions, room, health, tmux, quotas })
    }

    fn backend(&self, name: &BackendName) -> Option<&Arc<dyn Backend>> {
        self.backends.get(name)
    }

    /// The backend that plays the check instead of the command, if one does.
    fn plays_check(&self, turn: &TurnData) -> Option<&Arc<dyn Backend>> {
        self.backends.values().find(|backend| backend.plays_check(turn))
    }

    /// Looks at workspace and disk.
    fn look(&self) {
        if self.health.look() {
            self.offers.changed();
        }
        self.room.look();
    }

    /// Looks at workspace and disk in a rhythm.
    async fn watch_disk(&self) {
        let mut rhythm = tokio::time::interval(room::LOOK_EVERY);
        let mut seen = self.room.watch();
        loop {
            rhythm.tick().await;
            self.look();
            if seen.has_changed().unwrap_or(false) {
                if *seen.borrow_and_update() < Level::Enough {
                    self.trees.remove_idle().await;
                    self.bound_caches(0).await;
                }
                self.offers.changed();
            }
        }
    }

    /// Has the object caches be within their bound, now and then.
    async fn watch_caches(&self) {
        let mut rhythm = tokio::time::interval(CACHES_EVERY);
        loop {
            rhythm.tick().await;
            self.bound_caches(self.quotas.cache_bytes).await;
        }
    }

    async fn bound_caches(&self, bytes_max: u64) {
        let caches = Arc::clone(&self.caches);
        if let Err(error) = tokio::task::spawn_blocking(move || caches.keep_within(bytes_max)).await {
            warn!(%error, "the object caches could not be looked at");
        }
    }

    /// Probes refused logins and configurations, each by a real call, until they work again.
    async fn probe_logins(&self) {
        let mut changes = self.offers.changes();
        loop {
            let Some((backend, at)) = self.offers.next_probe() else {
                // The sender is ours.
                let _ = changes.changed().await;
                continue;
            };
            tokio::select! {
                () = tokio::time::sleep_until(at) => {}
                _ = changes.changed() => continue,
            }
            let report = doctor::probe(&self.host, backend.as_str(), &self.supervisor, false).await;
            let works = report.checks.iter().any(|check| check.check == "logged_in" && check.ok == Some(true));
            info!(%backend, works, "a refused backend was probed");
            if works { self.offers.accept(&backend) } else { self.offers.postpone(&backend) }
        }
    }

    fn wants(&self) -> Option<String> {
        let starved = || self.offers.is_starved().then(|| "the disk of this worker was full; what it ended is being delivered".to_owned());
        self.health.wants().or_else(|| self.room.wants()).or_else(starved)
    }
}

impl Runner for AgentHost {
    fn offers(&self) -> Vec<BackendOffer> {
        self.offers.list(self.wants().as_deref())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.offers.changes()
    }

    async fn attend(&self) {
        tokio::join!(self.watch_disk(), self.watch_caches(), self.probe_logins());
    }

    fn full(&self) -> Option<String> {
        self.look();
        self.wants()
    }

    fn make_room(&self) {
        self.room.give_ballast();
    }

    fn tidy(&self, owed: &[Lease], unfinished: &[Lease]) {
        self.trees.keep_only(unfinished);
        owed.iter().for_each(|lease| self.owes(lease));
        self.caches.keep_within(self.quotas.cache_bytes);
        keep_newest(&self.sessions, SESSIONS_MAX);
    }

    fn owes(&self, lease: &Lease) {
        self.caches.hold(&lease.lease, &lease.repository);
    }

    fn repositories(&self) -> Vec<String> {
        self.caches.repositories()
    }

    async fn has(&self, repository: &str, commit: &CommitId) -> Result<bool, RunnerError> {
        self.caches.has(repository, commit).await
    }

    async fn haves(&self, repository: &str) -> Result<Vec<CommitId>, RunnerError> {
        self.caches.haves(repository).await
    }

    async fn receive(&self, repository: &str, commit: &CommitId, pieces: Pieces) -> Result<(), RunnerError> {
        self.caches.receive(repository, commit, pieces).await
    }

    async fn pack(&self, repository: &str, commit: &CommitId, haves: &[CommitId]) -> Result<Pieces, RunnerError> {
        self.caches.pack(repository, commit, haves).await
    }

    async fn run(&self, job: Job) -> AttemptFacts {
        self.caches.hold(&job.lease.lease, &job.lease.repository);
        let _shown = self.tmux.as_ref().map(|tmux| tmux.show(&job));
        turn::run(self, job).await
    }

    async fn in_progress(&self, lease: &Lease) -> Result<Option<CommitId>, RunnerError> {
        // Beside an agent that needs the last of the room it would do harm.
        if *self.room.watch().borrow() < Level::Enough {
            return Ok(None);
        }
        let git = self.caches.open(&lease.repository).await?;
        self.trees.in_progress(&git, lease).await
    }

    async fn salvage(&self, lease: &Lease) -> Option<CommitId> {
        if !lease.role.writes() {
            return None;
        }
        let git = self.caches.open(&lease.repository).await.ok()?;
        match self.trees.salvage(&git, lease).await {
            Ok(commit) => commit,
            Err(error) => {
                warn!(lease = %lease.lease.key, %error, "what was left in the worktree could not be saved");
                None
            }
        }
    }

    async fn forget(&self, lease: &Lease) {
        let may_lie = self.room.look() == Level::Enough && !self.offers.has_starved(&lease.lease);
        self.trees.remove(lease, may_lie).await;
        self.caches.release(&lease.lease);
        self.offers.delivered(&lease.lease);
    }
}

/// Removes the oldest files of a folder beyond a number.
fn keep_newest(dir: &Path, files_max: usize) {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries.filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path()))).collect();
    files.sort_by(|a, b| b.cmp(a));
    for (_, file) in files.into_iter().skip(files_max) {
        if let Err(error) = std::fs::remove_file(&file) {
            warn!(file = %file.display(), %error, "an old conversation could not be forgotten");
        }
    }
}

/// A backend to open.
struct Wanted {
    name: String,
    pool: String,
    slots: u32,
}

/// Checks that run at once: as many as asked for, one where nobody did.
fn check_slots(asked: &[BackendSlots]) -> u32 {
    asked.iter().rev().find(|each| each.name == CHECK_BACKEND).and_then(|each| each.slots).unwrap_or(1)
}

/// What agents were asked for, with `codex-review` beside `codex` on the same slots unless it has slots of its own.
fn with_reviews(asked: &[BackendSlots], host: &Arc<Host>) -> Vec<Wanted> {
    let agents = asked.iter().filter(|each| each.name != CHECK_BACKEND);
    let mut wanted: Vec<Wanted> =
        agents.map(|each| Wanted { name: each.name.clone(), pool: each.name.clone(), slots: each.slots.unwrap_or(1) }).collect();
    let codex = wanted.iter().find(|each| each.name == "codex").map(|each| each.slots);
    let explicit = wanted.iter().any(|each| each.name == "codex-review");
    if let Some(slots) = codex
        && !explicit
        && host.open("codex-review").is_ok()
    {
        wanted.push(Wanted { name: "codex-review".to_owned(), pool: "codex".to_owned(), slots });
    }
    wanted
}

/// Folders in use, so that two attempts never share one.
#[derive(Clone, Default)]
struct InUse(Arc<Mutex<HashSet<PathBuf>>>);

impl InUse {
    fn claim(&self, path: PathBuf) -> Option<Claim> {
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        used.insert(path.clone()).then(|| Claim { path, used: self.clone() })
    }
}

/// A folder nobody else may use until this is dropped.
struct Claim {
    path: PathBuf,
    used: InUse,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.used.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.path);
    }
}

/// Worktrees of attempts under way: kept from the run to the delivery, so that their folders stay claimed.
type Held = Mutex<HashMap<roundtable_shared::LeaseRef, Claim>>;
