//! Where a spec's mirror files lie: beside its folder, unless another spec's state is there already.

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// Most bytes of a state file that are read to learn whose it is.
const STATE_BYTES_MAX: u64 = 256 << 20;

/// The three files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MirrorPaths {
    /// `TASKS_PARSED.json`.
    pub tasks_parsed: PathBuf,
    /// `AGENT_STATE.json`.
    pub agent_state: PathBuf,
    /// `PROJECT_PULSE.md`.
    pub pulse: PathBuf,
}

impl MirrorPaths {
    /// By their usual names in a folder.
    pub fn in_dir(dir: &Path) -> Self {
        Self { tasks_parsed: dir.join("TASKS_PARSED.json"), agent_state: dir.join("AGENT_STATE.json"), pulse: dir.join("PROJECT_PULSE.md") }
    }

    /// The folder of the state file, which stands for the set.
    pub fn dir(&self) -> &Path {
        self.agent_state.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }

    /// All three.
    pub fn all(&self) -> [&Path; 3] {
        [&self.tasks_parsed, &self.agent_state, &self.pulse]
    }
}

/// A place for mirror files, with what the user should know about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Location {
    /// The files.
    pub paths: MirrorPaths,
    /// Why it is not the usual place.
    pub notice: Option<String>,
}

/// The place for a spec's mirror files: `output`, else beside the spec's folder, else (another spec's state lies there) inside it.
pub fn locate(spec: &Path, output: Option<&Path>) -> Location {
    if let Some(dir) = output {
        return Location { paths: MirrorPaths::in_dir(dir), notice: None };
    }
    let Some(beside) = spec.parent() else {
        return Location { paths: MirrorPaths::in_dir(spec), notice: None };
    };
    let paths = MirrorPaths::in_dir(beside);
    let Some(other) = owner(&paths).filter(|owner| !is_same_spec(owner, beside, spec)) else {
        return Location { paths, notice: None };
    };
    let notice = format!(
        "{} holds the state of {other}; this run's mirror files go to {} (--output DIR puts them elsewhere)",
        beside.display(),
        spec.display()
    );
    Location { paths: MirrorPaths::in_dir(spec), notice: Some(notice) }
}

#[derive(Deserialize)]
struct SpecPath {
    spec_path: String,
}

/// The spec whose state lies there, as far as it can be read.
fn owner(paths: &MirrorPaths) -> Option<String> {
    [&paths.agent_state, &paths.tasks_parsed].into_iter().find_map(|file| {
        let length = std::fs::metadata(file).ok()?.len();
        if length > STATE_BYTES_MAX {
            return None;
        }
        let text = std::fs::read(file).ok()?;
        serde_json::from_slice::<SpecPath>(&text).ok().map(|found| found.spec_path)
    })
}

/// Whether the state of this spec lies in a folder, as far as it can be read.
pub(super) fn holds_state_of(folder: &Path, spec: &Path) -> bool {
    owner(&MirrorPaths::in_dir(folder)).is_some_and(|recorded| is_same_spec(&recorded, folder, spec))
}

/// Whether a recorded path means this spec: the same real folder, or one that is gone and had the same name (the repository was moved).
fn is_same_spec(recorded: &str, dir: &Path, spec: &Path) -> bool {
    let recorded = Path::new(recorded);
    let real = |path: &Path| std::fs::canonicalize(path).ok();
    let spec_real = real(spec);
    let candidates = [recorded.to_owned(), dir.join(recorded)];
    let found: Vec<PathBuf> = candidates.iter().filter_map(|path| real(path)).collect();
    if found.is_empty() { recorded.file_name() == spec.file_name() } else { found.into_iter().any(|path| Some(path) == spec_real) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn specs(names: &[&str]) -> (tempfile::TempDir, Vec<PathBuf>) {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().canonicalize().unwrap();
        let specs = names
            .iter()
            .map(|name| {
                let spec = real.join(name);
                std::fs::create_dir(&spec).unwrap();
                spec
            })
            .collect();
        (dir, specs)
    }

    #[test]
    fn beside_the_spec_unless_told_otherwise() {
        let (dir, specs) = specs(&["a"]);
        assert_eq!(locate(&specs[0], None).paths.dir(), specs[0].parent().unwrap());
        let output = dir.path().join("out");
        assert_eq!(locate(&specs[0], Some(&output)).paths, MirrorPaths::in_dir(&output));
    }

    #[test]
    fn inside_the_spec_when_another_ones_state_lies_beside_it() {
        let (_dir, specs) = specs(&["a", "b"]);
        let beside = specs[0].parent().unwrap();
        let state = serde_json::json!({ "spec_path": specs[1].to_str().unwrap(), "tasks": [] });
        std::fs::write(beside.join("AGENT_STATE.json"), state.to_string()).unwrap();
        let location = locate(&specs[0], None);
        assert_eq!(location.paths.dir(), specs[0]);
        assert!(location.notice.unwrap().contains(specs[1].to_str().unwrap()));
        assert_eq!(locate(&specs[1], None).paths.dir(), beside);
    }

    #[test]
    fn relative_and_outdated_paths_still_name_their_spec() {
        let (_dir, specs) = specs(&["a"]);
        let beside = specs[0].parent().unwrap();
        for recorded in ["a", "/somewhere/else/a"] {
            std::fs::write(beside.join("AGENT_STATE.json"), serde_json::json!({ "spec_path": recorded }).to_string()).unwrap();
            assert_eq!(locate(&specs[0], None).notice, None, "{recorded}");
        }
        std::fs::write(beside.join("AGENT_STATE.json"), "not json").unwrap();
        assert_eq!(locate(&specs[0], None).notice, None);
    }
}
