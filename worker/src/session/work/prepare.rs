//! What a lease needs before its agent may begin: its objects, the files under `copy`, and a coordinator that is heard.

use std::time::Duration;

use roundtable_proto::v1;
use roundtable_proto::v1::worker_frame::Frame;
use roundtable_shared::{Lease, LeasePhase, LeaseRef};

use super::super::{Attachment, Runner, RunnerError, deliver, fetch};
use super::Work;

/// How often a worker that is cut off looks whether it is heard again, beside news of its link.
const LISTEN_EVERY: Duration = Duration::from_millis(500);

impl<R: Runner> Work<R> {
    /// Fetches what the lease needs.
    pub(super) async fn prepare(&self, lease: &Lease) -> Result<Vec<Attachment>, RunnerError> {
        let mut client = self.inner.client.subscribe();
        let stops = || RunnerError("the worker stops".to_owned());
        deliver::connected(&mut client).await.ok_or_else(stops)?;
        self.preparing(&lease.lease, "objects");
        let say = || self.preparing(&lease.lease, "objects");
        fetch::start_commit(&mut client, self.inner.runner.as_ref(), lease, say).await?;
        let attachments = fetch::attachments(&mut client, lease).await?;
        self.heard().await;
        Ok(attachments)
    }

    /// Waits until the coordinator is heard. While it is not, nothing new is begun: the seat may be another's by the time it is, and that is told first.
    async fn heard(&self) {
        let mut client = self.inner.client.subscribe();
        while self.inner.fence.is_cut_off() || client.borrow_and_update().is_none() {
            tokio::select! {
                changed = client.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(LISTEN_EVERY) => {}
            }
        }
    }

    /// Says what is being prepared.
    pub(super) fn preparing(&self, lease: &LeaseRef, what: &str) {
        self.update(lease, |held| held.phase = LeasePhase::Preparing);
        self.say(Frame::Preparing(v1::Preparing { lease: Some(lease.into()), what: what.to_owned() }));
    }
}
