//! Who may come in: tokens are made and spent, peers revoked, identities ended with the worker they were lent to.
//!
//! Joining is asked twice: first by the shell, to know for whom the certificate is to be made, then here with that certificate, where it counts.

use roundtable_shared::error::ErrorCode;
use roundtable_shared::{AccessRole, AttemptKey, LABELS_MAX, PeerName, TokenId, WorkerId, check_label};

use super::{Deciding, attempt};
use crate::change::{Rejection, Reply};
use crate::command::{AccessCommand, Joining, NewToken, Now, Presented};
use crate::effect::Effect;
use crate::fleet::{Fleet, GRACE_MS, LOST_MS};
use crate::planted::{Bug, planted};
use crate::state::{Access, Admits, LostCause, RENEWAL_NOTED_MS, State, Token};
use crate::transition::{Fact, PeerJoined, TokenCreated};

/// Longest life of a token.
pub const TOKEN_TTL_MS_MAX: u64 = 24 * 3_600_000;
/// Most peers one token admits.
pub const TOKEN_USES_MAX: u32 = 10_000;
/// Tokens that are remembered at once.
const TOKENS_MAX: usize = 10_000;
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

fn is_taken(state: &State, fleet: &Fleet, role: AccessRole, id: &str) -> bool {
    let is_seen = role == AccessRole::Worker && fleet.workers.contains_key(id);
    is_seen || state.access.peers.contains_key(&PeerName { role, id: id.to_owned() })
}

/// Decides one of these acts.
pub(super) fn access(d: &mut Deciding<'_>, command: AccessCommand) -> Result<(), Rejection> {
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

fn create(d: &mut Deciding<'_>, token: NewToken) -> Result<(), Rejection> {
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
        free_name(d.state(), d.fleet, role, name, true)?;
    }
    let text = format!("token {id} was made");
    d.emit_fleet(Fact::TokenCreated(Box::new(TokenCreated { id, role, admits, name, uses, labels, ephemeral, expires_at, by })));
    d.done(text);
    Ok(())
}

fn revoke_token(d: &mut Deciding<'_>, id: TokenId, by: String) -> Result<(), Rejection> {
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

fn join(d: &mut Deciding<'_>, joining: Joining) -> Result<(), Rejection> {
    let Joining { presented, peer, certificate } = joining;
    match admission(&d.state().access, &presented, d.now)? {
        Admission::Again { peer, certificate } => d.reply(Reply::Joined { peer, certificate }),
        Admission::New { token, role, .. } => {
            if role != peer.role && !planted(Bug::TokenRoleIgnored) {
                return Err(Rejection::invalid(format!("token {token} is for the role {role}, not for {}", peer.role)));
            }
            free_name(d.state(), d.fleet, role, &peer.id, true)?;
            has_room(&d.state().access)?;
            let (key, is_followed) = (presented.key, true);
            let joined = PeerJoined { token, key, peer: peer.clone(), certificate: certificate.clone(), is_followed };
            d.emit_fleet(Fact::PeerJoined(Box::new(joined)));
            d.reply(Reply::Joined { peer, certificate });
        }
    }
    Ok(())
}

fn has_room(access: &Access) -> Result<(), Rejection> {
    if access.peers.len() < PEERS_MAX {
        return Ok(());
    }
    let text = format!("{PEERS_MAX} peers are known already; revoke those that are gone");
    Err(Rejection { code: ErrorCode::Exhausted, text })
}

/// A worker of the coordinator's own user keeps its name while it is away: nobody who comes in by a token is to bear the same one, with a certificate of its own.
fn enrol(d: &mut Deciding<'_>, worker: &WorkerId) -> Result<(), Rejection> {
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
            has_room(&d.state().access)?;
            d.emit_fleet(Fact::PeerEnrolled { peer });
            Ok(())
        }
    }
}

/// Notes that a peer is still there, now and then: who is not any more is forgotten one day.
fn renewed(d: &mut Deciding<'_>, peer: PeerName) {
    let now = d.now.wall;
    if d.state().access.peers.get(&peer).is_some_and(|known| !known.is_followed || now.since(known.renewed_at) >= RENEWAL_NOTED_MS) {
        d.emit_fleet(Fact::PeerRenewed { peer });
    }
}

fn revoke_peer(d: &mut Deciding<'_>, role: Option<AccessRole>, id: &str, by: String) -> Result<(), Rejection> {
    let peers =
        AccessRole::ALL.into_iter().filter(|each| role.is_none_or(|role| role == *each)).map(|role| PeerName { role, id: id.to_owned() });
    let peers: Vec<PeerName> = peers.collect();
    let known: Vec<&PeerName> = peers.iter().filter(|peer| is_taken(d.state(), d.fleet, peer.role, id)).collect();
    match known[..] {
        [peer] => {
            end(d, peer, by, "it was revoked".to_owned());
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
                end(d, peer, by, "it was revoked".to_owned());
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

/// From here on certificates of that name are refused; what a worker holds is given to others.
fn end(d: &mut Deciding<'_>, peer: &PeerName, by: String, reason: String) {
    d.emit_fleet(Fact::PeerRevoked { peer: peer.clone(), by: by.clone(), reason: reason.clone() });
    if peer.role != AccessRole::Worker {
        return;
    }
    let worker = WorkerId::new(peer.id.as_str());
    // Who gets the name next is another, of whom nobody has said anything.
    if d.state().drained.contains_key(&worker) {
        d.emit_fleet(Fact::WorkerUndrained { worker: worker.clone(), by });
    }
    let held: Vec<AttemptKey> = d.state().live_of(&worker).map(|(key, _)| key.clone()).collect();
    for key in held {
        attempt::lose(d, &key, LostCause::HandedBack, &format!("its worker's identity ended: {reason}"));
    }
    if let Some(known) = d.fleet.workers.remove(&worker)
        && known.connected
    {
        d.effect(Effect::EndSession { worker, session: known.session });
    }
}

/// A worker left for good: an identity that was lent to it for that time ends.
pub(super) fn left(d: &mut Deciding<'_>, worker: &WorkerId) {
    if d.state().access.worker(worker).is_some_and(|peer| peer.ephemeral) {
        end(d, &PeerName::worker(worker.as_str()), String::new(), "it left".to_owned());
    }
}

/// Ends identities that were lent to workers which are lost. One whose link broke a moment ago is not, nor one that has not had the time to say hello, to
/// this process or at all.
pub(super) fn end_lost(d: &mut Deciding<'_>) {
    let now = d.now;
    if now.mono_ms.saturating_sub(d.fleet.began_ms) <= GRACE_MS {
        return;
    }
    let peers = d.state().access.peers.iter().filter(|(name, peer)| {
        let is_gone = || d.fleet.workers.get(name.id.as_str()).is_none_or(|known| known.is_silent(now, LOST_MS));
        peer.ephemeral && name.role == AccessRole::Worker && now.wall.since(peer.since) > LOST_MS && is_gone()
    });
    let lost: Vec<PeerName> = peers.map(|(name, _)| name.clone()).collect();
    for peer in lost {
        end(d, &peer, String::new(), "it was silent for too long".to_owned());
    }
}
