//! The coordinator as its driver runs it: a queue, the driver's own batches, one append, then answers and effects; and the shell that carries effects
//! out. It may die before the append, after it, or with half of what follows done.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use roundtable_core::command::{Command, Report, RoleAnswer, ShellAnswer};
use roundtable_core::effect::{Effect, Grant, Start};
use roundtable_core::fleet::{Fleet, LOST_MS};
use roundtable_core::invariants::{self, Violation};
use roundtable_core::schedule::parked_account;
use roundtable_core::shared::List;
use roundtable_core::state::{Attempt, BaseCheck, LostCause, ParkKey, Plan, Stage, Unit, WorkKind};
use roundtable_core::transition::{Fact, Granted};
use roundtable_core::{Batch, Core, Entropy, Pending, Rejection, Reply, Transition, Verdict};
use roundtable_shared::time::WallMs;
use roundtable_shared::{
    AttemptKey, ChangeKind, ChangedPath, Choice, CommitId, DecisionId, EntryKind, FailureKind, Finding, LeasePhase, LeaseRef, Reconciled,
    Role, RunId, Seat, UnitId, UnitState, WorkerId,
};

use crate::agent;
use crate::naive;
use crate::worker::reads_leniently;
use crate::world::{Backup, Event, Frame, ReplyTo, Sabotage, Submission, World, say, welcome};

/// One life of the coordinator.
pub struct Coordinator {
    pub life: u64,
    pub core: Core,
    entropy: Entropy,
    queue: Vec<(Command, ReplyTo)>,
    batching: bool,
    looked_ms: u64,
    began_ms: u64,
    ticked_ms: u64,
    /// When each worker was last heard, as the core should know it too.
    heard_ms: BTreeMap<WorkerId, u64>,
    /// Workers with several words in the last batch: of what they hold only the last is known.
    talkative: BTreeSet<WorkerId>,
    sessions: BTreeMap<WorkerId, u64>,
}

/// Of so many batches that look for nothing, one looks all the same, on a copy.
const LOOKED_AT_ANYWAY: u64 = 8;
/// Of so many batches without a fact, the fleet is looked at after one.
const LOOKED_AT_QUIET: u64 = 8;
/// So many batches at least lie between two comparisons with the naive model.
const COMPARED_EVERY: u64 = 16;
/// The core's state is held against the fold of the log after every so many batches, and at the end.
const FOLDED_EVERY: u64 = 64;

/// What a batch has looked at.
#[derive(Clone, Copy)]
struct Looked {
    /// For grants.
    looked: bool,
    /// For what time has ended.
    ticked: bool,
}

/// When the core was last compared with the naive model.
#[derive(Default)]
pub struct Compared {
    batch: u64,
    seq: u64,
}

type Answer = roundtable_core::Answer<ReplyTo>;

impl World {
    /// Folds the log and goes on from there.
    pub fn restart_coordinator(&mut self) {
        if self.coordinator.is_some() {
            return;
        }
        self.lives += 1;
        // Every second one goes on from a snapshot, where there is one.
        let mut core = match &self.snapshot {
            Some(bytes) if self.lives.is_multiple_of(2) => Core::of(rmp_serde::from_slice(bytes).expect("it was read before")),
            _ => Core::default(),
        };
        for transition in &self.log[core.state.seq as usize..] {
            if self.shape.through_json {
                let text = serde_json::to_string(transition).expect("a transition can be written");
                core.replay(&serde_json::from_str(&text).expect("and read again"));
            } else {
                core.replay(transition);
            }
        }
        if core.state != self.durable {
            self.fail("I13", "what was read back differs from what was written".to_owned());
        }
        say!(self, "coordinator {} starts with {} transitions", self.lives, self.log.len());
        let now = self.now();
        let recovered = core.recover(now);
        let entropy = Entropy::new(self.rng.bits());
        let life = self.lives;
        let sessions = BTreeMap::new();
        self.coordinator = Some(Coordinator {
            life,
            core,
            entropy,
            queue: Vec::new(),
            batching: false,
            looked_ms: now.mono_ms,
            began_ms: now.mono_ms,
            ticked_ms: now.mono_ms,
            heard_ms: BTreeMap::new(),
            talkative: BTreeSet::new(),
            sessions,
        });
        self.let_out(life, recovered.effects, Vec::new(), None);
        self.after(1, Event::Tick { life });
    }

    /// Everything that is not durable is gone.
    pub fn crash_coordinator(&mut self) {
        if self.coordinator.take().is_none() {
            return;
        }
        say!(self, "the coordinator crashes");
        self.stalled_until_ms = 0;
        for at in 0..self.workers.len() {
            let cut = self.now_ms < self.workers[at].cut_down_ms;
            let open: Vec<u64> = self.conns.iter().filter(|(_, conn)| conn.worker == at && !conn.dead).map(|(id, _)| *id).collect();
            for id in open {
                if let Some(conn) = self.conns.get_mut(&id) {
                    conn.dead = true;
                }
                if !cut {
                    let delay = self.rng.range(1, 200);
                    self.after(delay, Event::LinkBroken { worker: at, conn: id });
                }
            }
        }
        let back = self.rng.tailed(100, 90_000);
        self.after(back, Event::Restart);
    }

    fn alive(&mut self, life: u64) -> Option<&mut Coordinator> {
        self.coordinator.as_mut().filter(|coordinator| coordinator.life == life)
    }

    pub fn tick(&mut self, life: u64) {
        // Once healed, nothing is late that a tick would have to be soon for.
        let tick_ms = if self.healed { self.shape.tick_ms.max(5_000) } else { self.shape.tick_ms };
        let (now_ms, stalled) = (self.now_ms, std::mem::take(&mut self.stalled));
        let Some(coordinator) = self.alive(life) else { return };
        // Ticks nobody needs are left out here; a gap is one only where this process really stood still.
        if stalled {
            let gap_ms = now_ms - coordinator.ticked_ms;
            coordinator.began_ms += gap_ms;
            coordinator.heard_ms.values_mut().for_each(|heard| *heard += gap_ms);
        } else {
            coordinator.core.fleet.ticked_ms = Some(now_ms.saturating_sub(250));
        }
        coordinator.ticked_ms = now_ms;
        coordinator.queue.push((Command::Tick, ReplyTo::Nobody));
        self.after(tick_ms, Event::Tick { life });
        self.batch_soon(life, 0);
    }

    fn batch_soon(&mut self, life: u64, delay_ms: u64) {
        if let Some(coordinator) = self.alive(life)
            && !std::mem::replace(&mut coordinator.batching, true)
        {
            self.after(delay_ms, Event::Batch { life });
        }
    }

    pub fn arrive(&mut self, life: Option<u64>, conn: Option<u64>, command: Command, reply: ReplyTo) {
        let Some(present) = self.coordinator.as_ref().map(|coordinator| coordinator.life) else { return };
        let wanted = conn.map(|conn| self.conns[&conn].life).or(life).unwrap_or(present);
        if wanted != present || conn.is_some_and(|conn| self.conns[&conn].dead) {
            return;
        }
        if let Command::WorkerGone { worker, session } | Command::WorkerGoodbye { worker, session } = &command
            && let Some(coordinator) = &mut self.coordinator
            && coordinator.sessions.get(worker).is_some_and(|open| open <= session)
        {
            coordinator.sessions.remove(worker);
        }
        let delay = if self.rng.chance(700) { 0 } else { self.rng.range(1, 5) };
        if let Some(coordinator) = &mut self.coordinator {
            coordinator.queue.push((command, reply));
        }
        self.batch_soon(present, delay);
    }

    /// Decides all that is queued, schedules, appends, and lets out what waited for that.
    pub fn batch(&mut self, life: u64) {
        let (now, sabotage) = (self.now(), self.sabotage);
        let looks_anyway = sabotage == Sabotage::None && self.batches.is_multiple_of(LOOKED_AT_ANYWAY);
        let Some(coordinator) = self.alive(life) else { return };
        coordinator.batching = false;
        let queue = std::mem::take(&mut coordinator.queue);
        let ticked = queue.iter().any(|(command, _)| *command == Command::Tick);
        coordinator.talkative = talkative(&queue);
        let mut batch = Batch::default();
        for (command, reply) in queue {
            batch.decide(&mut coordinator.core, command, reply, now, &mut coordinator.entropy);
        }
        let forgotten = break_memory(&mut coordinator.core, sabotage);
        let rests = looks_anyway && !coordinator.core.is_schedule_due(now);
        let before = rests.then(|| (coordinator.core.clone(), coordinator.entropy.clone()));
        let looked = batch.schedule(&mut coordinator.core, now, &mut coordinator.entropy);
        remember(&mut coordinator.core, forgotten);
        let (pending, looked_ms) = (batch.close(&coordinator.core), coordinator.looked_ms);
        if looked {
            coordinator.looked_ms = now.mono_ms;
        } else if let Some((core, entropy)) = before {
            self.check_nothing_left(core, entropy, now.mono_ms - looked_ms);
        }
        self.commit_batch(life, pending, Looked { looked, ticked });
    }

    /// Where nothing was granted because nothing had changed, looking would have granted nothing. Time alone is not looked at that often.
    fn check_nothing_left(&mut self, mut core: Core, mut entropy: Entropy, behind_ms: u64) {
        let mut then = self.now();
        then.mono_ms -= behind_ms;
        then.wall.0 -= behind_ms;
        let change = core.schedule(then, &mut entropy);
        if let Some(transition) = change.transitions.first() {
            self.fail("look", format!("nothing was looked for, but there was: {}", line(transition)));
        }
    }

    fn commit_batch(&mut self, life: u64, mut pending: Pending<ReplyTo>, looked: Looked) {
        self.batches += 1;
        let dies = self.bad(self.faults.batch_crash).then(|| self.rng.below(3));
        if self.sabotage == Sabotage::AnswerEarly && self.bad(30) {
            // Only a forged proof gets anything out of it.
            if let Ok(early) = pending.release(u64::MAX) {
                self.let_out(life, Vec::new(), early.answers, None);
            }
            return self.crash_coordinator();
        }
        if dies == Some(0) {
            return self.crash_coordinator();
        }
        let quiet = pending.transitions().is_empty();
        if !quiet {
            pending = match pending.release(self.log.len() as u64) {
                Err(pending) => *pending,
                Ok(_) => return self.fail("I14", "a batch is let out before it is appended".to_owned()),
            };
        }
        self.append(pending.transitions());
        self.check_refusals(pending.transitions());
        if dies == Some(1) {
            return self.crash_coordinator();
        }
        let Ok(released) = pending.release(self.log.len() as u64) else {
            return self.fail("I14", "a batch that was appended is not let out".to_owned());
        };
        if let Some(refused) = released.refused.first() {
            self.fail("moves", format!("unit {} of {} was to go from {} to {}", refused.unit, refused.run, refused.from, refused.to));
        }
        let part = (dies == Some(2)).then(|| self.rng.below((released.effects.len() + released.answers.len()) as u64 + 1));
        self.let_out(life, released.effects, released.answers, part);
        if dies == Some(2) {
            return self.crash_coordinator();
        }
        self.check(quiet, looked);
    }

    /// A refusal that concerns everybody parks its backend.
    fn check_refusals(&mut self, transitions: &[Transition]) {
        for transition in transitions {
            let (Some(run), Fact::AttemptEnded { unit, attempt, result }) = (&transition.run, &transition.fact) else { continue };
            let failure = self.digests.get(&result.digest).and_then(|origin| origin.failure.as_ref());
            if !matches!(failure, Some(FailureKind::RateLimit { .. } | FailureKind::Quota { .. } | FailureKind::ProviderUnavailable)) {
                continue;
            }
            let key = AttemptKey { run: run.clone(), unit: unit.clone(), attempt: *attempt };
            let Some(of) = self.durable.attempt(&key) else { continue };
            let is_same = |park: &ParkKey| {
                park.backend == of.granted.backend
                    && park.account == parked_account(&of.granted.account, &of.granted.worker)
                    && park.model == of.granted.model
            };
            let lifted = |fact: &Fact| matches!(fact, Fact::BackendUnparked { park } if is_same(park));
            let is_known = self.durable.parks.keys().any(is_same) || transitions.iter().any(|other| lifted(&other.fact));
            if !is_known {
                self.fail("parks", format!("{key} was refused with {failure:?}, and its backend is not parked"));
                return;
            }
        }
    }

    /// Copies all that is durable.
    pub fn back_up(&mut self) {
        if self.healed {
            return;
        }
        let next = self.rng.range(30_000, 600_000);
        self.after(next, Event::Backup);
        self.backup = Some(Backup {
            rows: self.log.len(),
            durable: self.durable.clone(),
            history: self.history.clone(),
            branches: self.repository.branches.clone(),
            attempts: self.repository.attempts.clone(),
        });
    }

    /// The coordinator goes on from its backup, as another store. What came after that is known to workers alone.
    pub fn restore(&mut self) {
        let Some(backup) = self.backup.take() else { return };
        self.crash_coordinator();
        say!(self, "restored: {} of {} transitions", backup.rows, self.log.len());
        self.log.truncate(backup.rows);
        self.snapshot = None;
        (self.durable, self.history) = (backup.durable, backup.history);
        (self.repository.branches, self.repository.attempts) = (backup.branches, backup.attempts);
        self.store += 1;
        let (store, through_seq) = (format!("store-{}", self.store), backup.rows as u64);
        let fact = Fact::StoreRestored { store, through_seq, head: String::new() };
        self.append(&[Transition { run: None, at: self.now().wall, fact }]);
    }

    fn append(&mut self, transitions: &[Transition]) {
        for transition in transitions {
            say!(self, "  {}", line(transition));
            let wrong = self.history.before(&self.durable, transition);
            self.fail_all(wrong);
            self.check_against_world(transition);
            self.durable.apply(transition);
            let wrong = self.history.after(&self.durable, transition);
            self.fail_all(wrong);
            if let (Some(run), Fact::RunRemoved { .. }) = (&transition.run, &transition.fact) {
                self.repository.branches.remove(run);
            }
            self.log.push(transition.clone());
        }
    }

    /// What only this world knows: where an outcome comes from, and what commits really have.
    fn check_against_world(&mut self, transition: &Transition) {
        let Some(run) = &transition.run else { return };
        match &transition.fact {
            Fact::AttemptEnded { unit, attempt, result } => {
                let key = AttemptKey { run: run.clone(), unit: unit.clone(), attempt: *attempt };
                let lease = self.durable.attempt(&key).map(|attempt| (attempt.granted.lease_id, attempt.granted.worker.clone()));
                let from = self.digests.get(&result.digest).map(|origin| (origin.lease.clone(), origin.worker.clone()));
                let fits =
                    from.as_ref().is_some_and(|(from, worker)| from.key == key && lease.as_ref() == Some(&(from.lease_id, worker.clone())));
                if !fits {
                    self.fail("I3", format!("{key} ends with an outcome of {from:?}"));
                }
            }
            Fact::LeaseGranted(granted) => self.check_labels(run, granted),
            Fact::AttemptLost { unit, attempt, cause: LostCause::Silent, .. } => {
                self.check_silent(&AttemptKey { run: run.clone(), unit: unit.clone(), attempt: *attempt });
            }
            Fact::CandidatePrepared { unit, candidate } if !candidate.empty => self.check_candidate(run, unit, &candidate.commit),
            Fact::FindingRecorded { unit, finding } if finding.reviewer.starts_with("check-") => self.check_finding(run, unit, finding),
            Fact::Integrated { unit, commit, .. } => {
                self.check_integrated(run, unit, commit);
                let Some(state) = self.durable.unit(run, unit) else { return };
                let parent = self.repository.get(commit).parents[0].clone();
                let outside = self.repository.diff(&parent, commit).into_iter().map(|change| change.path).find(|path| {
                    let ours = path == crate::repository::TASKS_PATH;
                    !ours && !state.assignment.manifest.writes.covers(path)
                });
                if let Some(path) = outside {
                    self.fail("I6", format!("unit {unit} integrated {path}, which is not in its manifest"));
                }
                self.check_allowed(run, unit, &parent, commit);
                let branch = self.repository.branches.get(run);
                if !branch.is_some_and(|branch| self.repository.contains(branch, commit)) {
                    self.fail("I1", format!("unit {unit} is integrated as {commit}, and the branch is elsewhere"));
                }
            }
            _ => {}
        }
    }

    /// Nobody is taken for lost who was heard a minute ago.
    fn check_silent(&mut self, key: &AttemptKey) {
        let Some(worker) = self.durable.attempt(key).map(|attempt| attempt.granted.worker.clone()) else { return };
        let Some(coordinator) = &self.coordinator else { return };
        let heard_ms = coordinator.heard_ms.get(&worker).copied().unwrap_or(coordinator.began_ms);
        let silent_ms = self.now_ms - heard_ms.min(self.now_ms);
        // A tick may come a moment late.
        if silent_ms + 3_000 < LOST_MS {
            self.fail("silence", format!("{key} is lost, and {worker} was heard {silent_ms} ms ago"));
        }
    }

    /// A candidate stands on what is ahead of it.
    fn check_candidate(&mut self, run: &RunId, unit: &UnitId, commit: &CommitId) {
        let ahead = self.durable.run(run).and_then(|run| run.branch.train.flight(unit)).map(|flight| flight.tip.clone());
        let parent = self.repository.get(commit).parents.first().cloned();
        if parent != ahead {
            self.fail("I1", format!("the candidate {commit} of unit {unit} was made on {parent:?}, and ahead of it is {ahead:?}"));
        }
    }

    /// Nothing comes onto the branch that nobody may bring in, nor unasked what needs an entry of its own.
    fn check_allowed(&mut self, run: &RunId, unit: &UnitId, parent: &CommitId, commit: &CommitId) {
        let Some(state) = self.durable.unit(run, unit) else { return };
        // Asked of the log: a decision that is raised again has the id of the one before, and its answer that one's place.
        let is_its = |id: &DecisionId| {
            let decision = self.durable.run(run).and_then(|run| run.people.answered.get(id));
            decision.is_some_and(|decision| decision.unit.as_ref() == Some(unit))
        };
        let by_person = || {
            self.log.iter().any(|transition| match &transition.fact {
                Fact::DecisionAnswered { id, answer } => {
                    transition.run.as_ref() == Some(run) && matches!(answer.choice, Choice::Resume { .. }) && is_its(id)
                }
                _ => false,
            })
        };
        let is_forbidden = |change: &ChangedPath| {
            let leads_out = matches!(change.entry, EntryKind::Gitlink | EntryKind::EscapingSymlink) && change.change != ChangeKind::Deleted;
            leads_out || (change.path == ".gitattributes" && state.assignment.claimed.contains(&change.path) && !by_person())
        };
        if let Some(change) = self.repository.diff(parent, commit).into_iter().find(is_forbidden) {
            self.fail("I6", format!("unit {unit} integrated {}, which nobody may", change.path));
        }
    }

    /// Whoever works on a unit, or checks it, has the labels it asks for.
    fn check_labels(&mut self, run: &RunId, granted: &Granted) {
        let unit = granted.unit.as_ref().and_then(|unit| self.durable.unit(run, unit));
        let Some(unit) = unit.filter(|_| granted.role != Role::Review) else { return };
        let labels = &self.shape.labels[self.worker_at(&granted.worker)];
        let lacks = |label: &&String| match label.split_once('=') {
            Some((key, value)) => labels.get(key).map(String::as_str) != Some(value),
            None => !labels.contains_key(label.as_str()),
        };
        let (lacking, id) = (unit.assignment.requires.iter().find(lacks).cloned(), unit.id.clone());
        if let Some(label) = lacking {
            self.fail("labels", format!("unit {id} is granted to {}, which lacks {label}", granted.worker));
        }
    }

    /// Whether checks say nothing but what the tree is.
    fn is_exact(&self) -> bool {
        !self.healed && self.agents.red == 0 && self.agents.fails == 0
    }

    /// Nothing red comes onto the branch, unless checks are held against nobody.
    fn check_integrated(&mut self, run: &RunId, unit: &UnitId, commit: &CommitId) {
        let holds = self.durable.run(run).is_some_and(|run| run.branch.base_check == BaseCheck::Green);
        if holds && self.is_exact() && self.repository.is_red(commit, &self.agents) {
            self.fail("I1", format!("unit {unit} is integrated as {commit}, whose check is red"));
        }
    }

    /// A unit is sent back for its check: its tree really is red, and others are named if and only if it is green without them.
    fn check_finding(&mut self, run: &RunId, unit: &UnitId, finding: &Finding) {
        let flight = self.durable.run(run).and_then(|run| run.branch.train.flight(unit)).cloned();
        let Some(flight) = flight.filter(|_| self.is_exact()) else { return };
        let is_red = |commit: &CommitId| self.repository.is_red(commit, &self.agents);
        let red = flight.candidate.as_ref().is_some_and(|candidate| is_red(&candidate.commit));
        let alone = flight.alone.and_then(|alone| alone.commit);
        let green_alone = alone.is_some_and(|commit| !is_red(&commit));
        let named = finding.summary.contains("together with");
        if !red || named != green_alone {
            self.fail("I1", format!("unit {unit} is sent back with `{}`: red {red}, green alone {green_alone}", finding.summary));
        }
    }

    fn check(&mut self, quiet: bool, Looked { looked, ticked }: Looked) {
        let now = self.now();
        let Some(coordinator) = &self.coordinator else { return };
        if ticked {
            let wrong = invariants::after_tick(&self.durable, &coordinator.core.fleet, now);
            self.fail_all(wrong);
        }
        let Some(coordinator) = &self.coordinator else { return };
        if quiet && !self.batches.is_multiple_of(LOOKED_AT_QUIET) {
            return;
        }
        let mut wrong = if quiet { Vec::new() } else { invariants::of_state(&self.durable) };
        // Where no fact has come, only time has passed: that opens little.
        let since = self.batches - self.compared.batch;
        if since >= COMPARED_EVERY && (self.durable.seq != self.compared.seq || since >= 16 * COMPARED_EVERY) {
            self.compared = Compared { batch: self.batches, seq: self.durable.seq };
            let runs = self.durable.unfinished();
            let fleet = &coordinator.core.fleet;
            let differ = runs.flat_map(|run| {
                let train = if looked && run.stage() == Stage::Working { naive::train_differences(run, fleet, now) } else { Vec::new() };
                naive::differences(&self.durable, fleet, run, now).into_iter().chain(train)
            });
            wrong.extend(differ.map(|text| Violation { invariant: "model", text }));
        }
        wrong.extend(invariants::of_fleet(&self.durable, &coordinator.core.fleet));
        wrong.extend(self.slots_of_fleet(&coordinator.core.fleet));
        if looked {
            wrong.extend(invariants::at_rest(&self.durable, &coordinator.core.fleet, now));
        }
        self.fail_all(wrong);
        if self.batches.is_multiple_of(FOLDED_EVERY) && !quiet {
            self.check_fold();
        }
    }

    /// No worker is given more than it has slots for; what is being handed in takes none.
    fn slots_of_fleet(&self, fleet: &Fleet) -> Vec<Violation> {
        let mut wrong = Vec::new();
        for worker in fleet.workers.values().filter(|worker| worker.introduced) {
            let mut busy: BTreeMap<&str, u32> = BTreeMap::new();
            for (key, attempt) in self.durable.live_of(&worker.id) {
                if fleet.leases.get(key).is_none_or(|watch| watch.phase < Some(LeasePhase::Ending)) {
                    *busy.entry(&attempt.granted.pool).or_default() += 1;
                }
            }
            for (pool, count) in busy {
                let of_pool = worker.offers.values().filter(|offer| offer.offer.pool == pool);
                let slots = of_pool.map(|offer| offer.offer.slots).max().unwrap_or(0);
                if count > slots {
                    let text = format!("worker {} works on {count} attempts of {pool}, and has {slots} slots", worker.id);
                    wrong.push(Violation { invariant: "I10", text });
                }
            }
        }
        wrong
    }

    /// Answers, then effects; `part` of them if the coordinator dies meanwhile.
    fn let_out(&mut self, life: u64, effects: Vec<Effect>, answers: Vec<Answer>, part: Option<u64>) {
        let mut left = part.unwrap_or(u64::MAX);
        for (reply, answer) in answers {
            if left == 0 {
                return;
            }
            left -= 1;
            self.reply(reply, answer);
        }
        for effect in effects {
            if left == 0 {
                return;
            }
            left -= 1;
            let is_git = matches!(effect, Effect::PrepareIntegration(_) | Effect::MoveBranch { .. } | Effect::MergeWithTip { .. });
            if is_git && self.sabotage == Sabotage::LoseEffects {
                continue;
            }
            let delay = match effect {
                Effect::Revoke { .. } | Effect::EndSession { .. } | Effect::Notice { .. } => 0,
                _ if self.bad(self.faults.late) => self.rng.range(500, 30_000),
                _ if is_git && self.bad(self.faults.slow_git) => self.rng.range(1, 20_000),
                _ => self.rng.tailed(1, 400),
            };
            self.after(delay, Event::Shell { life, effect: Box::new(effect) });
        }
    }

    fn reply(&mut self, reply: ReplyTo, answer: Result<Reply, Rejection>) {
        match (reply, answer) {
            (ReplyTo::Hello { worker, conn }, Ok(answer)) => {
                let Some(reconciled) = welcome(answer) else { return };
                let id = self.workers[worker].id.clone();
                self.check_welcome(&id, &reconciled);
                let now_ms = self.now_ms;
                if let Some(coordinator) = &mut self.coordinator {
                    coordinator.heard_ms.insert(id.clone(), now_ms);
                    coordinator.sessions.insert(id, conn);
                }
                self.send_down(worker, conn, Frame::Welcome(reconciled));
            }
            (ReplyTo::Hello { worker, conn }, Err(_)) => self.after(5, Event::LinkBroken { worker, conn }),
            // A drain is the coordinator's own business: these workers do not even look.
            (ReplyTo::Heartbeat { worker, conn, sent_ms }, Ok(Reply::Heartbeat { revoke, .. })) => {
                let revoke: Vec<LeaseRef> = revoke.into_iter().map(|(lease, _)| lease).collect();
                let (id, now_ms) = (self.workers[worker].id.clone(), self.now_ms);
                self.check_acknowledged(&id, &revoke);
                if let Some(coordinator) = &mut self.coordinator {
                    coordinator.heard_ms.insert(id, now_ms);
                }
                self.send_down(worker, conn, Frame::Ack { revoke, sent_ms });
            }
            (ReplyTo::Report { worker, life, lease, digest }, Ok(Reply::Verdict(verdict))) => {
                let delay = self.delay();
                if !self.bad(self.faults.lost) {
                    let store = self.store;
                    self.after(delay, Event::Verdict { worker, life, store, lease, digest, verdict });
                }
            }
            _ => {}
        }
    }

    /// A worker that has said hello holds what counts as its own, and keeps nothing else that is under way.
    fn check_welcome(&mut self, id: &WorkerId, reconciled: &[Reconciled]) {
        let now = self.now().wall;
        let Some(coordinator) = &self.coordinator else { return };
        let Some(worker) = coordinator.core.fleet.workers.get(id).filter(|_| !coordinator.talkative.contains(id)) else { return };
        let is_left = |key: &AttemptKey, attempt: &Attempt| attempt.granted_at < now && !worker.held.keys().any(|lease| lease.key == *key);
        let left = self.durable.live_of(id).find(|(key, attempt)| is_left(key, attempt)).map(|(key, _)| key.clone());
        let is_stale = |each: &&Reconciled| {
            let phase = worker.held.get(&each.lease).copied();
            each.keep && phase.is_some_and(|phase| phase < LeasePhase::Reported) && self.is_over(&each.lease, now)
        };
        let stale = reconciled.iter().find(is_stale).map(|each| each.lease.key.clone());
        if let Some(key) = left {
            self.fail("I7", format!("{id} has come back without {key}, which goes on there"));
        }
        if let Some(key) = stale {
            self.fail("I3", format!("{id} is told to keep {key}, which it has lost"));
        }
    }

    /// What a worker is told to stop it has lost, and all of that.
    fn check_acknowledged(&mut self, id: &WorkerId, revoke: &[LeaseRef]) {
        let now = self.now().wall;
        let Some(coordinator) = &self.coordinator else { return };
        let Some(worker) = coordinator.core.fleet.workers.get(id).filter(|_| !coordinator.talkative.contains(id)) else { return };
        let own = revoke.iter().find(|lease| self.durable.current(lease).is_some_and(|attempt| attempt.granted.worker == *id)).cloned();
        let is_left = |(lease, phase): &(&LeaseRef, &LeasePhase)| {
            **phase < LeasePhase::Reported && self.is_over(lease, now) && !revoke.contains(lease)
        };
        let left = worker.held.iter().find(is_left).map(|(lease, _)| lease.clone());
        if let Some(lease) = own {
            self.fail("I3", format!("{id} is told to stop {}, which is its own", lease.key));
        }
        if let Some(lease) = left {
            self.fail("I3", format!("{id} is not told to stop {}, which it has lost", lease.key));
        }
    }

    /// Whether that lease was over before this batch.
    fn is_over(&self, lease: &LeaseRef, now: WallMs) -> bool {
        let attempt = self.durable.attempt(&lease.key).filter(|attempt| attempt.granted.lease_id == lease.lease_id);
        attempt.is_none_or(|attempt| attempt.ended.as_ref().is_some_and(|ended| ended.at < now))
    }

    /// Frames of one stream arrive in order, or not at all once it broke.
    fn send_down(&mut self, worker: usize, conn: u64, frame: Frame) {
        if self.bad(self.faults.lost) {
            if let Some(conn) = self.conns.get_mut(&conn) {
                conn.dead = true;
            }
            return;
        }
        let delay = self.delay();
        let Some(stream) = self.conns.get_mut(&conn) else { return };
        let at_ms = (self.now_ms + delay).max(stream.last_down_ms);
        stream.last_down_ms = at_ms;
        self.at(at_ms, Event::ToWorker { worker, conn, frame });
    }

    fn worker_at(&self, id: &WorkerId) -> usize {
        self.workers.iter().position(|worker| worker.id == *id).expect("only workers of this world are named")
    }

    fn session_of(&self, id: &WorkerId) -> Option<u64> {
        self.coordinator.as_ref()?.sessions.get(id).copied()
    }

    fn answer(&mut self, life: u64, answer: ShellAnswer) {
        let delay = self.rng.range(0, 50);
        let command = Box::new(Command::Shell(answer));
        self.after(delay, Event::Arrive { life: Some(life), conn: None, command, reply: ReplyTo::Nobody });
    }

    /// One effect, in the shell.
    pub fn carry_out(&mut self, life: u64, effect: Effect) {
        if self.alive(life).is_none() {
            return;
        }
        let fails = self.bad(self.faults.effect_fails);
        let reason = "the disk is full".to_owned();
        match effect {
            Effect::Grant(grant) if fails => self.answer(life, ShellAnswer::GrantFailed { lease: grant.lease, reason }),
            Effect::Grant(grant) => self.send_lease(life, *grant),
            Effect::Revoke { worker, lease, .. } => {
                if let Some(conn) = self.session_of(&worker) {
                    self.send_down(self.worker_at(&worker), conn, Frame::Revoke(lease));
                }
            }
            Effect::EndSession { worker, session } => {
                if let Some(coordinator) = self.alive(life)
                    && coordinator.sessions.get(&worker).is_some_and(|open| *open <= session)
                {
                    coordinator.sessions.remove(&worker);
                }
                let at = self.worker_at(&worker);
                self.after(5, Event::LinkBroken { worker: at, conn: session });
            }
            Effect::Notice { .. } => {}
            Effect::PrepareIntegration(asked) if fails => {
                self.answer(life, ShellAnswer::Failed { run: asked.run, unit: Some(asked.unit), reason });
            }
            Effect::PrepareIntegration(asked) => {
                let conflicts = self.bad(self.agents.conflicts);
                let result = self.repository.prepare(&asked, conflicts);
                self.answer(
                    life,
                    ShellAnswer::IntegrationPrepared {
                        run: asked.run,
                        unit: asked.unit,
                        tip: asked.tip,
                        of: asked.commit,
                        ticks: asked.ticks,
                        result,
                    },
                );
            }
            Effect::MoveBranch { run, old, new } => {
                let intended = self.durable.run(&run).is_some_and(|run| run.branch.train.destination() == Some(&new));
                let known = self.durable.run(&run).is_some_and(|run| run.moves_before(&new).is_some());
                if !intended && !known {
                    self.fail("I14", format!("the branch of {run} is moved to {new} before that is durable"));
                }
                // It may fail before or after the branch has moved.
                let moved = (fails && self.rng.chance(500)) || self.repository.move_branch(&run, &old, &new);
                let said = match (fails, moved) {
                    (false, true) => ShellAnswer::BranchMoved { run, tip: new },
                    _ => ShellAnswer::Failed { run, unit: None, reason },
                };
                self.answer(life, said);
            }
            Effect::MergeWithTip { run, unit, .. } if fails => self.answer(life, ShellAnswer::Failed { run, unit: Some(unit), reason }),
            Effect::MergeWithTip { run, unit, base, commit, tip } => {
                let result = self.repository.merge_with_tip(&base, &commit, &tip);
                self.answer(life, ShellAnswer::Merged { run, unit, tip, of: commit, result });
            }
            Effect::CloseRun { run, .. } if fails => self.answer(life, ShellAnswer::Failed { run, unit: None, reason }),
            Effect::CloseRun { run, tip, ticks, learnings } => {
                let commit = self.repository.close(&run, &tip, &ticks, learnings.len());
                if let Some(commit) = &commit {
                    self.repository.move_branch(&run, &tip, commit);
                }
                self.answer(life, ShellAnswer::RunClosed { run, commit });
            }
        }
    }

    fn send_lease(&mut self, life: u64, grant: Grant) {
        let lease = grant.lease.clone();
        let granted = self.durable.attempt(&lease.key).is_some_and(|attempt| attempt.granted.lease_id == lease.lease_id);
        if !granted {
            self.fail("I14", format!("lease {} is sent before it is durable", lease.key));
        }
        self.check_base(&grant);
        let start = match &grant.granted.start {
            Start::Commit(commit) => commit.clone(),
            Start::MergeWithTip { base, commit, tip } => self.repository.merged_start(base, commit, tip),
        };
        let Some(run) = self.durable.runs.get(&lease.key.run).map(Arc::clone) else { return };
        let agents = self.agents.clone();
        let red = grant.granted.seat == Seat::Check && self.repository.is_red(&start, &agents);
        let turn = agent::turn(&mut self.rng, &agents, &run, &grant, start, self.now_ms - 1_000_000, red);
        if self.session_of(&grant.granted.worker) == Some(grant.session) {
            let at = self.worker_at(&grant.granted.worker);
            self.send_down(at, grant.session, Frame::Lease(Box::new(turn)));
        } else {
            self.answer(life, ShellAnswer::GrantFailed { lease, reason: "the worker has gone".to_owned() });
        }
    }

    /// I5, by the commits themselves: a unit's worktree has the work of all it depends on.
    fn check_base(&mut self, grant: &Grant) {
        let Some(run) = self.durable.run(&grant.lease.key.run) else { return };
        let Some(unit) = grant.lease.key.unit.as_ref().filter(|_| grant.granted.seat == Seat::Work).and_then(|unit| run.unit(unit)) else {
            return;
        };
        let began_elsewhere = |submission: &Submission| {
            submission.run == run.id && submission.imported.as_ref().is_some_and(|imported| imported.units.contains_key(&unit.id))
        };
        if self.submissions.iter().any(began_elsewhere) {
            return;
        }
        let needed = unit.assignment.depends_on.iter().chain(&unit.spec.checkpoint_on).filter_map(|on| run.unit(on)?.commit().cloned());
        let missing = needed.into_iter().find(|commit| !self.repository.contains(&grant.granted.base, commit));
        if let Some(commit) = missing {
            self.fail("I5", format!("{} works on {}, which lacks {commit}", grant.lease.key, grant.granted.base));
        }
    }

    /// An outcome arrives: the shell looks at it, then the core judges.
    pub fn report(&mut self, at: usize, conn: u64, lease: LeaseRef) {
        let Some(present) = self.coordinator.as_ref().map(|coordinator| coordinator.life) else { return };
        if self.conns[&conn].life != present || self.conns[&conn].dead {
            return;
        }
        let Some((facts, digest, turn)) = self.examined(at, &lease) else { return };
        let (worker, life) = (self.workers[at].id.clone(), self.workers[at].life);
        // The driver lets nobody report on a lease that is not his. Here the core must find out by itself: after a restore numbers are used again.
        let is_its = |attempt: &Attempt| attempt.granted.lease_id == lease.lease_id && attempt.granted.worker == worker;
        let known = self.durable.attempt(&lease.key).map(|attempt| (attempt.granted.base.clone(), is_its(attempt)));
        let Some((base, is_granted)) = known else {
            let verdict = Verdict::Stale { reason: "no such attempt".to_owned() };
            let delay = self.delay();
            let store = self.store;
            return self.after(delay, Event::Verdict { worker: at, life, store, lease, digest, verdict });
        };
        let role = turn.grant.granted.role;
        let mut changed = Vec::new();
        if let Some(commit) = facts.commit.as_ref().filter(|_| role.writes()) {
            if is_granted {
                self.repository.attempts.insert(lease.key.clone(), commit.clone());
            }
            changed = self.repository.diff(&base, commit);
        }
        let answer = match (&facts.failure, role) {
            (None, Role::Check) => Ok(RoleAnswer::None),
            (None, _) => turn.answer.clone(),
            (Some(_), role) if reads_leniently(role) => turn.answer.clone(),
            (Some(_), _) => Ok(RoleAnswer::None),
        };
        let learned = if turn.learned { vec!["a learning".to_owned()] } else { Vec::new() };
        let mut report = Report { worker, lease: lease.clone(), digest: digest.clone(), facts, changed, learned, answer };
        if self.sabotage == Sabotage::StaleAsCurrent {
            self.forge(&mut report);
        }
        let command = Box::new(Command::Report(Box::new(report)));
        self.after(
            0,
            Event::Arrive { life: Some(present), conn: None, command, reply: ReplyTo::Report { worker: at, life, lease, digest } },
        );
    }

    /// A late outcome takes the name of the attempt that holds the seat.
    fn forge(&self, report: &mut Report) {
        if self.durable.current(&report.lease).is_some() {
            return;
        }
        let Some(unit) = report.lease.key.unit.as_ref().and_then(|unit| self.durable.unit(&report.lease.key.run, unit)) else { return };
        if let Some(current) = unit.live(Seat::Work) {
            report.lease.key.attempt = current.granted.attempt;
            report.lease.lease_id = current.granted.lease_id;
            report.worker = current.granted.worker.clone();
        }
    }
}

/// Workers that say more than once what they hold.
fn talkative(queue: &[(Command, ReplyTo)]) -> BTreeSet<WorkerId> {
    let (mut once, mut again) = (BTreeSet::new(), BTreeSet::new());
    for (command, _) in queue {
        let worker = match command {
            Command::WorkerHello(hello) => &hello.worker,
            Command::Heartbeat { worker, .. } => worker,
            _ => continue,
        };
        if !once.insert(worker) {
            again.insert(worker.clone());
        }
    }
    again
}

/// Makes the core forget, to see whether anybody notices. Gives the runs that have forgotten something.
fn break_memory(core: &mut Core, sabotage: Sabotage) -> Vec<RunId> {
    let mut forgotten = Vec::new();
    if !matches!(sabotage, Sabotage::ForgetHolds | Sabotage::ForgetOrder) {
        return forgotten;
    }
    core.state.runs.for_each_mut(|id, run| {
        let run = Arc::make_mut(run);
        if sabotage == Sabotage::ForgetHolds {
            (run.plan.holders, run.plan.holders_all) = Default::default();
            run.plan.lookup_mut(&run.units).held = Default::default();
        } else if run.stage() == Stage::Working {
            Arc::make_mut(&mut run.plan.needs).iter_mut().for_each(Vec::clear);
            run.plan.lookup_mut(&run.units).writers = Default::default();
            line_up_all(&mut run.plan, &run.units);
        } else {
            return;
        }
        forgotten.push(id.clone());
    });
    forgotten
}

/// Whoever has not been begun can be, as far as the plan knows.
fn line_up_all(plan: &mut Plan, units: &List<Unit>) {
    for unit in units.iter().filter(|unit| unit.spec.runs && unit.state() == UnitState::NotStarted) {
        let kind = WorkKind {
            owner: unit.assignment.owner.clone(),
            unit_type: unit.assignment.unit_type,
            requires: unit.assignment.requires.clone(),
        };
        let begins = (Reverse(plan.remaining_ms[unit.spec.position]), plan.rank[unit.spec.position]);
        plan.lookup_mut(units).startable.entry(kind).or_default().insert(begins);
    }
}

/// They are forgotten by the scheduler only, so that this is all that goes wrong: a plan that is made without them would be wrong before anything starts.
fn remember(core: &mut Core, forgotten: Vec<RunId>) {
    for id in forgotten {
        if let Some(run) = core.state.runs.get_mut(&id).map(Arc::make_mut) {
            let Plan { remaining_ms, measured, order, .. } = std::mem::take(&mut run.plan);
            let mut made = Plan::build(&run.units, order.to_vec(), run.options.hazards, &core.state.learned);
            (made.remaining_ms, made.measured) = (remaining_ms, measured);
            run.plan = made;
        }
    }
}

/// A transition in one line.
pub fn line(transition: &Transition) -> String {
    let run = transition.run.as_ref().map_or("-", RunId::as_str);
    let mut text = format!("{:?}", transition.fact);
    if text.len() > 300 {
        let cut = (0..=300).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(cut);
    }
    format!("{run} {text}")
}
