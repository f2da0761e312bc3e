//! What certificates of ours are made with: keys, serial numbers, how long they last, and what roots and intermediates have in common. Who gets one, and
//! who signs it, is decided in `ca.rs`, `roots.rs` and `intermediate.rs`.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData,
    SerialNumber,
};
use roundtable_shared::time::WallMs;
use time::{Duration, OffsetDateTime};

use super::token::sha256_hex;
use super::{IdentityError, PeerRole};

/// How long certificates last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lifetime(pub Duration);

impl Lifetime {
    /// A root.
    pub const CA: Self = Self(Duration::days(3650));
    /// What a root lets sign; made anew at half time, which is longer than any certificate lasts.
    pub(super) const INTERMEDIATE: Self = Self(Duration::days(90));
    /// A coordinator; made anew at every start and at half time.
    pub const COORDINATOR: Self = Self(Duration::days(7));
    /// A worker; renewed at about half time.
    pub const WORKER: Self = Self(Duration::hours(24));
    /// A person's client, also the one in `client.json`; renewed at half time.
    pub const CLIENT: Self = Self(Duration::hours(12));

    /// That of a peer's certificate.
    pub fn of(role: PeerRole) -> Self {
        match role {
            PeerRole::Coordinator => Self::COORDINATOR,
            PeerRole::Worker => Self::WORKER,
            PeerRole::Operator | PeerRole::Viewer | PeerRole::Admin => Self::CLIENT,
        }
    }
}

/// After its end a certificate is still good for this long, to be renewed and for nothing else: a host may have been off over the holidays.
pub const RENEWABLE_FOR: Duration = Duration::days(30);

/// Tolerated difference of clocks: certificates begin this much before they are made.
pub(super) const CLOCK_SKEW: Duration = Duration::minutes(5);

/// A root's certificate, PEM, and its key.
pub(super) fn new_root(cluster: &str, now: WallMs) -> Result<(String, KeyPair), IdentityError> {
    let key = new_key()?;
    Ok((root_of(cluster, &key, now)?, key))
}

/// The certificate of the root with that key, PEM, by its own word.
pub(super) fn root_of(cluster: &str, key: &KeyPair, now: WallMs) -> Result<String, IdentityError> {
    Ok(root(cluster, now, Lifetime::CA)?.self_signed(key).map_err(crypto)?.pem())
}

/// A root, whoever vouches for it: itself, or the one before it.
pub(super) fn root(cluster: &str, now: WallMs, lifetime: Lifetime) -> Result<CertificateParams, IdentityError> {
    // One below it: roots of earlier releases say none, which nobody asks of what is believed in without proof.
    authority(&format!("roundtable {cluster}"), 1, now, lifetime)
}

/// What a root and an intermediate have in common.
pub(super) fn authority(name: &str, below: u8, now: WallMs, lifetime: Lifetime) -> Result<CertificateParams, IdentityError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(below));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_validity(&mut params, now, lifetime)?;
    params.serial_number = Some(random_serial()?);
    Ok(params)
}

/// A key of the one kind that is used here.
pub(super) fn new_key() -> Result<KeyPair, IdentityError> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(crypto)
}

/// Begins a little before now and ends after that lifetime.
pub(super) fn set_validity(params: &mut CertificateParams, now: WallMs, lifetime: Lifetime) -> Result<(), IdentityError> {
    let now = instant(now)?;
    let outside = || IdentityError::Crypto("the clock is too far off".to_owned());
    params.not_before = now.checked_sub(CLOCK_SKEW).ok_or_else(outside)?;
    params.not_after = now.checked_add(lifetime.0).ok_or_else(outside)?;
    Ok(())
}

/// A time of ours as certificates have it.
pub(super) fn instant(at: WallMs) -> Result<OffsetDateTime, IdentityError> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(at.0) * 1_000_000).map_err(crypto)
}

/// SHA-256 of a public key as certificates hold it, lower-case hex.
pub(super) fn fingerprint(key: &impl PublicKeyData) -> String {
    sha256_hex(&key.subject_public_key_info())
}

/// A serial number that no other certificate has.
pub(super) fn random_serial() -> Result<SerialNumber, IdentityError> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(crypto)?;
    // Positive and of full length, as a DER integer wants it.
    bytes[0] = (bytes[0] & 0x7f) | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

/// What cannot be made, in the words of whoever makes it.
pub(super) fn crypto(error: impl std::fmt::Display) -> IdentityError {
    IdentityError::Crypto(error.to_string())
}
