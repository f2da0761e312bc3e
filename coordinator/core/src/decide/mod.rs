//! Commands to transitions. One verb, one file; each handler checks first and may refuse, then acts and cannot.
//!
//! Handlers work on a transaction (`txn`); what follows by itself from what they decide is `settle`. Nothing here reads a clock or does IO.

mod access;
mod lease;
mod operate;
mod report;
mod shell;
mod submit;
mod tick;
mod worker;

pub use access::{TOKEN_TTL_MS_MAX, TOKEN_USES_MAX};

use crate::change::Rejection;
use crate::command::Command;
use crate::txn::Txn;

/// Decides a command; what follows from it is `settle`'s.
pub(crate) fn decide(d: &mut Txn<'_>, command: Command) -> Result<(), Rejection> {
    match command {
        Command::Submit(submit) => submit::submit(d, *submit)?,
        Command::Operate(act) => operate::operate(d, act)?,
        Command::Access(command) => access::access(d, command)?,
        Command::WorkerHello(hello) => worker::hello(d, *hello)?,
        Command::WorkerGone { worker, session } => worker::gone(d, &worker, session),
        Command::WorkerGoodbye { worker, session } => worker::goodbye(d, &worker, session),
        Command::WorkerDraining { worker, session } => worker::leaving(d, &worker, session)?,
        Command::Want { worker, session, pool, credits } => worker::want(d, &worker, session, pool, credits)?,
        Command::BackendChanged { worker, session, offer } => worker::backend_changed(d, &worker, session, offer)?,
        Command::Heartbeat { worker, session, held } => worker::heartbeat(d, &worker, session, held)?,
        Command::LeaseAccepted { worker, lease } => lease::accepted(d, &worker, &lease),
        Command::LeasePreparing { worker, lease } => lease::preparing(d, &worker, &lease),
        Command::LeaseStarted { worker, lease } => lease::started(d, &worker, &lease),
        Command::LeaseServed { worker, lease } => lease::served(d, &worker, &lease),
        Command::WorkSaved { worker, lease, saved } => lease::saved(d, &worker, &lease, saved),
        Command::LeaseEnding { worker, lease } => lease::ending(d, &worker, &lease),
        Command::HandBack { worker, lease, reason, fault } => lease::hand_back(d, &worker, &lease, &reason, fault),
        Command::Report(report) => report::report(d, *report),
        Command::Shell(answer) => shell::answer(d, answer),
        Command::Tick => tick::tick(d),
    }
    Ok(())
}
