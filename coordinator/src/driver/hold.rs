//! While the log cannot be written: the batch waits and is tried again, heartbeats are answered from memory and published, and whoever asks for a change is
//! told to ask again. What was published last is what is durable, so that reads need nothing of this. Commands that nobody waits for, and would not come again, are kept.

use std::sync::Arc;
use std::time::Duration;

use roundtable_core::command::Command;
use roundtable_core::{Pending, Rejection, Reply};
use roundtable_shared::error::ErrorCode;
use roundtable_store::Appended;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

use super::handle::Message;
use super::{Driver, DriverError, Waiting, encode_transition};

/// First pause before the append is tried again; doubles.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// Who waits for the batch itself is told so after this, and asks again.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// Once the coordinator ends, an append is given up that has been refused for this long.
const END_WITHIN: Duration = Duration::from_secs(2);
/// Commands that are kept meanwhile; beyond it whoever sends them waits.
pub(super) const KEPT_MAX: usize = 4096;

/// What is said of a store that cannot be written, in `status` too.
pub fn problem(detail: &str) -> String {
    format!("the data directory cannot be written: {detail}; retrying, nothing is lost")
}

impl Driver {
    /// Makes the batch durable. An append that is refused whole is tried again for as long as it takes; any other failure ends the driver.
    pub(super) async fn append(
        &mut self,
        pending: &mut Pending<Waiting>,
        shutdown: &mut watch::Receiver<bool>,
    ) -> Result<Appended, DriverError> {
        let mut pause = PAUSE_MIN;
        let began = Instant::now();
        // What was said of the last refusal.
        let mut held: Option<String> = None;
        loop {
            let rows = pending.transitions().iter().map(encode_transition).collect::<Result<Vec<_>, _>>()?;
            let (count, bytes) = (rows.len() as u64, rows.iter().map(|row| row.body.len() as u64).sum());
            let error = match self.parts.log.append(self.head, rows).await {
                Ok(appended) => {
                    self.snapshotter.note(count, bytes);
                    if held.is_some() {
                        info!("the log can be written again");
                        self.trouble.send_replace(None);
                    }
                    return Ok(appended);
                }
                Err(error) => error,
            };
            let Some(detail) = error.refused().map(str::to_owned) else { return Err(error.into()) };
            let is_ending = *shutdown.borrow();
            if is_ending && began.elapsed() >= END_WITHIN {
                return Err(error.into());
            }
            if held.as_ref() != Some(&detail) {
                warn!(%error, "the append was refused; trying again until it is not");
                self.trouble.send_replace(Some(detail.clone()));
                held = Some(detail.clone());
            }
            if is_ending || began.elapsed() >= ANSWER_WITHIN {
                pending.dismiss().into_iter().flatten().for_each(|waiting| drop(waiting.send(Err(kept(&detail)))));
            }
            self.meanwhile(&detail, Instant::now() + pause, shutdown).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Serves what can be served until then.
    async fn meanwhile(&mut self, detail: &str, until: Instant, shutdown: &mut watch::Receiver<bool>) {
        let was_ending = *shutdown.borrow();
        loop {
            let message = tokio::select! {
                biased;
                () = tokio::time::sleep_until(until) => return,
                _ = shutdown.wait_for(|stop| *stop), if !was_ending => return,
                message = self.queue.recv(), if self.kept.len() < KEPT_MAX => message,
            };
            match message {
                Some(Message { command, waiting: Some(waiting) }) => drop(waiting.send(self.answer_held(detail, &command))),
                Some(Message { command, waiting: None }) if self.is_moot(&command) => {}
                Some(kept) => self.kept.push_back(kept),
                // The queue is closed and empty, or nobody is left to send.
                None => return tokio::time::sleep_until(until).await,
            }
        }
    }

    /// Whether a command changes nothing, now or later: the end of a session whose hello was refused meanwhile. A fleet that joins in vain for hours must not
    /// fill the room of what is kept.
    fn is_moot(&self, command: &Command) -> bool {
        let Command::WorkerGone { worker, session } = command else { return false };
        self.core.fleet.workers.get(worker).is_none_or(|known| known.session != *session)
    }

    /// A heartbeat keeps all it lists, so that no link breaks and nothing is stopped meanwhile; anything else is to be asked again.
    fn answer_held(&mut self, detail: &str, command: &Command) -> Result<Reply, Rejection> {
        let now = self.now();
        if let Command::Heartbeat { worker, session, .. } = command
            && let Some(known) = self.core.fleet.workers.get_mut(worker)
            && known.session == *session
        {
            known.saw(now);
            let drain = known.drained_ms.is_some();
            self.readers.send_replace(Arc::new(self.publisher.publish_fleet(&self.core)));
            return Ok(Reply::Heartbeat { revoke: Vec::new(), drain });
        }
        let text = format!("{}; nothing of this was done: try again in a moment", problem(detail));
        Err(Rejection { code: ErrorCode::Exhausted, text })
    }
}

/// To whoever waits for the batch itself.
fn kept(detail: &str) -> Rejection {
    let text = format!("{}; this is kept and done as soon as it can be: ask again in a moment", problem(detail));
    Rejection { code: ErrorCode::Exhausted, text }
}

#[cfg(test)]
mod tests {
    use roundtable_store::AppendError;

    #[test]
    fn a_refusal_is_tried_again_and_an_unknown_result_is_not() {
        assert_eq!(AppendError::Full.refused(), Some("No space left on device"));
        assert!(AppendError::Unwritable { detail: "Read-only file system".to_owned() }.refused().is_some());
        assert_eq!(AppendError::Io { detail: "Input/output error".to_owned() }.refused(), None);
        assert_eq!(AppendError::Deposed { epoch: 1, by: 2 }.refused(), None);
    }
}
