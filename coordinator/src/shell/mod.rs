//! The shell: carries out effects after the append, each in a task of its own, and tells the driver what came of it. It decides nothing; every effect is
//! idempotent, and one whose answer got lost in a crash is owed again by the state.

mod facts;
mod grant;
mod integrate;

use roundtable_core::Core;
use roundtable_core::command::{Command, ShellAnswer};
use roundtable_core::effect::Effect;
use roundtable_proto::v1;
use roundtable_shared::RunId;
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::driver::{Handle, HandleError, Sessions};
use crate::grpc::frame;
use crate::parts::Parts;
use crate::repository::{Repository, RepositoryError};

/// Effects that wait to be taken.
pub(crate) const EFFECTS_MAX: usize = 4096;

/// Takes effects until the driver ends.
pub(crate) async fn run(parts: Parts, mut effects: mpsc::Receiver<Effect>) {
    while let Some(effect) = effects.recv().await {
        match effect {
            Effect::Grant(grant) => {
                crate::tasks::spawn("grant", grant::carry_out(parts.clone(), *grant));
            }
            Effect::Revoke { worker, lease, reason } => {
                let revoke = v1::Revoke { lease: Some((&lease).into()), reason };
                parts.sessions.send(&worker, None, frame(v1::coordinator_frame::Frame::Revoke(revoke)));
            }
            Effect::EndSession { worker, session } => parts.sessions.close(&worker, session),
            Effect::PrepareIntegration(asked) => {
                crate::tasks::spawn("integrate", integrate::prepare(parts.clone(), *asked));
            }
            Effect::MoveBranch { run, old, new } => {
                crate::tasks::spawn("move-branch", integrate::move_branch(parts.clone(), run, old, new));
            }
            Effect::MergeWithTip { run, unit, base, commit, tip } => {
                crate::tasks::spawn("merge", integrate::merge_with_tip(parts.clone(), run, unit, base, commit, tip));
            }
            Effect::CloseRun { run, tip, ticks, learnings } => {
                crate::tasks::spawn("close", integrate::close(parts.clone(), run, tip, ticks, learnings));
            }
            Effect::Notice { run, text } => info!(%run, "{text}"),
        }
    }
}

/// Why an effect came to nothing.
#[derive(Debug, thiserror::Error)]
enum ShellError {
    #[error(transparent)]
    Driver(#[from] HandleError),
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    #[error("{0}")]
    Gone(String),
}

/// The repository of a run.
async fn repository_of(parts: &Parts, run: &RunId) -> Result<Repository, ShellError> {
    let key = parts.links.handle.read(|core: &Core, _| core.state.run(run).map(|run| run.origin.source.repository.clone()));
    let key = key.ok_or_else(|| ShellError::Gone(format!("run {run} is not there any more")))?;
    Ok(parts.repositories.open(&key).await?)
}

/// Tells the driver; if it has stopped there is nobody to tell, and the state owes the effect again.
async fn answer(handle: &Handle, answer: ShellAnswer) {
    if let Err(error) = handle.tell(Command::Shell(answer)).await {
        warn!(%error, "an effect's answer found no driver");
    }
}

/// Sends a frame to a session.
fn send(sessions: &Sessions, worker: &roundtable_shared::WorkerId, session: u64, message: v1::coordinator_frame::Frame) -> bool {
    sessions.send(worker, Some(session), frame(message))
}
