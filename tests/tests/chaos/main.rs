//! Chaos: the programs on hosts in network namespaces, by seeds. `points` is for every change, `sweep` and `soak` are for an hour when nobody waits; all
//! need root and tools of the system, so that they run only where they are asked for. `docs/faults.md` has the commands.
#![allow(clippy::unwrap_used)]

use roundtable_tests::chaos::plan::{Pace, Plan};
use roundtable_tests::chaos::{Report, Size, Work, lose_a_host, missing, play, play_all};

/// Faults of a plan, one after the other in one world.
const FAULTS: usize = 5;
/// Points of every change.
const POINTS: usize = 60;

/// A number that can be asked for otherwise.
fn number<T: std::str::FromStr>(name: &str, usual: T) -> T {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn can_be_made() {
    let missing = missing();
    assert!(missing.is_empty(), "chaos cannot be made here: {}", missing.join("; "));
}

fn plans(count: usize, faults: usize, workers: usize, pace: &Pace) -> Vec<Plan> {
    let first: u64 = number("ROUNDTABLE_CHAOS_FIRST", 0);
    (first..first + number("ROUNDTABLE_CHAOS_SEEDS", count) as u64).map(|seed| Plan::of(seed, faults, workers, pace)).collect()
}

fn every_kind_was_met(report: &Report) {
    assert!(report.unmet().is_empty(), "never met: {:?}", report.unmet());
}

#[test]
#[ignore = "needs root, namespaces, nft, strace: .ci/run slow plays it"]
fn points() {
    can_be_made();
    let size = Size { workers: 2, slots: 2, work: Work { units: 6, turn_ms: 60..=450 } };
    let report = play_all(plans(POINTS / FAULTS, FAULTS, size.workers, &Pace::QUICK), &size, number("ROUNDTABLE_CHAOS_AT_ONCE", 4));
    if report.points() >= POINTS {
        every_kind_was_met(&report);
    }
}

#[test]
#[ignore = "needs root, namespaces, nft, strace: .ci/run slow plays it"]
fn a_host_that_is_lost_in_the_middle_of_a_unit_is_gone_on_from() {
    can_be_made();
    lose_a_host();
}

#[test]
#[ignore = "run by hand: the whole sweep takes an hour and more"]
fn sweep() {
    can_be_made();
    let size = Size { workers: 4, slots: 2, work: Work { units: 12, turn_ms: 100..=1_500 } };
    let report = play_all(plans(100, 8, size.workers, &Pace::WIDE), &size, number("ROUNDTABLE_CHAOS_AT_ONCE", 2));
    every_kind_was_met(&report);
}

#[test]
#[ignore = "run by hand: takes as many minutes as it is given"]
fn soak() {
    can_be_made();
    let minutes: usize = number("ROUNDTABLE_CHAOS_MINUTES", 20);
    let size = Size { workers: 8, slots: 2, work: Work { units: 24, turn_ms: 200..=4_000 } };
    // A fault every ten seconds.
    let plan = Plan::of(number("ROUNDTABLE_CHAOS_FIRST", 0), minutes * 6, size.workers, &Pace::SOAK);
    println!("{}", play(&plan, &size));
}
