//! One world: virtual time, a queue of what will happen, and everything that lives in it. What each part does is in its own file.

use std::collections::BTreeMap;
use std::sync::Arc;

use roundtable_core::command::{Command, Imported, ImportedUnit, Now};
use roundtable_core::effect::Effect;
use roundtable_core::invariants::{History, Violation};
use roundtable_core::state::{Run, State};
use roundtable_core::{Reply, Transition, Verdict};
use roundtable_shared::spec::{Plan, Spec};
use roundtable_shared::time::WallMs;
use roundtable_shared::{AttemptKey, BackendOffer, CommitId, FailureKind, LeaseRef, Reconciled, RunId, RunOptions, WorkerId};

use crate::agent::Turn;
use crate::coordinator::{Compared, Coordinator};
use crate::plans;
use crate::repository::Repository;
use crate::rng::Rng;
use crate::shape::{Agents, Faults, Shape};
use crate::worker::{Step, Worker};

/// Events after which a world that does not end has failed.
const EVENTS_MAX: u64 = 400_000;
/// Virtual time, after everything is healed, within which every run ends.
const BOUND_MS: u64 = 24 * 3_600_000;
/// The wall clock at virtual time 0.
const WALL_MS: u64 = 1_767_225_600_000;

/// A fault put into the harness, never into the core, that the invariants must find.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sabotage {
    None,
    /// A late outcome is delivered under the name of the attempt that holds the seat now.
    StaleAsCurrent,
    /// The core forgets who holds what before it schedules.
    ForgetHolds,
    /// The core forgets dependencies and hazards while it schedules.
    ForgetOrder,
    /// Answers go out before the append, and the append never happens.
    AnswerEarly,
    /// Effects on branches are never carried out.
    LoseEffects,
}

/// What will happen.
pub enum Event {
    Tick {
        life: u64,
    },
    Batch {
        life: u64,
    },
    /// A command is at the coordinator; `conn`: the stream that brought it.
    Arrive {
        life: Option<u64>,
        conn: Option<u64>,
        command: Box<Command>,
        reply: ReplyTo,
    },
    Shell {
        life: u64,
        effect: Box<Effect>,
    },
    /// An outcome is at the coordinator.
    Report {
        worker: usize,
        conn: u64,
        lease: LeaseRef,
    },
    ToWorker {
        worker: usize,
        conn: u64,
        frame: Frame,
    },
    Verdict {
        worker: usize,
        life: u64,
        /// Of the coordinator that gives it.
        store: u64,
        lease: LeaseRef,
        digest: String,
        verdict: Verdict,
    },
    Backup,
    LinkBroken {
        worker: usize,
        conn: u64,
    },
    Worker {
        worker: usize,
        life: u64,
        step: Step,
    },
    Restart,
    Look,
    Meddle,
    Fault,
    Heal,
}

/// A frame to a worker.
pub enum Frame {
    Welcome(Vec<Reconciled>),
    Lease(Box<Turn>),
    Revoke(LeaseRef),
    Ack { revoke: Vec<LeaseRef>, sent_ms: u64 },
}

/// Who waits for an answer.
pub enum ReplyTo {
    Nobody,
    Hello { worker: usize, conn: u64 },
    Heartbeat { worker: usize, conn: u64, sent_ms: u64 },
    Report { worker: usize, life: u64, lease: LeaseRef, digest: String },
}

/// A run to be submitted.
pub struct Submission {
    pub run: RunId,
    pub spec: Spec,
    pub plan: Plan,
    pub options: RunOptions,
    pub base: CommitId,
    pub at_ms: u64,
    pub imported: Option<Imported>,
}

/// What a backup holds: everything durable, the repository's refs too.
pub struct Backup {
    pub rows: usize,
    pub durable: State,
    pub history: History,
    pub branches: BTreeMap<RunId, CommitId>,
    pub attempts: BTreeMap<AttemptKey, CommitId>,
}

/// An outcome's origin.
pub struct Origin {
    pub lease: LeaseRef,
    pub worker: WorkerId,
    pub failure: Option<FailureKind>,
}

/// A stream.
pub struct Conn {
    pub worker: usize,
    pub life: u64,
    pub dead: bool,
    pub last_up_ms: u64,
    pub last_down_ms: u64,
}

pub struct World {
    pub shape: Shape,
    pub faults: Faults,
    pub agents: Agents,
    pub sabotage: Sabotage,
    pub rng: Rng,
    pub now_ms: u64,
    pub healed: bool,
    events: BTreeMap<(u64, u64), Event>,
    order: u64,
    pub coordinator: Option<Coordinator>,
    pub lives: u64,
    pub stalled_until_ms: u64,
    pub stalled: bool,
    /// Durable: the log, and what it folds to.
    pub log: Vec<Transition>,
    pub durable: State,
    /// What was durable a while ago, as a snapshot keeps it.
    pub snapshot: Option<Vec<u8>>,
    pub history: History,
    /// Which store it is: another one after each restore.
    pub store: u64,
    pub backup: Option<Backup>,
    pub repository: Repository,
    pub workers: Vec<Worker>,
    pub conns: BTreeMap<u64, Conn>,
    pub submissions: Vec<Submission>,
    /// Which lease each outcome really comes from.
    pub digests: BTreeMap<String, Origin>,
    /// When each open decision is answered.
    pub patience: BTreeMap<(RunId, String, u64), u64>,
    pub remarks: BTreeMap<String, u64>,
    pub failure: Option<Violation>,
    pub trace: Option<Vec<String>>,
    pub batches: u64,
    pub compared: Compared,
}

/// Says what happens, where somebody listens.
macro_rules! say {
    ($world:expr, $($text:tt)*) => {
        if $world.trace.is_some() {
            let text = format!($($text)*);
            $world.note(text);
        }
    };
}
pub(crate) use say;

impl World {
    pub fn new(seed: u64, sabotage: Sabotage, traced: bool) -> Self {
        let mut rng = Rng::new(seed);
        let shape = Shape::of(&mut rng);
        let mut repository = Repository::default();
        let large = shape.is_large;
        let runs = shape.runs.iter().enumerate();
        let submissions = runs.map(|(at, options)| submission(&mut rng, &mut repository, at, options, large)).collect();
        let worker = |(at, offers): (usize, &Vec<_>)| Worker { broken: shape.broken == Some(at), ..Worker::new(at, offers.clone()) };
        let workers = shape.workers.iter().enumerate().map(worker).collect();
        let mut world = Self {
            faults: shape.faults.clone(),
            agents: shape.agents.clone(),
            sabotage,
            now_ms: 1_000_000,
            healed: false,
            events: BTreeMap::new(),
            order: 0,
            coordinator: None,
            lives: 0,
            stalled_until_ms: 0,
            stalled: false,
            log: Vec::new(),
            durable: State::default(),
            snapshot: None,
            history: History::default(),
            store: 1,
            backup: None,
            repository,
            workers,
            conns: BTreeMap::new(),
            submissions,
            digests: BTreeMap::new(),
            patience: BTreeMap::new(),
            remarks: BTreeMap::new(),
            failure: None,
            trace: traced.then(Vec::new),
            batches: 0,
            compared: Compared::default(),
            rng,
            shape,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        self.after(0, Event::Restart);
        self.after(100, Event::Look);
        for at in 0..self.workers.len() {
            let delay = self.rng.range(0, 20_000);
            self.after(delay, Event::Worker { worker: at, life: 0, step: Step::Dial });
        }
        if self.faults.every_ms > 0 {
            self.after(self.faults.every_ms, Event::Fault);
        }
        if self.faults.kinds[9] > 0 {
            let first = self.rng.range(10_000, 300_000);
            self.after(first, Event::Backup);
        }
        if self.shape.people.meddles > 0 {
            self.after(30_000, Event::Meddle);
        }
        self.after(self.shape.heal_ms, Event::Heal);
    }

    pub fn now(&self) -> Now {
        Now { mono_ms: self.now_ms, wall: WallMs(WALL_MS + self.now_ms) }
    }

    pub fn after(&mut self, delay_ms: u64, event: Event) {
        self.at(self.now_ms + delay_ms, event);
    }

    pub fn at(&mut self, at_ms: u64, event: Event) {
        self.order += 1;
        self.events.insert((at_ms, self.order), event);
    }

    pub fn note(&mut self, text: String) {
        let at = self.now_ms - 1_000_000;
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>8}.{:03} {text}", at / 1000, at % 1000));
        }
    }

    pub fn fail(&mut self, invariant: &'static str, text: String) {
        if self.failure.is_none() {
            say!(self, "!! {invariant}: {text}");
            self.failure = Some(Violation { invariant, text });
        }
    }

    pub fn fail_all(&mut self, violations: Vec<Violation>) {
        for violation in violations {
            self.fail(violation.invariant, violation.text);
        }
    }

    /// A chance that only a world that is not healed yet takes.
    pub fn bad(&mut self, per_mille: u64) -> bool {
        !self.healed && per_mille > 0 && self.rng.chance(per_mille)
    }

    /// Lets things happen until every run has ended, or something is wrong.
    pub fn run(&mut self) {
        let mut events = 0;
        let mut linger_ms = None;
        while let Some(((at_ms, _), event)) = self.events.pop_first() {
            self.now_ms = self.now_ms.max(at_ms);
            self.happen(event);
            if self.failure.is_some() {
                return;
            }
            events += 1;
            if linger_ms.is_none() && self.all_ended() {
                // Late outcomes are still to come.
                linger_ms = Some(self.now_ms + 30_000);
            }
            if linger_ms.is_some_and(|until| self.now_ms > until) {
                return self.finish();
            }
            let bound_ms = 1_000_000 + self.shape.heal_ms + BOUND_MS;
            if events > EVENTS_MAX || self.now_ms > bound_ms {
                let open = self.explain();
                return self.fail("I7", format!("after {events} events, runs are open: {open}"));
            }
        }
    }

    fn all_ended(&self) -> bool {
        let ended = |submission: &Submission| self.durable.run(&submission.run).is_some_and(Run::is_ended);
        self.submissions.iter().all(ended)
    }

    /// What the repository has must be what the history says, once everything is over.
    fn finish(&mut self) {
        for run in self.durable.runs.values().map(Arc::clone).collect::<Vec<_>>() {
            let Some(branch) = self.repository.branches.get(&run.id).cloned() else { continue };
            if branch != run.branch.tip {
                self.fail("I1", format!("run {}: its branch is at {branch}, its state says {}", run.id, run.branch.tip));
            }
            let mut units = self.repository.units_of(&branch);
            let count = units.len();
            units.sort();
            units.dedup();
            let mut said: Vec<_> = run.branch.integrations.iter().filter_map(|integration| integration.unit.clone()).collect();
            said.sort();
            if units.len() != count || units != said {
                self.fail("I1", format!("run {}: its branch consists of {units:?} ({count} commits), its state says {said:?}", run.id));
            }
        }
        self.check_fold();
    }

    fn explain(&self) -> String {
        let mut lines = Vec::new();
        for run in self.durable.unfinished() {
            lines.push(format!(
                "\n{} {:?} {:?} step {:?} base {:?} train {:?} decisions {:?} assigning {:?} orchestrator {:?}",
                run.id,
                run.options.mode,
                run.stage(),
                run.life.step,
                run.branch.base_check,
                run.branch.train,
                run.people.decisions.keys().collect::<Vec<_>>(),
                run.agents.assigning,
                run.agents.orchestrator
            ));
            let Some(coordinator) = &self.coordinator else { continue };
            for unit in run.units().filter(|unit| unit.spec.runs && !unit.state().is_terminal()) {
                let reasons = roundtable_core::schedule::explain(&self.durable, &coordinator.core.fleet, &run.id, &unit.id, self.now());
                let reasons: Vec<String> = reasons.into_iter().map(|reason| reason.text).collect();
                lines.push(format!("  {} {} {:?} fix {:?} reasons {reasons:?}", unit.id, unit.state(), unit.live, unit.fix()));
            }
        }
        lines.join("\n")
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Worker { worker, life, step } => self.worker_step(worker, life, step),
            Event::ToWorker { worker, conn, frame } => self.frame_arrives(worker, conn, frame),
            Event::Verdict { worker, life, store, lease, digest, verdict } => self.verdict(worker, life, store, lease, digest, verdict),
            Event::Backup => self.back_up(),
            Event::LinkBroken { worker, conn } => self.link_broken(worker, conn),
            Event::Look => self.look(),
            Event::Meddle => self.meddle(),
            Event::Fault => self.fault(),
            Event::Heal => self.heal(),
            Event::Restart => self.restart_coordinator(),
            event if self.now_ms < self.stalled_until_ms => self.at(self.stalled_until_ms, event),
            Event::Tick { life } => self.tick(life),
            Event::Batch { life } => self.batch(life),
            Event::Arrive { life, conn, command, reply } => self.arrive(life, conn, *command, reply),
            Event::Shell { life, effect } => self.carry_out(life, *effect),
            Event::Report { worker, conn, lease } => self.report(worker, conn, lease),
        }
    }

    /// Something goes wrong.
    fn fault(&mut self) {
        if self.healed {
            return;
        }
        let next = self.rng.range(1_000, 2 * self.faults.every_ms);
        self.after(next, Event::Fault);
        let at = self.rng.below(self.workers.len() as u64) as usize;
        let short = self.rng.tailed(500, 130_000);
        match self.rng.weighted(&self.faults.kinds.clone()) {
            0 => self.crash_coordinator(),
            1 => {
                let stall = self.rng.range(1_000, 100_000);
                say!(self, "the coordinator stands still for {stall} ms");
                self.stalled_until_ms = self.now_ms + stall;
                self.stalled = true;
            }
            2 => self.crash_worker(at),
            3 => {
                say!(self, "w{at} stands still for {short} ms");
                self.workers[at].frozen_until_ms = self.now_ms + short;
            }
            4 => {
                let (up, down) = *self.rng.pick(&[(true, true), (true, false), (false, true)]);
                say!(self, "w{at} is cut off ({up}, {down}) for {short} ms");
                let until = self.now_ms + short;
                let worker = &mut self.workers[at];
                worker.cut_up_ms = if up { until } else { worker.cut_up_ms };
                worker.cut_down_ms = if down { until } else { worker.cut_down_ms };
            }
            5 => self.leave(at),
            6 => self.flip_backend(at),
            7 => self.drain_by_operator(at),
            8 => self.drain(at),
            _ => self.restore(),
        }
    }

    /// From here on nothing goes wrong any more, and agents do as they are told.
    fn heal(&mut self) {
        say!(self, "healed");
        self.healed = true;
        self.faults = Faults::default();
        self.agents = Agents { turn_ms_max: self.agents.turn_ms_max.min(60_000), ..Agents::default() };
        self.stalled_until_ms = 0;
        let afresh = self.rng.chance(600);
        for at in 0..self.workers.len() {
            let worker = &mut self.workers[at];
            worker.broken = false;
            worker.frozen_until_ms = 0;
            worker.cut_up_ms = 0;
            worker.cut_down_ms = 0;
            for offer in &mut worker.offers {
                offer.unavailable = String::new();
            }
            self.tell_offers(at);
            // One that leaves or is cordoned is started anew; the others may go on as they are. People take back what they drained.
            let worker = self.workers[at].id.clone();
            let known = self.coordinator.as_ref().and_then(|coordinator| coordinator.core.fleet.workers.get(&worker));
            let barred = known.is_none_or(|known| known.cordoned.is_some()) || self.workers[at].draining;
            if barred || afresh {
                self.crash_worker(at);
            }
        }
    }

    /// The stored form gives the same state.
    pub fn check_fold(&mut self) {
        let Some(coordinator) = self.coordinator.as_ref().filter(|_| self.sabotage == Sabotage::None) else { return };
        if coordinator.core.state != self.durable {
            self.fail("I13", "the state differs from the fold of its log".to_owned());
        }
        let bytes = rmp_serde::to_vec_named(&self.durable).expect("a state can be written");
        match rmp_serde::from_slice::<State>(&bytes) {
            Ok(state) if state == self.durable => self.snapshot = Some(bytes),
            Ok(_) => self.fail("I13", "a state is read back as another one".to_owned()),
            Err(error) => self.fail("I13", format!("a state cannot be read back: {error}")),
        }
    }
}

fn submission(rng: &mut Rng, repository: &mut Repository, at: usize, options: &RunOptions, is_large: bool) -> Submission {
    let (spec, plan) = plans::spec(rng, is_large);
    let run = RunId::new(format!("run-{at}"));
    let base = repository.root(run.as_str());
    repository.branches.insert(run.clone(), base.clone());
    let mut options = options.clone();
    options.only.retain(|id| plan.unit(id).is_some());
    let imported = rng.chance(80).then(|| imported(rng, &plan));
    Submission { run, spec, plan, options, base, at_ms: rng.range(0, 30_000) * at as u64, imported }
}

/// What an earlier orchestration left half-finished.
fn imported(rng: &mut Rng, plan: &Plan) -> Imported {
    let words = ["completed", "in_progress", "pending_review", "under_review", "final_review", "fix_required", "blocked", "not_started"];
    let mut imported = Imported::default();
    for unit in &plan.units {
        if rng.chance(300) {
            continue;
        }
        let status = (*rng.pick(&words)).to_owned();
        let fix_attempts = if status == "fix_required" || status == "blocked" { rng.below(5) as u32 } else { 0 };
        let findings = if fix_attempts > 0 { vec![("major".to_owned(), "wrong".to_owned(), None)] } else { Vec::new() };
        let blocked_reason = rng.chance(500).then(|| "human_intervention_required".to_owned());
        let owner_agent = rng.chance(600).then(|| (*rng.pick(&["codex", "gemini", "absent"])).to_owned());
        let target_window = rng.chance(500).then(|| format!("task-{}", unit.id));
        let subtasks = unit.subtasks().iter().map(|task| (task.id.to_string(), (*rng.pick(&words)).to_owned())).collect();
        let from = ImportedUnit {
            status,
            subtasks,
            owner_agent,
            target_window,
            fix_attempts,
            findings,
            blocked_reason,
            ..ImportedUnit::default()
        };
        imported.units.insert(unit.id.clone(), from);
    }
    imported
}

/// An offer as it is when nothing is wrong with it.
pub fn usable(offer: &BackendOffer) -> bool {
    offer.unavailable.is_empty()
}

/// Whether a reply is a refusal of the session.
pub fn welcome(reply: Reply) -> Option<Vec<Reconciled>> {
    match reply {
        Reply::Welcome { reconciled } => Some(reconciled),
        _ => None,
    }
}
