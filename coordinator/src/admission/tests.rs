//! The desk over a real driver: what is lost on the way, who comes at once, whose clock is wrong.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::time::Duration;

use roundtable_runtime::clock::ManualClock;
use roundtable_runtime::identity::{Credentials, Csr, JoinToken, new_csr};
use roundtable_shared::time::WallMs;
use roundtable_shared::view::{AccessReply, AccessRequest, CreatedToken, RootAct};
use roundtable_store::{MemoryDisk, MemoryLog, Snapshots};
use tokio::sync::{mpsc, watch};

use super::*;
use crate::driver::{Driver, Parts};

const NOW: WallMs = WallMs(1_800_000_000_000);

struct Rig {
    desk: Admissions,
    clock: ManualClock,
    disk: MemoryDisk,
    _ca: tempfile::TempDir,
    _shutdown: watch::Sender<bool>,
}

impl Rig {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ca = Arc::new(Ca::open_or_create(dir.path(), NOW).unwrap());
        Self::over(MemoryDisk::default(), ManualClock::new(1_000_000, NOW), ca, dir).await
    }

    async fn over(disk: MemoryDisk, clock: ManualClock, ca: Arc<Ca>, dir: tempfile::TempDir) -> Self {
        let (effects, mut shell) = mpsc::channel(64);
        tokio::spawn(async move { while shell.recv().await.is_some() {} });
        let log = Arc::new(MemoryLog::open(&disk));
        let snapshots = Snapshots::in_dir(&dir.path().join("snapshots"));
        let (driver, links) = Driver::open(Parts { log, snapshots, clock: Arc::new(clock.clone()), seed: 1, effects }).await.unwrap();
        let (shutdown, ended) = watch::channel(false);
        tokio::spawn(driver.run(ended));
        let desk = Admissions::new(links.handle, links.barred, ca, Arc::new(clock.clone()));
        desk.set_reach("https://host.example:7420".to_owned());
        Self { desk, clock, disk, _ca: dir, _shutdown: shutdown }
    }

    async fn token(&self, uses: u32) -> CreatedToken {
        let request =
            AccessRequest::CreateToken { role: AccessRole::Worker, ttl_ms: 3_600_000, uses, labels: BTreeMap::new(), ephemeral: false };
        let AccessReply::Created(made) = self.desk.manage(request, "ada".to_owned()).await.unwrap() else { panic!("a token") };
        made
    }

    fn wish(&self, token: &str, csr: &Csr, name: &str) -> Wish {
        let token = JoinToken::parse(token).unwrap();
        let shown = (token.id.clone(), token.secret().to_owned());
        Wish {
            token: Some(shown),
            csr_pem: csr.request_pem.clone(),
            name: name.to_owned(),
            is_exact: false,
            now: self.clock.wall(),
            is_worker: true,
        }
    }

    async fn join(&self, token: &str, csr: &Csr, name: &str) -> Result<Given, AdmissionError> {
        self.desk.join(self.wish(token, csr, name), [10, 0, 0, 1].into()).await
    }
}

fn identity(given: &Given, csr: &Csr) -> PeerIdentity {
    let credentials =
        Credentials { ca_pem: given.ca_pem.clone(), certificate_pem: given.certificate_pem.clone(), key_pem: csr.key_pem.clone() };
    credentials.peer().unwrap()
}

#[tokio::test]
async fn a_token_is_a_line_to_paste_and_its_secret_is_nowhere_in_the_log() {
    let rig = Rig::new().await;
    let made = rig.token(2).await;
    let read = JoinToken::parse(&made.token).unwrap();
    assert_eq!((read.id.as_str(), read.pins.len()), (made.id.as_str(), 1));
    assert_eq!(made.line, format!("ROUNDTABLE_TOKEN={} worker join https://host.example:7420 --backend codex", made.token));
    let csr = new_csr().unwrap();
    rig.join(&made.token, &csr, "w").await.unwrap();
    let log = MemoryLog::open(&rig.disk);
    let rows = roundtable_store::LogReader::read(&log, 1, 100).await.unwrap();
    assert!(rows.len() == 2 && rows.iter().all(|row| !row.body.contains(read.secret()) && !row.body.contains("PRIVATE")));
}

#[tokio::test]
async fn a_reply_lost_on_the_way_burns_nothing_also_over_a_restart() {
    let rig = Rig::new().await;
    let made = rig.token(1).await;
    let (csr, other) = (new_csr().unwrap(), new_csr().unwrap());
    let first = rig.join(&made.token, &csr, "w").await.unwrap();
    assert_eq!((identity(&first, &csr).role, first.peer.clone()), (PeerRole::Worker, PeerName::worker("w")));
    // The same key in a new request, from another address.
    let again = Csr::of_key(&csr.key_pem).unwrap();
    assert_eq!(rig.desk.join(rig.wish(&made.token, &again, "v"), [10, 0, 0, 9].into()).await.unwrap(), first);
    let Rig { disk, clock, _ca: dir, _shutdown: shutdown, desk } = rig;
    shutdown.send_replace(true);
    let ca = Arc::clone(&desk.ca);
    let rig = Rig::over(disk, clock, ca, dir).await;
    assert_eq!(rig.join(&made.token, &csr, "w").await.unwrap(), first);
    let refused = rig.join(&made.token, &other, "w").await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::NotAuthorised);
}

#[tokio::test]
async fn of_a_hundred_at_once_one_comes_in() {
    let rig = Rig::new().await;
    let made = rig.token(1).await;
    let mut joins = tokio::task::JoinSet::new();
    for n in 0..100_u8 {
        let (desk, csr) = (rig.desk.clone(), new_csr().unwrap());
        let wish = rig.wish(&made.token, &csr, "w-1");
        joins.spawn(async move { desk.join(wish, [10, 0, 1, n].into()).await });
    }
    let came_in = joins.join_all().await.into_iter().filter(Result::is_ok).count();
    assert_eq!(came_in, 1);
}

#[tokio::test]
async fn hosts_of_one_name_get_a_number_each_unless_they_insist() {
    let rig = Rig::new().await;
    let made = rig.token(9).await;
    for wanted in ["host-1", "host-2"] {
        assert_eq!(rig.join(&made.token, &new_csr().unwrap(), "host-1").await.unwrap().peer.id, wanted);
    }
    let csr = new_csr().unwrap();
    let insists = Wish { is_exact: true, ..rig.wish(&made.token, &csr, "host-1") };
    let refused = rig.desk.join(insists, [10, 0, 0, 1].into()).await.unwrap_err();
    assert!(refused.code() == ErrorCode::Conflict && refused.to_string().contains("--name"), "{refused}");
    // Nor does this host's own user take the name of one that came from elsewhere.
    let refused = rig.desk.enrol_own("host-1", &csr.request_pem).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::Conflict);
    for _ in 0..2 {
        rig.desk.enrol_own("host-3", &csr.request_pem).await.unwrap();
    }
    // And the other way round, though it has never been here.
    assert_eq!(rig.join(&made.token, &new_csr().unwrap(), "host-3").await.unwrap().peer.id, "host-4");
    assert_eq!(rig.desk.enrol_own("../x", &csr.request_pem).await.unwrap_err().code(), ErrorCode::InvalidInput);
}

#[tokio::test]
async fn the_coordinators_own_user_is_not_revoked_with_an_admin_from_elsewhere() {
    let rig = Rig::new().await;
    let own = crate::renewal::own_name();
    let request =
        AccessRequest::CreateToken { role: AccessRole::Admin, ttl_ms: 3_600_000, uses: 1, labels: BTreeMap::new(), ephemeral: false };
    let AccessReply::Created(made) = rig.desk.manage(request, "ada".to_owned()).await.unwrap() else { panic!("a token") };
    let wish = Wish { is_worker: false, ..rig.wish(&made.token, &new_csr().unwrap(), &own) };
    let came_in = rig.desk.join(wish, [10, 0, 0, 1].into()).await.unwrap().peer;
    assert_eq!((came_in.role, came_in.id.as_str()), (AccessRole::Admin, format!("{own}-1").as_str()));
}

#[tokio::test]
async fn clocks_that_are_far_apart_are_named_before_anything_is_spent() {
    let rig = Rig::new().await;
    let made = rig.token(1).await;
    let csr = new_csr().unwrap();
    for apart in [-600_000_i64, 600_000] {
        let theirs = WallMs(NOW.0.checked_add_signed(apart).unwrap());
        let refused = rig.desk.join(Wish { now: theirs, ..rig.wish(&made.token, &csr, "w") }, [10, 0, 0, 1].into()).await.unwrap_err();
        let text = refused.to_string();
        assert!(text.contains("10 minutes") && text.contains(&NOW.rfc3339()) && text.contains(&theirs.rfc3339()), "{text}");
    }
    let near = WallMs(NOW.0 + CLOCKS_APART_MAX_MS);
    rig.desk.join(Wish { now: near, ..rig.wish(&made.token, &csr, "w") }, [10, 0, 0, 1].into()).await.unwrap();
}

#[tokio::test]
async fn who_guesses_is_made_to_wait_and_others_are_not() {
    let rig = Rig::new().await;
    let made = rig.token(9).await;
    let csr = new_csr().unwrap();
    let wrong = made.token.replacen(&made.token[made.token.len() - 64..], &"0".repeat(64), 1);
    for _ in 0..10 {
        assert_eq!(rig.join(&wrong, &csr, "w").await.unwrap_err().code(), ErrorCode::NotAuthorised);
    }
    assert_eq!(rig.join(&made.token, &csr, "w").await.unwrap_err().code(), ErrorCode::Exhausted);
    rig.desk.join(rig.wish(&made.token, &csr, "w"), [10, 0, 0, 2].into()).await.unwrap();
    rig.clock.advance(60_000);
    rig.join(&made.token, &csr, "w").await.unwrap();
}

#[tokio::test]
async fn what_is_no_id_of_a_token_is_refused_and_not_repeated_at_length() {
    let rig = Rig::new().await;
    let (made, csr) = (rig.token(1).await, new_csr().unwrap());
    let strange = Wish { token: Some(("\n".repeat(60_000), String::new())), ..rig.wish(&made.token, &csr, "w") };
    let refused = rig.desk.join(strange, [10, 0, 0, 1].into()).await.unwrap_err();
    assert!(refused.code() == ErrorCode::InvalidInput && refused.to_string().len() < 1_000, "{}", refused.to_string().len());
}

#[tokio::test]
async fn a_certificate_is_renewed_for_another_key_until_its_bearer_is_revoked() {
    let rig = Rig::new().await;
    let made = rig.token(1).await;
    let (csr, fresh) = (new_csr().unwrap(), new_csr().unwrap());
    let first = rig.join(&made.token, &csr, "w").await.unwrap();
    let before = identity(&first, &csr);
    rig.clock.advance(12 * 3_600_000);
    let renewed = rig.desk.renew(&before, &fresh.request_pem).await.unwrap();
    let after = identity(&renewed, &fresh);
    assert_eq!((after.id.as_str(), after.role), ("w", PeerRole::Worker));
    assert!(after.not_after_s == before.not_after_s + 12 * 3600 && after.serial != before.serial);
    assert!(rig.desk.renew(&before, "garbage").await.is_err());
    rig.desk.manage(AccessRequest::Revoke { id: "w".to_owned() }, "ada".to_owned()).await.unwrap();
    for identity in [&before, &after] {
        let refused = rig.desk.renew(identity, &fresh.request_pem).await.unwrap_err();
        assert!(refused.code() == ErrorCode::NotAuthorised && refused.to_string().contains("revoked"), "{refused}");
    }
    // The name comes in anew, with certificates that the revocation does not touch.
    let anew = rig.join(&rig.token(1).await.token, &fresh, "w").await.unwrap();
    let anew = identity(&anew, &fresh);
    assert_eq!((rig.desk.barred.refuses(&anew), rig.desk.barred.refuses(&after)), (None, Some(How::Revoked)));
    rig.clock.advance(3_600_000);
    assert_eq!(rig.desk.barred.refuses(&identity(&rig.desk.renew(&anew, &csr.request_pem).await.unwrap(), &csr)), None);
}

#[tokio::test]
async fn a_token_in_the_wrong_program_is_not_spent() {
    let rig = Rig::new().await;
    let made = rig.token(1).await;
    let csr = new_csr().unwrap();
    let person = Wish { is_worker: false, ..rig.wish(&made.token, &csr, "ada") };
    let refused = rig.desk.join(person, [10, 0, 0, 1].into()).await.unwrap_err();
    assert!(refused.code() == ErrorCode::InvalidInput && refused.to_string().contains("worker join"), "{refused}");
    rig.join(&made.token, &csr, "w").await.unwrap();
}

#[tokio::test]
async fn a_key_is_admitted_by_its_fingerprint() {
    let rig = Rig::new().await;
    let csr = new_csr().unwrap();
    let wish = || Wish { token: None, csr_pem: csr.request_pem.clone(), name: "x".to_owned(), is_exact: false, now: NOW, is_worker: true };
    let refused = rig.desk.join(wish(), [10, 0, 0, 1].into()).await.unwrap_err().to_string();
    assert!(refused.contains(&format!("worker add --key {}", csr.fingerprint)), "{refused}");
    let add = |key: &str| AccessRequest::AddWorker { key: key.to_owned(), name: Some("ci".to_owned()), labels: BTreeMap::new() };
    assert!(rig.desk.manage(add("short"), "ada".to_owned()).await.is_err());
    let Ok(AccessReply::Done { text, .. }) = rig.desk.manage(add(&csr.fingerprint), "ada".to_owned()).await else { panic!("done") };
    assert!(text.contains("--pin ") && text.contains("https://host.example:7420"), "{text}");
    assert_eq!(rig.desk.join(wish(), [10, 0, 0, 1].into()).await.unwrap().peer, PeerName::worker("ci"));
    // Its certificate is given again for as long as it is of any use.
    let again = || Wish { now: rig.clock.wall(), ..wish() };
    rig.clock.advance(30 * 24 * 3_600_000);
    rig.desk.join(again(), [10, 0, 0, 1].into()).await.unwrap();
    rig.clock.advance(2 * 24 * 3_600_000);
    let refused = rig.desk.join(again(), [10, 0, 0, 1].into()).await.unwrap_err();
    assert!(refused.code() == ErrorCode::NotAuthorised && refused.to_string().contains("token revoke"), "{refused}");
}

#[tokio::test]
async fn a_next_root_goes_out_with_every_certificate_and_token_before_it_signs() {
    let rig = Rig::new().await;
    let csr = new_csr().unwrap();
    let first = rig.join(&rig.token(1).await.token, &csr, "w").await.unwrap();
    let act = |act| rig.desk.manage(AccessRequest::Root { act }, "ada".to_owned());
    assert_eq!(act(RootAct::Switch { early: false }).await.unwrap_err().code(), ErrorCode::Conflict);
    act(RootAct::Next).await.unwrap();
    assert!(matches!(act(RootAct::Next).await, Ok(AccessReply::Done { unchanged: true, .. })));
    assert_eq!(JoinToken::parse(&rig.token(1).await.token).unwrap().pins.len(), 2);
    let renewed = rig.desk.renew(&identity(&first, &csr), &csr.request_pem).await.unwrap();
    assert!(renewed.ca_pem.starts_with(&first.ca_pem) && renewed.ca_pem.len() > first.ca_pem.len());
    assert_eq!(act(RootAct::Switch { early: false }).await.unwrap_err().code(), ErrorCode::Conflict, "not everybody knows it");
    rig.clock.advance(24 * 3_600_000);
    act(RootAct::Switch { early: false }).await.unwrap();
    assert_eq!(rig.desk.ca.pin().unwrap(), JoinToken::parse(&rig.token(1).await.token).unwrap().pins[0]);
    assert_eq!(act(RootAct::Drop { early: false }).await.unwrap_err().code(), ErrorCode::Conflict, "certificates of it are good still");
    act(RootAct::Drop { early: true }).await.unwrap();
}

#[tokio::test]
async fn who_is_told_of_a_revocation_can_rely_on_it() {
    let rig = Rig::new().await;
    let made = rig.token(1).await;
    rig.join(&made.token, &new_csr().unwrap(), "w").await.unwrap();
    let mut changes = rig.desk.barred.changes();
    rig.desk.manage(AccessRequest::Revoke { id: "worker/w".to_owned() }, "ada".to_owned()).await.unwrap();
    assert!(rig.desk.barred.until(&PeerName::worker("w")).is_some());
    tokio::time::timeout(Duration::from_secs(20), changes.changed()).await.unwrap().unwrap();
    let wrong = rig.desk.manage(AccessRequest::Revoke { id: "king/w".to_owned() }, "ada".to_owned()).await.unwrap_err();
    assert_eq!(wrong.code(), ErrorCode::InvalidInput);
}
