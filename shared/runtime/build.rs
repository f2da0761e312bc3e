//! Finds the commit this build is of, for `--version`. Reads files only; a build outside a checkout says so.

use std::fs;
use std::path::{Path, PathBuf};

fn main() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let commit = commit(&top).unwrap_or_else(|| "unknown".to_owned());
    println!("cargo:rustc-env=ROUNDTABLE_COMMIT={}", commit.get(..12).unwrap_or(&commit));
}

fn commit(top: &Path) -> Option<String> {
    let git = git_dir(top)?;
    let head_file = git.join("HEAD");
    println!("cargo:rerun-if-changed={}", head_file.display());
    let head = fs::read_to_string(head_file).ok()?;
    let Some(name) = head.trim().strip_prefix("ref: ") else { return Some(head.trim().to_owned()) };
    let common = fs::read_to_string(git.join("commondir")).map_or_else(|_| git.clone(), |path| git.join(path.trim()));
    let loose = common.join(name);
    if let Ok(commit) = fs::read_to_string(&loose) {
        println!("cargo:rerun-if-changed={}", loose.display());
        return Some(commit.trim().to_owned());
    }
    let packed = fs::read_to_string(common.join("packed-refs")).ok()?;
    let line = packed.lines().find(|line| line.ends_with(&format!(" {name}")))?;
    line.split(' ').next().map(str::to_owned)
}

/// The git directory of a checkout or of a linked worktree.
fn git_dir(top: &Path) -> Option<PathBuf> {
    let path = top.join(".git");
    if path.is_dir() {
        return Some(path);
    }
    let text = fs::read_to_string(path).ok()?;
    Some(top.join(text.trim().strip_prefix("gitdir: ")?))
}
