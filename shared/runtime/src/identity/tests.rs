//! Authority, names and files.
#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt;

use rustls::pki_types::pem::PemObject;

use super::*;
use roundtable_shared::time::WallMs;

const NOW: WallMs = WallMs(1_800_000_000_000);

fn identity_of(pem: &str) -> PeerIdentity {
    peer_identity(&CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap()
}

#[test]
fn the_authority_is_made_once_and_kept_private() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("ca");
    let made = Ca::open_or_create(&dir, NOW).unwrap();
    let again = Ca::open_or_create(&dir, WallMs(NOW.0 + 1)).unwrap();
    assert_eq!((made.cluster(), made.certificate_pem()), (again.cluster(), again.certificate_pem()));
    assert_eq!(made.cluster().len(), 16);
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    for file in std::fs::read_dir(&dir).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }
    std::fs::write(dir.join("ca.key"), "garbage").unwrap();
    assert!(matches!(Ca::open_or_create(&dir, NOW), Err(IdentityError::BadFile { .. })), "never replaced silently");
}

#[test]
fn names_come_from_the_certificate() {
    let home = tempfile::tempdir().unwrap();
    let ca = Ca::open_or_create(home.path(), NOW).unwrap();
    let client = ca.mint_client(PeerRole::Admin, "local", NOW, Lifetime::CLIENT).unwrap();
    let identity = identity_of(&client.certificate_pem);
    assert_eq!((identity.role, identity.id.as_str(), identity.cluster.as_str()), (PeerRole::Admin, "local", ca.cluster()));
    assert_eq!(identity.not_before_s, 1_800_000_000 - 300);
    let other = ca.mint_client(PeerRole::Admin, "local", NOW, Lifetime::CLIENT).unwrap();
    assert_ne!(identity.serial, identity_of(&other.certificate_pem).serial);
    let server = ca.mint_coordinator("c1", &["host.example".to_owned(), "10.0.0.7".to_owned()], NOW).unwrap();
    assert_eq!(identity_of(&server.certificate_pem).role, PeerRole::Coordinator);
    for bad in ["", "a/b", "..", "-x", "a b", "ü", &"x".repeat(129)] {
        assert!(matches!(ca.mint_client(PeerRole::Viewer, bad, NOW, Lifetime::CLIENT), Err(IdentityError::BadId { .. })), "{bad:?}");
    }
    assert!(peer_identity(&CertificateDer::from_pem_slice(ca.certificate_pem().as_bytes()).unwrap()).is_err(), "the authority is no peer");
}

#[test]
fn of_a_request_only_the_key_counts() {
    let home = tempfile::tempdir().unwrap();
    let ca = Ca::open_or_create(home.path(), NOW).unwrap();
    let csr = new_csr().unwrap();
    let request = CheckedRequest::read(&csr.request_pem).unwrap();
    let certificate = ca.sign(&request, PeerRole::Worker, "host-1", NOW, None).unwrap();
    let identity = identity_of(&certificate);
    assert_eq!((identity.role, identity.id.as_str()), (PeerRole::Worker, "host-1"));
    assert_eq!((identity.not_before_s, identity.not_after_s), (1_800_000_000 - 300, 1_800_000_000 + 86_400));
    assert_eq!(Csr::of_key(&csr.key_pem).unwrap().fingerprint, request.fingerprint());
    assert_ne!(new_csr().unwrap().fingerprint, request.fingerprint());
    let later = ca.sign(&request, PeerRole::Operator, "ada", NOW, Some(WallMs(NOW.0 + 999))).unwrap();
    let later = identity_of(&later);
    assert_eq!((later.role, later.not_before_s, later.not_after_s), (PeerRole::Operator, 1_800_000_000, 1_800_000_000 + 43_200));
    let key = rcgen::KeyPair::from_pem(&csr.key_pem).unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["evil.example".to_owned()]).unwrap();
    let uri = rcgen::string::Ia5String::try_from(uri_of(ca.cluster(), PeerRole::Admin, "evil")).unwrap();
    params.subject_alt_names.push(rcgen::SanType::URI(uri));
    params.is_ca = rcgen::IsCa::NoCa;
    let greedy = params.serialize_request(&key).unwrap().pem().unwrap();
    match CheckedRequest::read(&greedy) {
        Ok(request) => {
            let certificate = ca.sign(&request, PeerRole::Worker, "host-2", NOW, None).unwrap();
            assert_eq!(identity_of(&certificate).id, "host-2");
        }
        Err(error) => assert!(matches!(error, IdentityError::BadRequest { .. })),
    }
    let mut forged = csr.request_pem.clone().into_bytes();
    let at = forged.len() - 60;
    forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
    for bad in ["", "garbage", &String::from_utf8(forged).unwrap(), &csr.key_pem] {
        assert!(matches!(CheckedRequest::read(bad), Err(IdentityError::BadRequest { .. })), "{bad}");
    }
    assert!(matches!(CheckedRequest::read(&"x".repeat(1 << 20)), Err(IdentityError::BadRequest { .. })));
}

#[test]
fn the_authority_is_found_behind_a_coordinators_certificate() {
    let home = tempfile::tempdir().unwrap();
    let ca = Ca::open_or_create(home.path(), NOW).unwrap();
    let server = ca.mint_coordinator("c", &[], NOW).unwrap();
    let chain: Vec<_> = CertificateDer::pem_slice_iter(server.certificate_pem.as_bytes()).map(Result::unwrap).collect();
    let pins: Vec<Pin> = chain.iter().map(|each| Pin::of_certificate(each).unwrap()).collect();
    assert!(pins.len() == 2 && pins[0] != pins[1] && pins[1] == ca.pin().unwrap());
}

#[test]
fn the_client_file_is_private_and_tells_whether_its_process_runs() {
    let home = tempfile::tempdir().unwrap();
    let ca = Ca::open_or_create(&home.path().join("ca"), NOW).unwrap();
    assert_eq!(ClientFile::read(home.path()).unwrap(), None);
    let credentials = ca.mint_client(PeerRole::Admin, "local", NOW, Lifetime::CLIENT).unwrap();
    let file = ClientFile::of_this_process("127.0.0.1:7420", credentials, (1, 1), NOW);
    file.write(home.path()).unwrap();
    let read = ClientFile::read(home.path()).unwrap().unwrap();
    assert_eq!(read, file);
    assert!(read.process_runs());
    assert!(!format!("{read:?}").contains("PRIVATE"));
    let reborn = ClientFile { process_started: read.process_started.map(|ticks| ticks + 1), ..read.clone() };
    assert!(!reborn.process_runs());
    let path = ClientFile::path(home.path());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(ClientFile::read(home.path()), Err(IdentityError::BadFile { .. })));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    ClientFile { pid: 1, ..read }.write(home.path()).unwrap();
    ClientFile::remove_own(home.path()).unwrap();
    assert!(path.exists(), "another's");
    file.write(home.path()).unwrap();
    ClientFile::remove_own(home.path()).unwrap();
    assert!(!path.exists());
}

#[test]
fn credentials_are_due_at_half_time() {
    let home = tempfile::tempdir().unwrap();
    let ca = Ca::open_or_create(home.path(), NOW).unwrap();
    let client = ca.mint_client(PeerRole::Admin, "local", NOW, Lifetime::CLIENT).unwrap();
    let after = |hours: u64| WallMs(NOW.0 + hours * 3_600_000);
    assert!(!client.is_past_half(NOW).unwrap());
    assert!(!client.is_past_half(after(5)).unwrap());
    assert!(client.is_past_half(after(6)).unwrap());
    assert!(client.is_past(400, after(5)).unwrap() && !client.is_past(600, after(6)).unwrap());
    assert!(!client.is_past_renewal(after(12 + 30 * 24)).unwrap() && client.is_past_renewal(after(13 + 30 * 24)).unwrap());
    assert!(client.is_past_half(after(24 * 365)).unwrap());
    let damaged = Credentials { certificate_pem: "garbage".to_owned(), ..client };
    assert!(matches!(damaged.is_past_half(NOW), Err(IdentityError::BadCertificate { .. })));
}
