//! Whom a command speaks to: something to read from, or something to act on for as long as that takes. Finding the coordinator is `connect`'s.

use std::time::{Duration, Instant};

use roundtable_shared::Mode;
use roundtable_shared::view::{Query, StatusView, SummaryView};

use crate::api::Api;
use crate::args::JsonArg;
use crate::connect;
use crate::context::Context;
use crate::embed::{Embedded, Offline};
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::follow::is_over;
use crate::select::exactly;

/// How long another is given to go on with a run whose coordinator went away.
const TAKE_OVER_WAIT: Duration = Duration::from_secs(10);
/// How long a command that writes waits, in all, for a holder of the data dir that does not answer; then it is named.
const HELD_WAIT: Duration = Duration::from_secs(10);
/// Time between two tries.
const TRY_EVERY: Duration = Duration::from_millis(200);

/// A coordinator for as long as a command needs one to act: the live one, or one of its own on an idle data dir.
pub struct Session {
    /// It answers.
    pub api: Api,
    own: Option<Embedded>,
}

/// Something to read from: the live coordinator, else the data dir.
pub async fn reader(context: &Context) -> Result<Api> {
    Ok(match connect::find(context).await? {
        Some(client) => Api::live(client),
        None => Api::offline(Offline::new(&context.data_dir)),
    })
}

/// Something to read a run from after its coordinator went away. An `orchctl run` that is over takes its coordinator along, and another may take
/// over: then the data dir or the new one tells. `Err` if the run is unfinished and nobody goes on with it.
pub async fn reader_after(context: &Context, lost: Failure, run: &str) -> Result<Api> {
    if context.coordinator.is_some() || lost.exit() != Exit::Unreachable {
        return Err(lost);
    }
    let deadline = Instant::now() + TAKE_OVER_WAIT;
    loop {
        let api = reader(context).await?;
        if api.client().is_some() {
            return Ok(api);
        }
        let status = api.query::<StatusView>(&Query::Status { run: exactly(run) }).await;
        if status.is_ok_and(|status| is_over(&status)) {
            return Ok(api);
        }
        if Instant::now() >= deadline {
            return Err(lost.next("the run is safe: go on with `orchctl run` as before"));
        }
        tokio::time::sleep(TRY_EVERY).await;
    }
}

impl Session {
    /// The live coordinator, else one of our own on the data dir, without workers.
    pub async fn begin(context: &Context) -> Result<Self> {
        let begun = Instant::now();
        if let Some(client) = connect::find(context).await? {
            return Ok(Self { api: Api::live(client), own: None });
        }
        // Finding out that nobody answers took its share of the wait.
        let own = Embedded::for_an_act(&context.data_dir, HELD_WAIT.saturating_sub(begun.elapsed())).await?;
        Ok(Self { api: Api::live(own.client().clone()), own: Some(own) })
    }

    /// What to type so that a run goes on, if nobody else works on it now.
    pub async fn how_to_go_on(&self, context: &Context, run: &str) -> Option<String> {
        self.own.as_ref()?;
        let status: StatusView = self.api.query(&Query::Status { run: exactly(run) }).await.ok()?;
        if is_over(&status) || status.mode == Mode::Manual {
            return None;
        }
        let summary: SummaryView = self.api.query(&Query::Summary { run: exactly(run) }).await.ok()?;
        let summary = context.with_commands(summary, JsonArg::default());
        Some(format!("nobody is working on it now; go on with\n  {}", summary.resume))
    }

    /// Ends what was started for it.
    pub async fn end(self) {
        if let Some(own) = self.own {
            own.stop().await;
        }
    }
}
