//! The published list of peers whose certificates are refused: looked at with each handshake and each call, without going through the driver. Written by
//! the driver alone, after the append.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use roundtable_core::state::{self, Access};
use roundtable_runtime::identity::{PeerIdentity, PeerRole};
use roundtable_shared::time::WallMs;
use roundtable_shared::{AccessRole, PeerName};
use tokio::sync::watch;

/// The list.
#[derive(Clone, Debug)]
pub struct Barred {
    entries: Arc<RwLock<BTreeMap<PeerName, Entry>>>,
    changed: Arc<watch::Sender<()>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Entry {
    until: WallMs,
    how: How,
}

/// How a peer came to be refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    /// Somebody revoked it.
    Revoked,
    /// Its identity was lent to it for as long as it was here.
    Ended,
}

impl Default for Barred {
    fn default() -> Self {
        Self { entries: Arc::default(), changed: Arc::new(watch::channel(()).0) }
    }
}

impl Barred {
    /// What is durable now.
    pub(crate) fn publish(&self, access: &Access) {
        let entry =
            |barred: &state::Barred| Entry { until: barred.until, how: if barred.by.is_empty() { How::Ended } else { How::Revoked } };
        let entries = access.barred.iter().map(|(peer, barred)| (peer.clone(), entry(barred))).collect();
        *self.entries.write().unwrap_or_else(PoisonError::into_inner) = entries;
        self.changed.send_replace(());
    }

    /// Changes when somebody is added.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Certificates of that name that begin in a second before this one are refused.
    pub fn until(&self, peer: &PeerName) -> Option<WallMs> {
        self.entry(peer).map(|entry| entry.until)
    }

    /// Whether this certificate is refused, and how that came.
    pub fn refuses(&self, identity: &PeerIdentity) -> Option<How> {
        let entry = self.entry(&name_of(identity)?)?;
        let until_s = i64::try_from(entry.until.0 / 1000).unwrap_or(i64::MAX);
        (identity.not_before_s < until_s).then_some(entry.how)
    }

    fn entry(&self, peer: &PeerName) -> Option<Entry> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner).get(peer).copied()
    }
}

/// The name a peer is known by; `None` for another coordinator.
pub fn name_of(identity: &PeerIdentity) -> Option<PeerName> {
    let role = match identity.role {
        PeerRole::Coordinator => return None,
        PeerRole::Worker => AccessRole::Worker,
        PeerRole::Operator => AccessRole::Operator,
        PeerRole::Viewer => AccessRole::Viewer,
        PeerRole::Admin => AccessRole::Admin,
    };
    Some(PeerName { role, id: identity.id.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_began_before_is_refused_and_what_began_after_is_not() {
        let (barred, mut access) = (Barred::default(), Access::default());
        let mut changes = barred.changes();
        let identity = |role, not_before_s| PeerIdentity {
            cluster: "c".into(),
            role,
            id: "w".into(),
            serial: "1".into(),
            not_before_s,
            not_after_s: i64::MAX,
        };
        assert_eq!(barred.refuses(&identity(PeerRole::Worker, 9)), None);
        let entry = |by: &str| state::Barred { until: WallMs(10_900), by: by.to_owned(), reason: String::new() };
        access.barred.insert(PeerName::worker("w"), entry(""));
        barred.publish(&access);
        assert!(changes.has_changed().is_ok_and(|changed| changed));
        changes.mark_unchanged();
        let of = |role, not_before_s| barred.refuses(&identity(role, not_before_s));
        assert_eq!((of(PeerRole::Worker, 9), of(PeerRole::Worker, 10)), (Some(How::Ended), None));
        assert_eq!(of(PeerRole::Operator, 9), None, "another role");
        access.barred.insert(PeerName::worker("w"), entry("ada"));
        barred.publish(&access);
        assert_eq!(of(PeerRole::Worker, 9), Some(How::Revoked));
    }
}
