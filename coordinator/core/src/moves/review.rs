//! What a review leaves behind: the item that says that a unit is sent back, and minor issues for later.

use roundtable_shared::{DeferredFix, RunId, Severity, UnitId};

use crate::transition::Fact;
use crate::txn::Txn;

/// The entry of `blocked_items` that stays until the fix passes.
pub(crate) fn send_back_item(d: &mut Txn<'_>, run: &RunId, unit: &UnitId, severity: Severity, summary: &str) {
    let item = roundtable_shared::BlockedItem {
        task_id: unit.task(),
        blocking_reason: format!("review found {severity} issues: {summary}"),
        required_resolution: Some("a fix that passes its review".to_owned()),
        created_at: d.now.wall,
    };
    d.emit(run, Fact::BlockedItemAdded { item: Box::new(item) });
}

/// Its entry of `blocked_items` goes when it passes.
pub(crate) fn clear_blocked_item(d: &mut Txn<'_>, run: &RunId, unit: &UnitId) {
    if d.run(run).people.blocked_items.iter().any(|item| item.task_id.as_str() == unit.as_str()) {
        d.emit(run, Fact::BlockedItemCleared { unit: unit.clone() });
    }
}

/// Minor issues of its last round are left for later when a unit is completed.
pub(crate) fn defer_minor(d: &mut Txn<'_>, run: &RunId, unit: &UnitId) {
    let now = d.unit(run, unit);
    let minor = now.round_findings().filter(|finding| finding.severity == Severity::Minor);
    let texts: Vec<String> = minor
        .flat_map(|finding| {
            let issues: Vec<String> =
                finding.issues.iter().filter(|issue| issue.severity == Severity::Minor).map(|issue| issue.description.clone()).collect();
            if issues.is_empty() { vec![finding.summary.clone()] } else { issues }
        })
        .collect();
    for description in texts {
        let fix = DeferredFix { task_id: unit.task(), description, severity: Severity::Minor, created_at: d.now.wall };
        d.emit(run, Fact::DeferredFixAdded { fix: Box::new(fix) });
    }
}
