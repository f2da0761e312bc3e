//! The install script: what has its sum is installed, what has not is not even unpacked.

use std::path::Path;
use std::process::{Command, Output};

use crate::repository;

const TARGET: &str = "x86_64-unknown-linux-gnu";
const ARCHIVE: &str = "roundtable-9.9.9-x86_64-unknown-linux-gnu";

/// A folder with a release whose programs say their names.
fn release(dir: &Path, programs: &[&str]) {
    let tree = dir.join(ARCHIVE);
    std::fs::create_dir_all(&tree).unwrap();
    for program in programs {
        std::fs::write(tree.join(program), format!("#!/bin/sh\necho {program} of 9.9.9\n")).unwrap();
    }
    run(dir, "tar", &["-czf", &format!("{ARCHIVE}.tar.gz"), ARCHIVE]);
    let sum = run(dir, "sha256sum", &[&format!("{ARCHIVE}.tar.gz")]);
    let others = format!("{}  roundtable-9.9.9-aarch64-unknown-linux-gnu.tar.gz\n", "0".repeat(64));
    std::fs::write(dir.join("SHA256SUMS"), others + &String::from_utf8(sum.stdout).unwrap()).unwrap();
}

fn run(dir: &Path, program: &str, args: &[&str]) -> Output {
    let output = Command::new(program).args(args).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// The script, with a home that is empty; whether it succeeded, and what it said.
fn install(script: &Path, dir: &Path, more: &[&str]) -> (bool, String) {
    let home = dir.join("home");
    std::fs::create_dir_all(&home).unwrap();
    let mut command = Command::new("sh");
    command.arg(script).args(more).env("HOME", &home).env("TMPDIR", dir);
    let output = command.output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

fn installed(dir: &Path) -> Vec<String> {
    let found = std::fs::read_dir(dir).into_iter().flatten();
    let mut names: Vec<String> = found.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_release_is_installed_and_replaces_an_older_one() {
    let dir = tempfile::tempdir().unwrap();
    release(dir.path(), &["coordinator", "worker", "orchctl"]);
    let script = repository("deploy/install.sh");
    let from = dir.path().to_str().unwrap();
    let bin = dir.path().join("home/.local/bin");
    std::fs::create_dir_all(&bin).unwrap();
    std::fs::write(bin.join("worker"), "an older one").unwrap();
    let (is_done, said) = install(&script, dir.path(), &["--from", from, "--target", TARGET]);
    assert!(is_done && said.contains(ARCHIVE) && said.contains("export PATH="), "{said}");
    assert_eq!(installed(&bin), ["coordinator", "orchctl", "worker"], "and nothing else is left there");
    let said = run(dir.path(), bin.join("worker").to_str().unwrap(), &[]);
    assert_eq!(String::from_utf8_lossy(&said.stdout), "worker of 9.9.9\n");
}

#[test]
fn what_is_not_what_was_released_is_not_installed() {
    let script = repository("deploy/install.sh");
    let try_with = |spoil: &dyn Fn(&Path), programs: &[&str], word: &str| {
        let dir = tempfile::tempdir().unwrap();
        release(dir.path(), programs);
        spoil(dir.path());
        let to = dir.path().join("to");
        let args = ["--from", dir.path().to_str().unwrap(), "--target", TARGET, "--to", to.to_str().unwrap()];
        let (is_done, said) = install(&script, dir.path(), &args);
        assert!(!is_done && said.contains(word), "{word}: {said}");
        assert!(installed(&to).is_empty(), "{said}");
    };
    let all = ["coordinator", "worker", "orchctl"];
    let archive = |dir: &Path| dir.join(format!("{ARCHIVE}.tar.gz"));
    let flip = |dir: &Path| {
        let mut bytes = std::fs::read(archive(dir)).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(archive(dir), bytes).unwrap();
    };
    try_with(&flip, &all, "is not what was released");
    try_with(&|dir| std::fs::write(archive(dir), "").unwrap(), &all, "is not what was released");
    try_with(&|dir| std::fs::remove_file(archive(dir)).unwrap(), &all, "there is no roundtable-9.9.9");
    try_with(&|dir| std::fs::remove_file(dir.join("SHA256SUMS")).unwrap(), &all, "there is no SHA256SUMS");
    try_with(&|dir| std::fs::write(dir.join("SHA256SUMS"), "short  x.tar.gz\n").unwrap(), &all, "there is no archive for");
    try_with(&|_| (), &["coordinator", "orchctl"], "there is no worker in");
}

#[test]
fn sums_within_the_script_go_before_those_beside_the_archive() {
    let dir = tempfile::tempdir().unwrap();
    release(dir.path(), &["coordinator", "worker", "orchctl"]);
    let text = std::fs::read_to_string(repository("deploy/install.sh")).unwrap();
    let filled = |sum: &str| {
        let text = text.replace("version=\"\"\n", "version=\"9.9.9\"\n");
        // As `.ci/release` writes them: a line for each machine there is an archive for.
        let other = format!("{}  roundtable-9.9.9-riscv64gc-unknown-linux-gnu.tar.gz", "0".repeat(64));
        let filled = text.replace("sums=\"\"\n", &format!("sums=\"{other}\n{sum}  {ARCHIVE}.tar.gz\"\n"));
        assert!(filled.contains(sum) && filled.contains("version=\"9.9.9\""), "the two lines are where .ci/release looks for them");
        let script = dir.path().join("install.sh");
        std::fs::write(&script, filled).unwrap();
        let to = dir.path().join("to");
        install(&script, dir.path(), &["--from", dir.path().to_str().unwrap(), "--target", TARGET, "--to", to.to_str().unwrap()])
    };
    let sums = std::fs::read_to_string(dir.path().join("SHA256SUMS")).unwrap();
    let right = sums.lines().find(|line| line.contains(TARGET)).unwrap().split(' ').next().unwrap();
    let (is_done, said) = filled(&"1".repeat(64));
    assert!(!is_done && said.contains("nothing was installed"), "{said}");
    let (is_done, said) = filled(right);
    assert!(is_done, "{said}");
}

#[test]
fn what_it_cannot_do_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let script = repository("deploy/install.sh");
    let tries: [(&[&str], &str); 4] = [
        (&["--from"], "--from needs a value"),
        (&["--into", "x"], "--into is not known"),
        (&["--from", "http://example.org/r", "--target", TARGET], "use https"),
        (&["--target", TARGET], "--from"),
    ];
    for (args, word) in tries {
        let (is_done, said) = install(&script, dir.path(), args);
        assert!(!is_done && said.contains(word), "{word}: {said}");
    }
    let (is_done, said) = install(&script, dir.path(), &["--help"]);
    assert!(is_done && said.contains("sh install.sh --to /usr/local/bin"), "{said}");
}
