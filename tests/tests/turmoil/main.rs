//! Whole runs over a network that is made up (turmoil): the coordinator with its services, store, TLS and a repository, and the sessions of workers, are the
//! real ones; agents are played. A seed draws the plan, the hosts and what is done to them. docs/faults.md says how to play more, and what is not the same
//! when a seed is played again.
#![allow(clippy::unwrap_used, missing_docs)]

mod faults;
mod git;
mod hosts;
mod machine;
mod still;
mod unfenced;
mod world;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use world::{Coordinator, Played};

/// Seeds that the test command plays; `.ci/run` asks for more.
const SEEDS: u64 = 6;
/// Of those, played twice.
const TWICE: u64 = 1;
/// Seeds within which a missing fence must show.
const UNFENCED_WITHIN: u64 = 40;
/// Seeds played at once for each core: half of the time they wait for git and for syncs.
const AT_ONCE: usize = 2;

/// A number of the environment.
fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().map_or(otherwise, |text| text.parse().unwrap_or_else(|error| panic!("{name}: {error}")))
}

/// What came of each seed, until one fails.
fn play(seeds: Range<u64>, twice: u64, coordinator: Coordinator) -> Result<BTreeMap<u64, Played>, (u64, String)> {
    let (next, played, failed) = (AtomicU64::new(seeds.start), Mutex::new(BTreeMap::new()), Mutex::new(None));
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE * cores {
            scope.spawn(|| {
                while failed.lock().unwrap().is_none() {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if !seeds.contains(&seed) {
                        return;
                    }
                    let is_twice = seed - seeds.start < twice;
                    let done = std::panic::catch_unwind(|| if is_twice { world::play_twice(seed) } else { world::play(seed, coordinator) });
                    match done.unwrap_or_else(|_| Err(format!("seed {seed} panicked"))) {
                        Ok(done) => {
                            played.lock().unwrap().insert(seed, done);
                        }
                        Err(why) => {
                            failed.lock().unwrap().get_or_insert((seed, why));
                        }
                    }
                }
            });
        }
    });
    failed.into_inner().unwrap().map_or_else(|| Ok(played.into_inner().unwrap()), Err)
}

#[test]
fn every_seed_ends_well_and_keeps_the_invariants() {
    let first = number("ROUNDTABLE_TURMOIL_FIRST", 1);
    let count = number("ROUNDTABLE_TURMOIL_SEEDS", SEEDS);
    let began = Instant::now();
    let played = play(first..first + count, number("ROUNDTABLE_TURMOIL_TWICE", TWICE), hosts::coordinator);
    let played = played.unwrap_or_else(|(seed, why)| {
        panic!("{why}\nagain: ROUNDTABLE_TURMOIL_FIRST={seed} ROUNDTABLE_TURMOIL_SEEDS=1 cargo test -p roundtable-tests --test turmoil every_seed")
    });
    let sum = |of: fn(&Played) -> usize| played.values().map(of).sum::<usize>();
    println!(
        "{} seeds in {:?} ({} h simulated): {} units integrated, {} faults, {} attempts, {} lost, {} late and refused, {} went on from another's work, {} events",
        played.len(),
        began.elapsed(),
        played.values().map(|each| each.virtual_ms).sum::<u64>() / 3_600_000,
        sum(|each| each.summary.integrated),
        sum(|each| each.faults),
        sum(|each| each.summary.granted),
        sum(|each| each.summary.lost),
        sum(|each| each.summary.late),
        sum(|each| each.summary.resumed),
        played.values().map(|each| each.summary.events).sum::<u64>(),
    );
    let slowest = played.iter().max_by_key(|(_, each)| each.took).map(|(seed, each)| (*seed, each.took));
    println!("slowest: {slowest:?}; all together {:?}", played.values().map(|each| each.took).sum::<Duration>());
}

/// The suite has teeth: with a coordinator that takes late outcomes for current ones, it fails.
#[test]
fn a_coordinator_without_fencing_is_found_out() {
    let first = number("ROUNDTABLE_TURMOIL_FIRST", 1);
    let found = play(first..first + UNFENCED_WITHIN, 0, unfenced::coordinator);
    let (seed, why) = found.err().unwrap_or_else(|| panic!("nothing was found within {UNFENCED_WITHIN} seeds"));
    println!("found: {}", why.lines().take(4).collect::<Vec<_>>().join("\n"));
    assert!(unfenced::was_used(), "{why}");
    let with_fence = world::play(seed, hosts::coordinator);
    assert!(with_fence.is_ok(), "seed {seed} fails with a fence too: {:?}\nand without: {why}", with_fence.err());
}
