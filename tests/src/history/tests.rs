//! The book finds what it is there for: a history that is as it should be, and others in which one thing is not.

use roundtable_core::Core;
use roundtable_core::effect::Start;
use roundtable_core::state::{AttemptEnd, LostCause, Work};
use roundtable_core::transition::{AttemptResult, Fact, Granted, Transition};
use roundtable_shared::time::WallMs;
use roundtable_shared::{AttemptNo, LeaseId, Role, Seat, Usage};

use super::ledger::Ledger;

fn granted(attempt: u32, lease: u128) -> Fact {
    Fact::LeaseGranted(Box::new(Granted {
        unit: Some("1".into()),
        attempt: AttemptNo(attempt),
        lease_id: LeaseId(lease),
        seat: Seat::Work,
        role: Role::Implement,
        turn: 1,
        round: 0,
        worker: "w".into(),
        backend: "codex".into(),
        pool: "codex".to_owned(),
        account: String::new(),
        model: String::new(),
        base: "base".into(),
        start: Start::Commit("base".into()),
        resumed_from: None,
        resume: None,
        escalated: false,
    }))
}

/// With that commit.
fn ended(attempt: u32, commit: &str) -> Fact {
    let result = AttemptResult {
        end: AttemptEnd::Completed,
        class: None,
        error: None,
        exit_code: Some(0),
        digest: String::new(),
        commit: Some(commit.into()),
        agent_session: None,
        usage: Usage::default(),
        events: 0,
    };
    Fact::AttemptEnded { unit: Some("1".into()), attempt: AttemptNo(attempt), result: Box::new(result) }
}

fn lost(attempt: u32) -> Fact {
    let (unit, attempt) = (Some("1".into()), AttemptNo(attempt));
    Fact::AttemptLost { unit, attempt, cause: LostCause::Silent, class: None, reason: String::new() }
}

fn late(attempt: u32) -> Fact {
    Fact::AttemptLate { unit: Some("1".into()), attempt: AttemptNo(attempt), commit: None }
}

fn accepted(attempt: u32, commit: &str) -> Fact {
    let work = Work { attempt: AttemptNo(attempt), base: "base".into(), commit: commit.into() };
    Fact::WorkAccepted { unit: "1".into(), work, changed: Vec::new() }
}

fn integrated() -> Fact {
    Fact::Integrated { unit: "1".into(), commit: "on-branch".into(), changed: Vec::new() }
}

fn over() -> Fact {
    Fact::RunEnded { exit: 0, reason: String::new() }
}

/// Invariants that are broken by it.
fn broken(facts: Vec<Fact>) -> Vec<&'static str> {
    let (core, mut ledger, mut violations) = (Core::default(), Ledger::default(), Vec::new());
    for fact in facts {
        let transition = Transition { run: Some("run".into()), at: WallMs(0), fact };
        ledger.note(&core.state, &transition, &mut violations);
    }
    violations.into_iter().map(|violation| violation.invariant).collect()
}

#[test]
fn a_history_that_is_as_it_should_be_breaks_nothing() {
    let facts = vec![granted(1, 1), lost(1), granted(2, 2), late(1), ended(2, "work"), accepted(2, "work"), integrated(), over()];
    assert_eq!(broken(facts), Vec::<&str>::new());
}

#[test]
fn each_breach_is_found_and_called_by_its_invariant() {
    let all = [
        ("a number is given again", vec![granted(1, 1), lost(1), granted(1, 2)], "I3"),
        ("a lease is given again", vec![granted(1, 1), lost(1), granted(2, 1)], "I3"),
        ("a seat is given twice", vec![granted(1, 1), granted(2, 2)], "I3"),
        ("an outcome counts after its attempt was lost", vec![granted(1, 1), lost(1), ended(1, "work")], "I3"),
        ("an outcome comes late while its attempt lives", vec![granted(1, 1), late(1)], "I3"),
        ("an outcome comes late twice", vec![granted(1, 1), lost(1), late(1), late(1)], "I3"),
        ("work of a lost attempt counts", vec![granted(1, 1), lost(1), accepted(1, "work")], "I3"),
        ("other work counts than was handed in", vec![granted(1, 1), ended(1, "work"), accepted(1, "other")], "I3"),
        ("what nobody handed in is integrated", vec![integrated()], "I2"),
        ("accepted work is integrated nowhere", vec![granted(1, 1), ended(1, "work"), accepted(1, "work"), over()], "I2"),
        ("a unit is integrated twice", vec![granted(1, 1), ended(1, "work"), accepted(1, "work"), integrated(), integrated()], "I1"),
    ];
    for (what, facts, invariant) in all {
        assert_eq!(broken(facts), [invariant], "{what}");
    }
}
