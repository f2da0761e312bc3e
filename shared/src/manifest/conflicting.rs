//! Ids below a bound that an index finds for some sets, without a list of them all: how many they are, the highest first, or the lowest.

use std::collections::{BTreeSet, BinaryHeap, VecDeque};

/// Iterates from the highest down, each id once.
#[derive(Clone, Debug)]
pub struct ConflictingIds<'a, Id> {
    /// The lists, each in order, and how much of each is below the bound and not passed yet.
    lists: Vec<(&'a VecDeque<Id>, usize)>,
    /// The next of each list that has one, with the list's place.
    next: BinaryHeap<(Id, usize)>,
    last: Option<Id>,
}

/// The lowest of the ids that an index finds for some sets, and how many there are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FirstIds<Id> {
    /// As many as were asked for, or all there are.
    pub ids: BTreeSet<Id>,
    /// How many there are, these among them; at least so many where `is_counted` says no.
    pub count: usize,
    /// Whether all were counted.
    pub is_counted: bool,
    /// Whether every path that the sets meet was looked at; otherwise there may be lower ones.
    pub is_whole: bool,
}

/// Ids beside those of the longest list that are looked at to count them all.
const COUNTED_MAX: usize = 256;

impl<'a, Id: Copy + Ord> ConflictingIds<'a, Id> {
    pub(super) fn of(mut lists: Vec<(&'a VecDeque<Id>, usize)>) -> Self {
        lists.retain(|(_, left)| *left > 0);
        // A list that two paths of the sets lead to is needed once.
        lists.sort_unstable_by_key(|(list, _)| std::ptr::from_ref(*list) as usize);
        lists.dedup_by_key(|(list, _)| std::ptr::from_ref(*list) as usize);
        let next = lists.iter().enumerate().map(|(at, (list, left))| (list[left - 1], at)).collect();
        Self { lists, next, last: None }
    }

    /// How many there are; to be asked before the first is taken. Costs as much as all lists but the longest have, and nothing if there is but one.
    pub fn total(&self) -> usize {
        self.total_of(usize::MAX).0
    }

    /// The same, and true; or once so many ids beside those of the longest list were looked at, how many there are at least, and false.
    fn total_of(&self, looked_max: usize) -> (usize, bool) {
        let Some(longest) = (0..self.lists.len()).max_by_key(|at| self.lists[*at].1) else { return (0, true) };
        let (list, left) = self.lists[longest];
        let others = || self.lists.iter().enumerate().filter(|(at, _)| *at != longest).flat_map(|(_, (other, left))| other.range(..left));
        let further: BTreeSet<Id> = others().take(looked_max).copied().filter(|id| list.binary_search(id).is_err()).collect();
        (left + further.len(), others().nth(looked_max).is_none())
    }

    /// The lowest `most`; to be asked before the first is taken. Costs as much as there are lists and are asked for, however many ids each has.
    pub(super) fn first(&self, most: usize) -> FirstIds<Id> {
        let mut ids = BTreeSet::new();
        for (list, left) in &self.lists {
            for id in list.range(..left) {
                if ids.len() > most && ids.last() <= Some(id) {
                    break;
                }
                ids.insert(*id);
                // One more than is asked for tells whether there is more.
                if ids.len() > most.saturating_add(1) {
                    ids.pop_last();
                }
            }
        }
        let (count, is_counted) = if ids.len() > most { self.total_of(COUNTED_MAX) } else { (ids.len(), true) };
        let count = count.max(ids.len());
        if ids.len() > most {
            ids.pop_last();
        }
        FirstIds { ids, count, is_counted, is_whole: true }
    }
}

impl<Id: Ord> Default for ConflictingIds<'_, Id> {
    fn default() -> Self {
        Self { lists: Vec::new(), next: BinaryHeap::new(), last: None }
    }
}

impl<Id: Copy + Ord> Iterator for ConflictingIds<'_, Id> {
    type Item = Id;

    fn next(&mut self) -> Option<Id> {
        loop {
            let (id, at) = self.next.pop()?;
            let (list, left) = &mut self.lists[at];
            *left -= 1;
            if let Some(lower) = left.checked_sub(1) {
                self.next.push((list[lower], at));
            }
            if self.last != Some(id) {
                self.last = Some(id);
                return Some(id);
            }
        }
    }
}
