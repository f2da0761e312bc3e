//! A real worker on a host that goes wrong: killed, full, flooded, and at the hands of hostile agents. Its coordinator is a process of its own; what
//! reached it is read from its repository.
#![allow(clippy::unwrap_used)]

mod broken;
mod crash;
mod disk;
mod endings;
mod fleet;
mod hostile;
mod join;
mod large;
mod link;
mod login;
mod lost;
mod output;
mod places;
mod readme;
mod report;
mod saved;
mod secrets;
mod setup;
mod stage;
mod store;
