//! What a failed write means for those who go on: refused whole (no space, read-only, no permission), so that it can be tried again and nothing is lost; or
//! of unknown result (a failed sync, an error of the device), so that the process must stop. Decided here, for the log and for agent events alike.

use std::io;
use std::path::Path;

use tokio::sync::watch;

/// Most bytes a trial write takes.
const TRIAL_BYTES_MAX: usize = 8 << 20;
/// File of a trial write; removed at once.
const TRIAL_NAME: &str = ".trial";
/// The process, or the machine, has too many files open.
const TOO_MANY_FILES: [i32; 2] = [23, 24];

/// Why a store cannot be written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// A write was refused whole. It is tried again, and nothing is lost.
    Refused {
        /// What the system said.
        detail: String,
    },
    /// A sync failed, or a write whose result is unknown: nothing more can be promised. Never tried again: the kernel may have dropped the pages, so that
    /// a second sync would succeed without them.
    Failed {
        /// What the system said.
        detail: String,
    },
}

/// Whether a write (or a create, a rename: anything but a sync) that failed so has changed nothing and may succeed later.
pub(crate) fn is_refusal(error: &io::Error) -> bool {
    use io::ErrorKind::{
        Interrupted, NotFound, OutOfMemory, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, ResourceBusy, StorageFull, WouldBlock,
    };
    let passing = matches!(
        error.kind(),
        StorageFull
            | QuotaExceeded
            | ReadOnlyFilesystem
            | PermissionDenied
            | NotFound
            | ResourceBusy
            | OutOfMemory
            | WouldBlock
            | Interrupted
    );
    passing || error.raw_os_error().is_some_and(|code| TOO_MANY_FILES.contains(&code))
}

/// What the system said, without the number it said it by.
pub(crate) fn words(error: &io::Error) -> String {
    let said = error.to_string();
    said.split(" (os error").next().unwrap_or(&said).to_owned()
}

/// Writes so many bytes into a folder and removes them again: what that comes to is what another write there would.
pub(crate) fn try_writing(dir: &Path, bytes: usize) -> io::Result<()> {
    let trial = dir.join(TRIAL_NAME);
    let written = std::fs::write(&trial, vec![0; bytes.clamp(1, TRIAL_BYTES_MAX)]);
    // It must not stay, whatever became of it; the next trial overwrites one that did.
    let removed = std::fs::remove_file(&trial);
    written.and(removed)
}

/// What is known of a store's trouble, shared by all who write to it.
#[derive(Debug)]
pub(crate) struct Health {
    trouble: watch::Sender<Option<Trouble>>,
    /// Bytes of the write that was refused.
    wanted_bytes: std::sync::atomic::AtomicUsize,
}

impl Health {
    pub(crate) fn new() -> Self {
        Self { trouble: watch::channel(None).0, wanted_bytes: std::sync::atomic::AtomicUsize::new(0) }
    }

    /// Where it is seen.
    pub(crate) fn watch(&self) -> watch::Receiver<Option<Trouble>> {
        self.trouble.subscribe()
    }

    /// A write of so many bytes was refused.
    pub(crate) fn refused(&self, detail: &str, bytes: usize) {
        self.wanted_bytes.fetch_max(bytes, std::sync::atomic::Ordering::Relaxed);
        self.trouble.send_if_modified(|trouble| {
            let is_news =
                !matches!(trouble, Some(Trouble::Failed { .. })) && *trouble != Some(Trouble::Refused { detail: detail.to_owned() });
            if is_news {
                tracing::warn!(detail, "agent events cannot be written; trying again");
                *trouble = Some(Trouble::Refused { detail: detail.to_owned() });
            }
            is_news
        });
    }

    /// Nothing is written any more.
    pub(crate) fn failed(&self, detail: &str) {
        self.trouble.send_if_modified(|trouble| {
            let is_news = !matches!(trouble, Some(Trouble::Failed { .. }));
            if is_news {
                tracing::error!(detail, "agent events cannot be made durable");
                *trouble = Some(Trouble::Failed { detail: detail.to_owned() });
            }
            is_news
        });
    }

    /// Why nothing is written any more.
    pub(crate) fn failure(&self) -> Option<String> {
        match &*self.trouble.borrow() {
            Some(Trouble::Failed { detail }) => Some(detail.clone()),
            _ => None,
        }
    }

    /// After a refusal: tries whether as much can be written there now.
    pub(crate) fn try_again(&self, dir: &Path) {
        let is_refused = matches!(&*self.trouble.borrow(), Some(Trouble::Refused { .. }));
        if is_refused && try_writing(dir, self.wanted_bytes.load(std::sync::atomic::Ordering::Relaxed)).is_ok() {
            self.wanted_bytes.store(0, std::sync::atomic::Ordering::Relaxed);
            self.trouble.send_if_modified(|trouble| {
                let mended = matches!(trouble, Some(Trouble::Refused { .. }));
                if mended {
                    tracing::info!("agent events can be written again");
                    *trouble = None;
                }
                mended
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_nothing_is_told_from_what_may_have() {
        // ENOSPC, EROFS, EACCES, EPERM, EDQUOT, EMFILE, ENFILE, ENOMEM, ENOENT
        for code in [28, 30, 13, 1, 122, 24, 23, 12, 2] {
            assert!(is_refusal(&io::Error::from_raw_os_error(code)), "{code}");
        }
        // EIO, EUCLEAN, ENXIO, and damage we find ourselves
        for code in [5, 117, 6] {
            assert!(!is_refusal(&io::Error::from_raw_os_error(code)), "{code}");
        }
        assert!(!is_refusal(&io::Error::new(io::ErrorKind::InvalidData, "damaged")));
        assert_eq!(words(&io::Error::from_raw_os_error(28)), "No space left on device");
    }

    #[test]
    fn a_refusal_is_over_once_as_much_can_be_written_and_a_failure_never() {
        let dir = tempfile::tempdir().expect("a folder");
        let gone = dir.path().join("gone");
        let health = Health::new();
        let trouble = health.watch();
        health.refused("No space left on device", 100);
        health.try_again(&gone);
        assert_eq!(*trouble.borrow(), Some(Trouble::Refused { detail: "No space left on device".to_owned() }));
        std::fs::create_dir(&gone).expect("a folder");
        health.try_again(&gone);
        assert_eq!(*trouble.borrow(), None);
        assert_eq!(std::fs::read_dir(&gone).expect("a folder").count(), 0, "nothing of the trial stays");
        health.failed("Input/output error");
        health.refused("No space left on device", 100);
        health.try_again(&gone);
        assert_eq!(health.failure().as_deref(), Some("Input/output error"));
    }
}
