//! Ten thousand outcomes that come too late or were made up: under leases that are over, of other attempts, units and runs, by other workers, again in other
//! words, and from before a restore. Whatever has happened since, each is refused, and changes nothing but that it came.

use roundtable_core::command::{Command, Report, RoleAnswer};
use roundtable_core::effect::Grant;
use roundtable_core::{Fact, Reply, Verdict};
use roundtable_shared::answer::WorkAnswer;
use roundtable_shared::{
    AttemptFacts, AttemptNo, CommitId, LeaseId, LeaseRef, LeftOut, Origin, Role, RunId, UnitId, UnitState, Usage, WorkerId,
};

use crate::table::{Table, changed, options};

/// Outcomes that are refused in all.
const ZOMBIES: usize = 10_000;
/// Steps between one restore and the next: hand-backs of one unit cost nothing for about so long.
const STEPS: usize = 12;
/// The oldest backups, one of which is restored: so that no unit's counts go up and up.
const BACKUPS_USED: usize = 4;
/// Outcomes that are tried in each step.
const AT_ONCE: usize = 70;
const UNITS: usize = 6;
const WORKERS: [&str; 3] = ["a", "b", "c"];
const BACKENDS: [(&str, u32); 2] = [("codex", 2), ("codex-review", 2)];

/// SplitMix64, so that each run is the same.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("it is below a usize")
    }

    fn one_of<'a, T>(&mut self, list: &'a [T]) -> Option<&'a T> {
        (!list.is_empty()).then(|| &list[self.below(list.len())])
    }
}

/// A run on which much is begun and lost, with all the leases there ever were.
struct Night {
    table: Table,
    dice: Dice,
    live: Vec<Grant>,
    /// Leases that ended without an outcome that counts.
    dead: Vec<Grant>,
    /// Those whose outcome was accepted, and how long the log was then.
    done: Vec<(Grant, usize)>,
    /// Places in the log to go back to.
    backups: Vec<usize>,
    starts: u64,
    sent: usize,
    refused: [usize; 8],
}

impl Night {
    fn new() -> Self {
        let unit = |n: usize| format!("- [ ] {n}. Write {n}\n  - _writes: {n}.rs_\n");
        let plan: String = (1..=UNITS).map(unit).collect();
        let mut table = Table::with(&plan, options());
        for worker in WORKERS {
            table.join(worker, &BACKENDS);
        }
        // Assigned, and nothing granted yet.
        let backups = vec![table.log.len()];
        let (live, dead, done) = (Vec::new(), Vec::new(), Vec::new());
        Self { table, dice: Dice(20_261_130), live, dead, done, backups, starts: 100, sent: 0, refused: [0; 8] }
    }

    /// A worker comes back with nothing: what it held is lost.
    fn starts_anew(&mut self, worker: &str) {
        self.starts += 1;
        self.table.hello(worker, self.starts, Origin::default(), &BACKENDS).expect("its next start");
        let lost;
        (lost, self.live) = std::mem::take(&mut self.live).into_iter().partition(|grant| grant.granted.worker.as_str() == worker);
        self.dead.extend(lost);
    }

    /// The coordinator goes on from an earlier row, and all workers come back with nothing.
    fn is_restored(&mut self) {
        let early = &self.backups[..self.backups.len().min(BACKUPS_USED)];
        let rows = *self.dice.one_of(early).expect("there is a first one");
        self.backups.retain(|backup| *backup <= rows);
        self.table.restore(rows);
        let undone;
        (undone, self.done) = std::mem::take(&mut self.done).into_iter().partition(|(_, after)| *after > rows);
        self.dead.extend(undone.into_iter().map(|(grant, _)| grant));
        self.dead.append(&mut self.live);
        WORKERS.into_iter().for_each(|worker| self.starts_anew(worker));
    }

    /// Something that is as it should be.
    fn goes_on(&mut self) {
        self.live.extend(self.table.go());
        let works = self.live.iter().position(|grant| grant.granted.role == Role::Implement);
        if let Some(at) = works.filter(|_| self.dice.below(3) == 0) {
            let grant = self.live.remove(at);
            let unit = grant.lease.key.unit.clone().expect("work is of a unit");
            self.table.works(&grant, &[&format!("{unit}.rs")]);
            assert_eq!(self.table.unit(unit.as_str()).state(), UnitState::PendingReview, "an outcome that is right counts");
            self.done.push((grant, self.table.log.len()));
        }
        let worker = WORKERS[self.dice.below(WORKERS.len())];
        if self.dice.below(3) == 0 {
            self.starts_anew(worker);
        }
    }

    /// Who says it, under which lease, and of which kind it is; `None` if there is none of that kind now.
    fn zombie(&mut self) -> Option<(usize, WorkerId, LeaseRef)> {
        let kind = self.dice.below(self.refused.len());
        let live = self.dice.one_of(&self.live).cloned();
        let dead = self.dice.one_of(&self.dead).cloned();
        let by = |grant: &Grant, lease: LeaseRef| Some((kind, grant.granted.worker.clone(), lease));
        let keyed = |grant: &Grant, change: &dyn Fn(&mut LeaseRef)| {
            let mut lease = grant.lease.clone();
            change(&mut lease);
            lease
        };
        match kind {
            0 => dead.and_then(|dead| by(&dead, dead.lease.clone())),
            1 => live.zip(dead).and_then(|(live, dead)| by(&live, keyed(&live, &|lease| lease.lease_id = dead.lease.lease_id))),
            2 => {
                let other = ["a", "b", "c", "stranger"][self.dice.below(4)];
                let live = live.filter(|live| live.granted.worker.as_str() != other)?;
                Some((kind, WorkerId::from(other), live.lease))
            }
            3 => {
                let away = [1, 2, 1_000][self.dice.below(3)];
                live.and_then(|live| by(&live, keyed(&live, &|lease| lease.key.attempt = AttemptNo(lease.key.attempt.0 + away))))
            }
            4 => {
                let unit = UnitId::from(format!("{}", self.dice.below(UNITS + 1)));
                let live = live.filter(|live| live.lease.key.unit.as_ref() != Some(&unit))?;
                by(&live, keyed(&live, &|lease| lease.key.unit = Some(unit.clone())))
            }
            5 => live.and_then(|live| by(&live, keyed(&live, &|lease| lease.key.run = RunId::from("another")))),
            6 => {
                let made_up = LeaseId(u128::from(self.dice.next()) << 64 | u128::from(self.dice.next()));
                live.and_then(|live| by(&live, keyed(&live, &|lease| lease.lease_id = made_up)))
            }
            _ => self.dice.one_of(&self.done).cloned().and_then(|(done, _)| by(&done, done.lease.clone())),
        }
    }

    /// What must not change by it.
    fn standing(&self) -> Vec<(UnitState, Option<CommitId>, Vec<LeaseId>)> {
        let of = |unit: &roundtable_core::state::Unit| {
            let live = unit.attempts.iter().filter(|attempt| attempt.is_live()).map(|attempt| attempt.granted.lease_id).collect();
            (unit.state(), unit.work.accepted.as_ref().map(|work| work.commit.clone()), live)
        };
        self.table.run().units().map(of).collect()
    }

    fn is_refused(&mut self, kind: usize, worker: WorkerId, lease: LeaseRef) {
        self.sent += 1;
        let answer = WorkAnswer::parse(r#"{"status":"completed"}"#).expect("it is an answer");
        let facts = AttemptFacts {
            failure: None,
            exit_code: Some(0),
            answer: String::new(),
            commit: Some(CommitId::new(format!("{:040x}", 0xdead_0000 + self.sent))),
            left_out: LeftOut::default(),
            done: Vec::new(),
            agent_session: None,
            usage: Usage::default(),
            last_event_seq: 0,
        };
        let digest = format!("zombie {}", self.sent);
        let (rows, before) = (self.table.log.len(), self.standing());
        let told = format!("{} of {worker}, of kind {kind}", lease.key);
        let changed = vec![changed("1.rs")];
        let report = Report { worker, lease, digest, facts, changed, learned: Vec::new(), answer: Ok(RoleAnswer::Work(answer)) };
        let reply = self.table.ask(Command::Report(Box::new(report))).expect("it is answered");
        let is_refusal = match &reply {
            Reply::Verdict(Verdict::Stale { reason }) => kind != 7 && !reason.is_empty(),
            Reply::Verdict(Verdict::Rejected { reason }) => kind == 7 && !reason.is_empty(),
            _ => false,
        };
        assert!(is_refusal, "{told}: {reply:?}");
        let noted = &self.table.log[rows..];
        assert!(noted.len() <= 1 && noted.iter().all(|row| matches!(row.fact, Fact::AttemptLate { .. })), "{told}: {noted:?}");
        assert_eq!(self.standing(), before, "{told}");
        self.refused[kind] += 1;
    }
}

#[test]
fn ten_thousand_outcomes_of_the_dead_decide_nothing() {
    let mut night = Night::new();
    while night.sent < ZOMBIES {
        for _ in 0..STEPS {
            night.goes_on();
            night.backups.push(night.table.log.len());
            for _ in 0..AT_ONCE {
                if let Some((kind, worker, lease)) = night.zombie() {
                    night.is_refused(kind, worker, lease);
                }
            }
        }
        night.is_restored();
    }
    assert!(night.refused.iter().all(|count| *count > ZOMBIES / 40), "each kind was tried: {:?}", night.refused);
    assert!(night.table.run().people.decisions.is_empty(), "nobody was asked for anything");
}
