//! `orchctl down`.

use std::time::{Duration, Instant};

use roundtable_runtime::lock::holder_of;
use serde::Serialize;

use super::answer;
use crate::args::DownArgs;
use crate::connect;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result};

/// How long the end of a coordinator is waited for: its agents are stopped and their work is saved first.
const END_WAIT: Duration = Duration::from_secs(60);
/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What was ended.
#[derive(Serialize)]
struct DownView {
    /// Whether one was running.
    was_running: bool,
    pid: Option<u32>,
}

pub(super) async fn run(context: &Context, args: &DownArgs) -> Result<Exit> {
    let Some(client) = connect::find(context).await? else {
        answer(args.json, &DownView { was_running: false, pid: None }, |_, _| {
            format!("no coordinator is running on {}\n", context.data_dir.display())
        })?;
        return Ok(Exit::Complete);
    };
    let info = client.info().await?;
    client.shutdown(true).await?;
    let deadline = Instant::now() + END_WAIT;
    // Only on this machine can its end be seen; elsewhere it was asked to end, and said yes.
    while context.coordinator.is_none() && holder_of(&context.data_dir).is_some_and(|holder| holder.pid == info.pid) {
        if Instant::now() >= deadline {
            return Err(Failure::failed(format!("the coordinator (pid {}) has not ended within {} s", info.pid, END_WAIT.as_secs()))
                .next(format!("look at what it does: orchctl workers; or end it: kill {}", info.pid)));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let done = DownView { was_running: true, pid: Some(info.pid) };
    answer(args.json, &done, |_, _| format!("ended the coordinator (pid {}) and its workers; runs go on with `orchctl run`\n", info.pid))?;
    Ok(Exit::Complete)
}
