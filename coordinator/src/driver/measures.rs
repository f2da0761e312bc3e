//! What the driver measures of itself while it goes along: how long grants and appends take, what attempts failed for, what models read and wrote. Figures
//! since this process began, in memory; nothing is decided by them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use roundtable_core::effect::Effect;
use roundtable_shared::{BackendName, OutcomeClass, Usage};
use tokio::sync::mpsc;

/// Backends told apart; a fleet that offers more has the rest counted under [`OTHERS`].
const BACKENDS_MAX: usize = 64;
/// Where the rest is counted.
const OTHERS: &str = "others";

/// Counts of durations, by upper bounds.
#[derive(Debug, Default)]
pub struct Histogram {
    /// One more than there are bounds: what is above all of them.
    counts: [AtomicU64; Histogram::BOUNDS.len() + 1],
    nanoseconds: AtomicU64,
}

impl Histogram {
    /// Upper bounds, in seconds.
    pub const BOUNDS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

    /// Counts one.
    pub fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let at = Self::BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(Self::BOUNDS.len());
        self.counts[at].fetch_add(1, Ordering::Relaxed);
        self.nanoseconds.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How many took at most each bound, those of smaller ones included; the last is all of them.
    pub fn cumulative(&self) -> [u64; Self::BOUNDS.len() + 1] {
        let mut total = 0;
        self.counts.each_ref().map(|count| {
            total += count.load(Ordering::Relaxed);
            total
        })
    }

    /// Their sum.
    pub fn seconds(&self) -> f64 {
        Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed)).as_secs_f64()
    }
}

/// Tokens of one backend.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tokens {
    /// Read, cached ones left out.
    pub input: u64,
    /// Read from a cache.
    pub cached: u64,
    /// Written.
    pub output: u64,
}

/// The figures. Shared with whoever shows them.
#[derive(Debug)]
pub struct Measures {
    /// From the command that made a grant possible until its worker has taken the lease.
    pub dispatch: Histogram,
    /// One append, from its begin until it is durable; refusals that were tried again are part of it.
    pub append: Histogram,
    failures: [AtomicU64; CLASSES.len()],
    tokens: Mutex<BTreeMap<String, Tokens>>,
    effects: mpsc::WeakSender<Effect>,
}

/// Classes in the order their counts are kept in.
const CLASSES: [OutcomeClass; 4] = [OutcomeClass::Unit, OutcomeClass::Infra, OutcomeClass::Provider, OutcomeClass::Internal];

impl Measures {
    /// Nothing measured yet. The channel is that of the effects, which it does not keep open.
    pub(super) fn new(effects: &mpsc::Sender<Effect>) -> Self {
        Self {
            dispatch: Histogram::default(),
            append: Histogram::default(),
            failures: Default::default(),
            tokens: Mutex::default(),
            effects: effects.downgrade(),
        }
    }

    /// An attempt ended for a reason of that class.
    pub(super) fn failed(&self, class: OutcomeClass) {
        if let Some(at) = CLASSES.iter().position(|known| *known == class) {
            self.failures[at].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What an attempt used.
    pub(super) fn used(&self, backend: &BackendName, usage: &Usage) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = tokens.contains_key(backend.as_str()) || tokens.len() < BACKENDS_MAX;
        let entry = tokens.entry(if is_known { backend.to_string() } else { OTHERS.to_owned() }).or_default();
        entry.input = entry.input.saturating_add(usage.input_tokens.saturating_sub(usage.cached_input_tokens));
        entry.cached = entry.cached.saturating_add(usage.cached_input_tokens);
        entry.output = entry.output.saturating_add(usage.output_tokens);
    }

    /// Attempts that ended without their work, by class.
    pub fn failures(&self) -> impl Iterator<Item = (OutcomeClass, u64)> {
        CLASSES.iter().zip(&self.failures).map(|(class, count)| (*class, count.load(Ordering::Relaxed)))
    }

    /// Tokens by backend.
    pub fn tokens(&self) -> BTreeMap<String, Tokens> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Effects that wait to be carried out.
    pub fn effects_waiting(&self) -> usize {
        self.effects.upgrade().map_or(0, |effects| effects.max_capacity() - effects.capacity())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_counted_by_bounds_and_summed() {
        let histogram = Histogram::default();
        for ms in [0, 1, 40, 70_000] {
            histogram.observe(Duration::from_millis(ms));
        }
        let counts = histogram.cumulative();
        assert_eq!((counts[0], counts[1], counts[5], counts[6], counts[13], counts[14]), (1, 2, 2, 3, 3, 4));
        assert!((histogram.seconds() - 70.041).abs() < 1e-9);
    }

    #[tokio::test]
    async fn tokens_are_counted_by_backend_and_backends_have_a_bound() {
        let (sender, mut receiver) = mpsc::channel(4);
        let measures = Measures::new(&sender);
        let usage = Usage { input_tokens: 10, cached_input_tokens: 4, output_tokens: 3, cost_usd: None };
        for n in 0..BACKENDS_MAX + 5 {
            measures.used(&format!("b{n}").into(), &usage);
        }
        measures.used(&"b0".into(), &usage);
        let tokens = measures.tokens();
        assert_eq!(tokens["b0"], Tokens { input: 12, cached: 8, output: 6 });
        assert_eq!((tokens.len(), tokens[OTHERS].output), (BACKENDS_MAX + 1, 15));
        measures.failed(OutcomeClass::Provider);
        assert_eq!(measures.failures().filter(|(_, count)| *count > 0).collect::<Vec<_>>(), [(OutcomeClass::Provider, 1)]);
        // It does not keep the channel open.
        drop(sender);
        assert!(receiver.recv().await.is_none());
        assert_eq!(measures.effects_waiting(), 0);
    }
}
