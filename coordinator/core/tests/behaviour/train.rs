//! The integration train: candidates stand on one another, checks run side by side, and results count in order.

use std::collections::BTreeMap;

use roundtable_core::Transition;
use roundtable_core::command::{Act, Prepared, RoleAnswer, ShellAnswer};
use roundtable_core::effect::{Effect, Grant, PrepareIntegration, Start};
use roundtable_core::schedule::explain;
use roundtable_core::state::{BaseCheck, Run, State};
use roundtable_core::transition::Fact;
use roundtable_shared::{AttemptOutcome, Choice, CommitId, Dependants, FailureKind, Role, RunOptions, Severity, UnitId, UnitState};

use crate::table::{Table, changed, options, run_id};

const RED: FailureKind = FailureKind::ExitStatus { code: Some(1), signal: None };

fn plan(units: u32) -> String {
    (1..=units).map(|id| format!("- [ ] {id}. Write {id}\n  - _writes: f{id}.rs_\n")).collect()
}

fn checked() -> RunOptions {
    RunOptions { check: Some("make test".to_owned()), ..options() }
}

/// A run of so many units, all reviewed; the base is green, and nothing is prepared yet.
fn reviewed(units: u32, slots: u32) -> Table {
    let mut table = Table::with(&plan(units), checked());
    reviewed_in(&mut table, units, slots);
    table
}

fn reviewed_in(table: &mut Table, units: u32, slots: u32) {
    table.join("w", &[("codex", units), ("codex-review", units), ("check", slots)]);
    let grants = table.go();
    for grant in &grants {
        match &grant.lease.key.unit {
            None => table.report(grant, None, &[], Ok(RoleAnswer::None)),
            Some(unit) => table.works(grant, &[&format!("f{unit}.rs")]),
        }
    }
    for review in table.go() {
        table.reviews(&review, Severity::None);
    }
}

/// Checks that are granted now, by unit.
fn checks(table: &mut Table) -> BTreeMap<String, Grant> {
    let named = |grant: Grant| (grant.lease.key.unit.as_ref().map_or_else(String::new, ToString::to_string), grant);
    table.go().into_iter().filter(|grant| grant.granted.role == Role::Check).map(named).collect()
}

/// A run of so many units, all prepared and being checked at once; their checks, by unit.
fn under_check(units: u32) -> (Table, BTreeMap<String, Grant>) {
    let mut table = reviewed(units, units);
    prepare(&mut table);
    let running = checks(&mut table);
    (table, running)
}

fn green(table: &mut Table, check: &Grant) {
    table.report(check, None, &[], Ok(RoleAnswer::None));
}

fn red(table: &mut Table, check: &Grant) {
    table.breaks(check, RED);
}

/// Red, and red again: its one retry.
fn red_twice(table: &mut Table, check: &Grant) {
    red(table, check);
    let unit = check.lease.key.unit.as_ref().expect("a unit's check").to_string();
    let again = checks(table).remove(&unit).expect("it is tried again");
    assert_eq!(again.granted.start, check.granted.start, "the same tree");
    red(table, &again);
}

fn moves(table: &Table) -> Vec<(CommitId, CommitId)> {
    let moves = table.effects.iter().filter_map(|effect| match effect {
        Effect::MoveBranch { old, new, .. } => Some((old.clone(), new.clone())),
        _ => None,
    });
    moves.collect()
}

fn preparations(table: &Table) -> Vec<PrepareIntegration> {
    let asked = table.effects.iter().filter_map(|effect| match effect {
        Effect::PrepareIntegration(asked) => Some((**asked).clone()),
        _ => None,
    });
    asked.collect()
}

fn train(table: &Table) -> Vec<String> {
    table.run().branch.train.flights.iter().map(|flight| flight.unit.to_string()).collect()
}

fn candidate(table: &Table, unit: &str) -> CommitId {
    let flight = table.run().branch.train.flight(&UnitId::from(unit)).expect("it is in the train");
    flight.candidate.as_ref().expect("it is prepared").commit.clone()
}

fn why(table: &Table, unit: &str) -> Vec<String> {
    let reasons = explain(&table.core.state, &table.core.fleet, &run_id(), &unit.into(), table.now);
    reasons.into_iter().map(|reason| reason.text).collect()
}

fn completed(table: &Table) -> Vec<String> {
    table.run().units().filter(|unit| unit.state() == UnitState::Completed).map(|unit| unit.id.to_string()).collect()
}

/// Everything but moves of the branch is done.
fn prepare(table: &mut Table) {
    table.integrate_but(|effect| matches!(effect, Effect::MoveBranch { .. }));
}

/// Granted, prepared, green, moved: until nothing is left.
fn finish(table: &mut Table) {
    for _ in 0..40 {
        table.integrate();
        for (_, check) in checks(table) {
            green(table, &check);
        }
    }
}

#[test]
fn each_is_prepared_on_the_one_ahead_and_checks_run_at_once() {
    let mut table = reviewed(3, 2);
    let tip = table.run().branch.tip.clone();
    prepare(&mut table);
    assert_eq!(train(&table), ["1", "2", "3"]);
    let tips: Vec<CommitId> = table.run().branch.train.flights.iter().map(|flight| flight.tip.clone()).collect();
    assert_eq!(tips, [tip, candidate(&table, "1"), candidate(&table, "2")]);
    let running = checks(&mut table);
    assert_eq!(running.keys().collect::<Vec<_>>(), ["1", "2"], "two slots, the first two of the train");
    assert_eq!(running["2"].granted.start, Start::Commit(candidate(&table, "2")), "on the cumulative tree");
    assert_eq!(why(&table, "2"), ["in the train, 2nd of 3; check running on w"]);
    assert_eq!(why(&table, "3"), ["in the train, 3rd of 3; every slot of check is busy"]);
}

#[test]
fn the_branch_moves_past_the_longest_green_prefix_in_one_step() {
    let (mut table, running) = under_check(4);
    let tip = table.run().branch.tip.clone();
    green(&mut table, &running["2"]);
    green(&mut table, &running["4"]);
    assert!(moves(&table).is_empty(), "results count in train order");
    assert_eq!(why(&table, "2"), ["in the train, 2nd of 4; its check is green; unit 1 comes first"]);
    let second = candidate(&table, "2");
    green(&mut table, &running["1"]);
    assert_eq!(moves(&table), [(tip, second)], "one step past both");
    green(&mut table, &running["3"]);
    assert_eq!(moves(&table).len(), 1, "one intent at a time");
    assert_eq!(completed(&table), Vec::<String>::new(), "not before the branch has moved");
    table.integrate();
    assert_eq!(completed(&table), ["1", "2", "3", "4"]);
    let intents = table.log.iter().filter(|transition| matches!(transition.fact, Fact::IntegrationIntended { .. })).count();
    assert_eq!(intents, 2, "one for 1 and 2, one for 3 and 4");
    let parents: Vec<&CommitId> = table.run().branch.integrations.iter().map(|integration| &integration.commit).collect();
    assert_eq!(parents.len(), 4, "one commit each");
}

#[test]
fn without_a_check_the_whole_prefix_goes_without_waiting() {
    let mut table = Table::with(&plan(3), options());
    reviewed_in(&mut table, 3, 0);
    let before = preparations(&table);
    assert_eq!(before.len(), 1);
    // The first one moves the branch; the others are prepared meanwhile and go in the next step.
    prepare(&mut table);
    assert_eq!(moves(&table).len(), 1);
    assert_eq!(train(&table), ["1", "2", "3"]);
    table.integrate();
    assert_eq!(completed(&table), ["1", "2", "3"]);
    let intents = table.log.iter().filter(|transition| matches!(transition.fact, Fact::IntegrationIntended { .. })).count();
    assert_eq!(intents, 2);
}

#[test]
fn dependants_start_from_what_is_integrated_only() {
    let text = format!("{}- [ ] 3. Write c\n  - Depends on: 2\n  - _writes: c.rs_\n", plan(2));
    let mut table = Table::with(&text, checked());
    reviewed_in(&mut table, 2, 2);
    prepare(&mut table);
    let running = checks(&mut table);
    green(&mut table, &running["1"]);
    green(&mut table, &running["2"]);
    let second = candidate(&table, "2");
    assert!(table.go().is_empty(), "2 is green and not integrated");
    table.integrate();
    let dependant = table.go_one("3");
    assert_eq!((dependant.granted.role, dependant.granted.start.clone()), (Role::Implement, Start::Commit(second)));
}

#[test]
fn a_red_one_in_the_middle_is_judged_only_at_the_head_and_those_behind_are_prepared_again() {
    let (mut table, running) = under_check(3);
    red_twice(&mut table, &running["2"]);
    assert_eq!(table.unit("2").state(), UnitState::FinalReview, "1 is ahead of it");
    assert_eq!(why(&table, "2"), ["in the train, 2nd of 3; its check is red; unit 1 comes first"]);
    let third = candidate(&table, "3");
    green(&mut table, &running["1"]);
    table.integrate();
    // At the head it is checked alone; there was one integrated since the train started.
    let alone = checks(&mut table).remove("2").expect("checked alone");
    assert_eq!(table.unit("2").state(), UnitState::FinalReview);
    red(&mut table, &alone);
    let finding = table.unit("2").review.findings.last().expect("a finding").clone();
    assert_eq!((finding.reviewer.as_str(), finding.severity), ("check-2-1", Severity::Major));
    assert_eq!(finding.summary, "the check command fails with this unit on the run's branch");
    assert_eq!(table.unit("2").state(), UnitState::FixRequired);
    table.integrate();
    assert_ne!(candidate(&table, "3"), third, "prepared again, without 2");
    assert_eq!(table.run().branch.train.flights[0].tip, table.run().branch.tip);
    let fix = table.go();
    let again = fix.iter().find(|grant| grant.granted.role == Role::Check).expect("checked again");
    assert_eq!(again.granted.start, Start::Commit(candidate(&table, "3")));
    green(&mut table, again);
    table.integrate();
    assert_eq!(completed(&table), ["1", "3"]);
}

#[test]
fn two_that_are_red_only_together_the_later_one_gets_the_finding_with_the_others_named() {
    let (mut table, running) = under_check(4);
    let start = table.run().branch.tip.clone();
    red_twice(&mut table, &running["3"]);
    green(&mut table, &running["1"]);
    green(&mut table, &running["2"]);
    table.integrate();
    assert_eq!(completed(&table), ["1", "2"]);
    let alone = checks(&mut table).remove("3").expect("checked alone");
    let flight = table.run().branch.train.flight(&"3".into()).expect("still in the train").clone();
    let on = flight.alone.expect("alone");
    assert_eq!(
        (on.tip, Start::Commit(on.commit.expect("made"))),
        (start, alone.granted.start.clone()),
        "on the tip the train started from"
    );
    assert!(why(&table, "3")[0].contains("check without those integrated since the train started running on w"), "{:?}", why(&table, "3"));
    green(&mut table, &alone);
    let finding = table.unit("3").review.findings.last().expect("a finding").clone();
    let named = "the check command fails with this unit together with units 1 (Write 1), 2 (Write 2), integrated since the train started";
    assert_eq!(finding.summary, named);
    assert!(finding.details.expect("evidence").contains("the check is green"));
    assert_eq!(table.unit("3").state(), UnitState::FixRequired);
    assert!(matches!(table.log.iter().rev().find_map(|transition| match &transition.fact {
        Fact::FixSet { cause: Some(roundtable_core::state::FixCause::CheckRed { evidence }), .. } => Some(evidence.clone()),
        _ => None,
    }), Some(evidence) if evidence.contains("units 1 (Write 1), 2 (Write 2)")));
    finish(&mut table);
    assert_eq!(completed(&table), ["1", "2", "4"], "the others are integrated");
}

#[test]
fn a_unit_alone_stands_on_its_own_base_where_that_came_after_the_start_of_the_train() {
    let text = format!("{}- [ ] 3. Write c\n  - Depends on: 1\n  - _writes: c.rs_\n", plan(2));
    let mut table = Table::with(&text, checked());
    reviewed_in(&mut table, 2, 2);
    prepare(&mut table);
    let running = checks(&mut table);
    green(&mut table, &running["1"]);
    table.integrate();
    let base = table.run().branch.tip.clone();
    // 2 is still being checked when 3, which needs 1, joins behind it: the train goes on.
    let work = table.go_one("3");
    table.works(&work, &["c.rs"]);
    let review = table.go_one("3");
    table.reviews(&review, Severity::None);
    prepare(&mut table);
    let third = checks(&mut table).remove("3").expect("checked");
    red_twice(&mut table, &third);
    green(&mut table, &running["2"]);
    table.integrate();
    let alone = table.run().branch.train.flight(&"3".into()).and_then(|flight| flight.alone.clone()).expect("alone");
    assert_eq!(alone.tip, base, "with 1, without 2");
}

#[test]
fn a_red_one_alone_at_the_head_with_nothing_integrated_since_is_judged_at_once() {
    let (mut table, running) = under_check(2);
    red_twice(&mut table, &running["1"]);
    assert_eq!(table.unit("1").state(), UnitState::FixRequired);
    assert_eq!(train(&table), ["2"]);
    let lost = table.core.state.attempt(&running["2"].lease.key).expect("an attempt").outcome();
    assert_eq!(lost, AttemptOutcome::Revoked, "what stood on it is not checked on");
}

#[test]
fn red_checks_belong_to_one_candidate() {
    let (mut table, running) = under_check(2);
    red(&mut table, &running["2"]);
    // 1 leaves: 2 is prepared again, and its red check was another candidate's.
    table.act(Act::Skip { unit: "1".into(), dependants: Dependants::GoOn });
    prepare(&mut table);
    let second = checks(&mut table).remove("2").expect("checked again");
    red(&mut table, &second);
    let third = checks(&mut table).remove("2").expect("its retry");
    assert_eq!(second.granted.start, third.granted.start);
    green(&mut table, &third);
    table.integrate();
    assert_eq!(completed(&table), ["2"]);
}

#[test]
fn a_conflict_with_the_one_ahead_counts_at_the_head_only() {
    let mut table = reviewed(3, 3);
    let conflict = || Prepared::Conflict { paths: vec!["f2.rs".to_owned()], evidence: "CONFLICT".to_owned() };
    table.integrate_but(|effect| matches!(effect, Effect::PrepareIntegration(asked) if asked.unit.as_str() == "2"));
    let asked = preparations(&table).remove(0);
    table.effects.clear();
    table.shell(ShellAnswer::IntegrationPrepared {
        run: run_id(),
        unit: "2".into(),
        tip: asked.tip,
        of: asked.commit,
        ticks: asked.ticks,
        result: conflict(),
    });
    assert_eq!(train(&table), ["1", "2"], "nobody is prepared on what is not there");
    assert_eq!(why(&table, "2"), ["in the train, 2nd of 2; it conflicts with what is ahead of it; unit 1 comes first"]);
    assert!(why(&table, "3")[0].starts_with("joins the train once unit 2"), "{:?}", why(&table, "3"));
    // 1 leaves: 2 is only prepared again.
    table.act(Act::Skip { unit: "1".into(), dependants: Dependants::GoOn });
    assert_eq!((preparations(&table).len(), table.unit("2").state()), (1, UnitState::FinalReview));
    let asked = preparations(&table).remove(0);
    table.effects.clear();
    table.shell(ShellAnswer::IntegrationPrepared {
        run: run_id(),
        unit: "2".into(),
        tip: asked.tip,
        of: asked.commit,
        ticks: asked.ticks,
        result: conflict(),
    });
    assert_eq!(table.unit("2").state(), UnitState::FixRequired, "at the head it counts");
    finish(&mut table);
    assert_eq!(completed(&table), ["3"]);
}

#[test]
fn what_does_not_lie_in_its_manifest_counts_at_the_head_only() {
    let mut table = reviewed(2, 2);
    table.integrate_but(|effect| matches!(effect, Effect::PrepareIntegration(asked) if asked.unit.as_str() == "2"));
    let asked = preparations(&table).remove(0);
    table.effects.clear();
    let result = Prepared::Clean { commit: table.commit(), changed: vec![changed("f1.rs")] };
    table.shell(ShellAnswer::IntegrationPrepared {
        run: run_id(),
        unit: "2".into(),
        tip: asked.tip,
        of: asked.commit,
        ticks: asked.ticks,
        result,
    });
    assert_eq!(table.unit("2").state(), UnitState::FinalReview);
    let running = checks(&mut table);
    green(&mut table, &running["1"]);
    table.integrate();
    assert!(table.run().people.decisions.keys().any(|id| id.as_str() == "breach-2"));
}

#[test]
fn whoever_leaves_before_the_intent_has_those_behind_prepared_again() {
    for act in [Act::Skip { unit: "2".into(), dependants: Dependants::GoOn }, Act::Cancel { unit: Some("2".into()) }] {
        let mut table = reviewed(4, 4);
        prepare(&mut table);
        let running = checks(&mut table);
        green(&mut table, &running["1"]);
        green(&mut table, &running["3"]);
        let (first, third) = (candidate(&table, "1"), candidate(&table, "3"));
        table.act(act);
        assert_eq!(train(&table)[0], "1", "intended: it stays");
        prepare(&mut table);
        assert_eq!(train(&table), ["1", "3", "4"]);
        assert_eq!(table.run().branch.train.flight(&"3".into()).expect("in it").tip, first);
        assert_ne!(candidate(&table, "3"), third);
        assert!(!table.run().branch.train.flight(&"3".into()).expect("in it").checks.green, "another tree");
        finish(&mut table);
        assert_eq!(completed(&table), ["1", "3", "4"]);
    }
}

#[test]
fn an_intended_unit_cannot_be_ended_any_more() {
    let (mut table, running) = under_check(2);
    green(&mut table, &running["2"]);
    green(&mut table, &running["1"]);
    for unit in ["1", "2"] {
        let skip = Act::Skip { unit: unit.into(), dependants: Dependants::GoOn };
        let refused = table.try_act(skip).expect_err("it is being integrated");
        assert!(refused.text.contains("is being integrated at this moment"), "{refused}");
    }
}

#[test]
fn after_a_crash_the_whole_prefix_is_owed_by_the_intent_alone() {
    let (mut table, running) = under_check(3);
    green(&mut table, &running["2"]);
    green(&mut table, &running["1"]);
    let (old, new) = moves(&table).remove(0);
    table.effects.clear();
    table.restart();
    assert!(table.effects.contains(&Effect::MoveBranch { run: run_id(), old, new: new.clone() }), "{:?}", table.effects);
    table.shell(ShellAnswer::BranchMoved { run: run_id(), tip: new });
    assert_eq!(completed(&table), ["1", "2"]);
}

#[test]
fn boxes_of_empty_ones_ride_on_the_next_commit_and_an_empty_one_completes_in_its_turn() {
    let text = "- [ ] 1. Write a\n  - _writes: f1.rs_\n- [ ] 2. Read it\n  - _reads: f9.rs_\n- [ ] 3. Write c\n  - _writes: f3.rs_\n- [ ] 4. Write d\n  - _writes: f4.rs_\n";
    let mut table = Table::with_boxes(text, checked());
    table.join("w", &[("codex", 4), ("codex-review", 4), ("check", 4)]);
    for grant in table.go() {
        match grant.lease.key.unit.as_ref().map(UnitId::as_str) {
            None => green(&mut table, &grant),
            Some("2") => table.works(&grant, &[]),
            Some(unit) => table.works(&grant, &[&format!("f{unit}.rs")]),
        }
    }
    // Of 1, 3, 4 only 1 is reviewed now, and 2 needs no review: it stands first.
    let reviews = table.go();
    let review = |table: &mut Table, unit: &str| {
        let of = reviews.iter().find(|grant| grant.lease.key.unit == Some(unit.into())).expect("a review").clone();
        table.reviews(&of, Severity::None);
    };
    let second = reviews.iter().find(|grant| grant.granted.role == Role::Check).cloned();
    assert_eq!(train(&table), ["2"]);
    review(&mut table, "1");
    review(&mut table, "3");
    review(&mut table, "4");
    let mut asked = Vec::new();
    while let Some(next) = preparations(&table).pop() {
        asked.push((next.unit.to_string(), next.ticks.iter().map(ToString::to_string).collect::<Vec<_>>()));
        prepare_one(&mut table);
    }
    let ticks = |unit: &str, ticks: &[&str]| (unit.to_owned(), ticks.iter().map(|task| (*task).to_owned()).collect::<Vec<_>>());
    assert_eq!(asked, [ticks("1", &["1", "2"]), ticks("3", &["3"]), ticks("4", &["4"])], "2's box rides on 1");
    let mut running = checks(&mut table);
    running.extend(second.map(|check| ("2".to_owned(), check)));
    green(&mut table, &running["1"]);
    assert!(completed(&table).is_empty(), "2 is ahead");
    green(&mut table, &running["2"]);
    table.integrate();
    assert_eq!(completed(&table), ["1", "2"]);
    assert!(table.run().branch.unticked.is_empty(), "its box is ticked");
    green(&mut table, &running["4"]);
    green(&mut table, &running["3"]);
    table.integrate();
    assert_eq!(completed(&table), ["1", "2", "3", "4"]);
}

#[test]
fn a_late_preparation_with_the_box_of_one_that_has_left_is_not_taken() {
    let text = "- [ ] 1. Write a\n  - _writes: f1.rs_\n- [ ] 2. Read it\n  - _reads: f9.rs_\n";
    let mut table = Table::with_boxes(text, checked());
    table.join("w", &[("codex", 4), ("codex-review", 4), ("check", 4)]);
    let grants = table.go();
    let of = |unit: Option<&str>| grants.iter().find(|grant| grant.lease.key.unit == unit.map(Into::into)).expect("granted").clone();
    green(&mut table, &of(None));
    table.works(&of(Some("2")), &[]);
    table.works(&of(Some("1")), &["f1.rs"]);
    let review = table.go_one("1");
    table.reviews(&review, Severity::None);
    assert_eq!(train(&table), ["2", "1"]);
    let asked = preparations(&table).remove(0);
    assert_eq!(asked.ticks.iter().map(ToString::to_string).collect::<Vec<_>>(), ["1", "2"]);
    table.effects.clear();
    // 2 made no commit: without it, 1 goes on the same tip, and ticks its own box alone.
    table.act(Act::Skip { unit: "2".into(), dependants: Dependants::GoOn });
    let again = preparations(&table).remove(0);
    assert_eq!((&again.tip, &again.commit, again.ticks.len()), (&asked.tip, &asked.commit, 1));
    let result = Prepared::Clean { commit: table.commit(), changed: vec![changed("f1.rs")] };
    table.shell(ShellAnswer::IntegrationPrepared {
        run: run_id(),
        unit: "1".into(),
        tip: asked.tip,
        of: asked.commit,
        ticks: asked.ticks,
        result,
    });
    assert_eq!(table.run().branch.train.flights[0].candidate, None);
    finish(&mut table);
    assert_eq!(completed(&table), ["1"]);
}

/// The next preparation is done, and nothing else.
fn prepare_one(table: &mut Table) {
    let asked = preparations(table).remove(0);
    let at = table.effects.iter().position(|effect| matches!(effect, Effect::PrepareIntegration(_))).expect("one is asked for");
    table.effects.remove(at);
    let result = Prepared::Clean { commit: table.commit(), changed: vec![changed(&format!("f{}.rs", asked.unit))] };
    table.shell(ShellAnswer::IntegrationPrepared {
        run: run_id(),
        unit: asked.unit,
        tip: asked.tip,
        of: asked.commit,
        ticks: asked.ticks,
        result,
    });
}

#[test]
fn an_empty_one_behind_completes_only_when_all_ahead_are_integrated() {
    let text = "- [ ] 1. Write a\n  - _writes: f1.rs_\n- [ ] 2. Read it\n  - _reads: f9.rs_\n";
    let mut table = Table::with(text, checked());
    table.join("w", &[("codex", 4), ("codex-review", 4), ("check", 4)]);
    let grants = table.go();
    let of = |unit: Option<&str>| grants.iter().find(|grant| grant.lease.key.unit == unit.map(Into::into)).expect("granted").clone();
    table.works(&of(Some("1")), &["f1.rs"]);
    let review = table.go_one("1");
    table.reviews(&review, Severity::None);
    table.works(&of(Some("2")), &[]);
    green(&mut table, &of(None));
    prepare(&mut table);
    assert_eq!(train(&table), ["1", "2"]);
    let running = checks(&mut table);
    assert_eq!(running["2"].granted.start, running["1"].granted.start, "what is ahead is all there is");
    green(&mut table, &running["2"]);
    assert_eq!(table.unit("2").state(), UnitState::FinalReview);
    green(&mut table, &running["1"]);
    assert_eq!(table.unit("2").state(), UnitState::FinalReview, "the branch has not moved");
    table.integrate();
    assert_eq!(completed(&table), ["1", "2"]);
}

#[test]
fn after_go_on_results_are_held_against_nobody_until_a_green_one_in_train_order() {
    let mut table = Table::with(&plan(4), checked());
    table.join("w", &[("codex", 4), ("codex-review", 4), ("check", 4)]);
    let grants = table.go();
    for grant in &grants {
        match &grant.lease.key.unit {
            None => red(&mut table, grant),
            Some(unit) => table.works(grant, &[&format!("f{unit}.rs")]),
        }
    }
    let (again, reviews): (Vec<Grant>, Vec<Grant>) = table.go().into_iter().partition(|grant| grant.granted.role == Role::Check);
    red(&mut table, &again[0]);
    for review in reviews {
        table.reviews(&review, Severity::None);
    }
    table.decide("check-red-on-base", Choice::GoOn);
    prepare(&mut table);
    let running = checks(&mut table);
    // The last is red before the second is green: the order of the train counts, not that of the clock.
    red(&mut table, &running["4"]);
    green(&mut table, &running["2"]);
    assert_eq!(table.run().branch.base_check, BaseCheck::Waived, "1 is ahead of it");
    red(&mut table, &running["1"]);
    table.integrate();
    assert_eq!(completed(&table), ["1", "2"], "1 was red and is integrated");
    assert_eq!(table.run().branch.base_check, BaseCheck::Green);
    green(&mut table, &running["3"]);
    table.integrate();
    assert_eq!(completed(&table), ["1", "2", "3"]);
    let retry = checks(&mut table).remove("4").expect("from here on red counts: it has its retry");
    red(&mut table, &retry);
    table.integrate();
    let alone = checks(&mut table).remove("4").expect("and is checked alone");
    red(&mut table, &alone);
    assert_eq!(table.unit("4").state(), UnitState::FixRequired);
}

#[test]
fn the_train_is_bounded_by_the_check_slots() {
    for (slots, length) in [(1, 4), (3, 6), (12, 12)] {
        let mut table = reviewed(12, slots);
        prepare(&mut table);
        assert_eq!(train(&table).len(), length, "{slots} check slots");
        finish(&mut table);
        assert_eq!(completed(&table).len(), 12);
    }
}

#[test]
fn check_slots_count_over_all_workers() {
    let mut table = reviewed(4, 1);
    table.join("x", &[("check", 2)]);
    prepare(&mut table);
    let running = checks(&mut table);
    assert_eq!(running.len(), 3);
    let on: Vec<&str> = running.values().map(|grant| grant.granted.worker.as_str()).collect();
    assert_eq!((on.iter().filter(|on| **on == "w").count(), on.iter().filter(|on| **on == "x").count()), (1, 2));
}

#[test]
fn another_check_voids_what_the_earlier_one_said() {
    let (mut table, running) = under_check(2);
    green(&mut table, &running["2"]);
    let given = RunOptions { check: Some("make all".to_owned()), ..checked() };
    table.act(Act::Attach { options: Box::new(given), mode: None });
    assert!(train(&table).is_empty(), "the base comes first again");
    let base = table.go();
    assert_eq!((base.len(), base[0].granted.role, base[0].lease.key.unit.clone()), (1, Role::Check, None));
    green(&mut table, &base[0]);
    prepare(&mut table);
    assert_eq!(checks(&mut table).len(), 2);
}

/// The log of a run of the release before the train: a red check, its retry, a fix, an empty unit.
fn log_without_train() -> Vec<Transition> {
    let text = include_str!("../data/log-without-train.jsonl");
    text.lines().map(|line| serde_json::from_str(line).expect("a row of an earlier release is understood")).collect()
}

#[test]
fn logs_of_the_release_before_the_train_are_understood() {
    let log = log_without_train();
    let mut state = State::default();
    let (mut longest, mut reds, mut intended) = (0, 0, 0);
    for transition in &log {
        state.apply(transition);
        let run: &Run = state.runs.values().next().expect("its first row creates the run");
        longest = longest.max(run.branch.train.flights.len());
        reds = reds.max(run.branch.train.flights.iter().map(|flight| flight.checks.red).max().unwrap_or(0));
        intended += usize::from(run.branch.train.is_moving());
        let again: Transition = serde_json::from_str(&serde_json::to_string(transition).expect("written")).expect("read");
        assert_eq!(again, *transition);
    }
    let run = state.runs.values().next().expect("the run");
    assert_eq!((longest, reds), (1, 2), "one at a time, red and red again");
    assert!(intended > 0 && run.branch.train.flights.is_empty());
    assert_eq!(run.units().filter(|unit| unit.state() == UnitState::Completed).count(), 3);
    assert_eq!((run.ended().map(|ended| ended.exit), run.unit(&"1".into()).map(|unit| unit.counters.fix_attempts)), (Some(0), Some(1)));
    assert_eq!(run.branch.integrations.iter().filter(|integration| integration.unit.is_some()).count(), 2);
}

/// Wherever that release stopped, this one goes on: what was owed is owed.
#[test]
fn a_log_of_the_release_before_is_gone_on_from_wherever_it_ends() {
    use roundtable_core::{Core, command::Now};
    let log = log_without_train();
    let mut owed_moves = 0;
    for end in 1..log.len() {
        let mut core = Core::default();
        log[..end].iter().for_each(|transition| core.replay(transition));
        let now = Now { mono_ms: 1, wall: log[end].at };
        let effects = core.recover(now).effects;
        let run = core.state.runs.values().next().expect("the run");
        let moves = effects.iter().filter(|effect| matches!(effect, Effect::MoveBranch { .. })).count();
        let empty = run.branch.train.flights.first().and_then(|flight| flight.candidate.as_ref()).is_some_and(|candidate| candidate.empty);
        assert_eq!(moves == 1, run.branch.train.is_moving() && run.branch.train.destination() != Some(&run.branch.tip), "after row {end}");
        assert!(!empty || moves == 0);
        owed_moves += moves;
    }
    assert!(owed_moves > 0);
}
