//! What follows by itself from what was decided, and what can be granted now. Derived from the state alone, so that nothing is ever forgotten (I7).

mod advance;
mod contention;
mod dispatch;
mod end;
mod judge;
mod land;
mod release;
mod review;
mod step;
mod train;

pub(crate) use dispatch::dispatch;

use advance::advance;

use crate::txn::Txn;

/// Everything that follows by itself in the runs this decision has touched.
pub(crate) fn settle(d: &mut Txn<'_>) {
    loop {
        let touched = d.take_touched();
        if touched.is_empty() {
            return;
        }
        for run in touched {
            advance(d, &run);
        }
    }
}
