//! The check of the base cannot be run, or is red.

use roundtable_shared::time::WallMs;
use roundtable_shared::{DecisionKind, RunId};

use crate::moves::ask::raise;
use crate::planted::{Bug, planted};
use crate::state::BaseCheck;
use crate::transition::Fact;
use crate::txn::Txn;

/// Times the check of the base may be lost before it counts as red.
const BASE_LOST_MAX: u32 = 5;

/// Between two tries of the base's check that could not be run.
const BASE_RETRY_MS: u64 = 5_000;

/// The check of the base could not be run.
pub(crate) fn base_lost(d: &mut Txn<'_>, run: &RunId, reason: &str) {
    let BaseCheck::Wanted { red, lost, .. } = d.run(run).branch.base_check else { return };
    if lost + 1 >= BASE_LOST_MAX {
        return base_red(d, run, format!("it could not be run: {reason}"));
    }
    let retry_at = (lost > 0).then(|| WallMs(d.now.wall.0.saturating_add(BASE_RETRY_MS << lost)));
    d.emit(run, Fact::BaseChecked { result: BaseCheck::Wanted { red, lost: lost + 1, retry_at } });
}

/// The check of the base is red: a person is asked.
pub(crate) fn base_red(d: &mut Txn<'_>, run: &RunId, evidence: String) {
    let last: String = evidence.lines().rev().take(5).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n");
    d.emit(run, Fact::BaseChecked { result: BaseCheck::Red { evidence } });
    let context = format!("the check command fails on the commit the run started from, before any change: {last}");
    if !planted(Bug::BaseRedUnasked) {
        raise(d, run, DecisionKind::CheckRedOnBase, None, context);
    }
}
