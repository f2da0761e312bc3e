//! Questions about the state that more than one verb asks. Nothing here changes anything; who may run now, and where, is `schedule`.

pub(crate) mod admission;
pub(crate) mod broad;

pub(crate) mod contention;
pub(crate) mod dependants;
pub(crate) mod finding;
pub(crate) mod integration;
pub(crate) mod known;
pub(crate) mod manifest;
pub(crate) mod needed;
pub(crate) mod owed;
pub(crate) mod park;
pub(crate) mod planner;
pub(crate) mod setback;
pub(crate) mod step;
pub(crate) mod subtasks;
pub(crate) mod unfixed;
