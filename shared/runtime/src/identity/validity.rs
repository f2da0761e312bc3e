//! What credentials say: whom they name, how long they still last. Renewing them is for whoever may make them: the coordinator its own, a worker through its coordinator.

use roundtable_shared::time::WallMs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::{Credentials, IdentityError, PeerIdentity, Pin, RENEWABLE_FOR, peer_identity};

impl Credentials {
    /// Whether half of their time is over (or all of it): then they are made anew, so that one failed renewal does not lock anybody out.
    pub fn is_past_half(&self, now: WallMs) -> Result<bool, IdentityError> {
        self.is_past(500, now)
    }

    /// Whether that part of their time is over, in thousandths.
    pub fn is_past(&self, per_mille: u16, now: WallMs) -> Result<bool, IdentityError> {
        let PeerIdentity { not_before_s: from, not_after_s: until, .. } = self.peer()?;
        let part = until.saturating_sub(from).saturating_mul(per_mille.into()) / 1000;
        Ok(seconds(now) >= from.saturating_add(part))
    }

    /// Whether they are of no use any more, not even to be renewed.
    pub fn is_past_renewal(&self, now: WallMs) -> Result<bool, IdentityError> {
        Ok(seconds(now) > self.peer()?.not_after_s.saturating_add(RENEWABLE_FOR.whole_seconds()))
    }

    /// Whom they name.
    pub fn peer(&self) -> Result<PeerIdentity, IdentityError> {
        peer_identity(&self.certificate()?)
    }

    /// The authorities they believe in.
    pub fn authorities(&self) -> Result<Vec<Pin>, IdentityError> {
        let bad = |_| IdentityError::BadCertificate { why: "its authority is no PEM".to_owned() };
        let all: Vec<_> = CertificateDer::pem_slice_iter(self.ca_pem.as_bytes()).collect::<Result<_, _>>().map_err(bad)?;
        all.iter().map(Pin::of_certificate).collect()
    }

    fn certificate(&self) -> Result<CertificateDer<'static>, IdentityError> {
        CertificateDer::from_pem_slice(self.certificate_pem.as_bytes())
            .map_err(|_| IdentityError::BadCertificate { why: "it is no PEM".to_owned() })
    }
}

fn seconds(at: WallMs) -> i64 {
    i64::try_from(at.0 / 1000).unwrap_or(i64::MAX)
}
