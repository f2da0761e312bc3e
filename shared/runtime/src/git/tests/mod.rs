//! The git module against the real program on temporary directories. One file per concern; what they share is here.
#![allow(clippy::unwrap_used)]

mod accept;
mod attributes;
mod basics;
mod checkout;
mod create;
mod glance;
mod hostile;
mod merge;
mod transfer;

use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;

/// A temporary place with a person's repository `user/` and a bare store of ours `store.git`.
pub(super) struct Place {
    home: tempfile::TempDir,
    pub(super) program: GitProgram,
    pub(super) store: Git,
}

impl Place {
    pub(super) async fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let program = GitProgram::find().await.unwrap();
        let store = program.init_bare(home.path().join("store.git"), ObjectFormat::Sha1).await.unwrap();
        let place = Self { home, program, store };
        place.git("user", &["init", "--quiet", "--initial-branch=main"]);
        place
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Runs git as the person would, below the temporary place, with no configuration of the host.
    pub(super) fn git(&self, dir: &str, args: &[&str]) -> String {
        let dir = self.path(dir);
        std::fs::create_dir_all(&dir).unwrap();
        run_git(&dir, args)
    }

    pub(super) fn write(&self, path: &str, text: &str) {
        write(&self.path(path), text);
    }

    pub(super) fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.path(path)).unwrap()
    }

    /// Writes files of the person's repository and commits them.
    pub(super) fn user_commit(&self, files: &[(&str, &str)]) -> Oid {
        for (path, text) in files {
            write(&self.path("user").join(path), text);
        }
        self.git("user", &["add", "--all"]);
        self.git("user", &["commit", "--quiet", "--allow-empty", "-m", "a change"]);
        self.user_head()
    }

    pub(super) fn user_head(&self) -> Oid {
        Oid::parse(self.git("user", &["rev-parse", "HEAD"]).trim()).unwrap()
    }

    pub(super) async fn user(&self) -> UserRepository {
        self.program.discover(&self.path("user")).await.unwrap()
    }

    /// Copies a commit of the person's repository to the store, with a ref that keeps it.
    pub(super) async fn import(&self, commit: &Oid) {
        let user = self.user().await;
        transfer(user.git(), &self.store, commit, &[], Some(50), Sender::Owner).await.unwrap();
        self.store.move_ref(&RefName::parse(&format!("refs/base/{commit}")).unwrap(), None, commit).await.unwrap();
    }

    pub(super) async fn checkout(&self, commit: &Oid) -> Checkout {
        self.store.checkout(&self.request(commit, "roundtable/unit")).await.unwrap()
    }

    /// The same directory for the next attempt.
    pub(super) async fn recheckout(&self, commit: &Oid) -> Checkout {
        self.store.recheckout(&self.request(commit, "roundtable/other")).await.unwrap()
    }

    pub(super) fn request(&self, commit: &Oid, branch: &str) -> CheckoutRequest {
        CheckoutRequest { dir: self.path("agent"), private: self.path("private"), commit: commit.clone(), branch: branch.to_owned() }
    }

    pub(super) async fn snapshot(&self, checkout: &Checkout) -> Snapshot {
        self.try_snapshot(checkout, &[], SnapshotLimits::default()).await.unwrap()
    }

    pub(super) async fn try_snapshot(
        &self,
        checkout: &Checkout,
        withheld: &[Withheld],
        limits: SnapshotLimits,
    ) -> Result<Snapshot, GitError> {
        let parents = [checkout.commit.clone()];
        let by = Signature::roundtable(1_700_000_000);
        let request = SnapshotRequest { checkout, withheld, parents: &parents, by: &by, message: "attempt\n", limits };
        self.store.snapshot(&request).await
    }

    /// Commits files on top of a commit, in the store alone.
    pub(super) async fn commit_on(&self, base: &Oid, files: &[(&str, Option<&str>)]) -> Oid {
        let mut edits = Vec::new();
        for (path, text) in files {
            let path = (*path).to_owned();
            edits.push(match text {
                Some(text) => TreeEdit::Put { path, mode: EntryMode::File, oid: self.store.write_blob(*text).await.unwrap() },
                None => TreeEdit::Remove { path },
            });
        }
        let tree = self.store.edit_tree(base, &edits).await.unwrap();
        self.store.commit_tree(&tree, std::slice::from_ref(base), &Signature::roundtable(5), "change\n").await.unwrap()
    }

    pub(super) async fn file(&self, commit: &Oid, path: &str) -> Option<String> {
        self.store.read_file(commit, path, 1 << 20).await.unwrap().map(|bytes| String::from_utf8(bytes).unwrap())
    }

    pub(super) async fn paths(&self, commit: &Oid) -> Vec<String> {
        self.store.list_tree(commit, None, 1000).await.unwrap().entries.into_iter().map(|entry| entry.path).collect()
    }
}

pub(super) fn run_git(dir: &Path, args: &[&str]) -> String {
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

pub(super) fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// Writes a program. Another process does the writing: a test that starts something meanwhile would inherit our descriptor, and a file that is open for
/// writing anywhere cannot be run.
pub(super) fn write_program(path: &Path, text: &str) {
    use std::io::Write;
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "cat > \"$0\" && chmod 755 \"$0\""]).arg(path).stdin(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

/// Sends a commit from one repository to another by pack.
pub(super) async fn transfer(
    from: &Git,
    to: &Git,
    tip: &Oid,
    haves: &[Oid],
    history_max: Option<usize>,
    sender: Sender,
) -> Result<u64, GitError> {
    let request = PackRequest { wants: vec![tip.clone()], haves: haves.to_vec(), history_max };
    let mut pack = Vec::new();
    let stats = from.pack(&request, &mut pack).await?;
    assert_eq!(stats.bytes, pack.len() as u64);
    let received = to.receive_pack(&mut pack.as_slice(), std::slice::from_ref(tip), sender, ReceiveLimits::default()).await?;
    received.keep().await?;
    Ok(stats.bytes)
}
