//! Files and directories that git does not touch for us: work on them beside the tasks that must not wait, and the removal of what may be gone.

use std::io;
use std::path::Path;

use super::GitError;

/// Has work that waits for a disk done on a thread that may wait; `verb` is what it is done for.
pub(super) async fn blocking<T: Send + 'static>(
    verb: &'static str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, GitError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(GitError::io(verb)),
        Err(error) => Err(GitError::Io { verb, source: io::Error::other(error) }),
    }
}

/// Removes a file; that it is not there is as good. `verb` is what that is done for.
pub(super) async fn remove_if_there(verb: &'static str, file: &Path) -> Result<(), GitError> {
    match tokio::fs::remove_file(file).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(GitError::Io { verb, source: error }),
        _ => Ok(()),
    }
}
