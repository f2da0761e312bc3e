//! Connections: TLS 1.3 with certificates on both sides, always, on loopback too. Accepting is `accept.rs`, connecting is `connect.rs`,
//! pages for other programs are `page.rs`.

mod accept;
mod admission;
mod begun;
mod connect;
mod connections;
mod handshakes;
mod page;
mod verify;

use std::sync::{Arc, PoisonError, RwLock};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::identity::{Credentials, Pin};

pub use accept::{AcceptLimits, Incoming, Listener, PeerInfo, Standing, TlsConnection};
pub use admission::{Admission, Admit};
pub use connect::{
    Asked, ConnectError, Source, authority, check_address, connect, connect_asking, connect_over, connect_pinned, lazily, lazily_asking,
    lazily_over, probe, reach,
};
pub use connections::Connections;
pub use page::{page_config, page_peer};
use verify::{PeerVerifier, PinVerifier};

/// Why TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Certificates or keys that cannot be read.
    #[error("the credentials are not usable: {0}")]
    Credentials(String),
    /// rustls refuses them.
    #[error("TLS could not be set up: {0}")]
    Rustls(#[from] rustls::Error),
}

const ALPN: &[u8] = b"h2";

/// A coordinator's side of TLS: the configuration and the means to renew its certificate without a restart.
#[derive(Clone, Debug)]
pub struct ServerTls {
    config: Arc<ServerConfig>,
    current: Arc<Current>,
    verifier: Arc<PeerVerifier>,
}

impl ServerTls {
    /// Sets up with these credentials. Peers show a certificate of the same authority; one that shows none, or one that has ended, is told apart by its
    /// [`Standing`].
    pub fn new(credentials: &Credentials) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = Arc::new(PeerVerifier::new(roots(credentials)?, &provider)?);
        let current = Arc::new(Current(RwLock::new(Arc::new(certified_key(credentials)?))));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(Arc::clone(&verifier) as Arc<dyn ClientCertVerifier>)
            .with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![ALPN.to_vec()];
        // A resumed session would skip the look at the peer's certificate.
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self { config: Arc::new(config), current, verifier })
    }

    /// Uses another certificate, and believes in its roots, from the next handshake on.
    pub fn renew(&self, credentials: &Credentials) -> Result<(), TlsError> {
        let key = Arc::new(certified_key(credentials)?);
        self.verifier.believe(roots(credentials)?)?;
        *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = key;
        Ok(())
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }
}

#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// A client's side of TLS: shows its certificate and believes in no other authority than its own.
pub fn client_config(credentials: &Credentials) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let (chain, key) = chain_and_key(credentials)?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots(credentials)?)
        .with_client_auth_cert(chain, key)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

/// The client's side of TLS for whoever joins: it shows nothing, and believes in the authority with one of these digests alone.
fn joiner_config(pins: &[Pin]) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Arc::new(PinVerifier::new(pins, &provider));
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

fn roots(credentials: &Credentials) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&credentials.ca_pem)? {
        roots.add(certificate)?;
    }
    Ok(roots)
}

fn certified_key(credentials: &Credentials) -> Result<CertifiedKey, TlsError> {
    let (chain, key) = chain_and_key(credentials)?;
    Ok(CertifiedKey::from_der(chain, key, &rustls::crypto::ring::default_provider())?)
}

fn chain_and_key(credentials: &Credentials) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
    let key = PrivateKeyDer::from_pem_slice(credentials.key_pem.as_bytes()).map_err(unreadable)?;
    Ok((certificates(&credentials.certificate_pem)?, key))
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().map_err(unreadable)?;
    if all.is_empty() { Err(TlsError::Credentials("no certificate in it".to_owned())) } else { Ok(all) }
}

fn unreadable(error: impl std::fmt::Display) -> TlsError {
    TlsError::Credentials(error.to_string())
}

#[cfg(test)]
mod tests;
