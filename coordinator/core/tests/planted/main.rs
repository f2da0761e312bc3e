//! Bugs planted in the core, one at a time: the simulation must find each within 1,000 seeds, by an invariant or because a run does not end, and the
//! seed that finds it must tell the same history, byte for byte, when it is run again.
//!
//! `ROUNDTABLE_PLANTED=Name` plants one bug alone and tells the history that shows it.
#![allow(missing_docs)]
// What only the simulation's own tests use of it.
#![allow(dead_code)]

#[path = "../simulation/agent.rs"]
mod agent;
#[path = "../simulation/coordinator.rs"]
mod coordinator;
#[path = "../simulation/naive.rs"]
mod naive;
#[path = "../simulation/people.rs"]
mod people;
#[path = "../simulation/plans.rs"]
mod plans;
#[path = "../simulation/repository.rs"]
mod repository;
#[path = "../simulation/rng.rs"]
mod rng;
#[path = "../simulation/shape.rs"]
mod shape;
#[path = "../simulation/worker.rs"]
mod worker;
#[path = "../simulation/world.rs"]
mod world;

use std::fmt::Write as _;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

use roundtable_core::planted::{Bug, plant};
use world::{Sabotage, World};

/// Seeds within which each must be found.
const SEEDS_MAX: u64 = 1_000;
/// The least number of bugs.
const BUGS_MIN: usize = 50;
/// Lines of a history that are shown.
const TAIL: usize = 200;

/// How a bug was found.
struct Found {
    seed: u64,
    /// The invariant, and what was wrong.
    failure: String,
    /// Whether the same seed gave the same history again.
    is_repeated: bool,
}

/// What is wrong with that seed, if anything.
fn play(seed: u64) -> Option<String> {
    let played = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(seed, Sabotage::None, false);
        world.run();
        world.failure.map(|failure| failure.to_string())
    }));
    played.unwrap_or_else(|panic| Some(panicked(&*panic)))
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    format!("panic: {}", text.unwrap_or_default())
}

/// The history of that seed, with the log it leaves and what is wrong at its end.
fn tell(seed: u64) -> Vec<String> {
    let mut world = World::new(seed, Sabotage::None, true);
    let broke = catch_unwind(AssertUnwindSafe(|| world.run())).err().map(|panic| panicked(&*panic));
    let mut told = world.trace.take().unwrap_or_default();
    told.push(serde_json::to_string(&world.log).expect("transitions can be written"));
    told.extend(broke.or(world.failure.map(|failure| failure.to_string())));
    told
}

/// Plants the bug and looks for it.
fn hunt(bug: Bug) -> Option<Found> {
    plant(Some(bug));
    let found = (0..SEEDS_MAX).find_map(|seed| Some((seed, play(seed)?)));
    let found = found.map(|(seed, failure)| Found { seed, failure, is_repeated: tell(seed) == tell(seed) });
    plant(None);
    found
}

fn announce(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn tell_one(name: &str) {
    let Some((bug, what)) = Bug::ALL.iter().find(|(bug, _)| format!("{bug:?}") == name) else { panic!("no bug is called {name}") };
    let found = hunt(*bug);
    let Some(found) = found else { panic!("{bug:?} ({}) is not found in {SEEDS_MAX} seeds", what.trim()) };
    plant(Some(*bug));
    let told = tell(found.seed);
    plant(None);
    let told: Vec<&String> = told.iter().filter(|line| line.len() < 10_000).collect();
    let tail: Vec<&str> = told[told.len().saturating_sub(TAIL)..].iter().map(|line| line.as_str()).collect();
    announce(&format!("{}\n{bug:?} ({}) is found in seed {}", tail.join("\n"), what.trim(), found.seed));
}

#[test]
fn each_planted_bug_is_found() {
    if let Ok(name) = std::env::var("ROUNDTABLE_PLANTED") {
        return tell_one(&name);
    }
    // What panics within a hunt is the planted bug's doing, and told in the table.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some((bug, what)) = Bug::ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
            done.push((*bug, *what, hunt(*bug)));
        }
        done
    };
    let threads = std::thread::available_parallelism().map_or(2, |threads| threads.get().min(8));
    let mut all: Vec<_> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        running.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
    });
    std::panic::set_hook(hook);
    all.sort_by_key(|(bug, ..)| *bug);
    let (mut table, mut wrong) = (String::new(), Vec::new());
    for (bug, what, found) in &all {
        let (name, what) = (format!("{bug:?}"), what.trim());
        match found {
            Some(Found { seed, failure, is_repeated }) => {
                let how: String = failure.lines().next().unwrap_or_default().chars().take(100).collect();
                let _ = writeln!(table, "  {name:<26} {seed:>4}  {how}");
                if !is_repeated {
                    wrong.push(format!("seed {seed}, which finds {name} ({what}), gives two histories"));
                }
            }
            None => wrong.push(format!("{name} ({what}) is not found in {SEEDS_MAX} seeds")),
        }
    }
    let seeds: u64 = all.iter().map(|(.., found)| found.as_ref().map_or(SEEDS_MAX, |found| found.seed + 1)).sum();
    announce(&format!("planted: {} bugs in {seeds} seeds, each with the seed and the invariant that find it\n{table}", all.len()));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(all.len() == Bug::ALL.len() && all.len() >= BUGS_MIN, "only {} bugs were planted", all.len());
}

/// Without one, the same seeds find nothing: what is found above is the bug's doing.
#[test]
fn without_a_bug_nothing_is_found() {
    let wrong: Vec<(u64, String)> = (0..100).filter_map(|seed| Some((seed, play(seed)?))).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}
