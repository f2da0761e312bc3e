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

pub(crate) use advance::settle;
pub(crate) use dispatch::dispatch;
