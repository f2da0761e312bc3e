//! Room on the disk under the workspace: whether work may be taken, whether work under way must end, and a reserve for its last words.

use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::watch;
use tracing::{info, warn};

/// Kept free before work is taken, bytes; on small disks a twentieth of them.
const RESERVE_BYTES: u64 = 512 << 20;
/// The same for files.
const RESERVE_FILES: u64 = 2_000;
/// The reserve's file. One for all workers of a data directory: what it is for happens to the disk, and so to all of them at once.
const BALLAST: &str = "ballast";
/// What a person reads who finds it.
const BALLAST_SAYS: &[u8] = b"Room that Roundtable's workers on this disk keep for when it is full, so that what runs then can still be\n\
saved. They give it back by themselves and share it; it may be removed, and comes again while there is room.\n";
/// How often the disk is looked at.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How much room there is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Level {
    /// Not even enough for what is under way.
    Dire,
    /// Not enough to take more.
    Short,
    /// Enough.
    Enough,
}

/// Watches the disk.
pub(super) struct Room {
    dir: PathBuf,
    ballast: PathBuf,
    level: watch::Sender<Level>,
}

/// What a file system says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Space {
    free: u64,
    total: u64,
    files_free: u64,
    files_total: u64,
}

impl Room {
    /// Looks for the first time. `shared` is what the workers of this host have in common, the workspace or not.
    pub(super) fn new(dir: PathBuf, shared: &Path) -> Self {
        let own = dir.join(BALLAST);
        let ballast = if is_one_disk(&dir, shared) { shared.join(BALLAST) } else { own.clone() };
        if ballast != own {
            // Earlier releases kept one for each worker.
            let _ = std::fs::remove_file(own);
        }
        let room = Self { dir, ballast, level: watch::channel(Level::Enough).0 };
        room.look();
        room
    }

    /// How much room there is now.
    pub(super) fn look(&self) -> Level {
        let before = *self.level.borrow();
        let now = match self.space() {
            Ok(space) => level(space, before),
            Err(error) => {
                if before != Level::Short {
                    warn!(dir = %self.dir.display(), %error, "it cannot be told how much room is left");
                }
                Level::Short
            }
        };
        if before != now {
            if now == Level::Enough {
                info!(dir = %self.dir.display(), "the disk has room again");
                self.keep_ballast();
            } else {
                warn!(dir = %self.dir.display(), level = ?now, "the disk is full or nearly so: nothing is taken until there is room");
            }
            self.level.send_replace(now);
        } else if now == Level::Enough {
            self.keep_ballast();
        }
        now
    }

    /// The level as it was last seen, and its changes.
    pub(super) fn watch(&self) -> watch::Receiver<Level> {
        self.level.subscribe()
    }

    /// Why nothing can be taken; `None` if there is room.
    pub(super) fn wants(&self) -> Option<String> {
        let level = *self.level.borrow();
        (level < Level::Enough).then(|| format!("the disk of this worker is full; free space below {}", self.dir.display()))
    }

    /// Gives the reserve away, so that what ends now can still be written down.
    pub(super) fn give_ballast(&self) {
        if let Err(error) = std::fs::remove_file(&self.ballast)
            && error.kind() != io::ErrorKind::NotFound
        {
            warn!(%error, "the reserve on the disk could not be released");
        }
    }

    /// Takes a reserve where there is none.
    fn keep_ballast(&self) {
        if self.ballast.symlink_metadata().is_ok() {
            return;
        }
        let made = self.space().and_then(|space| {
            // Another worker may be faster.
            let mut file = std::fs::File::create_new(&self.ballast)?;
            rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, reserve(space.total, RESERVE_BYTES) / 8)?;
            file.write_all(BALLAST_SAYS)
        });
        if let Err(error) = made {
            // Some file systems reserve nothing; then the last words have what is free.
            tracing::debug!(%error, "no reserve could be taken on the disk");
        }
    }

    fn space(&self) -> io::Result<Space> {
        let facts = rustix::fs::statvfs(&self.dir)?;
        let bytes = |blocks: u64| blocks.saturating_mul(facts.f_frsize);
        Ok(Space { free: bytes(facts.f_bavail), total: bytes(facts.f_blocks), files_free: facts.f_favail, files_total: facts.f_files })
    }
}

/// Whether both lie on the same file system, so that room kept in one is room for the other.
fn is_one_disk(one: &Path, other: &Path) -> bool {
    let device = |dir: &Path| dir.metadata().map(|facts| facts.dev()).ok();
    device(one).is_some_and(|found| device(other) == Some(found))
}

fn reserve(total: u64, most: u64) -> u64 {
    most.min(total / 20)
}

/// Once it was short, a little more than the reserve must be free, so that it does not change from look to look.
fn level(space: Space, before: Level) -> Level {
    let of = |free: u64, reserve: u64| {
        let wanted = if before < Level::Enough { reserve + reserve / 4 } else { reserve };
        if free < reserve / 4 {
            Level::Dire
        } else if free < wanted {
            Level::Short
        } else {
            Level::Enough
        }
    };
    let bytes = of(space.free, reserve(space.total, RESERVE_BYTES));
    // Some file systems have no fixed number of files, and say none.
    let files = if space.files_total == 0 { Level::Enough } else { of(space.files_free, reserve(space.files_total, RESERVE_FILES)) };
    bytes.min(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_of_a_host_share_one_reserve() {
        let shared = tempfile::tempdir().expect("a folder");
        let at = |name: &str| shared.path().join("workers").join(name);
        for name in ["a", "b"] {
            std::fs::create_dir_all(at(name)).expect("a folder");
        }
        std::fs::write(at("b").join(BALLAST), "of an earlier release").expect("written");
        let (a, b) = (Room::new(at("a"), shared.path()), Room::new(at("b"), shared.path()));
        let one = shared.path().join(BALLAST);
        assert_eq!((a.ballast.clone(), b.ballast.clone()), (one.clone(), one.clone()));
        assert!(!at("a").join(BALLAST).exists() && !at("b").join(BALLAST).exists());
        // Where the file system reserves nothing, or the disk of this machine is full, there is none to give.
        if one.exists() {
            assert!(std::fs::read(&one).expect("read").starts_with(b"Room that Roundtable's workers"));
            a.give_ballast();
            assert!(!one.exists());
            b.give_ballast();
        }
        let elsewhere = Room::new(at("a"), Path::new("/proc"));
        assert_eq!(elsewhere.ballast, at("a").join(BALLAST), "another disk is no help");
    }

    #[test]
    fn levels_follow_what_is_free_without_flickering() {
        let space = |free: u64| Space { free: free << 20, total: 100 << 30, files_free: 1 << 20, files_total: 1 << 22 };
        assert_eq!(level(space(513), Level::Enough), Level::Enough);
        assert_eq!(level(space(511), Level::Enough), Level::Short);
        assert_eq!(level(space(513), Level::Short), Level::Short);
        assert_eq!(level(space(641), Level::Short), Level::Enough);
        assert_eq!(level(space(127), Level::Short), Level::Dire);
        let small = Space { free: 6 << 20, total: 100 << 20, files_free: 0, files_total: 0 };
        assert_eq!(level(small, Level::Enough), Level::Enough, "a small disk has a small reserve");
        assert_eq!(level(Space { files_free: 10, files_total: 1 << 22, ..small }, Level::Enough), Level::Dire, "files run out too");
    }
}
