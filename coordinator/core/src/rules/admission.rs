//! Who may come in: tokens, names and room. Questions only; what is decided on them is `decide::access`.

use roundtable_shared::error::ErrorCode;
use roundtable_shared::{AccessRole, PeerName, TokenId};

use crate::change::Rejection;
use crate::command::{Now, Presented};
use crate::fleet::Fleet;
use crate::planted::{Bug, planted};
use crate::state::{Access, Admits, State, Token};

/// Peers that are known at once.
const PEERS_MAX: usize = 100_000;

/// Numbers that are tried behind a name that is taken.
const NUMBERS_MAX: u32 = 100_000;

/// What somebody who wants in is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Admission {
    /// They have been let in before with this key: the same again.
    Again {
        /// As whom.
        peer: PeerName,
        /// Their certificate.
        certificate: String,
    },
    /// They may.
    New {
        /// By which token.
        token: TokenId,
        /// As what.
        role: AccessRole,
        /// Under which name, where that was laid down.
        name: Option<String>,
    },
}

/// Whether what is shown lets somebody in.
pub fn admission(access: &Access, shown: &Presented, now: Now) -> Result<Admission, Rejection> {
    let Some(token) = find(access, shown) else { return Err(Rejection::not_authorised(unknown(shown))) };
    let ask_anew = format!("ask for a new one: `coordinator token create --role {}`", token.role);
    if token.revoked_at.is_some() {
        return Err(Rejection::not_authorised(format!("token {} was revoked; {ask_anew}", token.id)));
    }
    if let Some(used) = token.used.get(&shown.key) {
        let is_still_in = access.peers.get(&used.peer).is_some_and(|peer| peer.token.as_ref() == Some(&token.id));
        return if is_still_in {
            Ok(Admission::Again { peer: used.peer.clone(), certificate: used.certificate.clone() })
        } else {
            Err(Rejection::not_authorised(format!(
                "{} came in by token {} and was revoked, has left, or was away for too long, since; {ask_anew}",
                used.peer, token.id
            )))
        };
    }
    if token.left() == 0 && !planted(Bug::TokenAgain) {
        let by: Vec<String> = token.used.values().map(|used| used.peer.to_string()).take(5).collect();
        return Err(Rejection::not_authorised(format!(
            "token {} admits {} and has been used, by {}; this is another key; {ask_anew}",
            token.id,
            if token.uses == 1 { "one key".to_owned() } else { format!("{} keys", token.uses) },
            by.join(", ")
        )));
    }
    if let Some(at) = token.expires_at.filter(|at| *at <= now.wall) {
        return Err(Rejection::not_authorised(format!(
            "token {} expired at {}, and it is {} by the coordinator's clock; {ask_anew}",
            token.id,
            at.rfc3339(),
            now.wall.rfc3339()
        )));
    }
    Ok(Admission::New { token: token.id.clone(), role: token.role, name: token.name.clone() })
}

fn find<'a>(access: &'a Access, shown: &Presented) -> Option<&'a Token> {
    match &shown.token {
        Some((id, secret)) => access.tokens.get(id).filter(|token| matches!(&token.admits, Admits::Secret(digest) if digest == secret)),
        None => {
            let admits = access.tokens.values().filter(|token| matches!(&token.admits, Admits::Key(key) if *key == shown.key));
            admits.max_by_key(|token| (token.revoked_at.is_none(), token.created_at))
        }
    }
}

fn unknown(shown: &Presented) -> String {
    match &shown.token {
        // Whether the id or the secret is wrong is nobody's business.
        Some((id, _)) => format!(
            "token {id} is not known to this coordinator, or its secret is another: it may be damaged, or over for more than a day; ask for a new one: `coordinator token create`"
        ),
        None => {
            format!("no worker with the key {0} is admitted here; on the coordinator's host: `coordinator worker add --key {0}`", shown.key)
        }
    }
}

/// A name of that role which nobody bears: the wanted one, else (unless it must be that one) the first free number behind it.
pub fn free_name(state: &State, fleet: &Fleet, role: AccessRole, wanted: &str, is_exact: bool) -> Result<String, Rejection> {
    if !is_taken(state, fleet, role, wanted) {
        return Ok(wanted.to_owned());
    }
    if is_exact {
        return Err(Rejection::conflict(format!(
            "another {role} bears the name {wanted}; choose another with --name, or on the coordinator's host end that one: `coordinator revoke {wanted}`"
        )));
    }
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let stem = wanted.rsplit_once('-').filter(|(_, number)| is_number(number)).map_or(wanted, |(stem, _)| stem);
    let mut names = (1..=NUMBERS_MAX).map(|number| format!("{stem}-{number}"));
    names
        .find(|name| !is_taken(state, fleet, role, name))
        .ok_or_else(|| Rejection::conflict(format!("all names {stem}-1 to {stem}-{NUMBERS_MAX} are taken; choose another with --name")))
}

/// Whether somebody in that role has the name, or is known to the fleet by it.
pub(crate) fn is_taken(state: &State, fleet: &Fleet, role: AccessRole, id: &str) -> bool {
    let is_seen = role == AccessRole::Worker && fleet.workers.contains_key(id);
    is_seen || state.access.peers.contains_key(&PeerName { role, id: id.to_owned() })
}

/// Refuses where as many identities are known as may be.
pub(crate) fn has_room(access: &Access) -> Result<(), Rejection> {
    if access.peers.len() < PEERS_MAX {
        return Ok(());
    }
    let text = format!("{PEERS_MAX} peers are known already; revoke those that are gone");
    Err(Rejection { code: ErrorCode::Exhausted, text })
}
