//! A set of manifest entries, compiled once so that comparing two sets is cheap: plain paths by one merge of sorted keys, globs only where their
//! literal beginnings agree.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::glob::{self, Segment};
use super::path::{PathError, fold, may_be_folder, normalise_entry, normalise_path};
use crate::limits::MANIFEST_ENTRIES_MAX;

/// A compiled list of files, directories and globs. Serialised as the list of normalised entries.
#[derive(Clone, Debug, Default)]
pub struct PathSet {
    entries: Vec<String>,
    ignore_case: bool,
    /// Paths without wildcards, sorted, none below another: `/` is written as NUL so that a path's descendants follow it at once.
    plain: Vec<Plain>,
    /// Plain paths below one that looks like a file: only globs can meet them without meeting that.
    inner: Vec<Plain>,
    globs: Vec<Glob>,
    /// One bit per first segment's hash; all bits where a glob starts with a wildcard. Disjoint masks cannot conflict.
    firsts: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Plain {
    pub(super) key: Box<[u8]>,
    /// Whether globs are to expect something below it.
    pub(super) folder: bool,
    entry: u32,
}

#[derive(Clone, Debug)]
pub(super) struct Glob {
    pub(super) segments: Vec<Segment>,
    /// Key of the segments before the first wildcard.
    pub(super) prefix: Box<[u8]>,
    entry: u32,
}

/// Where two sets meet.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Conflict {
    /// Entry of the first set.
    pub left: String,
    /// Entry of the second set.
    pub right: String,
    /// A path that lies in both (folded where case is ignored).
    pub path: String,
}

impl PathSet {
    /// Normalises and compiles; duplicates are dropped.
    pub fn new<S: AsRef<str>>(entries: &[S], ignore_case: bool) -> Result<Self, PathError> {
        if entries.len() > MANIFEST_ENTRIES_MAX {
            return Err(PathError::TooMany { count: entries.len(), max: MANIFEST_ENTRIES_MAX });
        }
        let normalised = entries.iter().map(|entry| normalise_entry(entry.as_ref())).collect::<Result<Vec<_>, _>>()?;
        Ok(Self::compile(normalised, ignore_case))
    }

    /// The same entries, compared with or without case.
    pub fn with_case(self, ignore_case: bool) -> Self {
        if self.ignore_case == ignore_case { self } else { Self::compile(self.entries, ignore_case) }
    }

    /// The entries, normalised, in the order given.
    pub fn entries(&self) -> &[String] {
        &self.entries
    }

    /// Whether it names nothing.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds entries of another set and compiles anew.
    pub fn union(&self, other: &PathSet) -> PathSet {
        let entries = self.entries.iter().chain(&other.entries).cloned().collect();
        Self::compile(entries, self.ignore_case)
    }

    /// Whether a repository path (as git prints it) lies in the set. A plain entry covers what is below it.
    pub fn covers(&self, path: &str) -> bool {
        self.covering(path).is_some()
    }

    /// Whether a path lies in the set without lying below an entry that looks like a file: then the conflicts of this set know of it.
    pub fn foresees(&self, path: &str) -> bool {
        let path = fold(&normalise_path(path), self.ignore_case);
        let key = key_of(&path);
        let named = |list: &[Plain]| {
            let after = list.partition_point(|plain| *plain.key <= *key);
            let plain = after.checked_sub(1).map(|at| &list[at]);
            plain.is_some_and(|plain| plain.key == key || (plain.folder && is_within(&key, &plain.key)))
        };
        let matches = |glob: &Glob| is_within(&key, &glob.prefix) && glob::matches(&glob.segments, &path);
        named(&self.plain) || named(&self.inner) || self.globs.iter().any(matches)
    }

    /// The entry in which a path lies.
    pub fn covering(&self, path: &str) -> Option<&str> {
        let path = fold(&normalise_path(path), self.ignore_case);
        let key = key_of(&path);
        let after = self.plain.partition_point(|plain| *plain.key <= *key);
        if let Some(plain) = after.checked_sub(1).map(|at| &self.plain[at])
            && is_within(&key, &plain.key)
        {
            return self.entries.get(plain.entry as usize).map(String::as_str);
        }
        let glob = self.globs.iter().find(|glob| is_within(&key, &glob.prefix) && glob::matches(&glob.segments, &path))?;
        self.entries.get(glob.entry as usize).map(String::as_str)
    }

    /// Whether some path could lie in both. A plain entry meets another below it whatever its name, but a glob below it only if it may be a folder.
    pub fn conflicts(&self, other: &PathSet) -> bool {
        if self.firsts & other.firsts == 0 {
            return false;
        }
        if plain_meeting(&self.plain, &other.plain).is_some() {
            return true;
        }
        if self.globs.is_empty() && other.globs.is_empty() {
            return false;
        }
        self.glob_pairs(other).any(|(left, right)| glob::meets(&left.segments, &right.segments))
            || self.globs.iter().any(|glob| other.all_plain().any(|plain| glob_meets_plain(glob, plain)))
            || other.globs.iter().any(|glob| self.all_plain().any(|plain| glob_meets_plain(glob, plain)))
    }

    /// Where the sets meet, for messages; `None` exactly when they do not conflict.
    pub fn first_conflict(&self, other: &PathSet) -> Option<Conflict> {
        if self.firsts & other.firsts == 0 {
            return None;
        }
        if let Some((i, j)) = plain_meeting(&self.plain, &other.plain) {
            let (left, right) = (&self.plain[i], &other.plain[j]);
            let deeper = if left.key.len() > right.key.len() { &left.key } else { &right.key };
            return Some(self.conflict(left.entry, other, right.entry, path_of(deeper)));
        }
        for (left, right) in self.glob_pairs(other) {
            if let Some(path) = glob::common_path(&left.segments, &right.segments) {
                return Some(self.conflict(left.entry, other, right.entry, path));
            }
        }
        for glob in &self.globs {
            if let Some((plain, path)) = other.all_plain().find_map(|plain| Some((plain, glob_plain_path(glob, plain)?))) {
                return Some(self.conflict(glob.entry, other, plain.entry, path));
            }
        }
        for glob in &other.globs {
            if let Some((plain, path)) = self.all_plain().find_map(|plain| Some((plain, glob_plain_path(glob, plain)?))) {
                return Some(self.conflict(plain.entry, other, glob.entry, path));
            }
        }
        None
    }

    /// Plain entries, those below others that look like files included.
    pub(super) fn all_plain(&self) -> impl Iterator<Item = &Plain> {
        self.plain.iter().chain(&self.inner)
    }

    pub(super) fn globs(&self) -> &[Glob] {
        &self.globs
    }

    fn conflict(&self, left: u32, other: &PathSet, right: u32, path: String) -> Conflict {
        let name = |set: &PathSet, entry: u32| set.entries.get(entry as usize).cloned().unwrap_or_default();
        Conflict { left: name(self, left), right: name(other, right), path }
    }

    fn glob_pairs<'a>(&'a self, other: &'a PathSet) -> impl Iterator<Item = (&'a Glob, &'a Glob)> {
        let pairs = self.globs.iter().flat_map(|left| other.globs.iter().map(move |right| (left, right)));
        pairs.filter(|(left, right)| is_related(&left.prefix, &right.prefix))
    }

    fn compile(listed: Vec<String>, ignore_case: bool) -> Self {
        let mut set = Self { ignore_case, ..Self::default() };
        let mut seen = std::collections::HashSet::with_capacity(listed.len());
        for text in listed {
            if !seen.insert(text.clone()) {
                continue;
            }
            let entry = u32::try_from(set.entries.len()).unwrap_or(u32::MAX);
            let folded = fold(&text, ignore_case);
            if glob::is_glob(&folded) {
                let segments = glob::compile(&folded);
                let prefix = literal_prefix(&segments);
                set.firsts |= if prefix.is_empty() { u64::MAX } else { first_bit(&prefix) };
                set.globs.push(Glob { segments, prefix, entry });
                if glob::may_be_literal(&folded) {
                    set.push_plain(&folded, may_be_folder(&text), entry);
                }
            } else {
                set.push_plain(&folded, may_be_folder(&text), entry);
            }
            set.entries.push(text);
        }
        set.plain.sort_by(|a, b| a.key.cmp(&b.key).then(a.entry.cmp(&b.entry)));
        (set.plain, set.inner) = without_nesting(set.plain);
        set
    }

    fn push_plain(&mut self, folded: &str, folder: bool, entry: u32) {
        let key = key_of(folded.trim_end_matches('/'));
        self.firsts |= first_bit(&key);
        self.plain.push(Plain { key, folder, entry });
    }
}

impl PartialEq for PathSet {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries && self.ignore_case == other.ignore_case
    }
}

impl Eq for PathSet {}

impl Serialize for PathSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.entries.serialize(serializer)
    }
}

/// Compares case; the caller says otherwise with [`PathSet::with_case`].
impl<'de> Deserialize<'de> for PathSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entries = Vec::<String>::deserialize(deserializer)?;
        Self::new(&entries, false).map_err(serde::de::Error::custom)
    }
}

fn key_of(path: &str) -> Box<[u8]> {
    path.bytes().map(|byte| if byte == b'/' { 0 } else { byte }).collect()
}

fn path_of(key: &[u8]) -> String {
    let bytes = key.iter().map(|&byte| if byte == 0 { b'/' } else { byte }).collect();
    String::from_utf8(bytes).unwrap_or_default()
}

/// Whether `key` is `ancestor` or below it. The empty key is the top folder.
pub(super) fn is_within(key: &[u8], ancestor: &[u8]) -> bool {
    ancestor.is_empty() || (key.starts_with(ancestor) && (key.len() == ancestor.len() || key[ancestor.len()] == 0))
}

fn is_related(a: &[u8], b: &[u8]) -> bool {
    is_within(a, b) || is_within(b, a)
}

fn first_bit(key: &[u8]) -> u64 {
    let first = key.split(|&byte| byte == 0).next().unwrap_or_default();
    let hash = first.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    1 << (hash >> 58)
}

fn literal_prefix(segments: &[Segment]) -> Box<[u8]> {
    let names = segments.iter().map_while(|segment| match segment {
        Segment::Literal(name) => Some(name.as_str()),
        _ => None,
    });
    key_of(&names.collect::<Vec<_>>().join("/"))
}

/// First pair of related keys in two sorted lists without nesting, in one merge.
fn plain_meeting(left: &[Plain], right: &[Plain]) -> Option<(usize, usize)> {
    let (mut i, mut j) = (0, 0);
    while let (Some(a), Some(b)) = (left.get(i), right.get(j)) {
        if is_related(&a.key, &b.key) {
            return Some((i, j));
        }
        // Everything below the smaller key sorts before the greater one, so nothing further on can be related to it.
        if a.key < b.key { i += 1 } else { j += 1 }
    }
    None
}

/// Sorted paths, none below another; and apart from them those that lie below one that looks like a file.
fn without_nesting(sorted: Vec<Plain>) -> (Vec<Plain>, Vec<Plain>) {
    let (mut outer, mut inner): (Vec<Plain>, Vec<Plain>) = (Vec::with_capacity(sorted.len()), Vec::new());
    for next in sorted {
        let Some(top) = outer.last_mut().filter(|top| is_within(&next.key, &top.key)) else {
            outer.push(next);
            continue;
        };
        if top.key == next.key {
            top.folder |= next.folder;
        } else if !top.folder {
            match inner.last_mut().filter(|last| last.key == next.key || (last.folder && is_within(&next.key, &last.key))) {
                Some(last) => last.folder |= last.key == next.key && next.folder,
                None => inner.push(next),
            }
        }
    }
    (outer, inner)
}

fn glob_meets_plain(glob: &Glob, plain: &Plain) -> bool {
    glob_meets_plain_key(glob, &plain.key, plain.folder)
}

/// Whether a glob and a plain entry's key share a path. A glob that spells the key out and goes on takes it for a folder.
pub(super) fn glob_meets_plain_key(glob: &Glob, key: &[u8], folder: bool) -> bool {
    let folder = folder || is_within(&glob.prefix, key);
    is_related(&glob.prefix, key) && glob::meets(&glob.segments, &glob::compile_plain(&path_of(key), folder))
}

fn glob_plain_path(glob: &Glob, plain: &Plain) -> Option<String> {
    if !is_related(&glob.prefix, &plain.key) {
        return None;
    }
    let folder = plain.folder || is_within(&glob.prefix, &plain.key);
    glob::common_path(&glob.segments, &glob::compile_plain(&path_of(&plain.key), folder))
}

#[cfg(test)]
#[path = "set_tests.rs"]
mod tests;
