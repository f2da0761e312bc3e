//! Bounds of what a worker keeps on its disk and takes at once, as whoever starts it sets them.

use roundtable_runtime::git::ReceiveLimits;
use roundtable_shared::text;

/// The bounds. What the spool owes is under none of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quotas {
    /// Objects of all repositories together, bytes; those used longest ago go first, those that leases need stay.
    pub cache_bytes: u64,
    /// Worktrees that lie idle together, bytes.
    pub worktree_bytes: u64,
    /// Largest pack that is taken at once, bytes.
    pub pack_bytes: u64,
}

/// Smallest bound of a pack: less, and ordinary repositories cannot be fetched.
const PACK_BYTES_MIN: u64 = 1 << 20;

impl Default for Quotas {
    fn default() -> Self {
        Self { cache_bytes: 16 << 30, worktree_bytes: 8 << 30, pack_bytes: 4 << 30 }
    }
}

impl Quotas {
    /// Whether they can be, and go together; else what to change.
    pub fn check(&self) -> Result<(), String> {
        if self.pack_bytes < PACK_BYTES_MIN {
            return Err(format!("--pack-bytes is {}; it must be at least {}", text::bytes(self.pack_bytes), text::bytes(PACK_BYTES_MIN)));
        }
        if self.cache_bytes < self.pack_bytes {
            return Err(format!(
                "--cache-bytes is {}, less than --pack-bytes ({}): what is fetched would have no room; raise the one or lower the other",
                text::bytes(self.cache_bytes),
                text::bytes(self.pack_bytes)
            ));
        }
        Ok(())
    }

    /// What git is told of a pack that comes in.
    pub(super) fn receive(&self) -> ReceiveLimits {
        ReceiveLimits { pack_bytes_max: self.pack_bytes, ..ReceiveLimits::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_that_contradict_each_other_are_refused_by_name() {
        let usual = Quotas::default();
        assert_eq!(usual.check(), Ok(()));
        let crossed = Quotas { cache_bytes: 1 << 30, ..usual }.check().expect_err("refused");
        assert!(crossed.contains("--cache-bytes") && crossed.contains("4.0 GiB"), "{crossed}");
        assert!(Quotas { pack_bytes: 1000, ..usual }.check().is_err());
        assert_eq!(Quotas { worktree_bytes: 0, ..usual }.check(), Ok(()), "none may lie idle");
    }
}
