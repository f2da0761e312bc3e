//! What agents that end at once and well say, and what a repository where everything fits answers: all that is around the core, as data.

use std::collections::HashMap;

use roundtable_core::command::{Command, Prepared, Report, RoleAnswer, RunSource, ShellAnswer, Submit, WorkerHello};
use roundtable_core::effect::{Effect, Grant};
use roundtable_shared::answer::{ReviewAnswer, WorkAnswer};
use roundtable_shared::spec::{Plan, Spec};
use roundtable_shared::{
    AttemptFacts, BackendName, BackendOffer, ChangeKind, ChangedPath, CommitId, EntryKind, Introduction, LeftOut, Mode, Origin, Role,
    RunId, RunOptions, UnitId, Usage, WorkerId,
};

/// The pool of every backend here.
pub const POOL: &str = "scripted";

/// What its answers follow from.
pub struct Stub {
    commits: u64,
    /// The first path each unit may write.
    writes: HashMap<UnitId, String>,
}

impl Stub {
    /// For runs of that plan.
    pub fn new(outline: &Plan) -> Self {
        let path = |writes: &[String]| writes.first().map(|path| path.replace('*', "made")).unwrap_or_default();
        Self { commits: 0, writes: outline.units.iter().map(|unit| (unit.id.clone(), path(&unit.writes))).collect() }
    }

    /// A run.
    pub fn submit(&mut self, spec: Spec, outline: Plan) -> Command {
        let base = self.commit();
        Command::Submit(Box::new(Submit {
            run: run(),
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
        }))
    }

    /// What the repository answers to an effect; none to those that it is not asked for.
    pub fn shell(&mut self, effect: Effect) -> Option<Command> {
        let answer = match effect {
            Effect::PrepareIntegration(asked) => {
                let changed = self.changed_by(&asked.unit);
                let result = Prepared::Clean { commit: self.commit(), changed };
                let asked = *asked;
                ShellAnswer::IntegrationPrepared {
                    run: asked.run,
                    unit: asked.unit,
                    tip: asked.tip,
                    of: asked.commit,
                    ticks: asked.ticks,
                    result,
                }
            }
            Effect::MoveBranch { run, new, .. } => ShellAnswer::BranchMoved { run, tip: new },
            Effect::CloseRun { run, .. } => ShellAnswer::RunClosed { run, commit: None },
            _ => return None,
        };
        Some(Command::Shell(answer))
    }

    /// What a worker says of a grant: it is taken, its agent runs, its outcome.
    pub fn play(&mut self, grant: &Grant) -> [Command; 3] {
        let (worker, lease) = (grant.granted.worker.clone(), grant.lease.clone());
        let is_work = grant.granted.role.writes();
        let answer = match grant.granted.role {
            Role::Review => RoleAnswer::Review(ReviewAnswer::parse(r#"{"severity":"none","summary":"fine"}"#).expect("it is an answer")),
            _ => RoleAnswer::Work(WorkAnswer::parse(r#"{"status":"completed","summary":"did it"}"#).expect("it is an answer")),
        };
        let changed = lease.key.unit.as_ref().filter(|_| is_work).map(|unit| self.changed_by(unit)).unwrap_or_default();
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
        let report =
            Report { worker: worker.clone(), lease: lease.clone(), digest, facts, changed, learned: Vec::new(), answer: Ok(answer) };
        [
            Command::LeaseAccepted { worker: worker.clone(), lease: lease.clone() },
            Command::LeaseStarted { worker, lease },
            Command::Report(Box::new(report)),
        ]
    }

    fn changed_by(&self, unit: &UnitId) -> Vec<ChangedPath> {
        let path = self.writes.get(unit).cloned().unwrap_or_default();
        vec![ChangedPath { path, change: ChangeKind::Modified, entry: EntryKind::File, unreadable: false, reencoded: false }]
    }

    fn commit(&mut self) -> CommitId {
        self.commits += 1;
        CommitId::new(format!("{:040x}", self.commits))
    }
}

/// The one run.
pub fn run() -> RunId {
    RunId::from("run")
}

/// What a worker of so many slots says first.
pub fn join(session: u64, slots: u32) -> [Command; 2] {
    let worker = WorkerId::from(format!("w{session}"));
    let offer = BackendOffer {
        name: BackendName::from("scripted:play"),
        pool: POOL.to_owned(),
        slots,
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
    let hello = WorkerHello { worker: worker.clone(), session, introduction };
    [Command::WorkerHello(Box::new(hello)), want(worker, session, slots)]
}

/// What it can take.
pub fn want(worker: WorkerId, session: u64, credits: u32) -> Command {
    Command::Want { worker, session, pool: POOL.to_owned(), credits }
}
