//! Who may do what, over the wire: every method there is, with every kind of certificate; and that commands and denials are recorded when they are answered.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use roundtable_coordinator::audit::{EntryView, dir_of};
use roundtable_coordinator::grpc::POLICY;
use roundtable_coordinator::serve::{Running, ServeOptions, start};
use roundtable_proto::v1::OperateRequest;
use roundtable_proto::v1::control_client::ControlClient;
use roundtable_runtime::clock::{Clock, SystemClock};
use roundtable_runtime::identity::{Lifetime, PeerRole};
use roundtable_runtime::tls::{connect, connect_pinned};
use roundtable_store::AuditReader;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::transport::Channel;
use tower::ServiceExt;

use PeerRole::{Admin, Operator, Viewer, Worker};

const ROLES: [PeerRole; 4] = [Worker, Viewer, Operator, Admin];
/// gRPC's number for a denial.
const DENIED: i32 = 7;

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

async fn channel(running: &Running, role: Option<PeerRole>) -> Channel {
    let Some(role) = role else {
        return connect_pinned(&running.address.to_string(), &[running.parts.ca.pin().unwrap()]).await.unwrap();
    };
    let credentials = running.parts.ca.mint_client(role, "me", SystemClock.wall(), Lifetime::CLIENT).unwrap();
    connect(&running.address.to_string(), &credentials).await.unwrap()
}

/// The status of a call with nothing in it, where it has one before any message.
async fn status_of_call(channel: &Channel, method: &str) -> Option<i32> {
    let request = http::Request::post(format!("http://roundtable{method}"));
    let request = request.header("content-type", "application/grpc").header("te", "trailers").body(Body::empty()).unwrap();
    let answer = tokio::time::timeout(Duration::from_secs(20), channel.clone().oneshot(request)).await;
    let response = answer.unwrap_or_else(|_| panic!("{method} does not answer")).unwrap();
    response.headers().get("grpc-status").map(|status| status.to_str().unwrap().parse().unwrap())
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
        for method in POLICY.iter().map(|(method, _)| *method).chain(["/roundtable.v1.Control/Nothing"]) {
            let status = status_of_call(&channel, method).await;
            assert_eq!(status != Some(DENIED), may(role, method), "{role:?} calls {method}: {status:?}");
            if !may(role, method) {
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
