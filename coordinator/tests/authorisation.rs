//! Who may do what, over the wire: every method of the descriptors, with every kind of credential there is, good or not; and that commands and denials are
//! recorded when they are answered.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use roundtable_coordinator::admission::{Given, Wish};
use roundtable_coordinator::audit::{EntryView, dir_of};
use roundtable_coordinator::grpc::POLICY;
use roundtable_coordinator::serve::{Running, ServeOptions, start};
use roundtable_core::command::{Command, WorkerHello};
use roundtable_proto::v1::admission_client::AdmissionClient;
use roundtable_proto::v1::control_client::ControlClient;
use roundtable_proto::v1::{JoinRequest, OperateRequest};
use roundtable_runtime::clock::{Clock, SystemClock};
use roundtable_runtime::identity::{Ca, Credentials, Csr, JoinToken, Lifetime, PeerRole, new_csr};
use roundtable_runtime::tls::{Asked, Source, connect, connect_asking, connect_pinned, lazily};
use roundtable_shared::time::WallMs;
use roundtable_shared::view::{AccessReply, AccessRequest};
use roundtable_shared::{AccessRole, Introduction, Origin, WorkerId};
use roundtable_store::AuditReader;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::transport::Channel;
use tower::ServiceExt;

use PeerRole::{Admin, Operator, Viewer, Worker};

const ROLES: [PeerRole; 4] = [Worker, Viewer, Operator, Admin];
/// gRPC's number for a denial.
const DENIED: i32 = 7;
/// gRPC's number for what is over: who hears it may come in anew.
const STALE: i32 = 10;
const DAY_MS: u64 = 86_400_000;

/// Said here once more, by what the methods are for.
fn may(role: Option<PeerRole>, method: &str) -> bool {
    let method = method.strip_prefix("/roundtable.v1.").unwrap();
    let Some(role) = role else { return method == "Admission/Join" };
    match method {
        "Admission/Join" => false,
        "Admission/Renew" => true,
        "Admission/Manage" => role == Admin,
        "Fleet/Session"
        | "Fleet/PutEvents"
        | "Fleet/FetchPack"
        | "Fleet/FetchAttachments"
        | "Fleet/PackReceived"
        | "Fleet/PutPack"
        | "Fleet/SaveWork"
        | "Fleet/Report" => role == Worker,
        "Control/Info" => true,
        "Control/Query" | "Control/Watch" => role != Worker,
        "Control/OpenRepository" | "Control/PutRepositoryPack" | "Control/Submit" | "Control/Operate" | "Control/FetchRun" => {
            matches!(role, Operator | Admin)
        }
        "Control/EnrolWorker" | "Control/Shutdown" => role == Admin,
        "Control/Nothing" => false,
        _ => panic!("{method}: say here who may call it"),
    }
}

/// Every method of every service, from the descriptors of all files there are.
fn methods() -> Vec<String> {
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto");
    let files = std::fs::read_dir(proto.join("roundtable/v1")).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|extension| extension == "proto")).collect();
    let mut methods = Vec::new();
    for file in protox::compile(files, [proto]).unwrap().file {
        for service in &file.service {
            methods.extend(service.method.iter().map(|method| format!("/{}.{}/{}", file.package(), service.name(), method.name())));
        }
    }
    assert_eq!(methods.len(), POLICY.len());
    methods
}

async fn channel(running: &Running, role: Option<PeerRole>) -> Channel {
    let Some(role) = role else {
        return connect_pinned(&running.address.to_string(), &[running.parts.ca.pin().unwrap()]).await.unwrap();
    };
    let credentials = running.parts.ca.mint_client(role, "me", SystemClock.wall(), Lifetime::CLIENT).unwrap();
    connect(&running.address.to_string(), &credentials).await.unwrap()
}

/// The status of a call with nothing in it, where it has one before any message; `Err` where there is no connection to call over.
async fn try_call(channel: &Channel, method: &str) -> Result<Option<i32>, tonic::transport::Error> {
    let request = http::Request::post(format!("http://roundtable{method}"));
    let request = request.header("content-type", "application/grpc").header("te", "trailers").body(Body::empty()).unwrap();
    let answer = tokio::time::timeout(Duration::from_secs(20), channel.clone().oneshot(request)).await;
    let response = answer.unwrap_or_else(|_| panic!("{method} does not answer"))?;
    Ok(response.headers().get("grpc-status").map(|status| status.to_str().unwrap().parse().unwrap()))
}

async fn status_of_call(channel: &Channel, method: &str) -> Option<i32> {
    try_call(channel, method).await.unwrap()
}

async fn operate(client: &mut ControlClient<Channel>, operation: &str) -> Result<(), tonic::Status> {
    client.operate(OperateRequest { operation: operation.to_owned() }).await.map(|_| ())
}

fn records(data_dir: &Path) -> Vec<EntryView> {
    AuditReader::open(&dir_of(data_dir)).next_batch(10_000).unwrap().iter().map(EntryView::of).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_answers_to_the_certificates_that_may_call_it_and_to_no_other() {
    let home = tempfile::tempdir().unwrap();
    let running = start(ServeOptions::embedded(home.path(), "test")).await.unwrap();
    let mut denied = BTreeSet::new();
    for role in ROLES.into_iter().map(Some).chain([None]) {
        let channel = channel(&running, role).await;
        for method in methods().into_iter().chain(["/roundtable.v1.Control/Nothing".to_owned()]) {
            let status = status_of_call(&channel, &method).await;
            assert_eq!(status != Some(DENIED), may(role, &method), "{role:?} calls {method}: {status:?}");
            if !may(role, &method) {
                // What is not there has one name, whatever it was called.
                let is_there = POLICY.iter().any(|(name, _)| *name == method);
                let recorded = if is_there { method.trim_start_matches("/roundtable.v1.") } else { "a method that is not there" };
                denied.insert((role.map(|role| role.to_string()).unwrap_or_default(), recorded.to_owned()));
            }
        }
    }
    let recorded: BTreeSet<_> =
        records(home.path()).into_iter().filter(|each| each.kind == "denied").map(|each| (each.role, each.method)).collect();
    assert_eq!(recorded, denied);
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_and_their_refusals_are_recorded_when_they_are_answered_and_looks_are_not() {
    let home = tempfile::tempdir().unwrap();
    let running = start(ServeOptions::embedded(home.path(), "test")).await.unwrap();
    let mut client = ControlClient::new(channel(&running, Some(Operator)).await);
    operate(&mut client, r#"{"all":true,"act":{"kind":"pause","note":"lunch"}}"#).await.unwrap();
    let told = |records: &[EntryView]| -> Vec<(String, Option<String>, Option<String>)> {
        records.iter().map(|each| (each.kind.clone(), each.did.clone(), each.run.clone())).collect()
    };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(told(&records(home.path())), [("command".to_owned(), text("pause all note=lunch"), None)]);
    operate(&mut client, r#"{"run":"nope-1","act":{"kind":"retry","unit":"3"}}"#).await.unwrap_err();
    let found = records(home.path());
    assert_eq!(told(&found)[1], ("command".to_owned(), text("retry unit=3"), text("nope-1")));
    assert_eq!(
        (found[2].kind.as_str(), found[2].of, found[2].role.as_str(), found[2].who.as_str()),
        ("refused", Some(2), "operator", "me")
    );
    assert!(found[2].why.as_deref().is_some_and(|why| why.contains("nope-1")), "{found:?}");
    let mut looks = ControlClient::new(channel(&running, Some(Viewer)).await);
    looks.info(roundtable_proto::v1::InfoRequest {}).await.unwrap();
    looks.query(roundtable_proto::v1::QueryRequest { query: r#"{"query":"runs"}"#.to_owned() }).await.unwrap();
    assert_eq!(records(home.path()).len(), 3);
    running.stop().await.unwrap();
}

/// Somebody who came in by a token: it, and its credentials.
async fn came_in(running: &Running, role: AccessRole, ephemeral: bool) -> (Given, Credentials) {
    let token = token(running, role, ephemeral).await;
    let csr = new_csr().unwrap();
    let wish = Wish {
        token: Some((token.id.clone(), token.secret().to_owned())),
        csr_pem: csr.request_pem.clone(),
        name: format!("{role}-{}", if ephemeral { "lent" } else { "barred" }),
        is_exact: true,
        now: SystemClock.wall(),
        is_worker: role == AccessRole::Worker,
    };
    let given = running.parts.admissions.join(wish, [127, 0, 0, 1].into()).await.unwrap();
    let Csr { key_pem, .. } = csr;
    let credentials = Credentials { ca_pem: given.ca_pem.clone(), certificate_pem: given.certificate_pem.clone(), key_pem };
    (given, credentials)
}

async fn token(running: &Running, role: AccessRole, ephemeral: bool) -> JoinToken {
    let request = AccessRequest::CreateToken { role, ttl_ms: 3_600_000, uses: 1, labels: BTreeMap::new(), ephemeral };
    let AccessReply::Created(made) = running.parts.admissions.manage(request, "ada".to_owned()).await.unwrap() else { panic!("a token") };
    JoinToken::parse(&made.token).unwrap()
}

/// A worker whose identity was lent to it says hello, and leaves.
async fn comes_and_goes(running: &Running, id: &str) {
    let introduction = Introduction {
        incarnation: 1,
        name: id.to_owned(),
        version: "1".to_owned(),
        labels: BTreeMap::new(),
        backends: Vec::new(),
        held: Vec::new(),
        repositories: Vec::new(),
        origin: Origin::default(),
    };
    let worker = WorkerId::from(id);
    let handle = &running.parts.links.handle;
    handle.command(Command::WorkerHello(Box::new(WorkerHello { worker: worker.clone(), session: 1, introduction }))).await.unwrap();
    handle.command(Command::WorkerGoodbye { worker, session: 1 }).await.unwrap();
}

/// What a method answers to somebody.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Answer {
    /// It is looked at.
    Heard,
    /// Refused with this status, before it is looked at.
    Refused(i32),
    /// There is no connection on which anything could be called.
    ShutOut,
}

type Expected = Box<dyn Fn(&str) -> Answer>;

/// The one method that is heard, `None` for none at all.
fn heard(only: Option<&'static str>) -> Expected {
    Box::new(move |method| if only.is_some_and(|only| method.ends_with(only)) { Answer::Heard } else { Answer::Refused(DENIED) })
}

/// Whoever is no member: a name for each, how it is connected, and what each method is to say to it.
async fn outsiders(running: &Running, strangers: &Ca) -> Vec<(String, Channel, Expected)> {
    let (ca, now) = (&running.parts.ca, SystemClock.wall());
    let address = running.address.to_string();
    let of = |credentials: &Credentials| lazily(&address, credentials).unwrap();
    let mut all: Vec<(String, Channel, Expected)> = Vec::new();
    for role in ROLES {
        let minted = |name: &str, at: WallMs| ca.mint_client(role, name, at, Lifetime::CLIENT).unwrap();
        let ended = minted("ended", WallMs(now.0 - 29 * DAY_MS));
        all.push((format!("{role}, ended a while ago"), of(&ended), heard(Some("Admission/Renew"))));
        let long_ended = minted("long-ended", WallMs(now.0 - 32 * DAY_MS));
        all.push((format!("{role}, ended long ago"), of(&long_ended), Box::new(|_| Answer::ShutOut)));
        let early = minted("early", WallMs(now.0 + DAY_MS));
        all.push((format!("{role}, not yet valid"), of(&early), Box::new(|_| Answer::ShutOut)));
        let strange = strangers.mint_client(role, "strange", now, Lifetime::CLIENT).unwrap();
        let strange = Credentials { ca_pem: ca.certificate_pem(), ..strange };
        all.push((format!("{role} of another authority"), of(&strange), Box::new(|_| Answer::ShutOut)));
    }
    let posing = ca.mint_coordinator("posing", &[], now).unwrap();
    all.push(("a coordinator's certificate".to_owned(), of(&posing), Box::new(|_| Answer::ShutOut)));
    for role in [AccessRole::Worker, AccessRole::Viewer, AccessRole::Operator, AccessRole::Admin] {
        let (given, credentials) = came_in(running, role, false).await;
        let revoke = AccessRequest::Revoke { id: format!("{role}/{}", given.peer.id) };
        running.parts.admissions.manage(revoke, "ada".to_owned()).await.unwrap();
        all.push((format!("{role}, revoked"), of(&credentials), heard(None)));
    }
    let (given, credentials) = came_in(running, AccessRole::Worker, true).await;
    comes_and_goes(running, &given.peer.id).await;
    let over = |method: &str| Answer::Refused(if method.ends_with("Admission/Renew") { STALE } else { DENIED });
    all.push(("a worker whose lent identity is over".to_owned(), of(&credentials), Box::new(over)));
    let joiner = connect_pinned(&address, &[ca.pin().unwrap()]).await.unwrap();
    let token = token(running, AccessRole::Operator, false).await;
    let request = JoinRequest {
        token: token.id.clone(),
        secret: token.secret().to_owned(),
        csr_pem: new_csr().unwrap().request_pem,
        name: "ada".to_owned(),
        exact_name: true,
        now_ms: now.0,
        worker: false,
    };
    AdmissionClient::new(joiner.clone()).join(request).await.unwrap();
    all.push(("the bearer of a join token, without its certificate".to_owned(), joiner, heard(Some("Admission/Join"))));
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_is_closed_to_whoever_is_no_member_but_for_the_one_way_in() {
    let home = tempfile::tempdir().unwrap();
    let running = start(ServeOptions::embedded(home.path(), "test")).await.unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let strangers = Ca::open_or_create(elsewhere.path(), SystemClock.wall()).unwrap();
    let outsiders = outsiders(&running, &strangers).await;
    let before = records(home.path()).len();
    let mut refused = 0;
    for (who, channel, expected) in &outsiders {
        for method in methods() {
            let answer = match try_call(channel, &method).await {
                Err(_) => Answer::ShutOut,
                Ok(Some(status @ (DENIED | STALE))) => Answer::Refused(status),
                Ok(_) => Answer::Heard,
            };
            assert_eq!(answer, expected(&method), "{who} calls {method}");
            refused += usize::from(matches!(answer, Answer::Refused(_)));
        }
    }
    let found = records(home.path()).split_off(before);
    let told: u64 = found.iter().map(|each| each.times).sum();
    assert!(found.iter().all(|each| each.kind == "denied"), "{found:?}");
    assert!(found.iter().all(|each| !["long-ended", "early", "strange", "posing"].contains(&each.who.as_str())), "they never spoke");
    assert!(told > 0 && told <= refused as u64, "{told} of {refused} are told");
    running.stop().await.unwrap();
}

/// A certificate bounds what was begun with it: a call on a connection that is open, a stream that would go on for ever.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_certificate_began_ends_with_it_and_goes_on_with_a_younger_one() {
    const INFO: &str = "/roundtable.v1.Control/Info";
    let home = tempfile::tempdir().unwrap();
    let running = start(ServeOptions::embedded(home.path(), "test")).await.unwrap();
    let (address, ca) = (running.address.to_string(), Arc::clone(&running.parts.ca));
    let minted = move |seconds: i64| {
        let lifetime = Lifetime(time::Duration::seconds(seconds));
        ca.mint_client(Viewer, "me", SystemClock.wall(), lifetime).unwrap()
    };
    let short = minted(6);
    let ends = connect(&address, &short).await.unwrap();
    let source: Source = Arc::new(move || -> Asked {
        let young = minted(3_600);
        Box::pin(async move { Some(young) })
    });
    let goes_on = connect_asking(&address, &short, source).await.unwrap();
    for channel in [&ends, &goes_on] {
        assert_ne!(status_of_call(channel, INFO).await, Some(DENIED), "it is good");
    }
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    // Cut as it ends, then dialled anew with the same: refused.
    while try_call(&ends, INFO).await.ok().flatten() != Some(DENIED) {
        assert!(tokio::time::Instant::now() < deadline, "it is heard still");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    while !matches!(try_call(&goes_on, INFO).await, Ok(status) if status != Some(DENIED)) {
        assert!(tokio::time::Instant::now() < deadline, "the younger one is not shown");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    running.stop().await.unwrap();
}
