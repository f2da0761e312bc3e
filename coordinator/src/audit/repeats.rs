//! Refusals that come again and again: the first within a minute is recorded, the others are counted and recorded as a number. Bounded.

use std::collections::BTreeMap;

use super::entry::Entry;

/// Refusals of one kind within this are one.
const WINDOW_MS: u64 = 60_000;
/// Most kinds that are counted at once; beyond that the oldest is let go.
const KINDS_MAX: usize = 256;

/// Who asked for what, and why not.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Key {
    who: String,
    role: String,
    method: String,
    why: String,
}

impl Key {
    pub(super) fn of(entry: &Entry) -> Self {
        let Entry { who, role, method, why, .. } = entry;
        Self { who: who.clone(), role: role.clone(), method: method.clone(), why: why.clone().unwrap_or_default() }
    }
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    since_ms: u64,
    further: u64,
}

/// Refusals that were only counted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Over {
    key: Key,
    times: u64,
}

impl Over {
    pub(super) fn entry(&self) -> Entry {
        let Key { who, role, method, why } = self.key.clone();
        Entry { who, role, method, why: Some(why), times: self.times, ..Entry::default() }
    }
}

/// What is counted now.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    seen: BTreeMap<Key, Seen>,
    over: Vec<Over>,
}

impl Repeats {
    /// Whether this one is to be recorded by itself.
    pub(super) fn notice(&mut self, key: Key, now_ms: u64) -> bool {
        if let Some(seen) = self.seen.get_mut(&key)
            && now_ms.saturating_sub(seen.since_ms) < WINDOW_MS
        {
            seen.further = seen.further.saturating_add(1);
            return false;
        }
        self.end(&key);
        if self.seen.len() >= KINDS_MAX
            && let Some(oldest) = self.seen.iter().min_by_key(|(_, seen)| seen.since_ms).map(|(key, _)| key.clone())
        {
            self.end(&oldest);
        }
        self.seen.insert(key, Seen { since_ms: now_ms, further: 0 });
        true
    }

    /// Up to `max` counts whose minute is over.
    pub(super) fn over(&mut self, now_ms: u64, max: usize) -> Vec<Over> {
        let ended = |seen: &Seen| now_ms.saturating_sub(seen.since_ms) >= WINDOW_MS;
        let keys: Vec<Key> = self.seen.iter().filter(|(_, seen)| ended(seen)).map(|(key, _)| key.clone()).collect();
        keys.iter().for_each(|key| self.end(key));
        self.over.drain(..self.over.len().min(max)).collect()
    }

    fn end(&mut self, key: &Key) {
        let Some(seen) = self.seen.remove(key).filter(|seen| seen.further > 0) else { return };
        // Beyond that nobody has taken them for long: their number is all that is lost.
        if self.over.len() < KINDS_MAX {
            self.over.push(Over { key: key.clone(), times: seen.further });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: usize) -> Key {
        Key { who: format!("w{n:04}"), role: "viewer".to_owned(), method: "m".to_owned(), why: String::new() }
    }

    #[test]
    fn what_is_counted_is_bounded() {
        let mut repeats = Repeats::default();
        for n in 0..10 * KINDS_MAX {
            assert!(repeats.notice(key(n), n as u64));
            assert!(!repeats.notice(key(n), n as u64));
        }
        assert_eq!((repeats.seen.len(), repeats.over.len()), (KINDS_MAX, KINDS_MAX));
        assert_eq!(repeats.over(0, 3).len(), 3);
        assert_eq!(repeats.over(u64::MAX, usize::MAX).len(), KINDS_MAX);
        assert!(repeats.over(u64::MAX, usize::MAX).is_empty() && repeats.seen.is_empty());
    }
}
