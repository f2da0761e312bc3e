//! Files an agent left that could not be committed, and workers that could not commit: who is told, and what it costs.

use roundtable_core::command::ShellAnswer;
use roundtable_core::effect::Effect;
use roundtable_shared::{FailureKind, LeftOut, UnitState};

use crate::table::{self, Table, options};

fn left_out() -> LeftOut {
    LeftOut { files: (0..9).map(|n| format!("f{n} (its name is not valid UTF-8; rename it)")).collect(), count: 30 }
}

fn told(table: &Table) -> Vec<&str> {
    table.run().people.notices.iter().map(|notice| notice.text.as_str()).collect()
}

#[test]
fn files_that_cannot_be_committed_are_told_and_are_the_reason_if_nothing_else_was_changed() {
    let mut table = Table::with("- [ ] 1. Write a\n  - _writes: a.rs_\n", options());
    table.join("w", &[("codex", 1)]);
    let grant = table.go_one("1");
    table.left_out = left_out();
    table.works(&grant, &[]);
    let notice = told(&table).concat();
    assert!(notice.starts_with("unit 1, attempt 1: not committed: f0 (its name is not valid UTF-8; rename it), f1 "), "{notice}");
    assert!(notice.ends_with(", and 25 more"), "{notice}");
    let report = table.unit("1").work.report.as_ref().and_then(|report| report.error.clone()).unwrap_or_default();
    assert!(report.starts_with("no_change: ") && report.contains("nothing it changed can be committed: f0 (its name"), "{report}");

    let grant = table.go_one("1");
    table.left_out = left_out();
    table.works(&grant, &["a.rs"]);
    assert_eq!(table.unit("1").state(), UnitState::PendingReview, "the rest counts");
    assert_eq!(told(&table).len(), 2);
}

#[test]
fn a_worker_that_gets_work_again_is_told_where_it_was_told_that_it_gets_none() {
    let plan = "- [ ] 1. a\n  - _writes: a_\n- [ ] 2. b\n  - _writes: b_\n- [ ] 3. c\n  - _writes: c_\n- [ ] 4. d\n  - _writes: d_\n";
    let mut table = Table::with(plan, options());
    table.join("w", &[("codex", 3)]);
    for grant in table.go() {
        table.breaks(&grant, FailureKind::Disk);
    }
    assert!(told(&table).last().is_some_and(|text| text.contains("w gets nothing more: ")), "{:?}", told(&table));
    assert!(table.go().is_empty());
    table.offers_again("w", "codex");
    assert!(told(&table).last().is_some_and(|text| text.ends_with("w is back: it gets work again")), "{:?}", told(&table));
    table.pass(600_000);
    assert!(!table.go().is_empty());
    table.offers_again("w", "codex");
    assert_eq!(told(&table).len(), 2, "once");
}

#[test]
fn a_run_that_has_lost_its_repository_is_halted_and_no_unit_pays() {
    let mut table = Table::with("- [ ] 1. Write a\n  - _writes: a.rs_\n", options());
    table.join("w", &[("codex", 1)]);
    table.schedule();
    let lease = table.effects.iter().find_map(|effect| if let Effect::Grant(grant) = effect { Some(grant.lease.clone()) } else { None });
    table.effects.clear();
    let reason = "the repository lacks the commit it began from".to_owned();
    table.shell(ShellAnswer::RepositoryLost { run: table::run_id(), reason: reason.clone() });
    table.shell(ShellAnswer::GrantFailed { lease: lease.expect("something is granted"), reason: "no such object".to_owned() });
    assert_eq!(table.run().life.halted.as_ref().map(|halt| halt.text.clone()), Some(reason));
    assert_eq!((table.unit("1").counters.infra, table.unit("1").state()), (0, UnitState::NotStarted));
    assert!(table.go().is_empty());
}
