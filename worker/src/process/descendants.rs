//! Looks into `/proc`: who descends from a process, what it has used, what marks it bears. Reads only; signals go by pidfd so that a reused
//! PID is never hit.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal};

/// All live descendants of a process, zombies left out.
pub(super) fn descendants(of: i32) -> Vec<i32> {
    let mut found = Vec::new();
    let mut seen = HashSet::from([of]);
    let mut next = vec![of];
    let tree = if fs::exists(format!("/proc/{of}/task/{of}/children")).unwrap_or(false) { None } else { Some(parents()) };
    while let Some(pid) = next.pop() {
        let children = match &tree {
            Some(tree) => tree.get(&pid).cloned().unwrap_or_default(),
            None => children(pid),
        };
        for child in children {
            if seen.insert(child) {
                next.push(child);
                if stat(child).is_some_and(|stat| stat.state != 'Z') {
                    found.push(child);
                }
            }
        }
    }
    found
}

fn children(pid: i32) -> Vec<i32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let lists = tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|child| child.parse().ok()).collect::<Vec<i32>>()).collect()
}

/// Children by parent, from every process there is; for kernels that do not list children.
fn parents() -> HashMap<i32, Vec<i32>> {
    let mut tree: HashMap<i32, Vec<i32>> = HashMap::new();
    for pid in all_pids() {
        if let Some(stat) = stat(pid) {
            tree.entry(stat.parent).or_default().push(pid);
        }
    }
    tree
}

/// Every process of this PID namespace.
pub(super) fn all_pids() -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// What `/proc/<pid>/stat` says, as far as it matters here.
pub(super) struct Stat {
    pub(super) state: char,
    pub(super) parent: i32,
    /// Processor time of the process itself, ticks.
    pub(super) own_ticks: u64,
    /// Processor time of the children it has waited for, ticks.
    pub(super) waited_ticks: u64,
    /// It has left one program and its next one is not laid out yet: the kernel shows no environment.
    in_exec: bool,
}

pub(super) fn stat(pid: i32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// `PF_KTHREAD` among the flags of `/proc/<pid>/stat`.
const KERNEL_THREAD: u64 = 0x0020_0000;
/// Where `env_end` is among the fields after the name; 0 where the process has no program yet, or is another user's.
const ENVIRONMENT_END: usize = 48;

fn parse_stat(text: &str) -> Option<Stat> {
    // The name in parentheses may contain anything, parentheses and spaces too.
    let fields: Vec<&str> = text[text.rfind(')')? + 1..].split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    let state = fields.first()?.chars().next()?;
    let kernel_thread = number(6)? & KERNEL_THREAD != 0;
    Some(Stat {
        state,
        parent: fields.get(1)?.parse().ok()?,
        own_ticks: number(11)? + number(12)?,
        waited_ticks: number(13)? + number(14)?,
        in_exec: !kernel_thread && state != 'Z' && number(ENVIRONMENT_END) == Some(0),
    })
}

/// Processor time of everything that descends or descended from a process that reaps its orphans.
pub(super) fn tree_cpu_us(root: i32) -> u64 {
    let reaped = stat(root).map_or(0, |stat| stat.waited_ticks);
    let live: u64 = descendants(root).into_iter().filter_map(stat).map(|stat| stat.own_ticks + stat.waited_ticks).sum();
    (reaped + live) * 1_000_000 / rustix::param::clock_ticks_per_second().max(1)
}

/// A name for a person: `1234 (node)`.
pub(super) fn describe(pid: i32) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    format!("{pid} ({})", name.trim())
}

/// Whether the process was started with this variable set so; `test` gets the value.
pub(super) fn marked(pid: i32, variable: &str, test: impl Fn(&[u8]) -> bool) -> bool {
    let Some(environ) = environment(pid) else { return false };
    environ.split(|&byte| byte == 0).any(|entry| {
        let value = entry.strip_prefix(variable.as_bytes()).and_then(|rest| rest.strip_prefix(b"="));
        value.is_some_and(&test)
    })
}

/// What a process was started with; none where it is gone or another user's. One that is caught between two programs shows nothing for some
/// microseconds, and would pass for one without a mark: it is looked at again, for a tenth of a second at most.
fn environment(pid: i32) -> Option<Vec<u8>> {
    let path = format!("/proc/{pid}/environ");
    for _ in 0..100 {
        let environ = fs::read(&path).ok()?;
        if !environ.is_empty() {
            return Some(environ);
        }
        if !stat(pid)?.in_exec {
            // It may have got there since it was read.
            return fs::read(&path).ok();
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    None
}

/// Signals a process if it still passes the test once it is pinned by a pidfd.
pub(super) fn signal_if(pid: i32, signal: Signal, still: impl Fn(i32) -> bool) -> bool {
    let Some(raw) = Pid::from_raw(pid) else { return false };
    let Ok(pidfd) = rustix::process::pidfd_open(raw, PidfdFlags::empty()) else { return false };
    still(pid) && rustix::process::pidfd_send_signal(&pidfd, signal).is_ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn reads_a_hostile_process_name() {
        let stat = parse_stat("12 (a) b) S) R 7 1 1 0 -1 4194560 1 0 0 0 10 20 30 40 20 0 1 0 99").unwrap();
        assert_eq!((stat.state, stat.parent, stat.own_ticks, stat.waited_ticks), ('R', 7, 30, 70));
        assert!(parse_stat("12 (a").is_none());
    }

    #[test]
    fn a_program_has_its_mark_from_its_first_moment() {
        for _ in 0..200 {
            let mut child = std::process::Command::new("sleep").arg("30").env("MARK", "x:1").spawn().unwrap();
            let pid = i32::try_from(child.id()).unwrap();
            let seen = marked(pid, "MARK", |value| value == b"x:1");
            child.kill().unwrap();
            child.wait().unwrap();
            assert!(seen);
            assert!(!marked(pid, "MARK", |_| true));
        }
    }

    #[test]
    fn sees_its_own_children() {
        let mut child = std::process::Command::new("sleep").arg("30").env("MARK", "x:1").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let me = i32::try_from(std::process::id()).unwrap();
        assert!(descendants(me).contains(&pid));
        assert!(parents().get(&me).unwrap().contains(&pid));
        assert!(marked(pid, "MARK", |value| value == b"x:1"));
        assert!(!marked(pid, "MARK", |value| value == b"x"));
        assert!(signal_if(pid, Signal::KILL, |_| true));
        child.wait().unwrap();
        assert!(!descendants(me).contains(&pid));
    }
}
