//! The command-line contract, held by the real binaries with scripted agents: every command, flag and exit code of it.

mod accepting;
mod acts;
mod again;
mod auditing;
mod daemons;
mod deciding;
mod enrolling;
mod importing;
mod intake;
mod joining;
mod journey;
mod looking;
mod manual;
mod mirrors;
mod places;
mod planning;
mod profiles;
mod refs;
mod refusals;
mod running;
mod settings;
mod terminal;
mod train;
mod verifying;
mod which;
mod world;
