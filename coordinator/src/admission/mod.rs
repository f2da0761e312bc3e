//! Coming in and staying in: what joins, renews and manages needs of the shell, which is randomness, keys and clocks. Who may is the core's.

mod failures;
mod join;
mod manage;

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use roundtable_core::Rejection;
use roundtable_core::command::{AccessCommand, Command};
use roundtable_runtime::clock::Clock;
use roundtable_runtime::identity::{Ca, CheckedRequest, IdentityError, PeerIdentity, PeerRole, check_id};
use roundtable_shared::error::ErrorCode;
use roundtable_shared::{AccessRole, PeerName, WorkerId};

pub use join::Wish;

use crate::driver::{Barred, Handle, HandleError, How, name_of};
use failures::Failures;

/// Clocks further apart than this are named: certificates begin this long before they are made.
pub const CLOCKS_APART_MAX_MS: u64 = 5 * 60_000;

/// The desk at which they are let in. Cheap to clone.
#[derive(Clone)]
pub struct Admissions {
    handle: Handle,
    barred: Barred,
    ca: Arc<Ca>,
    clock: Arc<dyn Clock>,
    /// One joins after the other, so that two that want the same name are not told the same.
    turn: Arc<tokio::sync::Mutex<()>>,
    failures: Arc<Failures>,
    /// Where others reach this coordinator.
    reach: Arc<OnceLock<String>>,
}

/// A certificate that was given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Given {
    /// It, PEM.
    pub certificate_pem: String,
    /// The authorities to believe in, PEM.
    pub ca_pem: String,
    /// To whom.
    pub peer: PeerName,
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum AdmissionError {
    /// The request, or a name, is not usable; or no certificate could be made.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The core or the driver refused.
    #[error(transparent)]
    Driver(#[from] HandleError),
    /// It is refused here.
    #[error("{0}")]
    Refused(Rejection),
}

impl AdmissionError {
    /// The code this maps to at every edge.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Identity(IdentityError::BadRequest { .. } | IdentityError::BadId { .. }) => ErrorCode::InvalidInput,
            Self::Identity(IdentityError::Rotation { .. }) => ErrorCode::Conflict,
            Self::Identity(_) => ErrorCode::Internal,
            Self::Driver(error) => error.code(),
            Self::Refused(rejection) => rejection.code,
        }
    }
}

impl From<Rejection> for AdmissionError {
    fn from(rejection: Rejection) -> Self {
        Self::Refused(rejection)
    }
}

impl Admissions {
    /// A desk of this coordinator.
    pub fn new(handle: Handle, barred: Barred, ca: Arc<Ca>, clock: Arc<dyn Clock>) -> Self {
        let failures = Arc::new(Failures::default());
        Self { handle, barred, ca, clock, turn: Arc::default(), failures, reach: Arc::default() }
    }

    /// Tells where others reach this coordinator: what join lines name.
    pub fn set_reach(&self, url: String) {
        // Once is enough: it listens in one place.
        let _ = self.reach.set(url);
    }

    /// Lets somebody in, or says why not. Who fails too often from one address is told to wait.
    pub async fn join(&self, wish: Wish, from: IpAddr) -> Result<Given, AdmissionError> {
        let now_ms = self.clock.boot_ms();
        if let Some(wait_ms) = self.failures.wait_ms(from, now_ms) {
            let text = format!("too many tries from {from} have failed; the next one is heard in {} s", wait_ms.div_ceil(1000));
            return Err(Rejection { code: ErrorCode::Exhausted, text }.into());
        }
        let joined = join::join(self, wish).await;
        match &joined {
            Ok(given) => tracing::info!(peer = %given.peer, %from, "came in"),
            Err(error) => {
                tracing::warn!(%from, %error, "a join was refused");
                // A request that makes no sense costs work too.
                if matches!(error.code(), ErrorCode::NotAuthorised | ErrorCode::InvalidInput) {
                    self.failures.count(from, now_ms);
                }
            }
        }
        joined
    }

    /// A younger certificate for another key of the same peer.
    pub async fn renew(&self, identity: &PeerIdentity, csr_pem: &str) -> Result<Given, AdmissionError> {
        let request = CheckedRequest::read(csr_pem)?;
        let peer = name_of(identity).ok_or_else(|| Rejection::not_authorised("a coordinator makes its own certificates"))?;
        if let Some(how) = self.barred.refuses(identity) {
            return Err(revoked(&peer, how).into());
        }
        let certificate_pem = self.sign(&request, &peer)?;
        // Not waited for: a store that cannot be written ends nobody's identity. What is not recorded now is with the next one.
        self.handle.tell(Command::Access(AccessCommand::Renewed { peer: peer.clone() })).await?;
        tracing::info!(%peer, "certificate renewed");
        Ok(self.given(peer, certificate_pem))
    }

    /// A certificate for a worker of this coordinator's own user, who may read its files anyway.
    pub async fn enrol_own(&self, name: &str, csr_pem: &str) -> Result<Given, AdmissionError> {
        let request = CheckedRequest::read(csr_pem)?;
        check_id(name)?;
        let peer = PeerName::worker(name);
        // Recorded before anything is given, and once for each name.
        self.handle.command(Command::Access(AccessCommand::Enrol { worker: WorkerId::new(name) })).await?;
        let certificate_pem = self.sign(&request, &peer)?;
        Ok(self.given(peer, certificate_pem))
    }

    fn sign(&self, request: &CheckedRequest, peer: &PeerName) -> Result<String, IdentityError> {
        self.ca.sign(request, role_of(peer.role), &peer.id, self.clock.wall(), self.barred.until(peer))
    }

    fn given(&self, peer: PeerName, certificate_pem: String) -> Given {
        Given { certificate_pem, ca_pem: self.ca.bundle_pem(), peer }
    }
}

/// What a peer that is refused is told. An identity that was lent and has ended is no reproach: its bearer may come in anew.
pub(crate) fn revoked(peer: &PeerName, how: How) -> Rejection {
    let role = peer.role;
    match how {
        How::Revoked => Rejection::not_authorised(format!(
            "the identity of {peer} was revoked; to come in anew, ask for a token: `coordinator token create --role {role}`"
        )),
        How::Ended => Rejection::stale(format!(
            "the identity of {peer} was lent until it left or was lost, and has ended; start it again with its token, or ask for a new one: `coordinator token create --role {role} --ephemeral`"
        )),
    }
}

fn role_of(role: AccessRole) -> PeerRole {
    match role {
        AccessRole::Worker => PeerRole::Worker,
        AccessRole::Operator => PeerRole::Operator,
        AccessRole::Viewer => PeerRole::Viewer,
        AccessRole::Admin => PeerRole::Admin,
    }
}

#[cfg(test)]
mod tests;
