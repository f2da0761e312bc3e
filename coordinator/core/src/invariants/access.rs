//! Who came in: no token admitted more keys than it may, and whoever is in came by a token of the same role that says so, or is a worker of the own user.

use std::collections::BTreeSet;

use roundtable_shared::{AccessRole, PeerName, TokenId};

use super::Found;
use crate::state::Access;

pub(super) fn of(found: &mut Found<'_>, access: &Access) {
    let mut came: BTreeSet<(&TokenId, &PeerName)> = BTreeSet::new();
    for token in access.tokens.values() {
        let count = token.used.len();
        found.unless(count <= usize::try_from(token.uses).unwrap_or(usize::MAX), "I9", || {
            format!("token {} admits {} and let {count} in", token.id, token.uses)
        });
        for used in token.used.values() {
            found.unless(used.peer.role == token.role, "I9", || {
                format!("token {} for the role {} let {} in", token.id, token.role, used.peer)
            });
            came.insert((&token.id, &used.peer));
        }
    }
    for (name, peer) in &access.peers {
        let Some(token) = &peer.token else {
            found.unless(name.role == AccessRole::Worker, "I9", || format!("{name} is in by no token, and is no worker"));
            continue;
        };
        // A token is forgotten a while after its end.
        let is_known = access.tokens.contains_key(token);
        found.unless(!is_known || came.contains(&(token, name)), "I9", || format!("{name} is in, and token {token} does not say so"));
    }
}
