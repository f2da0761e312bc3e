//! Which protocol two programs speak, or why they cannot, and which of them is to be brought up to date.

use std::fmt;
use std::ops::RangeInclusive;

/// Oldest and newest protocol this build speaks. In 1, what a turn is about, agent events and outcomes are JSON inside their messages
/// (`convert/protocol_1.rs`); since 2 they are messages.
pub const PROTOCOL: RangeInclusive<u32> = 1..=2;

/// One side of a conversation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Speaker {
    /// What it is, for people: `this coordinator`, `worker build-1`.
    pub name: String,
    /// The protocols it speaks.
    pub range: RangeInclusive<u32>,
}

/// Two programs that have no protocol in common.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mismatch {
    older: Speaker,
    newer: Speaker,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (old, new) = (&self.older, &self.newer);
        write!(
            f,
            "{} speaks protocol {} to {}, {} {} to {}: {} is too old; bring its host to the release of the other: build it there with \
             `cargo build --release`, or copy the program over, and start it again (`--version` tells what each speaks)",
            old.name,
            old.range.start(),
            old.range.end(),
            new.name,
            new.range.start(),
            new.range.end(),
            old.name,
        )
    }
}

impl std::error::Error for Mismatch {}

/// The newest protocol that both speak.
pub fn negotiate(one: Speaker, other: Speaker) -> Result<u32, Mismatch> {
    let newest = (*one.range.end()).min(*other.range.end());
    let oldest = (*one.range.start()).max(*other.range.start());
    if newest >= oldest {
        return Ok(newest);
    }
    let (older, newer) = if one.range.end() < other.range.end() { (one, other) } else { (other, one) };
    Err(Mismatch { older, newer })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speaker(name: &str, range: RangeInclusive<u32>) -> Speaker {
        Speaker { name: name.to_owned(), range }
    }

    #[test]
    fn the_newest_common_protocol_is_spoken() {
        for (one, other, spoken) in [(1..=1, 1..=1, 1), (1..=3, 2..=5, 3), (4..=5, 1..=4, 4), (2..=2, 1..=9, 2)] {
            assert_eq!(negotiate(speaker("a", one.clone()), speaker("b", other.clone())), Ok(spoken));
            assert_eq!(negotiate(speaker("b", other), speaker("a", one)), Ok(spoken));
        }
    }

    #[test]
    fn a_refusal_says_who_is_too_old_and_how_that_is_mended() {
        let (old, new) = (speaker("worker build-1", 1..=2), speaker("this coordinator", 3..=4));
        for refused in [negotiate(old.clone(), new.clone()), negotiate(new, old)] {
            let text = refused.expect_err("nothing in common").to_string();
            assert!(text.contains("worker build-1 is too old") && text.contains("1 to 2") && text.contains("3 to 4"), "{text}");
            assert!(text.contains("`cargo build --release`") && text.contains("--version"), "{text}");
        }
        // A range that is no range fits nothing.
        #[allow(clippy::reversed_empty_ranges)]
        let odd = negotiate(speaker("a", 5..=0), speaker("b", 1..=1));
        assert!(odd.is_err());
    }
}
