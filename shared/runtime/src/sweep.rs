//! Removing what others filled, such as the directories agents worked in. Never past a mount: what lies there is somebody's; a mount is detached where we
//! may, and else left alone. Never through a link. Permissions and flags that were left there do not stop it, and what stays does not keep the rest from
//! going. Blocking.

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, IFlags, Mode, OFlags, ResolveFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;
use rustix::mount::UnmountFlags;

/// Directories within one another that are held open at once; what is deeper is moved up first.
const DEPTH_MAX: usize = 64;
/// How often one entry is tried, each time with another hindrance out of the way.
const TRIES_MAX: usize = 16;
const OPEN_DIR: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// Flags of a file that keep even its owner from changing or removing it.
const STUBBORN: IFlags = IFlags::IMMUTABLE.union(IFlags::APPEND);

/// Something that could not be removed.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be removed: {source}", path.display())]
pub struct Stuck {
    /// The first of what stayed.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

impl From<Stuck> for io::Error {
    fn from(stuck: Stuck) -> Self {
        Self::new(stuck.source.kind(), stuck)
    }
}

/// What stays of a directory that is cleaned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keep {
    /// Nothing.
    Nothing,
    /// The directory; what is in it is asked about.
    Inside,
    /// The directory, with nothing in it.
    Empty,
    /// The file, unless it has another name, through which it could be written later, or odd permissions or flags.
    File,
}

/// Removes a directory, or whatever else is at that path. Nothing there is fine.
pub fn remove(dir: &Path) -> Result<(), Stuck> {
    let (parent, name) = match place_of(dir) {
        Err(Errno::NOENT) => return Ok(()),
        place => place.map_err(|error| Stuck { path: dir.to_owned(), source: error.into() })?,
    };
    let mut sweep = Sweep::new(None);
    sweep.remove(parent.as_fd(), &name, &mut dir.to_owned(), 0);
    sweep.finish()
}

/// Removes from a directory all but what is to be kept. `keep` is told the path of each entry inside, and whether it is a directory. What it keeps is
/// given back to its owner, and what others could do there is taken away.
pub fn clean(dir: &Path, keep: &dyn Fn(&[u8], bool) -> Keep) -> Result<(), Stuck> {
    let failed = |path: PathBuf| move |error: Errno| Stuck { path, source: error.into() };
    let (parent, name) = place_of(dir).map_err(failed(dir.to_owned()))?;
    let root = Sweep::enter(parent.as_fd(), &name).map_err(failed(dir.to_owned()))?;
    let top = root.try_clone().map_err(|source| Stuck { path: dir.to_owned(), source })?;
    let mut sweep = Sweep::new(Some(top));
    let mut waiting = vec![PathBuf::new()];
    while let Some(inside) = waiting.pop() {
        let mut path = dir.join(&inside);
        let opened =
            if inside.as_os_str().is_empty() { root.try_clone().map_err(|_| Errno::MFILE) } else { open_dir(root.as_fd(), &inside) };
        let here = opened.map_err(failed(path.clone()))?;
        open_to_owner(here.as_fd()).map_err(failed(path.clone()))?;
        for (name, kind) in list(here.as_fd()).map_err(failed(path.clone()))? {
            let entry = inside.join(OsStr::from_bytes(name.to_bytes()));
            let verdict = keep(entry.as_os_str().as_bytes(), kind == FileType::Directory);
            path.push(OsStr::from_bytes(name.to_bytes()));
            match (verdict, kind) {
                (Keep::Inside, FileType::Directory) => match Sweep::enter(here.as_fd(), &name) {
                    Ok(_) => waiting.push(entry),
                    Err(error) => sweep.note(&path, error),
                },
                (Keep::Empty, FileType::Directory) => {
                    sweep.remove(here.as_fd(), &name, &mut path, 1);
                    if let Err(error) = rustix::fs::mkdirat(&here, &*name, Mode::from_raw_mode(0o777)) {
                        sweep.note(&path, error);
                    }
                }
                (Keep::File, kind) if kind != FileType::Directory && is_plain(here.as_fd(), &name) => {}
                _ => sweep.remove(here.as_fd(), &name, &mut path, 1),
            }
            path.pop();
        }
    }
    sweep.finish()
}

/// The directory that holds a path, and its name there.
fn place_of(path: &Path) -> Result<(OwnedFd, CString), Errno> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Err(Errno::INVAL) };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let parent = rustix::fs::open(parent, OPEN_DIR.difference(OFlags::NOFOLLOW), Mode::empty())?;
    Ok((parent, CString::new(name.as_bytes()).map_err(|_| Errno::INVAL)?))
}

/// Whether something is mounted at that very path.
pub fn is_mounted(path: &Path) -> bool {
    let facts = rustix::fs::statx(rustix::fs::CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS);
    facts.is_ok_and(|facts| facts.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// One removal.
struct Sweep {
    /// Where directories from too far down are moved to.
    top: Option<OwnedFd>,
    moved: Vec<CString>,
    moved_count: usize,
    stuck: Option<Stuck>,
    stuck_count: usize,
}

impl Sweep {
    fn new(top: Option<OwnedFd>) -> Self {
        Self { top, moved: Vec::new(), moved_count: 0, stuck: None, stuck_count: 0 }
    }

    fn finish(self) -> Result<(), Stuck> {
        self.stuck.map_or(Ok(()), Err)
    }

    fn note(&mut self, path: &Path, error: Errno) {
        self.stuck_count += 1;
        if self.stuck.is_none() {
            let source = if error == Errno::XDEV { io::Error::other("something is mounted there") } else { error.into() };
            self.stuck = Some(Stuck { path: path.to_owned(), source });
        }
    }

    /// Removes one entry of a directory, whatever it is.
    fn remove(&mut self, parent: BorrowedFd<'_>, name: &CStr, path: &mut PathBuf, depth: usize) {
        let mut flags = AtFlags::empty();
        let mut last = Errno::BUSY;
        for _ in 0..TRIES_MAX {
            last = match rustix::fs::unlinkat(parent, name, flags) {
                Ok(()) | Err(Errno::NOENT) => return,
                Err(error) => error,
            };
            let is_cleared = match last {
                Errno::ISDIR => {
                    flags = AtFlags::REMOVEDIR;
                    true
                }
                // A link to a directory is none.
                Errno::NOTDIR if flags == AtFlags::REMOVEDIR => {
                    flags = AtFlags::empty();
                    true
                }
                Errno::NOTEMPTY | Errno::EXIST => match Self::enter(parent, name) {
                    Ok(dir) => self.empty(dir, path, depth),
                    Err(error) => {
                        last = error;
                        false
                    }
                },
                Errno::BUSY => detach(parent, name),
                Errno::ACCESS => open_to_owner(parent).unwrap_or(false),
                // Some systems say so of a directory.
                Errno::PERM => {
                    let is_dir = flags.is_empty() && is_dir(parent, name);
                    if is_dir {
                        flags = AtFlags::REMOVEDIR;
                    }
                    let unflagged = unflag(parent);
                    unflag_entry(parent, name) || unflagged || is_dir
                }
                _ => false,
            };
            if !is_cleared {
                break;
            }
        }
        self.note(path, last);
    }

    /// Removes what is in a directory; false if it was all that could be done.
    fn empty(&mut self, dir: OwnedFd, path: &mut PathBuf, depth: usize) -> bool {
        let entries = match open_to_owner(dir.as_fd()).and_then(|_| list(dir.as_fd())) {
            Ok(entries) => entries,
            Err(error) => {
                self.note(path, error);
                return false;
            }
        };
        let stuck_before = self.stuck_count;
        let is_top = self.top.is_none();
        if is_top {
            self.top = dir.try_clone().ok();
        }
        for (name, kind) in entries {
            if depth >= DEPTH_MAX && kind == FileType::Directory && self.move_up(dir.as_fd(), &name) {
                continue;
            }
            path.push(OsStr::from_bytes(name.to_bytes()));
            self.remove(dir.as_fd(), &name, path, depth + 1);
            path.pop();
        }
        if depth <= 1 {
            self.remove_moved(path);
        }
        self.stuck_count == stuck_before
    }

    fn move_up(&mut self, dir: BorrowedFd<'_>, name: &CStr) -> bool {
        let Some(top) = &self.top else { return false };
        self.moved_count += 1;
        let Ok(goal) = CString::new(format!(".sweep-{}-{}", std::process::id(), self.moved_count)) else { return false };
        let is_moved = rustix::fs::renameat_with(dir, name, top, &*goal, rustix::fs::RenameFlags::NOREPLACE).is_ok();
        if is_moved {
            self.moved.push(goal);
        }
        is_moved
    }

    fn remove_moved(&mut self, path: &mut PathBuf) {
        while let Some(name) = self.moved.pop() {
            let Some(top) = self.top.as_ref().and_then(|top| top.try_clone().ok()) else { return };
            // Deeper than where this is called from, so that it is not called again for each.
            self.remove(top.as_fd(), &name, path, 2);
        }
    }

    /// Opens a directory inside for reading, with what is mounted on it gone.
    fn enter(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
        let name = Path::new(OsStr::from_bytes(name.to_bytes()));
        for _ in 0..TRIES_MAX {
            match open_dir(parent, name) {
                Err(Errno::XDEV) => {
                    let name = CString::new(name.as_os_str().as_bytes()).map_err(|_| Errno::INVAL)?;
                    if !detach(parent, &name) {
                        return Err(Errno::XDEV);
                    }
                }
                Err(Errno::ACCESS) => {
                    let closed = open_beneath(parent, name, OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC)?;
                    let mode = rustix::fs::fstat(&closed)?.st_mode;
                    if mode & 0o700 == 0o700 {
                        return Err(Errno::ACCESS);
                    }
                    rustix::fs::chmod(link_to(closed.as_fd()), Mode::from_raw_mode((mode & 0o777) | 0o700))?;
                }
                other => return other,
            }
        }
        Err(Errno::XDEV)
    }
}

/// A directory below another on the same mount.
fn open_dir(parent: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, Errno> {
    open_beneath(parent, path, OPEN_DIR)
}

fn open_beneath(parent: BorrowedFd<'_>, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::NO_XDEV | ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    match rustix::fs::openat2(parent, path, flags, Mode::empty(), resolve) {
        // Old kernels have no such call, and some sandboxes know none: one name after the other then, each looked at.
        Err(Errno::NOSYS | Errno::PERM) => {
            let mut at = rustix::io::fcntl_dupfd_cloexec(parent, 0)?;
            for part in path {
                at = rustix::fs::openat(&at, part, flags, Mode::empty())?;
                let facts = rustix::fs::statx(&at, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)?;
                if facts.stx_attributes.contains(StatxAttributes::MOUNT_ROOT) {
                    return Err(Errno::XDEV);
                }
            }
            Ok(at)
        }
        other => other,
    }
}

/// The entries of a directory but for itself and the one above.
fn list(dir: BorrowedFd<'_>) -> Result<Vec<(CString, FileType)>, Errno> {
    let mut entries = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown if is_dir(dir, name) => FileType::Directory,
            kind => kind,
        };
        entries.push((name.to_owned(), kind));
    }
    Ok(entries)
}

fn is_dir(parent: BorrowedFd<'_>, name: &CStr) -> bool {
    let facts = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW);
    facts.is_ok_and(|facts| FileType::from_raw_mode(facts.st_mode) == FileType::Directory)
}

/// Whether a file has no other name, nothing mounted on it, and nothing odd in its permissions and flags; git knows the executable bit alone.
fn is_plain(parent: BorrowedFd<'_>, name: &CStr) -> bool {
    let Ok(facts) = rustix::fs::statx(parent, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS) else { return false };
    let odd = StatxAttributes::MOUNT_ROOT | StatxAttributes::IMMUTABLE | StatxAttributes::APPEND;
    let mode = u32::from(facts.stx_mode);
    let is_file = FileType::from_raw_mode(mode) == FileType::RegularFile;
    !facts.stx_attributes.intersects(odd) && (!is_file || (facts.stx_nlink == 1 && mode & 0o7002 == 0 && mode & 0o600 == 0o600))
}

/// Gives a directory back to its owner, and takes away what was opened to others; true if that changed anything.
fn open_to_owner(dir: BorrowedFd<'_>) -> Result<bool, Errno> {
    let unflagged = unflag(dir);
    let mode = rustix::fs::fstat(dir)?.st_mode & 0o7777;
    let wanted = (mode | 0o700) & 0o775;
    if mode != wanted {
        rustix::fs::fchmod(dir, Mode::from_raw_mode(wanted))?;
    }
    Ok(unflagged || mode != wanted)
}

/// Takes the flags away that make a file or directory unchangeable; true if it had some.
fn unflag(file: BorrowedFd<'_>) -> bool {
    match rustix::fs::ioctl_getflags(file) {
        Ok(flags) if flags.intersects(STUBBORN) => rustix::fs::ioctl_setflags(file, flags.difference(STUBBORN)).is_ok(),
        _ => false,
    }
}

fn unflag_entry(parent: BorrowedFd<'_>, name: &CStr) -> bool {
    let Ok(facts) = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) else { return false };
    // Opening anything else could do something.
    if !matches!(FileType::from_raw_mode(facts.st_mode), FileType::RegularFile | FileType::Directory) {
        return false;
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    open_beneath(parent, Path::new(OsStr::from_bytes(name.to_bytes())), flags).is_ok_and(|file| unflag(file.as_fd()))
}

/// Detaches what is mounted at an entry; false if nothing is, or we may not.
fn detach(parent: BorrowedFd<'_>, name: &CStr) -> bool {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Ok(mounted) = rustix::fs::openat(parent, name, flags, Mode::empty()) else { return false };
    let is_detached = rustix::mount::unmount(link_to(mounted.as_fd()), UnmountFlags::DETACH).is_ok();
    if is_detached {
        tracing::warn!(name = %name.to_string_lossy(), "something was mounted in a directory that is cleaned; it is detached");
    }
    is_detached
}

/// A path to what is open.
fn link_to(file: BorrowedFd<'_>) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn write(path: &Path, text: &str) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn shut(path: &Path) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o000)).unwrap();
    }

    #[test]
    fn all_goes_whatever_its_permissions_and_no_link_is_followed() {
        let home = tempfile::tempdir().unwrap();
        let (dir, outside) = (home.path().join("dir"), home.path().join("outside"));
        write(&outside.join("file"), "mine");
        for path in ["a", "d/b", "d/e/c", ".git/x"] {
            write(&dir.join(path), "x");
        }
        symlink(&outside, dir.join("d/link")).unwrap();
        symlink("nowhere", dir.join("dangling")).unwrap();
        shut(&dir.join("a"));
        shut(&dir.join("d/e"));
        shut(&dir.join("d"));
        shut(&dir);
        remove(&dir).unwrap();
        assert!(!dir.exists());
        remove(&dir).unwrap();
        remove(&home.path().join("none/such")).unwrap();
        assert_eq!(std::fs::read_to_string(outside.join("file")).unwrap(), "mine");
        // A link in the directory's place goes, not what it leads to; neither does a file.
        symlink(&outside, &dir).unwrap();
        remove(&dir).unwrap();
        assert!(!dir.is_symlink() && outside.join("file").exists());
        write(&dir, "a file");
        remove(&dir).unwrap();
        assert!(!dir.exists());
    }

    #[test]
    fn depth_costs_no_open_files() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("dir");
        std::fs::create_dir(&dir).unwrap();
        let mut at = rustix::fs::open(&dir, OPEN_DIR, Mode::empty()).unwrap();
        for n in 0..3_000 {
            for name in ["deep", "beside"].iter().take(if n % 500 == 0 { 2 } else { 1 }) {
                rustix::fs::mkdirat(&at, *name, Mode::from_raw_mode(0o755)).unwrap();
            }
            at = rustix::fs::openat(&at, "deep", OPEN_DIR, Mode::empty()).unwrap();
        }
        drop(at);
        remove(&dir).unwrap();
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_kept_stays_as_it_is_and_nothing_else() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("dir");
        for path in ["kept", "linked", "odd", "gone", "in/kept", "in/gone", "in/out/x", "module/x", "out/x", "file-now-dir/x"] {
            write(&dir.join(path), path);
        }
        std::fs::hard_link(dir.join("linked"), home.path().join("second")).unwrap();
        std::fs::set_permissions(dir.join("odd"), std::fs::Permissions::from_mode(0o4755)).unwrap();
        std::fs::set_permissions(dir.join("in"), std::fs::Permissions::from_mode(0o3077)).unwrap();
        let keep = |path: &[u8], is_dir: bool| match (path, is_dir) {
            (b"in", true) => Keep::Inside,
            (b"module", true) => Keep::Empty,
            (b"kept" | b"linked" | b"odd" | b"in/kept" | b"file-now-dir", false) => Keep::File,
            _ => Keep::Nothing,
        };
        clean(&dir, &keep).unwrap();
        let mut left: Vec<String> = Vec::new();
        for (at, prefix) in [(dir.clone(), ""), (dir.join("in"), "in/")] {
            left.extend(std::fs::read_dir(at).unwrap().map(|entry| format!("{prefix}{}", entry.unwrap().file_name().display())));
        }
        left.sort();
        assert_eq!(left, ["in", "in/kept", "kept", "module"]);
        assert_eq!(std::fs::read_dir(dir.join("module")).unwrap().count(), 0);
        assert_eq!(dir.join("in").metadata().unwrap().permissions().mode() & 0o7777, 0o775);
        assert_eq!(std::fs::read_to_string(home.path().join("second")).unwrap(), "linked");
    }
}
