//! What credentials say: whom they name, how long they still last. Renewing them is for whoever may make them: the coordinator its own, a worker through its coordinator.

use roundtable_shared::time::WallMs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{Credentials, IdentityError, PeerIdentity, peer_identity};

impl Credentials {
    /// Whether half of their time is over (or all of it): then they are made anew, so that one failed renewal does not lock anybody out.
    pub fn is_past_half(&self, now: WallMs) -> Result<bool, IdentityError> {
        let bad = |why: &str| IdentityError::BadCertificate { why: why.to_owned() };
        let certificate = self.certificate()?;
        let (_, parsed) = X509Certificate::from_der(&certificate).map_err(|_| bad("it cannot be parsed"))?;
        let validity = parsed.validity();
        let (from, until) = (validity.not_before.timestamp(), validity.not_after.timestamp());
        let now = i64::try_from(now.0 / 1000).unwrap_or(i64::MAX);
        Ok(now >= from.saturating_add(until.saturating_sub(from) / 2))
    }

    /// Whom they name.
    pub fn peer(&self) -> Result<PeerIdentity, IdentityError> {
        peer_identity(&self.certificate()?)
    }

    fn certificate(&self) -> Result<CertificateDer<'static>, IdentityError> {
        CertificateDer::from_pem_slice(self.certificate_pem.as_bytes())
            .map_err(|_| IdentityError::BadCertificate { why: "it is no PEM".to_owned() })
    }
}
