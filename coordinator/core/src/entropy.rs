//! Random bits for lease ids, as a deterministic generator: the caller seeds it, so that a simulation is the same again. Not for secrets.

use roundtable_shared::LeaseId;

/// SplitMix64: tiny, of full period, good enough to keep ids apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entropy {
    state: u64,
}

impl Entropy {
    /// A generator with that seed.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound` (0 if that is 0).
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next_u64().checked_rem(bound).unwrap_or(0)
    }

    /// Whether something of that chance (per thousand) happens.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    /// A fresh lease id.
    pub fn lease_id(&mut self) -> LeaseId {
        LeaseId(u128::from(self.next_u64()) << 64 | u128::from(self.next_u64()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_ids_and_others_differ() {
        let ids = |seed| {
            let mut entropy = Entropy::new(seed);
            (0..100).map(|_| entropy.lease_id()).collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(ids(7), ids(7));
        assert_eq!(ids(7).len(), 100);
        assert!(ids(7).is_disjoint(&ids(8)));
    }
}
