//! Work that a state calls done must be in the commit the run starts from; what that is, the coordinator's library reads.

use roundtable_coordinator::import::{Place, unsaved};
use roundtable_shared::spec::Plan;

use crate::failure::{Failure, Result};
use crate::workdir::{WorkPlace, some_of};

/// Refuses a state whose work, or what may be it, is among the uncommitted files.
pub fn refuse_unsaved_work(state: &str, plan: &Plan, uncommitted: &[String], place: WorkPlace<'_>) -> Result<()> {
    let own = |path: &std::path::Path| path.to_string_lossy().into_owned();
    let at = Place { top: own(place.top), workdir: own(place.workdir) };
    let found = unsaved(state, plan, &at, uncommitted, place.ignore_case).map_err(|error| Failure::usage(error.to_string()))?;
    let Some(found) = found else { return Ok(()) };
    let what =
        format!("the state says that task {} is {}, but the working tree has changes that are not committed", found.unit, found.status);
    Err(Failure::usage(what)
        .why(format!("its work may be among them, and would be missing from the commit the run starts from: {}", some_of(&found.files)))
        .next("commit them, or start from the working tree as it is: --include-dirty"))
}
