//! Join tokens: what a host or a person needs to come in for the first time, in one word that can be pasted. It names the authority to be found, so that
//! nothing is told to another one.

use std::fmt;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{IdentityError, check_id};

/// What every token of this form begins with.
const VERSION: &str = "rt1";
/// Hex digits of a digest and of a secret.
const HEX_DIGITS: usize = 64;
/// Authorities a token can name: two, while one takes over from another.
const PINS_MAX: usize = 2;

/// SHA-256 of an authority's public key, lower-case hex: by this it is known before it is trusted.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Pin(String);

impl Pin {
    /// Reads 64 hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        is_hex(&text).then_some(Self(text))
    }

    /// That of a certificate's key.
    pub fn of_certificate(certificate: &CertificateDer<'_>) -> Result<Self, IdentityError> {
        let (_, parsed) =
            X509Certificate::from_der(certificate).map_err(|_| IdentityError::BadCertificate { why: "it cannot be parsed".to_owned() })?;
        Ok(Self(sha256_hex(parsed.tbs_certificate.subject_pki.raw)))
    }

    /// The same, of PEM.
    pub(super) fn of_pem(pem: &str) -> Result<Self, IdentityError> {
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| IdentityError::Crypto(error.to_string()))?;
        Self::of_certificate(&der)
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A token as its bearer has it. Never in a log: it shows its id alone.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// The authorities it is for.
    pub pins: Vec<Pin>,
    /// Its public part.
    pub id: String,
    secret: String,
}

impl JoinToken {
    /// A new one.
    pub fn draw(pins: Vec<Pin>) -> Result<Self, IdentityError> {
        Ok(Self { pins, id: random_hex::<5>()?, secret: random_hex::<32>()? })
    }

    /// Reads one. What is wrong is said without repeating it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let cut = || "it is no join token, or cut: one begins with `rt1.` and has 4 parts; copy the whole line".to_owned();
        let mut parts = text.trim().split('.');
        let (Some(version), Some(pins), Some(id), Some(secret), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(cut());
        };
        if version != VERSION {
            return Err("it is a join token of another release; use that one, or ask for a new token".to_owned());
        }
        let pins: Option<Vec<Pin>> = pins.split('-').map(Pin::parse).collect();
        match pins {
            Some(pins) if pins.len() <= PINS_MAX && check_id(id).is_ok() && is_hex(secret) => {
                Ok(Self { pins, id: id.to_owned(), secret: secret.to_owned() })
            }
            _ => Err(cut()),
        }
    }

    /// All of it, for its bearer alone.
    pub fn reveal(&self) -> String {
        let pins: Vec<&str> = self.pins.iter().map(Pin::as_str).collect();
        format!("{VERSION}.{}.{}.{}", pins.join("-"), self.id, self.secret)
    }

    /// What is shown to the authority that was found to be the right one.
    pub fn secret(&self) -> &str {
        &self.secret
    }
}

/// What is kept of a secret.
pub fn digest_of_secret(secret: &str) -> String {
    sha256_hex(secret.as_bytes())
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinToken").field("id", &self.id).finish_non_exhaustive()
    }
}

pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    hex(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref())
}

pub(super) fn random_hex<const N: usize>() -> Result<String, IdentityError> {
    let mut bytes = [0_u8; N];
    getrandom::fill(&mut bytes).map_err(|error| IdentityError::Crypto(error.to_string()))?;
    Ok(hex(&bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_hex(text: &str) -> bool {
    text.len() == HEX_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_token_survives_pasting_and_shows_no_secret() {
        let pins = vec![Pin::parse(&"a1".repeat(32)).unwrap(), Pin::parse(&"B2".repeat(32)).unwrap()];
        let token = JoinToken::draw(pins).unwrap();
        let text = token.reveal();
        assert_eq!(JoinToken::parse(&format!(" {text}\n")).unwrap(), token);
        assert!(!format!("{token:?}").contains(token.secret()) && text.contains(token.secret()));
        assert_ne!(JoinToken::draw(token.pins.clone()).unwrap().secret(), token.secret());
        let bad = ["", "rt1", &text[..text.len() - 1], &text.replace("rt1", "rt2"), &format!("{text}.x"), &text.replacen('.', "..", 1)];
        for bad in bad {
            let why = JoinToken::parse(bad).unwrap_err();
            assert!(!why.contains(token.secret()), "{why}");
        }
    }

    #[test]
    fn digests_are_sha256() {
        assert_eq!(digest_of_secret("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
