//! Moving a person's branches.

use super::*;

fn branch(name: &str) -> RefName {
    RefName::branch(name).unwrap()
}

fn main_branch() -> Destination {
    Destination::Branch(branch("main"))
}

/// Makes a commit on top of `base` in the store and brings it to the person's repository.
async fn run_result(place: &Place, base: &Oid, files: &[(&str, Option<&str>)]) -> Oid {
    place.import(base).await;
    let tip = place.commit_on(base, files).await;
    transfer(&place.store, place.user().await.git(), &tip, std::slice::from_ref(base), None, Sender::Peer).await.unwrap();
    tip
}

#[tokio::test]
async fn the_checked_out_branch_goes_forward_with_its_files() {
    let place = Place::new().await;
    let base = place.user_commit(&[("a", "1"), ("b", "1"), ("gone", "1")]);
    let tip = run_result(&place, &base, &[("a", Some("2")), ("new/c", Some("3")), ("gone", None)]).await;
    let user = place.user().await;
    place.write("user/b", "local change elsewhere");
    assert_eq!(user.accept(&tip, None, &main_branch(), "m", 1).await.unwrap(), Accepted::FastForwarded);
    assert_eq!((place.user_head(), place.read("user/a").as_str(), place.read("user/new/c").as_str()), (tip.clone(), "2", "3"));
    assert!(!place.path("user/gone").exists());
    assert_eq!(place.git("user", &["status", "--porcelain"]).trim(), "M b");
    assert_eq!(user.accept(&tip, None, &main_branch(), "m", 1).await.unwrap(), Accepted::AlreadyThere);
}

#[tokio::test]
async fn local_changes_in_the_way_are_named_and_nothing_moves() {
    let place = Place::new().await;
    let base = place.user_commit(&[("a", "1"), ("s", "1"), ("d", "1"), (".gitignore", "secret\n")]);
    let files = [
        ("a", Some("2")),
        ("s", Some("2")),
        ("d", None),
        ("untracked", Some("2")),
        ("secret", Some("2")),
        ("dir", Some("2")),
        ("file/x", Some("2")),
        ("free", Some("2")),
    ];
    let tip = run_result(&place, &base, &files).await;
    for (path, text) in [
        ("user/a", "mine"),
        ("user/s", "mine"),
        ("user/untracked", "mine"),
        ("user/secret", "mine"),
        ("user/dir/x", "mine"),
        ("user/file", "mine"),
    ] {
        place.write(path, text);
    }
    place.git("user", &["add", "s"]);
    std::fs::remove_file(place.path("user/d")).unwrap();
    let before = place.git("user", &["status", "--porcelain", "--ignored"]);
    let user = place.user().await;
    let error = user.accept(&tip, None, &main_branch(), "m", 1).await.unwrap_err();
    let AcceptError::LocalChanges { paths, .. } = &error else { panic!("{error}") };
    assert_eq!(paths, &["a", "dir", "file/x", "s", "secret", "untracked"]);
    assert!(error.to_string().contains("untracked"), "{error}");
    assert_eq!(place.user_head(), base);
    assert_eq!(place.git("user", &["status", "--porcelain", "--ignored"]), before);
    assert_eq!(place.read("user/secret"), "mine");
}

#[tokio::test]
async fn a_branch_that_moved_gets_a_merge_or_nothing() {
    let place = Place::new().await;
    let base = place.user_commit(&[("a", "1\n"), ("b", "1\n")]);
    let tip = run_result(&place, &base, &[("a", Some("2\n"))]).await;
    let moved = place.user_commit(&[("b", "2\n")]);
    let user = place.user().await;
    let Accepted::Merged { commit } = user.accept(&tip, None, &main_branch(), "Accept run\n", 7).await.unwrap() else { panic!("no merge") };
    assert_eq!(place.user_head(), commit);
    assert_eq!((place.read("user/a").as_str(), place.read("user/b").as_str()), ("2\n", "2\n"));
    assert_eq!(user.git().commit_info(&commit).await.unwrap().parents, [moved, tip]);
    assert_eq!(place.git("user", &["status", "--porcelain"]), "");
    let other = run_result(&place, &base, &[("a", Some("3\n"))]).await;
    let error = user.accept(&other, None, &main_branch(), "m", 1).await.unwrap_err();
    assert!(matches!(&error, AcceptError::Conflict { paths, .. } if paths == &["a"]), "{error}");
    assert!(error.to_string().contains(other.as_str()), "{error}");
    assert_eq!(place.user_head(), commit);
    assert_eq!(place.git("user", &["status", "--porcelain"]), "");
}

#[tokio::test]
async fn branches_that_are_not_checked_out_move_alone() {
    let place = Place::new().await;
    let base = place.user_commit(&[("a", "1")]);
    let tip = run_result(&place, &base, &[("a", Some("2"))]).await;
    let user = place.user().await;
    place.git("user", &["branch", "other"]);
    let other = Destination::Branch(branch("other"));
    assert_eq!(user.accept(&tip, None, &other, "m", 1).await.unwrap(), Accepted::FastForwarded);
    let fresh = Destination::Branch(branch("fresh/one"));
    assert_eq!(user.accept(&tip, None, &fresh, "m", 1).await.unwrap(), Accepted::Created);
    assert_eq!(user.git().read_ref(&branch("fresh/one")).await.unwrap(), Some(tip.clone()));
    assert_eq!((place.user_head(), place.read("user/a").as_str()), (base.clone(), "1"));
    assert!(matches!(user.accept(&tip, None, &Destination::DetachedHead, "m", 1).await, Err(AcceptError::NotDetached)));
    place.git("user", &["checkout", "--quiet", "--detach", base.as_str()]);
    assert_eq!(user.accept(&tip, None, &Destination::DetachedHead, "m", 1).await.unwrap(), Accepted::FastForwarded);
    assert_eq!((place.user_head(), place.read("user/a").as_str()), (tip, "2"));
    assert_eq!(user.head_is().await.unwrap(), Head::Detached);
    assert_eq!(place.git("user", &["rev-parse", "main"]).trim(), base.as_str());
}

#[tokio::test]
async fn a_branch_checked_out_in_another_work_tree_moves_there() {
    let place = Place::new().await;
    let base = place.user_commit(&[("a", "1")]);
    let tip = run_result(&place, &base, &[("a", Some("2"))]).await;
    place.git("user", &["worktree", "add", "--quiet", "-b", "topic", "../linked"]);
    let user = place.user().await;
    let topic = Destination::Branch(branch("topic"));
    assert_eq!(user.accept(&tip, None, &topic, "m", 1).await.unwrap(), Accepted::FastForwarded);
    assert_eq!((place.read("linked/a").as_str(), place.read("user/a").as_str()), ("2", "1"));
    assert_eq!(place.git("linked", &["status", "--porcelain"]), "");
}

#[tokio::test]
async fn the_runs_branch_follows_and_never_goes_back() {
    let place = Place::new().await;
    let base = place.user_commit(&[("a", "1")]);
    let tip = run_result(&place, &base, &[("a", Some("2"))]).await;
    let user = place.user().await;
    let run = branch("roundtable/spec-abc234");
    user.advance(&run, &base).await.unwrap();
    user.advance(&run, &tip).await.unwrap();
    user.advance(&run, &tip).await.unwrap();
    assert!(matches!(user.advance(&run, &base).await, Err(AcceptError::Diverged { .. })));
    assert_eq!(user.git().read_ref(&run).await.unwrap(), Some(tip.clone()));
    place.git("user", &["checkout", "--quiet", "roundtable/spec-abc234"]);
    let later = run_result(&place, &base, &[]).await;
    let later = {
        let _ = later;
        place.commit_on(&tip, &[("z", Some("9"))]).await
    };
    transfer(&place.store, user.git(), &later, std::slice::from_ref(&tip), None, Sender::Peer).await.unwrap();
    user.advance(&run, &later).await.unwrap();
    assert_eq!(place.read("user/z"), "9");
}

#[tokio::test]
async fn an_unfinished_merge_or_rebase_is_not_disturbed() {
    let place = Place::new().await;
    let base = place.user_commit(&[("a", "1\n")]);
    let tip = run_result(&place, &base, &[("b", Some("2\n"))]).await;
    place.git("user", &["checkout", "--quiet", "-b", "side"]);
    place.user_commit(&[("a", "2\n")]);
    place.git("user", &["checkout", "--quiet", "main"]);
    place.user_commit(&[("a", "3\n")]);
    // Without an identity the merge would not even begin, and leave nothing unfinished.
    let merge = ["-c", "user.name=Person", "-c", "user.email=person@example.org", "merge", "side"];
    let failed = Command::new("git").args(merge).current_dir(place.path("user")).output().unwrap();
    assert!(!failed.status.success());
    assert!(place.path("user").join(".git/MERGE_HEAD").exists());
    let error = place.user().await.accept(&tip, None, &main_branch(), "m", 1).await.unwrap_err();
    assert!(matches!(error, AcceptError::Busy { what: "merge", .. }), "{error}");
}

#[tokio::test]
async fn the_persons_own_filters_work_on_accepted_files() {
    let place = Place::new().await;
    place.git("user", &["config", "filter.shout.smudge", "tr a-z A-Z"]);
    place.git("user", &["config", "filter.shout.clean", "tr A-Z a-z"]);
    let base = place.user_commit(&[(".gitattributes", "*.txt filter=shout\n"), ("a.txt", "hello\n")]);
    let tip = run_result(&place, &base, &[("a.txt", Some("hello world\n")), ("b.txt", Some("new\n"))]).await;
    place.user().await.accept(&tip, None, &main_branch(), "m", 1).await.unwrap();
    assert_eq!((place.read("user/a.txt").as_str(), place.read("user/b.txt").as_str()), ("HELLO WORLD\n", "NEW\n"));
    assert_eq!(place.git("user", &["status", "--porcelain"]), "");
}

#[tokio::test]
async fn local_files_that_a_commit_has_too_are_no_hindrance() {
    let place = Place::new().await;
    let head = place.user_commit(&[("a", "1"), ("b", "1"), ("d", "1"), ("e", "1"), ("keep", "1"), (".gitignore", "secret\n")]);
    for (path, text) in
        [("a", "mine"), ("new/n", "mine"), ("same", "run's"), ("secret", "mine"), ("keep", "own"), ("s", "mine"), ("loose", "own")]
    {
        place.write(&format!("user/{path}"), text);
    }
    std::fs::remove_file(place.path("user/d")).unwrap();
    std::fs::remove_file(place.path("user/e")).unwrap();
    place.git("user", &["add", "s"]);
    let user = place.user().await;
    let but_for = ["keep".to_owned(), "loose".to_owned()];
    let base = user.commit_uncommitted(&Signature::roundtable(1), "dirty\n", &but_for).await.unwrap();
    let files = [
        ("a", Some("2")),
        ("b", Some("2")),
        ("new/n", Some("2")),
        ("same", Some("run's")),
        ("secret", Some("mine")),
        ("s", None),
        ("e", Some("2")),
    ];
    let tip = run_result(&place, &base, &files).await;

    place.write("user/b", "other");
    let before = place.git("user", &["status", "--porcelain"]);
    let error = user.accept(&tip, Some(&base), &main_branch(), "m", 1).await.unwrap_err();
    assert!(matches!(&error, AcceptError::LocalChanges { paths, .. } if *paths == ["b"]), "{error}");
    assert_eq!((place.user_head(), place.git("user", &["status", "--porcelain"])), (head.clone(), before), "nothing has moved");
    place.write("user/b", "1");
    place.write("user/.git/index.lock", "");
    let error = user.accept(&tip, Some(&base), &main_branch(), "m", 1).await.unwrap_err();
    assert!(matches!(error, AcceptError::Busy { .. }), "{error}");
    std::fs::remove_file(place.path("user/.git/index.lock")).unwrap();

    assert_eq!(user.accept(&tip, Some(&base), &main_branch(), "m", 1).await.unwrap(), Accepted::FastForwarded);
    assert_eq!(place.user_head(), tip);
    let read = |path: &str| place.read(&format!("user/{path}"));
    assert_eq!(
        (read("a"), read("b"), read("new/n"), read("e"), read("secret")),
        ("2".into(), "2".into(), "2".into(), "2".into(), "mine".into())
    );
    assert!(!place.path("user/s").exists() && !place.path("user/d").exists());
    assert_eq!((read("keep"), read("loose")), ("own".into(), "own".into()), "what is not in the way stays");
    assert_eq!(place.git("user", &["status", "--porcelain"]), " M keep\n?? loose\n");
    assert!(!place.path("user/.git/index.lock").exists());
}

#[tokio::test]
async fn what_is_staged_and_nowhere_else_is_not_lost() {
    let place = Place::new().await;
    place.user_commit(&[("a", "1")]);
    place.write("user/a", "mine");
    let user = place.user().await;
    let base = user.commit_uncommitted(&Signature::roundtable(1), "dirty\n", &[]).await.unwrap();
    let tip = run_result(&place, &base, &[("a", Some("2"))]).await;
    place.write("user/a", "staged");
    place.git("user", &["add", "a"]);
    place.write("user/a", "mine");
    let error = user.accept(&tip, Some(&base), &main_branch(), "m", 1).await.unwrap_err();
    assert!(matches!(error, AcceptError::LocalChanges { .. }), "{error}");
}
