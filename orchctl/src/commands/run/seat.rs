//! Where a run is steered from: the coordinator that is there, or one of our own.

use std::time::{Duration, Instant};

use crate::api::{Api, Client};
use crate::connect;
use crate::context::Context;
use crate::embed::{Embedded, NotStarted};
use crate::exit::Exit;
use crate::failure::{Failure, Result};

/// How long a coordinator that holds the data dir but does not answer yet (or any more) is waited for.
const HELD_WAIT: Duration = Duration::from_secs(10);
/// How long a served coordinator that went away is waited for: it may be restarting.
const RETURN_WAIT: Duration = Duration::from_secs(60);
/// Time between two tries.
const TRY_EVERY: Duration = Duration::from_millis(200);

/// Whose coordinator it is.
pub(in crate::commands) enum Seat {
    /// Ours: it ends with this process.
    Own(Box<Embedded>),
    /// Another process's.
    Theirs {
        /// Calls go through this.
        client: Client,
        /// It belongs to an `orchctl run`, and ends with that.
        embedded: bool,
    },
}

impl Seat {
    /// Joins the coordinator that was named or is alive; with none, starts one.
    pub(in crate::commands) async fn take(context: &Context) -> Result<Self> {
        let deadline = Instant::now() + HELD_WAIT;
        loop {
            if let Some(theirs) = Self::theirs(context).await? {
                return Ok(theirs);
            }
            match Embedded::start(&context.data_dir, "orchctl run").await {
                Ok(own) => return Ok(Self::Own(Box::new(own))),
                Err(NotStarted::Failed(failure)) => return Err(failure),
                // Its holder starts or ends right now; soon it answers, or the data dir is free.
                Err(NotStarted::Held(failure)) if Instant::now() >= deadline => return Err(failure),
                Err(NotStarted::Held(_)) => tokio::time::sleep(TRY_EVERY).await,
            }
        }
    }

    /// After the coordinator went away: takes over from an `orchctl run`, waits for a served one.
    pub(in crate::commands) async fn take_again(context: &Context, was_embedded: bool, lost: Failure) -> Result<Self> {
        if was_embedded && context.coordinator.is_none() {
            return Self::take(context).await;
        }
        let deadline = Instant::now() + RETURN_WAIT;
        loop {
            match Self::theirs(context).await {
                Ok(Some(theirs)) => return Ok(theirs),
                Err(failure) if failure.exit() != Exit::Unreachable => return Err(failure),
                _ if Instant::now() >= deadline => {
                    return Err(lost.next("the run itself is safe: start the coordinator again, then this command"));
                }
                _ => tokio::time::sleep(TRY_EVERY).await,
            }
        }
    }

    /// The coordinator that was named or is alive, with whose it is. One that goes away between the two is named again by the caller's next try.
    async fn theirs(context: &Context) -> Result<Option<Self>> {
        let Some(client) = connect::find(context).await? else { return Ok(None) };
        match client.info().await {
            Ok(info) => Ok(Some(Self::Theirs { client, embedded: info.embedded })),
            Err(failure) if failure.exit() == Exit::Unreachable && context.coordinator.is_none() => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// To ask and act.
    pub(in crate::commands) fn api(&self) -> Api {
        Api::live(self.client().clone())
    }

    /// Calls go through this.
    pub(in crate::commands) fn client(&self) -> &Client {
        match self {
            Self::Own(own) => own.client(),
            Self::Theirs { client, .. } => client,
        }
    }

    /// Whether it belongs to an `orchctl run`, ours or another's.
    pub(in crate::commands) fn is_embedded(&self) -> bool {
        match self {
            Self::Own(_) => true,
            Self::Theirs { embedded, .. } => *embedded,
        }
    }

    /// Returns when our own coordinator was asked to end or cannot go on; never for another's.
    pub(in crate::commands) async fn ended(&mut self) -> Result<()> {
        match self {
            Self::Own(own) => own.ended().await,
            Self::Theirs { .. } => std::future::pending().await,
        }
    }

    /// Whether it belongs to another's `orchctl run` that is ending, and has ended: its agents are done by now, so it takes a moment.
    pub(in crate::commands) async fn anothers_run_ended(&self) -> bool {
        let Self::Theirs { client, embedded: true } = self else { return false };
        let deadline = Instant::now() + HELD_WAIT;
        while client.info().await.is_ok() {
            if Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(TRY_EVERY).await;
        }
        true
    }

    /// Ends our own.
    pub(in crate::commands) async fn leave(self) {
        if let Self::Own(own) = self {
            own.stop().await;
        }
    }
}
