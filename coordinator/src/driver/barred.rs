//! The published list of peers whose certificates are refused: looked at with each handshake and each call, without going through the driver. Written by
//! the driver alone, after the append.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use roundtable_core::state::Access;
use roundtable_runtime::identity::{PeerIdentity, PeerRole};
use roundtable_shared::time::WallMs;
use roundtable_shared::{AccessRole, PeerName};
use tokio::sync::watch;

/// The list.
#[derive(Clone, Debug)]
pub struct Barred {
    until: Arc<RwLock<BTreeMap<PeerName, WallMs>>>,
    changed: Arc<watch::Sender<()>>,
}

impl Default for Barred {
    fn default() -> Self {
        Self { until: Arc::default(), changed: Arc::new(watch::channel(()).0) }
    }
}

impl Barred {
    /// What is durable now.
    pub(crate) fn publish(&self, access: &Access) {
        let until = access.barred.iter().map(|(peer, barred)| (peer.clone(), barred.until)).collect();
        *self.until.write().unwrap_or_else(PoisonError::into_inner) = until;
        self.changed.send_replace(());
    }

    /// Changes when somebody is added.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Certificates of that name that begin at this time or before it are refused.
    pub fn until(&self, peer: &PeerName) -> Option<WallMs> {
        self.until.read().unwrap_or_else(PoisonError::into_inner).get(peer).copied()
    }

    /// Whether this certificate is refused.
    pub fn refuses(&self, identity: &PeerIdentity) -> bool {
        let Some(peer) = name_of(identity) else { return false };
        self.until(&peer).is_some_and(|until| identity.not_before_s <= i64::try_from(until.0 / 1000).unwrap_or(i64::MAX))
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
    use roundtable_core::state::Barred as Entry;

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
        assert!(!barred.refuses(&identity(PeerRole::Worker, 10)));
        access.barred.insert(PeerName::worker("w"), Entry { until: WallMs(10_900), by: String::new(), reason: String::new() });
        barred.publish(&access);
        assert!(changes.has_changed().is_ok_and(|changed| changed));
        changes.mark_unchanged();
        assert!(barred.refuses(&identity(PeerRole::Worker, 10)) && !barred.refuses(&identity(PeerRole::Worker, 11)));
        assert!(!barred.refuses(&identity(PeerRole::Operator, 10)), "another role");
    }
}
