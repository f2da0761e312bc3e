//! Units that ask for labels, and workers that have them or not.

use roundtable_core::command::Act;
use roundtable_core::schedule::{Standing, WaitKind, explain, standing};
use roundtable_shared::answer::Proposal;
use roundtable_shared::{BackendName, Choice, Decision, RunOptions, Severity, UnitId, UnitState};

use crate::table::{Table, options, run_id};

const TWO: &str = "- [ ] 1. Train\n  - _writes: a.rs_\n  - _requires: gpu, zone=eu_\n- [ ] 2. Write b\n  - _writes: b.rs_\n";
const GPU: [(&str, &str); 2] = [("gpu", "a100"), ("zone", "eu")];

fn served() -> RunOptions {
    RunOptions { embedded: false, ..options() }
}

fn waits(table: &Table, unit: &str) -> Vec<(WaitKind, String)> {
    let waits = explain(&table.core.state, &table.core.fleet, &run_id(), &UnitId::from(unit), table.now);
    waits.into_iter().map(|waiting| (waiting.kind, waiting.text)).collect()
}

fn ask_for(table: &mut Table, unit: &str, requires: &[&str]) {
    let requires = Some(requires.iter().map(|label| (*label).to_owned()).collect());
    table.act(Act::Assign { unit: unit.into(), owner: None, criticality: None, writes: None, reads: None, requires });
}

fn asked(table: &Table) -> Decision {
    let asked: Vec<&Decision> = table.run().people.decisions.values().collect();
    assert_eq!(asked.len(), 1, "{asked:?}");
    asked[0].clone()
}

#[test]
fn a_unit_goes_to_a_worker_that_has_all_it_asks_for_and_to_no_other() {
    let mut table = Table::with(TWO, served());
    table.join("plain", &[("codex", 2)]);
    table.join_with("near", &[("gpu", "a100"), ("zone", "us")], &[("codex", 2)]);
    let granted = table.go();
    assert_eq!(granted.len(), 1, "unit 2 alone");
    let (kind, text) = waits(&table, "1").remove(0);
    assert_eq!((kind, text.as_str()), (WaitKind::Label, "no worker that offers codex has the labels gpu, zone=eu"));
    table.join_with("right", &GPU, &[("codex", 1)]);
    assert_eq!(table.go_one("1").granted.worker.as_str(), "right");
}

#[test]
fn a_document_asks_for_labels_too() {
    let mut table = Table::with(TWO, served());
    let said = |unit: &str, requires: &[&str]| Proposal {
        requires: Some(requires.iter().map(|label| (*label).to_owned()).collect()),
        ..Proposal::keep(unit.into())
    };
    table.act(Act::AssignAll { proposals: vec![said("1", &[]), said("2", &["gpu"])] });
    assert_eq!((table.unit("1").assignment.requires.len(), table.unit("2").assignment.requires.clone()), (0, vec!["gpu".to_owned()]));
    table.join("plain", &[("codex", 2)]);
    table.go_one("1");
    assert!(table.go().is_empty(), "unit 2 waits for a worker with a gpu");
    table.join_with("right", &GPU, &[("codex", 1)]);
    assert_eq!(table.go_one("2").granted.worker.as_str(), "right");
}

#[test]
fn its_fixes_and_checks_go_there_too_and_its_reviews_anywhere() {
    let tasks = "- [ ] 1. Train\n  - _writes: a.rs_\n  - _requires: gpu_\n";
    let mut table = Table::with(tasks, RunOptions { check: Some("make test".to_owned()), ..served() });
    table.join_with("right", &[("gpu", "true")], &[("codex", 1), ("check", 1)]);
    table.join("plain", &[("codex", 4), ("codex-review", 4), ("check", 4)]);
    for _ in 0..20 {
        for grant in table.go() {
            match grant.granted.role {
                roundtable_shared::Role::Review => {
                    assert_eq!(grant.granted.worker.as_str(), "plain", "nobody else reviews, and it need not have the label");
                    let severity = if table.unit("1").counters.fix_attempts == 0 { Severity::Major } else { Severity::None };
                    table.reviews(&grant, severity);
                }
                roundtable_shared::Role::Check => {
                    assert!(grant.lease.key.unit.is_none() || grant.granted.worker.as_str() == "right", "{grant:?}");
                    table.report(&grant, None, &[], Ok(roundtable_core::command::RoleAnswer::None));
                }
                _ => {
                    assert_eq!(grant.granted.worker.as_str(), "right");
                    table.works(&grant, &["a.rs"]);
                }
            }
        }
        table.integrate();
    }
    assert_eq!((table.unit("1").state(), table.unit("1").counters.fix_attempts), (UnitState::Completed, 1));
}

#[test]
fn where_nobody_has_them_a_person_is_asked_and_the_others_go_on() {
    let mut table = Table::with(TWO, served());
    table.join("plain", &[("codex", 1)]);
    let other = table.go_one("2");
    table.pass(table.run().options.limits.no_worker_ms + 2_000);
    table.schedule();
    let decision = asked(&table);
    assert_eq!((decision.id.as_str(), decision.backend.clone()), ("no-worker-codex-gpu-zone-eu", Some(BackendName::from("codex"))));
    assert_eq!(decision.keywords, ["wait", "abort"], "another backend would be the whole run's");
    let context =
        "no worker that offers codex has the labels gpu, zone=eu, which unit 1 asks for; start one with `--label gpu --label zone=eu`";
    assert!(decision.context.starts_with(context), "{}", decision.context);
    assert_ne!(standing(&table.core.state, table.run()), Standing::Waiting, "unit 2 is under way");
    table.works(&other, &["b.rs"]);
    assert_ne!(standing(&table.core.state, table.run()), Standing::Waiting, "its review is to come, and codex itself is not asked about");
    table.join_with("right", &GPU, &[("codex", 1)]);
    let granted = table.go();
    assert!(granted.iter().any(|grant| grant.granted.worker.as_str() == "right"));
    assert!(table.run().people.decisions.is_empty(), "nothing is left to ask");
}

#[test]
fn what_is_asked_for_can_be_changed_while_it_waits_and_holds_over_a_restart() {
    let mut table = Table::with(TWO, served());
    table.join("plain", &[("codex", 2)]);
    assert_eq!(table.go().len(), 1);
    ask_for(&mut table, "1", &["zone=us", " gpu "]);
    assert_eq!(table.unit("1").assignment.requires, ["zone=us", "gpu"]);
    assert!(!table.unit("1").assignment.pinned, "who owns it was not said");
    table.restart();
    assert_eq!(table.unit("1").assignment.requires, ["zone=us", "gpu"]);
    table.hello("plain", 9, roundtable_shared::Origin::default(), &[("codex", 2)]).expect("it comes back");
    assert!(table.go().iter().all(|grant| grant.lease.key.unit != Some(UnitId::from("1"))));
    ask_for(&mut table, "1", &["none"]);
    assert_eq!(table.go_one("1").granted.worker.as_str(), "plain");
}

#[test]
fn what_is_no_label_is_refused_whole() {
    let mut table = Table::with(TWO, served());
    let requires = Some(vec!["gpu".to_owned(), "1.2".to_owned()]);
    let act = Act::Assign { unit: "1".into(), owner: Some("gemini".into()), criticality: None, writes: None, reads: None, requires };
    let refused = table.try_act(act).expect_err("1.2 is no label");
    assert!(refused.text.starts_with("`1.2` is no label"), "{}", refused.text);
    assert_eq!(
        (table.unit("1").assignment.requires.as_slice(), table.unit("1").assignment.owner.clone()),
        (["gpu", "zone=eu"].map(String::from).as_slice(), Some("codex".into()))
    );
}

#[test]
fn a_person_who_waits_is_not_asked_again_at_once() {
    let mut table = Table::with(TWO, served());
    table.join("plain", &[("codex", 1)]);
    table.go_one("2");
    table.pass(table.run().options.limits.no_worker_ms + 2_000);
    table.schedule();
    table.decide("no-worker-codex-gpu-zone-eu", Choice::Wait);
    table.pass(60_000);
    table.schedule();
    assert!(table.run().people.decisions.is_empty());
}

/// The head of the train waits for a person, and the check of the one behind it may still come back red.
#[test]
fn a_check_that_is_due_behind_one_that_nobody_can_run_moves_the_run() {
    let tasks = "- [ ] 1. Train\n  - _writes: a.rs_\n  - _requires: gpu_\n- [ ] 2. Write b\n  - _writes: b.rs_\n";
    let mut table = Table::with(tasks, RunOptions { check: Some("make test".to_owned()), ..served() });
    table.join_with("right", &[("gpu", "true")], &[("codex", 2)]);
    table.join("plain", &[("codex-review", 4), ("check", 1)]);
    let mut last = None;
    for _ in 0..8 {
        for grant in table.go() {
            match (grant.granted.role, grant.lease.key.unit.as_ref().map(UnitId::as_str)) {
                (roundtable_shared::Role::Review, Some("2")) => last = Some(grant),
                (roundtable_shared::Role::Review, _) => table.reviews(&grant, Severity::None),
                (roundtable_shared::Role::Check, _) => table.report(&grant, None, &[], Ok(roundtable_core::command::RoleAnswer::None)),
                (_, Some("1")) => table.works(&grant, &["a.rs"]),
                _ => table.works(&grant, &["b.rs"]),
            }
        }
        table.integrate();
    }
    table.pass(table.run().options.limits.no_worker_ms + 2_000);
    table.schedule();
    assert_eq!(asked(&table).id.as_str(), "no-worker-check-gpu");
    table.reviews(&last.expect("unit 2 is reviewed"), Severity::None);
    table.integrate();
    let stands = |table: &Table| standing(&table.core.state, table.run());
    assert!(!table.run().has_live_attempts());
    assert_eq!(stands(&table), Standing::Running, "its check is due");
    let check = table.go_one("2");
    table.report(&check, None, &[], Ok(roundtable_core::command::RoleAnswer::None));
    table.integrate();
    assert_eq!(stands(&table), Standing::Waiting, "it is green, and waits for the one ahead");
}
