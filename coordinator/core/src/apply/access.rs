//! Folds facts about who may come in.

use roundtable_shared::time::WallMs;

use super::groups::{facts, others};
use crate::state::{Access, BARRED_KEPT_MS, Barred, PEER_KEPT_MS, Peer, TOKEN_KEPT_MS, Token, Use};
use crate::transition::Fact;

/// Folds a fact of this kind.
pub(super) fn apply(access: &mut Access, at: WallMs, fact: &Fact) {
    match fact {
        Fact::TokenCreated(made) => {
            let token = Token {
                id: made.id.clone(),
                role: made.role,
                admits: made.admits.clone(),
                name: made.name.clone(),
                uses: made.uses,
                labels: made.labels.clone(),
                ephemeral: made.ephemeral,
                created_at: at,
                created_by: made.by.clone(),
                expires_at: made.expires_at,
                revoked_at: None,
                used: Default::default(),
            };
            access.tokens.insert(token.id.clone(), token);
        }
        Fact::TokenRevoked { id, .. } => {
            if let Some(token) = access.tokens.get_mut(id) {
                token.revoked_at = Some(at);
            }
        }
        Fact::PeerJoined(joined) => {
            let Some(token) = access.tokens.get_mut(&joined.token) else { return };
            let used = Use { peer: joined.peer.clone(), certificate: joined.certificate.clone() };
            token.used.insert(joined.key.clone(), used);
            let peer = Peer {
                token: Some(token.id.clone()),
                labels: token.labels.clone(),
                ephemeral: token.ephemeral,
                since: at,
                renewed_at: at,
                is_followed: joined.is_followed,
            };
            access.peers.insert(joined.peer.clone(), peer);
        }
        Fact::PeerEnrolled { peer } => {
            let labels = Default::default();
            let own = Peer { token: None, labels, ephemeral: false, since: at, renewed_at: at, is_followed: true };
            access.peers.insert(peer.clone(), own);
        }
        Fact::PeerRenewed { peer } => {
            if let Some(known) = access.peers.get_mut(peer) {
                (known.renewed_at, known.is_followed) = (at, true);
            }
        }
        Fact::PeerRevoked { peer, by, reason } => {
            access.peers.remove(peer);
            // Later than the one before in any case: certificates count seconds, and what came in between must be refused too.
            let until = access.barred_until(peer).map_or(at, |before| at.max(WallMs(before.0 + 1_000)));
            access.barred.insert(peer.clone(), Barred { until, by: by.clone(), reason: reason.clone() });
        }
        others!(access) => {}
    }
    forget(access, at);
}

/// The store is an older one now: it does not know who has renewed since.
pub(super) fn restored(access: &mut Access, at: WallMs) {
    access.peers.values_mut().for_each(|peer| peer.renewed_at = at);
}

/// What can decide nothing any more goes, so that a fleet that comes and goes does not grow the state for ever.
fn forget(access: &mut Access, now: WallMs) {
    access.barred.retain(|_, barred| now.since(barred.until) <= BARRED_KEPT_MS);
    access.peers.retain(|_, peer| !peer.is_followed || now.since(peer.renewed_at) <= PEER_KEPT_MS);
    access.tokens.retain(|_, token| token.ends_at().is_none_or(|end| now.since(end) <= TOKEN_KEPT_MS));
}
