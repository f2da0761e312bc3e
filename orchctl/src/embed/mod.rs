//! A coordinator and workers inside this process: the only place that calls their libraries. What is done with them is the commands'.

mod agents;
mod background;
mod coordinator;
mod helper;
mod offline;
mod specs;
mod unsaved;
mod workers;

pub use agents::probe_agents;
pub use background::{Background, start_background};
pub use coordinator::{Embedded, NotStarted};
pub use helper::run_as_helper;
pub use offline::Offline;
pub use specs::{first_mirror, plan};
pub use unsaved::refuse_unsaved_work;
pub use workers::{Crew, agents, check_playbooks, settle_abandoned};
