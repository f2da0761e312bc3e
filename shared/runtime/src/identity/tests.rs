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
    let certificate = ca.sign_worker(&csr.request_pem, "host-1", NOW).unwrap();
    let identity = identity_of(&certificate);
    assert_eq!((identity.role, identity.id.as_str()), (PeerRole::Worker, "host-1"));
    let key = rcgen::KeyPair::from_pem(&csr.key_pem).unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["evil.example".to_owned()]).unwrap();
    let uri = rcgen::string::Ia5String::try_from(uri_of(ca.cluster(), PeerRole::Admin, "evil")).unwrap();
    params.subject_alt_names.push(rcgen::SanType::URI(uri));
    params.is_ca = rcgen::IsCa::NoCa;
    let greedy = params.serialize_request(&key).unwrap().pem().unwrap();
    match ca.sign_worker(&greedy, "host-2", NOW) {
        Ok(certificate) => assert_eq!(identity_of(&certificate).id, "host-2"),
        Err(error) => assert!(matches!(error, IdentityError::BadRequest { .. })),
    }
    let mut forged = csr.request_pem.clone().into_bytes();
    let at = forged.len() - 60;
    forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
    for bad in ["", "garbage", &String::from_utf8(forged).unwrap(), &csr.key_pem] {
        assert!(matches!(ca.sign_worker(bad, "w", NOW), Err(IdentityError::BadRequest { .. })), "{bad}");
    }
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
    assert!(!client.is_past_half(after(83)).unwrap());
    assert!(client.is_past_half(after(84)).unwrap());
    assert!(client.is_past_half(after(24 * 365)).unwrap());
    let damaged = Credentials { certificate_pem: "garbage".to_owned(), ..client };
    assert!(matches!(damaged.is_past_half(NOW), Err(IdentityError::BadCertificate { .. })));
}
