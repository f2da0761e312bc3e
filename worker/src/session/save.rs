//! Work in progress: what a running attempt has done so far is committed and handed in every so often. If this worker is lost, another one goes on from
//! there. None of it is owed: what fails is tried again with the next round, and the attempt's own commit comes at its end in any case.

use std::time::Duration;

use roundtable_proto::convert::{message_of, told_code_of};
use roundtable_shared::CommitId;
use roundtable_shared::error::ErrorCode;
use tokio::time::MissedTickBehavior;
use tonic::Code;
use tracing::{debug, info};

use super::bulk::Bulk;
use super::deliver::{self, Client};
use super::large::LargePack;
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
        let mut known = Known::default();
        loop {
            rhythm.tick().await;
            if let Err(End) = round(&spool, runner, &mut client, &mut known).await {
                break;
            }
            tokio::time::sleep(rest_after(std::mem::take(&mut known.sent))).await;
        }
    }
    std::future::pending().await
}

/// A state of the work, and what had been reported as done by then.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Saved {
    commit: CommitId,
    done: Vec<String>,
}

/// What is known from one round to the next.
#[derive(Default)]
struct Known {
    /// What the coordinator has, as far as is known.
    saved: Option<Saved>,
    /// What a cut has interrupted: its rest goes before anything newer.
    interrupted: Option<(Saved, LargePack)>,
    /// Bytes that this round has sent.
    sent: u64,
}

/// There is nobody to hand anything in to, or nobody who wants it.
struct End;

/// One round.
async fn round(spool: &AttemptSpool, runner: &impl Runner, client: &mut Client, known: &mut Known) -> Result<(), End> {
    let lease = spool.lease();
    let Some(bulk) = deliver::connected(client).await else { return Err(End) };
    if let Some((saved, rest)) = known.interrupted.take()
        && !hand_in(spool, runner, &bulk, saved, Some(rest), known).await?
    {
        return Ok(());
    }
    // Asked before the look: what was reported by now is in what is found.
    let done = spool.done();
    let commit = match runner.in_progress(lease).await {
        Ok(Some(commit)) => commit,
        Ok(None) => return Ok(()),
        Err(RunnerError(why)) => {
            debug!(lease = %lease.lease.key, why, "what is done so far could not be committed; with the next round");
            return Ok(());
        }
    };
    let now = Saved { commit, done };
    if known.saved.as_ref() != Some(&now) {
        hand_in(spool, runner, &bulk, now, None, known).await?;
    }
    Ok(())
}

/// Sends it, or the rest of it; whether it is there now.
async fn hand_in(
    spool: &AttemptSpool,
    runner: &impl Runner,
    bulk: &Bulk,
    now: Saved,
    mut large: Option<LargePack>,
    known: &mut Known,
) -> Result<bool, End> {
    let lease = spool.lease();
    let link = match bulk.lend().await {
        Ok(link) => link,
        Err(error) => {
            debug!(lease = %lease.lease.key, %error, "what is done so far could not be sent; with the next round");
            known.interrupted = large.map(|pack| (now, pack));
            return Ok(false);
        }
    };
    // It may have lost what it had: unless this comes, nothing is counted on.
    let before = known.saved.take();
    let what = (&now.commit, now.done.clone());
    match put::save_work(&link.client(), runner, spool, what, before.as_ref().map(|before| &before.commit), &mut large).await {
        Ok(sent) => {
            known.sent = known.sent.saturating_add(sent);
            known.saved = Some(now);
            Ok(true)
        }
        Err(PutError::Status(status)) if status.code() == Code::Unimplemented => {
            info!("the coordinator is of an older release and keeps no work in progress");
            Err(End)
        }
        Err(PutError::Status(status)) => {
            let told = told_code_of(&status);
            link.failed(told);
            // What it refused is refused again; what a cut, a certificate that ended or want of room stopped is gone on with.
            if matches!(told, None | Some(ErrorCode::Exhausted | ErrorCode::NotAuthorised)) {
                known.interrupted = large.map(|pack| (now, pack));
            } else if told == Some(ErrorCode::InvalidInput)
                && let Some(pack) = large
            {
                // It is too large, and the next one is no smaller: making it took this disk as much as sending it takes the link.
                known.sent = known.sent.saturating_add(pack.bytes);
            }
            debug!(lease = %lease.lease.key, why = message_of(&status), "what is done so far was not taken; with the next round");
            Ok(false)
        }
        Err(PutError::Runner(RunnerError(why))) => {
            debug!(lease = %lease.lease.key, why, "what is done so far could not be sent; with the next round");
            Ok(false)
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
