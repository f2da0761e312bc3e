//! The built-in certificate authority: made at a coordinator's first start, it names coordinators, workers and people. A root vouches for an intermediate of
//! this coordinator, and that signs. Who may ask is decided elsewhere.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rcgen::string::Ia5String;
use rcgen::{
    CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PublicKey, PublicKeyData, SanType,
};
use roundtable_shared::time::WallMs;
use rustls::pki_types::CertificateSigningRequestDer;
use rustls::pki_types::pem::PemObject;
use tokio::sync::watch;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

use super::ca_files::{bad_file, read};
use super::certificate::{Lifetime, crypto, fingerprint, instant, new_key, random_serial, root_of, set_validity};
use super::intermediate::Intermediate;
use super::roots::{self, RootStep, Roots};
use super::token::random_hex;
use super::{Credentials, IdentityError, PeerRole, Pin, check_id, uri_of};
use crate::fsx;

/// The DNS name in every coordinator's certificate and the only one clients ask for: they know a coordinator by its CA, not by its address.
pub const SERVER_NAME: &str = "coordinator.roundtable.internal";

/// Least time between two warnings that no intermediate can be made, wall-clock ms: something is signed every few minutes in a large fleet.
const WARN_EVERY_MS: u64 = 86_400_000;
/// Largest signing request.
const REQUEST_BYTES_MAX: usize = 16 << 10;

/// The authority of a cluster, with its key.
pub struct Ca {
    dir: PathBuf,
    cluster: String,
    /// Replaced by the steps of a rotation.
    roots: RwLock<Arc<Roots>>,
    /// What signs; `None` until something is to be signed. Taken after `roots` where both are.
    intermediate: Mutex<Option<Arc<Intermediate>>>,
    /// When it was last warned that no other can be made, wall-clock ms; 0: not yet.
    warned_at: AtomicU64,
    changed: watch::Sender<()>,
}

impl std::fmt::Debug for Ca {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ca").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

/// A key made here and the request to have it certified.
pub struct Csr {
    /// The request, PEM.
    pub request_pem: String,
    /// The key, PEM (PKCS #8); never leaves this host.
    pub key_pem: String,
    /// SHA-256 of the public key, by which people name it.
    pub fingerprint: String,
}

impl Csr {
    /// A request for a key that was made before.
    pub fn of_key(key_pem: &str) -> Result<Self, IdentityError> {
        let key = KeyPair::from_pem(key_pem).map_err(|error| IdentityError::Crypto(format!("the key cannot be read: {error}")))?;
        Self::of(&key)
    }

    fn of(key: &KeyPair) -> Result<Self, IdentityError> {
        let request = CertificateParams::default().serialize_request(key).map_err(crypto)?;
        Ok(Self { request_pem: request.pem().map_err(crypto)?, key_pem: key.serialize_pem(), fingerprint: fingerprint(key) })
    }
}

/// A request that was read: signed by its own key, of the one kind that is certified here. Of what else it says nothing counts.
#[derive(Debug)]
pub struct CheckedRequest {
    key: PublicKey,
}

impl CheckedRequest {
    /// Reads a request, whoever sent it.
    pub fn read(request_pem: &str) -> Result<Self, IdentityError> {
        if request_pem.len() > REQUEST_BYTES_MAX {
            return Err(IdentityError::BadRequest { why: format!("it has more than {REQUEST_BYTES_MAX} bytes") });
        }
        let bad = |why: String| IdentityError::BadRequest { why };
        let der = CertificateSigningRequestDer::from_pem_slice(request_pem.as_bytes()).map_err(|error| bad(error.to_string()))?;
        let request = CertificateSigningRequestParams::from_der(&der).map_err(|error| bad(error.to_string()))?;
        // Of the key it was told by the signature alone: one of another curve, signed with the same digest, would be certified as what it is not.
        let shown = X509CertificationRequest::from_der(&der).map_err(|error| bad(error.to_string()))?;
        let (rest, shown) = (shown.0, shown.1.certification_request_info.subject_pki.raw);
        let is_p256 = *request.public_key.algorithm() == PKCS_ECDSA_P256_SHA256 && request.public_key.subject_public_key_info() == shown;
        if !is_p256 {
            return Err(bad("its key is not of the kind ECDSA P-256".to_owned()));
        }
        if !rest.is_empty() {
            return Err(bad("something follows it".to_owned()));
        }
        Ok(Self { key: request.public_key })
    }

    /// SHA-256 of its public key.
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.key)
    }
}

impl Ca {
    /// Opens the authority in `dir`, or makes it there (the directory and its files readable by the owner alone).
    pub fn open_or_create(dir: &Path, now: WallMs) -> Result<Self, IdentityError> {
        fsx::create_private_dir(dir).map_err(IdentityError::io(dir))?;
        let [cluster, certificate, key] = files(dir);
        let is_there = |path: &Path| path.try_exists().map_err(IdentityError::io(path));
        // The certificate is written last: with it, all was there once, and the key may lie elsewhere since. What an interrupted start has left counts.
        if !is_there(&certificate)? {
            let write = |path: &Path, text: &str| fsx::write_atomic(path, text.as_bytes(), fsx::PRIVATE).map_err(IdentityError::io(path));
            if !is_there(&cluster)? {
                write(&cluster, &random_hex::<8>()?)?;
            }
            if !is_there(&key)? {
                write(&key, &new_key()?.serialize_pem())?;
            }
            let pair = KeyPair::from_pem(&read(&key)?).map_err(|error| bad_file(&key, error))?;
            write(&certificate, &root_of(read(&cluster)?.trim(), &pair, now)?)?;
        }
        Self::open(dir)
    }

    /// Opens the authority in `dir`.
    pub fn open(dir: &Path) -> Result<Self, IdentityError> {
        let [cluster, ..] = files(dir);
        let roots = RwLock::new(Arc::new(Roots::open(dir)?));
        let cluster_id = read(&cluster)?.trim().to_owned();
        check_id(&cluster_id).map_err(|error| bad_file(&cluster, error))?;
        let intermediate = Intermediate::open(dir).unwrap_or_else(|error| {
            tracing::warn!(%error, "the intermediate cannot be used; another is made");
            None
        });
        let intermediate = Mutex::new(intermediate.map(Arc::new));
        Ok(Self {
            dir: dir.to_owned(),
            cluster: cluster_id,
            roots,
            intermediate,
            warned_at: AtomicU64::new(0),
            changed: watch::channel(()).0,
        })
    }

    /// The cluster's id.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// The certificate of the root that vouches for what signs, PEM.
    pub fn certificate_pem(&self) -> String {
        self.roots().certificate_pem.clone()
    }

    /// The certificates of all roots that are believed in, PEM.
    pub fn bundle_pem(&self) -> String {
        self.roots().bundle_pem()
    }

    /// SHA-256 of that root's public key.
    pub fn pin(&self) -> Result<Pin, IdentityError> {
        Pin::of_pem(&self.certificate_pem())
    }

    /// Those of all that sign, now or next, for whoever joins by a token.
    pub fn pins(&self) -> Result<Vec<Pin>, IdentityError> {
        self.roots().pins()
    }

    /// Takes a step of a rotation, durably; false if it was taken before. What was given out stays good; what is given from now on is by the new roots.
    pub fn step(&self, step: RootStep, now: WallMs) -> Result<bool, IdentityError> {
        // Held over the whole step: one after the other.
        let mut roots = self.roots.write().unwrap_or_else(PoisonError::into_inner);
        let is_new = roots::step(&self.dir, &self.cluster, step, now)?;
        *roots = Arc::new(Roots::open(&self.dir)?);
        drop(roots);
        self.changed.send_replace(());
        Ok(is_new)
    }

    /// Changes with each step.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Until when certificates can be made without the root's key, if anything was signed yet since this root signs.
    pub fn signs_until(&self) -> Option<WallMs> {
        let roots = self.roots();
        let held = self.intermediate.lock().unwrap_or_else(PoisonError::into_inner);
        held.as_ref().filter(|held| held.is_by(&roots.certificate_pem)).map(|held| held.ends_at())
    }

    fn roots(&self) -> Arc<Roots> {
        Arc::clone(&self.roots.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes key and certificate of a coordinator. `names` are added for clients that insist on checking an address.
    pub fn mint_coordinator(&self, id: &str, names: &[String], now: WallMs) -> Result<Credentials, IdentityError> {
        let key = new_key()?;
        let mut params = self.params(PeerRole::Coordinator, id, now, Lifetime::COORDINATOR)?;
        for name in std::iter::once(SERVER_NAME).chain(["localhost", "127.0.0.1", "::1"]).chain(names.iter().map(String::as_str)) {
            params.subject_alt_names.push(match name.parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(Ia5String::try_from(name).map_err(crypto)?),
            });
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let made = self.finish(&params, &key, key.serialize_pem(), now)?;
        // With the root behind it, so that who knows no more of it than its digest can tell whether this is the right one.
        Ok(Credentials { certificate_pem: format!("{}{}", made.certificate_pem, self.roots().shown_pem()), ..made })
    }

    /// Makes key and certificate of a person's client (or of a worker inside this process).
    pub fn mint_client(&self, role: PeerRole, id: &str, now: WallMs, lifetime: Lifetime) -> Result<Credentials, IdentityError> {
        let key = new_key()?;
        let params = self.params(role, id, now, lifetime)?;
        self.finish(&params, &key, key.serialize_pem(), now)
    }

    /// Certifies a key, PEM, the intermediate behind it. The names are ours to give. The certificate does not begin before the second of `after`, if one is named:
    /// earlier ones of that name are refused.
    pub fn sign(
        &self,
        request: &CheckedRequest,
        role: PeerRole,
        id: &str,
        now: WallMs,
        after: Option<WallMs>,
    ) -> Result<String, IdentityError> {
        let mut params = self.params(role, id, now, Lifetime::of(role))?;
        if let Some(after) = after {
            let first = instant(WallMs(after.0 / 1000 * 1000))?;
            params.not_before = params.not_before.max(first);
        }
        self.issue(&params, &request.key, now)
    }

    fn params(&self, role: PeerRole, id: &str, now: WallMs, lifetime: Lifetime) -> Result<CertificateParams, IdentityError> {
        check_id(id)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, format!("roundtable {role}"));
        let uri = Ia5String::try_from(uri_of(&self.cluster, role, id)).map_err(crypto)?;
        params.subject_alt_names = vec![SanType::URI(uri)];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.serial_number = Some(random_serial()?);
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, now, lifetime)?;
        Ok(params)
    }

    fn finish(
        &self,
        params: &CertificateParams,
        key: &impl PublicKeyData,
        key_pem: String,
        now: WallMs,
    ) -> Result<Credentials, IdentityError> {
        let certificate_pem = self.issue(params, key, now)?;
        Ok(Credentials { ca_pem: self.bundle_pem(), certificate_pem, key_pem })
    }

    /// A certificate with the intermediate that signed it behind it, PEM: who believes in the root can go from one to the other.
    fn issue(&self, params: &CertificateParams, key: &impl PublicKeyData, now: WallMs) -> Result<String, IdentityError> {
        let signer = self.signer(params, now)?;
        let certificate = params.signed_by(key, &signer.issuer).map_err(crypto)?;
        Ok(format!("{}{}", certificate.pem(), signer.certificate_pem))
    }

    /// The intermediate: the one there is, unless it is half over, is by another root, or would end before what it signs.
    fn signer(&self, params: &CertificateParams, now: WallMs) -> Result<Arc<Intermediate>, IdentityError> {
        // Held all the while: no step of a rotation comes in between certificate and key of the root.
        let roots = self.roots.read().unwrap_or_else(PoisonError::into_inner);
        let mut held = self.intermediate.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |one: &&Arc<Intermediate>| one.is_by(&roots.certificate_pem) && one.covers(params.not_before, params.not_after);
        let fitting = held.as_ref().filter(fits).cloned();
        if let Some(fitting) = fitting.clone().filter(|one| !one.is_past_half(now)) {
            return Ok(fitting);
        }
        match (Intermediate::make(&self.dir, &self.cluster, &roots.certificate_pem, now), fitting) {
            (Ok(made), _) => {
                let made = Arc::new(made);
                *held = Some(Arc::clone(&made));
                Ok(made)
            }
            // There is time to put the root's key back, or to make room.
            (Err(error), Some(fitting)) => {
                if self.is_warning_due(now) {
                    tracing::warn!(%error, until = fitting.ends_at().rfc3339(), "the next intermediate cannot be made; the present one signs on");
                }
                Ok(fitting)
            }
            (Err(error), None) => Err(error),
        }
    }

    /// Whether it is time to warn; once it has been asked, not for a day.
    pub(super) fn is_warning_due(&self, now: WallMs) -> bool {
        let last = self.warned_at.load(Ordering::Relaxed);
        // Of a clock that was put back far nobody is to wait for its old time.
        let is_due = last == 0 || now.0.abs_diff(last) >= WARN_EVERY_MS;
        if is_due {
            self.warned_at.store(now.0, Ordering::Relaxed);
        }
        is_due
    }
}

/// Makes a key and a request to have it certified.
pub fn new_csr() -> Result<Csr, IdentityError> {
    Csr::of(&new_key()?)
}

fn files(dir: &Path) -> [PathBuf; 3] {
    ["cluster", "ca.pem", "ca.key"].map(|name| dir.join(name))
}
