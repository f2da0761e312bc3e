//! How many units of a run are in which state.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::word::Word;
use crate::domain::UnitState;

const TOTAL: &str = "total";
const UNITS: &str = "units";
const RUNNING: &str = "running";

/// Units by the state they show (only those that run, and only states that some are in), and three sums beside them under keys of their own.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Counts(BTreeMap<String, u32>);

impl Counts {
    /// No unit in any state yet: `total` units run, of `units` in all, and `running` have a live attempt.
    pub fn new(total: u32, units: u32, running: u32) -> Self {
        Self([(TOTAL, total), (UNITS, units), (RUNNING, running)].map(|(key, count)| (key.to_owned(), count)).into())
    }

    /// One more unit in a state.
    pub fn add(&mut self, state: &Word<UnitState>) {
        *self.0.entry(state.to_string()).or_insert(0) += 1;
    }

    /// Units in that state.
    pub fn of(&self, state: UnitState) -> u32 {
        self.get(state.as_str())
    }

    /// Units that are completed.
    pub fn completed(&self) -> u32 {
        self.of(UnitState::Completed)
    }

    /// Units that run in this run.
    pub fn total(&self) -> u32 {
        self.get(TOTAL)
    }

    /// All units of the plan.
    pub fn units(&self) -> u32 {
        self.get(UNITS)
    }

    /// Units with a live attempt.
    pub fn running(&self) -> u32 {
        self.get(RUNNING)
    }

    fn get(&self, key: &str) -> u32 {
        self.0.get(key).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn states_and_sums_are_one_object_by_key() {
        let mut counts = Counts::new(3, 4, 1);
        [UnitState::Completed, UnitState::NotStarted, UnitState::Completed].into_iter().for_each(|state| counts.add(&state.into()));
        let text = serde_json::to_string(&counts).unwrap();
        assert_eq!(text, r#"{"completed":2,"not_started":1,"running":1,"total":3,"units":4}"#);
        assert_eq!(serde_json::from_str::<Counts>(&text).unwrap(), counts);
        assert_eq!((counts.completed(), counts.of(UnitState::Blocked), counts.total(), counts.units(), counts.running()), (2, 0, 3, 4, 1));
    }
}
