//! Half-finished units of another tool may overlap; here two never hold the same.

use roundtable_shared::{Severity, UnitState};

use crate::table::{Table, options};

#[test]
fn imported_units_that_overlap_go_on_one_after_the_other() {
    let plan = "- [ ] 1. Write a\n  - _writes: a.rs_\n- [ ] 2. Write more of a\n  - _writes: a.rs_\n- [ ] 3. Mend a\n  - _writes: a.rs_\n";
    let left = [("1", "pending_review", Some("codex")), ("2", "under_review", Some("codex")), ("3", "fix_required", Some("codex"))];
    let mut table = Table::with_imported(plan, options(), &left);
    table.join("w", &[("codex", 4), ("codex-review", 4)]);
    let states = |table: &Table| ["1", "2", "3"].map(|id| table.unit(id).state);
    assert_eq!(states(&table), [UnitState::PendingReview, UnitState::Blocked, UnitState::Blocked]);
    for unit in ["1", "2"] {
        let review = table.go_one(unit);
        table.reviews(&review, Severity::None);
        table.integrate();
    }
    table.go_one("3");
    assert_eq!(states(&table), [UnitState::Completed, UnitState::Completed, UnitState::InProgress]);
}
