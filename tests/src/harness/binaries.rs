//! Where the programs under test are: beside the test, as cargo builds them.
//!
//! `cargo test --workspace` builds all three before it runs any test. When only this crate is tested they may be absent or old; then, and only then
//! (their dep-info names every source), cargo is asked to build them. `ROUNDTABLE_TEST_BINARIES=DIR` names others, such as release builds.

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

fn built() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own file");
    let profile = test.parent().and_then(Path::parent).expect("tests lie in target/PROFILE/deps").to_owned();
    if NAMES.iter().any(|name| !is_current(&profile.join(name))) {
        build(&profile);
    }
    profile
}

/// Whether a program is there and none of its sources is newer.
fn is_current(program: &Path) -> bool {
    let Some(built_at) = modified(program) else { return false };
    let Ok(sources) = std::fs::read_to_string(program.with_extension("d")) else { return false };
    let sources = sources.split_once(": ").map_or("", |(_, sources)| sources);
    // Spaces within a path are escaped; such a checkout is built anew each time, which is slow but right.
    sources.split_whitespace().all(|source| modified(Path::new(source)).is_some_and(|at| at <= built_at))
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|found| found.modified()).ok()
}

fn build(profile: &Path) {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--locked", "--workspace", "--bins"]).current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    if profile.ends_with("release") {
        command.arg("--release");
    }
    command.env("CARGO_TARGET_DIR", profile.parent().expect("a profile's folder lies in target"));
    let done = command.output().expect("cargo can be started");
    assert!(done.status.success(), "the programs under test cannot be built:\n{}", String::from_utf8_lossy(&done.stderr));
}
