//! The pure state machine of the coordinator: `decide`, `apply`, `schedule`, and the fleet's volatile view.
//!
//! No clock, no randomness, no IO, no async, no logging: time, ids and random bits come in as arguments. The driver (crate
//! roundtable-coordinator) owns the only instance, appends what `decide` returned and then carries out the effects.

mod apply;
mod batch;
mod change;
pub mod command;
mod core;
mod decide;
pub mod effect;
mod entropy;
pub mod fleet;
pub mod invariants;
mod moves;
mod now;
#[cfg(not(feature = "planted-bugs"))]
mod planted;
#[cfg(feature = "planted-bugs")]
pub mod planted;
mod publisher;
mod rules;
pub mod schedule;
mod settle;
pub mod shared;
pub mod state;
pub mod transition;
mod txn;

pub use batch::{Answer, Batch, Pending, Released};
pub use change::{Change, Refused, Rejection, Reply, Verdict};
pub use core::{Core, outstanding};
pub use decide::{TOKEN_TTL_MS_MAX, TOKEN_USES_MAX};
pub use entropy::Entropy;
pub use publisher::Publisher;
pub use rules::admission::{Admission, admission, free_name};
pub use transition::{Fact, Transition};
