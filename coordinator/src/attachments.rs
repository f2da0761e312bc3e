//! Files a user listed under `copy`: kept 0600 beside the store until their run ends, sent to workers that hold a lease of the run, never committed and
//! never logged.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use roundtable_runtime::sweep;
use roundtable_shared::RunId;

/// Most bytes of all attached files of a run.
pub const ATTACHED_BYTES_MAX: usize = 64 << 20;

/// One attached file.
#[derive(Clone, PartialEq, Eq)]
pub struct Attached {
    /// Repository-relative path.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// Content.
    pub data: Vec<u8>,
}

impl std::fmt::Debug for Attached {
    /// Without the content: it may be a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Attached({}, {} bytes)", self.path, self.data.len())
    }
}

/// Why attached files could not be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum AttachmentsError {
    /// A path that leaves the repository.
    #[error("`copy` names {0:?}: write a path inside the repository")]
    Path(String),
    /// More than is kept.
    #[error("the files under `copy` are larger than {} MiB together; leave large ones out, let `setup` fetch them", ATTACHED_BYTES_MAX >> 20)]
    TooLarge,
    /// The disk.
    #[error("files under `copy` cannot be kept: {0}")]
    Io(#[from] std::io::Error),
}

/// The folder of attached files.
#[derive(Clone, Debug)]
pub struct Attachments {
    root: PathBuf,
}

impl Attachments {
    /// Kept under `root`, which need not exist yet.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Keeps the files of a run.
    pub async fn keep(&self, run: &RunId, files: Vec<Attached>) -> Result<(), AttachmentsError> {
        if files.iter().map(|file| file.data.len()).sum::<usize>() > ATTACHED_BYTES_MAX {
            return Err(AttachmentsError::TooLarge);
        }
        let folder = self.root.join(run.as_str());
        blocking(move || {
            for file in files {
                write(&folder, &file)?;
            }
            Ok(())
        })
        .await
    }

    /// Whether a run has any.
    pub fn has(&self, run: &RunId) -> bool {
        std::fs::exists(self.root.join(run.as_str())).unwrap_or(false)
    }

    /// The files of a run.
    pub async fn read(&self, run: &RunId) -> Result<Vec<Attached>, AttachmentsError> {
        let folder = self.root.join(run.as_str());
        blocking(move || {
            let mut files = Vec::new();
            read_folder(&folder, &folder, &mut files)?;
            files.sort_by(|a, b| a.path.cmp(&b.path));
            Ok(files)
        })
        .await
    }

    /// Runs of which there are files.
    pub async fn runs(&self) -> Result<Vec<RunId>, AttachmentsError> {
        let root = self.root.clone();
        blocking(move || match std::fs::read_dir(root) {
            Ok(entries) => Ok(entries
                .map(|entry| Ok(RunId::from(entry?.file_name().to_string_lossy().into_owned())))
                .collect::<Result<_, std::io::Error>>()?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        })
        .await
    }

    /// They are of no use any more, and removed.
    pub async fn forget(&self, run: &RunId) {
        let folder = self.root.join(run.as_str());
        let shown = folder.display().to_string();
        let removed = blocking(move || sweep::remove(&folder).map_err(|stuck| AttachmentsError::Io(stuck.into())));
        if let Err(error) = removed.await {
            tracing::warn!(folder = shown, %error, "files under `copy` could not be removed; remove the folder by hand");
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, AttachmentsError> + Send + 'static) -> Result<T, AttachmentsError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| std::io::Error::other(error.to_string()))?
}

fn write(folder: &Path, file: &Attached) -> Result<(), AttachmentsError> {
    let relative = Path::new(&file.path);
    let plain = relative.components().all(|part| matches!(part, Component::Normal(name) if !name.eq_ignore_ascii_case(".git")));
    if !plain || file.path.is_empty() {
        return Err(AttachmentsError::Path(file.path.clone()));
    }
    let path = folder.join(relative);
    if let Some(parent) = path.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    }
    let mut out = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    out.write_all(&file.data)?;
    Ok(())
}

fn read_folder(root: &Path, folder: &Path, files: &mut Vec<Attached>) -> Result<(), AttachmentsError> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            read_folder(root, &path, files)?;
        } else if let Ok(relative) = path.strip_prefix(root) {
            files.push(Attached { path: relative.to_string_lossy().into_owned(), mode: 0o600, data: std::fs::read(&path)? });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn files_are_private_and_go_with_their_run() {
        let dir = tempfile::tempdir().unwrap();
        let attachments = Attachments::new(dir.path().join("attachments"));
        let run = RunId::from("demo-abcdef");
        let file = Attached { path: "app/.env".into(), mode: 0o644, data: b"KEY=1".to_vec() };
        attachments.keep(&run, vec![file.clone()]).await.unwrap();
        let mode = std::fs::metadata(dir.path().join("attachments/demo-abcdef/app/.env")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(attachments.read(&run).await.unwrap(), vec![Attached { mode: 0o600, ..file }]);
        attachments.forget(&run).await;
        assert!(!attachments.has(&run));
        assert!(attachments.read(&run).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn hostile_paths_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let attachments = Attachments::new(dir.path().join("a"));
        for path in ["../x", "/etc/passwd", "a/../../b", ".git/config", "a/.GIT/hooks", ""] {
            let file = Attached { path: path.into(), mode: 0o600, data: Vec::new() };
            assert!(matches!(attachments.keep(&"r-1".into(), vec![file]).await, Err(AttachmentsError::Path(_))), "{path}");
        }
    }
}
