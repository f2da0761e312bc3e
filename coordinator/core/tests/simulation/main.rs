//! The seeded simulation: coordinator, workers, repository, agents and people in memory and in virtual time, with everything going wrong that can.
//! After every step the invariants are asked; once faults have healed every run must end.
//!
//! `ROUNDTABLE_SIM_SEED=n` runs one seed and tells its history; `ROUNDTABLE_SIM_SEEDS` and `ROUNDTABLE_SIM_SECONDS` set how many are run.
#![allow(missing_docs)]

mod agent;
mod coordinator;
mod model;
mod naive;
mod people;
mod plans;
mod repository;
mod rng;
mod shape;
mod worker;
mod world;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use roundtable_core::Fact;
use world::{Sabotage, World};

/// The least number of seeds in the ordinary test command.
const SEEDS_MIN: u64 = 2_000;
/// And how long it goes on after that.
const SECONDS: u64 = 60;
/// Lines of a failed history that are shown.
const TAIL: usize = 400;

/// What became of a seed.
struct Outcome {
    failure: Option<String>,
    reached: BTreeMap<String, u64>,
    batches: u64,
}

/// How often each thing happened: kinds of facts, decisions by what they ask, ways attempts end, states, standings of the coordinator.
fn reached(world: &World) -> BTreeMap<String, u64> {
    let mut reached: BTreeMap<String, u64> = BTreeMap::new();
    let mut count = |what: String| *reached.entry(what).or_default() += 1;
    for transition in &world.log {
        count(transition.kind().to_owned());
        match &transition.fact {
            Fact::DecisionRaised { decision } => count(format!("decision {}", decision.kind)),
            Fact::DecisionAnswered { answer, .. } => count(format!("choice {}", answer.choice.keyword())),
            Fact::AttemptLost { cause, .. } => count(format!("lost {cause:?}")),
            Fact::AttemptEnded { result, .. } => count(format!("class {:?}", result.class)),
            Fact::UnitMoved { to, .. } => count(format!("to {to}")),
            Fact::FixSet { cause: Some(cause), .. } => {
                let cause = format!("{cause:?}");
                count(format!("cause {}", cause.split(' ').next().unwrap_or_default()));
            }
            Fact::ReleaseSet { release: Some(release), .. } => {
                let release = format!("{release:?}");
                count(format!("release {}", release.split(' ').next().unwrap_or_default()));
            }
            Fact::RunEnded { exit, .. } => count(format!("exit {exit}")),
            _ => {}
        }
    }
    *reached.entry("lives of the coordinator".to_owned()).or_default() += world.lives;
    *reached.entry("lives of workers".to_owned()).or_default() += world.workers.iter().map(|worker| worker.incarnation).sum::<u64>();
    reached
}

fn play(seed: u64, sabotage: Sabotage) -> Outcome {
    let played = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(seed, sabotage, false);
        world.run();
        (world.failure.as_ref().map(ToString::to_string), reached(&world), world.batches)
    }));
    match played {
        Ok((failure, reached, batches)) => Outcome { failure, reached, batches },
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Outcome { failure: Some(format!("panic: {}", text.unwrap_or_default())), reached: BTreeMap::new(), batches: 0 }
        }
    }
}

/// The history of a seed again, as text.
fn tell(seed: u64, sabotage: Sabotage) -> String {
    let mut world = World::new(seed, sabotage, true);
    let broke = catch_unwind(AssertUnwindSafe(|| world.run())).is_err();
    let trace = world.trace.take().unwrap_or_default();
    let skipped = trace.len().saturating_sub(TAIL);
    let wrong =
        world.failure.map_or_else(|| if broke { "it panics".to_owned() } else { "nothing is wrong".to_owned() }, |it| it.to_string());
    let lines = trace[skipped..].join("\n");
    format!(
        "seed {seed}: {wrong}\n{:#?}\n… {skipped} lines before\n{lines}\nseed {seed}: {wrong}\n  ROUNDTABLE_SIM_SEED={seed} runs it again",
        world.shape
    )
}

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// Straight to the terminal: how much was run is to be seen without a failure.
fn announce(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

#[expect(clippy::disallowed_types, reason = "how long to go on is the runner's to measure, not the core's")]
fn seconds_since_start() -> impl Fn() -> u64 + Sync {
    let began = std::time::Instant::now();
    move || began.elapsed().as_secs()
}

#[test]
fn every_seed_keeps_every_invariant() {
    if let Some(seed) = from_environment("ROUNDTABLE_SIM_SEED") {
        let outcome = play(seed, Sabotage::None);
        let told = tell(seed, Sabotage::None);
        announce(&told);
        assert!(outcome.failure.is_none(), "seed {seed}: {:?}", outcome.failure);
        return;
    }
    let first = from_environment("ROUNDTABLE_SIM_FIRST").unwrap_or(0);
    let seeds_min = from_environment("ROUNDTABLE_SIM_SEEDS").unwrap_or(SEEDS_MIN);
    let seconds = from_environment("ROUNDTABLE_SIM_SECONDS").unwrap_or(SECONDS);
    let failures_max = from_environment("ROUNDTABLE_SIM_FAILURES").unwrap_or(1);
    let (next, failed, elapsed) = (AtomicU64::new(first), AtomicU64::new(0), seconds_since_start());
    let threads = std::thread::available_parallelism().map_or(2, |threads| threads.get().min(8));
    let work = || {
        let (mut reached, mut batches, mut failures) = (BTreeMap::<String, u64>::new(), 0_u64, Vec::new());
        while failed.load(Ordering::Relaxed) < failures_max {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed - first >= seeds_min && elapsed() >= seconds {
                break;
            }
            let outcome = play(seed, Sabotage::None);
            outcome.reached.into_iter().for_each(|(what, count)| *reached.entry(what).or_default() += count);
            batches += outcome.batches;
            if let Some(failure) = outcome.failure {
                failed.fetch_add(1, Ordering::Relaxed);
                failures.push((seed, failure));
            }
        }
        (reached, batches, failures)
    };
    let results: Vec<_> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        running.into_iter().map(|thread| thread.join().expect("a thread of the simulation ends")).collect()
    });
    let ran = next.load(Ordering::Relaxed) - first - threads as u64;
    let mut all: BTreeMap<String, u64> = BTreeMap::new();
    for (what, count) in results.iter().flat_map(|(reached, ..)| reached) {
        *all.entry(what.clone()).or_default() += count;
    }
    let batches: u64 = results.iter().map(|(_, batches, _)| batches).sum();
    announce(&format!("simulation: {ran} seeds from {first}, {batches} batches in {} s on {threads} threads", elapsed()));
    if from_environment("ROUNDTABLE_SIM_REACHED").is_some() {
        announce(&all.iter().map(|(what, count)| format!("  {count:>10} {what}")).collect::<Vec<_>>().join("\n"));
    }
    let mut failures: Vec<(u64, String)> = results.into_iter().flat_map(|(.., failures)| failures).collect();
    failures.sort();
    if let Some((seed, _)) = failures.first() {
        let told = tell(*seed, Sabotage::None);
        assert_eq!(told, tell(*seed, Sabotage::None), "seed {seed} fails, and tells two histories");
        let listed: Vec<String> = failures.iter().map(|(seed, failure)| format!("{seed}: {failure}")).collect();
        panic!("{told}\n\n{} seeds failed:\n{}", failures.len(), listed.join("\n"));
    }
    assert!(ran >= seeds_min, "only {ran} seeds were run");
}

#[test]
fn the_same_seed_is_the_same_history() {
    for seed in (0..30).chain([42, 99, 1234]) {
        let history = || {
            let mut world = World::new(seed, Sabotage::None, true);
            world.run();
            (serde_json::to_string(&world.log).expect("transitions can be written"), world.trace)
        };
        let (first, second) = (history(), history());
        assert!(!first.0.is_empty() && first == second, "seed {seed} gives two histories");
    }
}

/// The checker has teeth: each fault in the harness is found, and by the right rule.
fn is_caught(sabotage: Sabotage, by: &[&str]) {
    let done = AtomicBool::new(false);
    for seed in 0..400 {
        let outcome = play(seed, sabotage);
        let Some(failure) = outcome.failure else { continue };
        assert!(by.iter().any(|name| failure.starts_with(name)), "{sabotage:?} was found in seed {seed}, but as: {failure}");
        done.store(true, Ordering::Relaxed);
        announce(&format!("simulation: {sabotage:?} is found in seed {seed}: {}", failure.lines().next().unwrap_or_default()));
        break;
    }
    assert!(done.into_inner(), "{sabotage:?} was not found in 400 seeds");
}

#[test]
fn a_late_outcome_under_a_current_name_is_found() {
    is_caught(Sabotage::StaleAsCurrent, &["I3"]);
}

#[test]
fn forgotten_holds_are_found() {
    is_caught(Sabotage::ForgetHolds, &["I4"]);
}

#[test]
fn forgotten_dependencies_are_found() {
    is_caught(Sabotage::ForgetOrder, &["I5"]);
}

#[test]
fn answers_before_the_append_are_found() {
    is_caught(Sabotage::AnswerEarly, &["I2"]);
}

#[test]
fn lost_effects_are_found() {
    is_caught(Sabotage::LoseEffects, &["I7"]);
}
