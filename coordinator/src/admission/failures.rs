//! Joins that failed of late, by where they came from: whoever guesses is made to wait. A secret has 256 bits, so this is for the log and the disk, not for
//! the secret. Of IPv6 a network of 64 bits counts as one: a single host may have all of it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use roundtable_runtime::addresses::source_of;

/// Failures within the window before a source has to wait for its end.
const FAILURES_MAX: u32 = 10;
/// The window.
const WINDOW_MS: u64 = 60_000;
/// Sources that are remembered. Beyond it the oldest goes.
const SOURCES_MAX: usize = 4096;

/// What is remembered.
#[derive(Debug, Default)]
pub(super) struct Failures {
    by_source: Mutex<HashMap<IpAddr, Window>>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    began_ms: u64,
    count: u32,
}

impl Failures {
    /// How long this address has to wait, if it has to.
    pub(super) fn wait_ms(&self, address: IpAddr, now_ms: u64) -> Option<u64> {
        let known = self.by_source.lock().unwrap_or_else(PoisonError::into_inner);
        let window = known.get(&source_of(address)).filter(|window| window.count >= FAILURES_MAX)?;
        Some((window.began_ms + WINDOW_MS).saturating_sub(now_ms)).filter(|wait_ms| *wait_ms > 0)
    }

    /// One more.
    pub(super) fn count(&self, address: IpAddr, now_ms: u64) {
        let source = source_of(address);
        let mut known = self.by_source.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= SOURCES_MAX && !known.contains_key(&source) {
            known.retain(|_, window| now_ms.saturating_sub(window.began_ms) < WINDOW_MS);
            let oldest = known.iter().min_by_key(|(_, window)| window.began_ms).map(|(source, _)| *source);
            if let Some(oldest) = oldest.filter(|_| known.len() >= SOURCES_MAX) {
                known.remove(&oldest);
            }
        }
        let window = known.entry(source).or_insert(Window { began_ms: now_ms, count: 0 });
        if now_ms.saturating_sub(window.began_ms) >= WINDOW_MS {
            *window = Window { began_ms: now_ms, count: 0 };
        }
        window.count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_fails_too_often_waits_and_nobody_else() {
        let failures = Failures::default();
        let (one, other): (IpAddr, IpAddr) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        for nth in 0..10 {
            assert_eq!(failures.wait_ms(one, 1_000), None, "{nth}");
            failures.count(one, 1_000);
        }
        assert_eq!((failures.wait_ms(one, 11_000), failures.wait_ms(other, 11_000)), (Some(50_000), None));
        assert_eq!(failures.wait_ms(one, 61_000), None);
        failures.count(one, 61_000);
        assert_eq!(failures.wait_ms(one, 61_000), None, "a new window");
    }

    #[test]
    fn a_host_that_takes_another_address_for_each_try_waits_too() {
        let failures = Failures::default();
        let of = |network: u16, host: u16| -> IpAddr { std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, network, host, host, host, host).into() };
        for host in 0..10 {
            failures.count(of(1, host), 1_000);
        }
        assert_eq!((failures.wait_ms(of(1, 99), 1_000), failures.wait_ms(of(2, 0), 1_000)), (Some(60_000), None));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let failures = Failures::default();
        for n in 0..10_000_u32 {
            failures.count(std::net::Ipv4Addr::from(n).into(), u64::from(n));
        }
        assert_eq!(failures.by_source.lock().map(|known| known.len()).unwrap_or_default(), SOURCES_MAX);
    }
}
