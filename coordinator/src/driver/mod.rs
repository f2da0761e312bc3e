//! The driver: the one task that owns the core. It drains its queue into a batch, makes that durable with one append, and only then lets replies, effects
//! and views out (durable before visible; the core's batch gives nothing out without the proof). It owns no rule of the workflow and does no IO but the append.

mod barred;
mod codec;
mod handle;
mod hold;
mod leases;
mod measures;
mod published;
mod recover;
mod sessions;
mod snapshot;
mod state;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use roundtable_core::command::{Command, Now};
use roundtable_core::effect::Effect;
use roundtable_core::fleet::Waits;
use roundtable_core::state::{Attempt, Run};
use roundtable_core::transition::{Fact, Transition};
use roundtable_core::{Batch, Core, Entropy, Pending, Publisher, Rejection, Released, Reply, invariants};
use roundtable_runtime::clock::Clock;
use roundtable_shared::{AttemptKey, AttemptNo, LeaseRef, RunId, UnitId};
use roundtable_store::{AppendError, Head, Log, ReadError, Snapshots};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tracing::{debug, error, warn};

pub use barred::{Barred, How, name_of};
pub use codec::{CodecError, decode_row, encode_transition};
pub use handle::{Handle, HandleError};
use handle::{Message, QUEUE_MAX};
pub use hold::problem;
pub use leases::{KnownLease, Leases};
pub use measures::{Histogram, Measures, Tokens};
use published::Published;
pub use recover::{FoldError, Folded, fold, fold_seen, recover};
pub use sessions::{SESSION_QUEUE_MAX, Sessions};
use snapshot::Snapshotter;
pub use state::{codec, decode_state, encode_state};

/// Commands of one batch, so that a flood of them still lets answers and the clock through.
const BATCH_MAX: usize = 1024;
/// The clock's command comes this often, whatever else there is to do.
const TICK_MS: u64 = 250;
/// Units of a state that debug builds examine after each batch.
const EXAMINED_UNITS_MAX: usize = 250;

/// What the driver is made of; the caller supplies everything that touches the world.
pub struct Parts {
    /// The log.
    pub log: Arc<dyn Log>,
    /// Where snapshots of what it comes to are kept.
    pub snapshots: Snapshots,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Seed of lease ids.
    pub seed: u64,
    /// Where effects go, in order. The reader takes them at once and bounds its own work, so the driver never waits for it long.
    pub effects: mpsc::Sender<Effect>,
}

/// Why the driver ended other than by being told to.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The log could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The log could not be folded at the start.
    #[error(transparent)]
    Fold(#[from] FoldError),
    /// A fact cannot be written.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The append failed and its result is unknown (or the end would not wait for it): nothing of the batch is visible, and nothing can be promised any more.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// An invariant does not hold; nothing of the batch was made durable.
    #[error("an invariant is broken, which is a bug; the state on disk is from before it: {0}")]
    Broken(String),
}

/// A folded core, ready to run.
pub struct Driver {
    core: Core,
    parts: Parts,
    entropy: Entropy,
    head: u64,
    snapshotter: Snapshotter,
    queue: mpsc::Receiver<Message>,
    publisher: Publisher,
    readers: watch::Sender<Arc<Core>>,
    published: watch::Sender<u64>,
    /// Why the log cannot be written now.
    trouble: watch::Sender<Option<String>>,
    /// Commands that came while it could not, to be decided first.
    kept: VecDeque<Message>,
    leases: Leases,
    barred: Barred,
    measures: Arc<Measures>,
    /// When the present batch began.
    began: Instant,
    /// Grants that no worker has taken yet, and when the batch began that made them. Only of live leases, so bounded by the fleet.
    granted: HashMap<AttemptKey, Instant>,
    seen: Seen,
}

/// Gets a command before it is decided, and gives the one that is. For simulations, which plant mistakes here to see them found.
pub type Seen = fn(&Core, Command) -> Command;

/// What others get of a driver.
#[derive(Clone)]
pub struct Links {
    /// For commands, and reads beside them.
    pub handle: Handle,
    /// Sequence number of the last durable transition; changes after each append, once what it changed can be read.
    pub published: watch::Receiver<u64>,
    /// What the system says of appends it refuses, while it does; they are tried again.
    pub trouble: watch::Receiver<Option<String>>,
    /// The published leases.
    pub leases: Leases,
    /// The published list of peers that are refused.
    pub barred: Barred,
    /// What it measures of itself.
    pub measures: Arc<Measures>,
}

/// Who waits for a command's answer, if anybody does.
type Waiting = Option<oneshot::Sender<Result<Reply, Rejection>>>;

impl Driver {
    /// Folds the log, from its last snapshot on.
    pub async fn open(parts: Parts) -> Result<(Self, Links), DriverError> {
        let Folded { core, head, rows, bytes } = recover(parts.log.as_ref(), &parts.snapshots).await?;
        debug!(head, rows, "log folded");
        let snapshotter = Snapshotter::new(parts.snapshots.clone(), parts.log.incarnation(), rows, bytes);
        let (sender, queue) = mpsc::channel(QUEUE_MAX);
        let (published, receiver) = watch::channel(head);
        let leases = Leases::default();
        for run in core.state.runs.values().filter(|run| run.life.removed.is_none()) {
            publish_known(&leases, run);
        }
        let barred = Barred::default();
        barred.publish(&core.state.access);
        let (trouble, watched) = watch::channel(None);
        let measures = Arc::new(Measures::new(&parts.effects));
        let mut publisher = Publisher::default();
        let (readers, read) = Published::new(publisher.start(&core), Arc::clone(&parts.clock));
        let links = Links {
            handle: Handle::new(sender, read),
            published: receiver,
            trouble: watched,
            leases: leases.clone(),
            barred: barred.clone(),
            measures: Arc::clone(&measures),
        };
        let entropy = Entropy::new(parts.seed);
        let (kept, granted, began) = (VecDeque::new(), HashMap::new(), Instant::now());
        let seen: Seen = |_, command| command;
        let driver = Self {
            core,
            parts,
            entropy,
            head,
            snapshotter,
            queue,
            publisher,
            readers,
            published,
            trouble,
            kept,
            leases,
            barred,
            measures,
            began,
            granted,
            seen,
        };
        Ok((driver, links))
    }

    /// The same with commands that somebody sees first.
    #[must_use]
    pub fn seen_by(self, seen: Seen) -> Self {
        Self { seen, ..self }
    }

    /// With these waiting times.
    #[must_use]
    pub fn waiting(mut self, waits: Waits) -> Self {
        self.core.fleet.waits = waits;
        self
    }

    /// Runs until `shutdown` is true and what was queued by then is done, or the log fails.
    pub async fn run(mut self, mut shutdown: watch::Receiver<bool>) -> Result<(), DriverError> {
        let recovered = self.core.recover(self.now());
        let recovered = Batch::after(recovered).close(&self.core);
        self.commit(recovered, &mut shutdown).await?;
        let mut tick = tokio::time::interval(std::time::Duration::from_millis(TICK_MS));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let first = tokio::select! {
                biased;
                _ = shutdown.wait_for(|stop| *stop) => break,
                // Before the queue, which under sustained traffic is never empty: workers are lost and parks lifted on time all the same.
                _ = tick.tick() => Message { command: Box::new(Command::Tick), waiting: None },
                message = self.queue.recv() => match message {
                    Some(message) => message,
                    None => break,
                },
            };
            self.batch(first, true, &mut shutdown).await?;
            while let Some(first) = self.kept.pop_front() {
                self.batch(first, true, &mut shutdown).await?;
            }
        }
        // Whoever comes later is told that it has stopped; who came before gets an answer. Nothing new is granted any more.
        self.queue.close();
        while let Some(first) = self.next_kept_or_queued().await {
            self.batch(first, false, &mut shutdown).await?;
        }
        let durable = self.parts.log.head().await?;
        self.snapshotter.make_at_end(self.publisher.state(), durable, Instant::now()).await;
        debug!("driver ends");
        Ok(())
    }

    async fn next_kept_or_queued(&mut self) -> Option<Message> {
        match self.kept.pop_front() {
            Some(kept) => Some(kept),
            None => self.queue.recv().await,
        }
    }

    /// Decides everything that is queued and makes it durable at once.
    async fn batch(&mut self, first: Message, grants: bool, shutdown: &mut watch::Receiver<bool>) -> Result<(), DriverError> {
        self.began = Instant::now();
        let mut batch = Batch::default();
        let (mut next, mut room) = (Some(first), BATCH_MAX);
        while let Some(Message { command, waiting }) = next {
            let now = self.now();
            let command = (self.seen)(&self.core, *command);
            self.measure_taken(&command);
            batch.decide(&mut self.core, command, waiting, now, &mut self.entropy);
            room -= 1;
            next = if room > 0 { self.kept.pop_front().or_else(|| self.queue.try_recv().ok()) } else { None };
        }
        if grants {
            let now = self.now();
            batch.schedule(&mut self.core, now, &mut self.entropy);
        }
        self.commit(batch.close(&self.core), shutdown).await
    }

    /// One append, then everything that was waiting for it.
    async fn commit(&mut self, mut pending: Pending<Waiting>, shutdown: &mut watch::Receiver<bool>) -> Result<(), DriverError> {
        let mut durable = None;
        if !pending.transitions().is_empty() {
            self.examine()?;
            let began = Instant::now();
            let appended = self.append(&mut pending, shutdown).await.inspect_err(|error| error!(%error, "the append failed; stopping"))?;
            self.measures.append.observe(began.elapsed());
            self.head = appended.last_seq;
            durable = Some(Head { seq: appended.last_seq, hash: appended.head_hash });
        }
        let released = pending.release(self.head).map_err(|_| DriverError::Broken("a batch is not all in the log".to_owned()))?;
        if !released.transitions.is_empty() {
            for transition in &released.transitions {
                self.publish_lease(transition);
                self.measure(transition);
            }
            // Before anybody is answered: who is told of a revocation can rely on it.
            if released.transitions.iter().any(|transition| matches!(transition.fact, Fact::PeerRevoked { .. })) {
                self.barred.publish(&self.core.state.access);
            }
        }
        // Before anybody is answered and any effect is begun: who is told of a change, and who carries it out, can read it.
        self.publish(&released.transitions);
        if let Some(durable) = durable {
            self.snapshotter.make_if_due(self.publisher.state(), durable, Instant::now()).await;
        }
        self.let_out(released).await;
        Ok(())
    }

    /// Gives what is durable and published to those who wait for it.
    async fn let_out(&mut self, released: Released<Waiting>) {
        for (waiting, answer) in released.answers {
            match (waiting, answer) {
                // Whoever asked may have gone.
                (Some(waiting), answer) => drop(waiting.send(answer)),
                (None, Err(rejection)) => debug!(%rejection, "refused"),
                (None, Ok(_)) => {}
            }
        }
        for refused in &released.refused {
            warn!(run = %refused.run, unit = %refused.unit, from = %refused.from, to = %refused.to, "a move that no rule knows was refused");
        }
        for effect in released.effects {
            if self.parts.effects.send(effect).await.is_err() {
                debug!("the shell has ended");
                break;
            }
        }
    }

    /// Debug builds look at the whole of a state that is small enough before they make it durable, so that every test of the programs is one of the invariants.
    fn examine(&self) -> Result<(), DriverError> {
        let units = || self.core.state.runs.values().map(|run| run.units.len()).sum::<usize>();
        if !cfg!(debug_assertions) || units() > EXAMINED_UNITS_MAX {
            return Ok(());
        }
        let (state, fleet) = (&self.core.state, &self.core.fleet);
        match invariants::of_state(state).into_iter().chain(invariants::of_fleet(state, fleet)).next() {
            None => Ok(()),
            Some(violation) => {
                error!(%violation, "an invariant is broken; stopping");
                Err(DriverError::Broken(violation.to_string()))
            }
        }
    }

    /// Lets readers see the core as it is, which is durable now. Commands that decide no fact have changed the fleet.
    fn publish(&mut self, transitions: &[Transition]) {
        let mut changed: Vec<&RunId> = transitions.iter().filter_map(|transition| transition.run.as_ref()).collect();
        changed.sort_unstable();
        changed.dedup();
        self.readers.send_replace(Arc::new(self.publisher.publish(&self.core, changed)));
        if !transitions.is_empty() {
            self.published.send_replace(self.head);
        }
    }

    fn publish_lease(&self, transition: &Transition) {
        let Some(run) = &transition.run else { return };
        let key = |unit: &Option<UnitId>, attempt: AttemptNo| AttemptKey { run: run.clone(), unit: unit.clone(), attempt };
        match &transition.fact {
            Fact::LeaseGranted(granted) => {
                if let Some(known) = self.core.state.run(run) {
                    let lease = LeaseRef { key: key(&granted.unit, granted.attempt), lease_id: granted.lease_id };
                    self.leases.granted(lease, granted.worker.clone(), known.origin.source.repository.clone(), &granted.start);
                }
            }
            Fact::AttemptEnded { unit, attempt, .. } | Fact::AttemptLost { unit, attempt, .. } => self.leases.ended(&key(unit, *attempt)),
            Fact::RunRemoved { .. } => self.leases.forget(run),
            _ => {}
        }
    }

    /// A grant that its worker takes has been dispatched.
    fn measure_taken(&mut self, command: &Command) {
        if let Command::LeaseAccepted { lease, .. } = command
            && let Some(began) = self.granted.remove(&lease.key)
        {
            self.measures.dispatch.observe(began.elapsed());
        }
    }

    fn measure(&mut self, transition: &Transition) {
        let Some(run) = &transition.run else { return };
        let key = |unit: &Option<UnitId>, attempt: AttemptNo| AttemptKey { run: run.clone(), unit: unit.clone(), attempt };
        let (ended, class, usage) = match &transition.fact {
            Fact::LeaseGranted(granted) => {
                self.granted.insert(key(&granted.unit, granted.attempt), self.began);
                return;
            }
            Fact::AttemptEnded { unit, attempt, result } => (key(unit, *attempt), result.class, Some(&result.usage)),
            Fact::AttemptLost { unit, attempt, class, .. } => (key(unit, *attempt), *class, None),
            _ => return,
        };
        self.granted.remove(&ended);
        if let Some(class) = class {
            self.measures.failed(class);
        }
        if let (Some(usage), Some(attempt)) = (usage, self.core.state.attempt(&ended)) {
            self.measures.used(&attempt.granted.backend, usage);
        }
    }

    fn now(&self) -> Now {
        published::now(self.parts.clock.as_ref())
    }
}

/// Leases of a run that was read back: live ones, and those whose late results are still welcome.
fn publish_known(leases: &Leases, run: &Run) {
    let publish = |unit: Option<&UnitId>, attempt: &Attempt| {
        let key = AttemptKey { run: run.id.clone(), unit: unit.cloned(), attempt: attempt.granted.attempt };
        let lease = LeaseRef { key: key.clone(), lease_id: attempt.granted.lease_id };
        leases.granted(lease, attempt.granted.worker.clone(), run.origin.source.repository.clone(), &attempt.granted.start);
        if !attempt.is_live() {
            leases.ended(&key);
        }
    };
    for attempt in run.attempts.iter() {
        publish(None, attempt);
    }
    for unit in run.units() {
        for attempt in &unit.attempts {
            publish(Some(&unit.id), attempt);
        }
    }
}

#[cfg(test)]
mod tests;
