//! A host on which a worker of the simulation runs: what outlives its crashes (its disk), its object cache, and the runner that plays attempts. The agents
//! are played here, in process; the session, the spool and all that goes over the network are the real ones.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use roundtable_runtime::clock::{Clock, ManualClock};
use roundtable_runtime::identity::Credentials;
use roundtable_shared::view::EventLine;
use roundtable_shared::{
    AgentEvent, AttemptFacts, BackendName, BackendOffer, CommitId, Failure, FailureKind, Lease, LeftOut, Role, TurnData, UnitId, Usage,
};
use roundtable_tests::plans::Plan;
use roundtable_worker::session::{Job, Pieces, Progress, Runner, RunnerError};
use serde_json::json;
use tokio::sync::{mpsc, watch};

use crate::git;

/// Pieces of a pack are of this size.
const PIECE_BYTES: usize = 64 << 10;
/// Backend of all workers.
const BACKEND: &str = "scripted";

/// The host.
pub struct Machine {
    pub name: String,
    pub dir: PathBuf,
    pub clock: ManualClock,
    pub credentials: Credentials,
    pub repository: String,
    slots: u32,
    plan: Arc<Plan>,
    starts: AtomicU64,
    held: AtomicUsize,
    disk: Mutex<Disk>,
}

/// What is on its disk, beside the spool and the cache.
#[derive(Default)]
struct Disk {
    /// Commits that the cache has with all they need.
    haves: BTreeSet<String>,
    /// What attempts have done so far, by lease.
    worktrees: BTreeMap<String, String>,
}

impl Machine {
    pub fn new(
        name: String,
        dir: PathBuf,
        clock: ManualClock,
        credentials: Credentials,
        repository: String,
        slots: u32,
        plan: Arc<Plan>,
    ) -> Self {
        let (starts, held, disk) = (AtomicU64::new(0), AtomicUsize::new(0), Mutex::default());
        git::init(&dir.join("cache.git")).unwrap_or_else(|error| panic!("{name}: {error}"));
        Self { name, dir, clock, credentials, repository, slots, plan, starts, held, disk }
    }

    /// It starts once more: how often it has.
    pub fn next_start(&self) -> u64 {
        self.starts.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Attempts its worker holds, as it was last told.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::SeqCst)
    }

    /// Tells how many attempts it holds.
    pub fn holds(&self, count: usize) {
        self.held.store(count, Ordering::SeqCst);
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cache(&self) -> PathBuf {
        self.dir.join("cache.git")
    }

    /// A commit of a unit's files on top of where the attempt began, each with the unit's line; those after the first only with `all`.
    fn write(&self, lease: &Lease, unit: &UnitId, paths: &[String], all: bool) -> Result<String, String> {
        let (dir, start) = (self.cache(), lease.start.to_string());
        let paths = if all { paths } else { &paths[..paths.len().min(1)] };
        let line = format!("unit {unit}\n");
        let found = git::read(&dir, &start, paths)?;
        let files = paths.iter().zip(found).map(|(path, text)| {
            let text = text.unwrap_or_default();
            let text = if text.lines().any(|known| known == line.trim_end()) { text } else { text + &line };
            (path.clone(), text)
        });
        let files: Vec<_> = files.collect();
        let name = lease.lease.lease_id.to_string();
        let commit = git::commit(&dir, Some(&start), &name, self.clock.wall().0 / 1000, &format!("Work on unit {unit}"), &files)?;
        let mut disk = self.disk();
        disk.haves.insert(commit.clone());
        disk.worktrees.insert(name, commit.clone());
        Ok(commit)
    }

    fn worktree(&self, lease: &Lease) -> Option<CommitId> {
        self.disk().worktrees.get(&lease.lease.lease_id.to_string()).cloned().map(CommitId::new)
    }
}

/// Plays attempts on a host.
pub struct Player(pub Arc<Machine>);

impl Player {
    /// Work on the host's disk, off the runtime: it takes no time.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Machine) -> Result<T, String> + Send + 'static,
    ) -> Result<T, RunnerError> {
        let machine = Arc::clone(&self.0);
        let done = tokio::task::spawn_blocking(move || work(&machine)).await;
        done.unwrap_or_else(|error| Err(error.to_string())).map_err(RunnerError)
    }

    async fn write(&self, lease: &Lease, data: &TurnData, all: bool) -> Result<CommitId, RunnerError> {
        let (lease, unit, paths) = (lease.clone(), data.unit.clone().unwrap_or_else(|| UnitId::from("-")), data.writes.clone());
        self.blocking(move |machine| machine.write(&lease, &unit, &paths, all)).await.map(CommitId::new)
    }

    /// The turn; the answer, or why there is none.
    async fn play(&self, job: &Job, data: &TurnData) -> Result<String, Failure> {
        let planned = data
            .unit
            .as_ref()
            .and_then(|unit| unit.as_str().parse::<usize>().ok())
            .and_then(|id| self.0.plan.units.get(id.checked_sub(1)?));
        let (implement, review) = planned.map_or((1_000, 1_000), |unit| (unit.implement_ms, unit.review_ms));
        let total = Duration::from_millis(if data.role.writes() { implement } else { review });
        let mut cancel = job.cancel.clone();
        let bug = |error: RunnerError| Failure { kind: FailureKind::Bug, message: error.0 };
        for step in 1..=4_u32 {
            say(job, &self.0.clock, &format!("step {step} of {}", data.role));
            tokio::select! {
                () = tokio::time::sleep(total / 4) => {}
                () = stopped(&mut cancel) => return Err(Failure { kind: FailureKind::Interrupted, message: "stopped".to_owned() }),
            }
            if step == 2 && data.role.writes() {
                self.write(&job.lease, data, false).await.map_err(bug)?;
            }
        }
        let _ = job.progress.send(Progress::Ending).await;
        let answer = match data.role {
            Role::Implement | Role::Fix => {
                self.write(&job.lease, data, true).await.map_err(bug)?;
                let done: Vec<String> = data.open_subtasks.iter().map(|task| task.id.to_string()).collect();
                json!({"status": "completed", "completed_subtasks": done, "summary": "played"})
            }
            Role::Review => json!({"severity": "none", "summary": "nothing found", "details": "", "issues": []}),
            Role::Assign | Role::Orchestrate | Role::Check => json!({}),
        };
        Ok(answer.to_string())
    }
}

/// Returns once the attempt is to stop.
async fn stopped(cancel: &mut watch::Receiver<Option<String>>) {
    if cancel.wait_for(Option::is_some).await.is_err() {
        // Nobody can stop it any more.
        std::future::pending::<()>().await;
    }
}

fn say(job: &Job, clock: &ManualClock, text: &str) {
    job.push(EventLine { at: clock.wall(), event: AgentEvent::Message { text: text.to_owned() } });
}

impl Runner for Player {
    fn offers(&self) -> Vec<BackendOffer> {
        let offer = BackendOffer {
            name: BackendName::from(BACKEND),
            pool: BACKEND.to_owned(),
            slots: self.0.slots,
            version: "1".to_owned(),
            account: String::new(),
            serves_all: true,
            unavailable: String::new(),
        };
        vec![offer]
    }

    fn changes(&self) -> watch::Receiver<u64> {
        watch::channel(0).1
    }

    async fn attend(&self) {
        std::future::pending().await
    }

    fn full(&self) -> Option<String> {
        None
    }

    fn make_room(&self) {}

    fn tidy(&self, _: &[Lease], unfinished: &[Lease]) {
        let kept: BTreeSet<String> = unfinished.iter().map(|lease| lease.lease.lease_id.to_string()).collect();
        self.0.disk().worktrees.retain(|name, _| kept.contains(name));
    }

    /// Nothing ever leaves the cache.
    fn owes(&self, _: &Lease) {}

    fn repositories(&self) -> Vec<String> {
        if self.0.disk().haves.is_empty() { Vec::new() } else { vec![self.0.repository.clone()] }
    }

    async fn has(&self, _: &str, commit: &CommitId) -> Result<bool, RunnerError> {
        Ok(self.0.disk().haves.contains(commit.as_str()))
    }

    async fn haves(&self, _: &str) -> Result<Vec<CommitId>, RunnerError> {
        Ok(self.0.disk().haves.iter().take(64).cloned().map(CommitId::new).collect())
    }

    async fn receive(&self, _: &str, commit: &CommitId, mut pieces: Pieces) -> Result<(), RunnerError> {
        let mut pack = Vec::new();
        while let Some(piece) = pieces.recv().await {
            pack.extend_from_slice(&piece?);
        }
        self.blocking(move |machine| git::take(&machine.cache(), &pack)).await?;
        self.0.disk().haves.insert(commit.to_string());
        Ok(())
    }

    async fn pack(&self, _: &str, commit: &CommitId, haves: &[CommitId]) -> Result<Pieces, RunnerError> {
        let (commit, haves) = (commit.to_string(), haves.iter().map(ToString::to_string).collect::<Vec<_>>());
        let pack = self.blocking(move |machine| git::pack(&machine.cache(), &commit, &haves)).await?;
        let pieces: Vec<_> = pack.chunks(PIECE_BYTES).map(bytes_of).collect();
        let (sender, receiver) = mpsc::channel(pieces.len().max(1));
        for piece in pieces {
            let _ = sender.try_send(Ok(piece));
        }
        Ok(receiver)
    }

    async fn run(&self, job: Job) -> AttemptFacts {
        let data = job.lease.turn_data.clone();
        let _ = job.progress.send(Progress::Started).await;
        let (failure, answer) = match self.play(&job, &data).await {
            Ok(answer) => (None, answer),
            Err(failure) => (Some(failure), String::new()),
        };
        AttemptFacts {
            exit_code: failure.is_none().then_some(0),
            failure,
            answer,
            commit: if data.role.writes() { self.0.worktree(&job.lease).or_else(|| Some(job.lease.start.clone())) } else { None },
            left_out: LeftOut::default(),
            done: Vec::new(),
            agent_session: None,
            usage: Usage::default(),
            last_event_seq: 0,
        }
    }

    async fn in_progress(&self, lease: &Lease) -> Result<Option<CommitId>, RunnerError> {
        Ok(self.0.worktree(lease))
    }

    async fn salvage(&self, lease: &Lease) -> Option<CommitId> {
        if lease.role.writes() { self.0.worktree(lease) } else { None }
    }

    async fn forget(&self, lease: &Lease) {
        self.0.disk().worktrees.remove(&lease.lease.lease_id.to_string());
    }
}

fn bytes_of(piece: &[u8]) -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(piece)
}
