//! Units that are to be begun, the longest remaining chain first, over all runs; taken from the lines of their plans one by one, so that a pass costs what it
//! looks at and not what waits.

use std::collections::VecDeque;
use std::ops::Bound;

use roundtable_shared::{RunId, Seat};

use crate::command::Now;
use crate::schedule::candidate::{BEGIN, Candidate, Rank};
use crate::schedule::ready::may_begin;
use crate::state::{PlaceInLine, State, WorkKind};

/// The lines of all runs, with what has begun and is to be done over beside them.
pub(crate) struct Line {
    beside: VecDeque<Candidate>,
    lines: Vec<OfKind>,
    /// The line of which the last candidate was.
    last: Option<usize>,
}

/// Units of one run that need the same of a worker.
struct OfKind {
    run: RunId,
    run_at: usize,
    kind: WorkKind,
    /// How far it was taken.
    after: Option<PlaceInLine>,
    is_closed: bool,
}

impl Line {
    /// Of all runs; `beside`: others of their class, in order.
    pub(crate) fn of(state: &State, beside: Vec<Candidate>, now: Now) -> Self {
        let runs = state.unfinished().enumerate().filter(|(_, run)| may_begin(state, run, now));
        let lines = runs.flat_map(|(run_at, run)| {
            let of_kind = move |kind: &WorkKind| OfKind { run: run.id.clone(), run_at, kind: kind.clone(), after: None, is_closed: false };
            run.plan.lookup(&run.units).startable.keys().map(of_kind)
        });
        Self { beside: beside.into(), lines: lines.collect(), last: None }
    }

    /// The next one, as the state is now.
    pub(crate) fn next(&mut self, state: &State) -> Option<Candidate> {
        let heads = self.lines.iter().enumerate().filter_map(|(at, line)| Some((line.head(state)?, at)));
        let first = heads.min_by_key(|((rank, _), _)| *rank);
        self.last = None;
        match (first, self.beside.front()) {
            (Some(((rank, _), _)), Some(beside)) if beside.rank < rank => self.beside.pop_front(),
            (Some(((_, place), at)), _) => {
                let line = &mut self.lines[at];
                line.after = Some(place);
                self.last = Some(at);
                let run = state.run(&line.run)?;
                Some(Candidate::of(run, &run.units[run.plan.order[place.1]], Seat::Work, line.run_at))
            }
            (None, _) => self.beside.pop_front(),
        }
    }

    /// Nobody of the line that the last one was of gets a slot now.
    pub(crate) fn close_last(&mut self) {
        if let Some(at) = self.last {
            self.lines[at].is_closed = true;
        }
    }
}

impl OfKind {
    fn head(&self, state: &State) -> Option<(Rank, PlaceInLine)> {
        let run = state.run(&self.run).filter(|_| !self.is_closed)?;
        let line = run.plan.lookup(&run.units).startable.get(&self.kind)?;
        let after = self.after.map_or(Bound::Unbounded, Bound::Excluded);
        let &(remaining, rank) = line.range((after, Bound::Unbounded)).next()?;
        Some(((BEGIN, remaining, self.run_at, rank), (remaining, rank)))
    }
}
