//! Which files of a checkout are mirror files, of whichever run or tool: they are written beside the work and are no part of it.

use std::fs::read_dir;
use std::path::{Path, PathBuf};

use super::location::{MirrorPaths, holds_state_of};

/// Their usual names.
const NAMES: [&str; 3] = ["TASKS_PARSED.json", "AGENT_STATE.json", "PROJECT_PULSE.md"];
/// Entries of a folder that are looked at for a spec.
const ENTRIES_MAX: usize = 10_000;

/// The mirror files of a checkout as one run sees them.
pub struct MirrorFiles<'a> {
    top: &'a Path,
    spec: &'a Path,
    /// This run's, by real paths.
    own: Vec<PathBuf>,
}

impl<'a> MirrorFiles<'a> {
    /// In the checkout at `top`, for a run of `spec` (both real paths) that writes `own`.
    pub fn new(top: &'a Path, spec: &'a Path, own: &MirrorPaths) -> Self {
        Self { top, spec, own: own.all().into_iter().filter_map(real).collect() }
    }

    /// Whether the file at this path of the repository is one, or a copy of an edited one: this run's by any name, and those with the usual names
    /// beside or inside the folder of any spec, or where this spec's state lies.
    pub fn covers(&self, path: &str) -> bool {
        let file = self.top.join(without_copy_mark(path));
        if self.own.contains(&file) {
            return true;
        }
        let is_named = file.file_name().and_then(|name| name.to_str()).is_some_and(|name| NAMES.contains(&name));
        let Some(folder) = file.parent().filter(|_| is_named) else { return false };
        is_beside_a_spec(folder) || holds_state_of(folder, self.spec)
    }
}

/// `AGENT_STATE.json.edited-2` is a copy of `AGENT_STATE.json`.
fn without_copy_mark(path: &str) -> &str {
    match path.rsplit_once(".edited-") {
        Some((file, n)) if !n.is_empty() && n.bytes().all(|byte| byte.is_ascii_digit()) => file,
        _ => path,
    }
}

/// The path with all links on the way followed; the last component need not exist.
fn real(path: &Path) -> Option<PathBuf> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Some(folder.canonicalize().ok()?.join(path.file_name()?))
}

/// Whether a folder is a spec's, or has one in it.
fn is_beside_a_spec(folder: &Path) -> bool {
    let is_spec = |folder: &Path| folder.join("tasks.md").is_file();
    is_spec(folder) || read_dir(folder).is_ok_and(|entries| entries.take(ENTRIES_MAX).flatten().any(|entry| is_spec(&entry.path())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn mirror_files_are_known_by_place_name_and_content() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap();
        let write = |path: &str, text: &str| {
            std::fs::create_dir_all(top.join(path).parent().unwrap()).unwrap();
            std::fs::write(top.join(path), text).unwrap();
        };
        for path in [".kiro/specs/login/tasks.md", ".kiro/specs/second/tasks.md", "elsewhere/tasks.md", "out/state.json", "src/a.py"] {
            write(path, "");
        }
        write("before/AGENT_STATE.json", &serde_json::json!({ "spec_path": top.join(".kiro/specs/login"), "tasks": [] }).to_string());
        write("other/AGENT_STATE.json", &serde_json::json!({ "spec_path": top.join("elsewhere"), "tasks": [] }).to_string());
        let spec = top.join(".kiro/specs/login");
        let own = MirrorPaths { agent_state: top.join("out/state.json"), ..MirrorPaths::in_dir(&top.join("out")) };
        let files = MirrorFiles::new(&top, &spec, &own);
        for ours in [
            "out/state.json",
            "out/state.json.edited-12",
            "out/PROJECT_PULSE.md",
            ".kiro/specs/AGENT_STATE.json",
            ".kiro/specs/AGENT_STATE.json.edited-1",
            ".kiro/specs/second/TASKS_PARSED.json",
            "before/AGENT_STATE.json",
            "before/PROJECT_PULSE.md",
            "elsewhere/PROJECT_PULSE.md.edited-1",
            "AGENT_STATE.json",
        ] {
            assert!(files.covers(ours), "{ours}");
        }
        for theirs in [
            "out/AGENT_STATE.json",
            "out/state.json.edited-x",
            "src/AGENT_STATE.json",
            "other/AGENT_STATE.json",
            "docs/PROJECT_PULSE.md",
            ".kiro/specs/notes.json",
        ] {
            assert!(!files.covers(theirs), "{theirs}");
        }
    }
}
