//! Peers that break the protocol, or keep to it and take nothing of what they asked for: each is told what was wrong, and nobody else notices.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::{Builder, ResponseFuture, SendRequest};
use prost::Message;
use roundtable_coordinator::serve::{Running, ServeOptions, start};
use roundtable_proto::v1::{InfoRequest, QueryRequest};
use roundtable_runtime::clock::{Clock, SystemClock};
use roundtable_runtime::identity::{Lifetime, PeerRole, SERVER_NAME};
use roundtable_runtime::tls::client_config;
use roundtable_shared::limits::STREAMS_MAX;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::codegen::http::{HeaderMap, Request};

/// Longest wait for an answer on a busy machine.
const WITHIN: Duration = Duration::from_secs(20);

const INFO: &str = "Control/Info";
const QUERY: &str = "Control/Query";

/// gRPC's numbers of what a peer is told.
const OK: i32 = 0;
const INVALID: i32 = 3;
const DENIED: i32 = 7;
const TOO_LARGE: i32 = 11;
const NOT_SPOKEN: i32 = 12;
const UNREADABLE: i32 = 13;

async fn served() -> (tempfile::TempDir, Running) {
    let home = tempfile::tempdir().unwrap();
    let running = start(ServeOptions::embedded(home.path(), "test")).await.unwrap();
    (home, running)
}

/// A connection with a good certificate, on which frames are ours to make.
async fn connection(running: &Running, builder: &Builder) -> SendRequest<Bytes> {
    let credentials = running.parts.ca.mint_client(PeerRole::Operator, "me", SystemClock.wall(), Lifetime::CLIENT).unwrap();
    let connector = TlsConnector::from(Arc::new(client_config(&credentials).unwrap()));
    let tcp = TcpStream::connect(running.address).await.unwrap();
    let tls = connector.connect(ServerName::try_from(SERVER_NAME).unwrap(), tcp).await.unwrap();
    let (sender, connection) = builder.handshake(tls).await.unwrap();
    tokio::spawn(async move {
        // How it ends is what the calls on it see.
        let _ = connection.await;
    });
    sender
}

/// What came back.
#[derive(Debug)]
struct Answer {
    http: u16,
    grpc: Option<i32>,
}

fn request(method: &str, headers: &[(String, String)]) -> Request<()> {
    let start = Request::post(format!("http://roundtable/roundtable.v1.{method}"));
    let start = start.header("content-type", "application/grpc").header("te", "trailers");
    headers.iter().fold(start, |request, (name, value)| request.header(name, value)).body(()).unwrap()
}

async fn send(sender: &SendRequest<Bytes>, request: Request<()>, body: Vec<u8>) -> Result<ResponseFuture, h2::Error> {
    let mut sender = sender.clone().ready().await?;
    let (response, mut stream) = sender.send_request(request, false)?;
    stream.send_data(Bytes::from(body), true)?;
    Ok(response)
}

async fn call(sender: &SendRequest<Bytes>, request: Request<()>, body: Vec<u8>) -> Result<Answer, h2::Error> {
    let status = |headers: &HeaderMap| headers.get("grpc-status").map(|status| status.to_str().unwrap().parse::<i32>().unwrap());
    let answered = tokio::time::timeout(WITHIN, send(sender, request, body).await?).await.expect("an answer")?;
    let (http, at_once) = (answered.status().as_u16(), status(answered.headers()));
    if at_once.is_some() || http != 200 {
        return Ok(Answer { http, grpc: at_once });
    }
    let mut body = answered.into_body();
    while let Some(piece) = body.data().await {
        let length = piece?.len();
        body.flow_control().release_capacity(length)?;
    }
    let grpc = body.trailers().await?.as_ref().and_then(status);
    Ok(Answer { http, grpc })
}

/// A message with its head: not compressed, and how long it is.
fn message(body: &[u8]) -> Vec<u8> {
    let mut framed = vec![0];
    framed.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
    framed.extend(body);
    framed
}

fn query(text: &str) -> Vec<u8> {
    message(&QueryRequest { query: text.to_owned() }.encode_to_vec())
}

/// The same connection, or another, does what it is for.
async fn serves(sender: &SendRequest<Bytes>) {
    let answer = call(sender, request(INFO, &[]), message(&InfoRequest {}.encode_to_vec())).await.unwrap();
    assert_eq!((answer.http, answer.grpc), (200, Some(OK)));
}

/// What is wrong with a call, its method, its headers, its body, and the status it is answered with.
type Case<'a> = (&'a str, &'a str, &'a [(String, String)], Vec<u8>, i32);

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_cannot_be_read_are_refused_by_name_and_their_connection_goes_on() {
    let (_home, running) = served().await;
    let sender = connection(&running, &Builder::new()).await;
    let gzip = [("grpc-encoding".to_owned(), "gzip".to_owned())];
    let cases: [Case<'_>; 10] = [
        ("no protobuf", QUERY, &[], message(b"\xff\xff\xff\xff\xff"), UNREADABLE),
        ("nothing at all", QUERY, &[], Vec::new(), UNREADABLE),
        ("less than was announced", QUERY, &[], vec![0, 0, 0, 0, 9, 1, 2], UNREADABLE),
        ("a head that says neither yes nor no", QUERY, &[], vec![7, 0, 0, 0, 0], UNREADABLE),
        ("sixty-four megabytes announced", QUERY, &[], vec![0, 4, 0, 0, 0], TOO_LARGE),
        ("compressed, in a way that is named", QUERY, &gzip, vec![1, 0, 0, 0, 1, 0], NOT_SPOKEN),
        ("compressed, nobody knows how", QUERY, &[], vec![1, 0, 0, 0, 1, 0], UNREADABLE),
        ("a question nobody knows", QUERY, &[], query(r#"{"query":"weather"}"#), INVALID),
        ("no question", QUERY, &[], query("\u{0}"), INVALID),
        ("no method", "Control/Nothing", &[], message(b""), DENIED),
    ];
    for (what, method, headers, body, wanted) in cases {
        let answer = call(&sender, request(method, headers), body).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!((answer.http, answer.grpc), (200, Some(wanted)), "{what}");
        serves(&sender).await;
    }
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_without_end_are_refused_and_others_are_served() {
    let (_home, running) = served().await;
    let others = connection(&running, &Builder::new()).await;
    let sender = connection(&running, &Builder::new()).await;
    let many =
        |count: usize, length: usize| -> Vec<(String, String)> { (0..count).map(|nth| (format!("x-{nth}"), "v".repeat(length))).collect() };
    // Refused by its status, unless the end of the stream that comes right after it is seen first.
    let is_refused = |answer: Result<Answer, h2::Error>| answer.map_or(true, |answer| answer.http == 431 && answer.grpc.is_none());
    // Twenty kilobytes of them: that is the end of the stream, and not of the connection.
    assert!(is_refused(call(&sender, request(INFO, &many(20, 1_000)), message(b"")).await));
    serves(&sender).await;
    // Ten thousand: whatever becomes of that connection, it is no answer.
    assert!(is_refused(call(&sender, request(INFO, &many(10_000, 40)), message(b"")).await));
    serves(&others).await;
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_nothing_of_what_it_asked_for_delays_nobody_and_not_the_end() {
    let (_home, running) = served().await;
    let mut lazy = Builder::new();
    lazy.initial_window_size(0);
    let (mut senders, mut held) = (Vec::new(), Vec::new());
    for _ in 0..8 {
        let sender = connection(&running, &lazy).await;
        for _ in 0..25 {
            held.push(send(&sender, request(QUERY, &[]), query(r#"{"query":"runs"}"#)).await.unwrap());
        }
        senders.push(sender);
    }
    let others = connection(&running, &Builder::new()).await;
    for _ in 0..100 {
        let began = Instant::now();
        serves(&others).await;
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    }
    let began = Instant::now();
    running.stop().await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    drop((held, senders));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_has_few_calls_at_once_and_none_that_is_never_said_to_its_end() {
    let (_home, running) = served().await;
    let sender = connection(&running, &Builder::new()).await;
    serves(&sender).await;
    assert_eq!(sender.current_max_send_streams(), STREAMS_MAX as usize);
    let mut ready = sender.clone().ready().await.unwrap();
    let (answer, _unsaid) = ready.send_request(request(INFO, &[]), false).unwrap();
    let given_up = tokio::time::timeout(Duration::from_secs(60), answer).await.expect("it is given up");
    // By its status, unless the end of the stream that comes right after it is seen first.
    assert!(given_up.map_or(true, |answer| answer.headers()["grpc-status"] == "14"));
    serves(&sender).await;
    running.stop().await.unwrap();
}
