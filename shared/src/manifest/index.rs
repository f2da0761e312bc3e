//! Which of many path sets meet a given one, without comparing with each: what holds and hazards of a hundred thousand units are looked up in.
//!
//! A tree of folders. Its nodes are found by the hash of their whole path, so a look-up costs one probe per folder.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::ControlFlow;

use super::conflicting::{ConflictingIds, FirstIds};
use super::glob;
use super::set::{Glob, PathSet, glob_meets_plain_key};

/// Ids by the paths they were inserted with. All sets must agree on case.
#[derive(Clone, Debug)]
pub struct PathIndex<Id> {
    nodes: Vec<Node<Id>>,
    free: Vec<u32>,
    /// First node of each hash; further ones are chained.
    by_hash: HashMap<u64, u32, BuildHasherDefault<Hashed>>,
}

/// A path that some set names, or that lies above one. Each of its lists is in order and without repetition, so that the nearest before another id is found
/// at once.
#[derive(Clone, Debug)]
struct Node<Id> {
    key: Box<[u8]>,
    /// Sets that name exactly this path as a file, and nothing else.
    files: VecDeque<Id>,
    /// Sets that name exactly this path as something that may be a folder.
    folders: VecDeque<Id>,
    /// Globs whose literal beginning this path is, with the sets that have each.
    globs: Vec<(Glob, VecDeque<Id>)>,
    parent: u32,
    child: u32,
    next: u32,
    previous: u32,
    same_hash: u32,
}

const NONE: u32 = u32::MAX;
const ROOT: u32 = 0;

/// Keys are hashes already.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| mix(hash, *byte));
    }

    fn write_u64(&mut self, hash: u64) {
        // FNV's upper bits are its weakest; hash tables want them good.
        self.0 = (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

const SEED: u64 = 0xcbf2_9ce4_8422_2325;

fn mix(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
}

impl<Id> Default for PathIndex<Id> {
    fn default() -> Self {
        Self { nodes: vec![Node::new(Box::default(), NONE)], free: Vec::new(), by_hash: HashMap::default() }
    }
}

impl<Id> Node<Id> {
    fn new(key: Box<[u8]>, parent: u32) -> Self {
        let (files, folders, globs) = (VecDeque::new(), VecDeque::new(), Vec::new());
        Self { key, files, folders, globs, parent, child: NONE, next: NONE, previous: NONE, same_hash: NONE }
    }

    /// Whether no set names it.
    fn is_bare(&self) -> bool {
        self.files.is_empty() && self.folders.is_empty() && self.globs.is_empty()
    }
}

impl<Id: Copy + Ord> PathIndex<Id> {
    /// Adds an id under every entry of a set.
    pub fn insert(&mut self, id: Id, set: &PathSet) {
        for plain in set.all_plain() {
            let node = self.reach(&plain.key) as usize;
            let node = &mut self.nodes[node];
            if plain.folder {
                take_out(&mut node.files, id);
                put_in(&mut node.folders, id);
            } else if node.folders.binary_search(&id).is_err() {
                put_in(&mut node.files, id);
            }
        }
        for glob in set.globs() {
            let node = self.reach(&glob.prefix);
            put_in(self.nodes[node as usize].ids_of(glob), id);
        }
    }

    /// Adds an id under every entry of a set in place of all that were there, under exactly that path or glob: for ids of which the later stands for
    /// those before it. What was replaced cannot be taken out any more.
    pub fn insert_over(&mut self, id: Id, set: &PathSet) {
        for plain in set.all_plain() {
            let node = self.reach(&plain.key) as usize;
            let node = &mut self.nodes[node];
            let folder = plain.folder || !node.folders.is_empty();
            node.files.clear();
            node.folders.clear();
            if folder { node.folders.push_back(id) } else { node.files.push_back(id) }
        }
        for glob in set.globs() {
            let node = self.reach(&glob.prefix);
            let ids = self.nodes[node as usize].ids_of(glob);
            ids.clear();
            ids.push_back(id);
        }
    }

    /// Takes an id out again; `set` is what it was inserted with.
    pub fn remove(&mut self, id: Id, set: &PathSet) {
        for plain in set.all_plain() {
            if let Some(at) = self.find(&plain.key, hash_of(&plain.key)) {
                let node = &mut self.nodes[at as usize];
                take_out(&mut node.files, id);
                take_out(&mut node.folders, id);
                self.prune(at);
            }
        }
        for glob in set.globs() {
            if let Some(at) = self.find(&glob.prefix, hash_of(&glob.prefix)) {
                let globs = &mut self.nodes[at as usize].globs;
                if let Some(own) = globs.iter().position(|(other, _)| other.segments == glob.segments) {
                    take_out(&mut globs[own].1, id);
                    if globs[own].1.is_empty() {
                        globs.swap_remove(own);
                    }
                }
                self.prune(at);
            }
        }
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        let root = &self.nodes[ROOT as usize];
        root.child == NONE && root.is_bare()
    }

    /// Visits every id whose set conflicts with this one, some more than once, until the visitor breaks.
    pub fn meeting<B>(&self, set: &PathSet, mut visit: impl FnMut(Id) -> ControlFlow<B>) -> ControlFlow<B> {
        self.lists_meeting(set, |list| list.iter().copied().try_for_each(&mut visit))
    }

    /// Whether any id but `except` conflicts with this set.
    pub fn any_meeting(&self, set: &PathSet, except: Id) -> bool {
        let found = self.meeting(set, |id| if id == except { ControlFlow::Continue(()) } else { ControlFlow::Break(()) });
        found.is_break()
    }

    /// Visits ids below `bound` whose sets conflict with this one, at each path the lowest first, some more than once, until the visitor breaks.
    pub fn meeting_before<B>(&self, set: &PathSet, bound: Id, mut visit: impl FnMut(Id) -> ControlFlow<B>) -> ControlFlow<B> {
        self.lists_meeting(set, |list| list.range(..below(list, bound)).copied().try_for_each(&mut visit))
    }

    /// The nearest id below `bound` whose set conflicts with this one. Costs as much as there are paths related to those of the set and different globs
    /// at them, however many sets name each.
    pub fn nearest_before(&self, set: &PathSet, bound: Id) -> Option<Id> {
        let mut nearest = None;
        let _ = self.lists_meeting(set, |list| {
            nearest = nearest.max(below(list, bound).checked_sub(1).map(|at| list[at]));
            ControlFlow::<()>::Continue(())
        });
        nearest
    }

    /// The highest of all ids whose sets conflict with this one, at the same cost.
    pub fn highest(&self, set: &PathSet) -> Option<Id> {
        let mut highest = None;
        let _ = self.lists_meeting(set, |list| {
            highest = highest.max(list.back().copied());
            ControlFlow::<()>::Continue(())
        });
        highest
    }

    /// The lowest of them, at the same cost, or less: the search ends at `floor`, below which there is none.
    pub fn lowest(&self, set: &PathSet, floor: Id) -> Option<Id> {
        let mut lowest: Option<Id> = None;
        let _ = self.lists_meeting(set, |list| {
            lowest = lowest.into_iter().chain(list.front().copied()).min();
            if lowest == Some(floor) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        lowest
    }

    /// The first `most` of the ids below `bound` that conflict with one of these sets, and how many there are: of those at the first `lists_max` paths
    /// and globs that meet the sets. Costs as much as there are of these and as is asked for, however many sets name each.
    pub fn first_before(&self, sets: &[&PathSet], bound: Id, most: usize, lists_max: usize) -> FirstIds<Id> {
        let mut lists = Vec::new();
        let looked = sets.iter().try_for_each(|set| {
            self.lists_meeting(set, |list| {
                if lists.len() == lists_max {
                    return ControlFlow::Break(());
                }
                lists.push((list, below(list, bound)));
                ControlFlow::Continue(())
            })
        });
        let found = ConflictingIds::of(lists).first(most);
        let is_whole = looked.is_continue();
        FirstIds { is_counted: found.is_counted && is_whole, is_whole, ..found }
    }

    /// Whether any id below `bound` conflicts with this set.
    pub fn any_before(&self, set: &PathSet, bound: Id) -> bool {
        let is_below = |list: &VecDeque<Id>| list.front().is_some_and(|first| *first < bound);
        self.lists_meeting(set, |list| if is_below(list) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }).is_break()
    }

    /// The ids below `bound` that conflict with one of these sets, for counting them or going through them from the highest down.
    pub fn conflicting_before<'a>(&'a self, sets: &[&PathSet], bound: Id) -> ConflictingIds<'a, Id> {
        let mut lists = Vec::new();
        for set in sets {
            let _ = self.lists_meeting(set, |list| {
                lists.push((list, below(list, bound)));
                ControlFlow::<()>::Continue(())
            });
        }
        ConflictingIds::of(lists)
    }

    /// Visits the lists of all ids whose sets conflict with this one; none of them is empty, some come more than once.
    fn lists_meeting<'a, B>(&'a self, set: &PathSet, mut visit: impl FnMut(&'a VecDeque<Id>) -> ControlFlow<B>) -> ControlFlow<B> {
        let mut visit = |list: &'a VecDeque<Id>| if list.is_empty() { ControlFlow::Continue(()) } else { visit(list) };
        for plain in set.all_plain() {
            self.related(&plain.key, |node| {
                visit(&node.files)?;
                visit(&node.folders)?;
                let mut meeting = node.globs.iter().filter(|(glob, _)| glob_meets_plain_key(glob, &plain.key, plain.folder));
                meeting.try_for_each(|(_, ids)| visit(ids))
            })?;
        }
        for own in set.globs() {
            self.related(&own.prefix, |node| {
                if !node.folders.is_empty() && glob_meets_plain_key(own, &node.key, true) {
                    visit(&node.folders)?;
                }
                if !node.files.is_empty() && glob_meets_plain_key(own, &node.key, false) {
                    visit(&node.files)?;
                }
                let mut meeting = node.globs.iter().filter(|(glob, _)| glob::meets(&glob.segments, &own.segments));
                meeting.try_for_each(|(_, ids)| visit(ids))
            })?;
        }
        ControlFlow::Continue(())
    }

    /// Visits the node of a key, those above it and those below it, as far as they exist.
    fn related<'a, B>(&'a self, key: &[u8], mut visit: impl FnMut(&'a Node<Id>) -> ControlFlow<B>) -> ControlFlow<B> {
        let mut at = ROOT;
        for (end, hash) in prefixes(key) {
            visit(&self.nodes[at as usize])?;
            match self.find(&key[..end], hash) {
                Some(node) => at = node,
                // Nothing at this folder, so nothing below it.
                None => return ControlFlow::Continue(()),
            }
        }
        let top = at;
        loop {
            let node = &self.nodes[at as usize];
            visit(node)?;
            let mut next = node.child;
            while next == NONE && at != top {
                next = self.nodes[at as usize].next;
                if next == NONE {
                    at = self.nodes[at as usize].parent;
                }
            }
            if next == NONE {
                return ControlFlow::Continue(());
            }
            at = next;
        }
    }

    fn find(&self, key: &[u8], hash: u64) -> Option<u32> {
        if key.is_empty() {
            return Some(ROOT);
        }
        let mut at = *self.by_hash.get(&hash)?;
        while at != NONE {
            let node = &self.nodes[at as usize];
            if *node.key == *key {
                return Some(at);
            }
            at = node.same_hash;
        }
        None
    }

    /// The node of a key, made together with those above it where they are missing.
    fn reach(&mut self, key: &[u8]) -> u32 {
        let mut at = ROOT;
        for (end, hash) in prefixes(key) {
            at = match self.find(&key[..end], hash) {
                Some(node) => node,
                None => self.add(&key[..end], hash, at),
            };
        }
        at
    }

    fn add(&mut self, key: &[u8], hash: u64, parent: u32) -> u32 {
        let mut node = Node::new(key.into(), parent);
        node.next = self.nodes[parent as usize].child;
        node.same_hash = self.by_hash.get(&hash).copied().unwrap_or(NONE);
        let at = match self.free.pop() {
            Some(at) => {
                self.nodes[at as usize] = node;
                at
            }
            None => {
                self.nodes.push(node);
                u32::try_from(self.nodes.len() - 1).expect("a path index of four thousand million paths does not fit in memory")
            }
        };
        let next = self.nodes[at as usize].next;
        if next != NONE {
            self.nodes[next as usize].previous = at;
        }
        self.nodes[parent as usize].child = at;
        self.by_hash.insert(hash, at);
        at
    }

    /// Drops a node that nothing needs any more, and those above it likewise.
    fn prune(&mut self, mut at: u32) {
        while at != ROOT {
            let node = &self.nodes[at as usize];
            if !node.is_bare() || node.child != NONE {
                return;
            }
            let (parent, next, previous, same_hash) = (node.parent, node.next, node.previous, node.same_hash);
            self.unchain(at, hash_of(&self.nodes[at as usize].key), same_hash);
            if next != NONE {
                self.nodes[next as usize].previous = previous;
            }
            if previous == NONE {
                self.nodes[parent as usize].child = next;
            } else {
                self.nodes[previous as usize].next = next;
            }
            self.nodes[at as usize] = Node::new(Box::default(), NONE);
            self.free.push(at);
            at = parent;
        }
    }

    fn unchain(&mut self, at: u32, hash: u64, successor: u32) {
        match self.by_hash.get(&hash).copied() {
            Some(first) if first == at && successor == NONE => {
                self.by_hash.remove(&hash);
            }
            Some(first) if first == at => {
                self.by_hash.insert(hash, successor);
            }
            Some(mut before) => {
                while self.nodes[before as usize].same_hash != at {
                    before = self.nodes[before as usize].same_hash;
                }
                self.nodes[before as usize].same_hash = successor;
            }
            None => {}
        }
    }
}

impl<Id> Node<Id> {
    /// The list of a glob, made if it is not there.
    fn ids_of(&mut self, glob: &Glob) -> &mut VecDeque<Id> {
        let at = self.globs.iter().position(|(other, _)| other.segments == glob.segments).unwrap_or_else(|| {
            self.globs.push((glob.clone(), VecDeque::new()));
            self.globs.len() - 1
        });
        &mut self.globs[at].1
    }
}

/// How many of a list are below a bound.
fn below<Id: Ord>(list: &VecDeque<Id>, bound: Id) -> usize {
    list.partition_point(|id| *id < bound)
}

fn put_in<Id: Ord>(list: &mut VecDeque<Id>, id: Id) {
    if let Err(at) = list.binary_search(&id) {
        list.insert(at, id);
    }
}

fn take_out<Id: Ord>(list: &mut VecDeque<Id>, id: Id) {
    if let Ok(at) = list.binary_search(&id) {
        list.remove(at);
    }
}

/// End and hash of each path above a key, and of the key itself. The empty key has none.
fn prefixes(key: &[u8]) -> impl Iterator<Item = (usize, u64)> + '_ {
    let mut hash = SEED;
    (0..key.len()).filter_map(move |at| {
        hash = mix(hash, key[at]);
        let ends = key.get(at + 1).is_none_or(|next| *next == 0);
        ends.then_some((at + 1, hash))
    })
}

fn hash_of(key: &[u8]) -> u64 {
    key.iter().fold(SEED, |hash, byte| mix(hash, *byte))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const ENTRIES: [&str; 18] = [
        "a", "b", "c/", "a/b", "a/b/c", "a/bc", "*/b", "a/*", "**/c", "a/[bc]", "b/c*", "**", "a/b/c/d", "a.rs", "a.rs/b", "a.rs/",
        "a.rs/*", "*/b/**",
    ];

    fn found(index: &PathIndex<usize>, set: &PathSet) -> BTreeSet<usize> {
        let mut ids = BTreeSet::new();
        let _ = index.meeting::<()>(set, |id| {
            ids.insert(id);
            ControlFlow::Continue(())
        });
        ids
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn the_index_finds_what_comparing_with_each_finds(
            sets in prop::collection::vec(prop::collection::vec(prop::sample::select(ENTRIES.to_vec()), 0..4), 1..12),
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
                prop_assert_eq!(index.nearest_before(set, id), expected.range(..id).next_back().copied());
                prop_assert_eq!(index.any_before(set, id), expected.range(..id).next().is_some());
                let mut before = BTreeSet::new();
                let _ = index.meeting_before::<()>(set, id, |other| {
                    before.insert(other);
                    ControlFlow::Continue(())
                });
                prop_assert_eq!(&before, &expected.range(..id).copied().collect::<BTreeSet<_>>());
                prop_assert_eq!(index.highest(set), expected.iter().next_back().copied());
                prop_assert_eq!(index.lowest(set, 0), expected.first().copied());
                prop_assert_eq!(index.lowest(set, expected.first().copied().unwrap_or(id)), expected.first().copied());
                let twice = [set, &sets[gone]];
                let both: BTreeSet<usize> = found(&index, &sets[gone]).range(..id).copied().chain(before).collect();
                prop_assert_eq!(index.conflicting_before(&twice, id).total(), both.len());
                for most in [0, 1, 2, usize::MAX] {
                    let ids: BTreeSet<usize> = both.iter().copied().take(most).collect();
                    let all = FirstIds { ids, count: both.len(), is_counted: true, is_whole: true };
                    prop_assert_eq!(index.first_before(&twice, id, most, usize::MAX), all.clone());
                    let part = index.first_before(&twice, id, most, 2);
                    prop_assert!(part.ids.is_subset(&both) && part.ids.len() <= most && part.ids.len() <= part.count, "{:?} of {:?}", part, both);
                    prop_assert!(part.count <= both.len() && part.is_counted == part.is_whole, "{:?} of {:?}", part, both);
                    prop_assert!(!part.is_whole || part == all, "{:?} is not {:?}", part, all);
                }
                let falling: Vec<usize> = index.conflicting_before(&twice, id).collect();
                prop_assert_eq!(falling, both.into_iter().rev().collect::<Vec<_>>());
            }
            sets.iter().enumerate().for_each(|(id, set)| index.remove(id, set));
            prop_assert!(index.is_empty());
        }

        #[test]
        fn who_replaces_others_stands_for_them(
            sets in prop::collection::vec(prop::collection::vec(prop::sample::select(ENTRIES.to_vec()), 0..4), 1..12),
        ) {
            // Folders and files of one name are kept as the former: then it may find more, never less.
            let sets: Vec<PathSet> = sets.iter().map(|entries| PathSet::new(entries, false).unwrap()).collect();
            let mut index = PathIndex::default();
            for (id, set) in sets.iter().enumerate() {
                let found = found(&index, set);
                // From whoever is found one comes to all before that meet the set, by way of others that meet.
                let mut reached = found.clone();
                for other in (0..id).rev() {
                    if reached.contains(&other) {
                        reached.extend((0..other).filter(|earlier| sets[*earlier].conflicts(&sets[other])));
                    }
                }
                let expected: BTreeSet<usize> = (0..id).filter(|other| sets[*other].conflicts(set)).collect();
                prop_assert!(expected.is_subset(&reached), "{id}: {expected:?} of {reached:?}");
                index.insert_over(id, set);
            }
        }
    }

    #[test]
    fn paths_that_only_later_ones_name_count_for_nothing() {
        let set = |path: &str| PathSet::new(&[path], false).unwrap();
        let mut index = PathIndex::default();
        (0..9).for_each(|id| index.insert(id, &set("src/one")));
        (9..200).for_each(|id| index.insert(id, &set(&format!("src/f{id}"))));
        let first = index.first_before(&[&set("src/")], 9, 8, 256);
        assert_eq!(first, FirstIds { ids: (0..8).collect(), count: 9, is_counted: true, is_whole: true });
    }

    #[test]
    fn of_long_lists_at_least_so_many_are_counted() {
        let set = |path: &str| PathSet::new(&[path], false).unwrap();
        let mut index = PathIndex::default();
        (0..1_000).for_each(|id| index.insert(id, &set("a")));
        (1_000..2_500).for_each(|id| index.insert(id, &set("b")));
        let sets = [&set("a"), &set("b")];
        let first = |most| index.first_before(&sets, usize::MAX, most, 256);
        assert_eq!(first(3), FirstIds { ids: (0..3).collect(), count: 1_500 + 256, is_counted: false, is_whole: true });
        assert_eq!((first(2_499).count, first(2_499).is_counted, first(2_499).ids.len()), (2_500, false, 2_499));
        assert_eq!((first(2_500).count, first(2_500).is_counted, first(2_500).ids.len()), (2_500, true, 2_500));
        let part = index.first_before(&sets, usize::MAX, 3, 1);
        assert_eq!(part, FirstIds { ids: (0..3).collect(), count: 1_000, is_counted: false, is_whole: false });
    }
}
