//! Who may come in: tokens are made and spent, peers revoked.
//!
//! Joining is asked twice: first by the shell, to know for whom the certificate is to be made, then here with that certificate, where it counts.

use roundtable_shared::error::ErrorCode;
use roundtable_shared::{AccessRole, LABELS_MAX, PeerName, TokenId, WorkerId, check_label};

use crate::change::{Rejection, Reply};
use crate::command::{AccessCommand, Joining, NewToken};
use crate::moves::peer;
use crate::planted::{Bug, planted};
use crate::rules::admission;
use crate::rules::admission::Admission;
use crate::state::RENEWAL_NOTED_MS;
use crate::transition::{Fact, PeerJoined, TokenCreated};
use crate::txn::Txn;

/// Longest life of a token.
pub const TOKEN_TTL_MS_MAX: u64 = 24 * 3_600_000;

/// Most peers one token admits.
pub const TOKEN_USES_MAX: u32 = 10_000;

/// Tokens that are remembered at once.
const TOKENS_MAX: usize = 10_000;

/// Decides one of these acts.
pub(crate) fn access(d: &mut Txn<'_>, command: AccessCommand) -> Result<(), Rejection> {
    match command {
        AccessCommand::Create(token) => create(d, *token),
        AccessCommand::RevokeToken { id, by } => revoke_token(d, id, by),
        AccessCommand::Join(joining) => join(d, *joining),
        AccessCommand::Enrol { worker } => enrol(d, &worker),
        AccessCommand::Renewed { peer } => {
            renewed(d, peer);
            Ok(())
        }
        AccessCommand::RevokePeer { role, id, by } => revoke_peer(d, role, &id, by),
    }
}

fn create(d: &mut Txn<'_>, token: NewToken) -> Result<(), Rejection> {
    if !(1..=TOKEN_USES_MAX).contains(&token.uses) {
        return Err(Rejection::invalid(format!("--uses {}: a token is for 1 to {TOKEN_USES_MAX} uses", token.uses)));
    }
    if let Some(at) = token.expires_at
        && !(1..=TOKEN_TTL_MS_MAX).contains(&at.since(d.now.wall))
    {
        return Err(Rejection::invalid("--ttl: a token lasts from a moment to 24h; write e.g. 1h"));
    }
    if token.role != AccessRole::Worker && (token.ephemeral || !token.labels.is_empty()) {
        return Err(Rejection::invalid(format!("--ephemeral and --label are for workers, not for the role {}", token.role)));
    }
    if token.labels.len() > LABELS_MAX {
        return Err(Rejection::invalid(format!("--label: at most {LABELS_MAX} labels, not {}", token.labels.len())));
    }
    // As workers say them of themselves: what no unit can ask for is no label.
    token
        .labels
        .iter()
        .try_for_each(|(key, value)| check_label(key, value))
        .map_err(|why| Rejection::invalid(format!("--label: {why}")))?;
    let access = &d.state().access;
    if access.tokens.len() >= TOKENS_MAX {
        let text = format!("{TOKENS_MAX} tokens are remembered already; one is forgotten a day after its end");
        return Err(Rejection { code: ErrorCode::Exhausted, text });
    }
    if access.tokens.contains_key(&token.id) {
        return Err(Rejection::conflict(format!("there is a token {} already; try again", token.id)));
    }
    if let Some(other) = access.tokens.values().find(|other| other.admits == token.admits && other.revoked_at.is_none()) {
        return Err(Rejection::conflict(format!(
            "that key is admitted already, as {}; `coordinator token revoke {0}` undoes it",
            other.id
        )));
    }
    let NewToken { id, role, admits, name, uses, labels, ephemeral, expires_at, by } = token;
    if let Some(name) = &name {
        admission::free_name(d.state(), d.fleet, role, name, true)?;
    }
    let text = format!("token {id} was made");
    d.emit_fleet(Fact::TokenCreated(Box::new(TokenCreated { id, role, admits, name, uses, labels, ephemeral, expires_at, by })));
    d.done(text);
    Ok(())
}

fn revoke_token(d: &mut Txn<'_>, id: TokenId, by: String) -> Result<(), Rejection> {
    let Some(token) = d.state().access.tokens.get(&id) else {
        return Err(Rejection::not_found(format!("there is no token {id}; `coordinator token list` shows them")));
    };
    let came_in = token.used.len();
    if token.revoked_at.is_some() {
        d.unchanged(format!("token {id} was revoked before"));
        return Ok(());
    }
    d.emit_fleet(Fact::TokenRevoked { id: id.clone(), by });
    d.done(match came_in {
        0 => format!("token {id} is revoked; nobody came in by it"),
        count => format!("token {id} is revoked; the {count} that came in by it stay: `coordinator revoke ID` ends each"),
    });
    Ok(())
}

fn join(d: &mut Txn<'_>, joining: Joining) -> Result<(), Rejection> {
    let Joining { presented, peer, certificate } = joining;
    match admission::admission(&d.state().access, &presented, d.now)? {
        Admission::Again { peer, certificate } => d.reply(Reply::Joined { peer, certificate }),
        Admission::New { token, role, .. } => {
            if role != peer.role && !planted(Bug::TokenRoleIgnored) {
                return Err(Rejection::invalid(format!("token {token} is for the role {role}, not for {}", peer.role)));
            }
            admission::free_name(d.state(), d.fleet, role, &peer.id, true)?;
            admission::has_room(&d.state().access)?;
            let (key, is_followed) = (presented.key, true);
            let joined = PeerJoined { token, key, peer: peer.clone(), certificate: certificate.clone(), is_followed };
            d.emit_fleet(Fact::PeerJoined(Box::new(joined)));
            d.reply(Reply::Joined { peer, certificate });
        }
    }
    Ok(())
}

/// A worker of the coordinator's own user keeps its name while it is away: nobody who comes in by a token is to bear the same one, with a certificate of its own.
fn enrol(d: &mut Txn<'_>, worker: &WorkerId) -> Result<(), Rejection> {
    let peer = PeerName::worker(worker.as_str());
    let is_own = d.state().access.peers.get(&peer).map(|known| known.token.is_none());
    match is_own {
        Some(true) => {
            renewed(d, peer);
            Ok(())
        }
        Some(false) => {
            let text = format!("a worker that came in by a token bears the name {worker}; choose another with --name");
            Err(Rejection::conflict(text))
        }
        None => {
            admission::has_room(&d.state().access)?;
            d.emit_fleet(Fact::PeerEnrolled { peer });
            Ok(())
        }
    }
}

/// Notes that a peer is still there, now and then: who is not any more is forgotten one day.
fn renewed(d: &mut Txn<'_>, peer: PeerName) {
    let now = d.now.wall;
    if d.state().access.peers.get(&peer).is_some_and(|known| !known.is_followed || now.since(known.renewed_at) >= RENEWAL_NOTED_MS) {
        d.emit_fleet(Fact::PeerRenewed { peer });
    }
}

fn revoke_peer(d: &mut Txn<'_>, role: Option<AccessRole>, id: &str, by: String) -> Result<(), Rejection> {
    let peers =
        AccessRole::ALL.into_iter().filter(|each| role.is_none_or(|role| role == *each)).map(|role| PeerName { role, id: id.to_owned() });
    let peers: Vec<PeerName> = peers.collect();
    let known: Vec<&PeerName> = peers.iter().filter(|peer| admission::is_taken(d.state(), d.fleet, peer.role, id)).collect();
    match known[..] {
        [peer] => {
            peer::end(d, peer, by, "it was revoked".to_owned());
            d.done(format!("{peer} is revoked: its connections are cut, and its certificates are refused"));
            Ok(())
        }
        [one, other, ..] => {
            let (one, other) = (one.role, other.role);
            Err(Rejection::invalid(format!("{id} is the name of a {one} and of a {other}; write {one}/{id} or {other}/{id}")))
        }
        [] if peers.iter().any(|peer| d.state().access.barred.contains_key(peer)) => {
            d.unchanged(format!("{id} was revoked, or has left, before"));
            Ok(())
        }
        // A worker of the coordinator's own user that came in to an earlier release is not known while it is away.
        [] => match (role, &peers[..]) {
            (Some(_), [peer]) => {
                peer::end(d, peer, by, "it was revoked".to_owned());
                d.done(format!("{peer} is not known here; any certificates of that name are refused from now on"));
                Ok(())
            }
            _ => Err(Rejection::not_found(format!(
                "nobody here is called {id}; `orchctl workers` lists workers, `coordinator token list` who came in by which token; \
                 `coordinator revoke worker/{id}` also refuses one that has not been here since the coordinator started"
            ))),
        },
    }
}
