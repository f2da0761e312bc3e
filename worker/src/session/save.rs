//! Work in progress: what a running attempt has done so far is committed and handed in every so often. If this worker is lost, another one goes on from
//! there. None of it is owed: what fails is tried again with the next round, and the attempt's own commit comes at its end in any case.

use std::time::Duration;

use roundtable_proto::convert::{message_of, told_code_of};
use roundtable_shared::CommitId;
use tokio::time::MissedTickBehavior;
use tonic::Code;
use tracing::{debug, info};

use super::deliver::{self, Client};
use super::put::{self, PutError};
use super::{Runner, RunnerError};
use crate::spool::AttemptSpool;

/// How often, unless the lease says otherwise: with the time that a round takes, at least once a minute.
const EVERY: Duration = Duration::from_secs(40);
/// Not more often than that, whatever a lease says.
const EVERY_MIN: Duration = Duration::from_millis(250);
/// What all of it may come to, bytes a second: the coordinator keeps what was replaced for as long as the run. Large ones come less often for that.
const BYTES_PER_SECOND: u64 = 512 << 10;

/// Hands in what an attempt has done so far, in a rhythm, for as long as it is polled.
pub(super) async fn keep_up(spool: AttemptSpool, runner: &impl Runner, mut client: Client) {
    let every = every(spool.lease().save_ms);
    if spool.lease().role.writes() {
        let mut rhythm = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
        rhythm.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut saved = None;
        loop {
            rhythm.tick().await;
            let mut bytes = 0;
            match round(&spool, runner, &mut client, saved.as_ref(), &mut bytes).await {
                Ok(now) => saved = now,
                Err(End) => break,
            }
            tokio::time::sleep(rest_after(bytes)).await;
        }
    }
    std::future::pending().await
}

/// What the coordinator has of it.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Saved {
    commit: CommitId,
    done: Vec<String>,
}

/// There is nobody to hand anything in to, or nobody who wants it.
struct End;

/// One round; what the coordinator has after it, as far as is known, and what was sent for that.
async fn round(
    spool: &AttemptSpool,
    runner: &impl Runner,
    client: &mut Client,
    before: Option<&Saved>,
    bytes: &mut u64,
) -> Result<Option<Saved>, End> {
    let lease = spool.lease();
    let Some(bulk) = deliver::connected(client).await else { return Err(End) };
    // Asked before the look: what was reported by now is in what is found.
    let done = spool.done();
    let commit = match runner.in_progress(lease).await {
        Ok(Some(commit)) => commit,
        Ok(None) => return Ok(before.cloned()),
        Err(RunnerError(why)) => {
            debug!(lease = %lease.lease.key, why, "what is done so far could not be committed; with the next round");
            return Ok(before.cloned());
        }
    };
    let now = Saved { commit, done };
    if before == Some(&now) {
        return Ok(Some(now));
    }
    let link = match bulk.lend().await {
        Ok(link) => link,
        Err(error) => {
            debug!(lease = %lease.lease.key, %error, "what is done so far could not be sent; with the next round");
            return Ok(before.cloned());
        }
    };
    match put::save_work(&link.client(), runner, lease, &now.commit, now.done.clone(), before.map(|before| &before.commit)).await {
        Ok(sent) => {
            *bytes = sent;
            Ok(Some(now))
        }
        Err(PutError::Status(status)) if status.code() == Code::Unimplemented => {
            info!("the coordinator is of an older release and keeps no work in progress");
            Err(End)
        }
        Err(PutError::Status(status)) => {
            if told_code_of(&status).is_none() {
                link.broke();
            }
            debug!(lease = %lease.lease.key, why = message_of(&status), "what is done so far was not taken; with the next round");
            // It may have lost what it had.
            Ok(None)
        }
        Err(PutError::Runner(RunnerError(why))) => {
            debug!(lease = %lease.lease.key, why, "what is done so far could not be sent; with the next round");
            Ok(None)
        }
    }
}

fn every(save_ms: u64) -> Duration {
    if save_ms == 0 { EVERY } else { Duration::from_millis(save_ms).max(EVERY_MIN) }
}

/// How long nothing more is sent after so much.
fn rest_after(bytes: u64) -> Duration {
    Duration::from_millis(bytes.saturating_mul(1_000) / BYTES_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_work_comes_less_often() {
        assert!(rest_after(0).is_zero() && rest_after(2 << 20) < EVERY);
        assert_eq!(rest_after(256 << 20), Duration::from_secs(512));
    }

    #[test]
    fn a_lease_that_says_nothing_is_saved_at_least_once_a_minute() {
        assert!(every(0) <= Duration::from_secs(45));
        assert_eq!(every(2_000), Duration::from_secs(2));
        assert_eq!(every(1), EVERY_MIN);
    }
}
