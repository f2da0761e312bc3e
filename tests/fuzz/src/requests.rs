//! Certificate requests, and what else names a peer before anybody is known: a request that is taken is signed by the key it shows and names nobody but the one we
//! say; a certificate's name and a join token have one spelling.

use std::sync::OnceLock;

use prost::Message;
use roundtable_proto::v1;
use roundtable_runtime::identity::{Ca, CheckedRequest, JoinToken, PeerRole, Pin, check_id, peer_identity};
use roundtable_shared::time::WallMs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Now, as far as these certificates know.
const NOW: WallMs = WallMs(1_767_225_600_000);

/// Reads the bytes as a request (as text, or as what is inside of it), a certificate, a token or a message of one who would join.
pub fn check(data: &[u8]) {
    let Some((kind, bytes)) = crate::chosen(data, 5) else { return };
    let text = String::from_utf8_lossy(bytes);
    match kind {
        0 => request(&text),
        1 => request(&pem("CERTIFICATE REQUEST", bytes)),
        2 => certificate(bytes),
        3 => token(&text),
        _ => {
            if let Ok(join) = v1::JoinRequest::decode(bytes) {
                request(&join.csr_pem);
            }
        }
    }
}

fn ca() -> &'static Ca {
    // With its folder, where it looks for the root's key when it first signs.
    static CA: OnceLock<(Ca, tempfile::TempDir)> = OnceLock::new();
    let (ca, _) = CA.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        (Ca::open_or_create(dir.path(), NOW).unwrap(), dir)
    });
    ca
}

fn request(text: &str) {
    let checked = match CheckedRequest::read(text) {
        Ok(checked) => checked,
        Err(error) => return assert!(error.to_string().contains("request"), "{error}"),
    };
    let der = CertificateSigningRequestDer::from_pem_slice(text.as_bytes()).expect("it was read from this");
    let (_, parsed) = X509CertificationRequest::from_der(&der).expect("it was read");
    parsed.verify_signature().expect("it is signed by its own key");
    let key = &parsed.certification_request_info.subject_pki;
    assert_eq!(checked.fingerprint(), sha256(key.raw));
    let signed = ca().sign(&checked, PeerRole::Worker, "w1", NOW, None).expect("what was taken can be certified");
    let signed = CertificateDer::from_pem_slice(signed.as_bytes()).unwrap();
    let who = peer_identity(&signed).unwrap();
    assert_eq!((who.role, who.id.as_str(), who.cluster.as_str()), (PeerRole::Worker, "w1", ca().cluster()), "the names are ours to give");
    let (_, made) = X509Certificate::from_der(&signed).unwrap();
    assert_eq!(made.tbs_certificate.subject_pki.raw, key.raw, "another key than was asked for");
    assert!(!made.is_ca());
    let names = made.subject_alternative_name().unwrap().unwrap();
    assert_eq!(names.value.general_names.len(), 1, "a name that was asked for");
}

/// A name that is understood is one of ours, spelt as we spell it.
fn certificate(bytes: &[u8]) {
    let der = CertificateDer::from(bytes.to_vec());
    if let Ok(who) = peer_identity(&der) {
        assert!(check_id(&who.id).is_ok() && check_id(&who.cluster).is_ok());
        let name = format!("spiffe://{}/{}/{}", who.cluster, who.role, who.id);
        assert!(bytes.windows(name.len()).any(|part| part == name.as_bytes()), "{name} is not in it");
    }
    if let Ok(pin) = Pin::of_certificate(&der) {
        assert_eq!(Pin::parse(pin.as_str()), Some(pin));
    }
}

fn token(text: &str) {
    match JoinToken::parse(text) {
        Ok(token) => {
            assert_eq!(JoinToken::parse(&token.reveal()), Ok(token.clone()));
            let pasted: String = text.split_whitespace().collect();
            assert!(token.reveal().eq_ignore_ascii_case(&pasted), "another spelling of it");
            assert!(!format!("{token:?}").contains(token.secret()));
        }
        Err(why) => assert!(text.trim().len() < 16 || !why.contains(text.trim()), "what is wrong is said without repeating it"),
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in base64(der).as_bytes().chunks(64) {
        text.push_str(std::str::from_utf8(line).unwrap());
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let word = three.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for at in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * at) & 63) as usize];
            text.push(if at <= three.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

fn sha256(bytes: &[u8]) -> String {
    ring::digest::digest(&ring::digest::SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
