//! Files put into a directory that others fill: no symbolic link on the way is followed, nothing that is there is replaced. Blocking.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

/// Why a file was not put there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BeneathError {
    /// The path could lead elsewhere.
    #[error("{} is no plain relative path; leave out `..` and a leading `/`", path.display())]
    NotPlain {
        /// The path.
        path: PathBuf,
    },
    /// A directory on the way is a symbolic link or a file.
    #[error("{} lies behind {}, which is no directory of its own but a link or a file", path.display(), component.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
        /// What is in the way.
        component: PathBuf,
    },
    /// The file system failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Whether something, be it a dangling link, is at a path below `dir`.
pub fn is_there(dir: &Path, path: &Path) -> Result<bool, BeneathError> {
    let way = Way::check(path)?;
    let Some(parent) = way.open(dir, false)? else { return Ok(false) };
    match rustix::fs::statat(&parent, way.name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(way.failed(error)),
    }
}

/// Makes a new file below `dir` with these bytes and this mode, and the directories that lead to it. Whatever is at its place already is left as it
/// is: then the answer is false.
pub fn write_new(dir: &Path, path: &Path, bytes: &[u8], mode: u32) -> Result<bool, BeneathError> {
    let way = Way::check(path)?;
    let parent = way.open(dir, true)?.ok_or_else(|| way.failed(Errno::NOENT))?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(&parent, way.name, flags, Mode::from_raw_mode(mode)) {
        Ok(file) => {
            File::from(file).write_all(bytes).map_err(|source| BeneathError::Io { path: path.to_owned(), source })?;
            Ok(true)
        }
        Err(Errno::EXIST) => Ok(false),
        Err(error) => Err(way.failed(error)),
    }
}

/// Makes the directories that lead to a path below `dir`.
pub fn make_way(dir: &Path, path: &Path) -> Result<(), BeneathError> {
    Way::check(path)?.open(dir, true).map(|_| ())
}

/// A checked path: the directories on the way, then the name.
struct Way<'p> {
    path: &'p Path,
    parents: Vec<&'p Path>,
    name: &'p Path,
}

impl<'p> Way<'p> {
    fn check(path: &'p Path) -> Result<Self, BeneathError> {
        let mut parts: Vec<&Path> = Vec::new();
        for part in path.components() {
            match part {
                Component::Normal(name) => parts.push(Path::new(name)),
                Component::CurDir => {}
                _ => return Err(BeneathError::NotPlain { path: path.to_owned() }),
            }
        }
        let Some(name) = parts.pop() else { return Err(BeneathError::NotPlain { path: path.to_owned() }) };
        Ok(Self { path, parents: parts, name })
    }

    /// The directory that holds the name, reached one component at a time; `None` if it is absent and not to be made.
    fn open(&self, dir: &Path, make: bool) -> Result<Option<OwnedFd>, BeneathError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut at = rustix::fs::open(dir, flags, Mode::empty()).map_err(|error| self.failed(error))?;
        let mut so_far = PathBuf::new();
        for part in &self.parents {
            so_far.push(part);
            if make {
                match rustix::fs::mkdirat(&at, *part, Mode::from_raw_mode(0o777)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(self.failed(error)),
                }
            }
            at = match rustix::fs::openat(&at, *part, flags, Mode::empty()) {
                Ok(next) => next,
                Err(Errno::NOENT) if !make => return Ok(None),
                Err(Errno::LOOP | Errno::NOTDIR) => {
                    return Err(BeneathError::NotADirectory { path: self.path.to_owned(), component: so_far });
                }
                Err(error) => return Err(self.failed(error)),
            };
        }
        Ok(Some(at))
    }

    fn failed(&self, error: Errno) -> BeneathError {
        BeneathError::Io { path: self.path.to_owned(), source: error.into() }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn files_get_their_mode_and_their_directories() {
        let home = tempfile::tempdir().unwrap();
        assert!(!is_there(home.path(), Path::new("a/b/.env")).unwrap());
        assert!(write_new(home.path(), Path::new("./a/b/.env"), b"X=1", 0o600).unwrap());
        let made = home.path().join("a/b/.env");
        assert_eq!(std::fs::read(&made).unwrap(), b"X=1");
        assert_eq!(made.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(is_there(home.path(), Path::new("a/b/.env")).unwrap());
        assert!(!write_new(home.path(), Path::new("a/b/.env"), b"Y", 0o600).unwrap(), "what is there stays");
        assert_eq!(std::fs::read(&made).unwrap(), b"X=1");
    }

    #[test]
    fn no_link_is_followed_and_no_path_leads_out() {
        let home = tempfile::tempdir().unwrap();
        let (dir, outside) = (home.path().join("dir"), home.path().join("outside"));
        std::fs::create_dir_all(dir.join("sub")).unwrap();
        std::fs::create_dir_all(outside.join("deep")).unwrap();
        symlink(&outside, dir.join("config")).unwrap();
        symlink("../../outside", dir.join("sub/up")).unwrap();
        symlink(outside.join("new"), dir.join("dangling")).unwrap();
        symlink("sub", dir.join("inside")).unwrap();
        std::fs::write(dir.join("file"), "x").unwrap();
        for behind in ["config/.env", "config/deep/.env", "sub/up/.env", "inside/.env", "file/.env"] {
            let refused = write_new(&dir, Path::new(behind), b"s", 0o600).unwrap_err();
            assert!(matches!(refused, BeneathError::NotADirectory { .. }), "{behind}: {refused}");
            assert!(make_way(&dir, Path::new(behind)).is_err(), "{behind}");
        }
        assert!(!write_new(&dir, Path::new("dangling"), b"s", 0o600).unwrap());
        for out in ["/etc/x", "../outside/x", "sub/../../outside/x", "", "."] {
            assert!(matches!(write_new(&dir, Path::new(out), b"s", 0o600), Err(BeneathError::NotPlain { .. })), "{out:?}");
        }
        let found: Vec<_> = std::fs::read_dir(&outside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(found, ["deep"]);
        assert_eq!(std::fs::read_dir(outside.join("deep")).unwrap().count(), 0);
    }

    /// Somebody swaps the folder for a link out of the tree, and back, all the while.
    #[test]
    fn a_link_that_is_swapped_in_meanwhile_leads_nowhere() {
        let home = tempfile::tempdir().unwrap();
        let (dir, outside) = (home.path().join("dir"), home.path().join("outside"));
        for made in [dir.join("sub"), outside.clone()] {
            std::fs::create_dir_all(made).unwrap();
        }
        symlink("../outside", dir.join("link")).unwrap();
        let over = std::sync::atomic::AtomicBool::new(false);
        let swap = |a: &str, b: &str| {
            let flags = rustix::fs::RenameFlags::EXCHANGE;
            rustix::fs::renameat_with(rustix::fs::CWD, dir.join(a), rustix::fs::CWD, dir.join(b), flags).unwrap();
        };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(std::sync::atomic::Ordering::Relaxed) {
                    swap("sub", "link");
                }
            });
            let (mut written, mut refused, mut odd) = (0, 0, None);
            for nth in 0..200_000 {
                match write_new(&dir, &Path::new("sub").join(format!("{nth}")), b"s", 0o600) {
                    Ok(_) => written += 1,
                    Err(BeneathError::NotADirectory { .. }) => refused += 1,
                    Err(error) => odd = Some(error),
                }
                if written > 200 && refused > 200 || odd.is_some() {
                    break;
                }
            }
            over.store(true, std::sync::atomic::Ordering::Relaxed);
            // Not before: who swaps would go on for ever.
            assert!(written > 0 && refused > 0 && odd.is_none(), "both were met: {written} and {refused}, {odd:?}");
        });
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    }
}
