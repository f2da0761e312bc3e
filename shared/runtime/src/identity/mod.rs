//! Who a peer is: a role and an id, taken from its certificate and from nowhere else. Making certificates is `ca.rs`, keeping them is
//! `files.rs` and `profiles.rs`, coming in for the first time is `token.rs`.

mod ca;
mod ca_files;
mod certificate;
mod files;
mod intermediate;
mod profiles;
mod roots;
mod token;
mod validity;

use std::fmt;

use roundtable_shared::time::WallMs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

pub use ca::{Ca, CheckedRequest, Csr, SERVER_NAME, new_csr};
pub use certificate::{Lifetime, RENEWABLE_FOR};
pub use files::{ClientFile, Credentials, read_private, write_private};
pub use intermediate::INTERMEDIATE_FILE;
pub use profiles::{Profile, Profiles};
pub use roots::RootStep;
pub use token::{JoinToken, Pin, digest_of_secret};

/// What a peer may do; the third path segment of its name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum PeerRole {
    /// Serves.
    Coordinator,
    /// Runs attempts.
    Worker,
    /// Runs and steers.
    Operator,
    /// Looks.
    Viewer,
    /// Does all an operator does and administers.
    Admin,
}

impl PeerRole {
    /// The word in names, flags and output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Coordinator => "coordinator",
            Self::Worker => "worker",
            Self::Operator => "operator",
            Self::Viewer => "viewer",
            Self::Admin => "admin",
        }
    }

    /// Reads that word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Coordinator, Self::Worker, Self::Operator, Self::Viewer, Self::Admin].into_iter().find(|role| role.as_str() == text)
    }
}

impl fmt::Display for PeerRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An authenticated peer.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct PeerIdentity {
    /// The cluster whose CA vouches for it.
    pub cluster: String,
    /// What it may do.
    pub role: PeerRole,
    /// Its id within role and cluster.
    pub id: String,
    /// Serial number of the certificate, lower-case hex: what revocation of one certificate names.
    pub serial: String,
    /// When the certificate began, seconds since the Unix epoch: what revocation of all older ones compares.
    pub not_before_s: i64,
    /// When it ends, likewise.
    pub not_after_s: i64,
}

impl fmt::Display for PeerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.role, self.id)
    }
}

/// What is wrong with certificates, keys or the files that hold them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("{} is not usable: {why}", path.display())]
    BadFile {
        /// The file.
        path: std::path::PathBuf,
        /// Why, and what to do.
        why: String,
    },
    /// A certificate that is none of ours, or damaged.
    #[error("the certificate is not usable: {why}")]
    BadCertificate {
        /// Why.
        why: String,
    },
    /// A signing request that is damaged or not signed by its own key.
    #[error("the signing request is not usable: {why}")]
    BadRequest {
        /// Why.
        why: String,
    },
    /// The root's key lies elsewhere, and is needed now.
    #[error(
        "certificates cannot be made any more without the root's key: put it at {} until the coordinator runs again (`coordinator root show` tells until when \
         it is then not needed)", path.display()
    )]
    RootAway {
        /// Where it belongs.
        path: std::path::PathBuf,
    },
    /// A step of a rotation that cannot be taken now.
    #[error("the root is not changed: {why}")]
    Rotation {
        /// Why, and what to do.
        why: String,
    },
    /// An id that cannot be put into a name.
    #[error("{id:?} is no id of a peer: use 1 to 128 letters, digits, '-', '_' and '.'")]
    BadId {
        /// The id.
        id: String,
    },
    /// Keys or signatures could not be made.
    #[error("the certificate could not be made: {0}")]
    Crypto(String),
}

impl IdentityError {
    pub(crate) fn io(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

/// Refuses ids that would not survive in a name, a file name and a log line unchanged.
pub fn check_id(id: &str) -> Result<(), IdentityError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let well_formed = (1..=128).contains(&id.len()) && id.bytes().all(plain) && !id.starts_with('.') && !id.starts_with('-');
    if well_formed { Ok(()) } else { Err(IdentityError::BadId { id: id.chars().take(150).collect() }) }
}

/// `spiffe://<cluster>/<role>/<id>`.
pub(crate) fn uri_of(cluster: &str, role: PeerRole, id: &str) -> String {
    format!("spiffe://{cluster}/{role}/{id}")
}

/// When a root was made, by its certificate.
fn root_made_at(pem: &str) -> Result<WallMs, IdentityError> {
    let bad = |why: &str| IdentityError::BadCertificate { why: why.to_owned() };
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| bad("it is no PEM"))?;
    let (_, parsed) = X509Certificate::from_der(&der).map_err(|_| bad("it cannot be parsed"))?;
    let begins_s = u64::try_from(parsed.validity().not_before.timestamp()).unwrap_or(0);
    Ok(WallMs(begins_s.saturating_mul(1000)))
}

/// Reads the peer's identity from its certificate, which the caller has verified. Exactly one name of our form must be in it.
pub fn peer_identity(certificate: &CertificateDer<'_>) -> Result<PeerIdentity, IdentityError> {
    let bad = |why: &str| IdentityError::BadCertificate { why: why.to_owned() };
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| bad("it cannot be parsed"))?;
    let names = parsed.subject_alternative_name().map_err(|_| bad("its names cannot be parsed"))?.ok_or_else(|| bad("it has no name"))?;
    let mut uris = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    let (Some(uri), None) = (uris.next(), uris.next()) else { return Err(bad("it has not exactly one URI name")) };
    let mut parts = uri.strip_prefix("spiffe://").ok_or_else(|| bad("its URI name is not ours"))?.split('/');
    let (Some(cluster), Some(role), Some(id), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err(bad("its URI name is not ours"));
    };
    check_id(cluster)?;
    check_id(id)?;
    Ok(PeerIdentity {
        cluster: cluster.to_owned(),
        role: PeerRole::parse(role).ok_or_else(|| bad("its URI name has an unknown role"))?,
        id: id.to_owned(),
        serial: parsed.raw_serial().iter().map(|byte| format!("{byte:02x}")).collect(),
        not_before_s: parsed.validity().not_before.timestamp(),
        not_after_s: parsed.validity().not_after.timestamp(),
    })
}

#[cfg(test)]
mod tests;
