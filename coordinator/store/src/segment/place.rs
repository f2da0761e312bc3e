//! Where an attempt's events lie: `<run>/<unit>/<attempt>/<first seq>.seg` and the end mark, with names that are safe whatever the ids are.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use roundtable_shared::{AttemptKey, RunId};

/// File in an attempt's directory that says it has ended.
pub(super) const END_NAME: &str = "end";
/// Beginning of a name that no run's id encodes to.
const ASIDE: &str = ".removed-";
/// Longest encoded name; what is longer is shortened and told apart by a hash.
const NAME_BYTES_MAX: usize = 200;

/// The attempt's directory, relative to the store.
pub fn relative_dir(key: &AttemptKey) -> PathBuf {
    // The run's own attempts get a name that no unit's id can encode to.
    let unit = key.unit.as_ref().map_or_else(|| "-".to_owned(), |unit| encode(unit.as_str()));
    Path::new(&encode(key.run.as_str())).join(unit).join(key.attempt.to_string())
}

/// The directory of all attempts of a run, relative to the store.
pub fn run_dir(run: &RunId) -> PathBuf {
    PathBuf::from(encode(run.as_str()))
}

/// Where the events of a run that is forgotten are put aside before they are removed: a name that is free, and no run's.
pub(super) fn free_aside(root: &Path, run: &RunId) -> PathBuf {
    let name = encode(run.as_str());
    let mut number = 0_u32;
    loop {
        let aside = root.join(format!("{ASIDE}{number}-{name}"));
        if aside.symlink_metadata().is_err() {
            return aside;
        }
        number += 1;
    }
}

/// What was put aside and is still there, as a crash leaves it.
pub(super) fn list_aside(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root)? {
        let entry = entry?;
        if is_aside(&entry.file_name()) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Whether a directory of the store is one that was put aside.
pub fn is_aside(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(ASIDE.as_bytes())
}

/// The file whose first event is `first_seq`; names sort as numbers do.
pub(super) fn file_name(first_seq: u64) -> String {
    format!("{first_seq:020}.seg")
}

/// Whether an attempt has segment files below `root`.
pub fn has_events(root: &Path, key: &AttemptKey) -> io::Result<bool> {
    Ok(!list_files(&root.join(relative_dir(key)))?.is_empty())
}

/// First events of the segment files in a directory, in order. None if the directory is not there.
pub(super) fn list_files(dir: &Path) -> io::Result<Vec<u64>> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let first = name.to_str().and_then(|name| name.strip_suffix(".seg")).and_then(|digits| digits.parse::<u64>().ok());
        found.extend(first.filter(|first| *first > 0));
    }
    found.sort_unstable();
    Ok(found)
}

/// Creates a directory and its parents, for the owner only.
pub(super) fn create_dir_all(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Percent-encodes an id so that it is one harmless file name, different for different ids.
fn encode(id: &str) -> String {
    let mut name = String::with_capacity(id.len());
    for (at, byte) in id.bytes().enumerate() {
        let plain = byte.is_ascii_alphanumeric() || byte == b'_' || (at > 0 && matches!(byte, b'.' | b'-'));
        if plain {
            name.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(name, "%{byte:02X}");
        }
    }
    if name.is_empty() {
        name.push('%');
    }
    if name.len() > NAME_BYTES_MAX {
        name.truncate(NAME_BYTES_MAX - 40);
        let _ = write!(name, "%~{}", &blake3::hash(id.as_bytes()).to_hex()[..32]);
    }
    name
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use roundtable_shared::AttemptNo;

    use super::*;

    fn dir(run: &str, unit: Option<&str>) -> PathBuf {
        relative_dir(&AttemptKey { run: run.into(), unit: unit.map(Into::into), attempt: AttemptNo(2) })
    }

    #[test]
    fn ordinary_ids_are_readable() {
        assert_eq!(dir("login-ab12cd", Some("1.2")), Path::new("login-ab12cd/1.2/2"));
        assert_eq!(dir("r", None), Path::new("r/-/2"));
        assert_eq!(dir("r", Some("-")), Path::new("r/%2D/2"));
        assert_eq!(dir("a/b", Some("..")), Path::new("a%2Fb/%2E./2"));
    }

    #[test]
    fn different_ids_have_different_names() {
        let long = "x".repeat(300);
        let ids = [
            "",
            "%",
            "-",
            ".",
            "..",
            ".a",
            "%2D",
            "a b",
            "a%20b",
            "ü",
            "\0",
            "A",
            "a",
            &long,
            &long[1..],
            &"ü".repeat(90),
            &"ü".repeat(91),
        ];
        let names: BTreeSet<String> = ids.iter().map(|id| encode(id)).collect();
        assert_eq!(names.len(), ids.len());
        assert!(!names.contains("-"), "taken by the run's own attempts");
    }

    proptest! {
        #[test]
        fn every_name_is_one_safe_component(id in any::<String>()) {
            let name = encode(&id);
            prop_assert!(!name.is_empty() && name.len() <= NAME_BYTES_MAX);
            prop_assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-%~".contains(&byte)));
            prop_assert!(!name.starts_with(['.', '-']));
        }
    }
}
