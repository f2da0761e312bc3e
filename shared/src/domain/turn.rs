//! What a turn is about, as data beside its prompt: real agents read the prompt, the scripted backend plays from this. Filled by the
//! coordinator, carried in the lease.

use serde::{Deserialize, Serialize};

use super::attempt::Role;
use super::unit::{UnitState, UnitType};
use crate::ids::{AttemptNo, RunId, TaskId, UnitId};

/// The structured half of a turn.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TurnData {
    /// The run.
    pub run: RunId,
    /// The unit, or `None` for the run's own seats.
    #[serde(default)]
    pub unit: Option<UnitId>,
    /// The unit's title (the spec's name at run level).
    #[serde(default)]
    pub title: String,
    /// What is asked.
    pub role: Role,
    /// Which attempt it is.
    pub attempt: AttemptNo,
    /// From 1. implement: 1 + earlier failed turns; fix: which fix; review: the round; assign, orchestrate: which consultation. A turn that is
    /// repeated for infra reasons keeps its index.
    pub turn_index: u32,
    /// Review round, from 1; for implement 1, for fix k it is k.
    #[serde(default)]
    pub round: u32,
    /// Which reviewer of the round, from 1; 0 for other roles.
    #[serde(default)]
    pub reviewer: u32,
    /// Paths the unit may write.
    #[serde(default)]
    pub writes: Vec<String>,
    /// Paths it reads.
    #[serde(default)]
    pub reads: Vec<String>,
    /// Subtasks still open, in order; the unit itself if it has no subtasks is not listed.
    #[serde(default)]
    pub open_subtasks: Vec<TurnSubtask>,
    /// The run's units, for assign and orchestrate.
    #[serde(default)]
    pub units: Vec<TurnUnit>,
    /// The unit's target window; empty if it has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub window: String,
}

impl TurnData {
    /// The first turn of a role in a run, of no unit, of which nothing else is said.
    pub fn new(run: impl Into<RunId>, role: Role) -> Self {
        Self {
            run: run.into(),
            unit: None,
            title: String::new(),
            role,
            attempt: AttemptNo(1),
            turn_index: 1,
            round: 1,
            reviewer: 0,
            writes: Vec::new(),
            reads: Vec::new(),
            open_subtasks: Vec::new(),
            units: Vec::new(),
            window: String::new(),
        }
    }

    /// `<run>/<unit or ->/<role>/<turn index>`: the last line of every prompt after `Roundtable-Turn: `, so that a transcript or a model
    /// server can tell which turn it sees.
    pub fn tag(&self) -> String {
        let unit = self.unit.as_ref().map_or("-", UnitId::as_str);
        format!("{}/{}/{}/{}", self.run, unit, self.role, self.turn_index)
    }
}

/// A subtask still to be done.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TurnSubtask {
    /// Its id.
    pub id: TaskId,
    /// Its title.
    #[serde(default)]
    pub title: String,
    /// Whether it need not be done.
    #[serde(default)]
    pub optional: bool,
}

/// A unit as the assignment and orchestrator agents see it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TurnUnit {
    /// Its id.
    pub id: UnitId,
    /// Its title.
    #[serde(default)]
    pub title: String,
    /// Its kind.
    #[serde(default, rename = "type")]
    pub unit_type: UnitType,
    /// Paths it may write, by spec and rules.
    #[serde(default)]
    pub writes: Vec<String>,
    /// Paths it reads, by spec and rules.
    #[serde(default)]
    pub reads: Vec<String>,
    /// Its state.
    pub state: UnitState,
}

/// Turn data as a text of JSON: that is how leases have it in spools of earlier builds, which can read those of this one.
pub(super) mod as_text {
    use serde::de::Error as _;
    use serde::ser::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    use super::TurnData;

    /// Writes the text.
    pub(in crate::domain) fn serialize<S: Serializer>(data: &TurnData, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&serde_json::to_string(data).map_err(S::Error::custom)?)
    }

    /// Reads the text.
    pub(in crate::domain) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<TurnData, D::Error> {
        serde_json::from_str(&String::deserialize(from)?).map_err(D::Error::custom)
    }
}
