//! How long a run could work, and how long it waited.

use roundtable_shared::time::WallMs;

use super::rest::{Rested, Resting};
use super::run::Run;

impl Run {
    /// How long it had waited by then, the rest that goes on included.
    pub fn waited(&self, by: WallMs) -> Rested {
        let mut waited = self.life.rested;
        if let Some(Resting { on, since }) = self.life.resting {
            waited.add(on, by.since(since));
        }
        waited
    }

    /// How long it could work, until now or until it ended.
    pub fn worked_ms(&self, now: WallMs) -> u64 {
        let until = self.ended().map_or(now, |ended| ended.at);
        until.since(self.origin.created_at).saturating_sub(self.waited(until).total_ms())
    }
}
