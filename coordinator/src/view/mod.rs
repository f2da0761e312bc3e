//! Read models: what commands show, built from the core's state. Pure functions of state, fleet and time; they decide nothing and print nothing.

mod answer;
mod attempts;
mod decisions;
mod events;
mod findings;
mod number;
mod parks;
mod run;
mod select;
mod show;
mod summary;
mod tasks;
mod unit;
mod upstream;
mod viewer;
mod workers;

pub use answer::{ViewError, answer};
pub use attempts::{attempt_keys, attempts, attempts_now, run_attempts};
pub use decisions::{decision, decisions};
pub(crate) use decisions::{decision_task, is_escalated, open_decisions};
pub use events::{agent_event_line, transition_line};
pub use findings::findings;
pub use run::{branch, exit_code, run_line, run_status, runs, status};
pub use select::{SelectError, select_run, select_unit};
pub use show::{explain, show};
pub use summary::summary;
pub(crate) use tasks::{shown_state, subtask_states};
pub use unit::unit;
pub(crate) use upstream::{Upstream, dependants};
pub use workers::workers;
