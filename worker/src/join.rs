//! Joining: workspace, identity, backends, the link, and an orderly end. The same for `worker join` and for the workers of an embedded run.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use roundtable_runtime::clock::SystemClock;
use roundtable_runtime::identity::{ClientFile, Credentials, IdentityError};
use roundtable_runtime::shutdown::Shutdown;
use roundtable_runtime::tls::{ConnectError, check_address, connect_asking, lazily_asking};
use roundtable_shared::{Introduction, OWN_LABELS};
use tokio::sync::watch;
use tonic::transport::Channel;
use tracing::{info, warn};

use crate::args::OnPartition;
use crate::host::{AgentHost, HostOptions};
use crate::identity::Identity;
use crate::place::Place;
use crate::session::{Dial, DialError, Fence, LinkEnd, Work, keep};
use crate::spool::Spool;
use crate::tmux::Tmux;

pub use crate::error::JoinError;
pub use crate::options::JoinOptions;

/// After a second request to stop, everything ends within this.
const STOP_WITHIN: Duration = Duration::from_secs(10);
/// A worker that drains and has nothing left but to hand in waits this long for a coordinator that is away.
const HAND_IN_WITHIN: Duration = Duration::from_secs(5);
/// How often the end conditions of `--once` and `--max-idle` are looked at beside changes.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often `client.json` is looked at while there is no link.
const NEWS_EVERY: Duration = Duration::from_millis(100);
/// Refusals of our certificate in a row after which we believe it: a coordinator that is being stopped also breaks handshakes.
const REFUSALS_MAX: u32 = 5;

/// Joins and works until asked to stop. `joined` is set true once the worker can take work.
pub async fn join(options: JoinOptions, shutdown: Shutdown, joined: watch::Sender<bool>) -> Result<(), JoinError> {
    if let Some(address) = &options.coordinator {
        check_address(address).map_err(|error| JoinError::Usage(error.to_string()))?;
    }
    options.quotas.check().map_err(JoinError::Usage)?;
    let place = Place::claim(&options)?;
    let workspace = place.workspace.clone();
    let identity = Arc::new(Identity::find(&options, &place.name, &workspace).await?);
    let tmux = match &options.tmux {
        Some(session) => Tmux::open(session, &workspace).await,
        None => None,
    };
    let host_options = HostOptions {
        workspace: workspace.clone(),
        shared: options.data_dir.clone(),
        host: Arc::clone(&options.host),
        backends: options.backends.clone(),
        park_probe: options.park_probe,
        tmux: tmux.clone(),
        quotas: options.quotas,
    };
    let runner = Arc::new(AgentHost::open(host_options).await?);
    let spool = Spool::open(workspace.join("spool"))?.keeping(options.keep);
    let introduction = Introduction {
        incarnation: place.next_incarnation()?,
        name: identity.name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        labels: labels(&options),
        backends: Vec::new(),
        held: Vec::new(),
        repositories: Vec::new(),
        origin: place.origin()?,
    };
    let left = spool.left_behind()?;
    let work = Work::new(runner, spool, introduction, joined, options.once, Fence::new(Arc::new(SystemClock)));
    work.take_up(left).await;
    let dial = Arc::new(ClientDial {
        options: options.clone(),
        identity: Arc::clone(&identity),
        refusals: AtomicU32::new(0),
        read: std::sync::Mutex::default(),
    });
    let (stop_link, stopped) = watch::channel(false);
    let link = keep(&dial, &work, stopped, options.patience);
    tokio::pin!(link);
    let ended = tokio::select! {
        ended = &mut link => ended,
        () = until_done(&work, &options, &shutdown) => {
            stop_link.send_replace(true);
            link.await
        }
        // Neither ends by itself.
        () = work.attend() => Ok(()),
        () = identity.look_after() => Ok(()),
        () = work.stop_when_cut_off(), if options.on_partition == OnPartition::Stop => Ok(()),
    };
    if let Some(tmux) = tmux {
        tmux.close().await;
    }
    match ended {
        Ok(()) => Ok(()),
        Err(LinkEnd::Unreachable(why)) => Err(JoinError::Unreachable(format!(
            "{why}\n  start a coordinator with `coordinator serve`, or name a running one: `worker join https://HOST:7420 …`"
        ))),
        Err(LinkEnd::Refused(why)) => Err(JoinError::Refused(why)),
    }
}

/// The labels asked for, and what the worker knows of itself: its operating system and its processor.
fn labels(options: &JoinOptions) -> BTreeMap<String, String> {
    let own = OWN_LABELS.into_iter().zip([std::env::consts::OS, std::env::consts::ARCH]);
    let own = own.map(|(key, value)| (key.to_owned(), value.to_owned()));
    own.chain(options.labels.clone()).collect()
}

/// Returns when the worker is to leave: asked to (drained, or stopped with its work saved), done (`--once`) or idle too long.
async fn until_done(work: &Work<AgentHost>, options: &JoinOptions, shutdown: &Shutdown) {
    let mut changes = work.changes();
    let mut look = tokio::time::interval(LOOK_EVERY);
    loop {
        tokio::select! {
            () = shutdown.draining() => break,
            _ = changes.changed() => {}
            _ = look.tick() => {}
        }
        let once = options.once && work.done() > 0 && work.count() == 0;
        if once || options.max_idle.is_some_and(|max| work.idle_for() >= max) {
            return;
        }
    }
    info!("draining: what runs may end; ask again to stop at once");
    work.drain();
    let is_empty = tokio::select! {
        is_empty = emptied(work, HAND_IN_WITHIN) => is_empty,
        () = shutdown.stopping() => {
            work.stop("the worker was stopped");
            tokio::time::timeout(STOP_WITHIN, emptied(work, Duration::ZERO)).await.unwrap_or(false)
        }
    };
    if !is_empty {
        warn!(attempts = work.count(), "not all could be handed in; the spool keeps it for the next start of this worker");
    }
}

/// Waits until nothing is held any more: true. Or until nothing is left to do but to hand in, with no coordinator that takes it for so long: false.
async fn emptied(work: &Work<AgentHost>, alone_max: Duration) -> bool {
    let mut changes = work.changes();
    let mut look = tokio::time::interval(LOOK_EVERY);
    let mut alone_since = None;
    loop {
        if work.count() == 0 {
            return true;
        }
        if work.is_heard() || work.is_busy() {
            alone_since = None;
        } else if alone_since.get_or_insert_with(tokio::time::Instant::now).elapsed() >= alone_max {
            return false;
        }
        tokio::select! {
            _ = changes.changed() => {}
            _ = look.tick() => {}
        }
    }
}

/// Dials the coordinator that is named, the one this worker came in at, or the one `client.json` names right now.
struct ClientDial {
    options: JoinOptions,
    identity: Arc<Identity>,
    refusals: AtomicU32,
    /// The `client.json` that the last try went by.
    read: std::sync::Mutex<Option<SystemTime>>,
}

impl ClientDial {
    fn read(&self) -> Result<Option<ClientFile>, IdentityError> {
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = self.written();
        ClientFile::read(&self.options.data_dir)
    }

    /// When `client.json` was written; a coordinator that starts writes a new one.
    fn written(&self) -> Option<SystemTime> {
        std::fs::metadata(ClientFile::path(&self.options.data_dir)).and_then(|found| found.modified()).ok()
    }

    async fn address(&self) -> Result<String, DialError> {
        if let Some(address) = &self.options.coordinator {
            return Ok(address.clone());
        }
        if let Some(address) = self.identity.coordinator().await {
            return Ok(address);
        }
        match self.read() {
            Ok(Some(client)) => Ok(client.address),
            Ok(None) => Err(DialError::Unreachable("no coordinator of this user is running".to_owned())),
            Err(error) => Err(DialError::Unreachable(error.to_string())),
        }
    }

    async fn credentials(&self) -> Result<Credentials, DialError> {
        self.identity.credentials().await.map_err(|error| match error {
            JoinError::Refused(why) | JoinError::Ended(why) => DialError::Refused(why),
            error => DialError::Unreachable(error.to_string()),
        })
    }
}

impl Dial for ClientDial {
    async fn dial(&self) -> Result<Channel, DialError> {
        let address = self.address().await?;
        match connect_asking(&address, &self.credentials().await?, self.identity.source()).await {
            Ok(channel) => {
                self.refusals.store(0, Ordering::Relaxed);
                Ok(channel)
            }
            Err(error @ (ConnectError::NotTrusted { .. } | ConnectError::BadAddress { .. })) => {
                let refusals = self.refusals.fetch_add(1, Ordering::Relaxed) + 1;
                if refusals >= REFUSALS_MAX {
                    Err(DialError::Refused(error.to_string()))
                } else {
                    Err(DialError::Unreachable(error.to_string()))
                }
            }
            Err(error) => Err(DialError::Unreachable(error.to_string())),
        }
    }

    async fn another(&self) -> Result<Channel, DialError> {
        // The file is read apart: what the link's last try went by stays what it was.
        let file = || ClientFile::read(&self.options.data_dir).ok().flatten().map(|client| client.address);
        let address = match &self.options.coordinator {
            Some(address) => Some(address.clone()),
            None => self.identity.coordinator().await.or_else(file),
        };
        let address = address.ok_or_else(|| DialError::Unreachable("no coordinator of this user is running".to_owned()))?;
        let credentials = self.credentials().await?;
        lazily_asking(&address, &credentials, self.identity.source()).map_err(|error| DialError::Unreachable(error.to_string()))
    }

    async fn outlived(&self) {
        self.identity.outlived().await;
    }

    async fn news(&self) {
        if self.options.coordinator.is_some() || self.identity.coordinator().await.is_some() {
            return std::future::pending().await;
        }
        let read = *self.read.lock().unwrap_or_else(PoisonError::into_inner);
        while self.written() == read {
            tokio::time::sleep(NEWS_EVERY).await;
        }
    }
}
