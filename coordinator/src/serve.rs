//! Serving: opens the data directory, puts the parts together, listens, and ends in order. The same for `coordinator serve` and for an embedded run.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use roundtable_runtime::clock::{Clock, SystemClock};
use roundtable_runtime::git::{GitError, GitProgram};
use roundtable_runtime::identity::{Ca, ClientFile, IdentityError, PeerIdentity};
use roundtable_runtime::lock::{DirLock, LockError};
use roundtable_runtime::tls::{Admission, Connections, Incoming, Listener};
use roundtable_runtime::{addresses, fsx};
use roundtable_shared::limits::STREAMS_MAX;
pub use roundtable_store::log::OpenError;
use roundtable_store::log::{CommitTimes, SqliteOptions};
use roundtable_store::segment::EventsError;
use roundtable_store::{AuditError, Log, LogReader, SegmentOptions, SegmentStore, Snapshots, SqliteLog, SqliteReader, Trouble};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tonic::transport::Server;
use tracing::warn;

use crate::admission::Admissions;
use crate::attachments::Attachments;
use crate::audit::Audit;
use crate::backup;
use crate::driver::{self, Driver, DriverError, Histogram, Seen, Sessions};
use crate::ended;
use crate::grpc::{self, Authorise, Services};
use crate::limits::ServeLimits;
use crate::lost;
use crate::parts::Parts;
use crate::places::{Places, PlacesError};
use crate::reach;
use crate::removal;
use crate::renewal::{Renewal, RenewalError};
use crate::repository::Repositories;
use crate::retention::Retention;
use crate::shell;

/// How long streams get to end before connections are cut.
const END_WITHIN: Duration = Duration::from_secs(3);

/// What is served, and where.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// Address to listen on; port 0 = any free one.
    pub listen: SocketAddr,
    /// `HOST:PORT` at which others reach it; empty = found out where it listens for others.
    pub advertise: Vec<String>,
    /// Names of this host, for the certificate.
    pub hostnames: Vec<String>,
    /// Everything it keeps.
    pub data_dir: PathBuf,
    /// Inside an `orchctl run`.
    pub embedded: bool,
    /// How the holder of the data directory is called, for others who want it.
    pub command: String,
    /// How long ended runs keep their files.
    pub retention: Retention,
    /// Bounds of what it takes from others.
    pub limits: ServeLimits,
}

impl ServeOptions {
    /// Inside another process, on a free port of loopback.
    pub fn embedded(data_dir: &Path, command: &str) -> Self {
        Self {
            listen: ([127, 0, 0, 1], 0).into(),
            advertise: Vec::new(),
            hostnames: Vec::new(),
            data_dir: data_dir.to_owned(),
            embedded: true,
            command: command.to_owned(),
            // Beside a person, nothing goes by itself.
            retention: Retention::default(),
            // How many units a plan may have is asked where it is read, by the same process.
            limits: ServeLimits { units: usize::MAX, ..ServeLimits::default() },
        }
    }
}

/// Why serving could not begin, or ended by itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Another process holds the data directory.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The log cannot be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The segments cannot be opened.
    #[error(transparent)]
    Segments(#[from] EventsError),
    /// No usable git.
    #[error(transparent)]
    Git(#[from] GitError),
    /// Certificates.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Certificates.
    #[error(transparent)]
    Renewal(#[from] RenewalError),
    /// The address is not free.
    #[error("cannot listen on {address}: {source}; stop what listens there, or choose another with --listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The audit log cannot be opened.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// Commands could not be recorded durably.
    #[error("commands could not be recorded durably: {0}. What was acknowledged is safe; check the disk, then start again")]
    Unrecorded(String),
    /// Nobody could come.
    #[error(transparent)]
    Places(#[from] PlacesError),
    /// The driver met an error it must not survive; what was acknowledged is safe.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// A sync of agent events failed: what is on the disk is unknown, and nothing more can be promised.
    #[error("agent events could not be made durable: {0}. What was acknowledged is safe; check the disk, then start again")]
    Events(String),
    /// Bounds that cannot be, or contradict each other.
    #[error("{0}")]
    Limits(String),
    /// The folder is no whole data directory.
    #[error("{0}")]
    Unservable(String),
    /// A task is gone.
    #[error("{0}")]
    Broken(String),
}

/// A served data directory.
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its parts.
    pub parts: Parts,
    /// How long commits of its log take.
    pub commits: Arc<Histogram>,
    data_dir: PathBuf,
    end_driver: watch::Sender<bool>,
    driver: JoinHandle<Result<(), DriverError>>,
    server: JoinHandle<Result<(), tonic::transport::Error>>,
    _lock: DirLock,
}

/// What a coordinator meets the world by, beside its data directory: this host's, or what a simulation has made up.
pub struct Outside<F> {
    /// The clock; timers are tokio's.
    pub clock: Arc<dyn Clock>,
    /// The git program.
    pub program: GitProgram,
    /// Gets the log that was opened, and gives the one that is written to.
    pub log: fn(Arc<dyn Log>) -> Arc<dyn Log>,
    /// Gets each command before it is decided.
    pub command: Seen,
    /// Begins to listen, once there is something to be served.
    pub listen: F,
}

/// The repositories of a data directory that is held. Those that earlier releases made are as open as the umask was: the folder they lie in is closed.
fn repositories(options: &ServeOptions, program: GitProgram) -> Repositories {
    let root = options.data_dir.join("repos");
    if let Err(error) = fsx::create_private_dir(&root) {
        warn!(%error, folder = %root.display(), "others on this host may be able to read the repositories");
    }
    Repositories::new(root, program).held().within(options.limits.receive())
}

/// Starts serving; returns when it takes calls.
pub async fn start(options: ServeOptions) -> Result<Running, ServeError> {
    let (clock, program, address) = (Arc::new(SystemClock), GitProgram::find().await?, options.listen);
    let listen = async move || TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, source });
    start_in(options, Outside { clock, program, log: std::convert::identity, command: |_, command| command, listen }).await
}

/// The same in a world of the caller's.
pub async fn start_in<L: Listener>(
    options: ServeOptions,
    outside: Outside<impl AsyncFnOnce() -> Result<L, ServeError>>,
) -> Result<Running, ServeError> {
    options.limits.check().map_err(ServeError::Limits)?;
    if let Some(why) = backup::unservable(&options.data_dir) {
        return Err(ServeError::Unservable(why));
    }
    let mut lock = DirLock::acquire(&options.data_dir, &options.command)?;
    let Outside { clock, program, log: as_written, command, listen: begin } = outside;
    let ca = Arc::new(Ca::open_or_create(&options.data_dir.join("ca"), clock.wall())?);
    let store = store_path(&options.data_dir);
    let commits = Arc::new(Histogram::default());
    let log: Arc<SqliteLog> = Arc::new(SqliteLog::open_timed(&store, SqliteOptions::default(), told_to(&commits))?);
    let segments = SegmentStore::open(&options.data_dir.join("segments"), SegmentOptions::default())?;
    let audit = Audit::open(&options.data_dir, log.incarnation(), Arc::clone(&clock))?;
    let (effects, queue) = mpsc::channel(shell::EFFECTS_MAX);
    let seed = getrandom::u64().unwrap_or_else(|_| clock.boot_ms());
    let snapshots = snapshots(&options.data_dir);
    let log_of_driver = as_written(Arc::clone(&log) as Arc<dyn Log>);
    let driver_parts = driver::Parts { log: log_of_driver, snapshots, clock: Arc::clone(&clock), seed, effects };
    let (driver, links) = Driver::open(driver_parts).await?;
    let driver = driver.waiting(options.limits.waits()).seen_by(command);
    let admissions = Admissions::new(links.handle.clone(), links.barred.clone(), Arc::clone(&ca), Arc::clone(&clock));
    let listener = begin().await?;
    let address = listener.address().map_err(|source| ServeError::Listen { address: options.listen, source })?;
    let places = Arc::new(Places::of(address, &options.advertise, &options.hostnames, addresses::of_this_host)?);
    let parts = Parts {
        admissions,
        data_dir: Arc::new(options.data_dir.clone()),
        embedded: options.embedded,
        links,
        sessions: Sessions::default(),
        segments,
        log: log as Arc<dyn LogReader>,
        repositories: repositories(&options, program),
        attachments: Attachments::new(options.data_dir.join("attachments")),
        audit,
        ca,
        limits: options.limits,
        places: Arc::clone(&places),
        clock,
        asked_to_end: Arc::new(watch::channel(false).0),
        stop: Arc::new(watch::channel(false).0),
    };
    // Before anything is submitted, which keeps its files before its run is known.
    let left = ended::left(&parts).await;
    parts.admissions.set_reach(reach_of(&options, &places));
    let (server, mut renewal) = listen(&parts, listener)?;
    let (end_driver, ended) = watch::channel(false);
    let driver = tokio::spawn(driver.run(ended));
    crate::tasks::spawn("shell", shell::run(parts.clone(), queue));
    crate::tasks::spawn("ended", ended::watch(parts.clone()));
    if let Err(error) = lost::look(&parts).await {
        warn!(%error, "what the runs stand on could not be looked for");
    }
    ended::forget_left(&parts, left).await;
    crate::tasks::spawn("removal", removal::watch(parts.clone(), options.retention));
    lock.set_address(&places.local().to_string())?;
    renewal.write_first_client_file()?;
    crate::tasks::spawn("renewal", renewal.keep(parts.stop.subscribe()));
    Ok(Running { address, parts, commits, data_dir: options.data_dir, end_driver, driver, server, _lock: lock })
}

impl Running {
    /// Returns when it is asked to end through its own interface, or the driver has ended by itself (an error). Until it is stopped it still serves.
    pub async fn ended(&mut self) -> Result<(), ServeError> {
        let mut asked = self.parts.asked_to_end.subscribe();
        let mut events = self.parts.segments.trouble();
        let failed = async {
            let failed = events.wait_for(|trouble| matches!(trouble, Some(Trouble::Failed { .. }))).await.map(|trouble| trouble.clone());
            match failed {
                Ok(Some(Trouble::Failed { detail })) => detail,
                // The store lives as long as its parts.
                _ => std::future::pending().await,
            }
        };
        let mut audit = self.parts.audit.failed();
        let unrecorded = async {
            let failed = audit.wait_for(Option::is_some).await.map(|detail| detail.clone());
            match failed {
                Ok(Some(detail)) => detail,
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = asked.wait_for(|asked| *asked) => Ok(()),
            detail = unrecorded => Err(ServeError::Unrecorded(detail)),
            detail = failed => Err(ServeError::Events(detail)),
            ended = &mut self.driver => match ended {
                Ok(Ok(())) => Err(ServeError::Broken("the driver ended".to_owned())),
                Ok(Err(error)) => Err(error.into()),
                Err(error) => Err(ServeError::Broken(format!("the driver broke: {error}"))),
            },
        }
    }

    /// Ends: streams first, then the driver with what is queued.
    pub async fn stop(self) -> Result<(), ServeError> {
        self.parts.stop.send_replace(true);
        self.parts.sessions.close_all();
        let mut server = self.server;
        if tokio::time::timeout(END_WITHIN, &mut server).await.is_err() {
            server.abort();
        }
        // A driver that holds a batch answers nobody; then the next start does it.
        let _ = tokio::time::timeout(END_WITHIN, ended::forget_ended(&self.parts)).await;
        let _ = tokio::time::timeout(END_WITHIN, self.parts.audit.close()).await;
        self.end_driver.send_replace(true);
        if let Err(error) = ClientFile::remove_own(&self.data_dir) {
            warn!(%error, "client.json could not be removed");
        }
        match self.driver.await {
            Ok(ended) => Ok(ended?),
            Err(error) => Err(ServeError::Broken(format!("the driver broke: {error}"))),
        }
    }
}

/// Where the log of a data directory lies.
pub fn store_path(data_dir: &Path) -> PathBuf {
    data_dir.join("store.db")
}

/// Snapshots of what the log of a data directory comes to.
pub fn snapshots(data_dir: &Path) -> Snapshots {
    Snapshots::in_dir(&data_dir.join("snapshots"))
}

/// A reader of a data directory's log, whoever serves it.
pub fn open_reader(data_dir: &Path) -> Result<SqliteReader, OpenError> {
    SqliteReader::open(&store_path(data_dir))
}

/// Where others reach it. One that serves for a moment, or for its own process alone, is not what others look for.
fn reach_of(options: &ServeOptions, places: &Places) -> String {
    let url = places.url();
    if options.embedded {
        return reach::remembered(&options.data_dir).unwrap_or(url);
    }
    if let Err(error) = reach::remember(&options.data_dir, &url) {
        warn!(%error, "the address for join lines could not be kept");
    }
    url
}

fn told_to(commits: &Arc<Histogram>) -> CommitTimes {
    let commits = Arc::clone(commits);
    Arc::new(move |took| commits.observe(took))
}

fn listen(parts: &Parts, listener: impl Listener) -> Result<(JoinHandle<Result<(), tonic::transport::Error>>, Renewal), ServeError> {
    let renewal = Renewal::begin(Arc::clone(&parts.ca), Arc::clone(&parts.clock), parts.data_dir.to_path_buf(), Arc::clone(&parts.places))?;
    let (cluster, barred) = (parts.ca.cluster().to_owned(), parts.links.barred.clone());
    let admit = move |peer: &PeerIdentity| match peer.cluster == cluster {
        true if barred.refuses(peer).is_some() => Admission::Revoked,
        true => Admission::Admitted,
        false => Admission::Stranger,
    };
    let incoming = Incoming::start(listener, renewal.tls(), parts.limits.accept(), Arc::new(admit));
    crate::tasks::spawn("revocation", cut_revoked(incoming.connections(), parts.links.barred.changes(), parts.stop.subscribe()));
    let Services { fleet, control, admission } = grpc::services(parts);
    let mut stop = parts.stop.subscribe();
    let stopped = async move {
        // The sender lives as long as the parts.
        let _ = stop.wait_for(|stop| *stop).await;
    };
    let server = Server::builder()
        .layer(Authorise::new(parts.links.barred.clone(), parts.audit.clone(), Arc::clone(&parts.clock)))
        .tcp_nodelay(true)
        .http2_keepalive_interval(Some(Duration::from_secs(10)))
        .http2_keepalive_timeout(Some(Duration::from_secs(5)))
        .max_concurrent_streams(STREAMS_MAX)
        .add_service(fleet)
        .add_service(control)
        .add_service(admission);
    Ok((tokio::spawn(server.serve_with_incoming_shutdown(incoming, stopped)), renewal))
}

/// Cuts the connections of peers that were revoked, as soon as that is durable.
async fn cut_revoked(connections: Connections, mut barred: watch::Receiver<()>, mut stop: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            changed = barred.changed() => if changed.is_err() { return },
        }
        connections.recheck();
    }
}
