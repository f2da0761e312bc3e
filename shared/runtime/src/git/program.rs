//! The git program (its version known, number of processes bounded) and the handles it gives out. Finding it is `find.rs`, running it `command.rs`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{RwLock, Semaphore, SemaphorePermit};

use super::{GitError, GitVersion};

/// Processes at once that move packs over the network; they wait for peers, so they do not count with the others.
const STREAMS_MAX: usize = 16;

/// The git program. Cheap to clone; all clones, and all that are made of one, share one bound on processes.
#[derive(Clone, Debug)]
pub struct GitProgram(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    program: PathBuf,
    version: GitVersion,
    processes: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    meanwhile: Option<Meanwhile>,
}

/// Gives something that is kept for as long as a task waits for git alone, and for nobody else. A clock that is made up stands still meanwhile: what a
/// process does takes no time of it.
#[derive(Clone)]
pub struct Meanwhile(Arc<dyn Fn() -> Kept + Send + Sync>);

/// What is kept.
pub(crate) type Kept = Box<dyn Send>;

impl Meanwhile {
    /// What `keep` gives is dropped when git has done what was waited for.
    pub fn new(keep: impl Fn() -> Box<dyn Send> + Send + Sync + 'static) -> Self {
        Self(Arc::new(keep))
    }
}

impl std::fmt::Debug for Meanwhile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Meanwhile")
    }
}

impl GitProgram {
    /// This program file, whose version is not known yet.
    pub(crate) fn unchecked(program: PathBuf, processes_max: usize) -> Self {
        Self(Arc::new(Inner {
            program,
            version: GitVersion::OLDEST,
            processes: Arc::new(Semaphore::new(processes_max.max(1))),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            meanwhile: None,
        }))
    }

    /// The program's version.
    pub fn version(&self) -> GitVersion {
        self.0.version
    }

    /// The program file.
    pub fn path(&self) -> &Path {
        &self.0.program
    }

    /// A handle on a bare repository of our own, which must exist ([`GitProgram::init_bare`]). Its clones know of each other's moves of refs; two that were made
    /// apart do not, and may take each other's lock for one that a killed git has left: refs are moved by one of them and its clones, the others read.
    pub fn own(&self, git_dir: impl AsRef<Path>) -> Result<Git, GitError> {
        Ok(Git::new(self.clone(), Trust::Own, absolute(git_dir.as_ref())?))
    }

    pub(crate) fn user(&self, git_dir: &Path, common_dir: &Path, work_tree: &Path) -> Result<Git, GitError> {
        let mut git = Git::new(self.clone(), Trust::User, absolute(git_dir)?);
        git.common_dir = Some(absolute(common_dir)?);
        git.work_tree = Some(absolute(work_tree)?);
        Ok(git)
    }

    pub(crate) async fn permit(&self, stream: bool) -> SemaphorePermit<'_> {
        let semaphore = if stream { &self.0.streams } else { &self.0.processes };
        semaphore.acquire().await.expect("the semaphore lives as long as the program and is never closed")
    }

    /// The same program taken for another version: tests of the ways around what older versions lack use it too.
    pub(crate) fn with_version(&self, version: GitVersion) -> Self {
        self.with(version, self.0.meanwhile.clone())
    }

    /// The same program, with something that is kept while it is waited for.
    #[must_use]
    pub fn keeping(&self, meanwhile: Meanwhile) -> Self {
        self.with(self.0.version, Some(meanwhile))
    }

    /// What is to be kept from now on, until git has done what is waited for.
    pub(crate) fn meanwhile(&self) -> Option<Kept> {
        self.0.meanwhile.as_ref().map(|meanwhile| meanwhile.0())
    }

    fn with(&self, version: GitVersion, meanwhile: Option<Meanwhile>) -> Self {
        Self(Arc::new(Inner {
            program: self.0.program.clone(),
            version,
            processes: Arc::clone(&self.0.processes),
            streams: Arc::clone(&self.0.streams),
            meanwhile,
        }))
    }
}

/// Whose configuration counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Trust {
    /// A repository of ours: nobody's but ours.
    Own,
    /// A person's repository: theirs, without hooks.
    User,
}

/// A handle on one git directory, with a work tree, index and object store of choice. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Git {
    pub(crate) program: GitProgram,
    pub(crate) trust: Trust,
    pub(crate) git_dir: PathBuf,
    pub(crate) common_dir: Option<PathBuf>,
    pub(crate) work_tree: Option<PathBuf>,
    pub(crate) index_file: Option<PathBuf>,
    pub(crate) object_dir: Option<PathBuf>,
    pub(crate) shallow_file: Option<PathBuf>,
    pub(crate) durable: bool,
    /// Held by each command of ours that locks refs there; alone by who clears a lock that none of them can have.
    pub(crate) moving: Arc<RwLock<()>>,
}

impl Git {
    fn new(program: GitProgram, trust: Trust, git_dir: PathBuf) -> Self {
        Self {
            program,
            trust,
            git_dir,
            common_dir: None,
            work_tree: None,
            index_file: None,
            object_dir: None,
            shallow_file: None,
            durable: true,
            moving: Arc::default(),
        }
    }

    /// The git directory.
    pub fn git_dir(&self) -> &Path {
        &self.git_dir
    }

    /// The program.
    pub fn program(&self) -> &GitProgram {
        &self.program
    }

    /// The same repository without waiting for the disk: for caches and scratch whose loss costs only a repetition.
    #[must_use]
    pub fn without_sync(mut self) -> Self {
        self.durable = false;
        self
    }

    /// The same repository, new objects going to `dir` (made if absent), old ones still found.
    #[must_use]
    pub fn with_objects(mut self, dir: impl Into<PathBuf>) -> Self {
        self.object_dir = Some(dir.into());
        self
    }

    pub(crate) fn with_work_tree(mut self, work_tree: &Path, index_file: &Path) -> Self {
        self.work_tree = Some(work_tree.to_owned());
        self.index_file = Some(index_file.to_owned());
        self
    }

    pub(crate) fn with_index(mut self, index_file: &Path) -> Self {
        self.index_file = Some(index_file.to_owned());
        self
    }

    pub(crate) fn with_shallow(mut self, shallow_file: &Path) -> Self {
        self.shallow_file = Some(shallow_file.to_owned());
        self
    }

    /// Where the repository's own objects lie. A person's linked work tree keeps them in the common directory.
    pub(crate) fn objects(&self) -> PathBuf {
        self.common_dir.as_ref().unwrap_or(&self.git_dir).join("objects")
    }
}

pub(crate) fn absolute(path: &Path) -> Result<PathBuf, GitError> {
    std::path::absolute(path).map_err(GitError::io("path"))
}
