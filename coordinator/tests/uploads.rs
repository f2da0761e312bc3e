//! What a person uploads, over links that are cut: it goes on where it was, for whoever began it and for nobody else.
#![allow(clippy::unwrap_used, missing_docs)]

use roundtable_coordinator::serve::{Running, ServeOptions, start};
use roundtable_proto::convert::told_code_of;
use roundtable_proto::v1;
use roundtable_proto::v1::control_client::ControlClient;
use roundtable_proto::v1::put_repository_frame::Frame;
use roundtable_runtime::clock::{Clock, SystemClock};
use roundtable_runtime::git::{GitProgram, PackRequest, Signature};
use roundtable_runtime::identity::{Lifetime, PeerRole};
use roundtable_runtime::tls::connect;
use roundtable_shared::CommitId;
use roundtable_shared::error::ErrorCode;
use tonic::transport::Channel;

type Control = ControlClient<Channel>;

async fn control(running: &Running, id: &str) -> Control {
    let credentials = running.parts.ca.mint_client(PeerRole::Operator, id, SystemClock.wall(), Lifetime::CLIENT).unwrap();
    ControlClient::new(connect(&running.address.to_string(), &credentials).await.unwrap())
}

/// A repository of one commit: its id, which is its key too, and a pack of it.
async fn repository(dir: &std::path::Path) -> (CommitId, Vec<u8>) {
    std::fs::create_dir(dir).unwrap();
    std::fs::write(dir.join("file"), "text\n".repeat(1000)).unwrap();
    let program = GitProgram::find().await.unwrap();
    program.create_repository(dir, "main", &Signature::roundtable(1), "base\n").await.unwrap();
    let git = program.own(dir.join(".git")).unwrap();
    let commit = git.resolve_commit("HEAD").await.unwrap();
    let mut pack = Vec::<u8>::new();
    git.pack(&PackRequest { wants: vec![commit.clone()], haves: vec![], history_max: None }, &mut pack).await.unwrap();
    (commit.commit_id(), pack)
}

async fn put(control: &mut Control, commit: &CommitId, whole: (&str, u64), offset: usize, bytes: &[u8]) -> Result<(), ErrorCode> {
    let header = v1::PutRepositoryHeader {
        repository: commit.to_string(),
        commit: commit.to_string(),
        shallow: Vec::new(),
        digest: whole.0.to_owned(),
        bytes: whole.1,
        offset: offset as u64,
    };
    let chunk = v1::Chunk { data: bytes.to_vec(), pack: String::new() };
    let frames = [Frame::Header(header), Frame::Chunk(chunk)].map(|frame| v1::PutRepositoryFrame { frame: Some(frame) });
    control.put_repository_pack(tokio_stream::iter(frames)).await.map(drop).map_err(|status| told_code_of(&status).unwrap())
}

async fn received(control: &mut Control, commit: &CommitId, digest: &str) -> u64 {
    let request = v1::OpenRepositoryRequest { repository: commit.to_string(), digest: digest.to_owned() };
    control.open_repository(request).await.unwrap().into_inner().received
}

#[tokio::test]
async fn an_upload_goes_on_where_it_was_for_whom_it_was_begun() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(ServeOptions::embedded(&dir.path().join("data"), "a test")).await.unwrap();
    let (commit, pack) = repository(&dir.path().join("user")).await;
    let (mut ada, mut bob) = (control(&running, "ada").await, control(&running, "bob").await);
    let digest = blake3::hash(&pack).to_hex().to_string();
    let (whole, half) = ((digest.as_str(), pack.len() as u64), pack.len() / 2);
    assert_eq!(received(&mut ada, &commit, &digest).await, 0);
    assert_eq!(put(&mut ada, &commit, whole, 0, &pack[..half]).await, Err(ErrorCode::Conflict), "it is not whole");
    assert_eq!(received(&mut ada, &commit, &digest).await, half as u64);
    assert_eq!(received(&mut bob, &commit, &digest).await, 0, "another's is not told of");
    assert_eq!(put(&mut bob, &commit, whole, half, &pack[half..]).await, Err(ErrorCode::Conflict), "nor gone on with");
    put(&mut ada, &commit, whole, half, &pack[half..]).await.unwrap();
    let kept = running.parts.repositories.open(commit.as_str()).await.unwrap();
    assert!(kept.has_commit(&commit).await.unwrap());
    assert_eq!(received(&mut ada, &commit, &digest).await, 0, "the part is gone once the whole is in");
    // One that is not what was announced, and one that is larger than what is taken.
    let other = "0".repeat(64);
    assert_eq!(put(&mut ada, &commit, (&other, pack.len() as u64), 0, &pack).await, Err(ErrorCode::Conflict));
    assert_eq!(received(&mut ada, &commit, &other).await, 0);
    assert_eq!(put(&mut ada, &commit, (&other, u64::MAX), 0, &pack).await, Err(ErrorCode::InvalidInput));
    // In one go, as older releases send it.
    put(&mut bob, &commit, ("", 0), 0, &pack).await.unwrap();
    running.stop().await.unwrap();
}
