//! Programs of the system that chaos is made with: where they are, what is missing, running one to its end.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Each with the package that brings it.
const NEEDED: [(&str, &str); 8] = [
    ("ip", "iproute2"),
    ("tc", "iproute2"),
    ("nft", "nftables"),
    ("strace", "strace"),
    ("nsenter", "util-linux"),
    ("mount", "mount"),
    ("umount", "mount"),
    ("mkfs.ext4", "e2fsprogs"),
];
/// Where programs for administrators are, whether the PATH says so or not.
const ALSO: [&str; 2] = ["/usr/sbin", "/sbin"];

/// What this machine lacks, with what brings it; nothing if chaos can be made here.
pub fn missing() -> Vec<String> {
    let mut missing: Vec<String> = NEEDED
        .iter()
        .filter(|(name, _)| find(name).is_none())
        .map(|(name, package)| format!("{name} is not here (package {package})"))
        .collect();
    if faketime().is_none() {
        missing.push("libfaketime.so.1 is not here (package libfaketime)".to_owned());
    }
    if !Path::new("/dev/loop-control").exists() {
        missing.push("no loop devices are here".to_owned());
    }
    if !rustix::process::geteuid().is_root() {
        missing.push("only root can make network namespaces and mount disks".to_owned());
    } else if cgroups().is_none() {
        missing.push("no cgroup of version 2 can be made here".to_owned());
    }
    missing
}

/// The library that lies about the time.
pub(super) fn faketime() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    folders.chain([PathBuf::from("/usr/lib")]).map(|folder| folder.join("faketime/libfaketime.so.1")).find(|file| file.is_file())
}

/// The root of the cgroups of version 2, where one can be made. Looked for once: worlds that are made side by side would be in each other's way.
pub(super) fn cgroups() -> Option<PathBuf> {
    static ROOT: OnceLock<Option<PathBuf>> = OnceLock::new();
    let find = || {
        let roots = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].map(PathBuf::from);
        roots.into_iter().filter(|root| root.join("cgroup.procs").is_file()).find(|root| {
            let probe = root.join(format!("rt-chaos-probe-{}", std::process::id()));
            std::fs::create_dir(&probe).and_then(|()| std::fs::remove_dir(&probe)).is_ok()
        })
    };
    ROOT.get_or_init(find).clone()
}

/// A tool's file, if it is here.
pub(super) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(ALSO.map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// A tool's file.
pub(super) fn tool(name: &str) -> PathBuf {
    find(name).unwrap_or_else(|| panic!("{name} is not on this machine"))
}

/// Runs a tool, and fails with what it says unless it ends well.
pub(super) fn run(name: &str, args: &[&str]) -> String {
    run_with(name, args, "")
}

/// The same with something to read.
pub(super) fn run_with(name: &str, args: &[&str], input: &str) -> String {
    attempt(name, args, input).unwrap_or_else(|error| panic!("{name} {}: {error}", args.join(" ")))
}

/// Runs a tool whose failure is not ours.
pub(super) fn attempt(name: &str, args: &[&str], input: &str) -> Result<String, String> {
    let mut command = Command::new(tool(name));
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    if let Some(mut stdin) = child.stdin.take() {
        let _ = stdin.write_all(input.as_bytes());
    }
    let done = child.wait_with_output().map_err(|error| error.to_string())?;
    if done.status.success() {
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&done.stderr).trim().to_owned())
    }
}

/// Whether a process that made something is gone, by its id.
pub(super) fn is_gone(maker: &str) -> bool {
    maker.parse::<u32>().is_ok() && !Path::new("/proc").join(maker).exists()
}

/// A path as an argument.
pub(super) fn text(path: &Path) -> &str {
    path.to_str().unwrap_or_else(|| panic!("{} is no text", path.display()))
}
