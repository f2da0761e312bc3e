//! Versions, refs, objects, diffs, and what is known of a person's repository.

use std::os::unix::fs::PermissionsExt;

use super::*;

#[tokio::test]
async fn too_old_a_program_is_named() {
    let home = tempfile::tempdir().unwrap();
    let fake = home.path().join("git");
    write_program(&fake, "#!/bin/sh\necho git version 2.30.2\n");
    let error = GitProgram::at(&fake, 1).await.unwrap_err();
    assert!(matches!(&error, GitError::TooOld { found, .. } if found == "2.30.2"), "{error}");
    assert!(error.to_string().contains("2.38"), "{error}");
}

/// A program that answers the version and otherwise runs `body`.
fn fake_git(home: &Path, body: &str) -> PathBuf {
    let fake = home.join("git");
    write_program(&fake, &format!("#!/bin/sh\nfor a; do [ \"$a\" = version ] && echo git version 2.47.0 && exit; done\n{body}\n"));
    fake
}

#[tokio::test]
async fn a_dropped_command_is_killed_with_all_it_started() {
    let home = tempfile::tempdir().unwrap();
    let pids = home.path().join("pids");
    let fake = fake_git(home.path(), &format!("sleep 1000 & echo $! $$ > '{}.new'; mv '{0}.new' '{0}'; wait", pids.display()));
    let program = GitProgram::at(&fake, 1).await.unwrap();
    let git = program.own(home.path()).unwrap();
    let name = RefName::parse("refs/heads/x").unwrap();
    {
        let mut running = Box::pin(git.read_ref(&name));
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
        while !pids.exists() && tokio::time::Instant::now() < deadline {
            let _ = tokio::time::timeout(std::time::Duration::from_millis(10), &mut running).await;
        }
    }
    let text = std::fs::read_to_string(&pids).unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    for pid in text.split_whitespace() {
        let ended = || std::fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "));
        while !ended() {
            assert!(std::time::Instant::now() < deadline, "process {pid} still runs");
            tokio::task::yield_now().await;
        }
    }
    assert!(tokio::time::timeout(std::time::Duration::from_secs(30), program.permit(false)).await.is_ok(), "its place is free again");
}

#[tokio::test]
async fn failures_tell_verb_code_and_the_end_of_stderr() {
    let home = tempfile::tempdir().unwrap();
    let fake = fake_git(home.path(), "i=0; while [ $i -lt 3000 ]; do echo noise >&2; i=$((i+1)); done; echo the reason >&2; exit 3");
    let git = GitProgram::at(&fake, 1).await.unwrap().own(home.path()).unwrap();
    let error = git.read_ref(&RefName::parse("refs/heads/x").unwrap()).await.unwrap_err();
    let GitError::Failed { verb: "rev-parse", code: 3, stderr } = error else { panic!("{error}") };
    assert!(stderr.ends_with("the reason") && stderr.len() <= 4096);
    let fake = fake_git(home.path(), "kill -9 $$");
    let git = GitProgram::at(&fake, 1).await.unwrap().own(home.path()).unwrap();
    let error = git.read_ref(&RefName::parse("refs/heads/x").unwrap()).await.unwrap_err();
    assert!(matches!(error, GitError::Failed { code: 137, .. }), "{error}");
}

#[tokio::test]
async fn nothing_of_the_environment_gets_through_to_our_own_repositories() {
    let home = tempfile::tempdir().unwrap();
    let seen = home.path().join("seen");
    let fake = fake_git(home.path(), &format!("env > '{}'; echo {}", seen.display(), "a".repeat(40)));
    let git = GitProgram::at(&fake, 1).await.unwrap().own(home.path()).unwrap();
    git.read_ref(&RefName::parse("refs/heads/x").unwrap()).await.unwrap();
    let text = std::fs::read_to_string(&seen).unwrap();
    let names: std::collections::BTreeSet<_> = text.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    let allowed = [
        "PATH",
        "TMPDIR",
        "LD_LIBRARY_PATH",
        "LC_ALL",
        "GIT_TERMINAL_PROMPT",
        "GIT_NO_REPLACE_OBJECTS",
        "GIT_CONFIG_NOSYSTEM",
        "GIT_CONFIG_GLOBAL",
        "GIT_ATTR_NOSYSTEM",
        "PWD",
        "_",
        "SHLVL",
        "OLDPWD",
    ];
    assert!(names.iter().all(|name| allowed.contains(name)), "{names:?}");
    assert!(text.contains("GIT_CONFIG_GLOBAL=/dev/null") && !names.contains("HOME"));
}

#[tokio::test]
async fn output_is_bounded() {
    let place = Place::new().await;
    let blob = place.store.write_blob(vec![b'x'; 100_000]).await.unwrap();
    assert!(matches!(place.store.read_blob(&blob, 99_999).await, Err(GitError::TooMuch { bytes_max: 99_999, .. })));
    assert_eq!(place.store.read_blob(&blob, 100_000).await.unwrap().len(), 100_000);
}

#[tokio::test]
async fn refs_move_only_from_where_they_are_believed() {
    let place = Place::new().await;
    let one = place.user_commit(&[("a", "1")]);
    let two = place.user_commit(&[("a", "2")]);
    place.import(&two).await;
    let store = &place.store;
    let name = RefName::parse("refs/heads/roundtable/x").unwrap();
    assert_eq!(store.read_ref(&name).await.unwrap(), None);
    store.move_ref(&name, None, &one).await.unwrap();
    store.move_ref(&name, None, &one).await.unwrap();
    let error = store.move_ref(&name, Some(&two), &two).await.unwrap_err();
    assert!(matches!(&error, GitError::RefMoved { found: Some(found), .. } if *found == one), "{error}");
    let other = RefName::parse("refs/heads/roundtable/y").unwrap();
    let both = [
        RefUpdate { name: other.clone(), from: None, to: Some(two.clone()) },
        RefUpdate { name: name.clone(), from: Some(two.clone()), to: None },
    ];
    let error = store.update_refs(&both).await.unwrap_err();
    assert!(matches!(&error, GitError::RefMoved { name: n, found: Some(found), .. } if *n == name && *found == one), "{error}");
    assert_eq!(store.read_ref(&other).await.unwrap(), None, "all or none");
    store.move_ref(&name, Some(&one), &two).await.unwrap();
    let listed = store.list_refs("refs/heads/roundtable/").await.unwrap();
    assert_eq!(listed, [(name.clone(), two.clone())]);
    store.update_refs(&[RefUpdate { name: name.clone(), from: Some(two), to: None }]).await.unwrap();
    assert_eq!(store.read_ref(&name).await.unwrap(), None);
}

#[tokio::test]
async fn commits_are_deterministic_and_trees_are_edited_without_a_work_tree() {
    let place = Place::new().await;
    let base = place.user_commit(&[("a", "1"), ("d/b", "2"), ("d/c", "3")]);
    place.import(&base).await;
    let one = place.commit_on(&base, &[("d/b", Some("new\n")), ("d/c", None), ("a", None), ("a/deep", Some("x"))]).await;
    let two = place.commit_on(&base, &[("a", None), ("a/deep", Some("x")), ("d/c", None), ("d/b", Some("new\n"))]).await;
    assert_eq!(one, two);
    assert_eq!(place.paths(&one).await, ["a/deep", "d/b"]);
    assert_eq!(place.file(&one, "d/b").await.as_deref(), Some("new\n"));
    assert_eq!(place.file(&one, "d").await, None);
    let info = place.store.commit_info(&one).await.unwrap();
    assert_eq!((info.parents, info.message.as_str()), (vec![base.clone()], "change\n"));
    let hostile = TreeEdit::Put { path: "x/.git/config".to_owned(), mode: EntryMode::File, oid: base.clone() };
    assert!(matches!(place.store.edit_tree(&base, &[hostile]).await, Err(GitError::BadPath { .. })));
}

#[tokio::test]
async fn changes_are_facts_with_both_ends_of_renames() {
    let place = Place::new().await;
    let base = place.user_commit(&[("old name", &"line\n".repeat(50)), ("script", "x"), ("gone", "y"), ("same", "z")]);
    place.git("user", &["mv", "old name", "new\nname"]);
    place.git("user", &["rm", "--quiet", "gone"]);
    place.git("user", &["update-index", "--chmod=+x", "script"]);
    std::fs::set_permissions(place.path("user/script"), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink("../../etc/passwd", place.path("user/link")).unwrap();
    let tip = place.user_commit(&[("ünï", "1")]);
    place.git("user", &["update-index", "--add", "--cacheinfo", &format!("160000,{base},sub")]);
    place.git("user", &["commit", "--quiet", "-m", "sub"]);
    let with_sub = place.user_head();
    let user = place.user().await;
    let changes = user.git().changed_paths(&base, &with_sub).await.unwrap();
    let facts: Vec<_> = changes.iter().map(|c| (c.path.as_str(), c.change, c.before, c.after)).collect();
    use SideKind::*;
    use roundtable_shared::ChangeKind::*;
    assert_eq!(
        facts,
        [
            ("gone", Deleted, File, Absent),
            ("link", Added, Absent, Link),
            ("new\nname", Added, Absent, File),
            ("old name", Deleted, File, Absent),
            ("script", ModeChanged, File, Executable),
            ("sub", Added, Absent, Submodule),
            ("ünï", Added, Absent, File),
        ]
    );
    assert!(changes[1].link_leaves_tree() && changes[1].link_target.as_deref() == Some("../../etc/passwd"));
    assert!(!changes[2].link_leaves_tree());
    let renames = user.git().renames(&base, &tip).await.unwrap();
    assert_eq!(renames.get("new\nname").map(String::as_str), None, "by old name");
    assert_eq!(renames.get("old name").map(String::as_str), Some("new\nname"));
}

#[tokio::test]
async fn a_name_that_is_not_utf8_is_refused_with_its_lossy_form() {
    use std::os::unix::ffi::OsStrExt;
    let place = Place::new().await;
    let base = place.user_commit(&[("a", "1")]);
    std::fs::write(place.path("user").join(std::ffi::OsStr::from_bytes(b"bad\xff")), "x").unwrap();
    let tip = place.user_commit(&[]);
    let user = place.user().await;
    let error = user.git().changed_paths(&base, &tip).await.unwrap_err();
    assert!(matches!(&error, GitError::BadPath { path, .. } if path == "bad\u{fffd}"), "{error}");
    let names = user.git().list_tree(&tip, None, 10).await.unwrap();
    assert_eq!(names.entries.len(), 1);
}

#[tokio::test]
async fn diff_text_is_cut_at_a_line() {
    let place = Place::new().await;
    let base = place.user_commit(&[("a", ""), ("b", "")]);
    let tip = place.user_commit(&[("a", &"line\n".repeat(20_000)), ("b", "2\n")]);
    let user = place.user().await;
    let whole = user.git().diff_text(&base, &tip, &[], 1 << 20).await.unwrap();
    assert!(!whole.truncated && whole.text.contains("+2\n"));
    let cut = user.git().diff_text(&base, &tip, &[], 1000).await.unwrap();
    assert!(cut.truncated && cut.text.len() <= 1000 && cut.text.ends_with('\n'));
    let one = user.git().diff_text(&base, &tip, &["b".to_owned()], 1000).await.unwrap();
    assert!(!one.truncated && !one.text.contains("line"));
}

#[tokio::test]
async fn facts_of_a_repository() {
    let place = Place::new().await;
    let error = place.user().await.facts().await.unwrap_err();
    assert!(matches!(error, GitError::NoCommit { .. }), "{error}");
    let root = place.user_commit(&[("a", "1"), ("d/e", "2"), (".gitignore", "ignored\n")]);
    let head = place.user_commit(&[(".gitattributes", "*.bin filter=lfs diff=lfs\n")]);
    let user = place.program.discover(&place.path("user/d")).await.unwrap();
    assert_eq!(user.common_dir(), place.path("user/.git").canonicalize().unwrap());
    let facts = user.facts().await.unwrap();
    assert_eq!((&facts.head, &facts.root), (&head, &root));
    assert_eq!(facts.head_is, Head::Branch(RefName::branch("main").unwrap()));
    assert!(facts.lfs && !facts.shallow && !facts.submodules && !facts.ignore_case);
    assert_eq!(user.relative(&place.path("user/d/new.md")).as_deref(), Some("d/new.md"));
    assert_eq!(user.relative(&place.path("elsewhere")), None);
    place.git("user", &["checkout", "--quiet", "--detach"]);
    assert_eq!(user.facts().await.unwrap().head_is, Head::Detached);
    place.git(".", &["clone", "--quiet", "--depth=1", &format!("file://{}", place.path("user").display()), "clone"]);
    let facts = place.program.discover(&place.path("clone")).await.unwrap().facts().await.unwrap();
    assert!(facts.shallow);
    assert_eq!((&facts.head, &facts.root), (&head, &head), "a depth-1 clone begins at its boundary");
    place.git("user", &["worktree", "add", "--quiet", "../linked", "HEAD"]);
    let linked = place.program.discover(&place.path("linked")).await.unwrap();
    assert_eq!(linked.common_dir(), user.common_dir());
    assert_eq!(linked.facts().await.unwrap().head, head);
}

#[tokio::test]
async fn where_there_is_no_repository_the_error_says_what_to_do() {
    let place = Place::new().await;
    std::fs::create_dir(place.path("plain")).unwrap();
    for missing in ["plain", "absent"] {
        let error = place.program.discover(&place.path(missing)).await.unwrap_err();
        assert!(matches!(error, GitError::NotARepository { .. }), "{error}");
        assert!(error.to_string().contains("git init"), "{error}");
    }
    let error = place.program.discover(&place.path("store.git")).await.unwrap_err();
    assert!(matches!(error, GitError::Bare { .. }), "{error}");
    place.user_commit(&[("a", "1")]);
    let git = place.user().await.git().clone();
    for rev in ["nonsense", "--all", "", "HEAD\nHEAD", "HEAD:a"] {
        assert!(matches!(git.resolve_commit(rev).await, Err(GitError::UnknownRevision { .. })), "{rev:?}");
    }
    assert_eq!(git.resolve_commit("main").await.unwrap(), place.user_head());
}

#[tokio::test]
async fn uncommitted_changes_are_named_and_can_be_committed_beside() {
    let place = Place::new().await;
    let head = place.user_commit(&[("a", "1"), ("b", "1"), (".gitignore", "ignored\n")]);
    let user = place.user().await;
    assert_eq!(user.uncommitted(10).await.unwrap(), UncommittedChanges::default());
    assert_eq!(user.commit_uncommitted(&Signature::roundtable(1), "dirty\n", &[]).await.unwrap(), head);
    for (path, text) in [("user/a", "2"), ("user/new/x", "3"), ("user/ignored", "4"), ("user/sp ace", "5")] {
        place.write(path, text);
    }
    let before = place.git("user", &["status", "--porcelain"]);
    let changes = user.uncommitted(2).await.unwrap();
    assert_eq!(changes.count, 3);
    assert_eq!(changes.paths, ["a", "new/"]);
    let commit = user.commit_uncommitted(&Signature::roundtable(1), "dirty\n", &[]).await.unwrap();
    let listed: Vec<_> = user.git().list_tree(&commit, None, 10).await.unwrap().entries.into_iter().map(|e| e.path).collect();
    assert_eq!(listed, [".gitignore", "a", "b", "new/x", "sp ace"]);
    assert_eq!(place.user_head(), head);
    assert_eq!(place.git("user", &["status", "--porcelain"]), before);
}

#[tokio::test]
async fn locks_of_a_killed_git_are_cleared_and_nothing_else() {
    let place = Place::new().await;
    let tip = place.user_commit(&[("a", "1\n")]);
    let packed = place.git("user", &["rev-parse", "HEAD"]);
    place.git("store.git", &["fetch", "--quiet", "../user", "main:refs/heads/kept"]);
    let name = RefName::parse("refs/heads/roundtable/x").unwrap();
    let store = place.path("store.git");
    for lock in ["HEAD.lock", "packed-refs.lock", "shallow.lock", "refs/heads/roundtable/x.lock", "refs/roundtable/r/1/1.lock"] {
        std::fs::create_dir_all(store.join(lock).parent().unwrap()).unwrap();
        std::fs::write(store.join(lock), "").unwrap();
    }
    assert_eq!(place.store.clear_abandoned_locks().await.unwrap().len(), 5);
    place.store.move_ref(&name, None, &tip).await.unwrap();
    assert_eq!(place.store.clear_abandoned_locks().await.unwrap(), Vec::<PathBuf>::new());
    assert_eq!(place.git("store.git", &["rev-parse", "refs/heads/kept"]), packed);
}

#[tokio::test]
async fn a_lock_that_a_killed_git_left_is_cleared_when_it_is_met() {
    let place = Place::new().await;
    let tip = place.user_commit(&[("a", "1\n")]);
    place.git("store.git", &["fetch", "--quiet", "../user", "main:refs/heads/kept"]);
    let store = place.path("store.git");
    let lock = store.join("refs/heads/roundtable/x.lock");
    std::fs::create_dir_all(lock.parent().unwrap()).unwrap();
    std::fs::write(&lock, "").unwrap();
    let name = RefName::parse("refs/heads/roundtable/x").unwrap();
    place.store.move_ref(&name, None, &tip).await.unwrap();
    assert!(!lock.exists());
    // What a command of ours may have is waited for.
    std::fs::write(&lock, "").unwrap();
    let at_work = place.store.moving.read().await;
    let other = RefName::parse("refs/heads/roundtable/y").unwrap();
    let delete = [RefUpdate { name: name.clone(), from: Some(tip.clone()), to: None }];
    let deleted = place.store.update_refs(&delete);
    tokio::pin!(deleted);
    assert!(tokio::time::timeout(std::time::Duration::from_millis(2_500), &mut deleted).await.is_err());
    assert!(lock.exists());
    drop(at_work);
    deleted.await.unwrap();
    place.store.move_ref(&other, None, &tip).await.unwrap();
    // A person's repository is nobody's to clear.
    let theirs = place.path("user/.git/refs/heads/main.lock");
    std::fs::write(&theirs, "").unwrap();
    let main = RefName::parse("refs/heads/main").unwrap();
    assert!(place.user().await.git().update_refs(&[RefUpdate { name: main, from: Some(tip), to: None }]).await.is_err());
    assert!(theirs.exists());
}
