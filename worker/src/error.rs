//! Why joining failed, or ended other than by being asked: one error for all steps of it, from the lock of the workspace to the coordinator's last word.

use std::path::PathBuf;

use roundtable_runtime::identity::IdentityError;
use roundtable_runtime::lock::LockError;

use crate::backend::BackendError;
use crate::host::HostError;
use crate::spool::SpoolError;

/// Why joining failed, or ended other than by being asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// Another worker holds the workspace.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A backend cannot be served.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The workspace cannot be used.
    #[error(transparent)]
    Host(HostError),
    /// The spool cannot be used.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// Certificates.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The words do not fit.
    #[error("{0}")]
    Usage(String),
    /// Nobody is there.
    #[error("{0}")]
    Unreachable(String),
    /// The coordinator does not want us.
    #[error("{0}")]
    Refused(String),
    /// The identity was lent for as long as the worker was there, and it was gone.
    #[error("{0}")]
    Ended(String),
    /// A file of the workspace.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// A backend that cannot be served is a matter of what was asked for, wherever it shows.
impl From<HostError> for JoinError {
    fn from(error: HostError) -> Self {
        match error {
            HostError::Backend(error) => Self::Backend(error),
            error => Self::Host(error),
        }
    }
}
