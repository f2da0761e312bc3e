//! Joining: what is shown is checked, a name is found, a certificate made, and all of it recorded at once; only then is it handed out.

use roundtable_core::command::{AccessCommand, Command, Joining, Presented};
use roundtable_core::{Admission, Core, Rejection, Reply, admission, free_name};
use roundtable_runtime::identity::{CheckedRequest, Credentials, check_id, digest_of_secret};
use roundtable_shared::error::ErrorCode;
use roundtable_shared::time::WallMs;
use roundtable_shared::{AccessRole, PeerName, TokenId};

use super::{AdmissionError, Admissions, CLOCKS_APART_MAX_MS, Given};
use crate::driver::HandleError;
use crate::renewal::own_name;

/// What somebody says who wants in. Never in a log: it has no `Debug`.
pub struct Wish {
    /// The token's id and its secret; none = the key is to be enough.
    pub token: Option<(String, String)>,
    /// The signing request.
    pub csr_pem: String,
    /// The name wanted.
    pub name: String,
    /// No other name will do.
    pub is_exact: bool,
    /// Their clock.
    pub now: WallMs,
    /// It is a worker, not a person.
    pub is_worker: bool,
}

/// What was found at the first look.
enum Found {
    Again(PeerName, String),
    New(PeerName),
}

pub(super) async fn join(desk: &Admissions, wish: Wish) -> Result<Given, AdmissionError> {
    let now = desk.clock.wall();
    clocks_agree(now, wish.now)?;
    check_id(&wish.name)?;
    // It stands in answers, in the log and in the audit log, whoever sends it.
    wish.token.as_ref().map_or(Ok(()), |(id, _)| check_id(id))?;
    let request = CheckedRequest::read(&wish.csr_pem)?;
    let token = wish.token.map(|(id, secret)| (TokenId::new(id), digest_of_secret(&secret)));
    let presented = Presented { token, key: request.fingerprint() };
    let (shown, name, is_exact, is_worker) = (presented.clone(), wish.name, wish.is_exact, wish.is_worker);
    let _turn = desk.turn.lock().await;
    // One after the other (`turn`), and whoever came in before was answered: that is seen here.
    let found = desk.handle.read(|core: &Core, now| match admission(&core.state.access, &shown, now)? {
        Admission::Again { peer, certificate } => Ok(Found::Again(peer, certificate)),
        Admission::New { token, role, name: laid_down } => {
            is_for(&token, role, is_worker)?;
            let is_exact = is_exact || laid_down.is_some();
            let mut wanted = laid_down.unwrap_or(name);
            if role == AccessRole::Admin && wanted == own_name() {
                wanted.push_str("-1");
            }
            let id = free_name(&core.state, &core.fleet, role, &wanted, is_exact)?;
            Ok::<_, Rejection>(Found::New(PeerName { role, id }))
        }
    });
    let peer = match found? {
        // What a read sees is durable.
        Found::Again(peer, certificate) => {
            is_of_use(&peer, &certificate, now)?;
            return Ok(desk.given(peer, certificate));
        }
        Found::New(peer) => peer,
    };
    let certificate = desk.sign(&request, &peer)?;
    let joining = Joining { presented, peer, certificate };
    match desk.handle.command(Command::Access(AccessCommand::Join(Box::new(joining)))).await? {
        Reply::Joined { peer, certificate } => Ok(desk.given(peer, certificate)),
        _ => Err(HandleError::Stopped.into()),
    }
}

/// A certificate that cannot even be renewed any more lets nobody in: given again, it would be refused at the next step, without a way out.
fn is_of_use(peer: &PeerName, certificate: &str, now: WallMs) -> Result<(), AdmissionError> {
    let given = Credentials { ca_pem: String::new(), certificate_pem: certificate.to_owned(), key_pem: String::new() };
    if !given.is_past_renewal(now)? {
        return Ok(());
    }
    let text = format!(
        "{peer} came in with this before, and its certificate ended more than 30 days ago; ask for a token: `coordinator token create --role {}`; or have \
         an admitted key admitted anew: `coordinator token revoke ID` (`coordinator token list` shows it), then `coordinator worker add --key KEY`",
        peer.role
    );
    Err(Rejection::not_authorised(text).into())
}

/// A token that was pasted into the wrong program is not spent for that.
fn is_for(token: &TokenId, role: AccessRole, is_worker: bool) -> Result<(), Rejection> {
    match (role == AccessRole::Worker, is_worker) {
        (true, false) => Err(Rejection::invalid(format!("token {token} is for workers: use it with `worker join`"))),
        (false, true) => Err(Rejection::invalid(format!("token {token} is for the role {role}: use it with `orchctl login`"))),
        _ => Ok(()),
    }
}

/// Tokens and certificates are judged by the time of day: a host whose clock is far off would be refused later, with words that say less.
fn clocks_agree(ours: WallMs, theirs: WallMs) -> Result<(), Rejection> {
    let apart = ours.since(theirs).max(theirs.since(ours));
    if apart <= CLOCKS_APART_MAX_MS {
        return Ok(());
    }
    let text = format!(
        "the clocks are {} minutes apart: it is {} on the coordinator's host and {} on this one; set the one that is wrong (`timedatectl` shows it), then join again",
        apart / 60_000,
        ours.rfc3339(),
        theirs.rfc3339()
    );
    Err(Rejection { code: ErrorCode::Conflict, text })
}
