//! One cgroup of version 2 per process tree: joined by the supervisor, emptied by one write. Uses no controllers, so it needs nothing but a
//! writable directory; also the second hierarchy of hybrid hosts will do.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A directory in the cgroup hierarchy.
#[derive(Clone, Debug)]
pub(super) struct Cgroup {
    dir: PathBuf,
}

impl Cgroup {
    /// The cgroup this process is in.
    pub(super) fn own() -> io::Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        let memberships = fs::read_to_string("/proc/self/cgroup")?;
        own_dir(&mounts, &memberships)
            .map(|dir| Self { dir })
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no cgroup version 2 hierarchy is mounted"))
    }

    /// One that is known by its path.
    pub(super) fn at(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Creates one (or finds it).
    pub(super) fn create(dir: impl Into<PathBuf>) -> io::Result<Self> {
        let dir = dir.into();
        match fs::create_dir(&dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(Self { dir }),
        }
    }

    /// Its direct children.
    pub(super) fn children(&self) -> Vec<Self> {
        let Ok(entries) = fs::read_dir(&self.dir) else { return Vec::new() };
        let dirs = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        dirs.map(|entry| Self { dir: entry.path() }).collect()
    }

    /// Moves this process (all its threads) here; what it starts from now on is born here.
    pub(super) fn join(&self) -> io::Result<()> {
        fs::write(self.dir.join("cgroup.procs"), "0")
    }

    /// Whether the kernel can empty it at one stroke (5.14 and later).
    pub(super) fn can_kill(&self) -> bool {
        self.dir.join("cgroup.kill").is_file()
    }

    /// Kills everything in it and below, also what is being forked, stopped or frozen.
    pub(super) fn kill(&self) -> io::Result<()> {
        fs::write(self.dir.join("cgroup.kill"), "1")
    }

    /// Whether any process (that is no zombie) is in it or below.
    pub(super) fn populated(&self) -> bool {
        fs::read_to_string(self.dir.join("cgroup.events")).is_ok_and(|text| text.lines().any(|line| line == "populated 1"))
    }

    /// The processes in it and below, as far as this PID namespace knows them.
    pub(super) fn pids(&self) -> Vec<i32> {
        let mut pids: Vec<i32> = fs::read_to_string(self.dir.join("cgroup.procs"))
            .map(|text| text.lines().filter_map(|line| line.parse().ok()).filter(|&pid| pid > 0).collect())
            .unwrap_or_default();
        for child in self.children() {
            pids.extend(child.pids());
        }
        pids
    }

    /// Processor time used by it and below, ever.
    pub(super) fn cpu_us(&self) -> Option<u64> {
        let text = fs::read_to_string(self.dir.join("cpu.stat")).ok()?;
        text.lines().find_map(|line| line.strip_prefix("usage_usec "))?.trim().parse().ok()
    }

    /// Removes it and what is below; it must be empty of processes.
    pub(super) fn remove(&self) -> io::Result<()> {
        for child in self.children() {
            child.remove()?;
        }
        match fs::remove_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }
}

/// Finds the directory of a membership in the hierarchy's mount.
fn own_dir(mountinfo: &str, memberships: &str) -> Option<PathBuf> {
    let own = memberships.lines().find_map(|line| line.strip_prefix("0::"))?;
    // <id> <parent> <dev> <root> <mount point> <options> [optional fields] - <type> <source> <options>
    let (root, point) = mountinfo.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        if !after.starts_with("cgroup2 ") {
            return None;
        }
        let mut fields = before.split(' ').skip(3);
        Some((fields.next()?, fields.next()?))
    })?;
    // A cgroup namespace shows paths relative to its own root; a path outside of it begins with `..` and is out of reach.
    let below = if root == "/" { own } else { own.strip_prefix(root).unwrap_or(own) };
    let below = below.trim_start_matches('/');
    if below.starts_with("..") {
        return None;
    }
    Some(Path::new(point).join(below))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_hierarchy_on_pure_and_hybrid_hosts() {
        let hybrid = "30 29 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n31 29 0:27 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw\n";
        assert_eq!(own_dir(hybrid, "4:memory:/x\n0::/\n"), Some("/sys/fs/cgroup/unified".into()));
        let pure = "31 29 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        assert_eq!(own_dir(pure, "0::/user.slice/a.scope\n"), Some("/sys/fs/cgroup/user.slice/a.scope".into()));
        let container = "31 29 0:27 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        assert_eq!(own_dir(container, "0::/docker/abc/x\n"), Some("/sys/fs/cgroup/x".into()));
        assert_eq!(own_dir(pure, "0::/../other\n"), None);
        assert_eq!(own_dir("", "0::/\n"), None);
        assert_eq!(own_dir(pure, "4:memory:/x\n"), None);
    }
}
