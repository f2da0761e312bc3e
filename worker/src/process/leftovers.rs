//! Finds and kills what an earlier life of this workspace's worker left running: its cgroups by name, and every process that bears its mark.
//! Touches nothing of another workspace.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::cgroup::Cgroup;
use super::descendants::{all_pids, describe, marked, signal_if, stat};
use super::mark::{MARK_VARIABLE, cgroup_prefix};

/// How long leftovers may take to die.
const DEADLINE: Duration = Duration::from_secs(10);

/// What was found and killed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Leftovers {
    /// Processes that were running, for a person.
    pub killed: Vec<String>,
    /// Processes that are still there after ten seconds.
    pub survivors: Vec<String>,
}

/// Where the last life noted in which cgroup it made its trees' ones.
fn note_path(workspace: &Path) -> std::path::PathBuf {
    workspace.join("cgroup")
}

/// Notes for the next life where this one keeps its cgroups: it may be started elsewhere in the hierarchy.
pub(super) fn note_cgroup(workspace: &Path, parent: &Path) -> std::io::Result<()> {
    fs::write(note_path(workspace), parent.as_os_str().as_encoded_bytes())
}

/// Kills all leftovers of the workspace that this mark stands for.
pub(super) fn sweep(workspace: &Path, mark: &str) -> Leftovers {
    let mut found = Leftovers::default();
    let noted = fs::read_to_string(note_path(workspace)).ok().map(Cgroup::at);
    let prefix = cgroup_prefix(mark);
    for parent in noted.into_iter().chain(Cgroup::own().ok()) {
        for tree in parent.children() {
            if tree.dir().file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(prefix.as_bytes())) {
                found.killed.extend(tree.pids().into_iter().map(describe));
                let _ = tree.kill();
                wait_until(|| !tree.populated());
                let _ = tree.remove();
            }
        }
    }
    let by_mark = kill_marked(|value| value.strip_prefix(mark.as_bytes()).is_some_and(|rest| rest.starts_with(b":")));
    found.killed.extend(by_mark.killed);
    found.survivors.extend(by_mark.survivors);
    found
}

/// Kills every process whose mark passes the test, but for this one and its ancestors.
pub(super) fn kill_marked(test: impl Fn(&[u8]) -> bool) -> Leftovers {
    let spared = ancestors();
    let find = || -> Vec<i32> {
        let alive = |pid: &i32| stat(*pid).is_some_and(|stat| stat.state != 'Z');
        all_pids().into_iter().filter(|pid| !spared.contains(pid) && marked(*pid, MARK_VARIABLE, &test)).filter(alive).collect()
    };
    let mut found = Leftovers::default();
    let mut seen = HashSet::new();
    wait_until(|| {
        let pids = find();
        for &pid in &pids {
            if seen.insert(pid) {
                found.killed.push(describe(pid));
            }
            signal_if(pid, Signal::KILL, |pid| marked(pid, MARK_VARIABLE, &test));
        }
        pids.is_empty()
    });
    found.survivors = find().into_iter().map(describe).collect();
    found
}

fn ancestors() -> HashSet<i32> {
    let mut spared = HashSet::new();
    let mut pid = i32::try_from(std::process::id()).unwrap_or_default();
    while pid > 0 && spared.insert(pid) {
        pid = stat(pid).map_or(0, |stat| stat.parent);
    }
    spared
}

fn wait_until(mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !done() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
}
