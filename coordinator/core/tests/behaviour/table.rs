//! A core on the table: a plan, a fleet, and a hand that gives each command and answers each effect.

use std::collections::BTreeMap;

use roundtable_core::command::{
    Act, Command, Imported, ImportedUnit, Now, Operate, Prepared, Report, RoleAnswer, RunSource, ShellAnswer, Submit, WorkerHello,
};
use roundtable_core::effect::{Effect, Grant};
use roundtable_core::invariants::{self, History};
use roundtable_core::state::{Run, State, Unit};
use roundtable_core::{Change, Core, Entropy, Fact, Publisher, Rejection, Reply, Transition};
use roundtable_shared::answer::{ReviewAnswer, WorkAnswer, WorkStatus};
use roundtable_shared::spec::Spec;
use roundtable_shared::time::WallMs;
use roundtable_shared::{
    AgentSessionId, AttemptFacts, BackendName, BackendOffer, ChangeKind, ChangedPath, Choice, CommitId, DecisionId, Dependants, EntryKind,
    Failure, FailureKind, HeldLease, Introduction, Issue, LeasePhase, LeaseRef, LeftOut, Mode, Origin, Role, RunId, RunOptions, Severity,
    TaskId, UnitId, Usage, WorkerId,
};

/// The table.
pub struct Table {
    pub core: Core,
    pub now: Now,
    pub log: Vec<Transition>,
    /// Effects not yet carried out.
    pub effects: Vec<Effect>,
    /// What the next outcome says it could not commit.
    pub left_out: LeftOut,
    /// Subtasks that the agent of the next outcome has reported as done on the way.
    pub done: Vec<TaskId>,
    /// The conversation that the next outcome says can be gone on with.
    pub conversation: Option<AgentSessionId>,
    /// Labels of the worker that joins next.
    pub labels: BTreeMap<String, String>,
    /// Repositories that workers who join say they keep.
    pub kept: Vec<String>,
    /// Where boxes are ticked in commits, if they are.
    tick_path: Option<String>,
    entropy: Entropy,
    history: History,
    durable: State,
    publisher: Publisher,
    commits: u32,
    sessions: u64,
}

/// The only run.
pub fn run_id() -> RunId {
    RunId::from("run")
}

/// Options of a run without agents of its own.
pub fn options() -> RunOptions {
    RunOptions { mode: Mode::Legacy, embedded: true, ..RunOptions::default() }
}

impl Table {
    pub fn new() -> Self {
        Self {
            core: Core::default(),
            now: Now { mono_ms: 1_000, wall: WallMs(1_767_225_600_000) },
            log: Vec::new(),
            effects: Vec::new(),
            left_out: LeftOut::default(),
            done: Vec::new(),
            conversation: None,
            labels: BTreeMap::new(),
            kept: Vec::new(),
            tick_path: None,
            entropy: Entropy::new(1),
            history: History::default(),
            durable: State::default(),
            publisher: Publisher::default(),
            commits: 0,
            sessions: 0,
        }
    }

    /// With a run of that plan.
    pub fn with(tasks: &str, options: RunOptions) -> Self {
        Self::continuing(tasks, options, None)
    }

    /// With a run that takes up what another tool left: state word and owner per unit.
    pub fn with_imported(tasks: &str, options: RunOptions, units: &[(&str, &str, Option<&str>)]) -> Self {
        let unit = |(id, status, owner): &(&str, &str, Option<&str>)| {
            let owner_agent = owner.map(str::to_owned);
            (UnitId::from(*id), ImportedUnit { status: (*status).to_owned(), owner_agent, ..ImportedUnit::default() })
        };
        Self::continuing(tasks, options, Some(Imported { units: units.iter().map(unit).collect(), ..Imported::default() }))
    }

    /// With a run whose commits tick boxes.
    pub fn with_boxes(tasks: &str, options: RunOptions) -> Self {
        Self { tick_path: Some("spec/tasks.md".to_owned()), ..Self::new() }.submitted(tasks, options, None)
    }

    /// The same with all that a state knows of a unit.
    pub fn with_units(tasks: &str, options: RunOptions, units: &[(&str, ImportedUnit)]) -> Self {
        let units = units.iter().map(|(id, unit)| (UnitId::from(*id), unit.clone())).collect();
        Self::continuing(tasks, options, Some(Imported { units, ..Imported::default() }))
    }

    /// The same with random bits of that seed.
    pub fn seeded(seed: u64, tasks: &str, options: RunOptions) -> Self {
        Self { entropy: Entropy::new(seed), ..Self::new() }.submitted(tasks, options, None)
    }

    fn continuing(tasks: &str, options: RunOptions, imported: Option<Imported>) -> Self {
        Self::new().submitted(tasks, options, imported)
    }

    fn submitted(mut self, tasks: &str, options: RunOptions, imported: Option<Imported>) -> Self {
        self.submit(tasks, options, imported);
        self
    }

    /// A run of that plan is submitted.
    pub fn submit(&mut self, tasks: &str, options: RunOptions, imported: Option<Imported>) {
        self.submit_as(&run_id(), tasks, options, imported);
    }

    /// The same under an id of its own, of a spec of its own.
    pub fn submit_as(&mut self, run: &RunId, tasks: &str, options: RunOptions, imported: Option<Imported>) {
        let files = BTreeMap::from([("tasks.md".to_owned(), tasks.as_bytes().to_vec())]);
        let (spec, outline, _) = Spec::read(&files, false).into_result().expect("the plan has no errors");
        let base = self.commit();
        self.send(Command::Submit(Box::new(Submit {
            run: run.clone(),
            source: RunSource {
                repository: "root".to_owned(),
                git_dir: "git".to_owned(),
                spec_path: format!("specs/{run}"),
                workdir: ".".to_owned(),
            },
            spec,
            outline,
            inputs_digest: String::new(),
            options,
            base,
            started_branch: None,
            fresh: false,
            tick_path: self.tick_path.clone(),
            spec_paths: vec!["spec/tasks.md".to_owned()],
            mirror_paths: Vec::new(),
            imported: imported.map(Box::new),
            by: "ada".to_owned(),
        })));
    }

    /// A worker joins, with slots per backend; each backend is a pool of its own, but codex-review shares codex's.
    pub fn join(&mut self, id: &str, backends: &[(&str, u32)]) {
        self.hello(id, self.sessions + 1, Origin::default(), backends).expect("the worker is let in");
    }

    /// The same with labels.
    pub fn join_with(&mut self, id: &str, labels: &[(&str, &str)], backends: &[(&str, u32)]) {
        self.labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        self.join(id, backends);
    }

    /// A worker says hello: its start, and which of its name it is.
    pub fn hello(&mut self, id: &str, incarnation: u64, origin: Origin, backends: &[(&str, u32)]) -> Result<(), Rejection> {
        self.hello_with(id, incarnation, origin, backends, Vec::new())
    }

    /// The same worker says hello again, with outcomes that it holds.
    pub fn comes_again_with(&mut self, id: &str, backends: &[(&str, u32)], outcomes: &[&LeaseRef]) {
        let held = outcomes.iter().map(|lease| HeldLease {
            lease: (*lease).clone(),
            phase: LeasePhase::Reported,
            last_event_seq: 0,
            waiting: String::new(),
        });
        let held = held.collect();
        self.hello_with(id, 1, Origin::default(), backends, held).expect("the worker is let in");
    }

    fn hello_with(
        &mut self,
        id: &str,
        incarnation: u64,
        origin: Origin,
        backends: &[(&str, u32)],
        held: Vec<HeldLease>,
    ) -> Result<(), Rejection> {
        self.sessions += 1;
        let (worker, session) = (WorkerId::from(id), self.sessions);
        let offer = |(name, slots): &(&str, u32)| BackendOffer {
            name: BackendName::from(*name),
            pool: name.trim_end_matches("-review").to_owned(),
            slots: *slots,
            version: String::new(),
            account: "account".to_owned(),
            serves_all: name.starts_with("scripted:"),
            unavailable: String::new(),
        };
        let offers: Vec<BackendOffer> = backends.iter().map(offer).collect();
        let introduction = Introduction {
            incarnation,
            name: id.to_owned(),
            version: String::new(),
            labels: std::mem::take(&mut self.labels),
            backends: offers.clone(),
            held,
            repositories: self.kept.clone(),
            origin,
        };
        self.try_send(Command::WorkerHello(Box::new(WorkerHello { worker: worker.clone(), session, introduction })))?;
        for offer in offers {
            self.send(Command::Want { worker: worker.clone(), session, pool: offer.pool, credits: offer.slots });
        }
        Ok(())
    }

    /// A backend of that worker cannot be used, and can again.
    pub fn offers_again(&mut self, id: &str, backend: &str) {
        let worker = WorkerId::from(id);
        let known = &self.core.fleet.workers[&worker];
        let (session, offer) = (known.session, known.offers[&BackendName::from(backend)].offer.clone());
        for unavailable in ["the disk is full", ""] {
            let offer = BackendOffer { unavailable: unavailable.to_owned(), ..offer.clone() };
            self.send(Command::BackendChanged { worker: worker.clone(), session, offer });
        }
        self.send(Command::Want { worker, session, pool: offer.pool, credits: offer.slots });
    }

    pub fn send(&mut self, command: Command) {
        self.try_send(command).expect("the command is taken");
    }

    pub fn try_send(&mut self, command: Command) -> Result<(), Rejection> {
        let change = self.core.handle(command, self.now, &mut self.entropy)?;
        self.take(change);
        Ok(())
    }

    /// The same with its answer.
    pub fn ask(&mut self, command: Command) -> Result<Reply, Rejection> {
        let mut change = self.core.handle(command, self.now, &mut self.entropy)?;
        let reply = std::mem::take(&mut change.reply);
        self.take(change);
        Ok(reply)
    }

    pub fn act(&mut self, act: Act) {
        self.try_act(act).expect("it can be done");
    }

    pub fn try_act(&mut self, act: Act) -> Result<(), Rejection> {
        self.try_send(Command::Operate(Operate { run: Some(run_id()), by: "ada".to_owned(), act }))
    }

    /// The coordinator is started again: what is not durable is gone, and what is owed is done.
    pub fn restart(&mut self) {
        self.core = Core::default();
        self.log.iter().for_each(|transition| self.core.replay(transition));
        self.publisher.start(&self.core);
        let change = self.core.recover(self.now);
        self.take(change);
    }

    /// The coordinator goes on from a backup that ends with that row of the log.
    pub fn restore(&mut self, rows: usize) {
        self.log.truncate(rows);
        let fact = Fact::StoreRestored { store: "ab".repeat(16), through_seq: rows as u64, head: "cd".repeat(32) };
        self.log.push(Transition { run: None, at: self.now.wall, fact });
        self.durable = State::fold(&self.log);
        self.history = History::default();
        self.effects.clear();
        self.restart();
    }

    /// Makes of the state what an earlier release would have left.
    pub fn edit(&mut self, edit: impl Fn(&mut State)) {
        edit(&mut self.core.state);
        edit(&mut self.durable);
        self.publisher.start(&self.core);
    }

    pub fn decide(&mut self, id: &str, choice: Choice) {
        self.act(Act::Decide { id: DecisionId::from(id), choice, dependants: Dependants::GoOn, note: None });
    }

    /// Grants what can be granted. Whatever is left must wait for something.
    pub fn schedule(&mut self) {
        let change = self.core.schedule(self.now, &mut self.entropy);
        self.take(change);
        let wrong = invariants::check(&self.core.state, &self.core.fleet, self.now);
        assert!(wrong.is_empty(), "{wrong:?}");
    }

    fn take(&mut self, change: Change) {
        assert!(change.refused.is_empty(), "{:?}", change.refused);
        let published = self.publisher.publish(&self.core, change.transitions.iter().filter_map(|transition| transition.run.as_ref()));
        for transition in change.transitions {
            let mut wrong = self.history.before(&self.durable, &transition);
            self.durable.apply(&transition);
            wrong.extend(self.history.after(&self.durable, &transition));
            assert!(wrong.is_empty(), "{wrong:?}");
            self.log.push(transition);
        }
        assert_eq!(self.durable, self.core.state, "the state is the fold of its log");
        assert_eq!(published, self.core, "what is published is all of it");
        self.effects.extend(change.effects);
    }

    /// Time passes; workers stay alive with what they hold.
    pub fn pass(&mut self, ms: u64) {
        for _ in 0..ms.div_ceil(1_000) {
            self.now.mono_ms += 1_000;
            self.now.wall.0 += 1_000;
            let workers: Vec<(WorkerId, u64)> =
                self.core.fleet.workers.values().map(|worker| (worker.id.clone(), worker.session)).collect();
            for (worker, session) in workers {
                let held = self.core.state.live_of(&worker).map(|(key, attempt)| HeldLease {
                    lease: LeaseRef { key: key.clone(), lease_id: attempt.granted.lease_id },
                    phase: LeasePhase::Running,
                    last_event_seq: 0,
                    waiting: String::new(),
                });
                let held = held.collect();
                self.send(Command::Heartbeat { worker, session, held });
            }
            self.send(Command::Tick);
        }
    }

    /// The grants that wait to be carried out; their workers take and start them.
    pub fn start(&mut self) -> Vec<Grant> {
        let grants = self.granted();
        grants.iter().for_each(|grant| self.begin(grant));
        grants
    }

    /// The grants that wait to be carried out.
    pub fn granted(&mut self) -> Vec<Grant> {
        let (grants, rest): (Vec<Effect>, Vec<Effect>) = self.effects.drain(..).partition(|effect| matches!(effect, Effect::Grant(_)));
        self.effects = rest;
        grants.into_iter().filter_map(|effect| if let Effect::Grant(grant) = effect { Some(*grant) } else { None }).collect()
    }

    /// Its worker takes it and starts its agent.
    pub fn begin(&mut self, grant: &Grant) {
        let (worker, lease) = (grant.granted.worker.clone(), grant.lease.clone());
        self.send(Command::LeaseAccepted { worker: worker.clone(), lease: lease.clone() });
        self.send(Command::LeaseStarted { worker, lease });
    }

    /// Schedules, and starts what was granted.
    pub fn go(&mut self) -> Vec<Grant> {
        self.schedule();
        self.start()
    }

    /// The one grant of that unit.
    pub fn go_one(&mut self, unit: &str) -> Grant {
        let mut grants = self.go();
        grants.retain(|grant| grant.lease.key.unit.as_ref().is_some_and(|id| id.as_str() == unit));
        assert_eq!(grants.len(), 1, "unit {unit} is granted once");
        grants.remove(0)
    }

    pub fn commit(&mut self) -> CommitId {
        self.commits += 1;
        CommitId::new(format!("{:040x}", self.commits))
    }

    /// A work turn ends well, having changed these paths.
    pub fn works(&mut self, grant: &Grant, paths: &[&str]) {
        self.report(grant, None, paths, Ok(RoleAnswer::Work(work_answer())));
    }

    pub fn reviews(&mut self, grant: &Grant, severity: Severity) {
        assert_eq!(grant.granted.role, Role::Review);
        // It points at a line, so that it blocks in any round.
        let issue = || Issue {
            id: String::new(),
            description: "seen".to_owned(),
            severity,
            file: Some("a.rs".to_owned()),
            line: Some(1),
            reproduced: None,
        };
        let issues = (severity != Severity::None).then(issue).into_iter().collect();
        let answer = ReviewAnswer { severity, summary: "seen".to_owned(), details: None, issues, earlier: Vec::new() };
        self.report(grant, None, &[], Ok(RoleAnswer::Review(answer)));
    }

    /// A review ends with that answer, as an agent gives it.
    pub fn reviews_with(&mut self, grant: &Grant, answer: &str) {
        assert_eq!(grant.granted.role, Role::Review);
        let answer = ReviewAnswer::parse(answer).expect("the answer can be read");
        self.report(grant, None, &[], Ok(RoleAnswer::Review(answer)));
    }

    /// A work turn ends with that answer, as an agent gives it, having changed these paths.
    pub fn works_with(&mut self, grant: &Grant, paths: &[&str], answer: &str) {
        let answer = WorkAnswer::parse(answer).expect("the answer can be read");
        self.report(grant, None, paths, Ok(RoleAnswer::Work(answer)));
    }

    pub fn breaks(&mut self, grant: &Grant, kind: FailureKind) {
        self.report(grant, Some(kind), &[], Ok(RoleAnswer::None));
    }

    /// The outcome of a turn; its slot is free again.
    pub fn report(&mut self, grant: &Grant, failure: Option<FailureKind>, paths: &[&str], answer: Result<RoleAnswer, String>) {
        self.report_changes(grant, failure, paths.iter().map(|path| changed(path)).collect(), answer);
    }

    /// A work turn ends well with these changes.
    pub fn works_changing(&mut self, grant: &Grant, changed: Vec<ChangedPath>) {
        self.report_changes(grant, None, changed, Ok(RoleAnswer::Work(work_answer())));
    }

    fn report_changes(
        &mut self,
        grant: &Grant,
        failure: Option<FailureKind>,
        changed: Vec<ChangedPath>,
        answer: Result<RoleAnswer, String>,
    ) {
        let commit = grant.granted.role.writes().then(|| self.commit());
        let facts = AttemptFacts {
            commit,
            left_out: std::mem::take(&mut self.left_out),
            done: std::mem::take(&mut self.done),
            agent_session: self.conversation.take(),
            ..ended(failure)
        };
        self.hand_in(grant, facts, changed, answer);
    }

    /// Its worker gives it back with nothing done.
    pub fn gives_back(&mut self, grant: &Grant) {
        self.hand_in(grant, ended(Some(FailureKind::Interrupted)), Vec::new(), Ok(RoleAnswer::None));
    }

    fn hand_in(&mut self, grant: &Grant, facts: AttemptFacts, changed: Vec<ChangedPath>, answer: Result<RoleAnswer, String>) {
        let digest = format!("digest {}", grant.lease.key);
        let (worker, lease) = (grant.granted.worker.clone(), grant.lease.clone());
        self.send(Command::Report(Box::new(Report { worker, lease, digest, facts, changed, learned: Vec::new(), answer })));
        self.want(grant);
    }

    /// Its worker says how many slots are free now.
    pub fn want(&mut self, grant: &Grant) {
        let worker = &self.core.fleet.workers[&grant.granted.worker];
        let slots = worker.offers.values().find(|offer| offer.offer.pool == grant.granted.pool).map_or(0, |offer| offer.offer.slots);
        let busy =
            self.core.state.live_of(&grant.granted.worker).filter(|(_, attempt)| attempt.granted.pool == grant.granted.pool).count() as u32;
        let (worker, session, pool) = (grant.granted.worker.clone(), worker.session, grant.granted.pool.clone());
        self.send(Command::Want { worker, session, pool, credits: slots.saturating_sub(busy) });
    }

    /// Everything owed to branches goes well.
    pub fn integrate(&mut self) {
        self.integrate_but(|_| false);
    }

    /// The same, but for some, which stay owed.
    pub fn integrate_but(&mut self, stays: impl Fn(&Effect) -> bool) {
        while let Some(at) = self.effects.iter().position(|effect| !matches!(effect, Effect::Grant(_)) && !stays(effect)) {
            let effect = self.effects.remove(at);
            match effect {
                Effect::PrepareIntegration(asked) => {
                    let result = self.clean(&asked.unit);
                    self.shell(ShellAnswer::IntegrationPrepared {
                        run: asked.run,
                        unit: asked.unit,
                        tip: asked.tip,
                        of: asked.commit,
                        ticks: asked.ticks,
                        result,
                    });
                }
                Effect::MoveBranch { run, new, .. } => self.shell(ShellAnswer::BranchMoved { run, tip: new }),
                Effect::MergeWithTip { run, unit, tip, commit, .. } => {
                    let result = self.clean(&unit);
                    self.shell(ShellAnswer::Merged { run, unit, tip, of: commit, result });
                }
                Effect::CloseRun { run, .. } => self.shell(ShellAnswer::RunClosed { run, commit: None }),
                _ => {}
            }
        }
    }

    fn clean(&mut self, unit: &UnitId) -> Prepared {
        let paths = self.unit(unit.as_str()).work.changed.clone();
        Prepared::Clean { commit: self.commit(), changed: paths.iter().map(|path| changed(path)).collect() }
    }

    pub fn shell(&mut self, answer: ShellAnswer) {
        self.send(Command::Shell(answer));
    }

    pub fn run(&self) -> &Run {
        self.core.state.run(&run_id()).expect("the run is there")
    }

    pub fn unit(&self, id: &str) -> &Unit {
        self.run().unit(&UnitId::from(id)).unwrap_or_else(|| panic!("there is a unit {id}"))
    }
}

/// The end of an attempt of which nothing is left.
fn ended(failure: Option<FailureKind>) -> AttemptFacts {
    AttemptFacts {
        failure: failure.map(|kind| Failure { kind, message: "no".to_owned() }),
        exit_code: Some(0),
        answer: String::new(),
        commit: None,
        left_out: LeftOut::default(),
        done: Vec::new(),
        agent_session: None,
        usage: Usage::default(),
        last_event_seq: 0,
    }
}

fn work_answer() -> WorkAnswer {
    WorkAnswer {
        status: WorkStatus::Completed,
        completed_subtasks: Vec::new(),
        failed_subtask: None,
        error: None,
        summary: "did it".to_owned(),
        files_changed: Vec::new(),
        tests_passed: None,
        tests_failed: None,
        coverage: None,
        learnings: Vec::new(),
        evidence: Vec::new(),
        refusal: None,
        answers: Vec::new(),
    }
}

pub fn changed(path: &str) -> ChangedPath {
    ChangedPath { path: path.to_owned(), change: ChangeKind::Modified, entry: EntryKind::File, unreadable: false, reencoded: false }
}
