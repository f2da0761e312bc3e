//! Whatever can start does, in the same breath.

use roundtable_core::command::RoleAnswer;
use roundtable_shared::answer::{Action, CheckedAssignment, OrchestrateAnswer, OrchestrateDecision};
use roundtable_shared::{HazardRule, Mode, Role, RunOptions, Severity};

use crate::table::{Table, options};

fn units(grants: &[roundtable_core::effect::Grant]) -> Vec<(String, Role)> {
    let name = |grant: &roundtable_core::effect::Grant| grant.lease.key.unit.as_ref().map_or("-".to_owned(), ToString::to_string);
    grants.iter().map(|grant| (name(grant), grant.granted.role)).collect()
}

/// Assigns everything by the rules.
fn assign(table: &mut Table) {
    // Whoever else might join is waited for.
    table.pass(3_000);
    let grants = table.go();
    assert_eq!(units(&grants), [("-".to_owned(), Role::Assign)]);
    table.report(&grants[0], None, &[], Ok(RoleAnswer::Assign(CheckedAssignment::default())));
}

#[test]
fn what_a_unit_without_a_manifest_kept_waiting_starts_when_its_slot_is_taken() {
    let plan = "- [ ] 1. Write a\n  - _writes: a.rs_\n- [ ] 2. Build the ui\n  - _writes: b.rs_\n- [ ] 3. Do anything\n  - Depends on: 2\n\
                - [ ] 4. Build the page\n  - Depends on: 2\n  - _writes: d.rs_\n";
    let options = RunOptions { mode: Mode::Deterministic, hazards: HazardRule::Writes, ..options() };
    let mut table = Table::with(plan, options);
    table.join("w", &[("codex", 1), ("gemini", 1)]);
    table.join("reviewer", &[("codex-review", 2)]);
    assign(&mut table);
    let grants = table.go();
    assert_eq!(units(&grants), [("1".to_owned(), Role::Implement), ("2".to_owned(), Role::Implement)]);
    table.works(&grants[0], &["a.rs"]);
    table.works(&grants[1], &["b.rs"]);
    let reviews = table.go();
    table.reviews(&reviews[0], Severity::Major);
    table.reviews(&reviews[1], Severity::None);
    table.integrate();
    // Unit 3 waits only for the hold of 1 while a slot is free: nothing new starts before it. The fix of 1 takes that slot, so 4 need not wait.
    assert_eq!(units(&table.go()), [("1".to_owned(), Role::Fix), ("4".to_owned(), Role::Implement)]);
}

#[test]
fn what_the_orchestrator_held_back_starts_when_it_is_given_up() {
    let plan = "- [ ] 1. Write a\n  - _writes: a.rs_\n- [ ] 2. Write b\n  - Depends on: 1\n  - _writes: b.rs_\n";
    let mut table = Table::with(plan, RunOptions { mode: Mode::Llm, ..options() });
    table.join("w", &[("codex", 1), ("codex-review", 1), ("opencode", 1)]);
    assign(&mut table);
    let work = table.go_one("1");
    table.works(&work, &["a.rs"]);
    let review = table.go_one("1");
    table.pass(2_000);
    let consulted = table.go();
    assert_eq!(units(&consulted), [("-".to_owned(), Role::Orchestrate)]);
    table.reviews(&review, Severity::None);
    table.integrate();
    let answer = OrchestrateAnswer {
        decision: OrchestrateDecision::Continue,
        actions: Vec::new(),
        notes: None,
        hold: vec![Action::DispatchBatch],
        unknown: Vec::new(),
    };
    table.report(&consulted[0], None, &[], Ok(RoleAnswer::Orchestrate(answer)));
    assert!(table.go().is_empty(), "unit 2 is held back");
    table.join("w", &[("codex", 1), ("codex-review", 1)]);
    table.pass(2_000);
    assert_eq!(units(&table.go()), [("2".to_owned(), Role::Implement)], "nobody can be waited for any more");
}

/// Units with a file each, and what the last one depends on; what is granted each time all slots of one worker are free.
fn waves(units: u32, last: &str, slots: u32) -> Vec<Vec<(String, Role)>> {
    let plan: String = (1..=units).map(|id| format!("- [ ] {id}. Write {id}\n  - _writes: {id}.rs_\n")).collect();
    let mut table = Table::with(&format!("{plan}{last}"), options());
    table.join("w", &[("codex", slots), ("codex-review", slots)]);
    let mut waves = Vec::new();
    loop {
        let grants = table.go();
        if grants.is_empty() {
            return waves;
        }
        waves.push(self::units(&grants));
        for grant in &grants {
            match grant.granted.role {
                Role::Implement => table.works(grant, &[&format!("{}.rs", self::units(std::slice::from_ref(grant))[0].0)]),
                _ => table.reviews(grant, Severity::None),
            }
        }
        table.integrate();
    }
}

fn begins(unit: &str) -> (String, Role) {
    (unit.to_owned(), Role::Implement)
}

fn reviewed(unit: &str) -> (String, Role) {
    (unit.to_owned(), Role::Review)
}

#[test]
fn the_last_units_are_begun_before_others_are_reviewed() {
    let found = waves(5, "", 2);
    let first = [vec![begins("1"), begins("2")], vec![reviewed("1"), reviewed("2")], vec![begins("3"), begins("4")]];
    assert_eq!(found[..3], first, "while as many are left as there are slots, what is begun is ended first");
    assert_eq!(found[3..], [vec![begins("5"), reviewed("3")], vec![reviewed("4"), reviewed("5")]], "no slot is empty to the end");
}

#[test]
fn with_one_slot_each_unit_is_reviewed_before_the_next_is_begun() {
    let found = waves(5, "", 1);
    let one_by_one: Vec<_> = ["1", "2", "3", "4", "5"].iter().flat_map(|unit| [vec![begins(unit)], vec![reviewed(unit)]]).collect();
    assert_eq!(found, one_by_one);
}

#[test]
fn a_unit_that_waits_for_others_has_their_reviews_go_first() {
    let found = waves(4, "  - Depends on: 1\n", 2);
    let rest = [vec![begins("3"), begins("4")], vec![reviewed("3"), reviewed("4")]];
    assert_eq!(
        found[..2],
        [vec![begins("1"), begins("2")], vec![reviewed("1"), reviewed("2")]],
        "unit 3 could begin, but 4 waits for the review of 1"
    );
    assert_eq!(found[2..], rest);
}
