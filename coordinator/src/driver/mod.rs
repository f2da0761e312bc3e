//! The driver: the one task that owns the core. It drains its queue, lets the core decide and apply, makes the batch durable with one append, and only
//! then lets replies, effects and views out (durable before visible). It owns no rule of the workflow and does no IO but the append.

mod codec;
mod handle;
mod leases;
mod sessions;

use std::sync::Arc;

use roundtable_core::command::{Command, Now};
use roundtable_core::effect::Effect;
use roundtable_core::state::{Attempt, Run};
use roundtable_core::transition::{Fact, Transition};
use roundtable_core::{Change, Core, Entropy, Rejection, Reply, invariants};
use roundtable_runtime::clock::Clock;
use roundtable_shared::{AttemptKey, AttemptNo, LeaseRef, UnitId};
use roundtable_store::{AppendError, Log, NewRow, ReadError};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{debug, error, warn};

pub use codec::{CodecError, decode_row, encode_transition};
pub use handle::{Handle, HandleError};
use handle::{Message, QUEUE_MAX};
pub use leases::{KnownLease, Leases};
pub use sessions::{SESSION_QUEUE_MAX, Sessions};

/// Commands decided in one batch, so that a flood of them still lets reads through.
const BATCH_MAX: usize = 1024;
/// The clock's command comes at least this often.
const TICK_MS: u64 = 250;
/// Units of a state that debug builds examine after each batch.
const EXAMINED_UNITS_MAX: usize = 250;
/// Rows read at once while folding.
const FOLD_ROWS: usize = 10_000;

/// What the driver is made of; the caller supplies everything that touches the world.
pub struct Parts {
    /// The log.
    pub log: Arc<dyn Log>,
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
    /// The log could not be read at the start.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A row of the log cannot be understood.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The append failed: nothing of the batch is visible, and nothing can be promised any more.
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
    queue: mpsc::Receiver<Message>,
    published: watch::Sender<u64>,
    leases: Leases,
}

/// What others get of a driver.
#[derive(Clone)]
pub struct Links {
    /// For commands and reads.
    pub handle: Handle,
    /// Sequence number of the last durable transition; changes after each append.
    pub published: watch::Receiver<u64>,
    /// The published leases.
    pub leases: Leases,
}

/// A command's answer that waits for its batch to be durable.
type Waiting = (oneshot::Sender<Result<Reply, Rejection>>, Result<Reply, Rejection>);

impl Driver {
    /// Folds the log. Recovery, standby and replay are this same `apply`.
    pub async fn open(parts: Parts) -> Result<(Self, Links), DriverError> {
        let mut core = Core::default();
        let mut head = 0;
        loop {
            let rows = parts.log.read(head + 1, FOLD_ROWS).await?;
            let Some(last) = rows.last() else { break };
            head = last.seq;
            for row in &rows {
                core.replay(&decode_row(row)?);
            }
        }
        debug!(rows = head, "log folded");
        let (sender, queue) = mpsc::channel(QUEUE_MAX);
        let (published, receiver) = watch::channel(head);
        let leases = Leases::default();
        for run in core.state.runs.values() {
            publish_known(&leases, run);
        }
        let links = Links { handle: Handle::new(sender), published: receiver, leases: leases.clone() };
        let entropy = Entropy::new(parts.seed);
        Ok((Self { core, parts, entropy, head, queue, published, leases }, links))
    }

    /// Runs until `shutdown` is true and the queue is drained, or the log fails.
    pub async fn run(mut self, mut shutdown: watch::Receiver<bool>) -> Result<(), DriverError> {
        let recovered = self.core.recover(self.now());
        self.commit(recovered, Vec::new()).await?;
        let mut tick = tokio::time::interval(std::time::Duration::from_millis(TICK_MS));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let first = tokio::select! {
                biased;
                _ = shutdown.wait_for(|stop| *stop) => break,
                message = self.queue.recv() => match message {
                    Some(message) => message,
                    None => break,
                },
                _ = tick.tick() => Message::Command(Box::new(Command::Tick), None),
            };
            self.batch(first).await?;
        }
        debug!("driver ends");
        Ok(())
    }

    /// Decides everything that is queued, then makes it durable at once. Reads end a batch, so that they see durable state only.
    async fn batch(&mut self, first: Message) -> Result<(), DriverError> {
        let mut change = Change::default();
        let mut waiting: Vec<Waiting> = Vec::new();
        let mut next = Some(first);
        let mut read = None;
        let mut count = 0;
        while let Some(message) = next {
            match message {
                Message::Command(command, reply) => self.decide(*command, reply, &mut change, &mut waiting),
                Message::Read(closure) => {
                    read = Some(closure);
                    break;
                }
            }
            count += 1;
            next = if count < BATCH_MAX { self.queue.try_recv().ok() } else { None };
        }
        let now = self.now();
        let granted = self.core.schedule(now, &mut self.entropy);
        change.extend(granted);
        self.commit(change, waiting).await?;
        if let Some(read) = read {
            read(&self.core, self.now());
        }
        Ok(())
    }

    fn decide(
        &mut self,
        command: Command,
        reply: Option<oneshot::Sender<Result<Reply, Rejection>>>,
        change: &mut Change,
        waiting: &mut Vec<Waiting>,
    ) {
        let now = self.now();
        let answer = match self.core.handle(command, now, &mut self.entropy) {
            Ok(mut decided) => {
                let answer = std::mem::take(&mut decided.reply);
                change.extend(decided);
                Ok(answer)
            }
            Err(rejection) => Err(rejection),
        };
        match reply {
            Some(reply) => waiting.push((reply, answer)),
            None => {
                if let Err(rejection) = answer {
                    debug!(%rejection, "refused");
                }
            }
        }
    }

    /// One append, then everything that was waiting for it.
    async fn commit(&mut self, change: Change, waiting: Vec<Waiting>) -> Result<(), DriverError> {
        if !change.transitions.is_empty() {
            self.examine()?;
            let rows = change.transitions.iter().map(encode_transition).collect::<Result<Vec<NewRow>, _>>()?;
            let appended =
                self.parts.log.append(self.head, rows).await.inspect_err(|error| error!(%error, "the append failed; stopping"))?;
            self.head = appended.last_seq;
            for transition in &change.transitions {
                self.publish_lease(transition);
            }
            self.published.send_replace(self.head);
        }
        for (reply, answer) in waiting {
            // Whoever asked may have gone.
            let _ = reply.send(answer);
        }
        for refused in &change.refused {
            warn!(run = %refused.run, unit = %refused.unit, from = %refused.from, to = %refused.to, "a move that no rule knows was refused");
        }
        for effect in change.effects {
            if self.parts.effects.send(effect).await.is_err() {
                debug!("the shell has ended");
                break;
            }
        }
        Ok(())
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

    fn publish_lease(&self, transition: &Transition) {
        let Some(run) = &transition.run else { return };
        let key = |unit: &Option<UnitId>, attempt: AttemptNo| AttemptKey { run: run.clone(), unit: unit.clone(), attempt };
        match &transition.fact {
            Fact::LeaseGranted(granted) => {
                if let Some(known) = self.core.state.run(run) {
                    let lease = LeaseRef { key: key(&granted.unit, granted.attempt), lease_id: granted.lease_id };
                    self.leases.granted(lease, granted.worker.clone(), known.source.repository.clone());
                }
            }
            Fact::AttemptEnded { unit, attempt, .. } | Fact::AttemptLost { unit, attempt, .. } => self.leases.ended(&key(unit, *attempt)),
            _ => {}
        }
    }

    fn now(&self) -> Now {
        Now { mono_ms: self.parts.clock.boot_ms(), wall: self.parts.clock.wall() }
    }
}

/// Leases of a run that was read back: live ones, and those whose late results are still welcome.
fn publish_known(leases: &Leases, run: &Run) {
    let publish = |unit: Option<&UnitId>, attempt: &Attempt| {
        let key = AttemptKey { run: run.id.clone(), unit: unit.cloned(), attempt: attempt.no };
        leases.granted(LeaseRef { key: key.clone(), lease_id: attempt.lease_id }, attempt.worker.clone(), run.source.repository.clone());
        if !attempt.is_live() {
            leases.ended(&key);
        }
    };
    for attempt in &run.attempts {
        publish(None, attempt);
    }
    for unit in run.units() {
        for attempt in &unit.attempts {
            publish(Some(&unit.id), attempt);
        }
    }
}
