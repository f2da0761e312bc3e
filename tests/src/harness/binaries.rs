//! Where the programs under test are: beside the test, as cargo builds them.
//!
//! `cargo test --workspace` builds all three before it runs any test. When only this crate is tested they may be absent or older than what they are made of;
//! then, and only then, cargo is asked to build them. `ROUNDTABLE_TEST_BINARIES=DIR` names others, such as release builds.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

/// The programs.
const NAMES: [&str; 3] = ["coordinator", "worker", "orchctl"];

/// The path of a program under test, up to date.
pub fn binary(name: &str) -> PathBuf {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    assert!(NAMES.contains(&name), "{name} is no program of ours");
    DIR.get_or_init(|| match std::env::var_os("ROUNDTABLE_TEST_BINARIES") {
        Some(dir) => PathBuf::from(dir),
        None => built(),
    })
    .join(name)
}

/// What programs are made of, within the workspace. (Cargo's own list of sources is not there for programs that it has built for tests.)
const SOURCES: [&str; 9] =
    ["Cargo.toml", "Cargo.lock", "proto", "shared", "coordinator", "worker", "orchctl", "deploy/config", "deploy/systemd"];
/// Folders of packages that no program is made of.
const NO_SOURCES: [&str; 2] = ["tests", "target"];
/// How variables begin by which cargo tells a test of its package.
const OF_A_PACKAGE: [&str; 6] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE", "OUT_DIR"];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn built() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own file");
    let profile = test.parent().and_then(Path::parent).expect("tests lie in target/PROFILE/deps").to_owned();
    let sources = SOURCES.iter().filter_map(|source| newest(&workspace().join(source))).max();
    // One that is not there is older than everything.
    if NAMES.iter().any(|name| modified(&profile.join(name)) < sources) {
        build(&profile);
    }
    profile
}

/// When the youngest file there was changed; `None` if there is none.
fn newest(path: &Path) -> Option<SystemTime> {
    if !path.is_dir() {
        return modified(path);
    }
    let inside = std::fs::read_dir(path).ok()?.flatten().filter(|entry| !NO_SOURCES.iter().any(|name| entry.file_name() == *name));
    inside.filter_map(|entry| newest(&entry.path())).max()
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|found| found.modified()).ok()
}

fn build(profile: &Path) {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--locked", "--workspace", "--bins"]).current_dir(workspace());
    if profile.ends_with("release") {
        command.arg("--release");
    }
    command.env("CARGO_TARGET_DIR", profile.parent().expect("a profile's folder lies in target"));
    // Build scripts of others ask for some of these: told of this package, they and all that is built on them would be built anew, now and the next time.
    let of_a_package = |name: &OsString| OF_A_PACKAGE.iter().any(|start| name.to_string_lossy().starts_with(start));
    std::env::vars_os().map(|(name, _)| name).filter(of_a_package).for_each(|name| {
        command.env_remove(name);
    });
    let done = command.output().expect("cargo can be started");
    assert!(done.status.success(), "the programs under test cannot be built:\n{}", String::from_utf8_lossy(&done.stderr));
}
