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

/// A key of P-384 that has signed with SHA-256: by the name of its signature, it is one of P-256.
const OTHER_CURVE: &str = "-----BEGIN CERTIFICATE REQUEST-----\n\
    MIH2MH8CAQAwADB2MBAGByqGSM49AgEGBSuBBAAiA2IABJd7UGi1WTQdUrh6aT/4\n\
    1gTYKfAanXU9MyAvBRvNGYRU6RdyOBM5NPHLkK+P/rBBfWKKhGS5YGQfG6LFfv6x\n\
    pdyBsmOSEIrtiIaURhPYySvKehvGiYYtn5ZXNJ+L5uL8TKAAMAoGCCqGSM49BAMC\n\
    A2cAMGQCMGojHmsIRg4XgvyeFTC0MhwRkbiJL38Uou5m6yjX4vYKpzS+ntYEtM0n\n\
    W8IbJQGKQgIweaxMEMWf2Ym31xD4BJr4/SgIUsEk2Nf8+ubfT/llH/EXscdb0LsY\n\
    nl4U1rj0JV+U\n\
    -----END CERTIFICATE REQUEST-----\n";

#[test]
fn a_request_of_another_curve_is_not_taken_for_one_of_ours() {
    let refused = CheckedRequest::read(OTHER_CURVE).map(|request| request.fingerprint());
    assert!(matches!(&refused, Err(IdentityError::BadRequest { why }) if why.contains("P-256")), "{refused:?}");
}

#[test]
fn the_authority_is_found_behind_a_coordinators_certificate() {
    let home = tempfile::tempdir().unwrap();
    let ca = Ca::open_or_create(home.path(), NOW).unwrap();
    let server = ca.mint_coordinator("c", &[], NOW).unwrap();
    let chain: Vec<_> = CertificateDer::pem_slice_iter(server.certificate_pem.as_bytes()).map(Result::unwrap).collect();
    let pins: Vec<Pin> = chain.iter().map(|each| Pin::of_certificate(each).unwrap()).collect();
    // Its own, the intermediate's, the root's.
    assert!(pins.len() == 3 && pins[0] != pins[1] && pins[1] != pins[2] && pins[2] == ca.pin().unwrap());
}

/// The one that signed, by what stands behind a certificate.
fn signer(certificate_pem: &str) -> Pin {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate_pem.as_bytes()).map(Result::unwrap).collect();
    Pin::of_certificate(&chain[1]).unwrap()
}

fn after(days: u64) -> WallMs {
    WallMs(NOW.0 + days * 86_400_000)
}

#[test]
fn what_signs_is_made_anew_in_time_and_outlives_all_it_signs() {
    let home = tempfile::tempdir().unwrap();
    let ca = Ca::open_or_create(home.path(), NOW).unwrap();
    assert_eq!(ca.signs_until(), None);
    let made = |ca: &Ca, at: WallMs| signer(&ca.mint_coordinator("c", &[], at).unwrap().certificate_pem);
    let first = made(&ca, NOW);
    let file = home.path().join(INTERMEDIATE_FILE);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let client = ca.mint_client(PeerRole::Admin, "me", NOW, Lifetime::CLIENT).unwrap();
    assert_eq!((signer(&client.certificate_pem), client.authorities().unwrap()), (first.clone(), vec![ca.pin().unwrap()]));
    // The same over a restart; another from half time on, long before a certificate could end after it.
    let again = Ca::open_or_create(home.path(), after(1)).unwrap();
    assert_eq!((made(&again, after(44)), again.signs_until()), (first.clone(), Some(after(90))));
    let second = made(&again, after(46));
    assert!(second != first && again.signs_until() == Some(after(136)));
    // One that was off for a year, and one whose clock was put back.
    assert_ne!(made(&again, after(400)), second);
    let back = made(&again, NOW);
    assert!(back != first && again.signs_until() == Some(after(90)));
    std::fs::write(&file, "garbage").unwrap();
    assert_ne!(made(&Ca::open_or_create(home.path(), NOW).unwrap(), NOW), back, "the root makes another");
    // By the root that signs: a switch makes it anew.
    again.step(RootStep::Next, NOW).unwrap();
    again.step(RootStep::Switch { early: true }, NOW).unwrap();
    assert_eq!(again.signs_until(), None, "that of the former root signs nothing more");
    assert_ne!(made(&again, NOW), back);
    assert_eq!(again.signs_until(), Some(after(90)));
}

#[test]
fn the_roots_key_may_lie_elsewhere_for_weeks() {
    let home = tempfile::tempdir().unwrap();
    let ca = Ca::open_or_create(home.path(), NOW).unwrap();
    ca.mint_coordinator("c", &[], NOW).unwrap();
    let (here, safe) = (home.path().join("ca.key"), home.path().join("safe"));
    std::fs::rename(&here, &safe).unwrap();
    let pin = ca.pin().unwrap();
    let ca = Ca::open_or_create(home.path(), after(60)).unwrap();
    assert_eq!(ca.pin().unwrap(), pin, "no new authority is begun");
    ca.mint_coordinator("c", &[], after(60)).unwrap();
    let away = ca.mint_coordinator("c", &[], after(84)).unwrap_err();
    assert!(matches!(&away, IdentityError::RootAway { .. }) && away.to_string().contains("ca.key"), "it would end too early: {away}");
    ca.mint_client(PeerRole::Admin, "me", after(84), Lifetime::CLIENT).expect("that ends earlier");
    let other = Ca::open_or_create(&home.path().join("other"), NOW).unwrap();
    std::fs::copy(home.path().join("other/ca.key"), &here).unwrap();
    let wrong = ca.mint_coordinator("c", &[], after(84)).unwrap_err().to_string();
    assert!(wrong.contains("not the key of ca.pem") && other.pin().unwrap() != pin, "{wrong}");
    std::fs::rename(&safe, &here).unwrap();
    ca.mint_coordinator("c", &[], after(84)).unwrap();
    assert_eq!(ca.signs_until(), Some(after(84 + 90)));
}

#[test]
fn a_clock_that_is_put_back_a_little_makes_no_other_intermediate() {
    let home = tempfile::tempdir().unwrap();
    let ca = Ca::open_or_create(home.path(), NOW).unwrap();
    ca.mint_coordinator("c", &[], NOW).unwrap();
    let made = std::fs::read(home.path().join(INTERMEDIATE_FILE)).unwrap();
    for back in [1, 30, 299] {
        ca.mint_client(PeerRole::Worker, "w", WallMs(NOW.0 - back * 1000), Lifetime::WORKER).unwrap();
        assert_eq!(std::fs::read(home.path().join(INTERMEDIATE_FILE)).unwrap(), made, "{back} s");
    }
    ca.mint_client(PeerRole::Worker, "w", WallMs(NOW.0 - 301_000), Lifetime::WORKER).unwrap();
    assert_ne!(std::fs::read(home.path().join(INTERMEDIATE_FILE)).unwrap(), made, "it could not be checked by that one");
}

#[test]
fn that_the_roots_key_is_away_is_warned_of_once_a_day() {
    let home = tempfile::tempdir().unwrap();
    let ca = Ca::open_or_create(home.path(), NOW).unwrap();
    let hours = |hours: u64| WallMs(NOW.0 + hours * 3_600_000);
    let due = [0, 1, 12, 23, 24, 25, 47, 48].map(|at| ca.is_warning_due(hours(at)));
    assert_eq!(due, [true, false, false, false, true, false, false, true]);
    assert!(ca.is_warning_due(NOW), "its clock was put back by two days");
}

#[test]
fn an_interrupted_first_start_is_finished_with_the_key_it_made() {
    let home = tempfile::tempdir().unwrap();
    let ca = Ca::open_or_create(home.path(), NOW).unwrap();
    std::fs::remove_file(home.path().join("ca.pem")).unwrap();
    let again = Ca::open_or_create(home.path(), NOW).unwrap();
    assert_eq!((again.pin().unwrap(), again.cluster()), (ca.pin().unwrap(), ca.cluster()));
    std::fs::remove_file(home.path().join("ca.pem")).unwrap();
    std::fs::remove_file(home.path().join("ca.key")).unwrap();
    Ca::open_or_create(home.path(), NOW).unwrap().mint_coordinator("c", &[], NOW).unwrap();
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
