//! `orchctl drain` and `undrain`: a worker gets nothing more, or work again. The coordinator alone sees to it; the worker need not even be there.

use std::io::Write;
use std::time::Duration;

use roundtable_runtime::shutdown;
use roundtable_shared::view::{Operation, OperationAct, Query, RunSelector, WorkerView};

use super::act::after_act;
use crate::api::Api;
use crate::args::{DrainArgs, UndrainArgs};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::session::Session;

/// How often it is looked whether a worker is empty.
const LOOK_EVERY: Duration = Duration::from_millis(500);

pub(super) async fn drain(context: &Context, args: &DrainArgs) -> Result<Exit> {
    let session = Session::begin(context).await?;
    let mut done = session.api.operate(&of_fleet(OperationAct::Drain { worker: args.worker.clone() })).await;
    if args.wait && done.is_ok() {
        let (_trigger, asked) = shutdown::on_signals().map_err(|error| Failure::failed("signals cannot be handled").why(error))?;
        let emptied = tokio::select! {
            emptied = emptied(&session.api, &args.worker) => emptied,
            () = asked.draining() => {
                session.end().await;
                return Ok(Exit::Interrupted);
            }
        };
        done = done.and_then(|reply| emptied.map(|()| reply));
        if let Ok(reply) = &mut done {
            reply.text = format!("worker {0} is drained and holds nothing; `orchctl undrain {0}` gives it work again", args.worker);
        }
    }
    after_act(context, session, args.json, done).await
}

pub(super) async fn undrain(context: &Context, args: &UndrainArgs) -> Result<Exit> {
    let session = Session::begin(context).await?;
    let done = session.api.operate(&of_fleet(OperationAct::Undrain { worker: args.worker.clone() })).await;
    after_act(context, session, args.json, done).await
}

fn of_fleet(act: OperationAct) -> Operation {
    Operation { run: RunSelector::default(), all: false, act }
}

/// Returns once the coordinator knows of nothing that the worker holds.
async fn emptied(api: &Api, worker: &str) -> Result<()> {
    let mut told = 0;
    loop {
        let workers: Result<Vec<WorkerView>> = api.query(&Query::Workers).await;
        let workers =
            workers.map_err(|lost| lost.next(format!("the drain itself holds; wait again with `orchctl drain {worker} --wait`")))?;
        let held = workers.iter().find(|each| each.id == worker).map_or(0, |found| found.leases.len());
        if held == 0 {
            return Ok(());
        }
        if held != told {
            // Whoever closed standard error does not want to read it.
            let _ = writeln!(std::io::stderr(), "waiting for {held} {} on {worker}", if held == 1 { "attempt" } else { "attempts" });
            told = held;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
