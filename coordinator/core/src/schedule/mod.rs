//! Who may run now, and where: readiness, ranking, backends, placement. Questions only: grants are made by `settle::dispatch`, and `explain`
//! answers from these same functions.

pub(crate) mod absent;
pub(crate) mod backend;
pub(crate) mod barrier;
pub(crate) mod before;
pub(crate) mod candidate;
pub(crate) mod choices;
pub(crate) mod demand;
pub(crate) mod explain;
pub(crate) mod need;
pub(crate) mod place;
pub(crate) mod plan;
pub(crate) mod queue;
pub(crate) mod rank;
pub(crate) mod ready;
pub(crate) mod standing;
pub(crate) mod waiting;

pub use roundtable_shared::CHECK_BACKEND;

pub use backend::lacks_labels;
pub use demand::{Demand, demand};
pub use explain::{Explainer, explain, goes_on};
pub use plan::{PlanReason, Planned, PlannedUnit, PlannedWait, plan};
pub use ready::is_ready;
pub use standing::{Standing, standing};
pub use waiting::{Reasons, WaitKind, Waiting};

pub use crate::rules::park::{Parked, parked, parked_account};
