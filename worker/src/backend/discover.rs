//! Finding an agent's program. npm installs put a Node script in front of a native binary; spawning the binary itself saves a process that
//! would swallow signals and, killed alone, would leave the real agent running (docs/backends.md, "Programs").

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A program and the arguments that come before all others.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Program {
    /// Absolute.
    pub path: PathBuf,
    /// For a script run by an interpreter: the script.
    pub args: Vec<OsString>,
}

/// Looks a command up: a name on `path_var`, or a path taken as it is.
pub(super) fn look_up(command: &str, path_var: Option<&OsStr>) -> Option<PathBuf> {
    if command.contains('/') {
        let path = std::path::absolute(command).ok()?;
        return is_program(&path).then_some(path);
    }
    std::env::split_paths(path_var?).filter(|dir| dir.is_absolute()).map(|dir| dir.join(command)).find(|path| is_program(path))
}

/// How to start the agent at `found`: the native binary behind an npm shim, a script by its interpreter, else the file itself.
pub(super) fn resolve(cli: &str, found: PathBuf, path_var: Option<&OsStr>) -> Option<Program> {
    let real = std::fs::canonicalize(&found).unwrap_or_else(|_| found.clone());
    let native = match cli {
        "codex" => native_codex(&real),
        "opencode" => native_opencode(&real),
        _ => None,
    };
    if let Some(path) = native {
        return Some(Program { path, args: Vec::new() });
    }
    if real.extension().is_some_and(|extension| extension == "js" || extension == "mjs") {
        let node = look_up("node", path_var)?;
        return Some(Program { path: node, args: vec![real.into()] });
    }
    Some(Program { path: found, args: Vec::new() })
}

/// Whether a path is a file that may be executed (a `.js` file may always be, by node).
pub(super) fn is_program(path: &Path) -> bool {
    let script = path.extension().is_some_and(|extension| extension == "js" || extension == "mjs");
    std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && (script || meta.permissions().mode() & 0o111 != 0))
}

/// `@openai/codex/bin/codex.js` stands before `codex-<os>-<arch>/vendor/<triple>/bin/codex`.
fn native_codex(shim: &Path) -> Option<PathBuf> {
    if shim.file_name()? != "codex.js" {
        return None;
    }
    let package = shim.parent()?.parent()?;
    let platform = format!("codex-{}-{}", npm_os()?, npm_arch()?);
    let homes = [package.parent()?.join(&platform), package.join("node_modules/@openai").join(&platform), package.to_owned()];
    homes.iter().find_map(|home| {
        let mut triples: Vec<PathBuf> = std::fs::read_dir(home.join("vendor")).ok()?.flatten().map(|entry| entry.path()).collect();
        triples.retain(|triple| triple.file_name().and_then(OsStr::to_str).is_some_and(|name| name.contains(std::env::consts::ARCH)));
        triples.sort();
        triples.iter().flat_map(|triple| [triple.join("bin/codex"), triple.join("codex/codex")]).find(|path| is_program(path))
    })
}

/// `opencode-ai/bin/opencode*` is a stub, a script or a copy of `opencode-<os>-<arch>[-baseline]/bin/opencode`.
fn native_opencode(shim: &Path) -> Option<PathBuf> {
    let package = shim.parent()?.parent()?;
    if package.file_name()? != "opencode-ai" {
        return None;
    }
    let plain = format!("opencode-{}-{}", npm_os()?, npm_arch()?);
    let endings = if has_avx2() { ["", "-baseline", "-musl", "-baseline-musl"] } else { ["-baseline", "", "-baseline-musl", "-musl"] };
    let names = endings.map(|ending| format!("{plain}{ending}"));
    let homes = [package.parent()?.to_owned(), package.join("node_modules")];
    homes.iter().flat_map(|home| names.iter().map(|name| home.join(name).join("bin/opencode"))).find(|path| is_program(path))
}

fn npm_os() -> Option<&'static str> {
    match std::env::consts::OS {
        "linux" => Some("linux"),
        "macos" => Some("darwin"),
        _ => None,
    }
}

fn npm_arch() -> Option<&'static str> {
    match std::env::consts::ARCH {
        "x86_64" => Some("x64"),
        "aarch64" => Some("arm64"),
        _ => None,
    }
}

/// opencode's plain build needs AVX2 on x86-64.
fn has_avx2() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx2");
    #[cfg(not(target_arch = "x86_64"))]
    return true;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::symlink;

    use super::*;

    fn put(path: &Path, mode: u32) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn npm_shims_give_way_to_what_they_start() {
        let dir = tempfile::tempdir().unwrap();
        let root = std::fs::canonicalize(dir.path()).unwrap();
        let modules = root.join("node_modules");
        let (os, arch) = (npm_os().unwrap(), npm_arch().unwrap());
        let codex = modules.join(format!("@openai/codex-{os}-{arch}/vendor/{}-unknown-linux-musl/bin/codex", std::env::consts::ARCH));
        let opencode = modules.join(format!("opencode-{os}-{arch}/bin/opencode"));
        for path in [
            &codex,
            &opencode,
            &modules.join("@openai/codex/bin/codex.js"),
            &modules.join("opencode-ai/bin/opencode.exe"),
            &root.join("bin/node"),
        ] {
            put(path, 0o755);
        }
        put(&modules.join("@google/gemini-cli/bundle/gemini.js"), 0o755);
        for (name, target) in [
            ("codex", "@openai/codex/bin/codex.js"),
            ("gemini", "@google/gemini-cli/bundle/gemini.js"),
            ("opencode", "opencode-ai/bin/opencode.exe"),
        ] {
            symlink(modules.join(target), root.join("bin").join(name)).unwrap();
        }
        let path_var = root.join("bin").into_os_string();
        let resolved = |cli: &str| resolve(cli, look_up(cli, Some(&path_var)).unwrap(), Some(&path_var)).unwrap();
        assert_eq!(resolved("codex"), Program { path: codex, args: vec![] });
        assert_eq!(resolved("opencode"), Program { path: opencode, args: vec![] });
        let script = modules.join("@google/gemini-cli/bundle/gemini.js");
        assert_eq!(resolved("gemini"), Program { path: root.join("bin/node"), args: vec![script.into()] });
    }

    #[test]
    fn only_programs_are_found() {
        let dir = tempfile::tempdir().unwrap();
        put(&dir.path().join("a/tool"), 0o644);
        put(&dir.path().join("b/tool"), 0o755);
        let path_var = std::env::join_paths([dir.path().join("a"), dir.path().join("b")]).unwrap();
        assert_eq!(look_up("tool", Some(&path_var)), Some(dir.path().join("b/tool")));
        assert_eq!(look_up("none", Some(&path_var)), None);
        assert_eq!(look_up(dir.path().join("a/tool").to_str().unwrap(), None), None);
    }
}
