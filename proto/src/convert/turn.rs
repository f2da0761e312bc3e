//! What a turn is about: its data and its switches.

use roundtable_shared::{AttemptNo, Role, Switches, TurnData, TurnSubtask, TurnUnit, UnitState, UnitType};

use super::{WireError, optional, word, words};
use crate::v1;

words!(Role, "turn_data.role", { Implement, Fix, Review, Assign, Orchestrate, Check });
words!(UnitType, "turn_data.units.unit_type", { Code, Ui, Review });
words!(UnitState, "turn_data.units.state", {
    NotStarted, InProgress, PendingReview, UnderReview, FinalReview, FixRequired, Completed, Blocked, Skipped, Cancelled
});

impl From<&TurnData> for v1::TurnData {
    fn from(data: &TurnData) -> Self {
        Self {
            run: data.run.to_string(),
            unit: data.unit.as_ref().map(ToString::to_string).unwrap_or_default(),
            title: data.title.clone(),
            role: v1::Role::from(data.role).into(),
            attempt: data.attempt.0,
            turn_index: data.turn_index,
            round: data.round,
            reviewer: data.reviewer,
            writes: data.writes.clone(),
            reads: data.reads.clone(),
            open_subtasks: data.open_subtasks.iter().map(Into::into).collect(),
            units: data.units.iter().map(Into::into).collect(),
            window: data.window.clone(),
        }
    }
}

impl TryFrom<v1::TurnData> for TurnData {
    type Error = WireError;

    fn try_from(data: v1::TurnData) -> Result<Self, WireError> {
        if data.run.is_empty() {
            return Err(WireError::Missing("turn_data.run"));
        }
        Ok(Self {
            role: word(data.role)?,
            run: data.run.into(),
            unit: optional(data.unit).map(Into::into),
            title: data.title,
            attempt: AttemptNo(data.attempt),
            turn_index: data.turn_index,
            round: data.round,
            reviewer: data.reviewer,
            writes: data.writes,
            reads: data.reads,
            open_subtasks: data.open_subtasks.into_iter().map(Into::into).collect(),
            units: data.units.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            window: data.window,
        })
    }
}

impl From<&TurnSubtask> for v1::TurnSubtask {
    fn from(step: &TurnSubtask) -> Self {
        Self { id: step.id.to_string(), title: step.title.clone(), optional: step.optional }
    }
}

impl From<v1::TurnSubtask> for TurnSubtask {
    fn from(step: v1::TurnSubtask) -> Self {
        Self { id: step.id.into(), title: step.title, optional: step.optional }
    }
}

impl From<&TurnUnit> for v1::TurnUnit {
    fn from(unit: &TurnUnit) -> Self {
        Self {
            id: unit.id.to_string(),
            title: unit.title.clone(),
            unit_type: v1::UnitType::from(unit.unit_type).into(),
            writes: unit.writes.clone(),
            reads: unit.reads.clone(),
            state: v1::UnitState::from(unit.state).into(),
        }
    }
}

impl TryFrom<v1::TurnUnit> for TurnUnit {
    type Error = WireError;

    fn try_from(unit: v1::TurnUnit) -> Result<Self, WireError> {
        Ok(Self {
            unit_type: word(unit.unit_type)?,
            state: word(unit.state)?,
            id: unit.id.into(),
            title: unit.title,
            writes: unit.writes,
            reads: unit.reads,
        })
    }
}

impl From<&Switches> for v1::Switches {
    fn from(switches: &Switches) -> Self {
        Self {
            bypass_sandbox: switches.bypass_sandbox,
            skip_permissions: switches.skip_permissions,
            opencode_agent: switches.opencode_agent.clone(),
            opencode_model: switches.opencode_model.clone(),
        }
    }
}

impl From<v1::Switches> for Switches {
    fn from(switches: v1::Switches) -> Self {
        Self {
            bypass_sandbox: switches.bypass_sandbox,
            skip_permissions: switches.skip_permissions,
            opencode_agent: switches.opencode_agent,
            opencode_model: switches.opencode_model,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    fn role() -> impl Strategy<Value = Role> {
        select(vec![Role::Implement, Role::Fix, Role::Review, Role::Assign, Role::Orchestrate, Role::Check])
    }

    fn unit() -> impl Strategy<Value = TurnUnit> {
        let states = vec![
            UnitState::NotStarted,
            UnitState::InProgress,
            UnitState::PendingReview,
            UnitState::UnderReview,
            UnitState::FinalReview,
            UnitState::FixRequired,
            UnitState::Completed,
            UnitState::Blocked,
            UnitState::Skipped,
            UnitState::Cancelled,
        ];
        let types = select(vec![UnitType::Code, UnitType::Ui, UnitType::Review]);
        ("[0-9.]{1,4}", ".{0,6}", types, vec(".{0,6}", 0..3), vec(".{0,6}", 0..3), select(states))
            .prop_map(|(id, title, unit_type, writes, reads, state)| TurnUnit { id: id.into(), title, unit_type, writes, reads, state })
    }

    fn subtask() -> impl Strategy<Value = TurnSubtask> {
        ("[0-9.]{1,4}", ".{0,6}", any::<bool>()).prop_map(|(id, title, optional)| TurnSubtask { id: id.into(), title, optional })
    }

    /// Any turn data.
    pub(in crate::convert) fn turn_data() -> impl Strategy<Value = TurnData> {
        let of_unit = ("[a-z]{1,6}", option::of("[0-9.]{1,4}"), ".{0,6}", role(), ".{0,6}");
        let figures = (any::<u32>(), any::<u32>(), any::<u32>(), any::<u32>());
        let lists = (vec(".{0,6}", 0..3), vec(".{0,6}", 0..3), vec(subtask(), 0..3), vec(unit(), 0..3));
        (of_unit, figures, lists).prop_map(|((run, unit, title, role, window), figures, lists)| TurnData {
            run: run.into(),
            unit: unit.map(Into::into),
            title,
            role,
            attempt: AttemptNo(figures.0),
            turn_index: figures.1,
            round: figures.2,
            reviewer: figures.3,
            writes: lists.0,
            reads: lists.1,
            open_subtasks: lists.2,
            units: lists.3,
            window,
        })
    }

    /// Any switches.
    pub(in crate::convert) fn switches() -> impl Strategy<Value = Switches> {
        (any::<Option<bool>>(), any::<Option<bool>>(), option::of(".{0,6}"), option::of(".{0,6}")).prop_map(
            |(bypass_sandbox, skip_permissions, opencode_agent, opencode_model)| Switches {
                bypass_sandbox,
                skip_permissions,
                opencode_agent,
                opencode_model,
            },
        )
    }

    proptest! {
        #[test]
        fn turn_data_and_switches_survive_the_wire(data in turn_data(), switches in switches()) {
            prop_assert_eq!(TurnData::try_from(v1::TurnData::from(&data)).unwrap(), data);
            prop_assert_eq!(Switches::from(v1::Switches::from(&switches)), switches);
        }
    }

    #[test]
    fn a_word_that_is_absent_or_of_a_later_release_is_refused() {
        let good = v1::TurnData::from(&TurnData::new("demo-abcdef", Role::Implement));
        let of_role = |role: i32| TurnData::try_from(v1::TurnData { role, ..good.clone() });
        assert!(of_role(1).is_ok());
        assert_eq!(of_role(0), Err(WireError::Missing("turn_data.role")));
        assert_eq!(of_role(99), Err(WireError::Unknown { field: "turn_data.role", number: 99 }));
        assert_eq!(TurnData::try_from(v1::TurnData { run: String::new(), ..good }), Err(WireError::Missing("turn_data.run")));
    }
}
