//! What this worker offers, and why it cannot be used now: a full disk, or a login, model or configuration that was refused until a probe succeeds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use roundtable_shared::{BackendName, BackendOffer, FailureKind, LeaseRef};
use tokio::sync::watch;
use tokio::time::Instant;

/// Longest reason that is told.
const REASON_CHARS_MAX: usize = 300;

/// The offers.
pub(super) struct Offers {
    all: Vec<BackendOffer>,
    probe_after: Duration,
    state: Mutex<State>,
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    refused: BTreeMap<BackendName, Refused>,
    /// Attempts that were ended by a full disk and are not delivered yet: until then nothing is taken.
    starved: BTreeSet<LeaseRef>,
}

/// A backend that cannot be used here: its credentials are refused, or what is configured for it.
struct Refused {
    reason: String,
    probe_at: Instant,
}

impl Offers {
    /// All usable; refused logins are probed again after so long.
    pub(super) fn new(all: Vec<BackendOffer>, probe_after: Duration) -> Self {
        Self { all, probe_after, state: Mutex::default(), changes: watch::channel(0).0 }
    }

    /// The offers as they are now; `full`: what the disk wants.
    pub(super) fn list(&self, full: Option<&str>) -> Vec<BackendOffer> {
        let state = self.state();
        let why = |offer: &BackendOffer| match (full, state.refused.get(&offer.name)) {
            (Some(full), _) => full.to_owned(),
            (None, Some(refused)) => refused.reason.clone(),
            (None, None) => String::new(),
        };
        self.all.iter().map(|offer| BackendOffer { unavailable: why(offer), ..offer.clone() }).collect()
    }

    /// Changes whenever the list may have.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Something outside changed the list.
    pub(super) fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// A backend's credentials were refused here, or its model, arguments or configuration.
    pub(super) fn refuse(&self, backend: &BackendName, kind: &FailureKind, message: &str) {
        let why: String = message.chars().take(REASON_CHARS_MAX).collect();
        let reason = match kind {
            FailureKind::Misconfigured => {
                format!(
                    "it cannot be used here: {why}; correct its model, arguments or configuration on this worker, which tries again by itself"
                )
            }
            _ => format!("its login was refused: {why}; log in on this worker, which tries again by itself"),
        };
        self.state().refused.insert(backend.clone(), Refused { reason, probe_at: Instant::now() + self.probe_after });
        self.changed();
    }

    /// It works.
    pub(super) fn accept(&self, backend: &BackendName) {
        if self.state().refused.remove(backend).is_some() {
            self.changed();
        }
    }

    /// A probe failed: the next one is due after the same time.
    pub(super) fn postpone(&self, backend: &BackendName) {
        if let Some(refused) = self.state().refused.get_mut(backend) {
            refused.probe_at = Instant::now() + self.probe_after;
        }
    }

    /// The refused backend that is to be probed first, and when.
    pub(super) fn next_probe(&self) -> Option<(BackendName, Instant)> {
        let state = self.state();
        let next = state.refused.iter().min_by_key(|(_, refused)| refused.probe_at)?;
        Some((next.0.clone(), next.1.probe_at))
    }

    /// An attempt was ended by a full disk.
    pub(super) fn starve(&self, lease: &LeaseRef) {
        self.state().starved.insert(lease.clone());
    }

    /// An attempt was delivered.
    pub(super) fn delivered(&self, lease: &LeaseRef) {
        let mut state = self.state();
        let last = state.starved.remove(lease) && state.starved.is_empty();
        drop(state);
        if last {
            self.changed();
        }
    }

    /// Whether a full disk ended that attempt.
    pub(super) fn has_starved(&self, lease: &LeaseRef) -> bool {
        self.state().starved.contains(lease)
    }

    /// Whether attempts that a full disk ended wait for their delivery.
    pub(super) fn is_starved(&self) -> bool {
        !self.state().starved.is_empty()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn offer(name: &str) -> BackendOffer {
        BackendOffer {
            name: name.into(),
            pool: name.to_owned(),
            slots: 1,
            version: String::new(),
            account: String::new(),
            serves_all: false,
            unavailable: String::new(),
        }
    }

    #[test]
    fn a_refused_login_is_out_until_it_is_accepted_and_probed_in_a_rhythm() {
        let offers = Offers::new(vec![offer("codex"), offer("gemini")], Duration::from_secs(900));
        let usable = |full| offers.list(full).into_iter().filter(|offer| offer.unavailable.is_empty()).count();
        let mut changes = offers.changes();
        offers.refuse(&"codex".into(), &FailureKind::Auth, &"x".repeat(1000));
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        assert_eq!((usable(None), usable(Some("full"))), (1, 0));
        assert!(offers.list(None)[0].unavailable.len() < 500);
        let (name, first) = offers.next_probe().unwrap();
        assert!(name.as_str() == "codex" && first - Instant::now() > Duration::from_secs(890));
        offers.postpone(&"codex".into());
        assert!(offers.next_probe().unwrap().1 > first);
        assert!(!changes.has_changed().unwrap());
        offers.accept(&"codex".into());
        assert!(changes.has_changed().unwrap() && usable(None) == 2 && offers.next_probe().is_none());
        offers.refuse(&"codex".into(), &FailureKind::Misconfigured, "The model does not exist");
        assert!(offers.list(None)[0].unavailable.starts_with("it cannot be used here: The model does not exist; correct"));
    }
}
