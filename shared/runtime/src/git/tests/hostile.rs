//! What an agent can leave behind to make a later git run something, and that it never does.

use super::*;

/// A script that leaves a mark when anything runs it.
fn trap(place: &Place) -> String {
    let script = place.path("trap.sh");
    write_program(&script, &format!("#!/bin/sh\necho \"$0 $*\" >> '{}'\ncat 2>/dev/null\nexit 0\n", place.path("SPRUNG").display()));
    script.display().to_string()
}

fn sprung(place: &Place) -> bool {
    place.path("SPRUNG").exists()
}

/// Every key of a `.git` that is known to make git run a program or look elsewhere.
fn plant(place: &Place, dot_git: &Path, trap: &str) {
    let hooks = [
        "pre-commit",
        "post-checkout",
        "post-index-change",
        "reference-transaction",
        "post-commit",
        "pre-merge-commit",
        "fsmonitor-watchman",
        "prepare-commit-msg",
        "commit-msg",
        "post-merge",
        "post-rewrite",
        "pre-auto-gc",
    ];
    for hook in hooks {
        let file = dot_git.join("hooks").join(hook);
        write_program(&file, &std::fs::read_to_string(trap).unwrap());
    }
    let config = format!(
        "[core]\n\trepositoryformatversion = 0\n\tfsmonitor = {trap}\n\thooksPath = {}\n\tpager = {trap}\n\teditor = {trap}\n\tsshCommand = {trap}\n\taskPass = {trap}\n\tworktree = /\n\talternateRefsCommand = {trap}\n\tgitProxy = {trap}\n\
         [filter \"evil\"]\n\tclean = {trap}\n\tsmudge = {trap}\n\tprocess = {trap}\n\trequired = true\n[diff]\n\texternal = {trap}\n[diff \"evil\"]\n\ttextconv = {trap}\n\tcommand = {trap}\n\
         [merge \"evil\"]\n\tdriver = {trap}\n[gpg]\n\tprogram = {trap}\n[commit]\n\tgpgSign = true\n[credential]\n\thelper = {trap}\n[alias]\n\tadd = !{trap}\n\tupdate-index = !{trap}\n[include]\n\tpath = /dev/null\n[uploadpack]\n\tpackObjectsHook = {trap}\n",
        dot_git.join("hooks").display()
    );
    write(&dot_git.join("config"), &config);
    write(&dot_git.join("info/attributes"), "* filter=evil diff=evil merge=evil\n");
    write(&dot_git.join("info/exclude"), "*\n");
    write(&dot_git.join("objects/info/alternates"), &format!("{}\n", place.path("elsewhere").display()));
    write(&dot_git.join("commondir"), "/\n");
    write(&dot_git.join("index"), "not an index");
    write(&dot_git.join("HEAD"), "ref: refs/heads/../../../x\n");
}

#[tokio::test]
async fn the_trap_works() {
    let place = Place::new().await;
    place.user_commit(&[("a", "1")]);
    let trap = trap(&place);
    place.git("user", &["config", "core.fsmonitor", &trap]);
    place.git("user", &["status"]);
    assert!(sprung(&place), "else the other tests prove nothing");
}

#[tokio::test]
async fn a_planted_git_directory_runs_nothing_and_hides_nothing() {
    let place = Place::new().await;
    let base = place.user_commit(&[("a", "1"), ("b", "1"), (".gitattributes", "*.bin filter=evil\n")]);
    place.import(&base).await;
    let checkout = place.checkout(&base).await;
    let trap = trap(&place);
    plant(&place, &place.path("agent/.git"), &trap);
    place.write("agent/.gitattributes", "* filter=evil diff=evil merge=evil ident working-tree-encoding=UTF-8\n");
    place.write("agent/a", "2");
    place.write("agent/x.bin", "new");
    place.write("agent/.gitconfig", &format!("[core]\n\tfsmonitor = {trap}\n"));
    let snapshot = place.snapshot(&checkout).await;
    assert!(!sprung(&place), "{}", place.read("SPRUNG"));
    assert_eq!(place.paths(&snapshot.commit).await, [".gitattributes", ".gitconfig", "a", "b", "x.bin"]);
    let merge = place.store.merge(&base, &place.commit_on(&base, &[("a", Some("3"))]).await, &snapshot.commit).await.unwrap();
    assert_eq!(merge.conflicts.len(), 1);
    place.store.diff_text(&base, &snapshot.commit, &[], 10_000).await.unwrap();
    let request =
        CheckoutRequest { dir: place.path("next"), private: place.path("next-private"), commit: snapshot.commit, branch: "n".to_owned() };
    place.store.checkout(&request).await.unwrap();
    assert_eq!(place.read("next/x.bin"), "new");
    assert!(!sprung(&place), "{}", place.read("SPRUNG"));
}

#[tokio::test]
async fn a_git_file_or_link_in_place_of_the_directory_counts_for_nothing() {
    let place = Place::new().await;
    let base = place.user_commit(&[("a", "1")]);
    place.import(&base).await;
    let checkout = place.checkout(&base).await;
    let trap = trap(&place);
    place.git("evil", &["init", "--quiet"]);
    plant(&place, &place.path("evil/.git"), &trap);
    for kind in ["file", "link", "nothing"] {
        let dot_git = place.path("agent/.git");
        let _ = std::fs::remove_dir_all(&dot_git);
        let _ = std::fs::remove_file(&dot_git);
        match kind {
            "file" => write(&dot_git, &format!("gitdir: {}\n", place.path("evil/.git").display())),
            "link" => std::os::unix::fs::symlink(place.path("evil/.git"), &dot_git).unwrap(),
            _ => {}
        }
        place.write("agent/a", kind);
        let snapshot = place.snapshot(&checkout).await;
        assert_eq!(place.file(&snapshot.commit, "a").await.as_deref(), Some(kind));
        assert_eq!(place.paths(&snapshot.commit).await, ["a"]);
        assert!(!sprung(&place), "{kind}: {}", place.read("SPRUNG"));
    }
}

#[tokio::test]
async fn nested_repositories_are_files_and_run_nothing() {
    let place = Place::new().await;
    let base = place.user_commit(&[("a", "1"), ("was-file", "1"), (".gitignore", "skip/\n")]);
    place.import(&base).await;
    let checkout = place.checkout(&base).await;
    let trap = trap(&place);
    for repository in ["agent/sub", "agent/sub/deeper", "agent/skip/own", "agent/empty"] {
        place.git(repository, &["init", "--quiet"]);
    }
    place.write("agent/sub/x", "1");
    place.write("agent/sub/deeper/y", "2");
    place.write("agent/skip/own/z", "3");
    place.git("agent/sub", &["add", "x"]);
    place.git("agent/sub", &["commit", "--quiet", "-m", "inner"]);
    std::fs::remove_file(place.path("agent/was-file")).unwrap();
    place.git("agent/was-file", &["init", "--quiet"]);
    place.write("agent/was-file/inner", "4");
    place.git("agent/was-file", &["add", "inner"]);
    place.git("agent/was-file", &["commit", "--quiet", "-m", "inner"]);
    write(&place.path("agent/gitfile/.git"), &format!("gitdir: {}\n", place.path("agent/sub/.git").display()));
    place.write("agent/gitfile/w", "5");
    plant(&place, &place.path("agent/sub/.git"), &trap);
    // A repository that git would still recognise after the planting.
    place.git("agent/deep/tree/repo", &["init", "--quiet"]);
    place.git("agent/deep/tree/repo", &["config", "core.fsmonitor", &trap]);
    place.write("agent/deep/tree/repo/v", "6");
    let snapshot = place.snapshot(&checkout).await;
    assert!(!sprung(&place), "{}", place.read("SPRUNG"));
    assert_eq!(
        place.paths(&snapshot.commit).await,
        [".gitignore", "a", "deep/tree/repo/v", "gitfile/w", "sub/deeper/y", "sub/x", "was-file/inner"]
    );
    let changes = place.store.changed_paths(&base, &snapshot.commit).await.unwrap();
    assert!(changes.iter().all(|c| c.after != SideKind::Submodule && c.after != SideKind::Link));
}

#[tokio::test]
async fn names_that_other_systems_take_for_git_are_left_out_and_told() {
    use std::os::unix::ffi::OsStrExt;
    let place = Place::new().await;
    let base = place.user_commit(&[("a", "1")]);
    place.import(&base).await;
    let checkout = place.checkout(&base).await;
    for name in [".GIT/config", "sub/.Git/x", "git~1", ".g\u{200c}it/hooks", "good"] {
        write(&place.path("agent").join(name), "x");
    }
    std::fs::write(place.path("agent").join(std::ffi::OsStr::from_bytes(b"no\xffutf8")), "x").unwrap();
    let snapshot = place.snapshot(&checkout).await;
    assert_eq!(place.paths(&snapshot.commit).await, ["a", "good"]);
    assert_eq!(snapshot.left_out.len(), 5, "{:?}", snapshot.left_out);
}

#[tokio::test]
async fn fifos_and_sockets_are_passed_over() {
    let place = Place::new().await;
    let base = place.user_commit(&[("a", "1"), ("b", "1")]);
    place.import(&base).await;
    let checkout = place.checkout(&base).await;
    std::fs::remove_file(place.path("agent/b")).unwrap();
    let mkfifo =
        |name: &str| rustix::fs::mknodat(rustix::fs::CWD, place.path(name), rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    mkfifo("agent/fifo");
    mkfifo("agent/b");
    let _socket = std::os::unix::net::UnixListener::bind(place.path("agent/socket")).unwrap();
    let snapshot = place.snapshot(&checkout).await;
    assert_eq!(place.paths(&snapshot.commit).await, ["a"]);
}

#[tokio::test]
async fn a_submodule_of_the_base_stays_what_it_was() {
    let place = Place::new().await;
    let first = place.user_commit(&[("a", "1")]);
    place.git("user", &["update-index", "--add", "--cacheinfo", &format!("160000,{first},sub")]);
    place.git("user", &["commit", "--quiet", "-m", "sub"]);
    let base = place.user_head();
    place.import(&base).await;
    let checkout = place.checkout(&base).await;
    place.git("agent/sub", &["init", "--quiet"]);
    place.write("agent/sub/x", "1");
    place.git("agent/sub", &["add", "x"]);
    place.git("agent/sub", &["commit", "--quiet", "-m", "moved"]);
    place.write("agent/a", "2");
    let snapshot = place.snapshot(&checkout).await;
    let changes = place.store.changed_paths(&base, &snapshot.commit).await.unwrap();
    assert_eq!(changes.iter().map(|c| c.path.as_str()).collect::<Vec<_>>(), ["a"]);
}

#[tokio::test]
async fn what_an_attribute_asks_for_and_a_file_does_not_hold_is_committed_as_it_is() {
    let place = Place::new().await;
    let base =
        place.user_commit(&[("a", "1"), (".gitattributes", "*.rc working-tree-encoding=UTF-16\n*.crlf text eol=crlf\n"), ("old.rc", "")]);
    place.import(&base).await;
    let checkout = place.checkout(&base).await;
    place.write("agent/good.txt", "plain");
    place.write("agent/lines.crlf", "1\r\n2\r\n");
    for n in 0..5 {
        place.write(&format!("agent/{n}.rc"), "abc");
    }
    place.write("agent/old.rc", "now");
    let utf16: Vec<u8> = std::iter::once(0xfeff_u16).chain("good".encode_utf16()).flat_map(u16::to_le_bytes).collect();
    std::fs::write(place.path("agent/right.rc"), utf16).unwrap();
    place.write("agent/d/.gitattributes", "* working-tree-encoding=UTF-32 filter=x ident\nx -working-tree-encoding\n");
    place.write("agent/d/x", "x");
    place.write("agent/d/y", "$Id$");
    let snapshot = place.snapshot(&checkout).await;
    assert!(snapshot.left_out.is_empty(), "{:?}", snapshot.left_out);
    for (path, text) in [("good.txt", "plain"), ("0.rc", "abc"), ("4.rc", "abc"), ("old.rc", "now"), ("d/x", "x"), ("d/y", "$Id$")] {
        assert_eq!(place.file(&snapshot.commit, path).await.as_deref(), Some(text), "{path}");
    }
    // What can be converted still is.
    assert_eq!(place.file(&snapshot.commit, "right.rc").await.as_deref(), Some("good"));
    assert_eq!(place.file(&snapshot.commit, "lines.crlf").await.as_deref(), Some("1\n2\n"));
    let request =
        CheckoutRequest { dir: place.path("next"), private: place.path("next-private"), commit: snapshot.commit, branch: "n".to_owned() };
    place.store.checkout(&request).await.unwrap();
}

#[tokio::test]
async fn what_git_cannot_reach_or_name_is_left_out_and_the_rest_is_committed() {
    let place = Place::new().await;
    let base = place.user_commit(&[("a", "1")]);
    place.import(&base).await;
    let checkout = place.checkout(&base).await;
    place.write("agent/a", "2");
    place.write("agent/sub/b", "3");
    {
        use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
        let (name, flags) = ("d".repeat(200), OFlags::DIRECTORY | OFlags::CLOEXEC);
        let mut at = openat(CWD, place.path("agent"), flags, Mode::empty()).unwrap();
        for _ in 0..30 {
            mkdirat(&at, &name, Mode::RWXU).unwrap();
            at = openat(&at, &name, flags, Mode::empty()).unwrap();
        }
        openat(&at, "deep.txt", OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC, Mode::RUSR).unwrap();
    }
    let mut inside = String::from("agent/n");
    for _ in 0..70 {
        write(&place.path(&inside).join("f"), "x");
        place.git(&inside, &["init", "--quiet"]);
        inside.push_str("/n");
    }
    let snapshot = place.snapshot(&checkout).await;
    let paths = place.paths(&snapshot.commit).await;
    for path in ["a", "sub/b", "n/f", "n/n/n/f"] {
        assert!(paths.iter().any(|found| found == path), "{path} is not in {paths:?}");
    }
    assert_eq!(place.file(&snapshot.commit, "a").await.as_deref(), Some("2"));
    let told: Vec<String> = snapshot.left_out.iter().map(ToString::to_string).collect();
    assert!(told.iter().any(|text| text.starts_with("ddd") && text.ends_with("(its path is too long)")), "{told:?}");
    assert!(told.iter().any(|text| text.starts_with("n/n/") && text.contains("git repository inside")), "{told:?}");
    assert_eq!(snapshot.left_out_count, 2, "{told:?}");
}

#[tokio::test]
async fn the_loss_of_our_own_files_beside_the_directory_is_survived() {
    let place = Place::new().await;
    let base = place.user_commit(&[("a", "1"), ("b", "1"), ("c", "1")]);
    place.import(&base).await;
    let checkout = place.checkout(&base).await;
    place.write("agent/a", "2");
    std::fs::remove_file(place.path("agent/b")).unwrap();
    place.write("agent/new", "3");
    for loss in ["gone", "a link", "garbage"] {
        match loss {
            "gone" => std::fs::remove_dir_all(place.path("private")).unwrap(),
            "a link" => {
                std::fs::remove_dir_all(place.path("private")).unwrap();
                std::os::unix::fs::symlink("/", place.path("private")).unwrap();
            }
            _ => write(&place.path("private/index"), "not an index"),
        }
        let snapshot = place.try_snapshot(&checkout, &[], SnapshotLimits { files_max: 2, bytes_max: 100 }).await.unwrap();
        assert_eq!(place.paths(&snapshot.commit).await, ["a", "c", "new"], "{loss}");
        assert_eq!(place.file(&snapshot.commit, "a").await.as_deref(), Some("2"), "{loss}");
    }
}

#[tokio::test]
async fn the_machine_is_blamed_for_its_disk_and_not_for_what_lies_there() {
    let failed = |stderr: &str| GitError::Failed { verb: "update-index", code: 128, stderr: stderr.to_owned() };
    let io = |errno: rustix::io::Errno| GitError::Io { verb: "snapshot", source: errno.into() };
    use rustix::io::Errno;
    for machine in [failed("error: file write error: No space left on device"), io(Errno::NOSPC), io(Errno::IO), io(Errno::MFILE)] {
        assert!(machine.is_of_machine(), "{machine}");
    }
    for content in [failed("fatal: BOM is required in 'x'"), io(Errno::NAMETOOLONG), io(Errno::LOOP), io(Errno::NOTDIR)] {
        assert!(!content.is_of_machine(), "{content}");
    }
}

#[tokio::test]
async fn a_persons_hooks_and_monitors_stay_asleep() {
    let place = Place::new().await;
    let base = place.user_commit(&[("a", "1")]);
    let trap = trap(&place);
    for hook in ["post-checkout", "post-merge", "reference-transaction", "post-index-change", "pre-commit", "pre-merge-commit"] {
        let file = place.path("user/.git/hooks").join(hook);
        write_program(&file, &std::fs::read_to_string(&trap).unwrap());
    }
    place.git("user", &["config", "core.fsmonitor", &trap]);
    let user = place.user().await;
    user.facts().await.unwrap();
    user.uncommitted(10).await.unwrap();
    let tree = user.git().tree_of(&base).await.unwrap();
    let next = user.git().commit_tree(&tree, std::slice::from_ref(&base), &Signature::roundtable(1), "x").await.unwrap();
    user.accept(&next, None, &Destination::Branch(RefName::branch("main").unwrap()), "m", 1).await.unwrap();
    user.advance(&RefName::branch("roundtable/x").unwrap(), &next).await.unwrap();
    place.write("user/a", "2");
    user.commit_uncommitted(&Signature::roundtable(1), "x", &[]).await.unwrap();
    assert!(!sprung(&place), "{}", place.read("SPRUNG"));
}
