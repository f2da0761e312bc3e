//! The leases a worker holds, from grant to verdict, and the slots they take. One task per lease; the link only hands frames in and out.

mod prepare;
mod upkeep;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use roundtable_proto::v1;
use roundtable_proto::v1::worker_frame::Frame;
use roundtable_shared::{
    AttemptFacts, Failure, FailureKind, HeldLease, Introduction, Lease, LeasePhase, LeaseRef, LeftOut, Reconciled, Usage,
};
use tokio::sync::{Semaphore, mpsc, watch};
use tracing::{info, warn};

use super::bulk::Bulk;
use super::deliver;
use super::fence::Fence;
use super::link::Frames;
use super::{Job, Progress, Runner, RunnerError, save};
use crate::process::Redactor;
use crate::spool::{AttemptSpool, Spool, SpoolError};

/// The worker's leases. Cheap to clone.
pub struct Work<R> {
    inner: Arc<Inner<R>>,
}

impl<R> Clone for Work<R> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

struct Inner<R> {
    runner: Arc<R>,
    spool: Spool,
    introduction: Introduction,
    /// For words of ours that may quote others'.
    redactor: Redactor,
    table: Mutex<Table>,
    client: watch::Sender<Option<Bulk>>,
    fence: Fence,
    /// Of what an earlier life left, or a coordinator has lost: looks at once, and deliveries.
    looks: Semaphore,
    deliveries: Arc<Semaphore>,
    changed: watch::Sender<u64>,
    joined: watch::Sender<bool>,
    once: bool,
}

struct Table {
    held: BTreeMap<LeaseRef, Held>,
    out: Option<mpsc::Sender<v1::WorkerFrame>>,
    draining: bool,
    /// A person has drained it, as the coordinator says.
    drained: bool,
    /// Attempts that have come to a verdict.
    done: u64,
    idle_since: Instant,
}

struct Held {
    phase: LeasePhase,
    pool: String,
    spool: Option<AttemptSpool>,
    /// What keeps its outcome from being handed in.
    waiting: String,
    cancel: watch::Sender<Option<String>>,
}

impl<R: Runner> Work<R> {
    /// With nothing held. `introduction` says who we are; what is held and offered is filled in at each hello. `joined` is true while the
    /// coordinator knows us. `once`: takes one lease and no more. `fence` knows whether the coordinator is heard.
    pub fn new(runner: Arc<R>, spool: Spool, introduction: Introduction, joined: watch::Sender<bool>, once: bool, fence: Fence) -> Self {
        let table = Table { held: BTreeMap::new(), out: None, draining: false, drained: false, done: 0, idle_since: Instant::now() };
        let (client, _) = watch::channel(None);
        let (changed, _) = watch::channel(0);
        let env: Vec<_> = std::env::vars_os().collect();
        let redactor = Redactor::from_env(env.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str())));
        let table = Mutex::new(table);
        let (looks, deliveries) = (Semaphore::new(upkeep::LOOKS_MAX), Arc::new(Semaphore::new(upkeep::DELIVERIES_MAX)));
        let inner = Inner { runner, spool, introduction, redactor, table, client, fence, looks, deliveries, changed, joined, once };
        Self { inner: Arc::new(inner) }
    }

    /// Changes whenever a lease comes or goes.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changed.subscribe()
    }

    /// Attempts held now.
    pub fn count(&self) -> usize {
        self.table().held.len()
    }

    /// Whether anything held is more than an outcome that waits to be handed in.
    pub fn is_busy(&self) -> bool {
        self.table().held.values().any(|held| held.phase != LeasePhase::Reported)
    }

    /// Whether there is a coordinator to hand in to: one that is there, and takes what is handed in.
    pub fn is_heard(&self) -> bool {
        let table = self.table();
        let is_held_up = !table.held.is_empty() && table.held.values().all(|held| !held.waiting.is_empty());
        self.inner.client.borrow().is_some() && !is_held_up
    }

    /// Attempts that came to a verdict.
    pub fn done(&self) -> u64 {
        self.table().done
    }

    /// How long nothing has been held.
    pub fn idle_for(&self) -> Duration {
        let table = self.table();
        if table.held.is_empty() { table.idle_since.elapsed() } else { Duration::ZERO }
    }

    /// Takes nothing more; what does not run yet is handed back.
    pub fn drain(&self) {
        let mut table = self.table();
        table.draining = true;
        for held in table.held.values() {
            if held.phase < LeasePhase::Running {
                held.cancel.send_replace(Some("the worker drains".to_owned()));
            }
        }
        drop(table);
        self.say(Frame::Draining(v1::Draining {}));
        self.want();
    }

    /// Stops everything now; work is saved.
    pub fn stop(&self, reason: &str) {
        for held in self.table().held.values() {
            held.cancel.send_replace(Some(reason.to_owned()));
        }
    }

    /// An offer changed: the coordinator is told.
    pub fn offer_changed(&self, offer: &roundtable_shared::BackendOffer) {
        self.say(Frame::BackendChanged(offer.into()));
    }

    /// One lease, from grant to verdict.
    async fn serve(&self, lease: Lease, mut cancel: watch::Receiver<Option<String>>) {
        let reference = lease.lease.clone();
        let begun = {
            let (root, lease) = (self.inner.spool.clone(), lease.clone());
            tokio::task::spawn_blocking(move || root.begin(lease)).await
        };
        let spool = match begun {
            Ok(Ok(spool)) => spool,
            // Nothing ran yet, and the worker takes no more until it has room.
            Ok(Err(error)) => return self.hand_back(&reference, &error.to_string(), !matches!(error, SpoolError::Full)),
            Err(error) => return self.hand_back(&reference, &error.to_string(), true),
        };
        self.update(&reference, |held| held.spool = Some(spool.clone()));
        self.say(Frame::Accepted(v1::Accepted { lease: Some((&reference).into()) }));
        let events = tokio::spawn(deliver::events(spool.clone(), self.inner.client.subscribe(), self.says_what_waits(&reference)));
        let prepared = tokio::select! {
            prepared = self.prepare(&lease) => prepared,
            () = cancelled(&mut cancel) => {
                events.abort();
                // Nothing ran: nothing is owed.
                let _ = blocking(spool.clone(), |spool| spool.mark_accepted()).await;
                let draining = self.table().draining;
                return self.hand_back(&reference, if draining { "the worker drains" } else { "no longer wanted" }, false);
            }
        };
        let attachments = match prepared {
            Ok(attachments) => attachments,
            Err(RunnerError(why)) => {
                events.abort();
                // Nothing ran: nothing is owed. A link that broke meanwhile is nobody's fault.
                let _ = blocking(spool.clone(), |spool| spool.mark_accepted()).await;
                let connected = self.inner.client.borrow().is_some();
                return self.hand_back(&reference, &why, connected);
            }
        };
        let facts = self.run(lease.clone(), attachments, &spool, cancel).await;
        self.update(&reference, |held| held.phase = LeasePhase::Ending);
        let facts = match self.finish(&spool, facts).await {
            Ok(facts) => facts,
            Err(why) => {
                events.abort();
                // Not even its end could be kept: it is not delivered, so that the room it takes is free again.
                if let Err(error) = blocking(spool.clone(), AttemptSpool::discard).await {
                    warn!(lease = %reference.key, error, "what cannot be delivered could not be removed");
                }
                self.inner.runner.forget(&lease).await;
                return self.hand_back(&reference, &why, true);
            }
        };
        self.update(&reference, |held| held.phase = LeasePhase::Reported);
        // Its last words come before its outcome; a coordinator that is away holds up both alike.
        let _ = events.await;
        self.hand_in(&spool, &facts).await;
    }

    /// Makes the outcome durable, if need be in the room that is kept for it.
    async fn finish(&self, spool: &AttemptSpool, facts: AttemptFacts) -> Result<AttemptFacts, String> {
        let again = facts.clone();
        match blocking(spool.clone(), move |spool| spool.finish(facts)).await {
            Ok(facts) => Ok(facts),
            Err(why) => {
                warn!(lease = %spool.lease().lease.key, why, "an outcome could not be kept; once more, with all the room there is");
                self.inner.runner.make_room();
                self.prune(true).await;
                blocking(spool.clone(), move |spool| spool.finish(again)).await
            }
        }
    }

    async fn run(
        &self,
        lease: Lease,
        attachments: Vec<super::Attachment>,
        spool: &AttemptSpool,
        cancel: watch::Receiver<Option<String>>,
    ) -> AttemptFacts {
        let (progress, mut said) = mpsc::channel(16);
        let reference = lease.lease.clone();
        info!(attempt = %reference.key, role = %lease.role, backend = %lease.backend, "begun");
        let job = Job { lease, attachments, events: spool.clone(), progress, cancel };
        let run = self.inner.runner.run(job);
        tokio::pin!(run);
        let mut saving: Option<Pin<Box<dyn Future<Output = ()> + Send + '_>>> = None;
        loop {
            tokio::select! {
                biased;
                Some(progress) = said.recv() => {
                    match progress {
                        Progress::Started if saving.is_none() => {
                            let (runner, client) = (self.inner.runner.as_ref(), self.inner.client.subscribe());
                            saving = Some(Box::pin(save::keep_up(spool.clone(), runner, client)));
                        }
                        Progress::Started | Progress::Preparing(_) => {}
                        // Whatever it is at is given up: the whole is committed now.
                        Progress::Ending => saving = None,
                    }
                    self.progressed(&reference, progress);
                }
                () = async { if let Some(saving) = &mut saving { saving.await } }, if saving.is_some() => saving = None,
                facts = &mut run => {
                    while let Ok(progress) = said.try_recv() {
                        self.progressed(&reference, progress);
                    }
                    return facts;
                }
            }
        }
    }

    fn progressed(&self, lease: &LeaseRef, progress: Progress) {
        match progress {
            Progress::Preparing(what) => self.preparing(lease, &what),
            Progress::Started => {
                self.update(lease, |held| held.phase = LeasePhase::Running);
                self.say(Frame::Started(v1::Started { lease: Some(lease.into()) }));
            }
            Progress::Ending => {
                self.update(lease, |held| held.phase = LeasePhase::Ending);
                self.say(Frame::Ending(v1::Ending { lease: Some(lease.into()) }));
                self.want();
            }
        }
    }

    /// Delivers the outcome; after the verdict the lease is no longer held.
    async fn hand_in(&self, spool: &AttemptSpool, facts: &AttemptFacts) {
        let mut client = self.inner.client.subscribe();
        let reference = &spool.lease().lease;
        let verdict = deliver::outcome(spool, self.inner.runner.as_ref(), facts, &mut client, self.says_what_waits(reference)).await;
        if let Some(verdict) = verdict {
            deliver::log(reference, facts, &verdict);
            if let Err(why) = blocking(spool.clone(), |spool| spool.mark_accepted()).await {
                warn!(lease = %reference.key, %why, "the verdict could not be noted; it will be asked for again");
            }
        }
        // Before the lease is let go: the worktree is this lease's until then, and a worker that is empty may leave.
        self.inner.runner.forget(spool.lease()).await;
        self.release(reference);
    }

    fn hand_back(&self, lease: &LeaseRef, reason: &str, fault: bool) {
        info!(lease = %lease.key, reason, fault, "handed back");
        let reason = self.inner.redactor.text(reason).into_owned();
        self.say(Frame::HandBack(v1::HandBack { lease: Some(lease.into()), reason, fault }));
        self.release(lease);
    }

    fn release(&self, lease: &LeaseRef) {
        let mut table = self.table();
        if table.held.remove(lease).is_some() {
            table.done += 1;
            table.idle_since = Instant::now();
        }
        drop(table);
        self.inner.changed.send_modify(|count| *count += 1);
        self.want();
    }

    /// Says how much each pool can take.
    fn want(&self) {
        let offers = self.inner.runner.offers();
        let full = self.inner.runner.full().is_some();
        let table = self.table();
        let mut pools: BTreeMap<&str, u32> = BTreeMap::new();
        for offer in &offers {
            let slots = pools.entry(&offer.pool).or_default();
            *slots = (*slots).max(offer.slots);
        }
        let frames: Vec<Frame> = pools
            .into_iter()
            .map(|(pool, slots)| {
                let busy = table.held.values().filter(|held| held.pool == pool && held.phase != LeasePhase::Reported).count();
                let busy = u32::try_from(busy).unwrap_or(u32::MAX);
                let credits = if table.draining || full { 0 } else { slots.saturating_sub(busy) };
                Frame::Want(v1::Want { pool: pool.to_owned(), credits })
            })
            .collect();
        drop(table);
        for frame in frames {
            self.say(frame);
        }
    }

    /// Queues a frame; without a link it is lost, and the next hello says what matters.
    fn say(&self, frame: Frame) {
        let out = self.table().out.clone();
        if let Some(out) = out {
            let _ = out.try_send(v1::WorkerFrame { frame: Some(frame) });
        }
    }

    /// Keeps what stands in a delivery's way, for the next heartbeat to say.
    fn says_what_waits(&self, lease: &LeaseRef) -> impl Fn(String) + Send + use<R> {
        let (work, lease) = (self.clone(), lease.clone());
        move |why| {
            let why = work.inner.redactor.text(&why).into_owned();
            work.update(&lease, |held| held.waiting = why);
        }
    }

    fn update(&self, lease: &LeaseRef, change: impl FnOnce(&mut Held)) {
        if let Some(held) = self.table().held.get_mut(lease) {
            change(held);
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.inner.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held_now(&self) -> Vec<HeldLease> {
        let table = self.table();
        let held = table.held.iter().map(|(lease, held)| {
            let last_event_seq = held.spool.as_ref().map_or(0, |spool| spool.position().written_seq);
            HeldLease { lease: lease.clone(), phase: held.phase, last_event_seq, waiting: held.waiting.clone() }
        });
        held.collect()
    }
}

impl<R: Runner> Frames for Work<R> {
    fn introduce(&self) -> Introduction {
        let runner = &self.inner.runner;
        let (backends, repositories) = (runner.offers(), runner.repositories());
        Introduction { backends, held: self.held_now(), repositories, ..self.inner.introduction.clone() }
    }

    fn welcome(&self, _worker: &str, reconciled: Vec<Reconciled>, bulk: Bulk, out: mpsc::Sender<v1::WorkerFrame>) {
        for each in reconciled.into_iter().filter(|each| !each.keep) {
            self.revoke(each.lease, each.reason);
        }
        self.table().out = Some(out);
        self.inner.client.send_replace(Some(bulk));
        if self.table().draining {
            self.say(Frame::Draining(v1::Draining {}));
        }
        self.want();
        self.inner.joined.send_replace(true);
    }

    fn lease(&self, lease: Lease) {
        let reference = lease.lease.clone();
        let mut table = self.table();
        if table.held.contains_key(&reference) {
            drop(table);
            return self.say(Frame::Accepted(v1::Accepted { lease: Some((&reference).into()) }));
        }
        let refused = if table.draining { Some("the worker drains".to_owned()) } else { self.inner.runner.full() };
        if let Some(reason) = refused {
            drop(table);
            return self.say(Frame::HandBack(v1::HandBack { lease: Some((&reference).into()), reason, fault: false }));
        }
        let (cancel, cancelled) = watch::channel(None);
        table
            .held
            .insert(reference, Held { phase: LeasePhase::Accepted, pool: lease.pool.clone(), spool: None, waiting: String::new(), cancel });
        // The last one that is taken.
        table.draining |= self.inner.once;
        drop(table);
        self.inner.changed.send_modify(|count| *count += 1);
        let work = self.clone();
        tokio::spawn(async move { work.serve(lease, cancelled).await });
    }

    fn revoke(&self, lease: LeaseRef, reason: String) {
        self.update(&lease, |held| {
            held.cancel.send_if_modified(|cancel| {
                let first = cancel.is_none();
                cancel.get_or_insert(reason);
                first
            });
        });
    }

    fn drained(&self, is_drained: bool) {
        let was = std::mem::replace(&mut self.table().drained, is_drained);
        match (was, is_drained) {
            (false, true) => info!("drained by a person: nothing more comes until that is taken back with `orchctl undrain`"),
            (true, false) => info!("no longer drained: work comes again"),
            _ => {}
        }
    }

    fn held(&self) -> Vec<v1::HeldLease> {
        self.held_now().iter().map(Into::into).collect()
    }

    fn want(&self) {
        Work::want(self);
    }

    fn fence(&self) -> &Fence {
        &self.inner.fence
    }

    fn store(&self) -> String {
        self.inner.spool.store()
    }

    async fn restored(&self, store: &str) {
        self.deliver_again(store).await;
    }

    fn remember_store(&self, store: &str) {
        self.note_store(store);
    }

    fn broken(&self) {
        self.table().out = None;
        self.inner.client.send_replace(None);
        self.inner.joined.send_replace(false);
    }
}

/// Returns once the attempt is to stop.
async fn cancelled(cancel: &mut watch::Receiver<Option<String>>) {
    if cancel.wait_for(Option::is_some).await.is_err() {
        // Nobody can cancel it any more.
        std::future::pending::<()>().await;
    }
}

fn failed_facts(kind: FailureKind, message: &str) -> AttemptFacts {
    AttemptFacts {
        failure: Some(Failure { kind, message: message.to_owned() }),
        exit_code: None,
        answer: String::new(),
        commit: None,
        left_out: LeftOut::default(),
        done: Vec::new(),
        agent_session: None,
        usage: Usage::default(),
        last_event_seq: 0,
    }
}

/// Disk work off the async threads; the error in words.
async fn blocking<T: Send + 'static>(
    spool: AttemptSpool,
    work: impl FnOnce(&AttemptSpool) -> Result<T, crate::spool::SpoolError> + Send + 'static,
) -> Result<T, String> {
    match tokio::task::spawn_blocking(move || work(&spool)).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}
