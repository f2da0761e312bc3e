//! Ids below a bound that an index finds for some sets, without a list of them all: how many they are, and the highest first.

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
        let Some(longest) = (0..self.lists.len()).max_by_key(|at| self.lists[*at].1) else { return 0 };
        let (list, left) = self.lists[longest];
        let others = self.lists.iter().enumerate().filter(|(at, _)| *at != longest);
        let beside = |id: &Id| list.binary_search(id).is_err();
        let further: BTreeSet<Id> = others.flat_map(|(_, (other, left))| other.range(..left)).copied().filter(beside).collect();
        left + further.len()
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
