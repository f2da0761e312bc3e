//! How processes and cgroups of a workspace are told from all others: by the mark in their environment and in their names.

/// The variable that marks every process of an attempt, so that leftovers can be found by it.
pub const MARK_VARIABLE: &str = "ROUNDTABLE_ATTEMPT";

/// How the names of a workspace's cgroups begin.
pub(super) fn cgroup_prefix(mark: &str) -> String {
    format!("roundtable-{mark}-")
}
