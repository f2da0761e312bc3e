//! Whom each side believes: a coordinator the certificates of its authority, also for a while after their end and also nobody at all (what they may do then
//! is decided elsewhere); a joiner the one authority whose digest it was given. Chains and signatures are checked by webpki.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};

use super::TlsError;
use crate::identity::{Pin, RENEWABLE_FOR, peer_identity};

/// A coordinator's look at its peers.
#[derive(Debug)]
pub(super) struct PeerVerifier {
    /// Replaced when the roots change.
    webpki: RwLock<Arc<dyn ClientCertVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl PeerVerifier {
    pub(super) fn new(roots: RootCertStore, provider: &Arc<CryptoProvider>) -> Result<Self, TlsError> {
        Ok(Self { webpki: RwLock::new(believer(roots, provider)?), provider: Arc::clone(provider) })
    }

    /// Believes in these roots from the next handshake on.
    pub(super) fn believe(&self, roots: RootCertStore) -> Result<(), TlsError> {
        let webpki = believer(roots, &self.provider)?;
        *self.webpki.write().unwrap_or_else(PoisonError::into_inner) = webpki;
        Ok(())
    }

    fn webpki(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::clone(&self.webpki.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn believer(roots: RootCertStore, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let webpki = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).allow_unauthenticated().build();
    webpki.map_err(|error| TlsError::Credentials(error.to_string()))
}

impl ClientCertVerifier for PeerVerifier {
    fn offer_client_auth(&self) -> bool {
        true
    }

    /// Who joins has none yet.
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// None: a peer has one certificate, and shows that.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let webpki = self.webpki();
        let refused = match webpki.verify_client_cert(end_entity, intermediates, now) {
            Err(error @ Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. })) => error,
            verified => return verified,
        };
        // It may still be renewed: all but its end must be right, so it is looked at as of its last second.
        let Some(end) = peer_identity(end_entity).ok().and_then(|identity| u64::try_from(identity.not_after_s).ok()) else {
            return Err(refused);
        };
        let grace = u64::try_from(RENEWABLE_FOR.whole_seconds()).unwrap_or(0);
        if now.as_secs() <= end || now.as_secs() > end.saturating_add(grace) {
            return Err(refused);
        }
        webpki.verify_client_cert(end_entity, intermediates, UnixTime::since_unix_epoch(Duration::from_secs(end)))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki().verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki().verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki().supported_verify_schemes()
    }
}

/// A joiner's look at a coordinator: the authority behind its certificate must be one that the token names, before anything is said.
#[derive(Debug)]
pub(super) struct PinVerifier {
    pins: Vec<Pin>,
    provider: Arc<CryptoProvider>,
}

impl PinVerifier {
    pub(super) fn new(pins: &[Pin], provider: &Arc<CryptoProvider>) -> Self {
        Self { pins: pins.to_vec(), provider: Arc::clone(provider) }
    }
}

impl ServerCertVerifier for PinVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let is_pinned = |certificate: &&CertificateDer<'_>| Pin::of_certificate(certificate).is_ok_and(|pin| self.pins.contains(&pin));
        let root = intermediates.iter().find(is_pinned).ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        let mut roots = RootCertStore::empty();
        roots.add(root.clone().into_owned())?;
        let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider)).build();
        let webpki = webpki.map_err(|error| Error::General(error.to_string()))?;
        webpki.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("only TLS 1.3 is spoken here".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
