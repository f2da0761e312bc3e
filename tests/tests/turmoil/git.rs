//! What a worker of the simulation does with git, by as few processes as it takes: blocking, so that it takes no time of the simulation.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs git on a repository, with that on its standard input; what it printed.
pub fn git(dir: &Path, args: &[&str], input: &[u8]) -> Result<Vec<u8>, String> {
    let mut command = Command::new("git");
    command.arg(format!("--git-dir={}", dir.display())).args(["-c", "core.fsync=none", "-c", "fastimport.unpackLimit=1"]).args(args);
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null").env("LC_ALL", "C");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    // What git says before it has read all fits into a pipe in every call here.
    if let Some(mut stdin) = child.stdin.take() {
        let _ = stdin.write_all(input);
    }
    let done = child.wait_with_output().map_err(|error| error.to_string())?;
    if done.status.success() {
        Ok(done.stdout)
    } else {
        Err(format!("git {}: {}", args.first().unwrap_or(&""), String::from_utf8_lossy(&done.stderr).trim()))
    }
}

/// Makes a bare repository, without a process.
pub fn init(dir: &Path) -> Result<(), String> {
    let made = || -> std::io::Result<()> {
        for folder in ["objects/info", "objects/pack", "refs/heads"] {
            std::fs::create_dir_all(dir.join(folder))?;
        }
        std::fs::write(dir.join("HEAD"), "ref: refs/heads/main\n")?;
        std::fs::write(dir.join("config"), "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n")
    };
    made().map_err(|error| format!("{}: {error}", dir.display()))
}

/// Files of a commit as they are there; none where there is no such file.
pub fn read(dir: &Path, commit: &str, paths: &[String]) -> Result<Vec<Option<String>>, String> {
    let asked: String = paths.iter().map(|path| format!("{commit}:{path}\n")).collect();
    let told = git(dir, &["cat-file", "--batch"], asked.as_bytes())?;
    let mut rest = told.as_slice();
    let mut files = Vec::new();
    for _ in paths {
        let end = rest.iter().position(|byte| *byte == b'\n').ok_or("cat-file says too little")?;
        let head = String::from_utf8_lossy(&rest[..end]).into_owned();
        rest = &rest[end + 1..];
        let is_blob = head.split(' ').nth(1) == Some("blob");
        let Some(size) = head.rsplit(' ').next().filter(|_| is_blob).and_then(|size| size.parse::<usize>().ok()) else {
            files.push(None);
            continue;
        };
        let text = rest.get(..size).ok_or("cat-file says too little")?;
        files.push(Some(String::from_utf8_lossy(text).into_owned()));
        rest = rest.get(size + 1..).unwrap_or_default();
    }
    Ok(files)
}

/// A commit on top of another (or of nothing) with these files in it; its id.
pub fn commit(
    dir: &Path,
    parent: Option<&str>,
    name: &str,
    at_s: u64,
    message: &str,
    files: &[(String, String)],
) -> Result<String, String> {
    let mut text = format!("commit refs/made/{name}\nmark :1\ncommitter Agent <agent@example.org> {at_s} +0000\n");
    text.push_str(&format!("data {}\n{message}\n", message.len()));
    if let Some(parent) = parent {
        text.push_str(&format!("from {parent}\n"));
    }
    for (path, content) in files {
        text.push_str(&format!("M 100644 inline {path}\ndata {}\n{content}\n", content.len()));
    }
    text.push_str("get-mark :1\ndone\n");
    let told = git(dir, &["fast-import", "--quiet", "--force", "--done", "--date-format=raw"], text.as_bytes())?;
    Ok(String::from_utf8_lossy(&told).trim().to_owned())
}

/// Takes a pack in.
pub fn take(dir: &Path, pack: &[u8]) -> Result<(), String> {
    if pack.is_empty() { Ok(()) } else { git(dir, &["index-pack", "--stdin", "--fix-thin"], pack).map(drop) }
}

/// A thin pack of a commit for whoever has these.
pub fn pack(dir: &Path, commit: &str, haves: &[String]) -> Result<Vec<u8>, String> {
    let known = haves.iter().map(|have| format!("^{have}\n"));
    let wanted: String = std::iter::once(format!("{commit}\n")).chain(known).collect();
    git(dir, &["pack-objects", "--quiet", "--revs", "--thin", "--stdout", "--missing=allow-any"], wanted.as_bytes())
}
