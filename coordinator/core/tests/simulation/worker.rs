//! Workers: the protocol of a session, leases from grant to verdict, a spool that outlives crashes.

use std::collections::BTreeMap;

use roundtable_core::Verdict;
use roundtable_core::command::{Command, WorkerHello};
use roundtable_core::state::{AttemptEnd, LostCause, Saved};
use roundtable_shared::limits::CUT_OFF_MS;
use roundtable_shared::{
    AttemptFacts, BackendOffer, CommitId, Failure, FailureKind, HeldLease, Introduction, LeasePhase, LeaseRef, Origin, OutcomeClass, Role,
    Usage, WorkerId,
};

use crate::agent::{Edit, Turn};
use crate::world::{Conn, Event, Frame, ReplyTo, World, say};

/// A step of a worker.
pub enum Step {
    Dial,
    /// The hello got no answer.
    Undialled {
        conn: u64,
    },
    Beat {
        conn: u64,
    },
    Prepared {
        lease: LeaseRef,
    },
    SetUp {
        lease: LeaseRef,
    },
    RunEnds {
        lease: LeaseRef,
    },
    Deliver {
        lease: LeaseRef,
    },
    ComeBack,
}

/// The link to the coordinator.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Link {
    Down,
    Dialling { conn: u64 },
    Up { conn: u64, unanswered: u32 },
}

/// A lease as its worker has it.
pub struct Held {
    pub phase: LeasePhase,
    pub cancelled: bool,
}

/// What is on a worker's disk of an attempt.
pub struct Spooled {
    pub turn: Turn,
    pub running: bool,
    pub outcome: Option<(AttemptFacts, String)>,
}

pub struct Worker {
    pub id: WorkerId,
    pub alive: bool,
    /// Counts crashes: what an earlier life was about to do does not happen.
    pub life: u64,
    pub incarnation: u64,
    /// The coordinator's store, as far as it knows.
    pub store: u64,
    pub offers: Vec<BackendOffer>,
    pub draining: bool,
    /// Its workspace is gone, and it does not notice.
    pub broken: bool,
    pub held: BTreeMap<LeaseRef, Held>,
    pub spool: BTreeMap<LeaseRef, Spooled>,
    /// What was delivered, for a coordinator that is restored from a backup.
    pub kept: BTreeMap<LeaseRef, Spooled>,
    pub link: Link,
    pub frozen_until_ms: u64,
    pub cut_up_ms: u64,
    pub cut_down_ms: u64,
    /// When its last hello was sent.
    pub dialled_ms: u64,
    /// When what the coordinator answered last was sent.
    pub heard_ms: u64,
}

impl Worker {
    pub fn new(at: usize, offers: Vec<BackendOffer>) -> Self {
        Self {
            id: WorkerId::new(format!("w{at}")),
            alive: true,
            life: 0,
            incarnation: 1,
            store: 1,
            offers,
            draining: false,
            broken: false,
            held: BTreeMap::new(),
            spool: BTreeMap::new(),
            kept: BTreeMap::new(),
            link: Link::Down,
            frozen_until_ms: 0,
            cut_up_ms: 0,
            cut_down_ms: 0,
            dialled_ms: 0,
            heard_ms: 0,
        }
    }

    fn conn(&self) -> Option<u64> {
        match self.link {
            Link::Up { conn, .. } => Some(conn),
            _ => None,
        }
    }

    fn held_now(&self) -> Vec<HeldLease> {
        let held = self.held.iter().map(|(lease, held)| HeldLease {
            lease: lease.clone(),
            phase: held.phase,
            last_event_seq: 0,
            waiting: String::new(),
        });
        held.collect()
    }
}

impl World {
    fn step_after(&mut self, at: usize, delay_ms: u64, step: Step) {
        let life = self.workers[at].life;
        self.after(delay_ms, Event::Worker { worker: at, life, step });
    }

    pub fn worker_step(&mut self, at: usize, life: u64, step: Step) {
        let worker = &self.workers[at];
        if worker.life != life || (!worker.alive && !matches!(step, Step::ComeBack)) {
            return;
        }
        if self.now_ms < worker.frozen_until_ms {
            let until = worker.frozen_until_ms;
            return self.at(until, Event::Worker { worker: at, life, step });
        }
        if !matches!(step, Step::ComeBack) && self.bad(self.faults.worker_crash) {
            return self.crash_worker(at);
        }
        match step {
            Step::Dial => self.dial(at),
            Step::Undialled { conn } => {
                if self.workers[at].link == (Link::Dialling { conn }) {
                    self.break_link(at);
                }
            }
            Step::Beat { conn } => self.beat(at, conn),
            Step::Prepared { lease } => self.prepared(at, lease),
            Step::SetUp { lease } => self.set_up(at, lease),
            Step::RunEnds { lease } => self.run_ends(at, lease),
            Step::Deliver { lease } => self.deliver(at, lease),
            Step::ComeBack => self.come_back(at),
        }
    }

    fn dial(&mut self, at: usize) {
        if self.workers[at].link != Link::Down {
            return;
        }
        let cut = self.now_ms < self.workers[at].cut_up_ms || self.now_ms < self.workers[at].cut_down_ms;
        let Some(life) = self.coordinator.as_ref().map(|coordinator| coordinator.life).filter(|_| !cut) else {
            let pause = self.rng.range(50, 15_000);
            return self.step_after(at, pause, Step::Dial);
        };
        if self.workers[at].store != self.store {
            self.offer_again(at);
            let pause = self.rng.range(50, 5_000);
            return self.step_after(at, pause, Step::Dial);
        }
        let conn = self.conns.len() as u64 + 1;
        self.conns.insert(conn, Conn { worker: at, life, dead: false, last_up_ms: 0, last_down_ms: 0 });
        let worker = &mut self.workers[at];
        worker.link = Link::Dialling { conn };
        worker.dialled_ms = self.now_ms;
        let introduction = Introduction {
            incarnation: worker.incarnation,
            name: worker.id.to_string(),
            version: "0.1.0".to_owned(),
            labels: self.shape.labels[at].clone(),
            backends: worker.offers.clone(),
            held: worker.held_now(),
            repositories: Vec::new(),
            origin: Origin::default(),
        };
        let hello = WorkerHello { worker: worker.id.clone(), session: conn, introduction };
        say!(self, "w{at} says hello on {conn} with {} leases", hello.introduction.held.len());
        self.send_up(at, conn, Command::WorkerHello(Box::new(hello)), ReplyTo::Hello { worker: at, conn });
        self.step_after(at, 10_000, Step::Undialled { conn });
    }

    /// The coordinator was restored from a backup: what was delivered lately may be missing there.
    fn offer_again(&mut self, at: usize) {
        let worker = &mut self.workers[at];
        worker.store = self.store;
        let kept = std::mem::take(&mut worker.kept);
        let leases: Vec<LeaseRef> = kept.keys().cloned().collect();
        for lease in &leases {
            worker.held.insert(lease.clone(), Held { phase: LeasePhase::Reported, cancelled: false });
        }
        worker.spool.extend(kept);
        say!(self, "w{at} finds another store, and offers {} outcomes again", leases.len());
        for lease in leases {
            self.step_after(at, 50, Step::Deliver { lease });
        }
    }

    /// Frames of one stream arrive in order, unless this world has them overtake each other.
    fn send_up(&mut self, at: usize, conn: u64, command: Command, reply: ReplyTo) {
        // A stream brings all its frames or breaks.
        if self.now_ms < self.workers[at].cut_up_ms || self.bad(self.faults.lost) {
            if let Some(conn) = self.conns.get_mut(&conn) {
                conn.dead = true;
            }
            return;
        }
        let is_progress = matches!(command, Command::LeaseAccepted { .. } | Command::LeasePreparing { .. } | Command::LeaseStarted { .. });
        let is_lease = is_progress || matches!(command, Command::HandBack { .. });
        let delay = self.delay();
        let mut at_ms = self.now_ms + delay;
        if !(is_progress && self.faults.reorders) {
            let last = self.conns[&conn].last_up_ms;
            at_ms = at_ms.max(last);
            if let Some(conn) = self.conns.get_mut(&conn) {
                conn.last_up_ms = at_ms;
            }
        }
        if is_lease && self.bad(self.faults.twice) {
            let again = at_ms + self.rng.tailed(0, 20_000);
            let copy = Box::new(command.clone());
            self.at(again, Event::Arrive { life: None, conn: Some(conn), command: copy, reply: ReplyTo::Nobody });
        }
        self.at(at_ms, Event::Arrive { life: None, conn: Some(conn), command: Box::new(command), reply });
    }

    pub fn delay(&mut self) -> u64 {
        if self.bad(self.faults.late) { self.rng.range(100, 20_000) } else { self.rng.range(0, 20) }
    }

    fn say_up(&mut self, at: usize, command: Command) {
        if let Some(conn) = self.workers[at].conn() {
            self.send_up(at, conn, command, ReplyTo::Nobody);
        }
    }

    fn want(&mut self, at: usize) {
        let Some(session) = self.workers[at].conn() else { return };
        let worker = &self.workers[at];
        let mut pools: BTreeMap<String, u32> = BTreeMap::new();
        for offer in &worker.offers {
            let slots = pools.entry(offer.pool.clone()).or_default();
            *slots = (*slots).max(offer.slots);
        }
        for (pool, slots) in pools {
            let worker = &self.workers[at];
            let is_busy = |(lease, held): &(&LeaseRef, &Held)| {
                held.phase != LeasePhase::Reported
                    && worker.spool.get(*lease).is_some_and(|spooled| spooled.turn.grant.granted.pool == pool)
            };
            let busy = worker.held.iter().filter(is_busy).count() as u32;
            let credits = if worker.draining { 0 } else { slots.saturating_sub(busy) };
            let worker = worker.id.clone();
            self.say_up(at, Command::Want { worker, session, pool, credits });
        }
    }

    fn beat(&mut self, at: usize, conn: u64) {
        let Link::Up { conn: present, unanswered } = self.workers[at].link else { return };
        if present != conn {
            return;
        }
        if unanswered >= 4 {
            return self.break_link(at);
        }
        self.workers[at].link = Link::Up { conn, unanswered: unanswered + 1 };
        let (worker, held) = (self.workers[at].id.clone(), self.workers[at].held_now());
        self.send_up(
            at,
            conn,
            Command::Heartbeat { worker, session: conn, held },
            ReplyTo::Heartbeat { worker: at, conn, sent_ms: self.now_ms },
        );
        let beat = self.shape.heartbeat_ms;
        self.step_after(at, beat, Step::Beat { conn });
    }

    /// The worker gives its stream up; the coordinator hears of it, or finds out by itself later.
    fn break_link(&mut self, at: usize) {
        let (Link::Up { conn, .. } | Link::Dialling { conn }) = self.workers[at].link else { return };
        self.workers[at].link = Link::Down;
        self.end_stream(at, conn, false);
        let pause = self.rng.range(50, 15_000);
        self.step_after(at, pause, Step::Dial);
    }

    fn end_stream(&mut self, at: usize, conn: u64, goodbye: bool) {
        let (worker, life) = (self.workers[at].id.clone(), self.conns[&conn].life);
        let cut = self.now_ms < self.workers[at].cut_up_ms || self.conns[&conn].dead;
        let delay = if cut { self.rng.range(10_000, 30_000) } else { self.delay() };
        let command =
            if goodbye { Command::WorkerGoodbye { worker, session: conn } } else { Command::WorkerGone { worker, session: conn } };
        let at_ms = (self.now_ms + delay).max(self.conns[&conn].last_up_ms);
        self.at(at_ms, Event::Arrive { life: Some(life), conn: None, command: Box::new(command), reply: ReplyTo::Nobody });
        if let Some(conn) = self.conns.get_mut(&conn) {
            conn.last_up_ms = at_ms;
        }
    }

    pub fn link_broken(&mut self, at: usize, conn: u64) {
        match self.workers[at].link {
            Link::Up { conn: present, .. } | Link::Dialling { conn: present } if present == conn && self.workers[at].alive => {
                self.break_link(at);
            }
            _ => {}
        }
    }

    pub fn frame_arrives(&mut self, at: usize, conn: u64, frame: Frame) {
        let worker = &self.workers[at];
        if !worker.alive || self.conns[&conn].dead {
            return;
        }
        if self.now_ms < worker.cut_down_ms {
            if let Some(conn) = self.conns.get_mut(&conn) {
                conn.dead = true;
            }
            return;
        }
        if self.now_ms < worker.frozen_until_ms {
            let until = worker.frozen_until_ms;
            return self.at(until, Event::ToWorker { worker: at, conn, frame });
        }
        if let (Frame::Welcome(reconciled), Link::Dialling { conn: dialled }) = (&frame, worker.link)
            && dialled == conn
        {
            let dropped: Vec<LeaseRef> = reconciled.iter().filter(|each| !each.keep).map(|each| each.lease.clone()).collect();
            self.workers[at].link = Link::Up { conn, unanswered: 0 };
            self.workers[at].heard_ms = self.workers[at].dialled_ms;
            for lease in dropped {
                self.revoked(at, lease);
            }
            self.want(at);
            let beat = self.shape.heartbeat_ms;
            return self.step_after(at, beat, Step::Beat { conn });
        }
        if self.workers[at].conn() != Some(conn) {
            return;
        }
        match frame {
            Frame::Welcome(_) => {}
            Frame::Lease(turn) => self.lease(at, *turn),
            Frame::Revoke(lease) => self.revoked(at, lease),
            Frame::Ack { revoke, sent_ms } => {
                self.workers[at].link = Link::Up { conn, unanswered: 0 };
                self.workers[at].heard_ms = sent_ms;
                for lease in revoke {
                    self.revoked(at, lease);
                }
            }
        }
    }

    fn lease(&mut self, at: usize, turn: Turn) {
        let lease = turn.grant.lease.clone();
        let known = self.durable.attempt(&lease.key).is_some_and(|attempt| attempt.granted.lease_id == lease.lease_id);
        if !known {
            self.fail("I14", format!("w{at} got lease {}, which is not durable", lease.key));
        }
        let worker = self.workers[at].id.clone();
        if self.workers[at].held.contains_key(&lease) {
            return self.say_up(at, Command::LeaseAccepted { worker, lease });
        }
        if self.workers[at].draining {
            return self.hand_back(at, lease, false);
        }
        say!(self, "w{at} takes {} ({} {})", lease.key, turn.grant.granted.seat, turn.grant.granted.role);
        let prepare_ms = turn.prepare_ms;
        self.workers[at].held.insert(lease.clone(), Held { phase: LeasePhase::Accepted, cancelled: false });
        self.workers[at].spool.insert(lease.clone(), Spooled { turn, running: false, outcome: None });
        if self.bad(self.faults.effect_fails / 2) {
            return self.hand_back(at, lease, true);
        }
        self.say_up(at, Command::LeaseAccepted { worker: worker.clone(), lease: lease.clone() });
        self.workers[at].held.insert(lease.clone(), Held { phase: LeasePhase::Preparing, cancelled: false });
        self.say_up(at, Command::LeasePreparing { worker, lease: lease.clone() });
        self.step_after(at, prepare_ms, Step::Prepared { lease });
    }

    fn hand_back(&mut self, at: usize, lease: LeaseRef, fault: bool) {
        say!(self, "w{at} hands {} back", lease.key);
        let worker = self.workers[at].id.clone();
        self.say_up(at, Command::HandBack { worker, lease: lease.clone(), reason: "not now".to_owned(), fault });
        self.release(at, &lease);
    }

    fn release(&mut self, at: usize, lease: &LeaseRef) {
        self.workers[at].held.remove(lease);
        self.workers[at].spool.remove(lease);
        self.want(at);
        self.leave_if_done(at);
    }

    fn prepared(&mut self, at: usize, lease: LeaseRef) {
        let Some(spooled) = self.workers[at].spool.get(&lease) else { return };
        let setup_ms = spooled.turn.setup_ms;
        if self.workers[at].broken || self.bad(self.faults.effect_fails / 2) {
            return self.hand_back(at, lease, true);
        }
        let worker = self.workers[at].id.clone();
        self.say_up(at, Command::LeasePreparing { worker, lease: lease.clone() });
        self.step_after(at, setup_ms, Step::SetUp { lease });
    }

    fn set_up(&mut self, at: usize, lease: LeaseRef) {
        let worker = &mut self.workers[at];
        let (Some(held), Some(spooled)) = (worker.held.get_mut(&lease), worker.spool.get_mut(&lease)) else { return };
        if held.phase >= LeasePhase::Running {
            return;
        }
        // Cut off, it begins nothing: what it holds may be another's by the time it is heard again, and that it is told first.
        if self.now_ms - worker.heard_ms > CUT_OFF_MS {
            return self.step_after(at, 1_000, Step::SetUp { lease });
        }
        let end =
            self.durable.attempt(&lease.key).filter(|attempt| attempt.granted.lease_id == lease.lease_id).and_then(|attempt| attempt.end());
        let is_lost = end == Some(AttemptEnd::Lost(LostCause::Silent));
        held.phase = LeasePhase::Running;
        spooled.running = true;
        let (run_ms, wedged, id) = (spooled.turn.run_ms, spooled.turn.wedged, worker.id.clone());
        let is_refused = spooled.turn.failure.as_ref().is_some_and(|failure| failure.class() == OutcomeClass::Provider);
        self.say_up(at, Command::LeaseStarted { worker: id.clone(), lease: lease.clone() });
        if !is_refused {
            self.say_up(at, Command::LeaseServed { worker: id, lease: lease.clone() });
        }
        if is_lost {
            self.fail("silence", format!("w{at} begins {}, which it has lost", lease.key));
        }
        if let Some(saved) = self.save(&lease, at) {
            let worker = self.workers[at].id.clone();
            self.say_up(at, Command::WorkSaved { worker, lease: lease.clone(), saved });
        }
        if !wedged {
            self.step_after(at, run_ms, Step::RunEnds { lease });
        }
    }

    fn revoked(&mut self, at: usize, lease: LeaseRef) {
        let Some(held) = self.workers[at].held.get_mut(&lease) else { return };
        match held.phase {
            LeasePhase::Accepted | LeasePhase::Preparing => self.hand_back(at, lease, false),
            LeasePhase::Running if !held.cancelled => {
                held.cancelled = true;
                let soon = self.rng.range(10, 2_000);
                self.step_after(at, soon, Step::RunEnds { lease });
            }
            _ => {}
        }
    }

    fn run_ends(&mut self, at: usize, lease: LeaseRef) {
        let worker = &mut self.workers[at];
        let Some(held) = worker.held.get_mut(&lease).filter(|held| held.phase == LeasePhase::Running) else { return };
        let cancelled = held.cancelled;
        held.phase = LeasePhase::Reported;
        let Some(spooled) = worker.spool.get(&lease) else { return };
        let turn = spooled.turn.clone();
        let failure = if cancelled { Some(FailureKind::Interrupted) } else { turn.failure.clone() };
        let commit = self.commit(&turn, failure.is_some());
        self.finish_outcome(at, &lease, failure, commit);
        self.want(at);
        self.step_after(at, 0, Step::Deliver { lease });
    }

    /// Every other agent that writes has its first edit handed in on the way.
    fn save(&mut self, lease: &LeaseRef, at: usize) -> Option<Saved> {
        let turn = self.workers[at].spool.get(lease)?.turn.clone();
        if !turn.grant.granted.role.writes() || !turn.setup_ms.is_multiple_of(2) {
            return None;
        }
        let mut tree = (*self.repository.get(&turn.start).tree).clone();
        if let Some(Edit::Write(path, kind)) = turn.edits.first() {
            let blob = self.repository.blob();
            tree.insert(path.clone(), (blob, *kind));
        }
        let key = format!("saved {} {}", lease.key, lease.lease_id);
        let commit = self.repository.commit(key, tree, vec![turn.start.clone()], None);
        Some(Saved { commit, done: Vec::new() })
    }

    /// What is in the worktree is committed, however it ended.
    fn commit(&mut self, turn: &Turn, failed: bool) -> Option<CommitId> {
        if !turn.grant.granted.role.writes() || (failed && turn.setup_ms.is_multiple_of(3)) {
            return None;
        }
        let mut tree = (*self.repository.get(&turn.start).tree).clone();
        for edit in &turn.edits {
            match edit {
                Edit::Write(path, kind) => {
                    let blob = self.repository.blob();
                    tree.insert(path.clone(), (blob, *kind));
                }
                Edit::Delete(path) => {
                    tree.remove(path);
                }
            }
        }
        let key = format!("attempt {} {}", turn.grant.lease.key, turn.grant.lease.lease_id);
        Some(self.repository.commit(key, tree, vec![turn.start.clone()], None))
    }

    fn finish_outcome(&mut self, at: usize, lease: &LeaseRef, failure: Option<FailureKind>, commit: Option<CommitId>) {
        let digest = format!("{}/{}/{}", lease.key, lease.lease_id, self.digests.len());
        let origin = crate::world::Origin { lease: lease.clone(), worker: self.workers[at].id.clone(), failure: failure.clone() };
        self.digests.insert(digest.clone(), origin);
        let agent_session = self.rng.chance(700).then(|| roundtable_shared::AgentSessionId::new(format!("s{}", lease.key)));
        let facts = AttemptFacts {
            exit_code: Some(i32::from(failure.is_some())),
            failure: failure.map(|kind| Failure { kind, message: "it failed".to_owned() }),
            answer: String::new(),
            commit,
            left_out: Default::default(),
            done: Vec::new(),
            agent_session,
            usage: Usage { input_tokens: 1, ..Usage::default() },
            last_event_seq: 0,
        };
        if let Some(spooled) = self.workers[at].spool.get_mut(lease) {
            spooled.outcome = Some((facts, digest));
        }
    }

    /// Again and again until there is a verdict.
    fn deliver(&mut self, at: usize, lease: LeaseRef) {
        if self.workers[at].spool.get(&lease).is_none_or(|spooled| spooled.outcome.is_none()) {
            return;
        }
        let again = self.rng.range(500, 8_000);
        self.step_after(at, again, Step::Deliver { lease: lease.clone() });
        let Some(conn) = self.workers[at].conn() else { return };
        if self.now_ms < self.workers[at].cut_up_ms || self.bad(self.faults.lost) {
            return;
        }
        let copies = if self.bad(self.faults.twice) { 2 } else { 1 };
        for _ in 0..copies {
            let delay = self.delay();
            self.after(delay, Event::Report { worker: at, conn, lease: lease.clone() });
        }
    }

    pub fn verdict(&mut self, at: usize, life: u64, store: u64, lease: LeaseRef, digest: String, verdict: Verdict) {
        let worker = &self.workers[at];
        if !worker.alive || worker.life != life || self.now_ms < worker.cut_down_ms {
            return;
        }
        if store == self.store {
            let is_there = self.durable.attempt(&lease.key).is_some_and(|attempt| attempt.digest() == Some(&digest));
            if verdict == Verdict::Accepted && !is_there {
                self.fail("I2", format!("the outcome of {} was accepted, and is not in the log", lease.key));
            } else if verdict != Verdict::Accepted && is_there {
                self.fail("I2", format!("the outcome of {} is in the log, and its worker is told {verdict:?}", lease.key));
            }
        }
        if let Some(spooled) = self.workers[at].spool.remove(&lease) {
            say!(self, "w{at}: {} is {verdict:?}", lease.key);
            if self.faults.kinds[9] > 0 {
                self.workers[at].kept.insert(lease.clone(), spooled);
            }
            self.release(at, &lease);
        }
    }

    /// The process is gone, with all it held; the disk stays.
    pub fn crash_worker(&mut self, at: usize) {
        say!(self, "w{at} crashes");
        let worker = &mut self.workers[at];
        if let Link::Up { conn, .. } | Link::Dialling { conn } = worker.link {
            self.end_stream(at, conn, false);
        }
        let back = if self.healed { 100 } else { self.rng.tailed(10, 120_000) };
        self.go_away(at, back);
    }

    fn go_away(&mut self, at: usize, back_ms: u64) {
        let worker = &mut self.workers[at];
        worker.link = Link::Down;
        worker.alive = false;
        worker.life += 1;
        worker.held.clear();
        self.step_after(at, back_ms, Step::ComeBack);
    }

    /// Finished attempts are delivered, unfinished ones given up with their work saved.
    fn come_back(&mut self, at: usize) {
        let worker = &mut self.workers[at];
        if worker.alive {
            return;
        }
        worker.alive = true;
        worker.incarnation += 1;
        worker.draining = false;
        say!(self, "w{at} is back");
        let left: Vec<LeaseRef> = self.workers[at].spool.keys().cloned().collect();
        for lease in left {
            let spooled = &self.workers[at].spool[&lease];
            if spooled.outcome.is_some() {
                self.workers[at].held.insert(lease.clone(), Held { phase: LeasePhase::Reported, cancelled: false });
            } else {
                let (turn, running) = (spooled.turn.clone(), spooled.running);
                let commit = if running { self.commit(&turn, true) } else { None };
                self.finish_outcome(at, &lease, Some(FailureKind::Interrupted), commit);
            }
            self.step_after(at, 50, Step::Deliver { lease });
        }
        self.step_after(at, 10, Step::Dial);
    }

    /// It is asked on its own host to take nothing more, and to leave when it is empty.
    pub fn drain(&mut self, at: usize) {
        if self.workers[at].draining || !self.workers[at].alive {
            return;
        }
        say!(self, "w{at} drains");
        self.workers[at].draining = true;
        if let Some(session) = self.workers[at].conn() {
            let worker = self.workers[at].id.clone();
            self.say_up(at, Command::WorkerDraining { worker, session });
        }
        let waiting = self.workers[at].held.iter().filter(|(_, held)| held.phase < LeasePhase::Running);
        let waiting: Vec<LeaseRef> = waiting.map(|(lease, _)| lease.clone()).collect();
        for lease in waiting {
            self.hand_back(at, lease, false);
        }
        self.want(at);
        self.leave_if_done(at);
    }

    fn leave_if_done(&mut self, at: usize) {
        if self.workers[at].alive && self.workers[at].draining && self.workers[at].held.is_empty() {
            self.leave(at);
        }
    }

    /// It says goodbye, whatever it holds, and comes back another time.
    pub fn leave(&mut self, at: usize) {
        let Link::Up { conn, .. } = self.workers[at].link else { return };
        say!(self, "w{at} leaves");
        self.end_stream(at, conn, true);
        let back = if self.healed { 1_000 } else { self.rng.tailed(1_000, 600_000) };
        self.go_away(at, back);
    }

    /// Logged out, or in again.
    pub fn flip_backend(&mut self, at: usize) {
        let which = self.rng.below(self.workers[at].offers.len() as u64) as usize;
        let offer = &mut self.workers[at].offers[which];
        offer.unavailable = if offer.unavailable.is_empty() { "logged out".to_owned() } else { String::new() };
        let offer = offer.clone();
        say!(self, "w{at}: {} is {}", offer.name, if crate::world::usable(&offer) { "back" } else { "out" });
        if let Some(session) = self.workers[at].conn() {
            let worker = self.workers[at].id.clone();
            self.say_up(at, Command::BackendChanged { worker, session, offer });
        }
    }

    /// Every backend as it is now.
    pub fn tell_offers(&mut self, at: usize) {
        let Some(session) = self.workers[at].conn() else { return };
        for offer in self.workers[at].offers.clone() {
            let worker = self.workers[at].id.clone();
            self.say_up(at, Command::BackendChanged { worker, session, offer });
        }
    }

    /// The report of an outcome, as the coordinator looks at it on arrival.
    pub fn examined(&self, at: usize, lease: &LeaseRef) -> Option<(AttemptFacts, String, Turn)> {
        let spooled = self.workers[at].spool.get(lease)?;
        let (facts, digest) = spooled.outcome.clone()?;
        Some((facts, digest, spooled.turn.clone()))
    }
}

/// Whether a failed turn's answer still counts for something.
pub fn reads_leniently(role: Role) -> bool {
    role.writes()
}
