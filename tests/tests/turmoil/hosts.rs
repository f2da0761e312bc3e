//! The software of the simulation's hosts: a coordinator that serves its data directory, workers that join it, and an operator who submits a plan, answers
//! what is asked and waits for the end. Each ends and begins again as a process would: what it knows is what is on its disk.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use roundtable_coordinator::driver::Seen;
use roundtable_coordinator::limits::ServeLimits;
use roundtable_coordinator::retention::Retention;
use roundtable_coordinator::serve::{Outside, ServeError, ServeOptions, start_in};
use roundtable_proto::v1;
use roundtable_proto::v1::control_client::ControlClient;
use roundtable_runtime::clock::ManualClock;
use roundtable_runtime::git::GitProgram;
use roundtable_runtime::identity::Credentials;
use roundtable_runtime::tls::{Asked, Listener, Source, connect_over, lazily_over};
use roundtable_shared::view::{Operation, OperationAct, Query, RunSelector, SubmitReply, SubmitRequest};
use roundtable_shared::{Introduction, Origin};
use roundtable_worker::session::{Dial, DialError, Fence, LinkEnd, Work, keep};
use roundtable_worker::spool::Spool;
use serde_json::Value;
use tokio::sync::watch;
use tokio_stream::StreamExt;
use tonic::transport::Channel;
use turmoil::net::{TcpListener, TcpStream};

use crate::machine::{Machine, Player};
use crate::still;

/// Name of the coordinator's host.
pub const COORDINATOR: &str = "coordinator";
const PORT: u16 = 7420;
/// Longest wait of the operator for one answer.
const ANSWER_MAX: Duration = Duration::from_secs(20);
/// How often it asks.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// How the software of a host ends.
pub type Ended = std::pin::Pin<Box<dyn Future<Output = turmoil::Result>>>;

/// What the coordinator's host is made of.
#[derive(Clone)]
pub struct Served {
    pub data_dir: PathBuf,
    pub clock: ManualClock,
    pub program: GitProgram,
}

struct Made(TcpListener);

impl Listener for Made {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        self.0.accept().await
    }

    fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// Serves until the host crashes; anything else is an end that must not be.
pub fn coordinator(served: Served) -> Ended {
    serve(served, |_, command| command)
}

/// The same, with commands that somebody sees first.
pub fn serve(served: Served, command: Seen) -> Ended {
    // In a task of the runtime: what blocks is over before the runtime is.
    let serving = async move {
        let options = ServeOptions {
            listen: ([0, 0, 0, 0], PORT).into(),
            advertise: vec![address()],
            hostnames: Vec::new(),
            data_dir: served.data_dir,
            embedded: false,
            command: "simulation".to_owned(),
            retention: Retention::default(),
            limits: ServeLimits::default(),
        };
        let listen = async || {
            let address = SocketAddr::from(([0, 0, 0, 0], PORT));
            TcpListener::bind(address).await.map(Made).map_err(|source| ServeError::Listen { address, source })
        };
        let outside = Outside { clock: Arc::new(served.clock), program: served.program, log: still::log, command, listen };
        let mut running = start_in(options, outside).await.map_err(|error| format!("the coordinator did not start: {error}"))?;
        running.ended().await.map_err(|error| format!("the coordinator ended: {error}"))?;
        Err::<(), String>("the coordinator was asked to end".to_owned())
    };
    Box::pin(async move {
        let ended: turmoil::Result = match tokio::spawn(serving).await {
            Ok(ended) => ended.map_err(Into::into),
            Err(error) => Err(error.into()),
        };
        ended
    })
}

/// Connects over the network of the simulation, in the ways of a worker: tried first, and asked for the credentials at each dial.
struct Way(Arc<Machine>);

impl Way {
    fn source(&self) -> Source {
        let machine = Arc::clone(&self.0);
        Arc::new(move || -> Asked {
            let credentials = machine.credentials.clone();
            Box::pin(async move { Some(credentials) })
        })
    }
}

impl Dial for Way {
    async fn dial(&self) -> Result<Channel, DialError> {
        let connected = connect_over(open, &address(), &self.0.credentials, Some(self.source())).await;
        connected.map_err(|error| DialError::Unreachable(error.to_string()))
    }

    async fn another(&self) -> Result<Channel, DialError> {
        let channel = lazily_over(open, &address(), &self.0.credentials, Some(self.source()));
        channel.map_err(|error| DialError::Unreachable(error.to_string()))
    }
}

fn channel(credentials: &Credentials) -> Result<Channel, String> {
    lazily_over(open, &address(), credentials, None).map_err(|error| error.to_string())
}

fn address() -> String {
    format!("{COORDINATOR}:{PORT}")
}

async fn open(authority: String) -> io::Result<TcpStream> {
    TcpStream::connect(authority).await
}

/// Joins, and works until the link is given up, or the host crashes.
pub fn worker(machine: Arc<Machine>) -> Ended {
    let working = async move {
        let ended = work(&machine).await;
        tracing::debug!(worker = machine.name, ?ended, "the worker ends");
    };
    Box::pin(async move {
        let ended: turmoil::Result = tokio::spawn(working).await.map_err(Into::into);
        ended
    })
}

/// One life of a worker.
async fn work(machine: &Arc<Machine>) -> Result<(), LinkEnd> {
    let spool = Spool::open(machine.dir.join("spool")).unwrap_or_else(|error| panic!("{}: {error}", machine.name));
    let incarnation = machine.next_start();
    let introduction = Introduction {
        incarnation,
        name: machine.name.clone(),
        version: "simulated".to_owned(),
        labels: BTreeMap::new(),
        backends: Vec::new(),
        held: Vec::new(),
        repositories: Vec::new(),
        origin: Origin { workspace: machine.name.clone(), life: incarnation.to_string(), place: machine.name.clone() },
    };
    let left = spool.left_behind().unwrap_or_else(|error| panic!("{}: {error}", machine.name));
    let fence = Fence::new(Arc::new(machine.clock.clone()));
    let work = Work::new(Arc::new(Player(Arc::clone(machine))), spool, introduction, watch::channel(false).0, false, fence);
    work.take_up(left).await;
    let (_stop, stopped) = watch::channel(false);
    let dial = Arc::new(Way(Arc::clone(machine)));
    let mut changes = work.changes();
    machine.holds(work.count());
    let told = async {
        while changes.changed().await.is_ok() {
            machine.holds(work.count());
        }
    };
    tokio::select! {
        ended = keep(&dial, &work, stopped, None) => ended,
        () = work.attend() => Ok(()),
        () = told => Ok(()),
    }
}

/// What the operator wants done, and what came of it.
#[derive(Clone)]
pub struct Wanted {
    pub credentials: Credentials,
    pub request: SubmitRequest,
    pub tasks: String,
}

/// Submits (again, where no answer came), answers decisions, and returns when the run has ended.
pub async fn operator(wanted: Wanted) -> turmoil::Result {
    let mut desk = Desk { channel: channel(&wanted.credentials)?, wanted };
    let run = loop {
        match desk.asked(submit).await {
            Ok(reply) if !reply.run.is_empty() => break reply.run,
            Ok(reply) => return Err(format!("the plan was refused: {reply:?}").into()),
            Err(error) => tracing::debug!(error, "submitted again"),
        }
        tokio::time::sleep(ASK_EVERY).await;
    };
    let run = RunSelector { run: Some(run), git_dir: None };
    loop {
        tokio::time::sleep(ASK_EVERY).await;
        let asked = Query::Summary { run: run.clone() };
        let Ok(summary) = desk.asked(async |desk| query(desk, &asked).await).await else { continue };
        match summary["status"].as_str() {
            Some("complete" | "incomplete") => return Ok(()),
            // It was stopped for now: it goes on when it is submitted again.
            Some("halted") => drop(desk.asked(submit).await),
            _ => {}
        }
        for decision in summary["decisions"].as_array().into_iter().flatten() {
            let id = decision["id"].as_str().unwrap_or_default();
            if let Err(error) = desk.asked(async |desk| decide(desk, &run, id).await).await {
                tracing::debug!(error, id, "not decided");
            }
        }
    }
}

/// Where the operator sits.
struct Desk {
    wanted: Wanted,
    channel: Channel,
}

impl Desk {
    /// The answer to a question; where there is none in time, another connection is made for the next.
    async fn asked<T>(&mut self, question: impl AsyncFnOnce(&Desk) -> Result<T, String>) -> Result<T, String> {
        let answer = tokio::time::timeout(ANSWER_MAX, question(&*self)).await.unwrap_or_else(|_| Err("no answer".to_owned()));
        if answer.is_err() {
            self.channel = channel(&self.wanted.credentials)?;
        }
        answer
    }

    fn client(&self) -> ControlClient<Channel> {
        ControlClient::new(self.channel.clone())
    }
}

async fn submit(desk: &Desk) -> Result<SubmitReply, String> {
    use v1::submit_frame::Frame;
    let request = serde_json::to_string(&desk.wanted.request).map_err(|error| error.to_string())?;
    let file = v1::SpecFile { name: "tasks.md".to_owned(), data: desk.wanted.tasks.clone().into_bytes() };
    let frames = [Frame::Header(v1::SubmitHeader { request }), Frame::SpecFile(file)];
    let frames = frames.map(|frame| v1::SubmitFrame { frame: Some(frame) });
    let reply = desk.client().submit(tokio_stream::iter(frames)).await.map_err(|status| status.to_string())?;
    serde_json::from_str(&reply.into_inner().reply).map_err(|error| error.to_string())
}

async fn query(desk: &Desk, query: &Query) -> Result<Value, String> {
    let query = serde_json::to_string(query).map_err(|error| error.to_string())?;
    let mut pieces = desk.client().query(v1::QueryRequest { query }).await.map_err(|status| status.to_string())?.into_inner();
    let mut text = Vec::new();
    while let Some(piece) = pieces.next().await {
        text.extend(piece.map_err(|status| status.to_string())?.data);
    }
    serde_json::from_slice(&text).map_err(|error| error.to_string())
}

/// Whatever is asked is tried again.
async fn decide(desk: &Desk, run: &RunSelector, id: &str) -> Result<(), String> {
    let act = OperationAct::Decide { id: id.to_owned(), choice: "retry".to_owned(), commit: None, dependants: None, note: None };
    let operation = serde_json::to_string(&Operation { run: run.clone(), all: false, act }).map_err(|error| error.to_string())?;
    desk.client().operate(v1::OperateRequest { operation }).await.map(drop).map_err(|status| status.to_string())
}
