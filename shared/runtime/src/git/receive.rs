//! Packs coming in: received into quarantine, checked there, and kept only when the caller says so.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tokio::fs;
use tokio::io::AsyncRead;

use super::command::Streams;
use super::program::Trust;
use super::{Git, GitError, Oid, memory};

/// Whose pack it is, and so what is asked of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sender {
    /// A worker: every object must be well-formed and all it names must be here. As nothing incomplete is ever kept, that makes the whole complete.
    Peer,
    /// The run's owner: objects of old histories may be malformed as git tolerates them, the history may begin anywhere, and all of it is walked once.
    Owner,
    /// A worker's own coordinator: like an owner, but believed to send all it should; nothing is walked, so that a cache's size does not matter.
    Coordinator,
}

/// Bounds on a received pack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReceiveLimits {
    /// Most bytes of the pack itself.
    pub pack_bytes_max: u64,
    /// Most bytes that unpacking a peer's may allocate.
    pub memory_bytes_max: u64,
}

impl Default for ReceiveLimits {
    fn default() -> Self {
        Self { pack_bytes_max: 4 << 30, memory_bytes_max: memory::bound() }
    }
}

/// A pack that passed its checks and lies in quarantine. Dropped, it is gone; [`Received::keep`] makes it part of the repository.
#[derive(Debug)]
pub struct Received {
    git: Git,
    home: Git,
    quarantine: TempDir,
    boundaries: Vec<Oid>,
}

/// Output of `cat-file --batch-all-objects` admitted: some twenty million objects.
const OBJECT_LIST_BYTES_MAX: u64 = 1 << 30;
/// How long another writer of the list of boundaries is waited for.
const SHALLOW_WAIT: Duration = Duration::from_secs(10);

impl Git {
    /// Receives a pack that shall bring `tips` with all they need. An empty input means that nothing was to be sent; the tips must be here then.
    pub async fn receive_pack(
        &self,
        input: &mut (dyn AsyncRead + Send + Unpin),
        tips: &[Oid],
        sender: Sender,
        limits: ReceiveLimits,
    ) -> Result<Received, GitError> {
        // git prunes what a crash leaves under this name.
        let quarantine =
            tempfile::Builder::new().prefix("tmp_objdir-incoming-").tempdir_in(self.objects()).map_err(GitError::io("index-pack"))?;
        fs::create_dir(quarantine.path().join("pack")).await.map_err(GitError::io("index-pack"))?;
        let mut git = self.clone().with_objects(quarantine.path());
        git.index_pack(input, sender, limits).await?;
        let mut boundaries = Vec::new();
        if sender == Sender::Coordinator && git.connects(tips).await? {
            return Ok(Received { git, home: self.clone(), quarantine, boundaries });
        }
        if sender != Sender::Peer {
            boundaries = git.missing_parents().await?;
            if !boundaries.is_empty() {
                let shallow_file = quarantine.path().join("shallow");
                fs::write(&shallow_file, shallow_text(&git.boundaries().await?, &boundaries)).await.map_err(GitError::io("index-pack"))?;
                git = git.with_shallow(&shallow_file);
            }
        }
        git.check_tips(tips).await?;
        if sender == Sender::Owner {
            git.check_complete(tips).await?;
        }
        Ok(Received { git, home: self.clone(), quarantine, boundaries })
    }

    async fn index_pack(&self, input: &mut (dyn AsyncRead + Send + Unpin), sender: Sender, limits: ReceiveLimits) -> Result<(), GitError> {
        let mut first = [0_u8; 1];
        let read = tokio::io::AsyncReadExt::read(input, &mut first).await.map_err(GitError::io("index-pack"))?;
        if read == 0 {
            return Ok(());
        }
        let mut command =
            self.invoke("index-pack").args(["--stdin", "--fix-thin", &format!("--max-input-size={}", limits.pack_bytes_max)]).long();
        if sender == Sender::Peer {
            // Each thread takes memory of its own.
            command = command.args(["--strict", "--fsck-objects", "--threads=2"]).memory_bytes_max(limits.memory_bytes_max);
        }
        let mut input = tokio::io::AsyncReadExt::chain(&first[..], input);
        match command.run_with(Streams { input: Some(&mut input), output: None }).await {
            Ok(_) => Ok(()),
            Err(GitError::Failed { stderr, .. })
                if sender == Sender::Peer && memory::is_wanted(&stderr) && memory::is_free(limits.memory_bytes_max) =>
            {
                Err(GitError::PackRefused { why: format!("unpacking it takes more than {} MiB of memory", limits.memory_bytes_max >> 20) })
            }
            Err(error) => Err(refused_unless_of_machine(error, "")),
        }
    }

    /// Commits of the object store alone (not of what it rests on) that have parents which are nowhere.
    async fn missing_parents(&self) -> Result<Vec<Oid>, GitError> {
        let arguments = ["--batch-all-objects", "--unordered", "--batch-check=%(objecttype) %(objectname)"];
        let command = self.invoke("cat-file").args(arguments).env("GIT_ALTERNATE_OBJECT_DIRECTORIES", "");
        let answer = command.output_bytes_max(OBJECT_LIST_BYTES_MAX).long().run().await?;
        let text = answer.text("cat-file")?;
        let commits = text.lines().filter_map(|line| line.strip_prefix("commit ")).map(Oid::parse).collect::<Result<Vec<_>, _>>()?;
        let infos = self.commit_infos(&commits).await?;
        let here: BTreeSet<&Oid> = commits.iter().collect();
        let elsewhere: BTreeSet<&Oid> = infos.iter().flat_map(|info| &info.parents).filter(|parent| !here.contains(parent)).collect();
        let elsewhere: Vec<Oid> = elsewhere.into_iter().cloned().collect();
        let kinds = self.kinds(&elsewhere).await?;
        let missing: BTreeSet<&Oid> = elsewhere.iter().zip(&kinds).filter(|(_, kind)| kind.is_none()).map(|(oid, _)| oid).collect();
        let cut = commits.iter().zip(&infos).filter(|(_, info)| info.parents.iter().any(|parent| missing.contains(parent)));
        Ok(cut.map(|(commit, _)| commit.clone()).collect())
    }

    /// Whether the tips are commits whose history is here from end to end, by one walk over what no ref reaches yet.
    async fn connects(&self, tips: &[Oid]) -> Result<bool, GitError> {
        let input: String = tips.iter().map(|tip| format!("{tip}^{{commit}}\n")).collect();
        let command = self.invoke("rev-list").args(["--quiet", "--stdin", "--not", "--all"]).input(input).codes_ok(&[0, 128]).long();
        Ok(command.run().await?.code == 0)
    }

    async fn check_tips(&self, tips: &[Oid]) -> Result<(), GitError> {
        let kinds = self.kinds(tips).await?;
        match tips.iter().zip(kinds).find(|(_, kind)| kind.as_deref() != Some("commit")) {
            Some((tip, _)) => Err(GitError::PackRefused { why: format!("commit {tip} is not among them") }),
            None => Ok(()),
        }
    }

    /// Whether all that the tips need is here, taking for granted what refs already reach.
    async fn check_complete(&self, tips: &[Oid]) -> Result<(), GitError> {
        let input: String = tips.iter().map(|tip| format!("{tip}\n")).collect();
        // Before 2.42 git takes only revisions from standard input, no options.
        match self.invoke("rev-list").args(["--objects", "--quiet", "--stdin", "--not", "--all"]).input(input).long().run().await {
            Ok(_) => Ok(()),
            Err(error) => Err(refused_unless_of_machine(error, "they are incomplete: ")),
        }
    }

    /// The commits of this repository whose parents count as absent.
    pub async fn boundaries(&self) -> Result<Vec<Oid>, GitError> {
        match fs::read_to_string(self.shallow_path()).await {
            Ok(text) => text.lines().map(Oid::parse).collect(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(GitError::Io { verb: "shallow", source: error }),
        }
    }

    fn shallow_path(&self) -> PathBuf {
        self.common_dir.as_ref().unwrap_or(&self.git_dir).join("shallow")
    }

    /// Adds boundaries under git's own lock file, atomically.
    async fn add_boundaries(&self, new: &[Oid]) -> Result<(), GitError> {
        let path = self.shallow_path();
        let lock = path.with_extension("lock");
        let deadline = tokio::time::Instant::now() + SHALLOW_WAIT;
        loop {
            match fs::OpenOptions::new().write(true).create_new(true).open(&lock).await {
                Ok(file) => break drop(file),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                Err(error) => return Err(GitError::Io { verb: "shallow", source: error }),
            }
        }
        let written = async {
            let text = shallow_text(&self.boundaries().await?, new);
            fs::write(&lock, text).await.map_err(GitError::io("shallow"))?;
            sync(&lock).await?;
            fs::rename(&lock, &path).await.map_err(GitError::io("shallow"))?;
            sync(path.parent().unwrap_or(&path)).await
        };
        let written = written.await;
        if written.is_err() {
            let _ = fs::remove_file(&lock).await;
        }
        written
    }
}

impl Received {
    /// The repository with the quarantined objects added, for looking at them.
    pub fn git(&self) -> &Git {
        &self.git
    }

    /// Makes the objects part of the repository. No ref moves.
    pub async fn keep(self) -> Result<(), GitError> {
        if !self.boundaries.is_empty() {
            if self.home.trust == Trust::User {
                return Err(GitError::PackRefused { why: "they do not connect to the repository's history".to_owned() });
            }
            self.home.add_boundaries(&self.boundaries).await?;
        }
        let goal = self.home.objects().join("pack");
        fs::create_dir_all(&goal).await.map_err(GitError::io("index-pack"))?;
        let mut names = file_names(&self.quarantine.path().join("pack")).await?;
        // An index makes its pack visible, so it moves last.
        names.sort_by_key(|name| name.extension().is_some_and(|e| e == "idx"));
        for name in names {
            let from = self.quarantine.path().join("pack").join(&name);
            fs::rename(from, goal.join(&name)).await.map_err(GitError::io("index-pack"))?;
        }
        if self.home.durable { sync(&goal).await } else { Ok(()) }
    }
}

/// What git says no to is refused; where our own disk or memory is to blame, it is no word on what was sent.
fn refused_unless_of_machine(error: GitError, what: &str) -> GitError {
    match error {
        error if error.is_of_machine() => error,
        GitError::Failed { stderr, .. } => GitError::PackRefused { why: format!("{what}{stderr}") },
        error => error,
    }
}

async fn file_names(dir: &Path) -> Result<Vec<PathBuf>, GitError> {
    let mut names = Vec::new();
    let mut entries = fs::read_dir(dir).await.map_err(GitError::io("index-pack"))?;
    while let Some(entry) = entries.next_entry().await.map_err(GitError::io("index-pack"))? {
        names.push(PathBuf::from(entry.file_name()));
    }
    Ok(names)
}

async fn sync(path: &Path) -> Result<(), GitError> {
    let file = fs::File::open(path).await.map_err(GitError::io("sync"))?;
    file.sync_all().await.map_err(GitError::io("sync"))
}

fn shallow_text(old: &[Oid], new: &[Oid]) -> String {
    let all: BTreeSet<&Oid> = old.iter().chain(new).collect();
    all.into_iter().map(|oid| format!("{oid}\n")).collect()
}
