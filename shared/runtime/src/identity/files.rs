//! Where identities lie on disk: a worker's own, and `client.json`, by which clients of the same user find the coordinator. Readable by the owner alone.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use roundtable_shared::time::WallMs;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::IdentityError;
use crate::fsx;

/// A certificate with its key and the authority that vouches for peers.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// The authority's certificate, PEM.
    pub ca_pem: String,
    /// The own certificate, PEM.
    pub certificate_pem: String,
    /// Its key, PEM (PKCS #8).
    pub key_pem: String,
}

/// Keys stay out of logs.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

/// Largest file of this kind.
const FILE_BYTES_MAX: u64 = 256 << 10;

impl Credentials {
    /// Writes them, whole or not at all.
    pub fn write(&self, path: &Path) -> Result<(), IdentityError> {
        write_private(path, self)
    }

    /// Reads them; `None` if there is no such file. A file others may read is refused.
    pub fn read(path: &Path) -> Result<Option<Self>, IdentityError> {
        read_private(path)
    }
}

/// What a client of the same user on the same host needs to reach the coordinator.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ClientFile {
    /// `host:port`, as processes of this host reach it.
    pub address: String,
    /// `host:port`, as others reach it, best first; empty where nobody else can.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub advertised: Vec<String>,
    /// A person's credentials.
    pub credentials: Credentials,
    /// Oldest and newest protocol version it speaks.
    pub protocol: (u32, u32),
    /// The coordinator's process id.
    pub pid: u32,
    /// When that process started, by the kernel's count, so that a later process of the same id is not taken for it.
    pub process_started: Option<u64>,
    /// When the file was written.
    pub written_at: WallMs,
}

impl ClientFile {
    /// Describes this very process.
    pub fn of_this_process(address: &str, credentials: Credentials, protocol: (u32, u32), now: WallMs) -> Self {
        let pid = std::process::id();
        Self {
            address: address.to_owned(),
            advertised: Vec::new(),
            credentials,
            protocol,
            pid,
            process_started: process_start(pid),
            written_at: now,
        }
    }

    /// Where it lies in a data directory.
    pub fn path(data_dir: &Path) -> PathBuf {
        data_dir.join("client.json")
    }

    /// Writes it, whole or not at all.
    pub fn write(&self, data_dir: &Path) -> Result<(), IdentityError> {
        write_private(&Self::path(data_dir), self)
    }

    /// Reads it; `None` if there is none.
    pub fn read(data_dir: &Path) -> Result<Option<Self>, IdentityError> {
        let path = Self::path(data_dir);
        read_private(&path).map_err(|error| match error {
            IdentityError::BadFile { path, why } if !why.contains("chmod") => {
                IdentityError::BadFile { why: format!("{why}; remove it: a coordinator writes it anew when it starts"), path }
            }
            IdentityError::Io { path, source } if source.kind() == std::io::ErrorKind::NotADirectory => {
                IdentityError::BadFile { path, why: "the data dir is no folder; name another with --data-dir".to_owned() }
            }
            other => other,
        })
    }

    /// Removes it if it still describes this process.
    pub fn remove_own(data_dir: &Path) -> Result<(), IdentityError> {
        let path = Self::path(data_dir);
        match Self::read(data_dir)? {
            Some(file) if file.pid == std::process::id() => std::fs::remove_file(&path).map_err(IdentityError::io(&path)),
            _ => Ok(()),
        }
    }

    /// Whether the process it describes runs. Whether it answers is for the caller to try.
    pub fn process_runs(&self) -> bool {
        process_start(self.pid).is_some_and(|started| self.process_started.is_none_or(|wanted| wanted == started))
    }
}

/// When a process started, in the kernel's ticks since boot; `None` if there is no such process.
fn process_start(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the name in parentheses and may hold anything.
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// Writes a file for its owner alone, whole or not at all.
pub fn write_private(path: &Path, value: &impl Serialize) -> Result<(), IdentityError> {
    let text = serde_json::to_vec_pretty(value).map_err(|error| bad(path, error))?;
    fsx::write_atomic(path, &text, fsx::PRIVATE).map_err(IdentityError::io(path))
}

/// Reads such a file; `None` if there is none. One that others may read is refused.
pub fn read_private<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, IdentityError> {
    let Some(bytes) = fsx::read_bounded(path, FILE_BYTES_MAX).map_err(IdentityError::io(path))? else { return Ok(None) };
    let found = std::fs::metadata(path).map_err(IdentityError::io(path))?;
    if found.mode() & 0o077 != 0 || found.uid() != rustix::process::geteuid().as_raw() {
        return Err(bad(path, format!("others may read it or own it; make it yours alone with: chmod 600 {}", path.display())));
    }
    serde_json::from_slice(&bytes).map(Some).map_err(|error| bad(path, error))
}

fn bad(path: &Path, why: impl std::fmt::Display) -> IdentityError {
    IdentityError::BadFile { path: path.to_owned(), why: why.to_string() }
}
