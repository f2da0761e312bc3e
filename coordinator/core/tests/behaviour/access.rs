//! Who may come in: a token is spent once per key whatever is lost on the way, and a revocation ends all that its bearer had.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use roundtable_core::command::{AccessCommand, Act, Command, Joining, NewToken, Operate, Presented};
use roundtable_core::effect::Effect;
use roundtable_core::fleet::LOST_MS;
use roundtable_core::state::{Admits, BARRED_KEPT_MS, PEER_KEPT_MS, TOKEN_KEPT_MS};
use roundtable_core::{Rejection, Reply, free_name, invariants};
use roundtable_shared::error::ErrorCode;
use roundtable_shared::time::WallMs;
use roundtable_shared::{AccessRole, PeerName, UnitState, WorkerId};

use crate::table::{Table, options};

const HOUR_MS: u64 = 3_600_000;
const TWO: &str = "- [ ] 1. Write a\n  - _writes: a.rs_\n- [ ] 2. Write b\n  - _writes: b.rs_\n";

fn token(table: &Table, uses: u32) -> NewToken {
    NewToken {
        id: "t1".into(),
        role: AccessRole::Worker,
        admits: Admits::Secret("digest".to_owned()),
        name: None,
        uses,
        labels: BTreeMap::from([("zone".to_owned(), "a".to_owned())]),
        ephemeral: false,
        expires_at: Some(WallMs(table.now.wall.0 + HOUR_MS)),
        by: "ada".to_owned(),
    }
}

fn create(table: &mut Table, token: NewToken) -> Result<Reply, Rejection> {
    table.ask(Command::Access(AccessCommand::Create(Box::new(token))))
}

/// Somebody with that key wants in as `id`, with a certificate made for this time.
fn wants_in(table: &mut Table, secret: &str, key: &str, id: &str) -> Result<Reply, Rejection> {
    let presented = Presented { token: Some(("t1".into(), secret.to_owned())), key: key.to_owned() };
    joins(table, presented, id)
}

fn joins(table: &mut Table, presented: Presented, id: &str) -> Result<Reply, Rejection> {
    let certificate = format!("{id} at {}", table.now.wall.0);
    let joining = Joining { presented, peer: PeerName::worker(id), certificate };
    table.ask(Command::Access(AccessCommand::Join(Box::new(joining))))
}

fn joined(reply: Result<Reply, Rejection>) -> (String, String) {
    let Ok(Reply::Joined { peer, certificate }) = reply else { panic!("let in: {reply:?}") };
    (peer.id, certificate)
}

fn refused(reply: Result<Reply, Rejection>, word: &str) {
    let Err(Rejection { code, text }) = reply else { panic!("refused: {reply:?}") };
    assert!(code == ErrorCode::NotAuthorised && text.contains(word), "{text}");
}

fn revoke(table: &mut Table, id: &str) -> Result<Reply, Rejection> {
    table.ask(Command::Access(AccessCommand::RevokePeer { role: None, id: id.to_owned(), by: "ada".to_owned() }))
}

/// Time passes without a sign of life.
fn silence(table: &mut Table, ms: u64) {
    for _ in 0..ms.div_ceil(1_000) {
        table.now.mono_ms += 1_000;
        table.now.wall.0 += 1_000;
        table.send(Command::Tick);
    }
}

#[test]
fn the_same_key_gets_the_same_certificate_again_and_another_is_refused() {
    let mut table = Table::new();
    let made = token(&table, 1);
    create(&mut table, made).unwrap();
    let first = joined(wants_in(&mut table, "digest", "key", "w"));
    table.pass(5_000);
    // The reply was lost; it asks again, by now for another name, and after a crash.
    table.restart();
    assert_eq!(joined(wants_in(&mut table, "digest", "key", "elsewhere")), first);
    refused(wants_in(&mut table, "digest", "other key", "v"), "another key");
    refused(wants_in(&mut table, "wrong", "key", "w"), "not known");
    assert_eq!(table.core.state.access.peers.len(), 1);
}

#[test]
fn of_many_at_once_as_many_come_in_as_the_token_admits() {
    let mut table = Table::new();
    let made = token(&table, 3);
    create(&mut table, made).unwrap();
    let came_in = (0..100).filter(|n| wants_in(&mut table, "digest", &format!("key {n}"), &format!("w-{n}")).is_ok()).count();
    assert_eq!((came_in, table.core.state.access.peers.len()), (3, 3));
    assert!(invariants::of_state(&table.core.state).is_empty());
    let mut wrong = table.core.state.clone();
    Arc::make_mut(&mut wrong.access).tokens.values_mut().for_each(|token| token.uses = 2);
    Arc::make_mut(&mut wrong.access).peers.values_mut().take(1).for_each(|peer| peer.token = Some("t2".into()));
    assert_eq!(invariants::of_state(&wrong).len(), 1, "it let more in than it may");
    let mut wrong = table.core.state.clone();
    Arc::make_mut(&mut wrong.access).tokens.values_mut().for_each(|token| token.used.clear());
    assert_eq!(invariants::of_state(&wrong).len(), 3, "nobody knows how they came in");
}

#[test]
fn an_expired_or_revoked_token_says_so_for_a_day_and_a_spent_one_still_answers_its_own_key() {
    let mut table = Table::new();
    let made = token(&table, 2);
    create(&mut table, made).unwrap();
    let first = joined(wants_in(&mut table, "digest", "key", "w"));
    table.now.wall.0 += HOUR_MS;
    refused(wants_in(&mut table, "digest", "late", "v"), "expired at");
    assert_eq!(joined(wants_in(&mut table, "digest", "key", "w")), first);
    let revoke = |table: &mut Table| table.ask(Command::Access(AccessCommand::RevokeToken { id: "t1".into(), by: "ada".to_owned() }));
    assert!(matches!(revoke(&mut table), Ok(Reply::Done { unchanged: false, .. })));
    assert!(matches!(revoke(&mut table), Ok(Reply::Done { unchanged: true, .. })));
    refused(wants_in(&mut table, "digest", "key", "w"), "was revoked");
    // Forgotten with the next fact of its kind, a day after its end.
    table.now.wall.0 += TOKEN_KEPT_MS + 1;
    let other = NewToken { id: "t2".into(), admits: Admits::Secret("other".to_owned()), ..token(&table, 1) };
    create(&mut table, other).unwrap();
    assert_eq!(table.core.state.access.tokens.keys().map(|id| id.as_str()).collect::<Vec<_>>(), ["t2"]);
}

#[test]
fn what_makes_no_sense_of_a_token_is_refused() {
    let mut table = Table::new();
    let good = token(&table, 1);
    let now = table.now.wall.0;
    let bad = [
        NewToken { uses: 0, ..good.clone() },
        NewToken { uses: u32::MAX, ..good.clone() },
        NewToken { expires_at: Some(WallMs(now)), ..good.clone() },
        NewToken { expires_at: Some(WallMs(now + 25 * HOUR_MS)), ..good.clone() },
        NewToken { role: AccessRole::Viewer, ..good.clone() },
        NewToken { role: AccessRole::Operator, labels: BTreeMap::new(), ephemeral: true, ..good.clone() },
        NewToken { labels: BTreeMap::from([("k".to_owned(), "v".repeat(1_000))]), ..good.clone() },
        NewToken { labels: BTreeMap::from([("big gpu".to_owned(), "yes".to_owned())]), ..good.clone() },
    ];
    for token in bad {
        let refused = create(&mut table, token.clone());
        assert!(matches!(&refused, Err(rejection) if rejection.code == ErrorCode::InvalidInput), "{token:?}: {refused:?}");
    }
    create(&mut table, good.clone()).unwrap();
    assert!(matches!(create(&mut table, good), Err(Rejection { code: ErrorCode::Conflict, .. })));
}

#[test]
fn an_admitted_key_comes_in_under_the_name_that_was_laid_down() {
    let mut table = Table::new();
    let by_key = Presented { token: None, key: "key".to_owned() };
    refused(joins(&mut table, by_key.clone(), "ci"), "worker add --key key");
    let admits = Admits::Key("key".to_owned());
    let made = NewToken { admits: admits.clone(), name: Some("ci".to_owned()), expires_at: None, ..token(&table, 1) };
    create(&mut table, made).unwrap();
    let again = NewToken { id: "t2".into(), admits, expires_at: None, ..token(&table, 1) };
    assert!(matches!(create(&mut table, again), Err(Rejection { code: ErrorCode::Conflict, .. })), "it is admitted already");
    let first = joined(joins(&mut table, by_key.clone(), "ci"));
    assert_eq!(joined(joins(&mut table, by_key, "ci")), first);
}

#[test]
fn names_are_given_once_and_the_next_number_follows_unless_it_must_be_that_one() {
    let mut table = Table::new();
    let made = token(&table, 9);
    create(&mut table, made).unwrap();
    let name =
        |table: &Table, wanted: &str, is_exact| free_name(&table.core.state, &table.core.fleet, AccessRole::Worker, wanted, is_exact);
    assert_eq!(name(&table, "host-1", false).unwrap(), "host-1");
    joined(wants_in(&mut table, "digest", "one", "host-1"));
    // One that came in without a token, seen on the fleet.
    table.join("host-2", &[("codex", 1)]);
    assert_eq!(name(&table, "host-1", false).unwrap(), "host-3");
    assert_eq!(name(&table, "host-2", false).unwrap(), "host-3");
    assert!(name(&table, "host-1", true).is_err());
    let taken = wants_in(&mut table, "digest", "two", "host-1");
    assert!(matches!(taken, Err(Rejection { code: ErrorCode::Conflict, .. })), "two that were told the same: {taken:?}");
}

#[test]
fn a_revoked_worker_loses_what_it_holds_and_its_name_is_free_again() {
    let mut table = Table::with(TWO, options());
    let made = token(&table, 2);
    create(&mut table, made).unwrap();
    joined(wants_in(&mut table, "digest", "one", "w"));
    table.join("w", &[("codex", 1)]);
    assert_eq!(table.core.fleet.workers[&WorkerId::from("w")].labels["zone"], "a", "the token's label");
    let grant = table.go_one("1");
    assert!(matches!(revoke(&mut table, "w"), Ok(Reply::Done { unchanged: false, .. })));
    assert!(table.effects.iter().any(|effect| matches!(effect, Effect::EndSession { worker, .. } if worker.as_str() == "w")));
    assert!(!table.core.state.attempt(&grant.lease.key).unwrap().is_live());
    assert_eq!(table.unit("1").state(), UnitState::NotStarted, "it waits for another worker");
    let peer = PeerName::worker("w");
    assert_eq!(table.core.state.access.barred_until(&peer), Some(table.now.wall));
    assert!(matches!(revoke(&mut table, "w"), Ok(Reply::Done { unchanged: true, .. })));
    assert!(matches!(revoke(&mut table, "nobody"), Err(Rejection { code: ErrorCode::NotFound, .. })));
    // Whose role is said may be away, and unknown since a restart.
    let away = AccessCommand::RevokePeer { role: Some(AccessRole::Worker), id: "away".to_owned(), by: "ada".to_owned() };
    for unchanged in [false, true] {
        let revoked = table.ask(Command::Access(away.clone()));
        assert!(matches!(&revoked, Ok(Reply::Done { unchanged: is, .. }) if *is == unchanged), "{revoked:?}");
    }
    assert_eq!(table.core.state.access.barred_until(&PeerName::worker("away")), Some(table.now.wall));
    refused(wants_in(&mut table, "digest", "one", "w"), "revoked");
    joined(wants_in(&mut table, "digest", "two", "w"));
    assert_eq!(table.core.state.access.barred_until(&peer), Some(table.now.wall), "its older certificates stay refused");
    revoke(&mut table, "w").unwrap();
    let later = WallMs(table.now.wall.0 + 1_000);
    assert_eq!(table.core.state.access.barred_until(&peer), Some(later), "also what it was given in this very second");
    table.join("w", &[("codex", 1)]);
    table.now.wall.0 += BARRED_KEPT_MS + 1;
    revoke(&mut table, "w").unwrap();
    assert_eq!(table.core.state.access.barred.len(), 1);
}

#[test]
fn a_worker_of_the_own_user_keeps_its_name_while_it_is_away_and_over_a_restart() {
    let mut table = Table::new();
    let made = token(&table, 3);
    create(&mut table, made).unwrap();
    let enrol = |table: &mut Table, id: &str| table.ask(Command::Access(AccessCommand::Enrol { worker: id.into() }));
    let since = |table: &Table| table.core.state.access.peers[&PeerName::worker("w")].since;
    enrol(&mut table, "w").unwrap();
    let first = since(&table);
    table.pass(5_000);
    table.restart();
    let taken = wants_in(&mut table, "digest", "key", "w").unwrap_err();
    assert_eq!(taken.code, ErrorCode::Conflict);
    assert_eq!(free_name(&table.core.state, &table.core.fleet, AccessRole::Worker, "w", false).unwrap(), "w-1");
    enrol(&mut table, "w").unwrap();
    assert_eq!(since(&table), first, "it is recorded once");
    joined(wants_in(&mut table, "digest", "key", "v"));
    assert_eq!(enrol(&mut table, "v").unwrap_err().code, ErrorCode::Conflict);
    assert!(invariants::of_state(&table.core.state).is_empty());
    let mut wrong = table.core.state.clone();
    let own = Arc::make_mut(&mut wrong.access).peers.remove(&PeerName::worker("w")).unwrap();
    Arc::make_mut(&mut wrong.access).peers.insert(PeerName { role: AccessRole::Admin, id: "w".to_owned() }, own);
    assert_eq!(invariants::of_state(&wrong).len(), 1, "an admin that came by no token");
    revoke(&mut table, "w").unwrap();
    enrol(&mut table, "w").unwrap();
    assert!(table.core.state.access.barred_until(&PeerName::worker("w")).is_some(), "its certificates of before stay refused");
}

#[test]
fn whoever_has_not_renewed_for_so_long_that_nothing_of_it_is_good_is_forgotten() {
    const DAY_MS: u64 = 24 * HOUR_MS;
    let mut table = Table::new();
    let made = token(&table, 4);
    create(&mut table, made).unwrap();
    for (key, id) in [("one", "gone"), ("two", "stays"), ("three", "old")] {
        joined(wants_in(&mut table, "digest", key, id));
    }
    // As one that came in to a release that recorded no renewals.
    table.edit(|state| Arc::make_mut(&mut state.access).peers.get_mut(&PeerName::worker("old")).unwrap().is_followed = false);
    table.ask(Command::Access(AccessCommand::Enrol { worker: "own".into() })).unwrap();
    let renews = |table: &mut Table, id: &str| table.ask(Command::Access(AccessCommand::Renewed { peer: PeerName::worker(id) })).unwrap();
    let noted = |table: &Table, id: &str| table.core.state.access.peers[&PeerName::worker(id)].renewed_at;
    let began = table.now.wall;
    table.now.wall.0 += DAY_MS;
    renews(&mut table, "stays");
    assert_eq!(noted(&table, "stays"), began, "twice a day is not news");
    table.now.wall.0 += 30 * DAY_MS;
    renews(&mut table, "stays");
    table.ask(Command::Access(AccessCommand::Enrol { worker: "own".into() })).unwrap();
    assert_eq!((noted(&table, "stays"), noted(&table, "own")), (table.now.wall, table.now.wall));
    table.now.wall.0 += 30 * DAY_MS;
    let known = |table: &mut Table, id: &str| {
        let other = NewToken { id: id.into(), admits: Admits::Secret(id.to_owned()), ..token(table, 1) };
        create(table, other).unwrap();
        table.core.state.access.peers.keys().map(|peer| peer.id.clone()).collect::<Vec<_>>()
    };
    assert_eq!(known(&mut table, "t2"), ["gone", "old", "own", "stays"], "it might renew still");
    table.now.wall.0 += 4 * DAY_MS;
    assert_eq!(known(&mut table, "t3"), ["old", "own", "stays"]);
    renews(&mut table, "old");
    renews(&mut table, "nobody");
    table.now.wall.0 += PEER_KEPT_MS + 1;
    assert!(known(&mut table, "t4").is_empty(), "also one of an earlier release, once it has renewed");
    assert!(invariants::of_state(&table.core.state).is_empty());
}

#[test]
fn an_admitted_key_that_was_away_until_it_was_forgotten_is_told_so() {
    let mut table = Table::new();
    let by_key = Presented { token: None, key: "key".to_owned() };
    let made = NewToken { admits: Admits::Key("key".to_owned()), name: Some("ci".to_owned()), expires_at: None, ..token(&table, 1) };
    create(&mut table, made).unwrap();
    joined(joins(&mut table, by_key.clone(), "ci"));
    table.now.wall.0 += PEER_KEPT_MS + 1;
    table.ask(Command::Access(AccessCommand::Enrol { worker: "own".into() })).unwrap();
    refused(joins(&mut table, by_key, "ci"), "away for too long");
}

#[test]
fn the_word_that_drains_a_worker_ends_with_its_identity() {
    let mut table = Table::new();
    let made = token(&table, 2);
    create(&mut table, made).unwrap();
    joined(wants_in(&mut table, "digest", "one", "w"));
    table.join("w", &[("codex", 1)]);
    let drain = Operate { run: None, by: "ada".to_owned(), act: Act::Drain { worker: "w".into() } };
    table.ask(Command::Operate(drain)).unwrap();
    assert_eq!(table.core.state.drained.len(), 1);
    revoke(&mut table, "w").unwrap();
    joined(wants_in(&mut table, "digest", "two", "w"));
    table.join("w", &[("codex", 1)]);
    assert!(table.core.state.drained.is_empty(), "another worker bears the name");
    assert_eq!(table.core.fleet.workers[&WorkerId::from("w")].drained_ms, None);
}

#[test]
fn an_ephemeral_identity_ends_with_its_worker_and_not_with_a_broken_link() {
    let mut table = Table::with(TWO, options());
    let made = NewToken { ephemeral: true, ..token(&table, 3) };
    create(&mut table, made).unwrap();
    silence(&mut table, LOST_MS + 1_000);
    for (key, id) in [("one", "leaves"), ("two", "breaks"), ("three", "stays")] {
        joined(wants_in(&mut table, "digest", key, id));
        table.join(id, &[("codex", 1)]);
    }
    let is_in = |table: &Table, id: &str| table.core.state.access.peers.contains_key(&PeerName::worker(id));
    let session = |table: &Table, id: &str| table.core.fleet.workers[&WorkerId::from(id)].session;
    let (leaves, breaks) = (session(&table, "leaves"), session(&table, "breaks"));
    table.send(Command::WorkerGoodbye { worker: "leaves".into(), session: leaves });
    assert!(!is_in(&table, "leaves") && table.core.state.access.barred_until(&PeerName::worker("leaves")).is_some());
    table.send(Command::WorkerGone { worker: "breaks".into(), session: breaks });
    silence(&mut table, LOST_MS / 2);
    assert!(is_in(&table, "breaks"), "it may come back");
    let stays = session(&table, "stays");
    table.send(Command::Heartbeat { worker: "stays".into(), session: stays, held: Vec::new() });
    silence(&mut table, LOST_MS / 2 + 2_000);
    assert!(!is_in(&table, "breaks") && is_in(&table, "stays"));
    assert!(!table.core.fleet.workers.contains_key(&WorkerId::from("breaks")));
    // After a restart nobody is known yet: they have the time to come back.
    table.restart();
    silence(&mut table, LOST_MS - 1_000);
    assert!(is_in(&table, "stays"));
    silence(&mut table, 3_000);
    assert!(!is_in(&table, "stays"));
}
