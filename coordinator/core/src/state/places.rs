//! Sets of places or ranks of units, as bits: a copy of a set takes a tenth of a kilobyte for a thousand units, and the next or last member before a place
//! is found by looking at a few words.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

const BITS: usize = u64::BITS as usize;

/// A set of small numbers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Places {
    /// Bit p % 64 of word p / 64 is place p. The last word is not zero.
    words: Vec<u64>,
    /// Likewise: which words are not zero.
    filled: Vec<u64>,
    len: usize,
}

impl Places {
    fn of_words(mut words: Vec<u64>) -> Self {
        words.truncate(words.iter().rposition(|word| *word != 0).map_or(0, |last| last + 1));
        let mut filled = vec![0; words.len().div_ceil(BITS)];
        for (at, _) in words.iter().enumerate().filter(|(_, word)| **word != 0) {
            filled[at / BITS] |= 1 << (at % BITS);
        }
        let len = words.iter().map(|word| word.count_ones() as usize).sum();
        Self { words, filled, len }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether it is one of them.
    pub fn contains(&self, place: usize) -> bool {
        self.words.get(place / BITS).is_some_and(|word| word >> (place % BITS) & 1 == 1)
    }

    /// Adds or removes one.
    pub(super) fn set(&mut self, place: usize, is_member: bool) {
        if self.contains(place) == is_member {
            return;
        }
        let word = place / BITS;
        if is_member {
            if self.words.len() <= word {
                self.words.resize(word + 1, 0);
                self.filled.resize(word / BITS + 1, 0);
            }
            self.words[word] |= 1 << (place % BITS);
            self.filled[word / BITS] |= 1 << (word % BITS);
            self.len += 1;
        } else {
            self.words[word] &= !(1 << (place % BITS));
            if self.words[word] == 0 {
                self.filled[word / BITS] &= !(1 << (word % BITS));
            }
            self.len -= 1;
            let words = last_before(&self.filled, self.words.len()).map_or(0, |last| last + 1);
            self.words.truncate(words);
            self.filled.truncate(words.div_ceil(BITS));
        }
    }

    /// All, in order.
    pub fn iter(&self) -> Members<'_> {
        self.before(self.words.len() * BITS)
    }

    /// Those before that place, in order.
    pub fn before(&self, place: usize) -> Members<'_> {
        Members { places: self, from: 0, to: place }
    }

    fn first_from(&self, place: usize) -> Option<usize> {
        let at = place / BITS;
        let rest = self.words.get(at)? & (u64::MAX << (place % BITS));
        let (at, word) = if rest != 0 { (at, rest) } else { first_from(&self.filled, at + 1).map(|at| (at, self.words[at]))? };
        Some(at * BITS + word.trailing_zeros() as usize)
    }

    fn last_before(&self, place: usize) -> Option<usize> {
        let place = place.min(self.words.len() * BITS);
        let at = place / BITS;
        let rest = self.words.get(at).map_or(0, |word| word & !(u64::MAX << (place % BITS)));
        let (at, word) = if rest != 0 { (at, rest) } else { last_before(&self.filled, at).map(|at| (at, self.words[at]))? };
        Some(at * BITS + last_of(word))
    }
}

impl FromIterator<usize> for Places {
    fn from_iter<I: IntoIterator<Item = usize>>(members: I) -> Self {
        let mut places = Self::default();
        members.into_iter().for_each(|place| places.set(place, true));
        places
    }
}

/// Kept as its words.
impl Serialize for Places {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.words.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Places {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::of_words(Vec::deserialize(deserializer)?))
    }
}

/// The first bit that is set from that one on, word by word.
fn first_from(words: &[u64], bit: usize) -> Option<usize> {
    let first = words.get(bit / BITS)? & (u64::MAX << (bit % BITS));
    let rest = words.iter().copied().enumerate().skip(bit / BITS + 1);
    let (at, word) = std::iter::once((bit / BITS, first)).chain(rest).find(|(_, word)| *word != 0)?;
    Some(at * BITS + word.trailing_zeros() as usize)
}

/// The last bit that is set before that one.
fn last_before(words: &[u64], bit: usize) -> Option<usize> {
    let last = words.get(bit / BITS).map_or(0, |word| word & !(u64::MAX << (bit % BITS)));
    let rest = words.iter().copied().enumerate().take(bit / BITS).rev();
    let (at, word) = std::iter::once((bit / BITS, last)).chain(rest).find(|(_, word)| *word != 0)?;
    Some(at * BITS + last_of(word))
}

/// The highest bit of a word that is not zero.
fn last_of(word: u64) -> usize {
    BITS - 1 - word.leading_zeros() as usize
}

/// Members of a set, in order.
#[derive(Clone, Debug)]
pub struct Members<'a> {
    places: &'a Places,
    from: usize,
    to: usize,
}

impl Iterator for Members<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let found = self.places.first_from(self.from).filter(|found| *found < self.to);
        self.from = found.map_or(self.to, |found| found + 1);
        found
    }
}

impl DoubleEndedIterator for Members<'_> {
    fn next_back(&mut self) -> Option<usize> {
        let found = self.places.last_before(self.to).filter(|found| *found >= self.from);
        self.to = found.unwrap_or(self.from);
        found
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn it_is_a_set(changes in prop::collection::vec((0_usize..9_000, any::<bool>()), 0..60), bound in 0_usize..9_500) {
            let (mut places, mut model) = (Places::default(), BTreeSet::new());
            for (place, is_member) in changes {
                // Near each other as well as far apart.
                for place in [place, place / 100] {
                    places.set(place, is_member);
                    if is_member { model.insert(place); } else { model.remove(&place); }
                }
            }
            prop_assert_eq!((places.len(), places.is_empty()), (model.len(), model.is_empty()));
            prop_assert!(places.iter().eq(model.iter().copied()));
            prop_assert!(places.iter().rev().eq(model.iter().rev().copied()));
            prop_assert!(places.before(bound).eq(model.range(..bound).copied()));
            prop_assert_eq!(places.before(bound).next_back(), model.range(..bound).next_back().copied());
            let (mut members, mut expected) = (places.before(bound), model.range(..bound).copied());
            while let Some(first) = expected.next() {
                prop_assert_eq!((members.next(), members.next_back()), (Some(first), expected.next_back()));
            }
            prop_assert_eq!((members.next(), members.next_back()), (None, None));
            prop_assert!(model.iter().copied().collect::<Places>() == places, "equal sets are equal, however they came to be");
            let mut longer = places.words.clone();
            longer.extend([0; 3]);
            prop_assert!(Places::of_words(longer) == places, "and when it is read again");
            for place in model.iter().copied().chain([bound]) {
                prop_assert_eq!(places.contains(place), model.contains(&place));
            }
        }
    }
}
