//! Directories that agents worked in and in which something is mounted, or flagged unchangeable: cleaned without touching what lies behind. Real mounts in
//! a namespace of the suite's own (`unshare --user --map-root-user --mount`); flags need root and a file system that has them.
#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use roundtable_runtime::git::{Checkout, CheckoutRequest, Git, GitProgram, Signature};
use roundtable_runtime::sweep;
use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
use rustix::mount::{UnmountFlags, mount_bind, unmount};

/// A repository with a commit, a worktree of it, and a folder of somebody's outside.
struct Place {
    home: tempfile::TempDir,
    git: Git,
    checkout: Checkout,
}

impl Place {
    async fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let user = home.path().join("user");
        write(&user.join("kept"), "1");
        write(&user.join("sub/deep/kept"), "1");
        write(&home.path().join("outside/file"), "mine");
        write(&home.path().join("outside/folder/file"), "mine");
        let program = GitProgram::find().await.unwrap();
        program.create_repository(&user, "main", &Signature::roundtable(1), "base\n").await.unwrap();
        let git = program.own(user.join(".git")).unwrap();
        let commit = git.resolve_commit("HEAD").await.unwrap();
        let place = |name: &str| home.path().join(name);
        let request = CheckoutRequest { dir: place("tree"), private: place("private"), commit, branch: "x".to_owned() };
        let checkout = git.checkout(&request).await.unwrap();
        Self { home, git, checkout }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The worktree as it was, for the next agent.
    async fn recheckout(&self) -> Checkout {
        let Checkout { dir, private, commit } = self.checkout.clone();
        self.git.recheckout(&CheckoutRequest { dir, private, commit, branch: "y".to_owned() }).await.unwrap()
    }

    fn outside_is_whole(&self) {
        for file in ["outside/file", "outside/folder/file"] {
            assert_eq!(std::fs::read_to_string(self.path(file)).unwrap(), "mine");
        }
    }
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// Where in a worktree the folder, or the file, is mounted.
const PLACES: [&str; 5] = ["new", "sub", "sub/deep", "kept", ""];

fn mount_at(place: &Place, at: &str) {
    let on = place.path("tree").join(at);
    if at == "new" {
        std::fs::create_dir(&on).unwrap();
    }
    mount_bind(place.path(if on.is_dir() { "outside" } else { "outside/file" }), &on).unwrap();
}

#[tokio::test]
#[ignore = "mounts: .ci/run mounts runs it"]
async fn what_is_mounted_in_a_worktree_is_detached_and_left_alone() {
    for at in PLACES {
        let place = Place::new().await;
        mount_at(&place, at);
        let checkout = place.recheckout().await;
        place.outside_is_whole();
        assert_eq!(std::fs::read_to_string(place.path("tree/kept")).unwrap(), "1", "{at}");
        assert_eq!(std::fs::read_to_string(place.path("tree/sub/deep/kept")).unwrap(), "1", "{at}");
        assert!(!place.path("tree/new").exists() && !place.path("tree/file").exists(), "{at}");

        let place = Place { checkout, ..place };
        mount_at(&place, at);
        sweep::remove(&place.path("tree")).unwrap();
        place.outside_is_whole();
        assert!(!place.path("tree").exists(), "{at}");
    }
}

/// Where the mount may not be taken away it stays, and so does what is behind it; everything else goes.
#[test]
#[ignore = "mounts: .ci/run mounts runs it"]
fn what_may_not_be_detached_is_left_alone() {
    let home = tempfile::tempdir().unwrap();
    for file in ["outside/file", "outside/folder/file", "tree/new/x", "tree/beside/y"] {
        write(&home.path().join(file), "mine");
    }
    let (outside, on) = (home.path().join("outside"), home.path().join("tree/new"));
    mount_bind(&outside, &on).unwrap();
    // In a namespace below this one, mounts of this one are locked. What it runs is the test that follows.
    let test = "in_a_namespace_below";
    let status = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount"])
        .arg(std::env::current_exe().unwrap())
        .args([test, "--exact", "--ignored", "--nocapture"])
        .env("ROUNDTABLE_TEST_TREE", home.path().join("tree"))
        .status();
    unmount(&on, UnmountFlags::DETACH).unwrap();
    assert!(status.unwrap().success());
    assert_eq!(std::fs::read_to_string(outside.join("folder/file")).unwrap(), "mine");
    assert!(on.join("x").exists() && !home.path().join("tree/beside").exists());
}

#[test]
#[ignore = "run by the test before it"]
fn in_a_namespace_below() {
    let Some(tree) = std::env::var_os("ROUNDTABLE_TEST_TREE").map(PathBuf::from) else { return };
    let stuck = sweep::remove(&tree).unwrap_err();
    assert!(stuck.path.ends_with("new"), "{stuck}");
    assert!(sweep::clean(&tree, &|_, _| sweep::Keep::Nothing).is_err());
    // Put aside whole, it is in nobody's way.
    std::fs::rename(&tree, tree.with_file_name("aside")).unwrap();
    std::fs::rename(tree.with_file_name("aside"), &tree).unwrap();
}

fn flag(path: &Path, flags: IFlags) {
    let file = File::open(path).unwrap();
    ioctl_setflags(&file, ioctl_getflags(&file).unwrap() | flags).unwrap();
}

#[tokio::test]
#[ignore = "flags: .ci/run mounts runs it"]
async fn files_flagged_unchangeable_do_not_stay() {
    let place = Place::new().await;
    write(&place.path("tree/new/x"), "litter");
    for (path, flags) in [("kept", IFlags::IMMUTABLE), ("new/x", IFlags::APPEND), ("new", IFlags::IMMUTABLE), ("sub", IFlags::IMMUTABLE)] {
        flag(&place.path("tree").join(path), flags);
    }
    flag(&place.path("tree"), IFlags::IMMUTABLE);
    place.recheckout().await;
    assert!(!place.path("tree/new").exists());
    for path in ["kept", "sub/deep/kept"] {
        std::fs::write(place.path("tree").join(path), "2").unwrap();
    }
    flag(&place.path("tree/kept"), IFlags::IMMUTABLE);
    flag(&place.path("tree"), IFlags::IMMUTABLE);
    sweep::remove(&place.path("tree")).unwrap();
}
