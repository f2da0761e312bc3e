//! The repository against real git: what comes in, what is made of it, and that a redo makes the same.
#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use roundtable_core::command::Prepared;
use roundtable_core::effect::PrepareIntegration;
use roundtable_runtime::git::{CheckoutRequest, EntryMode, PackRequest, RefUpdate, Sender, Signature, TreeEdit};
use roundtable_shared::{AttemptNo, ChangeKind, EntryKind, TaskId};

use super::*;

const TASKS: &str = "# Plan\n\n- [ ] 1. One\n  - [ ] 1.1 Part\n- [ ] 2. Two\n";

/// A person's repository and the coordinator's copy of its head.
struct Place {
    home: tempfile::TempDir,
    program: GitProgram,
    repository: Repository,
    base: CommitId,
}

impl Place {
    async fn new(files: &[(&str, &str)]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let program = GitProgram::find().await.unwrap();
        let user = home.path().join("user");
        std::fs::create_dir(&user).unwrap();
        git(&user, &["init", "--quiet", "--initial-branch=main"]);
        for (path, text) in files {
            write(&user.join(path), text);
        }
        git(&user, &["add", "--all"]);
        git(&user, &["commit", "--quiet", "--allow-empty", "-m", "base"]);
        let base = CommitId::new(git(&user, &["rev-parse", "HEAD"]).trim());
        let repositories = Repositories::new(home.path().join("repos"), program.clone());
        let repository = repositories.open(base.as_str()).await.unwrap();
        let place = Self { home, program, repository, base };
        place.upload(&place.base, &[]).await.unwrap();
        place.repository.begin_run(&run(), &place.base).await.unwrap();
        place
    }

    fn user(&self) -> PathBuf {
        self.home.path().join("user")
    }

    /// Sends a commit of the person's repository as its owner does.
    async fn upload(&self, commit: &CommitId, haves: &[CommitId]) -> Result<(), RepositoryError> {
        let user = self.program.discover(&self.user()).await.unwrap();
        let haves = haves.iter().map(|have| Oid::try_from(have).unwrap()).collect();
        let request = PackRequest { wants: vec![Oid::try_from(commit).unwrap()], haves, history_max: Some(50) };
        let mut pack = Vec::new();
        user.git().pack(&request, &mut pack).await.unwrap();
        let mut incoming = self.repository.receive(commit, Sender::Owner)?;
        for piece in pack.chunks(1000) {
            incoming.push(piece).await?;
        }
        incoming.finish().await
    }

    /// Commits files on top of a commit, as an attempt would; `None` removes.
    async fn attempt(&self, on: &CommitId, files: &[(&str, Option<&str>)]) -> CommitId {
        let store = &self.repository.git;
        let mut edits = Vec::new();
        for (path, text) in files {
            let path = (*path).to_owned();
            edits.push(match text {
                Some(text) => TreeEdit::Put { path, mode: EntryMode::File, oid: store.write_blob(*text).await.unwrap() },
                None => TreeEdit::Remove { path },
            });
        }
        let on = Oid::try_from(on).unwrap();
        let tree = store.edit_tree(&on, &edits).await.unwrap();
        store.commit_tree(&tree, &[on], &Signature::roundtable(9), "attempt\n").await.unwrap().commit_id()
    }

    fn request(&self, tip: &CommitId, commit: &CommitId) -> IntegrateRequest {
        IntegrateRequest {
            asked: PrepareIntegration {
                run: run(),
                unit: "2".into(),
                base: self.base.clone(),
                tip: tip.clone(),
                commit: commit.clone(),
                attempt: AttemptNo(3),
                title: "Two".to_owned(),
                ticks: Vec::new(),
                reviewed_by: vec!["codex-review".into(), "scripted:/tmp/play.json".into(), "codex-review".into()],
                keeps_agents_md: false,
                date_ms: 1_700_000_000_123,
            },
            dropped: ["tasks.md", "requirements.md", "design.md", "bugfix.md"].map(|name| format!("spec/{name}")).to_vec(),
            tick_path: Some("spec/tasks.md".to_owned()),
        }
    }

    async fn text(&self, commit: &CommitId, path: &str) -> Option<String> {
        self.repository.read_file(commit, path).await.unwrap().map(|bytes| String::from_utf8(bytes).unwrap())
    }

    async fn close(&self, tip: &CommitId, learnings: &[(&str, &[&str])]) -> Option<CommitId> {
        let learnings =
            learnings.iter().map(|(text, paths)| ((*text).to_owned(), paths.iter().map(|path| (*path).to_owned()).collect())).collect();
        let request = CloseRequest { tip: tip.clone(), tick_path: None, ticks: Vec::new(), learnings, date_ms: 5_000 };
        self.repository.close(&request).await.unwrap()
    }

    async fn message(&self, commit: &CommitId) -> String {
        self.repository.git.commit_info(&Oid::try_from(commit).unwrap()).await.unwrap().message
    }

    async fn parents(&self, commit: &CommitId) -> Vec<CommitId> {
        let info = self.repository.git.commit_info(&Oid::try_from(commit).unwrap()).await.unwrap();
        info.parents.iter().map(Oid::commit_id).collect()
    }
}

fn run() -> RunId {
    "spec-abc234".into()
}

fn key(unit: Option<&str>, attempt: u32) -> AttemptKey {
    AttemptKey { run: run(), unit: unit.map(Into::into), attempt: AttemptNo(attempt) }
}

fn git(dir: &Path, args: &[&str]) -> String {
    let mut command = Command::new("git");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("GIT_")) {
        command.env_remove(name);
    }
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null").env("LC_ALL", "C");
    command.args(["-c", "user.name=Person", "-c", "user.email=person@example.com"]).args(args).current_dir(dir);
    let output = command.output().unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn clean(prepared: Prepared) -> (CommitId, Vec<(String, ChangeKind)>) {
    match prepared {
        Prepared::Clean { commit, changed } => (commit, changed.into_iter().map(|change| (change.path, change.change)).collect()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_a_repository_lacks_is_seen_on_the_disk_and_one_that_is_gone_can_be_filled_again() {
    let place = Place::new(&[("a", "1")]).await;
    let repositories = Repositories::new(place.home.path().join("repos"), place.program.clone());
    let (key, other) = (place.base.to_string(), CommitId::new("1".repeat(40)));
    let asked = [place.base.clone(), other.clone()];
    repositories.open(&key).await.unwrap();
    assert_eq!(repositories.lacking(&key, &asked).await.unwrap(), [other]);
    std::fs::remove_dir_all(repositories.root()).unwrap();
    assert_eq!(repositories.lacking(&key, &asked).await.unwrap(), asked);
    assert!(!repositories.root().exists(), "looking makes nothing");
    let anew = Place { repository: repositories.open(&key).await.unwrap(), ..place };
    anew.upload(&anew.base, &[]).await.unwrap();
    assert_eq!(repositories.lacking(&key, &asked[..1]).await.unwrap(), []);
    anew.repository.begin_run(&run(), &anew.base).await.unwrap();
}

#[tokio::test]
async fn keys_are_commit_ids() {
    let home = tempfile::tempdir().unwrap();
    let repositories = Repositories::new(home.path().to_owned(), GitProgram::find().await.unwrap());
    for bad in ["", "../../etc", "HEAD", "--bare", &"A".repeat(40)] {
        assert!(matches!(repositories.open(bad).await, Err(RepositoryError::Key(_))), "{bad:?}");
    }
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
    repositories.open(&"a".repeat(40)).await.unwrap();
    let made = home.path().join(format!("{}.git", "a".repeat(40)));
    assert!(made.join("HEAD").exists());
    assert_eq!(std::fs::metadata(made).unwrap().permissions().mode() & 0o777, 0o700);
}

#[tokio::test]
async fn an_upload_that_is_not_what_was_announced_is_refused() {
    let place = Place::new(&[("a", "1")]).await;
    assert!(place.repository.has_commit(&place.base).await.unwrap());
    let never = CommitId::new("b".repeat(40));
    for bytes in [&b""[..], b"garbage", b"PACK"] {
        let mut incoming = place.repository.receive(&never, Sender::Peer).unwrap();
        incoming.push(bytes).await.unwrap();
        let error = incoming.finish().await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidInput, "{error}");
    }
    assert!(place.repository.receive(&CommitId::new("--help"), Sender::Peer).is_err());
    let mut dropped = place.repository.receive(&never, Sender::Peer).unwrap();
    dropped.push(b"PACK").await.unwrap();
    drop(dropped);
    assert!(!place.repository.has_commit(&never).await.unwrap());
}

#[tokio::test]
async fn a_pack_goes_out_thin_and_comes_back_from_a_worker() {
    let place = Place::new(&[("a", "1"), ("big", &"line\n".repeat(50_000))]).await;
    let worker = place.program.init_bare(place.home.path().join("worker.git"), ObjectFormat::Sha1).await.unwrap();
    let collect = async |commit: &CommitId, haves: &[CommitId]| {
        let mut stream = place.repository.send(commit, haves).unwrap();
        let mut pack = Vec::new();
        while let Some(piece) = stream.recv().await {
            pack.extend_from_slice(&piece.unwrap());
        }
        pack
    };
    let pack = collect(&place.base, &[]).await;
    let base = Oid::try_from(&place.base).unwrap();
    let tips = std::slice::from_ref(&base);
    worker.receive_pack(&mut pack.as_slice(), tips, Sender::Coordinator, Default::default()).await.unwrap().keep().await.unwrap();
    let request = CheckoutRequest {
        dir: place.home.path().join("tree"),
        private: place.home.path().join("private"),
        commit: base.clone(),
        branch: "x".to_owned(),
    };
    let checkout = worker.checkout(&request).await.unwrap();
    write(&checkout.dir.join("b"), "new");
    let by = Signature::roundtable(1);
    let request = roundtable_runtime::git::SnapshotRequest {
        checkout: &checkout,
        withheld: &[],
        parents: tips,
        by: &by,
        message: "attempt\n",
        limits: Default::default(),
    };
    let snapshot = worker.snapshot(&request).await.unwrap();
    let mut back = Vec::new();
    worker.pack(&PackRequest { wants: vec![snapshot.commit.clone()], haves: tips.to_vec(), history_max: None }, &mut back).await.unwrap();
    assert!(back.len() < 1000, "{}", back.len());
    let commit = snapshot.commit.commit_id();
    let mut incoming = place.repository.receive(&commit, Sender::Peer).unwrap();
    incoming.push(&back).await.unwrap();
    incoming.finish().await.unwrap();
    place.repository.keep_attempt(&key(Some("1"), 1), &commit).await.unwrap();
    let changed = place.repository.changed(&place.base, &commit).await.unwrap();
    assert_eq!(changed.iter().map(|change| change.path.as_str()).collect::<Vec<_>>(), ["b"]);
    let thin = collect(&commit, std::slice::from_ref(&place.base)).await;
    assert!(thin.len() < 1000, "{}", thin.len());
    let mut gone = place.repository.send(&CommitId::new("c".repeat(40)), &[]).unwrap();
    assert!(gone.recv().await.unwrap().is_err());
}

#[tokio::test]
async fn attempts_are_kept_once_under_odd_names() {
    let place = Place::new(&[("a", "1")]).await;
    let other = place.attempt(&place.base, &[("a", Some("2"))]).await;
    for unit in [None, Some("1"), Some("1.2"), Some("-"), Some("a/b"), Some(".."), Some("ü"), Some("x.lock"), Some("%2F")] {
        let key = key(unit, 1);
        assert_eq!(place.repository.attempt(&key).await.unwrap(), None, "{unit:?}");
        place.repository.keep_attempt(&key, &other).await.unwrap();
        place.repository.keep_attempt(&key, &other).await.unwrap();
        assert!(matches!(place.repository.keep_attempt(&key, &place.base).await, Err(RepositoryError::Refused(_))));
        assert_eq!(place.repository.attempt(&key).await.unwrap(), Some(other.clone()));
        place.repository.keep_start(&key, &place.base).await.unwrap();
        assert_eq!(place.repository.start(&key).await.unwrap(), Some(place.base.clone()));
    }
    place.repository.keep_person(&other).await.unwrap();
    place.repository.keep_person(&other).await.unwrap();
}

#[tokio::test]
async fn the_branch_moves_by_compare_and_swap_and_a_redo_is_fine() {
    let place = Place::new(&[("a", "1")]).await;
    let (one, two) = (place.attempt(&place.base, &[("a", Some("2"))]).await, place.attempt(&place.base, &[("a", Some("3"))]).await);
    place.repository.begin_run(&run(), &place.base).await.unwrap();
    place.repository.move_branch(&run(), &place.base, &one).await.unwrap();
    place.repository.move_branch(&run(), &place.base, &one).await.unwrap();
    let error = place.repository.move_branch(&run(), &place.base, &two).await.unwrap_err();
    assert!(matches!(error, RepositoryError::Git(GitError::RefMoved { .. })), "{error}");
    assert_eq!(place.repository.branch(&run()).await.unwrap(), Some(one.clone()));
    assert_eq!(place.repository.tips().await.unwrap(), [one]);
}

#[tokio::test]
async fn refs_that_others_moved_or_deleted_are_put_back_where_the_objects_are() {
    let place = Place::new(&[("a", "1")]).await;
    let (one, two) = (place.attempt(&place.base, &[("a", Some("2"))]).await, place.attempt(&place.base, &[("a", Some("3"))]).await);
    let repository = &place.repository;
    assert!(repository.put_branch(&run(), Some(&place.base), &one).await.unwrap());
    assert!(!repository.put_branch(&run(), Some(&place.base), &two).await.unwrap(), "it moved since it was looked at");
    assert_eq!(repository.branch(&run()).await.unwrap(), Some(one.clone()));
    let key = |attempt| AttemptKey { run: run(), unit: Some("2".into()), attempt: AttemptNo(attempt) };
    for attempt in 1..=3 {
        repository.keep_attempt(&key(attempt), &one).await.unwrap();
    }
    let name = |attempt| attempt_ref("roundtable", &key(attempt)).unwrap();
    let (first, second) = (Oid::try_from(&one).unwrap(), Oid::try_from(&two).unwrap());
    repository.git.update_refs(&[RefUpdate { name: name(1), from: Some(first.clone()), to: None }]).await.unwrap();
    repository.git.move_ref(&name(2), Some(&first), &second).await.unwrap();
    let gone = CommitId::new("1234567890123456789012345678901234567890");
    let log = [(key(1), one.clone()), (key(2), one.clone()), (key(3), one.clone()), (key(4), gone)];
    assert_eq!(repository.put_attempts(&run(), &log).await.unwrap(), 2);
    for attempt in 1..=3 {
        assert_eq!(repository.git.read_ref(&name(attempt)).await.unwrap(), Some(first.clone()));
    }
    assert_eq!(repository.git.read_ref(&name(4)).await.unwrap(), None, "what is nowhere cannot be put back");
    assert_eq!(repository.put_attempts(&run(), &log).await.unwrap(), 0);
}

/// Which commit closes a run the log hears only after the branch has been moved to it: one that was killed between the two, or asked in between, must not
/// take that for somebody else's work.
#[tokio::test]
async fn a_branch_belongs_where_a_move_of_ours_has_brought_it_before_the_log_says_so() {
    let place = Place::new(&[("a", "1")]).await;
    let tip = place.attempt(&place.base, &[("a", Some("2"))]).await;
    let later = place.attempt(&tip, &[("b", Some("2"))]).await;
    let beside = place.attempt(&place.base, &[("a", Some("3"))]).await;
    for (found, intended, is_closing, belongs) in [
        (&tip, None, false, true),
        (&later, None, false, false),
        (&later, Some(&later), false, true),
        (&later, None, true, true),
        (&beside, None, true, false),
        (&place.base, None, true, false),
    ] {
        let branch = crate::lost::Belongs { tip: tip.clone(), intended: intended.cloned(), is_closing };
        assert_eq!(branch.has(&place.repository, found).await.unwrap(), belongs, "{found} {intended:?} {is_closing}");
    }
}

#[tokio::test]
async fn facts_for_the_manifest_check() {
    use std::os::unix::fs::symlink;
    let place = Place::new(&[("mode", "1"), ("old", "some text"), ("gone", "1")]).await;
    let user = place.user();
    std::fs::set_permissions(user.join("mode"), std::fs::Permissions::from_mode(0o755)).unwrap();
    git(&user, &["mv", "old", "new"]);
    git(&user, &["rm", "--quiet", "gone"]);
    symlink("mode", user.join("inside")).unwrap();
    symlink("../secret", user.join("outside")).unwrap();
    git(&user, &["add", "--all"]);
    git(&user, &["update-index", "--add", "--cacheinfo", &format!("160000,{},sub", place.base)]);
    git(&user, &["commit", "--quiet", "-m", "x"]);
    let tip = CommitId::new(git(&user, &["rev-parse", "HEAD"]).trim());
    place.upload(&tip, std::slice::from_ref(&place.base)).await.unwrap();
    let facts = place.repository.changed(&place.base, &tip).await.unwrap();
    let facts: Vec<_> = facts.iter().map(|fact| (fact.path.as_str(), fact.change, fact.entry, fact.unreadable)).collect();
    assert_eq!(
        facts,
        [
            ("gone", ChangeKind::Deleted, EntryKind::File, false),
            ("inside", ChangeKind::Added, EntryKind::Symlink, false),
            ("mode", ChangeKind::ModeChanged, EntryKind::Executable, false),
            ("new", ChangeKind::Added, EntryKind::File, false),
            ("old", ChangeKind::Deleted, EntryKind::File, false),
            ("outside", ChangeKind::Added, EntryKind::EscapingSymlink, false),
            ("sub", ChangeKind::Added, EntryKind::Gitlink, false),
        ]
    );
    use std::os::unix::ffi::OsStrExt;
    std::fs::write(user.join(std::ffi::OsStr::from_bytes(b"no\xffname")), "x").unwrap();
    git(&user, &["add", "--all"]);
    git(&user, &["commit", "--quiet", "-m", "y"]);
    let odd = CommitId::new(git(&user, &["rev-parse", "HEAD"]).trim());
    place.upload(&odd, std::slice::from_ref(&tip)).await.unwrap();
    let facts = place.repository.changed(&tip, &odd).await.unwrap();
    assert!(facts.len() == 1 && facts[0].unreadable, "{facts:?}");
}

#[tokio::test]
async fn a_units_commit_lies_on_the_tip_and_is_the_same_again() {
    let place = Place::new(&[("a", "1\n"), ("b", "1\n"), ("spec/tasks.md", TASKS)]).await;
    let tip = place.attempt(&place.base, &[("a", Some("2\n"))]).await;
    let work = place.attempt(&place.base, &[("b", Some("2\n")), ("d/new", Some("3\n"))]).await;
    let mut request = place.request(&tip, &work);
    request.asked.ticks = vec![TaskId::new("2"), TaskId::new("1.1")];
    let (commit, changed) = clean(place.repository.prepare(&request).await.unwrap());
    assert_eq!(
        changed,
        [("b".to_owned(), ChangeKind::Modified), ("d/new".to_owned(), ChangeKind::Added)],
        "ticks are ours, not the unit's"
    );
    assert_eq!(place.parents(&commit).await, [tip]);
    assert_eq!(place.message(&commit).await, "Two\n\nUnit-Id: 2\nAttempt: 3\nReviewed-by-agent: codex-review, scripted\n");
    assert_eq!(place.text(&commit, "a").await.as_deref(), Some("2\n"));
    let tasks = place.text(&commit, "spec/tasks.md").await.unwrap();
    assert_eq!(tasks, TASKS.replace("[ ] 1.1", "[x] 1.1").replace("[ ] 2.", "[x] 2."));
    assert_eq!(clean(place.repository.prepare(&request).await.unwrap()).0, commit);
    let trailers = git(
        &place.home.path().join(format!("repos/{}.git", place.base)),
        &["log", "-1", "--format=%(trailers:only,unfold)|%an|%at", commit.as_str()],
    );
    assert!(trailers.contains("Unit-Id: 2\nAttempt: 3\n") && trailers.contains("|Roundtable|1700000000"), "{trailers}");
}

#[tokio::test]
async fn titles_cannot_forge_trailers() {
    let place = Place::new(&[("a", "1\n")]).await;
    let work = place.attempt(&place.base, &[("a", Some("2\n"))]).await;
    let mut request = place.request(&place.base, &work);
    request.asked.title = "Fine\n\nUnit-Id: 9\u{0}".to_owned();
    let (commit, _) = clean(place.repository.prepare(&request).await.unwrap());
    assert!(place.message(&commit).await.starts_with("Fine  Unit-Id: 9\n\nUnit-Id: 2\n"));
    request.asked.title = " ".to_owned();
    let (commit, _) = clean(place.repository.prepare(&request).await.unwrap());
    assert!(place.message(&commit).await.starts_with("Unit 2\n\nUnit-Id: 2\n"));
}

#[tokio::test]
async fn the_specs_own_files_and_learnings_are_left_alone() {
    let place = Place::new(&[("a", "1\n"), ("spec/tasks.md", TASKS), ("spec/design.md", "d\n"), ("AGENTS.md", "rules\n")]).await;
    let work = place
        .attempt(
            &place.base,
            &[
                ("a", Some("2\n")),
                ("spec/tasks.md", Some("- [x] 1. Forged\n")),
                ("spec/design.md", None),
                ("spec/bugfix.md", Some("new\n")),
                ("AGENTS.md", Some("mine\n")),
                ("d/AGENTS.md", Some("mine\n")),
            ],
        )
        .await;
    let mut request = place.request(&place.base, &work);
    let (commit, changed) = clean(place.repository.prepare(&request).await.unwrap());
    assert_eq!(changed, [("a".to_owned(), ChangeKind::Modified)]);
    assert_eq!(place.text(&commit, "spec/tasks.md").await.as_deref(), Some(TASKS));
    assert_eq!(place.text(&commit, "spec/bugfix.md").await, None);
    request.asked.keeps_agents_md = true;
    let (commit, changed) = clean(place.repository.prepare(&request).await.unwrap());
    assert_eq!(changed.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(), ["AGENTS.md", "a", "d/AGENTS.md"]);
    assert_eq!(place.text(&commit, "AGENTS.md").await.as_deref(), Some("mine\n"));
    let only_dropped = place.attempt(&place.base, &[("spec/tasks.md", Some("x")), ("AGENTS.md", Some("y"))]).await;
    let request = place.request(&place.base, &only_dropped);
    assert_eq!(place.repository.prepare(&request).await.unwrap(), Prepared::Empty);
}

#[tokio::test]
async fn spec_files_hidden_behind_a_file_or_directory_come_back() {
    let place = Place::new(&[("a", "1\n"), ("spec/tasks.md", TASKS)]).await;
    let as_directory = place.attempt(&place.base, &[("spec/tasks.md", None), ("spec/tasks.md/x", Some("1")), ("a", Some("2\n"))]).await;
    let (commit, changed) = clean(place.repository.prepare(&place.request(&place.base, &as_directory)).await.unwrap());
    assert_eq!(changed, [("a".to_owned(), ChangeKind::Modified)]);
    assert_eq!(place.text(&commit, "spec/tasks.md").await.as_deref(), Some(TASKS));
    let as_file = place.attempt(&place.base, &[("spec/tasks.md", None), ("spec", Some("1"))]).await;
    assert_eq!(place.repository.prepare(&place.request(&place.base, &as_file)).await.unwrap(), Prepared::Empty);
}

#[tokio::test]
async fn a_conflict_names_paths_and_says_why_and_changes_nothing() {
    let place = Place::new(&[("a", "1\n"), ("b", "1\n")]).await;
    let tip = place.attempt(&place.base, &[("a", Some("2\n"))]).await;
    let work = place.attempt(&place.base, &[("a", Some("3\n")), ("b", Some("3\n"))]).await;
    let Prepared::Conflict { paths, evidence } = place.repository.prepare(&place.request(&tip, &work)).await.unwrap() else { panic!() };
    assert_eq!(paths, ["a"]);
    assert!(evidence.contains("Merge conflict in a"), "{evidence}");
    assert!(matches!(place.repository.merge_with_tip(&place.base, &work, &tip).await.unwrap(), Prepared::Conflict { .. }));
    let start = place.repository.merged_start(&place.base, &work, &tip).await.unwrap();
    assert_eq!(start.conflicts, ["a"]);
    assert_eq!(place.parents(&start.commit).await, [tip.clone(), work.clone()]);
    let text = place.text(&start.commit, "a").await.unwrap();
    assert!(text.contains("<<<<<<<") && text.contains("2\n=======\n3\n"), "{text}");
    assert_eq!(place.repository.merged_start(&place.base, &work, &tip).await.unwrap().commit, start.commit);
}

#[tokio::test]
async fn what_follows_a_rename_into_a_path_the_unit_never_named_goes_back() {
    let long = "a line of some length\n".repeat(30);
    let place = Place::new(&[("old", &long), ("b", "1\n")]).await;
    let tip = place.attempt(&place.base, &[("old", None), ("new", Some(&long))]).await;
    let work = place.attempt(&place.base, &[("old", Some(&format!("{long}more\n"))), ("b", Some("2\n"))]).await;
    for prepared in [
        place.repository.prepare(&place.request(&tip, &work)).await.unwrap(),
        place.repository.merge_with_tip(&place.base, &work, &tip).await.unwrap(),
    ] {
        let Prepared::Conflict { paths, evidence } = prepared else { panic!("{prepared:?}") };
        assert_eq!(paths, ["new"]);
        assert!(evidence.contains("renamed"), "{evidence}");
    }
}

#[tokio::test]
async fn a_merge_with_the_tip_is_a_start_that_keeps_both() {
    let place = Place::new(&[("a", "1\n"), ("b", "1\n")]).await;
    let tip = place.attempt(&place.base, &[("a", Some("2\n"))]).await;
    let work = place.attempt(&place.base, &[("b", Some("2\n"))]).await;
    let (commit, changed) = clean(place.repository.merge_with_tip(&place.base, &work, &tip).await.unwrap());
    assert_eq!(changed, [("b".to_owned(), ChangeKind::Modified)]);
    assert_eq!(place.parents(&commit).await, [tip.clone(), work.clone()]);
    let start = place.repository.merged_start(&place.base, &work, &tip).await.unwrap();
    assert_eq!((start.commit, start.conflicts.len()), (commit, 0));
    assert_eq!(place.repository.merge_with_tip(&place.base, &place.base, &tip).await.unwrap(), Prepared::Empty);
}

#[tokio::test]
async fn boxes_are_ticked_only_where_the_plan_is_tracked() {
    let place = Place::new(&[("a", "1\n")]).await;
    let work = place.attempt(&place.base, &[("a", Some("2\n"))]).await;
    let mut request = place.request(&place.base, &work);
    request.asked.ticks = vec![TaskId::new("2")];
    let (commit, _) = clean(place.repository.prepare(&request).await.unwrap());
    assert_eq!(place.repository.files(&commit, 10).await.unwrap(), (vec!["a".to_owned()], false));
    assert_eq!(place.repository.files(&commit, 0).await.unwrap(), (Vec::new(), true));
}

#[tokio::test]
async fn the_closing_commit_ticks_and_records_learnings_nearest_to_the_files() {
    let files = [("spec/tasks.md", TASKS), ("x/AGENTS.md", "# X\n"), ("x/y/f", "1"), ("z/f", "1")];
    let place = Place::new(&files).await;
    let request = CloseRequest {
        tip: place.base.clone(),
        tick_path: Some("spec/tasks.md".to_owned()),
        ticks: vec![TaskId::new("1")],
        learnings: vec![
            ("Near X".to_owned(), vec!["x/y/f".to_owned()]),
            ("General".to_owned(), vec!["x/y/f".to_owned(), "z/f".to_owned()]),
            ("general".to_owned(), vec![]),
        ],
        date_ms: 5_000,
    };
    let commit = place.repository.close(&request).await.unwrap().unwrap();
    assert_eq!(place.parents(&commit).await, std::slice::from_ref(&place.base));
    assert!(!place.message(&commit).await.contains("Unit-Id"));
    assert_eq!(place.text(&commit, "x/AGENTS.md").await.as_deref(), Some("# X\n\n## Learnings\n\n- Near X\n"));
    assert_eq!(place.text(&commit, "AGENTS.md").await.as_deref(), Some("## Learnings\n\n- General\n"));
    assert!(place.text(&commit, "spec/tasks.md").await.unwrap().contains("- [x] 1. One"));
    assert_eq!(place.repository.close(&request).await.unwrap(), Some(commit.clone()), "the same again");
    let again = CloseRequest { tip: commit, ..request };
    assert_eq!(place.repository.close(&again).await.unwrap(), None, "nothing is left to do");
    assert_eq!(place.close(&place.base, &[]).await, None);
}

#[tokio::test]
async fn learnings_never_damage_what_is_no_text() {
    use std::os::unix::fs::symlink;
    let place = Place::new(&[("CLAUDE.md", "# C\n"), ("d/f", "1"), ("e/f", "1"), ("binary/f", "1")]).await;
    let user = place.user();
    symlink("CLAUDE.md", user.join("AGENTS.md")).unwrap();
    symlink("../../outside", user.join("d/AGENTS.md")).unwrap();
    std::fs::write(user.join("binary/AGENTS.md"), b"\xff\xfe").unwrap();
    git(&user, &["add", "--all"]);
    git(&user, &["commit", "--quiet", "-m", "links"]);
    let tip = CommitId::new(git(&user, &["rev-parse", "HEAD"]).trim());
    place.upload(&tip, std::slice::from_ref(&place.base)).await.unwrap();
    let commit = place.close(&tip, &[("One", &["d/f"]), ("Two", &["e/f"]), ("Three", &["binary/f"])]).await.unwrap();
    let changed = place.repository.changed(&tip, &commit).await.unwrap();
    assert_eq!(changed.iter().map(|change| change.path.as_str()).collect::<Vec<_>>(), ["CLAUDE.md"]);
    assert_eq!(place.text(&commit, "CLAUDE.md").await.as_deref(), Some("# C\n\n## Learnings\n\n- One\n- Two\n- Three\n"));
    let directory = place.attempt(&place.base, &[("AGENTS.md/inner", Some("1"))]).await;
    assert_eq!(place.close(&directory, &[("One", &["e/f"])]).await, None, "a directory of that name is no place for it");
}

#[tokio::test]
async fn a_file_in_another_encoding_is_told_from_an_edit_of_it() {
    let place = Place::new(&[("lf", "one\ntwo\n"), ("edited", "one\ntwo\n"), ("mark", "x\n"), ("gone", "x\n"), ("wide", "one\n")]).await;
    let utf16: String = "one\r\n".chars().flat_map(|letter| [letter, '\0']).collect();
    let files = [
        ("lf", Some("one\r\ntwo\r\n")),
        ("edited", Some("one\r\n2\r\n")),
        ("mark", Some("\u{feff}x\n")),
        ("gone", None),
        ("wide", Some(utf16.as_str())),
        ("new", Some("x\r\n")),
    ];
    let attempt = place.attempt(&place.base, &files).await;
    let changed = place.repository.changed(&place.base, &attempt).await.unwrap();
    let reencoded: Vec<&str> = changed.iter().filter(|change| change.reencoded).map(|change| change.path.as_str()).collect();
    assert_eq!((changed.len(), reencoded), (6, vec!["lf", "mark", "wide"]));
    assert_eq!(place.repository.changed(&place.base, &attempt).await.unwrap(), changed, "what is remembered is the same");
}

#[tokio::test]
async fn an_attempt_comes_of_its_start_or_is_refused() {
    let place = Place::new(&[("a", "1\n")]).await;
    let started = place.attempt(&place.base, &[("a", Some("2\n"))]).await;
    let worked = place.attempt(&started, &[("b", Some("2\n"))]).await;
    let beside = place.attempt(&place.base, &[("c", Some("2\n"))]).await;
    let store = &place.repository.git;
    let tree = store.tree_of(&Oid::try_from(&worked).unwrap()).await.unwrap();
    let orphan = store.commit_tree(&tree, &[], &Signature::roundtable(9), "attempt\n").await.unwrap().commit_id();
    let foreign = place.attempt(&orphan, &[("d", Some("2\n"))]).await;
    let key = AttemptKey { run: run(), unit: Some("2".into()), attempt: AttemptNo(3) };
    for (kept, named) in [(false, None), (false, Some(&started)), (true, None)] {
        if kept {
            place.repository.keep_start(&key, &started).await.unwrap();
        }
        for taken in [&worked, &started, &beside, &place.base] {
            crate::report::comes_of_its_start(&place.repository, &key, named, &place.base, taken).await.unwrap();
        }
        for refused in [&orphan, &foreign] {
            let error = crate::report::comes_of_its_start(&place.repository, &key, named, &place.base, refused).await.unwrap_err();
            assert!(
                matches!(error, crate::report::ReportError::Unbelievable(_)) && error.to_string().contains("does not come of"),
                "{error}"
            );
        }
    }
}

#[tokio::test]
async fn the_newest_of_what_is_saved_on_the_way_is_kept_until_it_is_let_go() {
    let place = Place::new(&[("a", "1\n")]).await;
    let first = place.attempt(&place.base, &[("a", Some("2\n"))]).await;
    let second = place.attempt(&place.base, &[("a", Some("3\n"))]).await;
    let key = AttemptKey { run: run(), unit: Some("2".into()), attempt: AttemptNo(3) };
    let repository = &place.repository;
    assert_eq!(repository.saved(&key).await.unwrap(), None);
    for (saved, again) in [(&first, false), (&second, false), (&second, true)] {
        repository.keep_saved(&key, saved).await.unwrap();
        assert_eq!(repository.saved(&key).await.unwrap().as_ref(), Some(saved), "again: {again}");
    }
    let other = AttemptKey { attempt: AttemptNo(4), ..key.clone() };
    assert_eq!(repository.saved(&other).await.unwrap(), None);
    // One that somebody has deleted is put back, and one that is not here cannot be.
    repository.drop_saved(&key).await.unwrap();
    let kept = [(key.clone(), second.clone()), (other.clone(), CommitId::new("0123456789".repeat(4)))];
    assert_eq!(repository.put_saved(&kept).await.unwrap(), 1);
    assert_eq!(repository.put_saved(&kept).await.unwrap(), 0);
    repository.keep_attempt(&key, &first).await.unwrap();
    assert_eq!(repository.saved(&key).await.unwrap(), Some(second), "they are two things");
    repository.drop_saved(&key).await.unwrap();
    repository.drop_saved(&key).await.unwrap();
    assert_eq!(repository.saved(&key).await.unwrap(), None);
    assert_eq!(repository.attempt(&key).await.unwrap(), Some(first));
}

/// Bytes that no delta and no compression makes less.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 7_u64;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(count).collect()
}

/// A pack and what it is called.
async fn all_of(sent: Sent) -> (String, Vec<u8>) {
    let Sent { name, mut pieces } = sent;
    let mut pack = Vec::new();
    while let Some(piece) = pieces.recv().await {
        pack.extend_from_slice(&piece.unwrap());
    }
    (name, pack)
}

#[tokio::test]
async fn a_large_pack_is_kept_and_gone_on_with_where_it_was_cut() {
    let place = Place::new(&[("a", "1\n")]).await;
    let store = &place.repository.git;
    let oid = store.write_blob(noise(3 << 20)).await.unwrap();
    let base = Oid::try_from(&place.base).unwrap();
    let edit = TreeEdit::Put { path: "large".to_owned(), mode: EntryMode::File, oid };
    let tree = store.edit_tree(&base, &[edit]).await.unwrap();
    let commit = store.commit_tree(&tree, &[base], &Signature::roundtable(9), "large\n").await.unwrap().commit_id();
    let send = |cut: Option<Cut>| place.repository.send_kept(&commit, &[], cut);

    let (name, whole) = all_of(send(None).await.unwrap()).await;
    assert!(!name.is_empty() && whole.len() > 3 << 20);
    for offset in [0, 1, 1 << 20, whole.len()] {
        let cut = Cut { pack: name.clone(), offset: offset as u64 };
        let (same, rest) = all_of(send(Some(cut)).await.unwrap()).await;
        assert!(same == name && rest == whole[offset..], "from {offset}");
    }
    let (shared, again) = all_of(send(None).await.unwrap()).await;
    assert!(shared == name && again == whole, "who wants the same gets the same");
    let beyond = Cut { pack: name.clone(), offset: whole.len() as u64 + 1 };
    assert!(matches!(send(Some(beyond)).await, Err(RepositoryError::Refused(_))));
    let unknown = Cut { pack: "0".repeat(32), offset: 5 };
    assert!(all_of(send(Some(unknown)).await.unwrap()).await.1 == whole, "what is not known begins anew");
    let foreign = place.repository.send_kept(&place.base, &[], Some(Cut { pack: name.clone(), offset: 5 })).await.unwrap();
    assert_ne!(all_of(foreign).await.0, name, "a name is good for its commit alone");
    // Nothing of it lies about.
    let left = |dir: &Path| {
        std::fs::read_dir(dir).unwrap().flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(".tmp")).count()
    };
    assert_eq!(left(store.git_dir()), 0);
}

#[tokio::test]
async fn a_small_pack_is_sent_from_memory() {
    let place = Place::new(&[("a", "1\n")]).await;
    let commit = place.attempt(&place.base, &[("a", Some("2\n"))]).await;
    let (name, pack) = all_of(place.repository.send_kept(&commit, std::slice::from_ref(&place.base), None).await.unwrap()).await;
    assert!(name.is_empty() && pack.starts_with(b"PACK"));
    let missing = CommitId::new("0123456789".repeat(4));
    assert!(place.repository.send_kept(&missing, &[], None).await.is_err());
}

#[tokio::test]
async fn a_forgotten_run_takes_what_only_it_kept_along() {
    let place = Place::new(&[("a.rs", "one\n")]).await;
    write(&place.user().join("b.rs"), "two\n");
    git(&place.user(), &["add", "--all"]);
    git(&place.user(), &["commit", "--quiet", "-m", "work"]);
    let work = CommitId::new(git(&place.user(), &["rev-parse", "HEAD"]).trim());
    place.upload(&work, std::slice::from_ref(&place.base)).await.unwrap();
    place.repository.keep_attempt(&key(Some("2"), 1), &work).await.unwrap();
    place.repository.keep_person(&work).await.unwrap();
    let other = RunId::from("spec-abc235");
    place.repository.begin_run(&other, &place.base).await.unwrap();

    assert_eq!(place.repository.forget(&[run()], std::slice::from_ref(&work)).await.unwrap(), 3);
    assert_eq!(place.repository.forget(&[run()], &[]).await.unwrap(), 0);
    assert_eq!(place.repository.branch(&run()).await.unwrap(), None);
    assert_eq!(place.repository.attempt(&key(Some("2"), 1)).await.unwrap(), None);
    assert_eq!(place.repository.branch(&other).await.unwrap(), Some(place.base.clone()));
    assert!(!place.repository.collect(&[]).await.unwrap(), "what has just come is spared");

    // Another life, in which nothing came yet.
    let repositories = Repositories::new(place.home.path().join("repos"), place.program.clone());
    assert_eq!(repositories.to_collect().await.unwrap(), [place.base.to_string()]);
    let repository = repositories.open(place.base.as_str()).await.unwrap();
    assert!(repository.collect(std::slice::from_ref(&work)).await.unwrap());
    assert!(repository.has_commit(&work).await.unwrap(), "another run counts on it");
    assert_eq!(repository.forget(&[], std::slice::from_ref(&work)).await.unwrap(), 1);
    assert!(repository.collect(std::slice::from_ref(&place.base)).await.unwrap());
    assert!(repositories.to_collect().await.unwrap().is_empty());
    assert!(!repository.has_commit(&work).await.unwrap() && repository.has_commit(&place.base).await.unwrap());
    assert!(repository.damage(10).await.unwrap().is_empty());
}
