//! Being asked to end: once means drain, twice means stop now. Signals come in here and nowhere else.

use tokio::sync::watch;

/// How urgently the process is asked to end; only ever grows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Stage {
    /// Not at all.
    #[default]
    Running,
    /// Take nothing new, finish or hand back, save, end.
    Draining,
    /// Stop now; work is saved as it is.
    Stopping,
}

/// Who asked last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// Ctrl-C.
    Interrupt,
    /// SIGTERM (or SIGHUP of a lost terminal).
    Terminate,
    /// A request through our own interface.
    Request,
}

/// What is asked at present.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Asked {
    stage: Stage,
    cause: Option<Cause>,
}

/// Watches for the wish to end. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<Asked>);

/// Expresses the wish to end. When all are dropped, nobody can ask any more.
#[derive(Clone, Debug)]
pub struct Trigger(std::sync::Arc<watch::Sender<Asked>>);

/// A trigger and its watcher, without signals: for tests and for parts of a process that end by themselves.
pub fn manual() -> (Trigger, Shutdown) {
    let (sender, receiver) = watch::channel(Asked::default());
    (Trigger(std::sync::Arc::new(sender)), Shutdown(receiver))
}

/// A trigger and its watcher that SIGINT, SIGTERM and SIGHUP also pull, each time once. Must be called on a runtime.
pub fn on_signals() -> std::io::Result<(Trigger, Shutdown)> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let (trigger, shutdown) = manual();
    let pulled = trigger.clone();
    tokio::spawn(async move {
        loop {
            let cause = tokio::select! {
                Some(()) = interrupt.recv() => Cause::Interrupt,
                Some(()) = terminate.recv() => Cause::Terminate,
                Some(()) = hangup.recv() => Cause::Terminate,
                else => return,
            };
            tracing::info!(?cause, "asked to end");
            pulled.pull(cause);
        }
    });
    Ok((trigger, shutdown))
}

impl Trigger {
    /// Asks once more: drain, then stop.
    pub fn pull(&self, cause: Cause) {
        self.0.send_modify(|asked| {
            asked.stage = if asked.stage == Stage::Running { Stage::Draining } else { Stage::Stopping };
            asked.cause = Some(cause);
        });
    }

    /// Asks to stop at once.
    pub fn stop(&self, cause: Cause) {
        self.0.send_modify(|asked| *asked = Asked { stage: Stage::Stopping, cause: Some(cause) });
    }
}

impl Shutdown {
    /// What is asked now.
    pub fn stage(&self) -> Stage {
        self.0.borrow().stage
    }

    /// Who asked last, if anyone did.
    pub fn cause(&self) -> Option<Cause> {
        self.0.borrow().cause
    }

    /// Ends when asked to drain or stop.
    pub async fn draining(&self) {
        self.reached(Stage::Draining).await;
    }

    /// Ends when asked to stop.
    pub async fn stopping(&self) {
        self.reached(Stage::Stopping).await;
    }

    /// Never ends when nobody is left who could ask.
    async fn reached(&self, stage: Stage) {
        let mut receiver = self.0.clone();
        if receiver.wait_for(|asked| asked.stage >= stage).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn once_drains_twice_stops() {
        let (trigger, shutdown) = manual();
        assert_eq!(shutdown.stage(), Stage::Running);
        let waiting = tokio::spawn({
            let shutdown = shutdown.clone();
            async move {
                shutdown.draining().await;
                shutdown.stopping().await;
            }
        });
        trigger.pull(Cause::Interrupt);
        assert_eq!((shutdown.stage(), shutdown.cause()), (Stage::Draining, Some(Cause::Interrupt)));
        trigger.pull(Cause::Terminate);
        assert_eq!(shutdown.stage(), Stage::Stopping);
        tokio::time::timeout(Duration::from_secs(30), waiting).await.unwrap().unwrap();
        trigger.pull(Cause::Request);
        assert_eq!(shutdown.stage(), Stage::Stopping);
    }

    #[tokio::test]
    async fn signals_pull_it() {
        let (_trigger, shutdown) = on_signals().unwrap();
        let own = rustix::process::getpid();
        rustix::process::kill_process(own, rustix::process::Signal::TERM).unwrap();
        tokio::time::timeout(Duration::from_secs(30), shutdown.draining()).await.unwrap();
        rustix::process::kill_process(own, rustix::process::Signal::INT).unwrap();
        tokio::time::timeout(Duration::from_secs(30), shutdown.stopping()).await.unwrap();
        assert_eq!(shutdown.cause(), Some(Cause::Interrupt));
    }

    #[tokio::test]
    async fn without_a_trigger_it_waits_for_ever() {
        let (trigger, shutdown) = manual();
        drop(trigger);
        let mut waiting = Box::pin(shutdown.draining());
        for _ in 0..10 {
            let polled = std::future::poll_fn(|context| std::task::Poll::Ready(waiting.as_mut().poll(context))).await;
            assert!(polled.is_pending());
        }
    }
}
