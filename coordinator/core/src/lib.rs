//! The pure state machine of the coordinator: `decide`, `apply`, `schedule`, and the fleet's volatile view.
//!
//! No clock, no randomness, no IO, no async, no logging: time, ids and random bits come in as arguments. The driver (crate
//! roundtable-coordinator) owns the only instance, appends what `decide` returned and then carries out the effects.

pub mod effect;
