//! Manifest paths: an entry that is accepted lies inside the repository, has one spelling and keeps it, and sets of entries agree with themselves.

use std::ops::ControlFlow;

use roundtable_shared::manifest::{PathIndex, PathSet, normalise_entry, normalise_path};
use unicode_normalization::is_nfc;

/// Reads lines as entries: the first half of them as one set, the rest as another, with or without case.
pub fn check(data: &[u8]) {
    let Some((fold_case, rest)) = crate::chosen(data, 2) else { return };
    let text = String::from_utf8_lossy(rest);
    let entries: Vec<&str> = text.lines().collect();
    let accepted: Vec<String> = entries.iter().filter_map(|entry| normalise_entry(entry).ok()).collect();
    accepted.iter().for_each(|entry| is_inside(entry));
    let (left, right) = accepted.split_at(accepted.len() / 2);
    let [left, right] = [left, right].map(|entries| PathSet::new(entries, fold_case == 1).expect("each of them was accepted"));
    for set in [&left, &right] {
        let text = serde_json::to_string(set).unwrap();
        let again: PathSet = serde_json::from_str(&text).expect("what was accepted is read from the log");
        assert_eq!(again.with_case(fold_case == 1), *set);
    }
    agree(&left, &right);
    for path in entries {
        is_covered_alike(&left, path);
    }
}

fn is_inside(entry: &str) {
    let drive = entry.as_bytes().get(..2).is_some_and(|two| two[0].is_ascii_alphabetic() && two[1] == b':')
        && (entry.len() == 2 || entry.as_bytes()[2] == b'/');
    assert!(!entry.is_empty() && !entry.starts_with('/') && entry != "~" && !entry.starts_with("~/") && !drive, "{entry:?} is absolute");
    assert!(!entry.contains(['\0', '\\']) && !entry.contains("//") && is_nfc(entry), "{entry:?}");
    assert!(entry.len() <= roundtable_shared::limits::PATH_BYTES_MAX);
    for segment in entry.trim_end_matches('/').split('/') {
        let git = segment.trim_end_matches([' ', '.']).eq_ignore_ascii_case(".git");
        assert!(!segment.is_empty() && segment != "." && segment != ".." && !git, "{entry:?}");
    }
    assert_eq!(normalise_entry(entry).as_deref(), Ok(entry), "it has another spelling still");
}

/// Two sets meet both ways or not at all; where they do is a path that both cover; and the index says the same.
fn agree(left: &PathSet, right: &PathSet) {
    let meet = left.conflicts(right);
    assert_eq!(right.conflicts(left), meet, "{left:?} {right:?}");
    let first = left.first_conflict(right);
    assert_eq!(first.is_some(), meet, "{left:?} {right:?}");
    if let Some(conflict) = first {
        assert!(left.entries().contains(&conflict.left) && right.entries().contains(&conflict.right));
        // Blanks at the ends of a repository's paths do not count, so that such a one is not found by its name.
        if normalise_path(&conflict.path) == conflict.path {
            assert!(left.covers(&conflict.path) && right.covers(&conflict.path), "{conflict:?}");
        }
    }
    let mut index = PathIndex::default();
    index.insert(1_u8, left);
    let found = index.meeting(right, |_| ControlFlow::Break(())).is_break();
    assert_eq!(found, meet, "the index of {left:?} is asked for {right:?}");
    index.remove(1, left);
    assert!(index.is_empty());
    // (`[b-a]*` is met by no path at all.)
    if left.entries().iter().any(|entry| !entry.contains(['*', '?', '['])) {
        assert!(left.conflicts(left) && left.conflicts(&left.union(right)));
    }
}

fn is_covered_alike(set: &PathSet, path: &str) {
    assert_eq!(set.covers(path), set.covers(&normalise_path(path)));
    assert!(!set.foresees(path) || set.covers(path));
    if let Some(entry) = set.covering(path) {
        assert!(set.entries().iter().any(|each| each == entry));
    }
}
