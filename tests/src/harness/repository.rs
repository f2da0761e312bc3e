//! A user's git repository.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A repository with a checkout.
#[derive(Clone, Debug)]
pub struct Repository {
    path: PathBuf,
    home: PathBuf,
}

impl Repository {
    /// Makes one on branch `main` with one commit.
    pub(super) fn init(path: &Path, home: &Path) -> Self {
        let repository = Self::empty(path, home);
        repository.write("README.md", "# Sample\n");
        repository.commit("Start");
        repository
    }

    /// Makes one without any commit.
    pub(super) fn empty(path: &Path, home: &Path) -> Self {
        std::fs::create_dir_all(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let repository = Self { path: path.to_owned(), home: home.to_owned() };
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository
    }

    /// The checkout at a path, however it came there.
    pub(super) fn at(path: &Path, home: &Path) -> Self {
        Self { path: path.to_owned(), home: home.to_owned() }
    }

    /// The checkout's folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs git here and gives what it printed; failing fails the test.
    #[track_caller]
    pub fn git(&self, args: &[&str]) -> String {
        let done = self.try_git(args);
        done.unwrap_or_else(|error| panic!("git {args:?} in {}: {error}", self.path.display()))
    }

    /// Runs git here.
    pub fn try_git(&self, args: &[&str]) -> Result<String, String> {
        // The test's own commits need an identity; what is tested must not, and does not get it.
        let done = Command::new("git")
            .args(["-c", "user.name=Ann", "-c", "user.email=ann@example.org", "-c", "protocol.file.allow=always"])
            .args(args)
            .current_dir(&self.path)
            .env("HOME", &self.home)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("LC_ALL", "C")
            .output()
            .map_err(|error| error.to_string())?;
        if done.status.success() {
            Ok(String::from_utf8_lossy(&done.stdout).trim_end().to_owned())
        } else {
            Err(String::from_utf8_lossy(&done.stderr).into_owned())
        }
    }

    /// Writes a file of the checkout.
    pub fn write(&self, path: &str, text: &str) {
        let file = self.path.join(path);
        let done = std::fs::create_dir_all(file.parent().unwrap_or(&file)).and_then(|()| std::fs::write(&file, text));
        done.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }

    /// Reads a file of the checkout.
    #[track_caller]
    pub fn read(&self, path: &str) -> String {
        let file = self.path.join(path);
        std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
    }

    /// Whether the checkout has a file.
    pub fn has(&self, path: &str) -> bool {
        self.path.join(path).exists()
    }

    /// Commits everything and gives the commit.
    pub fn commit(&self, message: &str) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", message]);
        self.head()
    }

    /// The commit checked out.
    pub fn head(&self) -> String {
        self.git(&["rev-parse", "HEAD"])
    }

    /// The content of a file in a revision.
    #[track_caller]
    pub fn show(&self, rev: &str, path: &str) -> String {
        self.git(&["show", &format!("{rev}:{path}")])
    }

    /// Subjects of the commits of a range, newest first.
    pub fn subjects(&self, range: &str) -> Vec<String> {
        self.git(&["log", "--format=%s", range]).lines().map(str::to_owned).collect()
    }

    /// Values of a trailer in the commits of a range, newest first.
    pub fn trailers(&self, range: &str, key: &str) -> Vec<String> {
        let format = format!("--format=%(trailers:key={key},valueonly)");
        self.git(&["log", &format, range]).lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }

    /// Branches of runs.
    pub fn run_branches(&self) -> Vec<String> {
        self.git(&["for-each-ref", "--format=%(refname:short)", "refs/heads/roundtable"]).lines().map(str::to_owned).collect()
    }
}
