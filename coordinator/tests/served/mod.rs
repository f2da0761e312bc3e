//! A coordinator that is served, with a run to work on, for tests that are its workers.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;

use roundtable_coordinator::parts::Parts;
use roundtable_coordinator::serve::Running;
use roundtable_coordinator::submit::Submission;
use roundtable_runtime::clock::{Clock, SystemClock};
use roundtable_runtime::git::{EntryMode, GitProgram, ObjectFormat, Oid, PackRequest, Sender, Signature, TreeEdit};
use roundtable_runtime::identity::{Lifetime, PeerRole};
use roundtable_runtime::tls::connect;
use roundtable_shared::view::SubmitRequest;
use roundtable_shared::{CommitId, Mode, RunOptions};
use tonic::transport::Channel;

/// A repository with one commit comes in, as a person's does.
async fn with_a_commit(parts: &Parts) -> CommitId {
    let scratch = tempfile::tempdir().unwrap();
    let program = GitProgram::find().await.unwrap();
    let git = program.init_bare(scratch.path().join("own.git"), ObjectFormat::Sha1).await.unwrap();
    let nothing = Oid::parse("4b825dc642cb6eb9a060e54bf8d69288fbee4904").unwrap();
    let oid = git.write_blob("a file\n").await.unwrap();
    let tree = git.edit_tree(&nothing, &[TreeEdit::Put { path: "a.txt".to_owned(), mode: EntryMode::File, oid }]).await.unwrap();
    let base = git.commit_tree(&tree, &[], &Signature::roundtable(1), "base\n").await.unwrap();
    let mut pack = Vec::new();
    git.pack(&PackRequest { wants: vec![base.clone()], haves: Vec::new(), history_max: None }, &mut pack).await.unwrap();
    let repository = parts.repositories.open(base.as_str()).await.unwrap();
    let mut incoming = repository.receive(&base.commit_id(), Sender::Owner).unwrap();
    incoming.push(&pack).await.unwrap();
    incoming.finish().await.unwrap();
    base.commit_id()
}

/// A run of so many units, which get into nobody's way.
pub async fn submitted(parts: &Parts, units: u32) {
    let base = with_a_commit(parts).await;
    let tasks: String = (1..=units).map(|n| format!("- [ ] {n}. Write {n}\n  - _writes: {n}.rs_\n")).collect();
    let request = SubmitRequest {
        repository: base.to_string(),
        git_dir: "/home/user/project/.git".to_owned(),
        spec_path: "/home/user/project/spec".to_owned(),
        workdir: "/home/user/project".to_owned(),
        spec_in_repository: None,
        mirror_paths: Vec::new(),
        base: base.to_string(),
        started_branch: None,
        options: RunOptions { mode: Mode::Legacy, embedded: true, ..RunOptions::default() },
        mode_given: true,
        fresh: false,
        strict: false,
        dry_run: false,
        import: None,
        import_is_ours: false,
        import_is_trusted: false,
        top: "/home/user/project".to_owned(),
    };
    let files = BTreeMap::from([("tasks.md".to_owned(), tasks.into_bytes())]);
    let submitter = parts.submitter();
    let submission = Submission { request, files, attachments: Vec::new(), by: "ada".to_owned() };
    let reply = Box::pin(submitter.submit(submission)).await.unwrap();
    assert!(reply.errors.is_empty() && !reply.run.is_empty(), "{reply:?}");
}

/// A connection as that worker.
pub async fn channel(running: &Running, id: &str) -> Channel {
    let credentials = running.parts.ca.mint_client(PeerRole::Worker, id, SystemClock.wall(), Lifetime::WORKER).unwrap();
    connect(&running.address.to_string(), &credentials).await.unwrap()
}
