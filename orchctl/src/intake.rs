//! What a run is made of on this side: the spec's files and the files under `copy`, read within bounds. What they mean is the coordinator's to say.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use roundtable_shared::limits::SPEC_FILE_BYTES_MAX;
use roundtable_shared::spec::Spec;

use crate::failure::{Failure, Result};

/// Largest file under `copy`, and all of them together.
const COPY_BYTES_MAX: usize = 64 << 20;

/// A spec's folder as it is now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SpecFolder {
    /// Its real path.
    pub path: PathBuf,
    /// Its files by name.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// A file to bring into worktrees.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CopyFile {
    /// Repository-relative.
    pub path: String,
    /// Permissions.
    pub mode: u32,
    /// Content.
    pub data: Vec<u8>,
}

/// Reads a spec's folder. That `tasks.md` is missing or wrong is for the lint to say, with all other problems at once.
pub fn read_spec(dir: &Path) -> Result<SpecFolder> {
    let path = dir.canonicalize().map_err(|error| no_folder(dir).why(error))?;
    if !path.is_dir() {
        return Err(no_folder(dir));
    }
    let mut files = BTreeMap::new();
    for name in Spec::FILES {
        if let Some(data) = read_bounded(&path.join(name), SPEC_FILE_BYTES_MAX)? {
            files.insert(name.to_owned(), data);
        }
    }
    Ok(SpecFolder { path, files })
}

fn no_folder(dir: &Path) -> Failure {
    Failure::usage(format!("{} is not a spec's folder", dir.display()))
        .next("--spec names the folder that holds tasks.md, requirements.md and design.md")
}

/// Reads the files listed under `copy`; one that is not there is left out, and said.
pub fn read_copies(top: &Path, listed: &[String]) -> Result<(Vec<CopyFile>, Vec<String>)> {
    let (mut copies, mut notes, mut total) = (Vec::new(), Vec::new(), 0);
    for listed in listed {
        let path = top.join(listed);
        let Some(data) = read_bounded(&path, COPY_BYTES_MAX)? else {
            notes.push(format!("{listed}, named under `copy` in roundtable.toml, is not there and is left out"));
            continue;
        };
        total += data.len();
        if total > COPY_BYTES_MAX {
            return Err(
                Failure::usage("the files under `copy` in roundtable.toml are larger than 64 MiB together").next("name smaller ones")
            );
        }
        let mode = std::fs::metadata(&path).map_or(0o600, |found| found.permissions().mode() & 0o777);
        copies.push(CopyFile { path: listed.clone(), mode, data });
    }
    Ok((copies, notes))
}

/// Reads a text the user names, such as an `AGENT_STATE.json`.
pub fn read_text(path: &Path, what: &str) -> Result<String> {
    let refused =
        |why: &str| Failure::usage(format!("{} cannot be read", path.display())).why(why).next(format!("name the {what} to go on from"));
    let data = read_bounded(path, SPEC_FILE_BYTES_MAX)?.ok_or_else(|| refused("there is no such file"))?;
    String::from_utf8(data).map_err(|error| refused(&format!("it is no text: {error}")))
}

/// The same from standard input.
pub fn read_stdin(what: &str) -> Result<String> {
    let refused = |why: String| Failure::usage(format!("the {what} cannot be read from standard input")).why(why);
    let mut data = Vec::new();
    std::io::stdin().lock().take(SPEC_FILE_BYTES_MAX as u64 + 1).read_to_end(&mut data).map_err(|error| refused(error.to_string()))?;
    if data.len() > SPEC_FILE_BYTES_MAX {
        return Err(refused(format!("it is larger than {} MiB", SPEC_FILE_BYTES_MAX >> 20)));
    }
    String::from_utf8(data).map_err(|error| refused(format!("it is no text: {error}")))
}

fn read_bounded(path: &Path, bytes_max: usize) -> Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|error| unreadable(path).why(error))?,
    };
    let mut data = Vec::new();
    file.take(bytes_max as u64 + 1).read_to_end(&mut data).map_err(|error| unreadable(path).why(error))?;
    if data.len() > bytes_max {
        return Err(unreadable(path).why(format!("it is larger than {} MiB", bytes_max >> 20)));
    }
    Ok(Some(data))
}

fn unreadable(path: &Path) -> Failure {
    Failure::usage(format!("{} cannot be read", path.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::exit::Exit;

    #[test]
    fn only_the_specs_own_files_are_taken() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["tasks.md", "design.md", "notes.txt"] {
            std::fs::write(dir.path().join(name), name).unwrap();
        }
        let spec = read_spec(dir.path()).unwrap();
        assert_eq!(spec.files.keys().collect::<Vec<_>>(), ["design.md", "tasks.md"]);
        assert_eq!(spec.path, dir.path().canonicalize().unwrap());
    }

    #[test]
    fn a_folder_that_is_none_is_a_usage_error() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read_spec(&dir.path().join("absent")).unwrap_err().exit(), Exit::Usage);
        std::fs::write(dir.path().join("file"), "").unwrap();
        assert_eq!(read_spec(&dir.path().join("file")).unwrap_err().exit(), Exit::Usage);
        assert_eq!(read_text(&dir.path().join("absent"), "state").unwrap_err().exit(), Exit::Usage);
    }

    #[test]
    fn absent_copies_are_said_and_left_out() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(".env"), "KEY=1").unwrap();
        let (copies, notes) = read_copies(dir.path(), &[".env".to_owned(), "missing".to_owned()]).unwrap();
        assert_eq!(copies.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), [".env"]);
        assert_eq!(notes.len(), 1);
    }
}
