//! Checkouts for agents and the trusted commits made of them.

use std::os::unix::fs::PermissionsExt;

use super::*;

#[tokio::test]
async fn an_agent_finds_a_normal_repository() {
    let place = Place::new().await;
    place.user_commit(&[("a", "0")]);
    let base = place.user_commit(&[("a", "1"), ("d/b", "2"), ("run.sh", "x")]);
    place.import(&base).await;
    let checkout = place.checkout(&base).await;
    assert_eq!(place.read("agent/d/b"), "2");
    assert_eq!(place.git("agent", &["status", "--porcelain"]), "");
    assert_eq!(place.git("agent", &["rev-parse", "--abbrev-ref", "HEAD"]).trim(), "roundtable/unit");
    assert_eq!(place.git("agent", &["log", "--format=%s"]).lines().count(), 2);
    place.write("agent/a", "changed");
    assert_eq!(place.git("agent", &["diff", "--name-only"]).trim(), "a");
    place.git("agent", &["commit", "--quiet", "-am", "by the agent"]);
    place.write("agent/new", "n");
    let snapshot = place.snapshot(&checkout).await;
    assert!(snapshot.changed && snapshot.left_out.is_empty());
    assert_eq!(place.file(&snapshot.commit, "a").await.as_deref(), Some("changed"));
    assert_eq!(place.paths(&snapshot.commit).await, ["a", "d/b", "new", "run.sh"]);
    assert_eq!(place.store.commit_info(&snapshot.commit).await.unwrap().parents, [base]);
    assert_eq!(place.snapshot(&checkout).await, snapshot, "the same again");
}

#[tokio::test]
async fn a_checkout_wants_an_empty_directory() {
    let place = Place::new().await;
    let base = place.user_commit(&[("a", "1")]);
    place.import(&base).await;
    place.write("agent/here", "x");
    assert!(matches!(place.store.checkout(&place.request(&base, "x")).await, Err(GitError::Io { .. })));
}

/// git's file times are whole seconds: a change in the second of the checkout that keeps the size shows in neither time nor size.
#[tokio::test]
async fn a_change_in_the_second_of_the_checkout_is_seen() {
    let second = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let deadline = second() + 30;
    loop {
        let place = Place::new().await;
        let base = place.user_commit(&[("a.txt", "wrong\n")]);
        place.import(&base).await;
        let began = second();
        let checkout = place.checkout(&base).await;
        place.write("agent/a.txt", "right\n");
        if second() != began {
            assert!(second() < deadline, "the machine is too slow to check out within a second");
            continue;
        }
        while second() == began {
            tokio::task::yield_now().await;
        }
        let snapshot = place.snapshot(&checkout).await;
        assert_eq!(place.file(&snapshot.commit, "a.txt").await.as_deref(), Some("right\n"));
        assert!(place.git("agent", &["status", "--porcelain"]).contains("a.txt"), "the agent's own git sees it too");
        return;
    }
}

#[tokio::test]
async fn nothing_done_is_no_change() {
    let place = Place::new().await;
    let base = place.user_commit(&[("a", "1"), ("crlf.txt", "x\r\ny\r\n"), (".gitattributes", "*.txt text eol=crlf\n")]);
    place.import(&base).await;
    let checkout = place.checkout(&base).await;
    let snapshot = place.snapshot(&checkout).await;
    assert!(!snapshot.changed);
    assert_eq!(snapshot.tree, place.store.tree_of(&base).await.unwrap());
    std::fs::remove_file(place.path("private/index")).unwrap();
    assert!(!place.snapshot(&checkout).await.changed, "without the index it is only slower");
}

#[tokio::test]
async fn every_kind_of_change_is_seen() {
    let place = Place::new().await;
    let base = place.user_commit(&[
        ("edit", "1"),
        ("delete", "1"),
        ("mode", "1"),
        ("to-link", "1"),
        ("to-dir", "1"),
        ("dir/x", "1"),
        ("dir/y", "1"),
        ("linked/z", "1"),
        ("old", "same text"),
        (".gitignore", "*.log\n/target/\n"),
        ("kept.log", "tracked although ignored"),
    ]);
    place.git("user", &["add", "--force", "kept.log"]);
    place.git("user", &["commit", "--quiet", "--amend", "--no-edit"]);
    let base = {
        let _ = base;
        place.user_head()
    };
    place.import(&base).await;
    let checkout = place.checkout(&base).await;
    let agent = place.path("agent");
    write(&agent.join("edit"), "2");
    std::fs::remove_file(agent.join("delete")).unwrap();
    std::fs::set_permissions(agent.join("mode"), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::remove_file(agent.join("to-link")).unwrap();
    std::os::unix::fs::symlink("edit", agent.join("to-link")).unwrap();
    std::fs::remove_file(agent.join("to-dir")).unwrap();
    write(&agent.join("to-dir/inner"), "1");
    std::fs::remove_dir_all(agent.join("dir")).unwrap();
    write(&agent.join("dir"), "now a file");
    // A directory replaced by a link to a place with a file of the same name.
    std::fs::rename(agent.join("linked"), place.path("outside")).unwrap();
    std::os::unix::fs::symlink(place.path("outside"), agent.join("linked")).unwrap();
    std::fs::rename(agent.join("old"), agent.join("renamed\nfile")).unwrap();
    write(&agent.join("target/built"), "ignored");
    write(&agent.join("x.log"), "ignored");
    write(&agent.join("kept.log"), "changed");
    write(&agent.join("-option"), "a name like an option");
    write(&agent.join(":(glob)**"), "a name like a pattern");
    let snapshot = place.snapshot(&checkout).await;
    let changes = place.store.changed_paths(&base, &snapshot.commit).await.unwrap();
    let shown: Vec<_> = changes.iter().map(|c| format!("{:?} {:?} {}", c.change, c.after, c.path.escape_debug())).collect();
    assert_eq!(
        shown,
        [
            "Added File -option",
            "Added File :(glob)**",
            "Deleted Absent delete",
            "Added File dir",
            "Deleted Absent dir/x",
            "Deleted Absent dir/y",
            "Modified File edit",
            "Modified File kept.log",
            "Added Link linked",
            "Deleted Absent linked/z",
            "ModeChanged Executable mode",
            "Deleted Absent old",
            "Added File renamed\\nfile",
            "Deleted Absent to-dir",
            "Added File to-dir/inner",
            "Modified Link to-link",
        ]
    );
    let leaving: Vec<_> = changes.iter().filter(|c| c.link_leaves_tree()).map(|c| c.path.as_str()).collect();
    assert_eq!(leaving, ["linked"]);
}

#[tokio::test]
async fn brought_files_are_not_committed_and_size_is_bounded() {
    let place = Place::new().await;
    let base = place.user_commit(&[("a", "1")]);
    place.import(&base).await;
    let checkout = place.checkout(&base).await;
    place.write("agent/.env", "SECRET=1");
    place.write("agent/b", "0123456789");
    let brought = [Withheld::new(".env", b"SECRET=1")];
    let snapshot = place.try_snapshot(&checkout, &brought, SnapshotLimits::default()).await.unwrap();
    assert_eq!(place.paths(&snapshot.commit).await, ["a", "b"]);
    let few = SnapshotLimits { files_max: 1, bytes_max: 1 << 20 };
    assert!(matches!(place.try_snapshot(&checkout, &[], few).await, Err(GitError::TooLarge { what: "files", found: 2, max: 1, .. })));
    let small = SnapshotLimits { files_max: 10, bytes_max: 9 };
    assert!(matches!(place.try_snapshot(&checkout, &[], small).await, Err(GitError::TooLarge { what: "bytes", .. })));
}

#[tokio::test]
async fn no_move_brings_a_withheld_file_into_a_commit() {
    let place = Place::new().await;
    let base = place.user_commit(&[("README", "hello"), ("empty", ""), (".gitignore", ".env\n")]);
    place.import(&base).await;
    let checkout = place.checkout(&base).await;
    let secret = "SECRET=abcdefgh\n";
    let brought = [Withheld::new(".env", secret.as_bytes()), Withheld::new("conf/key", b""), Withheld::new("conf/odd", secret.as_bytes())];
    place.write("agent/.env", "SECRET=abcdefgh\nMORE=1\n");
    place.write("agent/.gitignore", "");
    place.git("agent", &["add", "--force", ".env"]);
    place.git("agent", &["commit", "--quiet", "-m", "everything"]);
    for copy in ["moved", "README", "deep/er/copy", "nested/copy"] {
        place.write(&format!("agent/{copy}"), secret);
    }
    place.git("agent/nested", &["init", "--quiet"]);
    std::fs::hard_link(place.path("agent/moved"), place.path("agent/hard")).unwrap();
    std::os::unix::fs::symlink(".env", place.path("agent/soft")).unwrap();
    // A brought file that became a directory with the old content in it, and one that has become another.
    place.write("agent/conf/key/inner", "SECRET=other");
    place.write("agent/conf/odd", "anything else");
    place.write("agent/empty-too", "");
    std::fs::set_permissions(place.path("agent/deep/er/copy"), std::fs::Permissions::from_mode(0o000)).unwrap();
    let snapshot = place.try_snapshot(&checkout, &brought, SnapshotLimits::default()).await.unwrap();
    assert_eq!(place.paths(&snapshot.commit).await, [".gitignore", "README", "empty", "empty-too", "soft"]);
    assert_eq!(place.file(&snapshot.commit, "README").await.as_deref(), Some("hello"), "what the base has stays as it was");
    assert_eq!(snapshot.left_out.len(), 5, "{:?}", snapshot.left_out);
    let all = place.store.diff_text(&base, &snapshot.commit, &[], 100_000).await.unwrap();
    assert!(!format!("{all:?}").contains("SECRET"));
}

#[tokio::test]
async fn sha256_repositories_work_alike() {
    let place = Place::new().await;
    place.git("sha256", &["init", "--quiet", "--object-format=sha256", "--initial-branch=main"]);
    place.write("sha256/a", "1");
    place.git("sha256", &["add", "--all"]);
    place.git("sha256", &["commit", "--quiet", "-m", "x"]);
    let user = place.program.discover(&place.path("sha256")).await.unwrap();
    let facts = user.facts().await.unwrap();
    assert_eq!(facts.format, ObjectFormat::Sha256);
    let store = place.program.init_bare(place.path("store256.git"), facts.format).await.unwrap();
    transfer(user.git(), &store, &facts.head, &[], Some(5), Sender::Owner).await.unwrap();
    let request =
        CheckoutRequest { dir: place.path("a256"), private: place.path("p256"), commit: facts.head.clone(), branch: "u".to_owned() };
    let checkout = store.checkout(&request).await.unwrap();
    assert_eq!(place.git("a256", &["status", "--porcelain"]), "");
    place.write("a256/b", "2");
    let parents = [facts.head.clone()];
    let by = Signature::roundtable(1);
    let request =
        SnapshotRequest { checkout: &checkout, withheld: &[], parents: &parents, by: &by, message: "m", limits: SnapshotLimits::default() };
    let snapshot = store.snapshot(&request).await.unwrap();
    assert_eq!(store.changed_paths(&facts.head, &snapshot.commit).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_used_directory_becomes_a_clean_checkout_of_another_commit() {
    reuse(true).await;
    reuse(false).await;
}

async fn reuse(committed_before: bool) {
    let place = Place::new().await;
    let base = place.user_commit(&[
        ("same", "1"),
        ("edited", "1"),
        ("deleted", "1"),
        ("gone-next", "1"),
        ("to-link/x", "1"),
        ("to-dir", "1"),
        ("mode", "1"),
        ("d/deep/x", "1"),
        ("linked", "1"),
        ("odd", "1"),
        (".gitignore", "*.log\n"),
    ]);
    let next = place.user_commit(&[("edited", "2"), ("new/file", "2")]);
    place.git("user", &["rm", "--quiet", "gone-next"]);
    place.git("user", &["commit", "--quiet", "--amend", "--no-edit"]);
    let next = {
        let _ = next;
        place.user_head()
    };
    place.import(&next).await;
    let checkout = place.checkout(&base).await;
    let agent = place.path("agent");
    let untouched = || std::os::unix::fs::MetadataExt::ino(&agent.join("same").metadata().unwrap());
    let inode = untouched();
    write(&agent.join("edited"), "9");
    std::fs::remove_file(agent.join("deleted")).unwrap();
    std::fs::remove_dir_all(agent.join("to-link")).unwrap();
    write(&place.path("outside/x"), "mine");
    std::os::unix::fs::symlink(place.path("outside"), agent.join("to-link")).unwrap();
    std::fs::remove_file(agent.join("to-dir")).unwrap();
    write(&agent.join("to-dir/inner"), "1");
    std::fs::set_permissions(agent.join("mode"), std::fs::Permissions::from_mode(0o777)).unwrap();
    // A second name outside, through which the next agent's file could be written; set-user-id and world-writable places.
    std::fs::hard_link(agent.join("linked"), place.path("second-name")).unwrap();
    std::fs::set_permissions(agent.join("odd"), std::fs::Permissions::from_mode(0o4757)).unwrap();
    std::fs::set_permissions(agent.join("d"), std::fs::Permissions::from_mode(0o3777)).unwrap();
    for litter in ["x.log", "new", "node_modules/a/b", "d/deep/more", "d/.GIT/x"] {
        write(&agent.join(litter), "litter");
    }
    place.git("agent/nested", &["init", "--quiet"]);
    std::os::unix::fs::symlink("/etc", agent.join("dangling")).unwrap();
    if committed_before {
        place.snapshot(&checkout).await;
    }
    write(&agent.join("after"), "the snapshot");
    std::fs::set_permissions(agent.join("node_modules/a"), std::fs::Permissions::from_mode(0o000)).unwrap();
    // An edit of the same length whose time was set back.
    let time = agent.join("d/deep/x").metadata().unwrap().modified().unwrap();
    write(&agent.join("d/deep/x"), "7");
    std::fs::File::options().write(true).open(agent.join("d/deep/x")).unwrap().set_modified(time).unwrap();

    let checkout = place.recheckout(&next).await;
    assert_eq!(checkout.commit, next);
    assert_eq!(place.git("agent", &["status", "--porcelain", "--ignored"]), "");
    assert_eq!(place.git("agent", &["rev-parse", "--abbrev-ref", "HEAD"]).trim(), "roundtable/other");
    assert_eq!(place.git("agent", &["ls-files"]), place.git("user", &["ls-files"]));
    assert_eq!(
        (place.read("agent/edited").as_str(), place.read("agent/d/deep/x").as_str(), place.read("agent/new/file").as_str()),
        ("2", "1", "2")
    );
    assert_eq!(agent.join("mode").metadata().unwrap().permissions().mode() & 0o111, 0);
    assert!(!agent.join("nested").exists() && !agent.join("gone-next").exists() && !agent.join("dangling").is_symlink());
    assert_eq!(place.read("outside/x"), "mine");
    place.write("second-name", "from outside");
    assert_eq!(place.read("agent/linked"), "1");
    let mode = |name: &str| agent.join(name).metadata().unwrap().permissions().mode() & 0o7002;
    assert_eq!((mode("odd"), mode("d")), (0, 0));
    assert_eq!(untouched(), inode, "what was not touched was not written again");
    let snapshot = place.snapshot(&checkout).await;
    assert!(!snapshot.changed);
}

/// The word on which files of a directory are left as they lie is there only where a checkout came to its end.
#[tokio::test]
async fn a_checkout_that_breaks_off_leaves_nothing_to_count_on() {
    let place = Place::new().await;
    let base = place.user_commit(&[("a", "1")]);
    place.import(&base).await;
    let says = || std::fs::read_to_string(place.path("private/commit")).ok();
    // Fails last of all: no file can have that name.
    let unnameable = place.request(&base, &"x".repeat(300));
    place.store.checkout(&unnameable).await.unwrap_err();
    assert_eq!((place.read("agent/a").as_str(), says()), ("1", None));
    place.recheckout(&base).await;
    assert_eq!(says().as_deref(), Some(base.as_str()));
    place.store.recheckout(&unnameable).await.unwrap_err();
    assert_eq!((place.read("agent/a").as_str(), says()), ("1", None));
    place.recheckout(&base).await;
    // Fails first of all: no index can be read like that.
    place.write("private/last-index", "torn");
    place.store.recheckout(&place.request(&base, "x")).await.unwrap_err();
    assert_eq!(says(), None);
    place.write("agent/a", "2");
    place.write("agent/litter", "x");
    let checkout = place.recheckout(&base).await;
    assert_eq!((place.read("agent/a").as_str(), place.path("agent/litter").exists()), ("1", false));
    assert_eq!(place.git("agent", &["status", "--porcelain"]), "");
    assert!(!place.snapshot(&checkout).await.changed);
}
