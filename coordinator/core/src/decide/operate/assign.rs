//! A person changes one unit's assignment.

use roundtable_shared::manifest::Manifest;
use roundtable_shared::{Assignment, BackendName, Criticality, RunId, UnitId, read_requirements};

use crate::change::Rejection;
use crate::moves::assignment;
use crate::rules::known;
use crate::transition::Fact;
use crate::txn::Txn;

/// What a person changes of it; absent fields stay.
pub(crate) struct Changes {
    pub owner: Option<BackendName>,
    pub criticality: Option<Criticality>,
    pub writes: Option<Vec<String>>,
    pub reads: Option<Vec<String>>,
    pub requires: Option<Vec<String>>,
}

impl Changes {
    /// Whether they are about what rules and agents assign too.
    fn is_assignment(&self) -> bool {
        self.owner.is_some() || self.criticality.is_some() || self.writes.is_some() || self.reads.is_some()
    }
}

/// Changes one unit's assignment; what it names must be possible now.
pub(crate) fn assign(d: &mut Txn<'_>, run: &RunId, id: &UnitId, changes: Changes, by: String) -> Result<(), Rejection> {
    let unit = known::known_unit(d, run, id)?;
    if unit.state().is_terminal() || !unit.spec.runs {
        return Err(Rejection::conflict(format!("unit {id} does not run any more; nothing is left to assign")));
    }
    let changes_manifest = changes.writes.is_some() || changes.reads.is_some();
    if changes_manifest && unit.holds() {
        return Err(Rejection::conflict(format!(
            "unit {id} is {} and holds its writes; change its manifest before it starts, or retry it first",
            unit.state()
        )));
    }
    let requires = changes.requires.as_deref().map(read_requirements).transpose().map_err(Rejection::invalid)?;
    let is_assignment = changes.is_assignment();
    let writes = changes.writes.unwrap_or_else(|| unit.assignment.manifest.writes.entries().to_vec());
    let reads = changes.reads.unwrap_or_else(|| unit.assignment.manifest.reads.entries().to_vec());
    let ignore_case = d.run(run).options.ignore_case;
    let manifest = Manifest::new(&writes, &reads, ignore_case).map_err(|error| Rejection::invalid(error.to_string()))?;
    let assignment = Assignment {
        unit: id.clone(),
        unit_type: unit.assignment.unit_type,
        owner_agent: changes.owner.or_else(|| unit.assignment.owner.clone()),
        target_window: unit.assignment.window.clone().or_else(|| Some(format!("task-{id}"))),
        criticality: changes.criticality.unwrap_or(unit.assignment.criticality),
        writes: manifest.writes.entries().to_vec(),
        reads: manifest.reads.entries().to_vec(),
        depends_on: Vec::new(),
    };
    if let Some(requires) = requires {
        d.emit(run, Fact::RequirementsSet { unit: id.clone(), requires, by: by.clone() });
    }
    if is_assignment {
        assignment::reassign(d, run, assignment, by);
    }
    d.done(format!("unit {id} is assigned anew"));
    Ok(())
}
