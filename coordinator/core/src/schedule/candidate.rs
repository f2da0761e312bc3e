//! A seat that could be filled, with what ranks it; the order is `rank`'s to explain.

use std::cmp::Reverse;

use roundtable_shared::{Role, RunId, Seat, UnitId};

use crate::state::{Run, Unit};

/// Class of units that are to be begun.
pub(crate) const BEGIN: u8 = 5;
/// Class of the last units of a run that are to be begun.
pub(crate) const LAST: u8 = 2;

/// An empty seat that may be filled.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Candidate {
    /// Its run.
    pub run: RunId,
    /// Its unit; `None` for the run's own seats.
    pub unit: Option<UnitId>,
    /// The seat.
    pub seat: Seat,
    /// What it is asked to do.
    pub role: Role,
    pub rank: Rank,
}

/// Class of role first, then the age of what waits; smaller comes first.
pub(crate) type Rank = (u8, Reverse<u64>, usize, usize);

impl Candidate {
    /// The unit's work seat.
    pub(crate) fn work_of(run: &Run, unit: &Unit) -> Self {
        Self::of(run, unit, Seat::Work, 0)
    }

    /// That seat of the unit, wherever its run stands among others.
    pub(crate) fn seat_of(run: &Run, unit: &Unit, seat: Seat) -> Self {
        Self::of(run, unit, seat, 0)
    }

    pub(crate) fn of(run: &Run, unit: &Unit, seat: Seat, run_at: usize) -> Self {
        let role = match seat {
            Seat::Check => Role::Check,
            Seat::Review(_) => Role::Review,
            _ => unit.next_role(),
        };
        let class = match role {
            Role::Check => 1,
            Role::Review => 3,
            Role::Fix => 4,
            Role::Implement | Role::Assign | Role::Orchestrate => BEGIN,
        };
        let remaining = if role == Role::Implement { run.plan.remaining_ms[unit.spec.position] } else { 0 };
        // Results of checks count in the order of the train.
        let place = if role == Role::Check { run.branch.train.place(&unit.id) } else { None };
        let rank = (class, Reverse(remaining), run_at, place.unwrap_or(run.plan.rank[unit.spec.position]));
        Self { run: run.id.clone(), unit: Some(unit.id.clone()), seat, role, rank }
    }

    pub(crate) fn of_run(run: &Run, seat: Seat, role: Role, run_at: usize) -> Self {
        Self { run: run.id.clone(), unit: None, seat, role, rank: (0, Reverse(0), run_at, 0) }
    }
}
