//! Finding the git program: the file in `PATH`, and whether its version is one that will do.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::command::Invocation;
use super::{GitError, GitProgram, GitVersion};

impl GitProgram {
    /// Finds git in `PATH` and checks its version. At most twice as many processes as CPUs (at least 4) run at once.
    pub async fn find() -> Result<Self, GitError> {
        let cpus = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let program = in_path("git").ok_or(GitError::NoProgram)?;
        Self::at(program, (cpus * 2).max(4)).await
    }

    /// Uses this program file, with at most `processes_max` processes at once.
    pub async fn at(program: impl Into<PathBuf>, processes_max: usize) -> Result<Self, GitError> {
        let program = program.into();
        let unchecked = Self::unchecked(program.clone(), processes_max);
        let answer = Invocation::bare(&unchecked, "version").run().await?;
        let found = answer.text("version")?;
        let version = GitVersion::parse(&found).filter(|v| *v >= GitVersion::OLDEST);
        let Some(version) = version else {
            return Err(GitError::TooOld { program, found: found.trim().trim_start_matches("git version ").to_owned() });
        };
        Ok(unchecked.with_version(version))
    }
}

/// The first executable file of that name in `PATH`; relative entries are skipped, so the working directory never counts.
fn in_path(name: &str) -> Option<PathBuf> {
    let path: OsString = std::env::var_os("PATH")?;
    std::env::split_paths(&path).filter(|dir| dir.is_absolute()).map(|dir| dir.join(name)).find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    file.metadata().is_ok_and(|m| m.is_file()) && rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok()
}
