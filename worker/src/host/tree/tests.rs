//! Worktrees over real repositories: what comes in, what is committed, what a crash leaves.
#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt;

use roundtable_runtime::git::GitProgram;
use roundtable_shared::{AttemptKey, AttemptNo, LeaseId, LeaseRef, Role, Seat, Switches, TurnData};

use super::*;

/// A repository with one commit, and worktrees beside it.
struct Place {
    home: tempfile::TempDir,
    git: Git,
    base: Oid,
    trees: Trees,
}

impl Place {
    /// `fill` writes the files of the commit.
    async fn new(fill: impl FnOnce(&Path)) -> Self {
        let home = tempfile::tempdir().unwrap();
        let user = home.path().join("user");
        std::fs::create_dir(&user).unwrap();
        fill(&user);
        let program = GitProgram::find().await.unwrap();
        program.create_repository(&user, "main", &Signature::roundtable(1), "base\n").await.unwrap();
        let git = program.own(user.join(".git")).unwrap();
        let base = git.resolve_commit("HEAD").await.unwrap();
        let trees = Trees::open(home.path().join("trees"), u64::MAX).unwrap();
        Self { home, git, base, trees }
    }

    /// The same folder after the worker was started again.
    fn restarted(&self) -> Trees {
        Trees::open(self.home.path().join("trees"), u64::MAX).unwrap()
    }

    fn lease(&self, unit: &str, attempt: u32) -> Lease {
        Lease {
            lease: LeaseRef {
                key: AttemptKey { run: "demo-abcdef".into(), unit: Some(unit.into()), attempt: AttemptNo(attempt) },
                lease_id: LeaseId(u128::from(attempt) + 7),
            },
            seat: Seat::Work,
            role: Role::Implement,
            backend: "codex".into(),
            pool: "codex".into(),
            repository: "ab".repeat(20),
            base: self.base.commit_id(),
            start: self.base.commit_id(),
            prompt: String::new(),
            answer_schema: None,
            turn_data: TurnData::new("demo-abcdef", Role::Implement),
            resume: None,
            model: None,
            effort: None,
            wall_ms: 1,
            idle_ms: 1,
            output_bytes_max: 1,
            save_ms: 0,
            setup: None,
            check: None,
            has_attachments: false,
            read_only: false,
            switches: Switches::default(),
        }
    }

    async fn paths(&self, commit: &CommitId) -> Vec<String> {
        let commit = Oid::try_from(commit).unwrap();
        self.git.list_tree(&commit, None, 1000).await.unwrap().entries.into_iter().map(|entry| entry.path).collect()
    }
}

fn file(path: &str, text: &str) -> Attachment {
    Attachment { path: path.into(), mode: 0o644, data: text.as_bytes().to_vec() }
}

fn write(path: PathBuf, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

#[tokio::test]
async fn brought_files_are_in_no_commit_whatever_the_agent_does_and_whoever_commits() {
    let place = Place::new(|user| {
        write(user.join(".gitignore"), ".env\n");
        write(user.join("tracked.ini"), "of the base");
    })
    .await;
    let lease = place.lease("1", 1);
    let files = vec![file(".env", "TOKEN=0123456789\n"), file("keys/one", "0123456789abcdef"), file("tracked.ini", "of the user")];
    let tree = place.trees.make(&place.git, &lease, files).await.unwrap();
    assert_eq!(std::fs::read_to_string(tree.dir.join("tracked.ini")).unwrap(), "of the base");
    write(tree.dir.join(".gitignore"), "");
    write(tree.dir.join("work"), "done");
    write(tree.dir.join("tracked.ini"), "by the agent");
    std::fs::copy(tree.dir.join(".env"), tree.dir.join("env.bak")).unwrap();
    std::fs::rename(tree.dir.join("keys/one"), tree.dir.join("key.txt")).unwrap();
    write(tree.dir.join(".env"), "TOKEN=0123456789\nCHANGED=1\n");
    let expected = [".gitignore", "tracked.ini", "work"];
    let (commit, left_out) = place.trees.commit(&place.git, &lease, &tree).await.unwrap();
    assert_eq!(left_out.count, 2, "{left_out}");
    assert_eq!(place.paths(&commit).await, expected);
    drop(tree);

    // The worker was killed: the next life knows what was brought as well.
    let salvaged = place.restarted().salvage(&place.git, &lease).await.unwrap().unwrap();
    assert_eq!(place.paths(&salvaged).await, expected);

    // And where it cannot know, it commits nothing.
    let note = place.trees.homes(&lease)[0].join(WITHHELD);
    std::fs::write(note, "{").unwrap();
    assert!(place.restarted().salvage(&place.git, &lease).await.is_err());
}

#[tokio::test]
async fn what_is_done_so_far_is_committed_while_the_agent_works_on() {
    let place = Place::new(|user| write(user.join("a"), "1")).await;
    let lease = place.lease("1", 1);
    assert_eq!(place.trees.in_progress(&place.git, &lease).await.unwrap(), None, "it has no worktree yet");
    let tree = place.trees.make(&place.git, &lease, vec![file(".env", "TOKEN=0123456789\n")]).await.unwrap();
    assert_eq!(place.trees.in_progress(&place.git, &lease).await.unwrap(), None, "nothing is done yet");
    write(tree.dir.join("first"), "done");
    std::fs::copy(tree.dir.join(".env"), tree.dir.join("env.bak")).unwrap();
    let first = place.trees.in_progress(&place.git, &lease).await.unwrap().unwrap();
    assert_eq!(place.paths(&first).await, ["a", "first"]);
    assert_eq!(place.trees.in_progress(&place.git, &lease).await.unwrap(), Some(first), "the same again");
    assert_eq!(place.trees.in_progress(&place.git, &place.lease("1", 2)).await.unwrap(), None, "another attempt's");
    write(tree.dir.join("second"), "done");
    let second = place.trees.in_progress(&place.git, &lease).await.unwrap().unwrap();
    let (last, _) = place.trees.commit(&place.git, &lease, &tree).await.unwrap();
    assert_eq!(last, second, "nothing has happened since");
}

#[tokio::test]
async fn no_link_of_a_commit_leads_a_brought_file_elsewhere() {
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().to_owned();
    let place = Place::new(|user| {
        write(user.join("README"), "x");
        std::os::unix::fs::symlink(&target, user.join("config")).unwrap();
        std::os::unix::fs::symlink("../../../..", user.join("up")).unwrap();
        std::os::unix::fs::symlink(target.join("key"), user.join("key")).unwrap();
    })
    .await;
    let names = ["config/.env", "up/.env", "key", ".git/config", "../.env", "README/.env", "fine/.env"];
    let files = names.iter().map(|name| file(name, "TOKEN=0123456789\n")).collect();
    let tree = place.trees.make(&place.git, &place.lease("1", 1), files).await.unwrap();
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    assert!(!place.home.path().join(".env").exists() && !place.trees.root.join(".env").exists());
    assert!(tree.dir.join("key").is_symlink() && !std::fs::read_to_string(tree.dir.join(".git/config")).unwrap().contains("TOKEN"));
    assert_eq!(std::fs::read_to_string(tree.dir.join("fine/.env")).unwrap(), "TOKEN=0123456789\n");
    assert_eq!(tree.not_brought.len(), 5, "{:?}", tree.not_brought);
}

#[tokio::test]
async fn only_what_is_owed_outlives_a_restart_and_even_that_goes_once_delivered() {
    let place = Place::new(|user| write(user.join("a"), "1")).await;
    let (delivered, running, begun) = (place.lease("1", 1), place.lease("2", 2), place.lease("3", 3));
    for lease in [&delivered, &running, &begun] {
        let tree = place.trees.make(&place.git, lease, Vec::new()).await.unwrap();
        write(tree.dir.join("new"), "work");
        // An agent that took its repository away has still worked.
        std::fs::remove_dir_all(tree.dir.join(".git")).unwrap();
    }
    // Something no longer readable as an agent may leave it, and a tree the crash left half made.
    std::fs::set_permissions(place.trees.homes(&delivered)[0].join("tree"), std::fs::Permissions::from_mode(0o000)).unwrap();
    std::fs::remove_file(place.trees.homes(&begun)[0].join(WHOLE)).unwrap();

    let trees = place.restarted();
    trees.keep_only(&[running.clone(), begun.clone()]);
    // While it is owed, its folder is no other attempt's.
    let again = Lease { lease: LeaseRef { lease_id: LeaseId(99), ..running.lease.clone() }, ..running.clone() };
    let other = trees.make(&place.git, &again, Vec::new()).await.unwrap();
    assert!(!other.dir.starts_with(&trees.homes(&running)[0]));
    let salvaged = trees.salvage(&place.git, &running).await.unwrap().unwrap();
    assert_eq!(place.paths(&salvaged).await, ["a", "new"]);
    assert_eq!(trees.salvage(&place.git, &begun).await.unwrap(), None);
    for lease in [&running, &begun, &again] {
        trees.remove(lease, true).await;
    }
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    // But for those that lie idle, under no attempt's name.
    let named = || std::fs::read_dir(&trees.root).unwrap().filter(|entry| !is_idle(entry.as_ref().unwrap())).count();
    while named() > 0 || trees.yard.idle_count() < 2 {
        assert!(std::time::Instant::now() < deadline, "something is left of the worktrees");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let trees = place.restarted();
    trees.keep_only(&[]);
    while std::fs::read_dir(&trees.root).unwrap().count() > 0 {
        assert!(std::time::Instant::now() < deadline, "a restart throws idle ones away");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

fn is_idle(entry: &std::fs::DirEntry) -> bool {
    entry.file_name().to_string_lossy().starts_with(".idle-")
}

#[tokio::test]
async fn a_delivered_worktree_is_cleaned_and_used_again() {
    let place = Place::new(|user| {
        write(user.join("kept"), "1");
        write(user.join("edited"), "1");
    })
    .await;
    let inode = |path: &Path| std::os::unix::fs::MetadataExt::ino(&path.metadata().unwrap());
    let first = place.lease("1", 1);
    let tree = place.trees.make(&place.git, &first, Vec::new()).await.unwrap();
    let kept = inode(&tree.dir.join("kept"));
    write(tree.dir.join("edited"), "2");
    write(tree.dir.join("build/output"), "litter");
    write(tree.scratch.join("notes"), "of the first");
    write(tree.dir.join(".git/hooks/pre-commit"), "trap");
    place.trees.commit(&place.git, &first, &tree).await.unwrap();
    place.trees.remove(&first, true).await;
    let idle = || place.trees.yard.idle_count();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while idle() == 0 {
        assert!(std::time::Instant::now() < deadline, "it was thrown away");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }

    let other = Lease { repository: "cd".repeat(20), ..place.lease("2", 3) };
    place.trees.make(&place.git, &other, Vec::new()).await.unwrap();
    assert_eq!(idle(), 1, "another repository's is of no use");
    let second = place.lease("2", 2);
    let tree = place.trees.make(&place.git, &second, Vec::new()).await.unwrap();
    assert_eq!((idle(), inode(&tree.dir.join("kept"))), (0, kept), "what was not touched lies as it lay");
    assert_eq!(std::fs::read_to_string(tree.dir.join("edited")).unwrap(), "1");
    for gone in ["build", ".git/hooks/pre-commit"] {
        assert!(!tree.dir.join(gone).exists(), "{gone}");
    }
    assert!(!tree.scratch.join("notes").exists());
    assert!(tree.withheld.is_empty());
    let (commit, _) = place.trees.commit(&place.git, &second, &tree).await.unwrap();
    assert_eq!(place.paths(&commit).await, ["edited", "kept"]);
    assert!(place.restarted().salvage(&place.git, &first).await.unwrap().is_none(), "it is not the first one's any more");
    assert!(place.restarted().salvage(&place.git, &second).await.unwrap().is_some());
}

#[tokio::test]
async fn a_worktree_with_brought_files_does_not_outlive_its_attempt_nor_does_one_whose_room_is_wanted() {
    let place = Place::new(|user| write(user.join("a"), "1")).await;
    let brought = Lease { has_attachments: true, ..place.lease("1", 1) };
    let wanted = place.lease("2", 2);
    place.trees.make(&place.git, &brought, vec![file(".env", "TOKEN=0123456789")]).await.unwrap();
    place.trees.make(&place.git, &wanted, Vec::new()).await.unwrap();
    let home = place.trees.homes(&brought)[0].clone();
    assert!(home.join("tree/.env").exists());
    // The agent hides that anything was brought.
    std::fs::remove_file(home.join(WITHHELD)).unwrap();
    place.trees.remove(&brought, true).await;
    assert!(!home.exists() && place.trees.yard.idle_count() == 0, "it is gone on return");
    place.trees.remove(&wanted, false).await;
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while std::fs::read_dir(&place.trees.root).unwrap().count() > 0 {
        assert!(std::time::Instant::now() < deadline, "a worktree is left");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let idle = place.lease("3", 3);
    place.trees.make(&place.git, &idle, Vec::new()).await.unwrap();
    place.trees.remove(&idle, true).await;
    while place.trees.yard.idle_count() == 0 {
        assert!(std::time::Instant::now() < deadline, "it was thrown away");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    place.trees.remove_idle().await;
    assert_eq!(std::fs::read_dir(&place.trees.root).unwrap().count(), 0);
}

#[tokio::test]
async fn what_cannot_be_committed_is_the_units_fault_and_a_lost_cache_is_not() {
    let place = Place::new(|user| write(user.join("a"), "1")).await;
    let lease = place.lease("1", 1);
    let tree = place.trees.make(&place.git, &lease, Vec::new()).await.unwrap();
    // The agent clears up beside its directory.
    std::fs::remove_dir_all(tree.dir.join("../private")).unwrap();
    write(tree.dir.join("b"), "2");
    let (commit, left_out) = place.trees.commit(&place.git, &lease, &tree).await.unwrap();
    assert_eq!((place.paths(&commit).await, left_out.is_empty()), (vec!["a".to_owned(), "b".to_owned()], true));

    let large = SnapshotLimits::default().bytes_max + 1;
    std::fs::File::create(tree.dir.join("large")).unwrap().set_len(large).unwrap();
    let error = place.trees.commit(&place.git, &lease, &tree).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::TurnFailed, "{error}");

    std::fs::remove_file(tree.dir.join("large")).unwrap();
    std::fs::rename(place.git.git_dir(), place.home.path().join("lost")).unwrap();
    let error = place.trees.commit(&place.git, &lease, &tree).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Disk, "{error}");
}

/// An idle worktree whose commit had other attributes: what it has is what a fresh one would have, and an honest edit of one line is just that.
#[tokio::test]
async fn attributes_of_the_attempt_before_are_nothing_to_the_next() {
    use roundtable_runtime::git::{EntryMode, TreeEdit};

    let place = Place::new(|user| {
        write(user.join("a.txt"), "one\ntwo\n");
        write(user.join("b.txt"), "one\ntwo\n");
    })
    .await;
    let oid = place.git.write_blob("* text eol=crlf\n").await.unwrap();
    let put = TreeEdit::Put { path: ".gitattributes".to_owned(), mode: EntryMode::File, oid };
    let tree = place.git.edit_tree(&place.base, &[put]).await.unwrap();
    let by = Signature::roundtable(2);
    let with = place.git.commit_tree(&tree, std::slice::from_ref(&place.base), &by, "attributes\n").await.unwrap();

    let first = Lease { start: with.commit_id(), ..place.lease("1", 1) };
    let tree = place.trees.make(&place.git, &first, Vec::new()).await.unwrap();
    assert_eq!(std::fs::read_to_string(tree.dir.join("a.txt")).unwrap(), "one\r\ntwo\r\n");
    write(tree.dir.join("new"), "work");
    place.trees.commit(&place.git, &first, &tree).await.unwrap();
    place.trees.remove(&first, true).await;
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while place.trees.yard.idle_count() == 0 {
        assert!(std::time::Instant::now() < deadline, "it was thrown away");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }

    let second = place.lease("2", 2);
    let tree = place.trees.make(&place.git, &second, Vec::new()).await.unwrap();
    assert_eq!(place.trees.yard.idle_count(), 0, "it was used again");
    assert_eq!(std::fs::read_to_string(tree.dir.join("b.txt")).unwrap(), "one\ntwo\n");
    let text = std::fs::read_to_string(tree.dir.join("a.txt")).unwrap();
    write(tree.dir.join("a.txt"), &text.replace("two", "2"));
    let (commit, _) = place.trees.commit(&place.git, &second, &tree).await.unwrap();
    let commit = Oid::try_from(&commit).unwrap();
    let changes = place.git.changed_paths(&place.base, &commit).await.unwrap();
    assert_eq!(changes.iter().map(|change| change.path.as_str()).collect::<Vec<_>>(), ["a.txt"]);
    assert_eq!(place.git.read_file(&commit, "a.txt", 100).await.unwrap().unwrap(), b"one\n2\n");
}

/// A folder of an attempt that cannot be removed: flagged unchangeable, and no right to take the flag away.
#[tokio::test]
#[ignore = "flags: .ci/run mounts runs it"]
async fn a_worktree_flagged_unchangeable_is_put_aside_and_keeps_nobody_from_working() {
    use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

    // A thread that keeps the right. Those that are started from here on have it not.
    let (to_flag, dirs) = std::sync::mpsc::sync_channel::<PathBuf>(1);
    let flagger = std::thread::spawn(move || {
        let dir = std::fs::File::open(dirs.recv().unwrap()).unwrap();
        ioctl_setflags(&dir, ioctl_getflags(&dir).unwrap() | IFlags::IMMUTABLE).unwrap();
    });
    let all = capabilities(None).unwrap();
    let mut fewer = all;
    fewer.effective.remove(CapabilitySet::LINUX_IMMUTABLE);
    set_capabilities(None, fewer).unwrap();

    let place = Place::new(|user| write(user.join("a"), "1")).await;
    let (first, second) = (place.lease("1", 1), place.lease("1", 2));
    let tree = place.trees.make(&place.git, &first, Vec::new()).await.unwrap();
    write(tree.dir.join("d/stuck"), "x");
    to_flag.send(tree.dir.join("d")).unwrap();
    flagger.join().unwrap();
    place.trees.remove(&first, true).await;
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while place.trees.yard.idle_count() == 0 {
        assert!(std::time::Instant::now() < deadline);
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let stuck = || {
        let entries = std::fs::read_dir(&place.trees.root).unwrap().map(|entry| entry.unwrap().file_name());
        entries.filter(|name| name.as_encoded_bytes().starts_with(b".stuck-")).count()
    };
    // The next attempt of the unit: what lay idle is of no use, and in nobody's way.
    let tree = place.trees.make(&place.git, &second, Vec::new()).await.unwrap();
    let (commit, _) = place.trees.commit(&place.git, &second, &tree).await.unwrap();
    assert_eq!((place.paths(&commit).await, stuck()), (vec!["a".to_owned()], 1));
    assert!(!tree.dir.join("d").exists());
    place.trees.yard.discard_stuck();
    assert_eq!(stuck(), 1);
    // It goes once it can.
    set_capabilities(None, all).unwrap();
    place.trees.yard.discard_stuck();
    assert_eq!(stuck(), 0);
}
