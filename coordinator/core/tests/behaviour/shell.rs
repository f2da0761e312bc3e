//! Effects that fail are repeated until they work.

use roundtable_core::command::{Prepared, ShellAnswer};
use roundtable_core::effect::Effect;
use roundtable_shared::Severity;

use crate::table::{Table, options, run_id};

#[test]
fn the_answer_of_another_effect_does_not_end_the_repeating() {
    let mut table = Table::with("- [ ] 1. Write a\n  - _writes: a.rs_\n- [ ] 2. Write b\n  - _writes: b.rs_\n", options());
    table.join("w", &[("codex", 2), ("codex-review", 2)]);
    let work = table.go_one("1");
    table.works(&work, &["a.rs"]);
    let review = table.go_one("1");
    table.reviews(&review, Severity::None);
    let is_asked = |table: &mut Table| {
        let before = table.effects.len();
        table.effects.retain(|effect| !matches!(effect, Effect::PrepareIntegration(_)));
        table.effects.len() < before
    };
    assert!(is_asked(&mut table));
    table.shell(ShellAnswer::Failed { run: run_id(), unit: Some("1".into()), reason: "the disk is full".to_owned() });
    // A late answer to something that was asked about another unit.
    let tip = table.run().tip.clone();
    table.shell(ShellAnswer::Merged { run: run_id(), unit: "2".into(), tip, result: Prepared::Empty });
    table.pass(5_000);
    assert!(is_asked(&mut table), "the integration is prepared again");
}
