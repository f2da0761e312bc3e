//! Names the rules by which this build folds and keeps a state: a digest of the sources that they are in. Reads files only; a snapshot is read by builds of
//! the same name and by no other, so nobody has to remember to raise a number.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::{fs, io};

/// What decides how facts are read, folded and kept. The lock file: libraries that write the fields.
const SOURCES: [&str; 3] = ["core/src", "../shared/src", "../Cargo.lock"];

fn main() -> io::Result<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = BTreeMap::new();
    for source in SOURCES {
        println!("cargo:rerun-if-changed={source}");
        gather(&here.join(source), &mut files)?;
    }
    // Not against forgers: a snapshot has its own hash. By content and place below here, so that every checkout of a commit gets the same.
    let mut digest = DefaultHasher::new();
    for (path, text) in &files {
        (path.strip_prefix(here).unwrap_or(path), text).hash(&mut digest);
    }
    println!("cargo:rustc-env=ROUNDTABLE_FOLD_RULES={:016x}", digest.finish());
    Ok(())
}

fn gather(path: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) -> io::Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            gather(&entry?.path(), files)?;
        }
    } else if path.exists() {
        files.insert(path.to_owned(), fs::read(path)?);
    }
    Ok(())
}
