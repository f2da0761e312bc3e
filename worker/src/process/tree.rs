//! The process tree as its supervisor sees it: where it lives, how it is asked to end, killed and found empty. Runs in the supervisor
//! process only, which is the subreaper of everything it starts: having no children left means that nothing is left.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use super::cgroup::Cgroup;
use super::descendants::{descendants, describe, signal_if, stat, tree_cpu_us};

/// One tree. With a cgroup it is killed at one stroke; without, by walking the descendants until none is left.
pub(super) struct Tree {
    me: i32,
    cgroup: Option<Cgroup>,
    home: Option<Cgroup>,
}

impl Tree {
    /// Prepares the place for a tree. This process joins its cgroup, so that the program is born in it; `leave` afterwards.
    pub(super) fn enter(cgroup_stem: Option<&Path>) -> io::Result<Self> {
        let me = i32::try_from(std::process::id()).map_err(io::Error::other)?;
        let Some(stem) = cgroup_stem else {
            return Ok(Self { me, cgroup: None, home: None });
        };
        let home = Cgroup::own()?;
        let cgroup = Cgroup::create(cgroup_path(stem, std::process::id()))?;
        let joined = if cgroup.can_kill() {
            cgroup.join()
        } else {
            Err(io::Error::new(io::ErrorKind::Unsupported, "this kernel has no cgroup.kill (5.14 and later have)"))
        };
        joined.inspect_err(|_| {
            // The directory is empty; if even that fails, the next start of the worker clears it.
            let _ = cgroup.remove();
        })?;
        Ok(Self { me, cgroup: Some(cgroup), home: Some(home) })
    }

    /// Goes back where this process came from, so that killing the tree does not kill its supervisor.
    pub(super) fn leave(&self) -> io::Result<()> {
        self.home.as_ref().map_or(Ok(()), Cgroup::join)
    }

    /// Everything that is alive in it.
    pub(super) fn members(&self) -> Vec<i32> {
        let mut members: HashSet<i32> = descendants(self.me).into_iter().collect();
        members.extend(self.cgroup.iter().flat_map(Cgroup::pids));
        members.remove(&self.me);
        members.into_iter().collect()
    }

    /// Asks every process to end.
    pub(super) fn terminate(&self) {
        for pid in self.members() {
            self.signal(pid, Signal::TERM);
            // A stopped process would not hear of it.
            self.signal(pid, Signal::CONT);
        }
    }

    /// Kills every process. To be repeated until the tree is empty: without a cgroup, what is just being forked is missed.
    pub(super) fn kill(&self) {
        if let Some(cgroup) = &self.cgroup {
            let _ = cgroup.kill();
        }
        for pid in descendants(self.me) {
            self.signal(pid, Signal::KILL);
        }
    }

    /// Whether nothing is left, given that this process has no children left.
    pub(super) fn is_empty(&self) -> bool {
        self.cgroup.as_ref().is_none_or(|cgroup| !cgroup.populated())
    }

    /// Who is left, for a person.
    pub(super) fn survivors(&self) -> Vec<String> {
        self.members().into_iter().take(20).map(describe).collect()
    }

    /// Processor time of the tree so far.
    pub(super) fn cpu_us(&self) -> u64 {
        self.cgroup.as_ref().and_then(Cgroup::cpu_us).unwrap_or_else(|| tree_cpu_us(self.me))
    }

    /// Takes the cgroup away; the kernel may need a moment after the last process.
    pub(super) fn remove(&self) {
        let Some(cgroup) = &self.cgroup else { return };
        for _ in 0..400 {
            if cgroup.remove().is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    fn signal(&self, pid: i32, signal: Signal) {
        let in_cgroup = |pid: i32| self.cgroup.as_ref().is_some_and(|cgroup| cgroup.pids().contains(&pid));
        signal_if(pid, signal, |pid| self.descends(pid) || in_cgroup(pid));
    }

    /// Whether the process descends from this one now.
    fn descends(&self, mut pid: i32) -> bool {
        // Deeper than any real tree; a bound because parents change while we look.
        for _ in 0..10_000 {
            match stat(pid) {
                Some(stat) if stat.parent == self.me => return true,
                Some(stat) if stat.parent > 1 => pid = stat.parent,
                _ => return false,
            }
        }
        false
    }
}

/// The cgroup that the supervisor with this PID makes for its tree; the stem names the workspace.
pub(super) fn cgroup_path(stem: &Path, supervisor: u32) -> PathBuf {
    let mut path = stem.as_os_str().to_owned();
    path.push(supervisor.to_string());
    path.into()
}
