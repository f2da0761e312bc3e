//! Chance from a seed: the same seed gives the same world.

use roundtable_core::Entropy;

/// A stream of choices.
#[derive(Clone)]
pub struct Rng(Entropy);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(Entropy::new(seed))
    }

    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.0.below(bound)
    }

    /// From `low` to `high`, both included.
    pub fn range(&mut self, low: u64, high: u64) -> u64 {
        low + self.0.below(high.saturating_sub(low) + 1)
    }

    /// Whether something of that chance (per thousand) happens.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.0.chance(per_mille)
    }

    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.0.below(items.len() as u64) as usize]
    }

    /// An index by weight.
    pub fn weighted(&mut self, weights: &[u64]) -> usize {
        let mut left = self.0.below(weights.iter().sum());
        for (at, weight) in weights.iter().enumerate() {
            if left < *weight {
                return at;
            }
            left -= weight;
        }
        0
    }

    /// Mostly short, sometimes long.
    pub fn tailed(&mut self, low: u64, high: u64) -> u64 {
        match self.below(10) {
            0 => self.range(low, high),
            1..=3 => self.range(low, low + (high - low) / 4),
            _ => self.range(low, low + (high - low) / 20),
        }
    }
}
