//! A fleet whose agents end at once and well, and a repository where everything fits: only the core takes time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use roundtable_core::command::{Command, Now, Prepared, Report, RoleAnswer, RunSource, ShellAnswer, Submit, WorkerHello};
use roundtable_core::effect::{Effect, Grant};
use roundtable_core::{Core, Entropy};
use roundtable_shared::answer::{ReviewAnswer, WorkAnswer};
use roundtable_shared::spec::{Plan, Spec};
use roundtable_shared::time::WallMs;
use roundtable_shared::{
    AttemptFacts, BackendName, BackendOffer, ChangeKind, ChangedPath, CommitId, EntryKind, Introduction, LeftOut, Mode, Origin, Role,
    RunId, RunOptions, UnitState, Usage, WorkerId,
};

/// What passes with each turn: so little that no worker counts as silent meanwhile.
const TURN_MS: u64 = 50;

/// The core with all that is around it.
pub struct Fleet {
    core: Core,
    now: Now,
    entropy: Entropy,
    effects: VecDeque<Effect>,
    commits: u64,
    slots: u32,
}

impl Fleet {
    /// So many workers of so many slots.
    pub fn new(workers: u64, slots: u32) -> Self {
        let now = Now { mono_ms: 1_000, wall: WallMs(1_767_225_600_000) };
        let mut fleet = Self { core: Core::default(), now, entropy: Entropy::new(1), effects: VecDeque::new(), commits: 0, slots };
        for n in 1..=workers {
            fleet.join(n);
        }
        // Workers are no longer about to join.
        fleet.now.mono_ms += 10_000;
        fleet.now.wall.0 += 10_000;
        fleet
    }

    fn join(&mut self, session: u64) {
        let worker = WorkerId::from(format!("w{session}"));
        let offer = BackendOffer {
            name: BackendName::from("scripted:play"),
            pool: "scripted".to_owned(),
            slots: self.slots,
            version: String::new(),
            account: "account".to_owned(),
            serves_all: true,
            unavailable: String::new(),
        };
        let introduction = Introduction {
            incarnation: 1,
            name: worker.to_string(),
            version: String::new(),
            labels: Default::default(),
            backends: vec![offer],
            held: Vec::new(),
            repositories: Vec::new(),
            origin: Origin::default(),
        };
        self.send(Command::WorkerHello(Box::new(WorkerHello { worker: worker.clone(), session, introduction })));
        self.send(Command::Want { worker, session, pool: "scripted".to_owned(), credits: self.slots });
    }

    /// A run of that plan.
    pub fn submit(&mut self, spec: Spec, outline: Plan) {
        let base = self.commit();
        self.send(Command::Submit(Box::new(Submit {
            run: RunId::from("run"),
            source: RunSource {
                repository: "root".to_owned(),
                git_dir: "git".to_owned(),
                spec_path: "spec".to_owned(),
                workdir: ".".to_owned(),
            },
            spec,
            outline,
            inputs_digest: String::new(),
            options: RunOptions { mode: Mode::Legacy, ..RunOptions::default() },
            base,
            started_branch: None,
            fresh: false,
            tick_path: None,
            spec_paths: Vec::new(),
            mirror_paths: Vec::new(),
            imported: None,
            by: "ada".to_owned(),
        })));
    }

    /// Grants what can be granted, if anything has changed.
    pub fn schedule(&mut self) {
        if self.core.is_schedule_due(self.now) {
            let change = self.core.schedule(self.now, &mut self.entropy);
            self.effects.extend(change.effects);
        }
    }

    /// Carries out one effect and what it leads to; false when nothing is left to do. `longest`: the longest time the core took for one answer.
    pub fn step(&mut self, longest: &mut Duration) -> bool {
        // The repository is faster than any agent.
        let shell = self.effects.iter().position(|effect| !matches!(effect, Effect::Grant(_)));
        let Some(effect) = self.effects.remove(shell.unwrap_or(0)) else { return false };
        let begun = Instant::now();
        match effect {
            Effect::Grant(grant) => self.play(&grant),
            Effect::PrepareIntegration(asked) => {
                let changed = self.changed_by(asked.unit.as_str());
                let result = Prepared::Clean { commit: self.commit(), changed };
                self.send(Command::Shell(ShellAnswer::IntegrationPrepared {
                    run: asked.run,
                    unit: asked.unit,
                    tip: asked.tip,
                    of: asked.commit,
                    ticks: asked.ticks,
                    result,
                }));
            }
            Effect::MoveBranch { run, new, .. } => self.send(Command::Shell(ShellAnswer::BranchMoved { run, tip: new })),
            Effect::CloseRun { run, .. } => self.send(Command::Shell(ShellAnswer::RunClosed { run, commit: None })),
            _ => {}
        }
        self.schedule();
        *longest = (*longest).max(begun.elapsed());
        true
    }

    /// Units that are completed.
    pub fn completed(&self) -> usize {
        let run = self.core.state.run(&RunId::from("run")).expect("it was submitted");
        run.units().filter(|unit| unit.state() == UnitState::Completed).count()
    }

    fn play(&mut self, grant: &Grant) {
        // Durations are learned from the clock, and chains measured by them.
        self.now.mono_ms += TURN_MS;
        self.now.wall.0 += TURN_MS;
        let (worker, lease) = (grant.granted.worker.clone(), grant.lease.clone());
        self.send(Command::LeaseAccepted { worker: worker.clone(), lease: lease.clone() });
        self.send(Command::LeaseStarted { worker: worker.clone(), lease: lease.clone() });
        let is_work = grant.granted.role.writes();
        let answer = match grant.granted.role {
            Role::Review => RoleAnswer::Review(ReviewAnswer::parse(r#"{"severity":"none","summary":"fine"}"#).expect("it is an answer")),
            _ => RoleAnswer::Work(WorkAnswer::parse(r#"{"status":"completed","summary":"did it"}"#).expect("it is an answer")),
        };
        let changed = lease.key.unit.as_ref().filter(|_| is_work).map(|unit| self.changed_by(unit.as_str())).unwrap_or_default();
        let facts = AttemptFacts {
            failure: None,
            exit_code: Some(0),
            answer: String::new(),
            commit: is_work.then(|| self.commit()),
            left_out: LeftOut::default(),
            done: Vec::new(),
            agent_session: None,
            usage: Usage::default(),
            last_event_seq: 0,
        };
        let digest = format!("digest {}", lease.key);
        let report = Report { worker: worker.clone(), lease, digest, facts, changed, learned: Vec::new(), answer: Ok(answer) };
        self.send(Command::Report(Box::new(report)));
        let busy = self.core.state.live_of(&worker).count() as u32;
        let session = grant.session;
        self.send(Command::Want { worker, session, pool: grant.granted.pool.clone(), credits: self.slots.saturating_sub(busy) });
    }

    /// The first path the unit may write.
    fn changed_by(&self, unit: &str) -> Vec<ChangedPath> {
        let run = self.core.state.run(&RunId::from("run")).expect("it was submitted");
        let unit = run.unit(&unit.into()).expect("it is in the plan");
        let path = unit.assignment.manifest.writes.entries().first().expect("it writes something").replace('*', "made");
        vec![ChangedPath { path, change: ChangeKind::Modified, entry: EntryKind::File, unreadable: false, reencoded: false }]
    }

    fn send(&mut self, command: Command) {
        let change = self.core.handle(command, self.now, &mut self.entropy).expect("the command is taken");
        assert!(change.refused.is_empty(), "{:?}", change.refused);
        self.effects.extend(change.effects);
    }

    fn commit(&mut self) -> CommitId {
        self.commits += 1;
        CommitId::new(format!("{:040x}", self.commits))
    }
}
