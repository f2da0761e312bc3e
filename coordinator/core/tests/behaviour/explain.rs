//! What a unit waits for, told in part: views of many units list the first reasons of each and count the others.

use roundtable_core::schedule::{Explainer, Reasons, WaitKind, Waiting, explain};
use roundtable_core::state::State;
use roundtable_core::{Fact, Transition};
use roundtable_shared::{HazardRule, RunId, RunOptions, UnitId, UnitState};

use crate::table::{Table, options, run_id};

/// The first eight units.
const FIRST: [&str; 8] = ["1", "2", "3", "4", "5", "6", "7", "8"];

/// So many units, each with these lines.
fn units(count: u32, lines: impl Fn(u32) -> String) -> String {
    (1..=count).map(|n| format!("- [ ] {n}. Unit {n}\n{}", lines(n))).collect()
}

fn writes(paths: &str) -> String {
    format!("  - _writes: {paths}_\n")
}

fn told(table: &Table, unit: &str, most: usize) -> Reasons {
    let run = table.run();
    Explainer::new(&table.core.state, &table.core.fleet, run, table.now, most).reasons(run.unit(&unit.into()).expect("it is in the plan"))
}

fn names(reasons: &Reasons) -> Vec<&str> {
    reasons.told.iter().map(|reason| reason.on.as_str()).collect()
}

fn all(table: &Table, unit: &UnitId) -> Vec<Waiting> {
    explain(&table.core.state, &table.core.fleet, &run_id(), unit, table.now)
}

fn complete(state: &mut State, run: &RunId, unit: &str) {
    let fact = Fact::UnitMoved { unit: unit.into(), to: UnitState::Completed, reason: None };
    state.apply(&Transition { run: Some(run.clone()), at: state.run(run).expect("it is there").origin.created_at, fact });
}

/// Of every unit, for every bound: what is told are the first of all its reasons, and all others are counted.
fn check_bounds(table: &Table) {
    let run = table.run();
    for most in [0, 1, 3, 8, 1_000] {
        let mut explainer = Explainer::new(&table.core.state, &table.core.fleet, run, table.now, most);
        for unit in run.units() {
            let all = all(table, &unit.id);
            let (reasons, id) = (explainer.reasons(unit), &unit.id);
            assert_eq!(reasons.told[..], all[..all.len().min(most)], "unit {id}, {most}");
            assert_eq!((reasons.told.len() + reasons.left_out, reasons.at_least), (all.len(), false), "unit {id}, {most}");
        }
    }
}

#[test]
fn units_that_wait_for_one_file_tell_the_first_of_those_before_them() {
    let mut table = Table::with(&units(40, |_| writes("one.txt")), options());
    table.join("alpha", &[("codex", 4)]);
    table.go();
    let last = told(&table, "40", 8);
    assert_eq!(names(&last), FIRST);
    // All of them wait for one file, and unit 1 holds it besides.
    assert_eq!((last.told[0].kind, last.left_out), (WaitKind::Hazard, 32));
    assert_eq!(told(&table, "3", 8).told.len(), 3);
    check_bounds(&table);
}

#[test]
fn units_without_a_manifest_count_all_before_them() {
    let mut table = Table::with(&units(60, |n| if n % 2 == 0 { String::new() } else { writes(&format!("f{n}.txt")) }), options());
    table.join("alpha", &[("codex", 4)]);
    table.go();
    let (bare, named) = (told(&table, "60", 8), told(&table, "59", 8));
    assert!(bare.told.iter().chain(&named.told).all(|reason| reason.kind == WaitKind::Exclusive));
    // Each of those before the one; of the 29 without a manifest before the other.
    assert_eq!((bare.told.len() + bare.left_out, named.told.len() + named.left_out), (59 + 1, 29));
    check_bounds(&table);
}

#[test]
fn folders_globs_checkpoints_and_holds_are_bounded_alike() {
    let of = |n: u32| match n % 5 {
        0 => writes("src/"),
        1 => writes("src/*.rs, tests/"),
        2 => format!("{}  - _reads: tests/**_\n", writes(&format!("src/m{n}.rs"))),
        3 => writes(&format!("src/m{n}.rs, src/n{n}.rs, src/shared.rs")),
        _ => format!("{}  - _depends on: {}_\n", writes(&format!("doc/{n}.md")), n - 1),
    };
    let plan = format!("{}- [ ] 31. Checkpoint\n  - _reads: src/_\n{}", units(30, of), "- [ ] 32. More\n  - _writes: more.rs_\n");
    for hazards in [HazardRule::Ordered, HazardRule::Writes] {
        let mut table = Table::with(&plan, RunOptions { hazards, ..options() });
        table.join("alpha", &[("codex", 3)]);
        table.go();
        check_bounds(&table);
    }
}

#[test]
fn who_is_ready_is_told_that_every_slot_is_busy_however_many_they_are() {
    let mut table = Table::with(&units(12, |n| writes(&format!("f{n}.txt"))), options());
    table.join("alpha", &[("codex", 2)]);
    assert_eq!(table.go().len(), 2);
    let reasons = told(&table, "12", 8);
    assert_eq!(reasons.told.iter().map(|reason| reason.text.as_str()).collect::<Vec<_>>(), ["every slot of codex is busy"]);
    check_bounds(&table);
}

#[test]
fn of_a_folder_with_many_paths_the_first_are_told_whatever_comes_after_them() {
    let of = |n: u32| match n {
        100 => format!("{}  - _reads: src/_\n", writes("doc.md")),
        _ => writes(&format!("src/f{n}.txt")),
    };
    let mut table = Table::with(&units(200, of), options());
    table.join("alpha", &[("codex", 4)]);
    table.go();
    let reader = told(&table, "100", 8);
    assert_eq!((names(&reader), reader.left_out), (FIRST.to_vec(), 91));
    check_bounds(&table);
}

#[test]
fn who_comes_first_is_told_by_the_order_of_the_plan() {
    // Unit 1 comes after unit 90, and unit 5 after unit 80.
    let of = |n: u32| match n {
        1 => format!("{}  - Depends on: 90\n", writes("src/f1.txt")),
        5 => format!("{}  - Depends on: 80\n", writes("src/f5.txt")),
        101 => "  - _reads: src/_\n".to_owned(),
        _ => writes(&format!("src/f{n}.txt")),
    };
    let mut table = Table::with(&units(101, of), options());
    table.join("alpha", &[("codex", 4)]);
    table.go();
    let reader = told(&table, "101", 8);
    assert_eq!((names(&reader), reader.left_out), (["2", "3", "4", "6", "7", "8", "9", "10"].to_vec(), 92));
    check_bounds(&table);
}

#[test]
fn units_that_meet_one_by_different_paths_are_all_counted() {
    let of = |n: u32| match n {
        1..=20 => writes("a.txt"),
        21..=40 => writes("b.txt"),
        41..=50 => writes("a.txt, b.txt, c.txt"),
        _ => format!("{}  - _reads: b.txt, c.*_\n", writes("a.txt")),
    };
    let mut table = Table::with(&units(51, of), options());
    table.join("alpha", &[("codex", 4)]);
    table.go();
    let last = told(&table, "51", 8);
    assert_eq!((names(&last), last.left_out), (FIRST.to_vec(), 50 + 1 - 8));
    check_bounds(&table);
}

#[test]
fn where_there_are_very_many_the_first_are_told_and_at_least_so_many_counted() {
    let of = |n: u32| match n {
        1..=400 => writes(&format!("src/f{n}.txt")),
        401..=800 => writes("src/one.txt"),
        _ => "  - _reads: src/_\n".to_owned(),
    };
    let mut table = Table::with(&units(801, of), options());
    table.join("alpha", &[("codex", 1)]);
    table.go();
    let reader = told(&table, "801", 8);
    assert_eq!((names(&reader), reader.at_least), (FIRST.to_vec(), true));
    assert!((400..792).contains(&reader.left_out), "{}", reader.left_out);
    let all = told(&table, "801", 1_000);
    assert_eq!((all.told.len(), all.left_out, all.at_least), (800, 0, false));
}

#[test]
fn the_first_are_told_however_far_they_are_from_the_first_of_the_plan() {
    // Of the first 300 none is met, and those that are have a path each, as have as many after them.
    let of = |n: u32| match n {
        1..=300 => writes(&format!("doc/d{n}.txt")),
        620 => format!(
            "{}  - _reads: src/_
",
            writes("x.txt")
        ),
        _ => writes(&format!("src/f{n}.txt")),
    };
    let mut table = Table::with(&units(940, of), options());
    table.join("alpha", &[("codex", 1)]);
    table.go();
    let reader = told(&table, "620", 2);
    assert_eq!((names(&reader), reader.left_out >= 1), (vec!["301", "302"], true), "{reader:?}");
    assert!(reader.told.len() + reader.left_out <= 319 && reader.at_least, "{reader:?}");
    assert_eq!(told(&table, "620", 1_000).told.len(), 319);
}

#[test]
fn who_meets_only_the_first_of_very_many_paths_counts_them_all() {
    let of = |n: u32| {
        if n == 5 {
            format!(
                "{}  - _reads: src/_
",
                writes("x.txt")
            )
        } else {
            writes(&format!("src/f{n}.txt"))
        }
    };
    let mut table = Table::with(&units(600, of), options());
    table.join("alpha", &[("codex", 1)]);
    table.go();
    let reader = told(&table, "5", 8);
    assert_eq!((names(&reader), reader.left_out, reader.at_least), (FIRST[..4].to_vec(), 0, false));
    let reader = told(&table, "5", 3);
    assert_eq!((names(&reader), reader.left_out, reader.at_least), (FIRST[..3].to_vec(), 1, false));
}

#[test]
fn of_very_many_holders_the_first_are_told() {
    let of = |n: u32| if n == 301 { writes("src/") } else { writes(&format!("src/f{n}.txt")) };
    let mut table = Table::with(&units(301, of), RunOptions { hazards: HazardRule::Writes, ..options() });
    table.join("alpha", &[("codex", 300)]);
    table.go();
    let last = told(&table, "301", 8);
    assert_eq!((names(&last), last.told[0].kind, last.at_least), (FIRST.to_vec(), WaitKind::Hold, true));
    assert!((248..292).contains(&last.left_out), "{}", last.left_out);
    assert_eq!(told(&table, "301", 1_000).told.len(), 300);
}

#[test]
fn of_a_checkpoint_all_that_is_open_is_counted_whatever_was_completed() {
    let plan = format!("{}- [ ] 366. Checkpoint\n  - _writes: all.md_\n", units(365, |n| writes(&format!("f{n}.txt"))));
    let mut table = Table::with(&plan, options());
    table.edit(|state| (9..=265).for_each(|n: u32| complete(state, &run_id(), &n.to_string())));
    let checkpoint = told(&table, "366", 8);
    assert_eq!((names(&checkpoint), checkpoint.left_out), (FIRST.to_vec(), 100));
    check_bounds(&table);
}

#[test]
fn who_has_no_manifest_bars_the_units_of_its_own_run_alone() {
    let plan = |name: &str| {
        let (first, later) = (units(1, |_| writes("one.txt")), "- [ ] 9. Later\n  - Depends on: 8\n  - _writes: late.txt_\n");
        format!("{first}- [ ] {name}. Anything\n  - Depends on: 8\n- [ ] 8. Before\n  - _writes: before.txt_\n{later}")
    };
    let rule = RunOptions { hazards: HazardRule::Writes, ..options() };
    let mut table = Table::with(&plan("2"), rule.clone());
    let other = RunId::from("other");
    table.submit_as(&other, &plan("3"), rule, None);
    table.join("alpha", &[("codex", 8)]);
    assert_eq!(table.go().len(), 4, "1 and 8 of each");
    // Who has no manifest waits for what the first of its run holds, and for nothing else.
    table.edit(|state| [&run_id(), &other].into_iter().for_each(|run| complete(state, run, "8")));
    for (run, barrier) in [(&run_id(), "2"), (&other, "3")] {
        let reasons = |unit: &str| explain(&table.core.state, &table.core.fleet, run, &unit.into(), table.now);
        let text = format!("unit {barrier} has no manifest and waits for every hold; nothing new starts before it");
        assert_eq!(reasons("9"), [Waiting { kind: WaitKind::Exclusive, on: barrier.to_owned(), path: String::new(), text }]);
        assert_eq!(reasons(barrier).iter().map(|reason| (reason.kind, reason.on.as_str())).collect::<Vec<_>>(), [(WaitKind::Hold, "1")]);
    }
}
