//! What the facts of a log add up to, by a book of its own: leases, seats, accepted work, moves of branches. It shares no code with the core's fold; of the
//! folded state it takes only what a unit may write.

use std::collections::{BTreeMap, BTreeSet};

use roundtable_core::Core;
use roundtable_core::invariants::Violation;
use roundtable_core::state::{State, Work};
use roundtable_core::transition::{Fact, Granted, Transition};
use roundtable_shared::manifest::PathSet;
use roundtable_shared::{AttemptKey, AttemptNo, CommitId, LeaseId, Role, RunId, Seat, UnitId, UnitState};

use super::{Summary, open, violation};

type UnitKey = (RunId, UnitId);
type SeatKey = (RunId, Option<UnitId>, Seat);

/// The book.
#[derive(Default)]
pub(super) struct Ledger {
    rows: u64,
    head: String,
    attempts: BTreeMap<AttemptKey, Attempt>,
    leases: BTreeSet<LeaseId>,
    seats: BTreeMap<SeatKey, AttemptNo>,
    works: BTreeMap<UnitKey, Accepted>,
    completed: BTreeSet<UnitKey>,
    given_up: BTreeSet<UnitKey>,
    branches: BTreeMap<RunId, Vec<Step>>,
}

/// One attempt.
pub(super) struct Attempt {
    pub(super) role: Role,
    pub(super) end: End,
    /// What an accepted outcome left.
    pub(super) commit: Option<CommitId>,
    /// Events that an accepted outcome counted.
    pub(super) events: Option<u64>,
    digest: Option<String>,
    resumes: bool,
}

/// How an attempt ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// It has not.
    Live,
    /// With an outcome that was accepted.
    Accepted,
    /// Without.
    Lost,
    /// Without, and its outcome came later.
    Late,
}

/// Work of a unit that counts.
struct Accepted {
    work: Work,
    /// It is not the commit of an attempt as that left it.
    replaced: bool,
}

/// One move of a run's branch.
pub(super) struct Step {
    /// The unit; `None` for the closing commit.
    pub(super) unit: Option<UnitId>,
    pub(super) commit: CommitId,
    /// What it changes, as the log says.
    pub(super) changed: Vec<String>,
    /// What it may change; `None` = anything.
    pub(super) writes: Option<PathSet>,
    /// The attempt whose work it is.
    pub(super) attempt: Option<AttemptNo>,
}

impl Ledger {
    /// One fact more. `before` is the state that it changes.
    pub(super) fn note(&mut self, before: &State, transition: &Transition, violations: &mut Vec<Violation>) {
        let Some(run) = &transition.run else { return };
        match &transition.fact {
            Fact::LeaseGranted(granted) => self.granted(run, granted, violations),
            Fact::AttemptEnded { unit, attempt, result } => {
                let key = key(run, unit.as_ref(), *attempt);
                if let Some(ended) = self.end(&key, End::Accepted, violations) {
                    (ended.commit, ended.events) = (result.commit.clone(), Some(result.events));
                    ended.digest = Some(result.digest.clone());
                }
            }
            Fact::AttemptLost { unit, attempt, .. } => drop(self.end(&key(run, unit.as_ref(), *attempt), End::Lost, violations)),
            Fact::AttemptLate { unit, attempt, .. } => self.late(&key(run, unit.as_ref(), *attempt), violations),
            Fact::WorkAccepted { unit, work, .. } => self.accepted(run, unit, work, violations),
            Fact::WorkReplaced { unit, work } => {
                self.works.insert((run.clone(), unit.clone()), Accepted { work: work.clone(), replaced: true });
            }
            Fact::Integrated { unit, commit, changed } => self.integrated(before, (run, unit), commit, changed, violations),
            Fact::CompletedWithoutChange { unit } => drop(self.completed.insert((run.clone(), unit.clone()))),
            Fact::UnitMoved { unit, to: UnitState::Skipped | UnitState::Cancelled, .. } => {
                self.given_up.insert((run.clone(), unit.clone()));
            }
            Fact::RunClosed { commit: Some(commit), .. } => {
                let step = Step { unit: None, commit: commit.clone(), changed: Vec::new(), writes: None, attempt: None };
                self.branches.entry(run.clone()).or_default().push(step);
            }
            Fact::RunEnded { exit: 0, .. } => self.nothing_is_lost(run, violations),
            _ => {}
        }
    }

    /// The last row.
    pub(super) fn head(&mut self, seq: u64, hash: String) {
        (self.rows, self.head) = (seq, hash);
    }

    pub(super) fn attempts(&self) -> impl Iterator<Item = (&AttemptKey, &Attempt)> {
        self.attempts.iter()
    }

    /// Moves of a run's branch, oldest first.
    pub(super) fn steps(&self, run: &RunId) -> &[Step] {
        self.branches.get(run).map_or(&[], Vec::as_slice)
    }

    pub(super) fn summary(self, core: &Core, events: u64, commits: usize) -> Summary {
        let ends = |end: End| self.attempts.values().filter(|attempt| attempt.end == end).count();
        let runs = &core.state.runs;
        let exits = runs.values().filter_map(|run| Some((run.id.clone(), run.ended()?.exit)));
        let live = self.attempts.iter().filter(|(_, attempt)| attempt.end == End::Live);
        let mut open = open(core);
        open.extend(live.map(|(key, _)| format!("attempt {key} is live")));
        Summary {
            rows: self.rows,
            runs: runs.len(),
            units: runs.values().map(|run| run.units().filter(|unit| unit.spec.runs).count()).sum(),
            integrated: self.branches.values().flatten().filter(|step| step.unit.is_some()).count(),
            granted: self.attempts.len(),
            accepted: ends(End::Accepted),
            lost: ends(End::Lost) + ends(End::Late),
            late: ends(End::Late),
            resumed: self.attempts.values().filter(|attempt| attempt.resumes).count(),
            events,
            commits,
            open,
            exits: exits.collect(),
            digests: self.attempts.iter().filter_map(|(key, attempt)| Some((key.clone(), attempt.digest.clone()?))).collect(),
            head: self.head,
        }
    }

    /// I3: a number and a lease are given once, and only to a seat that is free.
    fn granted(&mut self, run: &RunId, granted: &Granted, violations: &mut Vec<Violation>) {
        let key = key(run, granted.unit.as_ref(), granted.attempt);
        let from = AttemptKey { attempt: AttemptNo(0), ..key.clone() };
        let to = AttemptKey { attempt: AttemptNo(u32::MAX), ..key.clone() };
        let last = self.attempts.range(from..=to).next_back().map_or(0, |(known, _)| known.attempt.0);
        if granted.attempt.0 <= last {
            violations.push(violation("I3", format!("attempt {key} is granted after attempt {last}")));
        }
        if !self.leases.insert(granted.lease_id) {
            violations.push(violation("I3", format!("the lease of attempt {key} was another's before")));
        }
        if let Some(holder) = self.seats.insert((run.clone(), granted.unit.clone(), granted.seat), granted.attempt) {
            violations.push(violation("I3", format!("attempt {key} is granted seat {}, which attempt {holder} holds", granted.seat)));
        }
        let resumes = granted.resumed_from.is_some();
        let attempt = Attempt { role: granted.role, end: End::Live, commit: None, events: None, digest: None, resumes };
        self.attempts.insert(key, attempt);
    }

    /// I3: only who holds a seat ends in it.
    fn end(&mut self, key: &AttemptKey, end: End, violations: &mut Vec<Violation>) -> Option<&mut Attempt> {
        let seat = self.seats.iter().find(|((run, unit, _), no)| *run == key.run && *unit == key.unit && **no == key.attempt);
        let seat = seat.map(|(seat, _)| seat.clone());
        let known = self.attempts.get_mut(key);
        let (Some(seat), Some(attempt)) = (seat, known) else {
            violations.push(violation("I3", format!("attempt {key} ends ({end:?}), and holds no seat")));
            return None;
        };
        self.seats.remove(&seat);
        attempt.end = end;
        Some(attempt)
    }

    /// I3: what comes late was lost before, and comes once.
    fn late(&mut self, key: &AttemptKey, violations: &mut Vec<Violation>) {
        match self.attempts.get_mut(key) {
            Some(attempt) if attempt.end == End::Lost => attempt.end = End::Late,
            other => {
                let end = other.map(|attempt| attempt.end);
                violations.push(violation("I3", format!("an outcome of attempt {key} comes late, and it is {end:?}")));
            }
        }
    }

    /// I2, I3: work counts if it is what an accepted outcome left.
    fn accepted(&mut self, run: &RunId, unit: &UnitId, work: &Work, violations: &mut Vec<Violation>) {
        let of = (run.clone(), unit.clone());
        let replaced = self.works.get(&of).is_some_and(|known| known.replaced && known.work.commit == work.commit);
        if !replaced {
            let key = key(run, Some(unit), work.attempt);
            let attempt = self.attempts.get(&key);
            let fits = attempt.is_some_and(|attempt| attempt.end == End::Accepted && attempt.role.writes());
            let same = attempt.and_then(|attempt| attempt.commit.as_ref()).is_none_or(|commit| *commit == work.commit);
            if !fits || !same {
                let end = attempt.map(|attempt| attempt.end);
                violations.push(violation("I3", format!("commit {} counts as the work of attempt {key}, which is {end:?}", work.commit)));
            }
        }
        self.works.insert(of, Accepted { work: work.clone(), replaced });
    }

    /// I1: a unit is integrated once. I2: what is integrated was accepted.
    fn integrated(
        &mut self,
        before: &State,
        (run, unit): (&RunId, &UnitId),
        commit: &CommitId,
        changed: &[String],
        violations: &mut Vec<Violation>,
    ) {
        let of = (run.clone(), unit.clone());
        let attempt = self.works.get(&of).map(|accepted| accepted.work.attempt);
        if attempt.is_none() {
            violations.push(violation("I2", format!("unit {unit} of run {run} is integrated, and nothing of it was accepted")));
        }
        if !self.completed.insert(of) {
            violations.push(violation("I1", format!("unit {unit} of run {run} is integrated a second time, as {commit}")));
        }
        let bounded = before.unit(run, unit).filter(|unit| !unit.assignment.exclusive || unit.assignment.settled);
        let writes = bounded.map(|unit| unit.assignment.manifest.writes.clone());
        let step = Step { unit: Some(unit.clone()), commit: commit.clone(), changed: changed.to_vec(), writes, attempt };
        self.branches.entry(run.clone()).or_default().push(step);
    }

    /// I2: of a run that ended well, all that was accepted is integrated, but for units that were given up.
    fn nothing_is_lost(&self, run: &RunId, violations: &mut Vec<Violation>) {
        for of in self.works.keys().filter(|(of, _)| of == run) {
            if !self.completed.contains(of) && !self.given_up.contains(of) {
                violations.push(violation("I2", format!("work of unit {} of run {run} was accepted, and is not integrated", of.1)));
            }
        }
    }
}

fn key(run: &RunId, unit: Option<&UnitId>, attempt: AttemptNo) -> AttemptKey {
    AttemptKey { run: run.clone(), unit: unit.cloned(), attempt }
}
