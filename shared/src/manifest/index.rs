//! Which of many path sets meet a given one, without comparing with each: what holds and hazards of a hundred thousand units are looked up in.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};

use super::glob;
use super::set::{Glob, PathSet, glob_meets_plain_key, is_within};

/// Ids by the paths they were inserted with. All sets must agree on case.
#[derive(Clone, Debug)]
pub struct PathIndex<Id> {
    plain: BTreeMap<Box<[u8]>, Vec<Id>>,
    /// By the literal beginning of the glob.
    globs: BTreeMap<Box<[u8]>, Vec<(Glob, Id)>>,
}

impl<Id> Default for PathIndex<Id> {
    fn default() -> Self {
        Self { plain: BTreeMap::new(), globs: BTreeMap::new() }
    }
}

impl<Id: Copy + Eq> PathIndex<Id> {
    /// Adds an id under every entry of a set.
    pub fn insert(&mut self, id: Id, set: &PathSet) {
        for plain in set.plain() {
            let ids = self.plain.entry(plain.key.clone()).or_default();
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        for glob in set.globs() {
            self.globs.entry(glob.prefix.clone()).or_default().push((glob.clone(), id));
        }
    }

    /// Takes an id out again; `set` is what it was inserted with.
    pub fn remove(&mut self, id: Id, set: &PathSet) {
        for plain in set.plain() {
            if let Some(ids) = self.plain.get_mut(&plain.key) {
                ids.retain(|other| *other != id);
                if ids.is_empty() {
                    self.plain.remove(&plain.key);
                }
            }
        }
        for glob in set.globs() {
            if let Some(entries) = self.globs.get_mut(&glob.prefix) {
                entries.retain(|(_, other)| *other != id);
                if entries.is_empty() {
                    self.globs.remove(&glob.prefix);
                }
            }
        }
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.globs.is_empty()
    }

    /// Visits every id whose set conflicts with this one, some more than once, until the visitor breaks.
    pub fn meeting<B>(&self, set: &PathSet, mut visit: impl FnMut(Id) -> ControlFlow<B>) -> ControlFlow<B> {
        for plain in set.plain() {
            related(&self.plain, &plain.key, |_, ids| ids.iter().try_for_each(|id| visit(*id)))?;
            related(&self.globs, &plain.key, |_, entries| {
                let meeting = entries.iter().filter(|(glob, _)| glob_meets_plain_key(glob, &plain.key));
                meeting.map(|(_, id)| *id).try_for_each(&mut visit)
            })?;
        }
        for own in set.globs() {
            related(&self.plain, &own.prefix, |key, ids| {
                if !glob_meets_plain_key(own, key) {
                    return ControlFlow::Continue(());
                }
                ids.iter().try_for_each(|id| visit(*id))
            })?;
            related(&self.globs, &own.prefix, |_, entries| {
                let meeting = entries.iter().filter(|(glob, _)| glob::meets(&glob.segments, &own.segments));
                meeting.map(|(_, id)| *id).try_for_each(&mut visit)
            })?;
        }
        ControlFlow::Continue(())
    }

    /// Whether any id but `except` conflicts with this set.
    pub fn any_meeting(&self, set: &PathSet, except: Id) -> bool {
        let found = self.meeting(set, |id| if id == except { ControlFlow::Continue(()) } else { ControlFlow::Break(()) });
        found.is_break()
    }
}

/// Visits the entries of a key, of what lies above it and of what lies below it.
fn related<V, B>(map: &BTreeMap<Box<[u8]>, V>, key: &[u8], mut visit: impl FnMut(&[u8], &V) -> ControlFlow<B>) -> ControlFlow<B> {
    if map.is_empty() {
        return ControlFlow::Continue(());
    }
    let above =
        std::iter::once(0).filter(|_| !key.is_empty()).chain(key.iter().enumerate().filter(|(_, byte)| **byte == 0).map(|(at, _)| at));
    for end in above {
        if let Some(value) = map.get(&key[..end]) {
            visit(&key[..end], value)?;
        }
    }
    for (other, value) in map.range::<[u8], _>((Bound::Included(key), Bound::Unbounded)) {
        if !is_within(other, key) {
            break;
        }
        visit(other, value)?;
    }
    ControlFlow::Continue(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn found(index: &PathIndex<usize>, set: &PathSet) -> BTreeSet<usize> {
        let mut ids = BTreeSet::new();
        let _ = index.meeting::<()>(set, |id| {
            ids.insert(id);
            ControlFlow::Continue(())
        });
        ids
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn the_index_finds_what_comparing_with_each_finds(
            sets in prop::collection::vec(prop::collection::vec("(a|b|c/|a/b|a/b/c|\\*/b|a/\\*|\\*\\*/c|a/\\[bc\\]|b/c\\*|\\*\\*)", 0..4), 1..12),
            gone in any::<prop::sample::Index>(),
        ) {
            let sets: Vec<PathSet> = sets.iter().map(|entries| PathSet::new(entries, false).unwrap()).collect();
            let gone = gone.index(sets.len());
            let mut index = PathIndex::default();
            sets.iter().enumerate().for_each(|(id, set)| index.insert(id, set));
            index.remove(gone, &sets[gone]);
            for (id, set) in sets.iter().enumerate() {
                let expected: BTreeSet<usize> = (0..sets.len()).filter(|other| *other != gone && sets[*other].conflicts(set)).collect();
                prop_assert_eq!(found(&index, set), expected.clone());
                prop_assert_eq!(index.any_meeting(set, id), expected.iter().any(|other| *other != id));
            }
            sets.iter().enumerate().for_each(|(id, set)| index.remove(id, set));
            prop_assert!(index.is_empty());
        }
    }
}
