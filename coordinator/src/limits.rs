//! Bounds that whoever serves may set: what is taken from others at once and together, and how long a drained worker may end what it runs.

use std::time::Duration;

use roundtable_core::fleet::Waits;
use roundtable_runtime::git::ReceiveLimits;
use roundtable_shared::text;

/// The bounds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ServeLimits {
    /// Largest pack that is taken from a worker or a person, bytes.
    pub pack_bytes: u64,
    /// What is kept of packs on their way together, bytes.
    pub incoming_bytes: u64,
    /// How long what runs on a drained worker may go on.
    pub drain: Duration,
}

/// Smallest bound of a pack: less, and ordinary work is refused.
const PACK_BYTES_MIN: u64 = 1 << 20;
/// Bounds of the time to drain in.
const DRAIN_MIN: Duration = Duration::from_secs(1);
const DRAIN_MAX: Duration = Duration::from_secs(30 * 86_400);

impl Default for ServeLimits {
    fn default() -> Self {
        Self { pack_bytes: 4 << 30, incoming_bytes: 16 << 30, drain: Duration::from_millis(Waits::default().drain_ms) }
    }
}

impl ServeLimits {
    /// Whether they can be, and go together; else what to change.
    pub fn check(&self) -> Result<(), String> {
        let Self { pack_bytes, incoming_bytes, drain } = *self;
        if pack_bytes < PACK_BYTES_MIN {
            return Err(format!("--pack-bytes is {}; it must be at least {}", text::bytes(pack_bytes), text::bytes(PACK_BYTES_MIN)));
        }
        if incoming_bytes < pack_bytes {
            return Err(format!(
                "--incoming-bytes is {}, less than --pack-bytes ({}): a pack of that size could never come in; raise the one or lower the other",
                text::bytes(incoming_bytes),
                text::bytes(pack_bytes)
            ));
        }
        if !(DRAIN_MIN..=DRAIN_MAX).contains(&drain) {
            return Err("--drain-limit must be from 1s to 30d".to_owned());
        }
        Ok(())
    }

    /// What git is told of a pack that comes in.
    pub fn receive(&self) -> ReceiveLimits {
        ReceiveLimits { pack_bytes_max: self.pack_bytes, ..ReceiveLimits::default() }
    }

    /// What the core is told.
    pub fn waits(&self) -> Waits {
        Waits { drain_ms: u64::try_from(self.drain.as_millis()).unwrap_or(u64::MAX) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_that_contradict_each_other_are_refused_by_name() {
        let usual = ServeLimits::default();
        assert_eq!(usual.check(), Ok(()));
        let small = ServeLimits { pack_bytes: 4096, ..usual };
        let crossed = ServeLimits { incoming_bytes: 1 << 30, ..usual };
        let never = ServeLimits { drain: Duration::ZERO, ..usual };
        for (limits, words) in
            [(small, vec!["--pack-bytes", "1.0 MiB"]), (crossed, vec!["--incoming-bytes", "--pack-bytes"]), (never, vec!["--drain-limit"])]
        {
            let why = limits.check().expect_err("refused");
            assert!(words.iter().all(|word| why.contains(word)), "{why}");
        }
        assert_eq!(ServeLimits { drain: Duration::from_secs(90), ..usual }.waits().drain_ms, 90_000);
    }
}
