//! What a unit waits for, told in part: views of many units list the first reasons of each and count the others.

use roundtable_core::schedule::{Explainer, Reasons, WaitKind, explain};
use roundtable_shared::{HazardRule, RunOptions};

use crate::table::{Table, options, run_id};

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

/// Of every unit, for every bound: what is told is among all reasons, and no more is counted than there is.
fn check_bounds(table: &Table) {
    let run = table.run();
    for most in [0, 1, 3, 8, 1_000] {
        let mut explainer = Explainer::new(&table.core.state, &table.core.fleet, run, table.now, most);
        for unit in run.units() {
            let all = explain(&table.core.state, &table.core.fleet, &run_id(), &unit.id, table.now);
            let reasons = explainer.reasons(unit);
            let id = &unit.id;
            assert_eq!(reasons.told.len(), all.len().min(most), "unit {id}, {most} of {all:?}: {reasons:?}");
            assert!(reasons.told.iter().all(|reason| all.contains(reason)), "unit {id}, {most} of {all:?}: {reasons:?}");
            let counted = reasons.told.len() + reasons.left_out;
            assert!((all.len().min(most + 1)..=all.len()).contains(&counted), "unit {id}, {most}: {counted} of {}", all.len());
        }
    }
}

#[test]
fn units_that_wait_for_one_file_tell_the_first_of_those_before_them() {
    let mut table = Table::with(&units(40, |_| writes("one.txt")), options());
    table.join("alpha", &[("codex", 4)]);
    table.go();
    let last = told(&table, "40", 8);
    assert_eq!(last.told.iter().map(|reason| reason.on.as_str()).collect::<Vec<_>>(), ["1", "2", "3", "4", "5", "6", "7", "8"]);
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
