//! Whether workers that live are taken for lost on bad links, over a thousand hours of virtual time. The core itself judges, by its own clock and ticks, and
//! each worker's own fence decides when it gives its link up; links, pauses and the keepalive of HTTP/2 are played as the programs have them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use roundtable_core::command::{Command, Now, WorkerHello};
use roundtable_core::fleet::{LOST_MS, SUSPECT_MS};
use roundtable_core::{Core, Entropy};
use roundtable_runtime::clock::{Clock, ManualClock};
use roundtable_shared::time::WallMs;
use roundtable_shared::{Introduction, Origin, WorkerId};
use roundtable_worker::session::{Beats, Fence};

use crate::report::Report;
use crate::wire::{Outages, Way, Wire};

/// The driver's clock comes this often.
const TICK_MS: u64 = 250;
/// Heartbeats, a fifth earlier or later.
const BEAT_MS: std::ops::RangeInclusive<u64> = 4_000..=6_000;
/// Either side asks after the other this often, and gives the connection up without an answer within that.
const PING_EVERY_MS: u64 = 10_000;
const PING_WITHIN_MS: u64 = 5_000;
/// First and longest pause between two tries to come back; up to twice as much is drawn.
const PAUSE_MS: u64 = 50;
const PAUSE_MS_MAX: u64 = 15_000;
/// A worker that is frozen from then on, beside those that live.
const FROZEN_AT_MS: u64 = 600_000;
const WORKERS: usize = 100;
const LOST_PERCENT: u64 = 10;
const HOUR_MS: u64 = 3_600_000;

pub fn run(report: &mut Report, seed: u64) {
    let hours_ms = if report.is_quick() { HOUR_MS / 2 } else { 10 * HOUR_MS };
    let worker_hours = WORKERS as u64 * hours_ms / HOUR_MS;
    let text = format!("{worker_hours} worker-hours of virtual time each, links that lose {LOST_PERCENT} % of all packets, seed {seed}");
    report.begin("loss", &text);
    let outages = Outages { every_ms: 1_200_000, for_ms: 25_000 };
    for (name, outages) in [("10 % loss", None), ("10 % loss, and 25 s without any link every 20 minutes", Some(outages))] {
        let told = Fleet::new(seed, outages).play(hours_ms);
        report.tell(&format!("{name}: heartbeats, links made anew, given up by the worker's fence"), told.counts());
        report.tell(&format!("{name}: longest silence; workers passed over for a while"), told.silences());
        report.counted(&format!("{name}: live workers taken for lost"), told.lost, "", 0);
        let frozen_ms = told.frozen_lost_ms.unwrap_or(u64::MAX);
        report.counted(&format!("{name}: a frozen worker is lost after"), frozen_ms, " ms", 65_000);
    }
}

/// What was seen.
#[derive(Default, Debug)]
struct Told {
    beats: u64,
    links: u64,
    cut_off: u64,
    suspected: u64,
    lost: u64,
    silence_ms: u64,
    frozen_lost_ms: Option<u64>,
}

impl Told {
    fn counts(&self) -> String {
        format!("{}, {}, {}", self.beats, self.links, self.cut_off)
    }

    fn silences(&self) -> String {
        format!("{:.1} s; {}", self.silence_ms as f64 / 1000.0, self.suspected)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Side {
    Worker,
    Coordinator,
}

/// What happens to a worker's link; numbers name its sessions.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Event {
    Tick,
    Dial,
    Connected,
    HelloCame(u64),
    WelcomeCame(u64),
    Beat(u64),
    BeatCame(u64, u64),
    AckCame(u64, u64),
    Ping(u64, Side),
    Unanswered(u64, Side),
    /// The other side's end of the connection is heard of.
    Closed(u64, Side),
}

/// A worker's side of things.
struct Worker {
    id: WorkerId,
    fence: Fence,
    beats: Option<Beats>,
    /// Its session; 0 for none.
    session: u64,
    /// The one the coordinator knows.
    known: u64,
    up: Way,
    down: Way,
    failures: u32,
    is_frozen: bool,
    is_suspect: bool,
    is_lost: bool,
}

struct Fleet {
    clock: ManualClock,
    core: Core,
    entropy: Entropy,
    wire: Wire,
    workers: Vec<Worker>,
    queue: BinaryHeap<Reverse<(u64, u64, usize, Event)>>,
    queued: u64,
    sessions: u64,
    told: Told,
}

impl Fleet {
    fn new(seed: u64, outages: Option<Outages>) -> Self {
        let clock = ManualClock::new(0, WallMs(1_800_000_000_000));
        let worker = |number: usize| Worker {
            id: WorkerId::from(format!("w{number}")),
            fence: Fence::new(Arc::new(clock.clone())),
            beats: None,
            session: 0,
            known: 0,
            up: Way::default(),
            down: Way::default(),
            failures: 0,
            is_frozen: false,
            is_suspect: false,
            is_lost: false,
        };
        // The last one is to be frozen.
        let workers: Vec<Worker> = (0..=WORKERS).map(worker).collect();
        let wire = Wire::new(seed, workers.len(), LOST_PERCENT, outages);
        let mut fleet = Self {
            clock,
            core: Core::default(),
            entropy: Entropy::new(seed),
            wire,
            workers,
            queue: BinaryHeap::new(),
            queued: 0,
            sessions: 0,
            told: Told::default(),
        };
        let now = fleet.now();
        fleet.core.recover(now);
        fleet.at(0, 0, Event::Tick);
        for worker in 0..fleet.workers.len() {
            let first_ms = fleet.wire.draw(0..=5_000);
            fleet.at(first_ms, worker, Event::Dial);
        }
        fleet
    }

    fn play(mut self, until_ms: u64) -> Told {
        while let Some(Reverse((at_ms, _, worker, event))) = self.queue.pop() {
            if at_ms > until_ms {
                break;
            }
            self.clock.advance(at_ms - self.now_ms());
            self.happen(worker, event);
        }
        self.told
    }

    fn happen(&mut self, worker: usize, event: Event) {
        match event {
            Event::Tick => self.tick(),
            Event::Dial => match self.wire.connect(worker, self.now_ms()) {
                Ok(at_ms) => self.at(at_ms, worker, Event::Connected),
                Err(at_ms) => self.try_again(worker, at_ms),
            },
            Event::Connected => self.say_hello(worker),
            Event::HelloCame(session) => self.greet(worker, session),
            Event::WelcomeCame(session) => {
                if let Some(life) = self.present(worker, session) {
                    life.failures = 0;
                    life.beats.iter_mut().for_each(|beats| beats.answered(0));
                    self.beat_later(worker, session);
                }
            }
            Event::Beat(session) => self.beat(worker, session),
            Event::BeatCame(session, number) => {
                let command = Command::Heartbeat { worker: self.workers[worker].id.clone(), session, held: Vec::new() };
                if self.decide(command) {
                    let at_ms = self.send(worker, Side::Coordinator);
                    self.at(at_ms, worker, Event::AckCame(session, number));
                }
            }
            Event::AckCame(session, number) => {
                if let Some(life) = self.present(worker, session) {
                    life.beats.iter_mut().for_each(|beats| beats.answered(number));
                }
            }
            Event::Ping(session, side) => self.ping(worker, session, side),
            Event::Unanswered(session, side) | Event::Closed(session, side) => self.close(worker, session, side),
        }
    }

    fn tick(&mut self) {
        self.decide(Command::Tick);
        let now = self.now();
        for life in &mut self.workers {
            let Some(known) = self.core.fleet.workers.get(&life.id) else { continue };
            let is_lost = known.is_silent(now, LOST_MS);
            if life.is_frozen {
                if is_lost && !life.is_lost {
                    self.told.frozen_lost_ms = Some(now.mono_ms - FROZEN_AT_MS);
                }
            } else {
                let is_suspect = known.is_silent(now, SUSPECT_MS);
                self.told.suspected += u64::from(is_suspect && !life.is_suspect);
                self.told.lost += u64::from(is_lost && !life.is_lost);
                self.told.silence_ms = self.told.silence_ms.max(now.mono_ms - known.seen_ms);
                life.is_suspect = is_suspect;
            }
            life.is_lost = is_lost;
        }
        let frozen = self.workers.len() - 1;
        self.workers[frozen].is_frozen |= now.mono_ms >= FROZEN_AT_MS;
        self.at(now.mono_ms + TICK_MS, 0, Event::Tick);
    }

    fn say_hello(&mut self, worker: usize) {
        self.sessions += 1;
        self.told.links += 1;
        let (session, now_ms) = (self.sessions, self.now_ms());
        let life = &mut self.workers[worker];
        (life.session, life.up, life.down) = (session, Way::default(), Way::default());
        life.beats = Some(Beats::begin(life.fence.clone()));
        let at_ms = self.send(worker, Side::Worker);
        self.at(at_ms, worker, Event::HelloCame(session));
        for side in [Side::Worker, Side::Coordinator] {
            self.at(now_ms + PING_EVERY_MS, worker, Event::Ping(session, side));
        }
    }

    fn greet(&mut self, worker: usize, session: u64) {
        let id = self.workers[worker].id.clone();
        let introduction = Introduction {
            incarnation: 1,
            name: id.to_string(),
            version: String::new(),
            labels: BTreeMap::new(),
            backends: Vec::new(),
            held: Vec::new(),
            repositories: Vec::new(),
            origin: Origin { workspace: id.to_string(), life: "1".to_owned(), place: String::new() },
        };
        if self.decide(Command::WorkerHello(Box::new(WorkerHello { worker: id, session, introduction }))) {
            self.workers[worker].known = session;
            let at_ms = self.send(worker, Side::Coordinator);
            self.at(at_ms, worker, Event::WelcomeCame(session));
        }
    }

    fn beat(&mut self, worker: usize, session: u64) {
        let Some(life) = self.present(worker, session).filter(|life| !life.is_frozen) else { return };
        if life.fence.is_cut_off() {
            self.told.cut_off += 1;
            return self.close(worker, session, Side::Worker);
        }
        let Some(number) = life.beats.as_mut().map(Beats::sending) else { return };
        self.told.beats += 1;
        let at_ms = self.send(worker, Side::Worker);
        self.at(at_ms, worker, Event::BeatCame(session, number));
        self.beat_later(worker, session);
    }

    fn beat_later(&mut self, worker: usize, session: u64) {
        let at_ms = self.now_ms() + self.wire.draw(BEAT_MS);
        self.at(at_ms, worker, Event::Beat(session));
    }

    fn ping(&mut self, worker: usize, session: u64, side: Side) {
        let life = &self.workers[worker];
        let is_open = session == if side == Side::Worker { life.session } else { life.known };
        if !is_open || (life.is_frozen && side == Side::Worker) {
            return;
        }
        let (now_ms, is_frozen) = (self.now_ms(), life.is_frozen);
        let other = if side == Side::Worker { Side::Coordinator } else { Side::Worker };
        let there_ms = self.send(worker, side);
        let back_ms = self.send_at(worker, other, there_ms);
        if is_frozen || back_ms > now_ms + PING_WITHIN_MS {
            self.at(now_ms + PING_WITHIN_MS, worker, Event::Unanswered(session, side));
        } else {
            self.at(now_ms + PING_EVERY_MS, worker, Event::Ping(session, side));
        }
    }

    /// One side has done with a connection; the other hears of it, if it is not done with it by then.
    fn close(&mut self, worker: usize, session: u64, side: Side) {
        let life = &mut self.workers[worker];
        let (own, other) = match side {
            Side::Worker => (&mut life.session, Side::Coordinator),
            Side::Coordinator => (&mut life.known, Side::Worker),
        };
        if *own != session {
            return;
        }
        *own = 0;
        let at_ms = self.send(worker, side);
        self.at(at_ms, worker, Event::Closed(session, other));
        match side {
            Side::Coordinator => {
                let gone = Command::WorkerGone { worker: self.workers[worker].id.clone(), session };
                self.decide(gone);
            }
            Side::Worker if self.workers[worker].is_frozen => {}
            Side::Worker => self.try_again(worker, self.now_ms()),
        }
    }

    fn try_again(&mut self, worker: usize, from_ms: u64) {
        let life = &mut self.workers[worker];
        let pause_ms = (PAUSE_MS << life.failures.min(20)).min(PAUSE_MS_MAX);
        life.failures += 1;
        let at_ms = from_ms + pause_ms + self.wire.draw(0..=pause_ms);
        self.at(at_ms, worker, Event::Dial);
    }

    /// The worker, if that is its session.
    fn present(&mut self, worker: usize, session: u64) -> Option<&mut Worker> {
        Some(&mut self.workers[worker]).filter(|life| life.session == session)
    }

    /// Whether the core takes it.
    fn decide(&mut self, command: Command) -> bool {
        let now = self.now();
        self.core.handle(command, now, &mut self.entropy).is_ok()
    }

    fn send(&mut self, worker: usize, from: Side) -> u64 {
        let now_ms = self.now_ms();
        self.send_at(worker, from, now_ms)
    }

    fn send_at(&mut self, worker: usize, from: Side, at_ms: u64) -> u64 {
        let life = &mut self.workers[worker];
        let way = if from == Side::Worker { &mut life.up } else { &mut life.down };
        self.wire.send(worker, at_ms, way)
    }

    fn at(&mut self, at_ms: u64, worker: usize, event: Event) {
        self.queued += 1;
        self.queue.push(Reverse((at_ms, self.queued, worker, event)));
    }

    fn now_ms(&self) -> u64 {
        self.clock.boot_ms()
    }

    fn now(&self) -> Now {
        Now { mono_ms: self.clock.boot_ms(), wall: self.clock.wall() }
    }
}
