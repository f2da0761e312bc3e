//! What signs certificates: an intermediate of this coordinator alone, for 90 days and made anew at half of them, so that the root's key is needed a few times a
//! year and may lie elsewhere meanwhile. Its key is in no backup: no two coordinators have the same.

use std::path::{Path, PathBuf};

use rcgen::{Issuer, KeyPair};
use roundtable_shared::time::WallMs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::ca_files::{bad_file, read};
use super::certificate::{CLOCK_SKEW, Lifetime, authority, crypto, fingerprint, new_key, root};
use super::files::{read_private, write_private};
use super::token::random_hex;
use super::{IdentityError, Pin};

/// Its file in the folder of the authority.
pub const INTERMEDIATE_FILE: &str = "intermediate.json";

/// The intermediate with its key.
pub(super) struct Intermediate {
    /// Its certificate, PEM: goes behind every one that it signs.
    pub(super) certificate_pem: String,
    /// Signs.
    pub(super) issuer: Issuer<'static, KeyPair>,
    /// The root that vouches for it, PEM.
    root_pem: String,
    /// First and last second of it, since the Unix epoch.
    valid: (i64, i64),
}

/// All of it in one file, so that certificate and key always belong together.
#[derive(Serialize, Deserialize)]
struct Stored {
    certificate_pem: String,
    key_pem: String,
    root_pem: String,
}

impl Intermediate {
    /// The one there is.
    pub(super) fn open(dir: &Path) -> Result<Option<Self>, IdentityError> {
        let path = path(dir);
        let stored: Option<Stored> = read_private(&path)?;
        stored.map(|stored| Self::of(stored).map_err(|error| bad_file(&path, error))).transpose()
    }

    /// A new one, by the root with that certificate, whose key lies beside it. Durable when this returns.
    pub(super) fn make(dir: &Path, cluster: &str, root_pem: &str, now: WallMs) -> Result<Self, IdentityError> {
        let key = root_key(dir, root_pem)?;
        let root = Issuer::from_ca_cert_pem(root_pem, key).map_err(crypto)?;
        // A name of its own: whoever builds a chain finds the right one at once.
        let name = format!("roundtable {cluster} {}", random_hex::<4>()?);
        let mut params = authority(&name, 0, now, Lifetime::INTERMEDIATE)?;
        params.use_authority_key_identifier_extension = true;
        // Earlier than what it signs: where the clock is put back a little, that is no reason for another one.
        params.not_before = params.not_before.checked_sub(CLOCK_SKEW).unwrap_or(params.not_before);
        let own = new_key()?;
        let certificate_pem = params.signed_by(&own, &root).map_err(crypto)?.pem();
        let stored = Stored { certificate_pem, key_pem: own.serialize_pem(), root_pem: root_pem.to_owned() };
        write_private(&path(dir), &stored)?;
        tracing::info!("the intermediate that signs certificates was made anew");
        Self::of(stored)
    }

    fn of(stored: Stored) -> Result<Self, IdentityError> {
        let Stored { certificate_pem, key_pem, root_pem } = stored;
        let der = CertificateDer::from_pem_slice(certificate_pem.as_bytes()).map_err(crypto)?;
        let (_, parsed) = X509Certificate::from_der(&der).map_err(crypto)?;
        let valid = (parsed.validity().not_before.timestamp(), parsed.validity().not_after.timestamp());
        let key = KeyPair::from_pem(&key_pem).map_err(crypto)?;
        let issuer = Issuer::from_ca_cert_pem(&certificate_pem, key).map_err(crypto)?;
        Ok(Self { certificate_pem, issuer, root_pem, valid })
    }

    /// Whether that root vouches for it.
    pub(super) fn is_by(&self, root_pem: &str) -> bool {
        self.root_pem == root_pem
    }

    /// Whether a certificate of that time can be checked by it all the while.
    pub(super) fn covers(&self, from: OffsetDateTime, until: OffsetDateTime) -> bool {
        self.valid.0 <= from.unix_timestamp() && until.unix_timestamp() <= self.valid.1
    }

    /// Whether half of its time is over.
    pub(super) fn is_past_half(&self, now: WallMs) -> bool {
        let (from, until) = self.valid;
        i64::try_from(now.0 / 1000).unwrap_or(i64::MAX) >= from.saturating_add(until.saturating_sub(from) / 2)
    }

    /// When it ends.
    pub(super) fn ends_at(&self) -> WallMs {
        WallMs(u64::try_from(self.valid.1).unwrap_or(0).saturating_mul(1000))
    }
}

/// The certificate by which the present root vouches for the next one, whose key this is, PEM: whoever knows the present one alone believes in the next by it.
pub(super) fn vouch_for(dir: &Path, cluster: &str, present_pem: &str, next: &KeyPair, now: WallMs) -> Result<String, IdentityError> {
    let key = root_key(dir, present_pem)?;
    let present = Issuer::from_ca_cert_pem(present_pem, key).map_err(crypto)?;
    let params = root(cluster, now, Lifetime::INTERMEDIATE)?;
    Ok(params.signed_by(next, &present).map_err(crypto)?.pem())
}

fn path(dir: &Path) -> PathBuf {
    dir.join(INTERMEDIATE_FILE)
}

/// The root's key, if it lies where it belongs.
fn root_key(dir: &Path, root_pem: &str) -> Result<KeyPair, IdentityError> {
    let path = dir.join("ca.key");
    if !path.try_exists().map_err(IdentityError::io(&path))? {
        return Err(IdentityError::RootAway { path });
    }
    let key = KeyPair::from_pem(&read(&path)?).map_err(|error| bad_file(&path, error))?;
    if fingerprint(&key) != Pin::of_pem(root_pem)?.as_str() {
        return Err(bad_file(&path, "it is not the key of ca.pem"));
    }
    Ok(key)
}
