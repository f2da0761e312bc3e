//! A whole orchestration in memory: the core with a shell that plays agents by script and makes up commits. No clock, no processes, no git: what
//! is tested is which turns are granted, what becomes of their answers, and what views and mirror files say.

use std::collections::{BTreeMap, VecDeque};

use roundtable_coordinator::mirror::form::{AgentState, MirrorTask};
use roundtable_coordinator::prompt::{self, Prompt, PromptFacts, PromptInput};
use roundtable_coordinator::{mirror, view};
use roundtable_core::command::{
    Act, Command, Imported, Now, Operate, Prepared, Report, RoleAnswer, RunSource, ShellAnswer, Submit, WorkerHello,
};
use roundtable_core::effect::{Effect, Grant};
use roundtable_core::state::{Run, Unit};
use roundtable_core::{Change, Core, Entropy, Rejection, Reply, Transition};
use roundtable_shared::answer::{AssignAnswer, OrchestrateAnswer, ReviewAnswer, WorkAnswer};
use roundtable_shared::spec::{Problem, Spec};
use roundtable_shared::time::WallMs;
use roundtable_shared::view::{DecisionView, ExistingPulse, MirrorView, StatusView, SummaryView, UnitView};
use roundtable_shared::{
    AttemptFacts, BackendName, BackendOffer, ChangeKind, ChangedPath, Choice, CommitId, DecisionId, Dependants, EntryKind, Failure,
    FailureKind, HeldLease, Introduction, LeasePhase, LeaseRef, Mode, Origin, Role, RunId, RunOptions, UnitId, Usage, WorkerId,
};
use serde_json::{Value, json};

/// Steps after which a world that never comes to rest has failed.
const STEPS_MAX: usize = 10_000;

/// How long a turn takes.
const TURN_MS: u64 = 3_000;

/// What an agent does in one turn.
#[derive(Clone, Default)]
pub struct Turn {
    answer: Option<Value>,
    said: Option<String>,
    failure: Option<FailureKind>,
    changed: Option<Vec<&'static str>>,
    session: Option<&'static str>,
}

/// It answers this JSON; what the role writes by default is changed.
pub fn answers(answer: Value) -> Turn {
    Turn { answer: Some(answer), ..Turn::default() }
}

/// It says this text, whatever it is.
pub fn says(text: &str) -> Turn {
    Turn { said: Some(text.to_owned()), ..Turn::default() }
}

/// Its CLI fails.
pub fn fails(kind: FailureKind) -> Turn {
    Turn { failure: Some(kind), ..Turn::default() }
}

/// A reviewer's verdict. What it finds it points at: in later rounds opinions hold nothing back.
pub fn finds(severity: &str, summary: &str) -> Turn {
    let issue = json!({ "description": summary, "severity": severity, "file": "lib/a.py", "line": 1 });
    let issues = if severity == "none" { Vec::new() } else { vec![issue] };
    answers(json!({ "severity": severity, "summary": summary, "details": format!("{summary}, at length"), "issues": issues }))
}

impl Turn {
    /// Its conversation can be resumed by that id.
    pub fn in_session(mut self, id: &'static str) -> Self {
        self.session = Some(id);
        self
    }

    /// These paths are changed and no others.
    pub fn changing(mut self, paths: &[&'static str]) -> Self {
        self.changed = Some(paths.to_vec());
        self
    }
}

/// The world.
pub struct World {
    pub core: Core,
    pub run: RunId,
    pub now: Now,
    /// Turns granted, oldest first.
    pub grants: Vec<Grant>,
    /// What they were told, same order.
    pub prompts: Vec<Prompt>,
    /// Turns that were live at the same time, as `unit/role` lists.
    pub together: Vec<Vec<String>>,
    /// All transitions.
    pub log: Vec<Transition>,
    repository: Vec<String>,
    entropy: Entropy,
    script: BTreeMap<(String, Role), VecDeque<Turn>>,
    effects: VecDeque<Effect>,
    running: VecDeque<Grant>,
    commits: u32,
}

/// A run to be.
pub struct Setup {
    pub tasks: String,
    pub design: Option<String>,
    pub options: RunOptions,
    pub workers: Vec<(&'static str, u32)>,
    pub imported: Option<Value>,
    /// Texts of the spec that take the place of the usual ones.
    pub spec: BTreeMap<String, Vec<u8>>,
    /// Paths of the repository at the base.
    pub repository: Vec<String>,
}

/// A run of this plan in deterministic mode, with four slots of codex and gemini each.
pub fn plan(tasks: &str) -> Setup {
    let options = RunOptions { mode: Mode::Deterministic, embedded: true, ..RunOptions::default() };
    Setup {
        tasks: tasks.to_owned(),
        design: None,
        options,
        workers: vec![("codex", 4), ("gemini", 4)],
        imported: None,
        spec: BTreeMap::new(),
        repository: Vec::new(),
    }
}

impl Setup {
    pub fn mode(mut self, mode: Mode) -> Self {
        self.options.mode = mode;
        if mode == Mode::Llm {
            self.workers.push(("opencode", 1));
        }
        self
    }

    pub fn options(mut self, change: impl FnOnce(&mut RunOptions)) -> Self {
        change(&mut self.options);
        self
    }

    pub fn workers(mut self, workers: &[(&'static str, u32)]) -> Self {
        self.workers = workers.to_vec();
        self
    }

    pub fn design(mut self, text: &str) -> Self {
        self.design = Some(text.to_owned());
        self
    }

    /// That file of the spec says this.
    pub fn saying(mut self, file: &str, text: &str) -> Self {
        self.spec.insert(file.to_owned(), text.as_bytes().to_vec());
        self
    }

    /// The repository has these files at the base.
    pub fn having(mut self, paths: &[&str]) -> Self {
        self.repository = paths.iter().map(|path| (*path).to_owned()).collect();
        self
    }

    /// Continues from an `AGENT_STATE.json`.
    pub fn continuing(mut self, state: Value) -> Self {
        self.imported = Some(state);
        self
    }

    /// The problems of a plan that cannot run.
    pub fn problems(&self) -> Vec<Problem> {
        Spec::read(&self.files(), false).into_result().err().unwrap_or_default()
    }

    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::from([
            ("tasks.md".to_owned(), self.tasks.clone().into_bytes()),
            (
                "requirements.md".to_owned(),
                b"# Requirements\n\n### Requirement 1: Words\n\n1. Words are kept in order.\n2. No word is lost.\n".to_vec(),
            ),
        ]);
        files.insert("design.md".to_owned(), self.design.clone().unwrap_or_else(|| "# Design\n".to_owned()).into_bytes());
        files.extend(self.spec.clone());
        files
    }

    /// Submits it and lets the workers join; nothing has been played yet.
    pub fn start(self) -> World {
        let report = Spec::read(&self.files(), false);
        let (spec, outline, _) = report.into_result().expect("the plan has no errors");
        let imported: Option<Imported> = self.imported.as_ref().map(|state| {
            roundtable_coordinator::import::parse(&state.to_string(), &outline, &roundtable_coordinator::import::Place::default())
                .expect("the state is readable")
        });
        let run = RunId::new("ledger-k3v9q2");
        let mut world = World {
            core: Core::default(),
            run: run.clone(),
            now: Now { mono_ms: 1_000, wall: WallMs(1_767_225_600_000) },
            grants: Vec::new(),
            prompts: Vec::new(),
            together: Vec::new(),
            log: Vec::new(),
            repository: self.repository,
            entropy: Entropy::new(7),
            script: BTreeMap::new(),
            effects: VecDeque::new(),
            running: VecDeque::new(),
            commits: 0,
        };
        world.join("alpha-1", &self.workers);
        world.send(Command::Submit(Box::new(Submit {
            run,
            source: RunSource {
                repository: "root".to_owned(),
                git_dir: "/home/user/ledger/.git".to_owned(),
                spec_path: "/home/user/ledger/specs/ledger".to_owned(),
                workdir: "/home/user/ledger".to_owned(),
            },
            spec,
            outline,
            inputs_digest: "digest".to_owned(),
            options: self.options,
            base: commit(0),
            started_branch: Some("main".to_owned()),
            fresh: false,
            tick_path: None,
            spec_paths: vec!["specs/ledger/tasks.md".to_owned()],
            mirror_paths: Vec::new(),
            imported: imported.map(Box::new),
            by: "ada".to_owned(),
        })));
        world
    }
}

fn commit(n: u32) -> CommitId {
    CommitId::new(format!("{n:040x}"))
}

impl World {
    /// The agent of that unit (`-` for the run itself) and role plays these turns, then its default again.
    pub fn script(mut self, unit: &str, role: Role, turns: impl IntoIterator<Item = Turn>) -> Self {
        self.script.entry((unit.to_owned(), role)).or_default().extend(turns);
        self
    }

    /// A worker says hello and takes as many turns as it has slots.
    pub fn join(&mut self, id: &str, backends: &[(&str, u32)]) {
        let worker = WorkerId::from(id);
        let mut offers = Vec::new();
        for (name, slots) in backends {
            let offer = |name: &str| BackendOffer {
                name: BackendName::from(name),
                pool: (*name).trim_end_matches("-review").to_owned(),
                slots: *slots,
                version: "1.0.0".to_owned(),
                account: "account".to_owned(),
                serves_all: false,
                unavailable: String::new(),
            };
            offers.push(offer(name));
            if *name == "codex" {
                offers.push(offer("codex-review"));
            }
        }
        offers.push(BackendOffer {
            name: BackendName::from("check"),
            pool: "check".to_owned(),
            slots: 1,
            version: String::new(),
            account: String::new(),
            serves_all: false,
            unavailable: String::new(),
        });
        let introduction = Introduction {
            incarnation: 1,
            name: id.to_owned(),
            version: "0.1.0".to_owned(),
            labels: BTreeMap::new(),
            backends: offers.clone(),
            held: Vec::new(),
            repositories: Vec::new(),
            origin: Origin::default(),
        };
        self.send(Command::WorkerHello(Box::new(WorkerHello { worker: worker.clone(), session: 1, introduction })));
        for offer in offers {
            self.send(Command::Want { worker: worker.clone(), session: 1, pool: offer.pool, credits: offer.slots });
        }
    }

    /// Plays on until nothing moves by itself.
    pub fn play(mut self) -> Self {
        for _ in 0..STEPS_MAX {
            if !self.step() {
                return self;
            }
        }
        panic!("the world never comes to rest:\n{}", self.tail());
    }

    /// One thing happens.
    pub fn play_one(mut self) -> Self {
        assert!(self.step(), "nothing moves:\n{}", self.tail());
        self
    }

    /// Plays until the turns of units that are granted now stand there, unanswered.
    pub fn grant(mut self) -> Self {
        for _ in 0..STEPS_MAX {
            self.schedule();
            if let Some(at) = self.running.iter().position(|grant| grant.granted.role == Role::Assign) {
                let grant = self.running.remove(at).expect("it was found there");
                self.answer(grant);
            } else if self.effects.is_empty() {
                return self;
            }
            self.carry_out_all();
        }
        panic!("the world never comes to rest:\n{}", self.tail());
    }

    /// The agent of a unit's turn has ended, its work is being handed in; its worker asks for one more.
    pub fn ending(mut self, unit: &str) -> Self {
        let granted = self.running.iter().find(|grant| grant.lease.key.unit.as_ref().is_some_and(|id| id.as_str() == unit));
        let Grant { lease, granted, .. } = granted.expect("the unit has a turn").clone();
        let (worker, pool) = (granted.worker.clone(), granted.pool.clone());
        self.send(Command::LeaseEnding { worker: worker.clone(), lease });
        self.send(Command::Want { worker, session: 1, pool, credits: 1 });
        self.grant()
    }

    /// One thing happens; whether anything did.
    fn step(&mut self) -> bool {
        self.schedule();
        if !self.effects.is_empty() {
            self.carry_out_all();
            return true;
        }
        if let Some(grant) = self.running.pop_front() {
            self.answer(grant);
            return true;
        }
        self.wait_for_timers()
    }

    /// Time passes while something waits only for time.
    fn wait_for_timers(&mut self) -> bool {
        let standing = roundtable_core::schedule::standing(&self.core.state, self.run());
        if standing.exit().is_some() || self.core.state.paused.is_some() {
            return false;
        }
        self.pass(5_000);
        self.now.mono_ms < 7 * 24 * 3_600_000
    }

    /// Time passes; workers stay alive.
    pub fn pass(&mut self, ms: u64) {
        for _ in 0..ms.div_ceil(1_000) {
            self.now.mono_ms += 1_000;
            self.now.wall = WallMs(self.now.wall.0 + 1_000);
            let workers: Vec<(WorkerId, u64)> =
                self.core.fleet.workers.values().map(|worker| (worker.id.clone(), worker.session)).collect();
            for (worker, session) in workers {
                let live = self.core.state.live_of(&worker).map(|(key, attempt)| HeldLease {
                    lease: LeaseRef { key: key.clone(), lease_id: attempt.granted.lease_id },
                    phase: LeasePhase::Running,
                    last_event_seq: 0,
                    waiting: String::new(),
                });
                let held = live.collect();
                self.send(Command::Heartbeat { worker, session, held });
            }
            self.send(Command::Tick);
        }
    }

    fn schedule(&mut self) {
        let change = self.core.schedule(self.now, &mut self.entropy);
        self.take(change);
    }

    fn send(&mut self, command: Command) -> Reply {
        self.try_send(command).expect("the command is accepted")
    }

    fn try_send(&mut self, command: Command) -> Result<Reply, Rejection> {
        let change = self.core.handle(command, self.now, &mut self.entropy)?;
        let reply = change.reply.clone();
        self.take(change);
        Ok(reply)
    }

    fn take(&mut self, change: Change) {
        assert!(change.refused.is_empty(), "moves outside the table: {:?}", change.refused);
        self.log.extend(change.transitions);
        self.effects.extend(change.effects);
    }

    fn carry_out_all(&mut self) {
        while let Some(effect) = self.effects.pop_front() {
            self.carry_out(effect);
        }
        let live: Vec<String> = self.running.iter().map(turn_name).collect();
        if !live.is_empty() && self.together.last() != Some(&live) {
            self.together.push(live);
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Grant(grant) => {
                let facts = self.facts();
                let input = PromptInput::for_grant(&self.core, self.now, &grant, &facts).expect("a granted turn is known");
                self.prompts.push(prompt::compose(&input));
                self.grants.push((*grant).clone());
                let (worker, lease) = (grant.granted.worker.clone(), grant.lease.clone());
                self.send(Command::LeaseAccepted { worker: worker.clone(), lease: lease.clone() });
                self.send(Command::LeaseStarted { worker, lease });
                self.running.push_back(*grant);
            }
            Effect::PrepareIntegration(asked) => {
                let unit = self.unit(asked.unit.as_str()).clone();
                let result = if unit.work.changed.is_empty() {
                    Prepared::Empty
                } else {
                    Prepared::Clean { commit: self.new_commit(), changed: unit.work.changed.iter().map(|path| changed(path)).collect() }
                };
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
                let paths = self.unit(unit.as_str()).work.changed.clone();
                let result = if paths.is_empty() {
                    Prepared::Empty
                } else {
                    Prepared::Clean { commit: self.new_commit(), changed: paths.iter().map(|path| changed(path)).collect() }
                };
                self.shell(ShellAnswer::Merged { run, unit, tip, of: commit, result });
            }
            Effect::CloseRun { run, .. } => self.shell(ShellAnswer::RunClosed { run, commit: None }),
            Effect::Revoke { lease, .. } => self.running.retain(|grant| grant.lease != lease),
            Effect::EndSession { .. } | Effect::Notice { .. } => {}
        }
    }

    /// What the shell would have gathered for a prompt.
    fn facts(&self) -> PromptFacts {
        PromptFacts {
            backends: self.offered(),
            files_total: self.repository.len() as u64,
            files: self.repository.clone(),
            ..PromptFacts::default()
        }
    }

    fn offered(&self) -> Vec<String> {
        let names = self.core.fleet.workers.values().flat_map(|worker| worker.offers.keys()).map(ToString::to_string);
        names.filter(|name| name != roundtable_core::schedule::CHECK_BACKEND).collect()
    }

    fn shell(&mut self, answer: ShellAnswer) {
        self.send(Command::Shell(answer));
    }

    fn new_commit(&mut self) -> CommitId {
        self.commits += 1;
        commit(self.commits)
    }

    /// The agent ends its turn as its script says.
    fn answer(&mut self, grant: Grant) {
        self.pass(TURN_MS);
        let unit = grant.lease.key.unit.as_ref().map_or("-", UnitId::as_str).to_owned();
        let turn = self.script.get_mut(&(unit.clone(), grant.granted.role)).and_then(VecDeque::pop_front).unwrap_or_default();
        let paths = self.paths(&grant, &turn);
        let commit = grant.granted.role.writes().then(|| self.new_commit());
        let text = match (&turn.said, &turn.answer) {
            (Some(said), _) => said.clone(),
            (None, Some(answer)) => format!("Here it is:\n```json\n{answer}\n```\n"),
            (None, None) => default_answer(grant.granted.role).to_string(),
        };
        let message = "boom".to_owned();
        let facts = AttemptFacts {
            failure: turn.failure.clone().map(|kind| Failure { kind, message }),
            exit_code: Some(i32::from(turn.failure.is_some())),
            answer: text.clone(),
            commit,
            left_out: Default::default(),
            done: Vec::new(),
            agent_session: turn.session.map(Into::into),
            usage: Usage { input_tokens: 10, output_tokens: 5, ..Usage::default() },
            last_event_seq: 0,
        };
        let answer = self.read(&grant, &text);
        self.send(Command::Report(Box::new(Report {
            worker: grant.granted.worker.clone(),
            digest: format!("digest-{}", grant.lease.key),
            lease: grant.lease.clone(),
            facts,
            changed: paths.iter().map(|path| changed(path)).collect(),
            learned: Vec::new(),
            answer,
        })));
        let slots = self.core.fleet.workers[&grant.granted.worker]
            .offers
            .values()
            .find(|offer| offer.offer.pool == grant.granted.pool)
            .map_or(1, |offer| offer.offer.slots);
        let busy = self
            .running
            .iter()
            .filter(|other| other.granted.worker == grant.granted.worker && other.granted.pool == grant.granted.pool)
            .count();
        let credits = slots.saturating_sub(u32::try_from(busy).unwrap_or(u32::MAX));
        self.send(Command::Want { worker: grant.granted.worker.clone(), session: 1, pool: grant.granted.pool.clone(), credits });
    }

    /// What base..commit changes: what the unit may write, unless the script says otherwise. Checkpoints and reviews of what is there change nothing.
    fn paths(&self, grant: &Grant, turn: &Turn) -> Vec<String> {
        if let Some(paths) = &turn.changed {
            return paths.iter().map(|path| (*path).to_owned()).collect();
        }
        let Some(unit) = grant.lease.key.unit.as_ref().filter(|_| grant.granted.role.writes()) else { return Vec::new() };
        let unit = self.unit(unit.as_str());
        if unit.spec.checkpoint {
            return Vec::new();
        }
        let writes = unit.assignment.manifest.writes.entries();
        if writes.is_empty() { vec![format!("src/{}.txt", unit.id)] } else { writes.iter().map(|entry| a_path_of(entry)).collect() }
    }

    fn read(&self, grant: &Grant, text: &str) -> Result<RoleAnswer, String> {
        match grant.granted.role {
            Role::Implement | Role::Fix => WorkAnswer::parse(text).map(RoleAnswer::Work).map_err(|error| error.to_string()),
            Role::Review => ReviewAnswer::parse(text).map(RoleAnswer::Review).map_err(|error| error.to_string()),
            Role::Assign => {
                let backends: Vec<BackendName> = self.core.fleet.seen.iter().cloned().collect();
                let outline = &self.run().origin.outline;
                AssignAnswer::parse(text)
                    .map(|answer| RoleAnswer::Assign(answer.check(&outline.units, &backends)))
                    .map_err(|error| error.to_string())
            }
            Role::Orchestrate => OrchestrateAnswer::parse(text).map(RoleAnswer::Orchestrate).map_err(|error| error.to_string()),
            Role::Check => Ok(RoleAnswer::None),
        }
    }

    /// A person acts.
    pub fn act(mut self, act: Act) -> Self {
        self.try_act(act).expect("the act is accepted");
        self
    }

    pub fn try_act(&mut self, act: Act) -> Result<Reply, Rejection> {
        self.try_send(Command::Operate(Operate { run: Some(self.run.clone()), by: "ada".to_owned(), act }))
    }

    pub fn decide(self, id: &str, choice: Choice) -> Self {
        self.act(Act::Decide { id: DecisionId::from(id), choice, dependants: Dependants::GoOn, note: None })
    }

    pub fn run(&self) -> &Run {
        self.core.state.run(&self.run).expect("the run is there")
    }

    pub fn unit(&self, id: &str) -> &Unit {
        self.run().unit(&UnitId::from(id)).unwrap_or_else(|| panic!("there is a unit {id}"))
    }

    pub fn status(&self) -> StatusView {
        view::status(&self.core.state, &self.core.fleet, self.now, self.run())
    }

    pub fn shown(&self, unit: &str) -> UnitView {
        self.status().units.into_iter().find(|shown| shown.id == unit).unwrap_or_else(|| panic!("unit {unit} is shown"))
    }

    pub fn summary(&self) -> SummaryView {
        view::summary(&self.core.state, &self.core.fleet, self.now, self.run())
    }

    /// Exit code as it stands; panics while the run goes on.
    pub fn exit(&self) -> u8 {
        self.summary().exit.unwrap_or_else(|| panic!("the run still goes on:\n{}", self.tail()))
    }

    pub fn decisions(&self) -> Vec<DecisionView> {
        view::decisions(self.run(), self.now.wall, false)
    }

    pub fn mirror_over(&self, pulse: Option<&str>) -> MirrorView {
        self.mirror_knowing(pulse, None)
    }

    /// The same where the file's writer knows which lines are not its own.
    pub fn mirror_knowing(&self, pulse: Option<&str>, foreign: Option<&[&str]>) -> MirrorView {
        let foreign_lines = foreign.map(|lines| lines.iter().map(|line| (*line).to_owned()).collect());
        let existing = ExistingPulse { existing_pulse: pulse.map(str::to_owned), foreign_lines };
        mirror::render(&self.core.state, self.run(), self.now.wall, &existing)
    }

    pub fn pulse(&self) -> String {
        self.mirror_over(None).pulse
    }

    /// `AGENT_STATE.json`, through its text.
    pub fn mirror(&self) -> AgentState {
        serde_json::from_str(&self.mirror_over(None).agent_state).expect("what is written can be read")
    }

    pub fn mirrored(&self, task: &str) -> MirrorTask {
        self.mirror().tasks.into_iter().find(|mirrored| mirrored.task_id == task).unwrap_or_else(|| panic!("task {task} is mirrored"))
    }

    /// Turns so far as `unit/role`.
    pub fn turns(&self) -> Vec<String> {
        self.grants.iter().map(turn_name).collect()
    }

    /// Prompts of a unit's turns in that role.
    pub fn told(&self, unit: &str, role: Role) -> Vec<&Prompt> {
        let of = |prompt: &&Prompt| prompt.turn_data.role == role && prompt.turn_data.unit.as_ref().map_or("-", UnitId::as_str) == unit;
        self.prompts.iter().filter(of).collect()
    }

    /// Whether two turns were ever live together.
    pub fn ran_together(&self, a: &str, b: &str) -> bool {
        self.together.iter().any(|live| [a, b].iter().all(|name| live.iter().any(|turn| turn == name)))
    }

    /// States a unit went through.
    pub fn path(&self, unit: &str) -> Vec<String> {
        let moves = self.log.iter().filter_map(|transition| match &transition.fact {
            roundtable_core::Fact::UnitMoved { unit: moved, to, .. } if moved.as_str() == unit => Some(to.to_string()),
            _ => None,
        });
        moves.collect()
    }

    fn tail(&self) -> String {
        let lines: Vec<String> =
            self.log.iter().rev().take(30).map(|transition| view::transition_line(0, transition.at.0, transition)).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

fn turn_name(grant: &Grant) -> String {
    format!("{}/{}", grant.lease.key.unit.as_ref().map_or("-", UnitId::as_str), grant.granted.role)
}

fn default_answer(role: Role) -> Value {
    match role {
        Role::Implement | Role::Fix => json!({ "status": "completed", "completed_subtasks": [], "summary": "did it" }),
        Role::Review => json!({ "severity": "none", "summary": "ok" }),
        Role::Assign => json!({ "dispatch_units": [], "window_mapping": {} }),
        Role::Orchestrate => json!({ "decision": "CONTINUE", "actions": [], "notes": "go on" }),
        Role::Check => json!({}),
    }
}

/// A path that an entry of a manifest covers.
fn a_path_of(entry: &str) -> String {
    let entry = entry.replace("**", "any").replace('*', "any");
    if entry.ends_with('/') { format!("{entry}file.txt") } else { entry }
}

fn changed(path: &str) -> ChangedPath {
    ChangedPath { path: path.to_owned(), change: ChangeKind::Modified, entry: EntryKind::File, unreadable: false, reencoded: false }
}
