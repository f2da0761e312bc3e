//! What was found out about a repository and never changes, kept in memory: each look costs a git process. Bounded; losing any of it costs only a look.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use roundtable_runtime::git::Oid;
use roundtable_shared::{AttemptKey, ChangedPath, CommitId};

/// Answers of a kind that are kept.
const ANSWERS_MAX: usize = 512;
/// A longer list of changes is not kept.
const CHANGES_MAX: usize = 500;
/// A larger file is not kept, bytes.
const FILE_BYTES_MAX: usize = 64 << 10;
/// Commits that are known to be here.
const PRESENT_MAX: usize = 10_000;

/// The memory of one repository. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Memo {
    inner: Arc<Inner>,
}

/// Commits before and after, and what they differ in.
type Changes = Recent<(Oid, Oid), Arc<Vec<ChangedPath>>>;
/// A commit's file, if there is one.
type Files = Recent<(Oid, String), Option<Vec<u8>>>;

struct Inner {
    changes: Mutex<Changes>,
    files: Mutex<Files>,
    trees: Mutex<Recent<Oid, Oid>>,
    attempts: Mutex<Recent<AttemptKey, CommitId>>,
    present: Mutex<Recent<Oid, ()>>,
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            changes: Mutex::new(Recent::new(ANSWERS_MAX)),
            files: Mutex::new(Recent::new(ANSWERS_MAX)),
            trees: Mutex::new(Recent::new(ANSWERS_MAX)),
            attempts: Mutex::new(Recent::new(ANSWERS_MAX)),
            present: Mutex::new(Recent::new(PRESENT_MAX)),
        }
    }
}

impl Memo {
    pub(super) fn changes(&self, before: &Oid, after: &Oid) -> Option<Arc<Vec<ChangedPath>>> {
        get(&self.inner.changes, &(before.clone(), after.clone()))
    }

    pub(super) fn note_changes(&self, before: &Oid, after: &Oid, changes: &[ChangedPath]) {
        if changes.len() <= CHANGES_MAX {
            put(&self.inner.changes, (before.clone(), after.clone()), Arc::new(changes.to_vec()));
        }
    }

    /// `Some(None)`: it is known that there is no such file.
    pub(super) fn file(&self, commit: &Oid, path: &str) -> Option<Option<Vec<u8>>> {
        get(&self.inner.files, &(commit.clone(), path.to_owned()))
    }

    pub(super) fn note_file(&self, commit: &Oid, path: &str, bytes: Option<&Vec<u8>>) {
        if bytes.is_none_or(|bytes| bytes.len() <= FILE_BYTES_MAX) {
            put(&self.inner.files, (commit.clone(), path.to_owned()), bytes.cloned());
        }
    }

    /// One commit was made on another: what is known of the files of that is known of this one's too, but for those that are changed.
    pub(super) fn carry_files(&self, from: &Oid, to: &Oid, changed: &[ChangedPath], but: Option<&str>) {
        // What cannot be named may be anything.
        if changed.iter().any(|change| change.unreadable) {
            return;
        }
        let is_same = |path: &str| but != Some(path) && changed.iter().all(|change| change.path != path);
        let mut files = self.inner.files.lock().unwrap_or_else(PoisonError::into_inner);
        let known = files.known.iter().filter(|((commit, path), _)| commit == from && is_same(path));
        let carried: Vec<(String, Option<Vec<u8>>)> = known.map(|((_, path), bytes)| (path.clone(), bytes.clone())).collect();
        for (path, bytes) in carried {
            files.put((to.clone(), path), bytes);
        }
    }

    pub(super) fn tree(&self, commit: &Oid) -> Option<Oid> {
        get(&self.inner.trees, commit)
    }

    pub(super) fn note_tree(&self, commit: &Oid, tree: &Oid) {
        put(&self.inner.trees, commit.clone(), tree.clone());
    }

    /// The commit kept for an attempt: its ref is never moved.
    pub(super) fn attempt(&self, key: &AttemptKey) -> Option<CommitId> {
        get(&self.inner.attempts, key)
    }

    pub(super) fn note_attempt(&self, key: &AttemptKey, commit: &CommitId) {
        put(&self.inner.attempts, key.clone(), commit.clone());
    }

    /// Objects are thrown away, and refs with them: nothing is known any more.
    pub(super) fn clear(&self) {
        clear(&self.inner.changes);
        clear(&self.inner.files);
        clear(&self.inner.trees);
        clear(&self.inner.attempts);
        clear(&self.inner.present);
    }

    /// Whether a commit is known to be here. What is here stays until what no ref reaches is thrown away.
    pub(super) fn is_present(&self, commit: &Oid) -> bool {
        get(&self.inner.present, commit).is_some()
    }

    pub(super) fn note_present(&self, commit: &Oid) {
        put(&self.inner.present, commit.clone(), ());
    }
}

/// A map that forgets what was put in first.
struct Recent<K, V> {
    known: HashMap<K, V>,
    order: VecDeque<K>,
    max: usize,
}

impl<K: Eq + Hash + Clone, V> Recent<K, V> {
    fn new(max: usize) -> Self {
        Self { known: HashMap::new(), order: VecDeque::new(), max }
    }

    fn put(&mut self, key: K, value: V) {
        if self.known.insert(key.clone(), value).is_none() {
            self.order.push_back(key);
        }
        while self.order.len() > self.max {
            if let Some(oldest) = self.order.pop_front() {
                self.known.remove(&oldest);
            }
        }
    }
}

fn get<K: Eq + Hash + Clone, V: Clone>(from: &Mutex<Recent<K, V>>, key: &K) -> Option<V> {
    from.lock().unwrap_or_else(PoisonError::into_inner).known.get(key).cloned()
}

fn put<K: Eq + Hash + Clone, V>(into: &Mutex<Recent<K, V>>, key: K, value: V) {
    into.lock().unwrap_or_else(PoisonError::into_inner).put(key, value);
}

fn clear<K, V>(of: &Mutex<Recent<K, V>>) {
    let mut recent = of.lock().unwrap_or_else(PoisonError::into_inner);
    recent.known.clear();
    recent.order.clear();
}

#[cfg(test)]
mod tests {
    use roundtable_shared::{ChangeKind, EntryKind};

    use super::*;

    #[test]
    fn what_is_known_of_a_commits_files_is_known_of_the_next_ones_but_for_what_it_changes() {
        let memo = Memo::default();
        let oid = |digit: char| Oid::parse(&digit.to_string().repeat(40)).expect("an id");
        let (one, two, three) = (oid('1'), oid('2'), oid('3'));
        for (path, bytes) in [("AGENTS.md", Some(b"top".to_vec())), ("a/AGENTS.md", None), ("b/AGENTS.md", None), ("tasks.md", None)] {
            memo.note_file(&one, path, bytes.as_ref());
        }
        let change = |path: &str, unreadable| ChangedPath {
            path: path.to_owned(),
            change: ChangeKind::Added,
            entry: EntryKind::File,
            unreadable,
            reencoded: false,
        };
        memo.carry_files(&one, &two, &[change("a/AGENTS.md", false)], Some("tasks.md"));
        let known = |commit: &Oid| ["AGENTS.md", "a/AGENTS.md", "b/AGENTS.md", "tasks.md"].map(|path| memo.file(commit, path));
        assert_eq!(known(&two), [Some(Some(b"top".to_vec())), None, Some(None), None]);
        memo.carry_files(&one, &three, &[change("\u{fffd}", true)], None);
        assert_eq!(known(&three), [None, None, None, None]);
    }

    #[test]
    fn the_oldest_answer_goes_first_and_the_same_again_takes_no_room() {
        let mut recent = Recent::new(2);
        for (key, value) in [(1, "a"), (2, "b"), (1, "c"), (3, "d")] {
            recent.put(key, value);
        }
        assert_eq!((recent.known.get(&1), recent.known.get(&2), recent.known.get(&3)), (None, Some(&"b"), Some(&"d")));
        assert_eq!(recent.order.len(), 2);
    }
}
