//! People: they submit runs, answer decisions, late and with any of their options, step manual runs, resume what was stopped, and meddle.

use roundtable_core::command::{AccessCommand, Act, Command, Joining, NewToken, Operate, Phase, Presented, RunSource, Submit};
use roundtable_core::state::{Admits, Run, Unit};
use roundtable_shared::time::WallMs;
use roundtable_shared::{
    AccessRole, BackendName, Choice, CommitId, Criticality, Decision, Dependants, EntryKind, Mode, PeerName, RunId, RunOptions, TokenId,
    UnitId, UnitState, WorkerId,
};

use crate::plans::a_path_of;
use crate::repository::TASKS_PATH;
use crate::world::{Event, ReplyTo, World, say};

/// So many want in by a token that was made.
const GUESTS: usize = 4;
/// Of a thousand looks at a run, at most so many end with a unit that somebody thinks better of.
const SECOND_THOUGHTS_MAX: u64 = 200;

impl World {
    /// Somebody looks at how things stand.
    pub fn look(&mut self) {
        let next = self.rng.range(2_000, 20_000);
        self.after(next, Event::Look);
        for at in 0..self.submissions.len() {
            let submission = &self.submissions[at];
            if self.durable.run(&submission.run).is_none() && self.now_ms >= 1_000_000 + submission.at_ms {
                self.submit(at);
            }
        }
        if self.durable.paused.is_some() && self.is_due("all", 60_000) {
            self.act(None, Act::Resume);
        }
        self.clear_up();
        let drained: Vec<WorkerId> = self.durable.drained.keys().cloned().collect();
        for worker in drained {
            if self.is_due(&format!("drained {worker}"), 900_000) {
                self.act(None, Act::Undrain { worker });
            }
        }
        let runs: Vec<RunId> = self.durable.unfinished().map(|run| run.id.clone()).collect();
        for run in runs {
            self.look_at(&run);
        }
    }

    /// Runs that have ended are accepted, or not, and removed sooner or later, also twice.
    fn clear_up(&mut self) {
        let ended: Vec<(RunId, CommitId)> =
            self.durable.runs.values().filter(|run| run.is_ended()).map(|run| (run.id.clone(), run.branch.tip.clone())).collect();
        for (run, commit) in ended {
            match self.rng.below(8) {
                0 => self.act(Some(&run), Act::RecordAccept { branch: "main".to_owned(), commit }),
                at @ 1..=2 => self.act(Some(&run), Act::Remove { force: at == 1 }),
                3 => self.act(Some(&run), Act::Pause { note: None }),
                _ => {}
            }
        }
    }

    fn look_at(&mut self, id: &RunId) {
        let Some(run) = self.durable.run(id) else { return };
        let (paused, halted, options) = (run.life.paused.is_some(), run.life.halted.is_some(), Box::new(run.options.clone()));
        let may_step = run.options.mode == Mode::Manual && !run.has_live_attempts();
        let steps = may_step && (run.life.step.is_none() || self.rng.chance(100));
        let open: Vec<Decision> = run.people.decisions.values().cloned().collect();
        if paused && self.is_due(&format!("pause {id}"), 120_000) {
            self.act(Some(id), Act::Resume);
        }
        if halted && self.is_due(&format!("halt {id}"), 120_000) {
            // With the same command, or with another mode or check than before.
            let mode = *self.rng.pick(&[None, Some(Mode::Llm), Some(Mode::Deterministic)]);
            let check = *self.rng.pick(&[None, None, Some("another check")]);
            let options = Box::new(RunOptions { check: check.map(str::to_owned).or(options.check.clone()), ..(**options).clone() });
            self.act(Some(id), Act::Attach { options, mode });
        }
        if steps {
            let phase = *self.rng.pick(&[Phase::Assign, Phase::Dispatch, Phase::Dispatch, Phase::Reviews, Phase::Consolidate]);
            self.act(Some(id), Act::Step { phase });
        }
        for decision in open {
            let key = (id.clone(), decision.id.to_string(), decision.created_at.0);
            let patience = if self.healed { 5_000 } else { self.shape.people.patience_ms_max };
            let now = self.now_ms;
            let wait = self.rng.range(0, patience);
            let due = *self.patience.entry(key).or_insert(now + wait);
            if now >= due || (self.healed && self.rng.chance(500)) {
                self.decide(id, &decision);
            }
        }
        if !self.healed && self.shape.people.meddles > 0 {
            self.think_better(id);
        }
    }

    /// Somebody thinks better of a unit that is under way.
    fn think_better(&mut self, id: &RunId) {
        let Some(run) = self.durable.run(id) else { return };
        let (units, weights): (Vec<UnitId>, Vec<u64>) = run.units().map(|unit| (unit.id.clone(), second_thoughts(run, unit))).unzip();
        if !self.rng.chance(weights.iter().sum::<u64>().min(SECOND_THOUGHTS_MAX)) {
            return;
        }
        let unit = units[self.rng.weighted(&weights)].clone();
        let dependants = if self.rng.chance(300) { Dependants::Skip } else { Dependants::GoOn };
        let act = if self.rng.chance(500) { Act::Skip { unit, dependants } } else { Act::Cancel { unit: Some(unit) } };
        self.act(Some(id), act);
    }

    /// Whether something has stood there for long enough.
    fn is_due(&mut self, what: &str, patience_ms: u64) -> bool {
        let patience = if self.healed { 1_000 } else { patience_ms };
        let now = self.now_ms;
        let wait = self.rng.range(0, patience);
        let due = *self.remarks.entry(what.to_owned()).or_insert(now + wait);
        if now >= due {
            self.remarks.remove(what);
        }
        now >= due
    }

    fn decide(&mut self, id: &RunId, decision: &Decision) {
        if !decision.requires.is_empty() && self.rng.chance(500) {
            return self.ask_for_less(id, decision);
        }
        // Who has been asked the same again and again gives up.
        let asked = self.remarks.entry(format!("asked {id} {}", decision.id)).and_modify(|times| *times += 1).or_insert(1);
        let abort = if *asked > 6 { 100 } else { 1 };
        let weights: Vec<u64> = decision.keywords.iter().map(|word| if word == "abort" { abort } else { 12 }).collect();
        let at = self.rng.weighted(&weights);
        let word = decision.keywords[at].clone();
        let (word, about) = word.split_once(':').unwrap_or((&word, ""));
        let choice = match word {
            "resume" => Choice::Resume { commit: self.own_commit(id, decision.unit.as_ref()) },
            "retry" => Choice::Retry,
            "skip" => Choice::Skip,
            "wait" => Choice::Wait,
            "use" => Choice::Use { backend: BackendName::from(about) },
            "assign" => Choice::Assign { owner: BackendName::from(about) },
            "go-on" => Choice::GoOn,
            _ => Choice::Abort,
        };
        let dependants = if self.rng.chance(200) { Dependants::Skip } else { Dependants::GoOn };
        self.act(Some(id), Act::Decide { id: decision.id.clone(), choice, dependants, note: None });
    }

    /// A unit does without the labels that nobody has.
    fn ask_for_less(&mut self, id: &RunId, decision: &Decision) {
        let Some(run) = self.durable.run(id) else { return };
        let asking =
            run.units().find(|unit| unit.spec.runs && !unit.state().is_terminal() && unit.assignment.requires == decision.requires);
        let Some(unit) = asking.map(|unit| unit.id.clone()) else { return };
        self.act(Some(id), Act::Assign { unit, owner: None, criticality: None, writes: None, reads: None, requires: Some(Vec::new()) });
    }

    /// A person's own work on a unit, mostly within its manifest.
    fn own_commit(&mut self, id: &RunId, unit: Option<&UnitId>) -> Option<CommitId> {
        let run = self.durable.run(id)?;
        let unit = run.unit(unit?)?;
        if unit.work.last.is_some() && self.rng.chance(500) {
            return None;
        }
        let from = unit.work.last.as_ref().map_or(run.origin.base.clone(), |last| last.commit.clone());
        let entries = unit.assignment.manifest.writes.entries().to_vec();
        let mut tree = (*self.repository.get(&from).tree).clone();
        for entry in entries {
            let path = a_path_of(&entry, &mut self.rng);
            let blob = self.repository.blob();
            tree.insert(path, (blob, EntryKind::File));
        }
        if self.rng.chance(300) {
            let path = format!("area{}/f{}.rs", self.rng.below(4), self.rng.below(4));
            let blob = self.repository.blob();
            let kind = if self.rng.chance(100) { EntryKind::Gitlink } else { EntryKind::File };
            tree.insert(path, (blob, kind));
        }
        let key = format!("person {} {}", self.now_ms, from);
        Some(self.repository.commit(key, tree, vec![from], None))
    }

    fn submit(&mut self, at: usize) {
        say!(self, "{} is submitted", self.submissions[at].run);
        let submission = &self.submissions[at];
        let submission_run = submission.run.clone();
        let submit = Submit {
            run: submission_run.clone(),
            source: RunSource {
                repository: format!("repository-{submission_run}"),
                git_dir: format!("git-{submission_run}"),
                spec_path: "specs/plan".to_owned(),
                workdir: ".".to_owned(),
            },
            spec: submission.spec.clone(),
            outline: submission.plan.clone(),
            inputs_digest: format!("digest-{submission_run}"),
            options: submission.options.clone(),
            base: submission.base.clone(),
            started_branch: Some("main".to_owned()),
            fresh: false,
            tick_path: at.is_multiple_of(2).then(|| TASKS_PATH.to_owned()),
            spec_paths: vec![TASKS_PATH.to_owned()],
            mirror_paths: Vec::new(),
            imported: submission.imported.clone().map(Box::new),
            by: "ada".to_owned(),
        };
        self.send(Command::Submit(Box::new(submit)));
    }

    fn act(&mut self, run: Option<&RunId>, act: Act) {
        say!(self, "a person: {act:?}");
        self.send(Command::Operate(Operate { run: run.cloned(), by: "ada".to_owned(), act }));
    }

    fn send(&mut self, command: Command) {
        let delay = self.delay();
        if self.bad(self.faults.twice) {
            let copy = Box::new(command.clone());
            self.after(delay + 30, Event::Arrive { life: None, conn: None, command: copy, reply: ReplyTo::Nobody });
        }
        self.after(delay, Event::Arrive { life: None, conn: None, command: Box::new(command), reply: ReplyTo::Nobody });
    }

    pub fn drain_by_operator(&mut self, at: usize) {
        let worker = self.workers[at].id.clone();
        self.act(None, Act::Drain { worker });
    }

    /// Somebody does something nobody asked for.
    pub fn meddle(&mut self) {
        if self.healed {
            return;
        }
        let next = self.rng.range(2_000, 60_000);
        self.after(next, Event::Meddle);
        // Guests come more often than people meddle.
        if self.rng.chance(100) {
            return self.come_in();
        }
        if !self.rng.chance(self.shape.people.meddles) {
            return;
        }
        let runs: Vec<&Run> = self.durable.unfinished().collect();
        if runs.is_empty() {
            return;
        }
        let run = *self.rng.clone().pick(&runs);
        let (id, unit) = (run.id.clone(), run.units[self.rng.below(run.units.len() as u64) as usize].id.clone());
        let dependants = if self.rng.chance(300) { Dependants::Skip } else { Dependants::GoOn };
        let act = match self.rng.below(17) {
            16 => Act::Remove { force: true },
            15 => {
                let (branch, commit) = ("main".to_owned(), run.branch.tip.clone());
                Act::RecordAccept { branch, commit }
            }
            0 => Act::Pause { note: None },
            1 => Act::Resume,
            2 => return self.act(None, Act::Pause { note: None }),
            3 => Act::Halt { reason: "stop".to_owned() },
            4..=6 => Act::Retry { unit },
            7 => Act::Skip { unit, dependants },
            8 => Act::Cancel { unit: Some(unit) },
            9 if self.rng.chance(100) => Act::Cancel { unit: None },
            10 => Act::Step { phase: Phase::Dispatch },
            11 => {
                Act::Assign { unit, owner: None, criticality: None, writes: Some(vec!["area1/".to_owned()]), reads: None, requires: None }
            }
            12 => Act::Assign {
                unit,
                owner: None,
                criticality: Some(Criticality::Complex),
                writes: None,
                reads: Some(Vec::new()),
                requires: None,
            },
            _ => {
                let owner = *self.rng.pick(&["codex", "gemini", "absent", "opencode"]);
                Act::Assign { unit, owner: Some(BackendName::from(owner)), criticality: None, writes: None, reads: None, requires: None }
            }
        };
        self.act(Some(&id), act);
    }

    /// Somebody makes a token, comes in by one, again, with another key or as something else, or is shown out.
    fn come_in(&mut self) {
        let token = TokenId::new(format!("t{}", self.rng.below(3)));
        let command = match self.rng.below(12) {
            0..=2 => {
                self.hand_round(&token);
                AccessCommand::Create(Box::new(NewToken {
                    id: token.clone(),
                    role: AccessRole::Worker,
                    admits: Admits::Secret(format!("secret of {token}")),
                    name: None,
                    uses: self.rng.range(1, 2) as u32,
                    labels: Default::default(),
                    ephemeral: self.rng.chance(500),
                    expires_at: Some(WallMs(self.now().wall.0 + 3_600_000)),
                    by: "ada".to_owned(),
                }))
            }
            3 => AccessCommand::RevokeToken { id: token, by: "ada".to_owned() },
            4 => AccessCommand::RevokePeer { role: None, id: self.guest(), by: "ada".to_owned() },
            _ => self.join(&token),
        };
        say!(self, "a person: {command:?}");
        self.send(Command::Access(command));
    }

    /// A token that was made is handed round: more want in by it than it is for.
    fn hand_round(&mut self, token: &TokenId) {
        for _ in 0..GUESTS {
            let (delay, join) = (self.rng.range(100, 60_000), self.join(token));
            let command = Box::new(Command::Access(join));
            self.after(delay, Event::Arrive { life: None, conn: None, command, reply: ReplyTo::Nobody });
        }
    }

    fn join(&mut self, token: &TokenId) -> AccessCommand {
        let role = if self.rng.chance(850) { AccessRole::Worker } else { AccessRole::Operator };
        let peer = PeerName { role, id: self.guest() };
        let key = format!("key {}", self.rng.below(4));
        let presented = Presented { token: Some((token.clone(), format!("secret of {token}"))), key };
        AccessCommand::Join(Box::new(Joining { presented, peer, certificate: "certificate".to_owned() }))
    }

    fn guest(&mut self) -> String {
        if self.rng.chance(800) { format!("guest-{}", self.rng.below(6)) } else { self.workers[0].id.to_string() }
    }
}

/// How likely somebody thinks better of the unit, per thousand looks: most likely where it leaves the train, and the more the more come again behind it.
fn second_thoughts(run: &Run, unit: &Unit) -> u64 {
    let flights = &run.branch.train.flights;
    match run.branch.train.place(&unit.id).filter(|place| !flights[*place].intended) {
        Some(place) => 40 * (flights.len() - place) as u64,
        None if unit.state() == UnitState::Blocked => 10,
        None => unit.live.len() as u64,
    }
}
