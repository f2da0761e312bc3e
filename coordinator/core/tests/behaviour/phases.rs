//! Every phase of a unit, and every fact that is about one: what becomes of it, and whether the checker names what the fold leaves out or makes up.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;

use roundtable_core::invariants::{self, History};
use roundtable_core::state::{Blocked, FixCause, FixOwed, Integration, Merging, Release, State, Unit, UnitPhase, Work};
use roundtable_core::transition::UnitImport;
use roundtable_core::{Fact, Transition};
use roundtable_shared::time::WallMs;
use roundtable_shared::{CommitId, FinalReport, Role, Seat, Severity, UnitId, UnitState};

use crate::table::{Table, options, run_id};

const AT: WallMs = WallMs(9);

/// A unit in each phase, with all that can be there.
fn phases() -> [UnitPhase; 10] {
    let red = FixCause::CheckRed { evidence: String::new() };
    [
        UnitPhase::NotStarted,
        UnitPhase::InProgress { fix: Some(Box::new(FixCause::Conflict { paths: Vec::new(), evidence: String::new() })) },
        UnitPhase::PendingReview,
        UnitPhase::UnderReview { failed: vec![(Seat::Review(1), "w".into(), "codex".into())] },
        UnitPhase::FinalReview { queued: 3, consolidated: false },
        UnitPhase::FixRequired(Box::new(FixOwed {
            cause: FixCause::Waiting { role: Role::Fix, by_person: false },
            contended: BTreeSet::from(["a.rs".to_owned()]),
            merging: Some(merging("t1")),
        })),
        UnitPhase::Blocked(Box::new(Blocked { reason: Some("stuck".to_owned()), release: Some(Release::Fix), fix: Some(red) })),
        UnitPhase::Completed { at: Some(WallMs(5)), commit: Some("c5".into()) },
        UnitPhase::Skipped { reason: None },
        UnitPhase::Cancelled { reason: None },
    ]
}

fn merging(tip: &str) -> Merging {
    let work = Work { attempt: Default::default(), base: "base".into(), commit: "theirs".into() };
    Merging { tip: tip.into(), work, by_person: false }
}

/// Where the unit is, in words: the state, then what is there, a word each; then the fix of which not all is said.
fn told(unit: &Unit) -> String {
    fn word(debug: &impl Debug) -> String {
        let debug = format!("{debug:?}").to_lowercase();
        debug.split([' ', '{', '(']).next().unwrap_or_default().to_owned()
    }
    let mut words = vec![unit.state().to_string()];
    match &unit.phase {
        UnitPhase::NotStarted | UnitPhase::PendingReview => {}
        UnitPhase::InProgress { fix } => words.extend(fix.iter().map(word)),
        UnitPhase::UnderReview { failed } => words.push(failed.len().to_string()),
        UnitPhase::FinalReview { queued, consolidated } => {
            words.push(queued.to_string());
            words.extend(consolidated.then(|| "consolidated".to_owned()));
        }
        UnitPhase::FixRequired(owed) => {
            words.push(word(&owed.cause));
            words.extend(owed.contended.iter().cloned());
            words.extend(owed.merging.iter().map(|merging| format!("merge:{}", merging.tip)));
        }
        UnitPhase::Blocked(blocked) => {
            words.extend(blocked.reason.clone());
            words.extend(blocked.release.iter().map(|release| format!("release:{}", word(release))));
            words.extend(blocked.fix.iter().map(word));
        }
        UnitPhase::Completed { at, commit } => {
            words.extend(at.iter().map(|at| at.0.to_string()));
            words.extend(commit.iter().map(CommitId::to_string));
        }
        UnitPhase::Skipped { reason } | UnitPhase::Cancelled { reason } => words.extend(reason.clone()),
    }
    if let Some(coming) = &unit.coming {
        words.push("+ coming".to_owned());
        words.extend(coming.cause.iter().map(word));
        words.extend(coming.contended.iter().cloned());
    }
    words.join(" ")
}

/// A run of one unit, which is in that phase and whose work came onto the branch as `c9`.
fn state_in(phase: UnitPhase) -> State {
    let mut state = Table::with("- [ ] 1. Write a\n  - _writes: a.rs_\n", options()).core.state;
    let run = Arc::make_mut(state.runs.get_mut(&run_id()).expect("the run is there"));
    run.units.get_mut(0).expect("it has a unit").phase = phase;
    run.branch.integrations.push(Integration { unit: Some("1".into()), commit: "c9".into(), changed: Vec::new(), at: AT });
    state
}

fn unit(state: &State) -> &Unit {
    state.unit(&run_id(), &"1".into()).expect("the unit is there")
}

/// What becomes of the unit by these facts, and `!` if the checker names one of them as out of its place.
fn becomes(phase: UnitPhase, facts: &[Fact]) -> (String, State) {
    let (mut state, mut history, mut is_named) = (state_in(phase), History::default(), false);
    for fact in facts {
        let transition = Transition { run: Some(run_id()), at: AT, fact: fact.clone() };
        is_named |= history.before(&state, &transition).iter().any(|wrong| wrong.invariant == "told");
        state.apply(&transition);
    }
    let mark = if is_named { " !" } else { "" };
    (format!("{}{mark}", told(unit(&state))), state)
}

fn moved(to: UnitState) -> Fact {
    Fact::UnitMoved { unit: "1".into(), to, reason: Some("why".to_owned()) }
}

fn fix(cause: Option<FixCause>) -> Fact {
    Fact::FixSet { unit: "1".into(), cause }
}

fn findings() -> Fact {
    fix(Some(FixCause::Findings { round: 2 }))
}

fn contended(paths: &[&str]) -> Fact {
    Fact::ContendedSet { unit: "1".into(), paths: paths.iter().map(ToString::to_string).collect() }
}

fn imported(state: UnitState) -> Fact {
    Fact::UnitImported { unit: "1".into(), import: Box::new(UnitImport { state, ..UnitImport::default() }) }
}

/// Holds what becomes of the unit against what is expected by the word of where it was, `*` of wherever else; `=` stands for what was there.
fn check(facts: &[Fact], expected: &[(&str, &str)]) {
    for phase in phases() {
        let mut before = Unit::clone(unit(&state_in(phase.clone())));
        before.coming = None;
        let word = before.state().to_string();
        let is_its = |from: &str| from.split(' ').any(|from| from == word);
        let (_, cell) = expected.iter().find(|(from, _)| is_its(from)).or(expected.last()).expect("something is expected");
        assert_eq!(becomes(phase, facts).0, cell.replace('=', &told(&before)), "{facts:?} of a unit in {word}");
    }
}

#[test]
fn a_move_takes_the_fix_along_where_one_can_be() {
    use UnitState::*;
    check(&[moved(NotStarted)], &[("*", "not_started")]);
    check(
        &[moved(InProgress)],
        &[
            ("in_progress", "in_progress conflict"),
            ("fix_required", "in_progress waiting"),
            ("blocked", "in_progress checkred"),
            ("*", "in_progress"),
        ],
    );
    check(&[moved(PendingReview)], &[("*", "pending_review")]);
    check(&[moved(UnderReview)], &[("*", "under_review 0")]);
    check(&[moved(FinalReview)], &[("*", "final_review 1")]);
    check(
        &[moved(Blocked)],
        &[
            ("in_progress", "blocked why conflict"),
            ("fix_required", "blocked why waiting"),
            ("blocked", "blocked why checkred"),
            ("*", "blocked why"),
        ],
    );
    check(&[moved(Completed)], &[("*", "completed 9 c9")]);
    check(&[moved(Skipped)], &[("*", "skipped why")]);
    check(&[moved(Cancelled)], &[("*", "cancelled why")]);
}

/// Where no cause is said one is made up, and what stays behind says so.
#[test]
fn a_move_to_a_fix_has_a_cause_or_is_named() {
    let made_up = "fix_required repeat + coming !";
    let to_fix = [moved(UnitState::FixRequired)];
    check(
        &to_fix,
        &[
            ("in_progress", "fix_required conflict"),
            ("fix_required", "fix_required waiting"),
            ("blocked", "fix_required checkred"),
            ("*", made_up),
        ],
    );
    for phase in phases() {
        let has_fix = phase.fix().is_some();
        let (_, state) = becomes(phase, &to_fix);
        let is_named = invariants::of_state(&state).iter().any(|wrong| wrong.invariant == "told");
        assert_eq!(is_named, !has_fix, "{:?}", unit(&state).phase);
    }
    check(
        &[moved(UnitState::FixRequired), findings()],
        &[("in_progress fix_required blocked", "fix_required findings"), ("*", "fix_required findings !")],
    );
}

/// A fix is said before the move to it. Anywhere else nothing could be owed, and it goes with the move.
#[test]
fn what_is_said_before_a_move_goes_along_to_a_fix_or_a_question() {
    use UnitState::*;
    check(&[findings(), moved(FixRequired)], &[("*", "fix_required findings")]);
    check(&[findings(), moved(Blocked)], &[("*", "blocked why findings")]);
    let has_one = "in_progress fix_required blocked";
    check(&[findings(), moved(InProgress)], &[(has_one, "in_progress findings"), ("*", "in_progress findings !")]);
    for (to, goes) in [
        (NotStarted, "not_started"),
        (PendingReview, "pending_review"),
        (UnderReview, "under_review 0"),
        (FinalReview, "final_review 1"),
        (Completed, "completed 9 c9"),
        (Skipped, "skipped why"),
        (Cancelled, "cancelled why"),
    ] {
        check(&[findings(), moved(to)], &[(has_one, goes), ("*", &format!("{goes} !"))]);
    }
    check(
        &[contended(&["b.rs"]), moved(FixRequired)],
        &[
            ("in_progress", "fix_required conflict b.rs"),
            ("fix_required", "fix_required waiting"),
            ("blocked", "fix_required checkred b.rs"),
            ("*", "fix_required repeat b.rs + coming !"),
        ],
    );
    check(
        &[findings(), contended(&["b.rs"]), moved(FixRequired)],
        &[("fix_required", "fix_required findings"), ("*", "fix_required findings b.rs")],
    );
}

#[test]
fn a_fix_is_said_of_any_phase_and_filled_in_where_it_is_owed() {
    check(
        &[findings()],
        &[
            ("in_progress", "in_progress findings"),
            ("fix_required", "fix_required findings a.rs merge:t1"),
            ("blocked", "blocked stuck release:fix findings"),
            ("*", "= + coming findings"),
        ],
    );
    check(&[fix(None)], &[("in_progress", "in_progress"), ("blocked", "blocked stuck release:fix"), ("*", "=")]);
    check(
        &[findings(), fix(None)],
        &[
            ("in_progress", "in_progress"),
            ("fix_required", "fix_required findings a.rs merge:t1"),
            ("blocked", "blocked stuck release:fix"),
            ("*", "="),
        ],
    );
    check(
        &[contended(&["b.rs"])],
        &[("fix_required", "fix_required waiting b.rs merge:t1"), ("in_progress blocked", "= + coming b.rs"), ("*", "= + coming b.rs !")],
    );
    check(&[contended(&[])], &[("fix_required", "fix_required waiting merge:t1"), ("*", "=")]);
    let freed = Fact::ContendedFreed { unit: "1".into(), paths: vec!["a.rs".to_owned()] };
    check(&[freed], &[("fix_required", "fix_required waiting merge:t1"), ("*", "=")]);
    let merge = |merging| Fact::MergeSet { unit: "1".into(), merging };
    check(&[merge(Some(merging("t2")))], &[("fix_required", "fix_required waiting a.rs merge:t2"), ("*", "= !")]);
    check(&[merge(None)], &[("fix_required", "fix_required waiting a.rs"), ("*", "=")]);
}

#[test]
fn what_belongs_to_one_phase_is_told_there() {
    let unit = || UnitId::from("1");
    let release = |release| Fact::ReleaseSet { unit: unit(), release };
    check(&[release(Some(Release::Subtask))], &[("blocked", "blocked stuck release:subtask checkred"), ("*", "= !")]);
    check(&[release(None)], &[("blocked", "blocked stuck checkred"), ("*", "= !")]);
    check(&[Fact::RoundOpened { unit: unit(), reviewers: 2 }], &[("in_progress pending_review fix_required", "="), ("*", "= !")]);
    let failed = Fact::ReviewFailed { unit: unit(), seat: Seat::Review(2), worker: "w".into(), backend: "codex".into() };
    check(&[failed], &[("under_review", "under_review 2"), ("*", "= !")]);
    let report =
        FinalReport { task_id: unit().task(), overall_severity: Severity::None, summary: String::new(), finding_count: 0, created_at: AT };
    let consolidated = Fact::RoundConsolidated { unit: unit(), report: Box::new(report) };
    check(&[consolidated], &[("final_review", "final_review 3 consolidated"), ("*", "= !")]);
}

#[test]
fn a_unit_is_carried_over_to_where_it_was() {
    let cause = fix(Some(FixCause::Imported));
    check(&[imported(UnitState::FixRequired), cause], &[("*", "fix_required imported")]);
    check(&[imported(UnitState::PendingReview)], &[("*", "pending_review")]);
    check(&[imported(UnitState::Completed)], &[("*", "completed 9")]);
}
