//! `kill -9` of coordinator, workers and `orchctl run` at random moments of a run: it ends complete, each unit integrated once, no work lost, nothing left
//! running. Seeds are printed. `ROUNDTABLE_TEST_KILLS=full` plays more and longer ones, and the slow faults.
#![allow(clippy::unwrap_used, missing_docs)]

mod check;
mod crash_points;
mod embedded;
mod serve;
mod served;
mod world;

/// How much is played.
pub struct Volume {
    pub seeds: Vec<u64>,
    pub units: usize,
    pub kills: usize,
}

impl Volume {
    /// A little, unless all was asked for.
    pub fn asked(quick_seed: u64) -> Self {
        if is_full() {
            Self { seeds: seeds(&[1, 2, 3]), units: 30, kills: 20 }
        } else {
            Self { seeds: seeds(&[quick_seed]), units: 10, kills: 6 }
        }
    }
}

/// Whether the slow suite runs.
pub fn is_full() -> bool {
    std::env::var("ROUNDTABLE_TEST_KILLS").is_ok_and(|value| value == "full")
}

fn seeds(usual: &[u64]) -> Vec<u64> {
    let given = std::env::var("ROUNDTABLE_TEST_SEEDS").ok();
    given.map_or_else(|| usual.to_vec(), |text| text.split(',').map(|seed| seed.trim().parse().expect("seeds are numbers")).collect())
}
