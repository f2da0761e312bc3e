//! What was last written to a set of mirror files, kept in the data dir: the only way to tell our own text from an edit.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};

use roundtable_runtime::fsx;
use serde::{Deserialize, Serialize};

/// Texts of the same file that count as ours: the one before and the one now, so that a kill between two writes looks like no edit.
const REMEMBERED: usize = 2;

/// The record of one set of mirror files.
#[derive(Debug)]
pub(super) struct Record {
    file: PathBuf,
    content: Content,
}

#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Content {
    /// For a person who finds the file.
    files_in: String,
    /// By file name: hashes of our last texts, newest last.
    hashes: BTreeMap<String, Vec<String>>,
    /// By file name: hash of the text that was read from there to go on from.
    read: BTreeMap<String, String>,
    /// Our last texts of the pulse, newest last: its lines must be told from a person's own.
    pulses: Vec<String>,
    /// By hash of such a text: a person's lines in it that have the form of ours.
    kept: BTreeMap<String, Vec<String>>,
}

impl Record {
    /// Reads the record of the files in `dir` (absolute); an absent or damaged one is empty, so that unknown files are kept aside.
    pub(super) fn open(data_dir: &Path, dir: &Path) -> io::Result<Self> {
        let folder = data_dir.join("mirrors");
        unless_read_only(fsx::create_private_dir(&folder).map(|_| ()))?;
        let key = blake3::hash(dir.as_os_str().as_encoded_bytes()).to_hex();
        let file = folder.join(format!("{}.json", &key[..16]));
        let content = std::fs::read(&file).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let mut content: Content = content.unwrap_or_default();
        content.files_in = dir.display().to_string();
        Ok(Self { file, content })
    }

    /// Whether we wrote this text to that file lately.
    pub(super) fn is_ours(&self, name: &str, text: &[u8]) -> bool {
        let hash = hash(text);
        self.content.hashes.get(name).is_some_and(|ours| ours.contains(&hash))
    }

    /// Whether that file had this text when a run took it up.
    pub(super) fn was_read(&self, name: &str, text: &[u8]) -> bool {
        self.content.read.get(name).is_some_and(|read| *read == hash(text))
    }

    /// Notes texts that a run went on from: they are known, whoever wrote them.
    pub(super) fn note_read(&mut self, texts: &[(&str, &[u8])]) -> io::Result<()> {
        self.content.read.extend(texts.iter().map(|(name, text)| ((*name).to_owned(), hash(text))));
        self.save()
    }

    /// Lines of the present pulse that we did not write. `None` if we never wrote one.
    pub(super) fn foreign_lines(&self, present: &str) -> Option<Vec<String>> {
        if self.content.pulses.is_empty() {
            return None;
        }
        let mut ours: HashSet<&str> = HashSet::new();
        for pulse in &self.content.pulses {
            let kept = self.content.kept.get(&hash(pulse.as_bytes())).map(Vec::as_slice).unwrap_or_default();
            let kept: HashSet<&str> = kept.iter().map(String::as_str).collect();
            ours.extend(pulse.lines().map(str::trim).filter(|line| !kept.contains(line)));
        }
        let mut seen: HashSet<&str> = HashSet::new();
        let lines = present.lines().map(str::trim).filter(|line| !line.is_empty() && !ours.contains(line));
        Some(lines.filter(|line| seen.insert(line)).map(str::to_owned).collect())
    }

    /// Whether every line of an edited pulse is either one of ours or also in the text to come, so that replacing it loses nothing.
    pub(super) fn pulse_edits_survive(&self, edited: &str, to_come: &str) -> bool {
        let foreign = self
            .foreign_lines(edited)
            .unwrap_or_else(|| edited.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect());
        let to_come: HashSet<&str> = to_come.lines().map(str::trim).collect();
        foreign.iter().all(|line| to_come.contains(line.as_str()))
    }

    /// Notes texts that are about to be written, and a person's lines in the pulse that look like ours; durable before they are, so that a kill in
    /// between is no edit.
    pub(super) fn note(&mut self, texts: &[(&str, &str)], pulse_name: &str, kept: &[String]) -> io::Result<()> {
        for (name, text) in texts {
            push_bounded(self.content.hashes.entry((*name).to_owned()).or_default(), hash(text.as_bytes()));
            if *name == pulse_name {
                push_bounded(&mut self.content.pulses, (*text).to_owned());
                self.content.kept.insert(hash(text.as_bytes()), kept.to_vec());
            }
        }
        let remembered: HashSet<String> = self.content.pulses.iter().map(|pulse| hash(pulse.as_bytes())).collect();
        self.content.kept.retain(|hash, kept| remembered.contains(hash) && !kept.is_empty());
        self.save()
    }

    fn save(&self) -> io::Result<()> {
        let text = serde_json::to_vec(&self.content).map_err(io::Error::other)?;
        unless_read_only(fsx::write_atomic(&self.file, &text, fsx::PRIVATE))
    }
}

/// Removes records of mirror files whose folder is gone: they hold the files' last texts, and nobody writes there again. How many.
pub fn forget_gone(data_dir: &Path) -> usize {
    let mut gone = 0;
    for entry in std::fs::read_dir(data_dir.join("mirrors")).into_iter().flatten().flatten() {
        let file = entry.path();
        let content = std::fs::read(&file).ok().and_then(|text| serde_json::from_slice::<Content>(&text).ok());
        // What cannot be looked at is not gone.
        let is_gone = |folder: &Path| matches!(folder.try_exists(), Ok(false));
        let is_gone = content.is_some_and(|content| !content.files_in.is_empty() && is_gone(Path::new(&content.files_in)));
        // One that stays takes little room, and goes the next time.
        gone += usize::from(is_gone && std::fs::remove_file(&file).is_ok());
    }
    gone
}

/// Of a data dir that can only be read no record is kept: what is written elsewhere counts as an edit the next time, and is kept aside.
fn unless_read_only(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if matches!(error.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied) => Ok(()),
        other => other,
    }
}

fn push_bounded(list: &mut Vec<String>, item: String) {
    list.retain(|each| *each != item);
    list.push(item);
    let excess = list.len().saturating_sub(REMEMBERED);
    list.drain(..excess);
}

fn hash(text: &[u8]) -> String {
    blake3::hash(text).to_hex().to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn records_go_with_the_folders_of_their_files() {
        let home = tempfile::tempdir().unwrap();
        let (data, stays, goes) = (home.path().join("data"), home.path().join("stays"), home.path().join("goes"));
        for dir in [&stays, &goes] {
            std::fs::create_dir(dir).unwrap();
            Record::open(&data, dir).unwrap().note_read(&[("PROJECT_PULSE.md", b"text".as_slice())]).unwrap();
        }
        assert_eq!(forget_gone(&data), 0);
        std::fs::remove_dir(&goes).unwrap();
        assert_eq!(forget_gone(&data), 1);
        assert!(Record::open(&data, &stays).unwrap().was_read("PROJECT_PULSE.md", b"text"));
        assert!(!Record::open(&data, &goes).unwrap().was_read("PROJECT_PULSE.md", b"text"));
        assert_eq!(forget_gone(&home.path().join("nothing")), 0);
    }
}
