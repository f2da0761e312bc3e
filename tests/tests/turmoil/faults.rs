//! What is done to hosts and links, and when: drawn from a seed, so that it is the same each time. After the last of it everything is healed.

use std::fmt;

use roundtable_tests::plans::Dice;

use crate::hosts::COORDINATOR;

/// The first fault comes after this, milliseconds.
const FIRST_MS: u64 = 2_000;
/// The last one begins before that.
const LAST_MS: u64 = 120_000;
/// Longest a fault lasts: beyond the time after which a silent worker is lost.
const LONGEST_MS: u64 = 100_000;

/// One thing that is done.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Act {
    /// Nothing passes between these two any more.
    Cut(String, String),
    /// Nothing passes from the first to the second any more.
    CutOneWay(String, String),
    /// What is on its way between them waits.
    Hold(String, String),
    /// What was done to this link is over.
    Mend(String, String),
    /// What was done to this direction is over.
    MendOneWay(String, String),
    /// What waited is let go.
    Release(String, String),
    /// The host's processes die.
    Crash(String),
    /// They are started again.
    Start(String),
    /// Messages between these two take up to so long, milliseconds.
    Slow(String, String, u64),
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut(a, b) => write!(f, "cut {a} - {b}"),
            Self::CutOneWay(a, b) => write!(f, "cut {a} -> {b}"),
            Self::Hold(a, b) => write!(f, "hold {a} - {b}"),
            Self::Mend(a, b) => write!(f, "mend {a} - {b}"),
            Self::MendOneWay(a, b) => write!(f, "mend {a} -> {b}"),
            Self::Release(a, b) => write!(f, "release {a} - {b}"),
            Self::Crash(host) => write!(f, "crash {host}"),
            Self::Start(host) => write!(f, "start {host}"),
            Self::Slow(a, b, ms) => write!(f, "slow {a} - {b} to {ms} ms"),
        }
    }
}

/// What is done when, in order; times in milliseconds.
pub fn draw(dice: &mut Dice, workers: &[String], count: u64) -> Vec<(u64, Act)> {
    let mut acts: Vec<(u64, Act)> = Vec::new();
    // Until when each host or link is under a fault: one at a time.
    let mut busy: Vec<(String, u64)> = Vec::new();
    let mut began: Vec<u64> = (0..count).map(|_| dice.within(&(FIRST_MS..=LAST_MS))).collect();
    began.sort_unstable();
    for at in began {
        let lasts = lasts(dice);
        let worker = workers[usize::try_from(dice.roll()).unwrap_or(0) % workers.len()].clone();
        let (subject, pair) = one(dice, worker, lasts);
        busy.retain(|(_, until)| *until > at);
        if busy.iter().any(|(other, _)| *other == subject) {
            continue;
        }
        busy.push((subject, at + lasts));
        let (begin, end) = pair;
        acts.push((at, begin));
        acts.extend(end.map(|end| (at + lasts, end)));
    }
    acts.sort();
    acts
}

/// Mostly short, sometimes long enough that a worker is lost.
fn lasts(dice: &mut Dice) -> u64 {
    match dice.roll() % 10 {
        0..=3 => dice.within(&(200..=5_000)),
        4..=7 => dice.within(&(5_000..=40_000)),
        _ => dice.within(&(60_000..=LONGEST_MS)),
    }
}

/// A fault, with what it is done to, and what ends it.
fn one(dice: &mut Dice, worker: String, lasts: u64) -> (String, (Act, Option<Act>)) {
    let c = || COORDINATOR.to_owned();
    let link = format!("link {worker}");
    let w = || worker.clone();
    match dice.roll() % 100 {
        0..=19 => (link, (Act::Cut(w(), c()), Some(Act::Mend(w(), c())))),
        20..=31 => (link, (Act::CutOneWay(w(), c()), Some(Act::MendOneWay(w(), c())))),
        32..=43 => (link, (Act::CutOneWay(c(), w()), Some(Act::MendOneWay(c(), w())))),
        44..=55 => (link, (Act::Hold(w(), c()), Some(Act::Release(w(), c())))),
        56..=79 => (w(), (Act::Crash(w()), Some(Act::Start(w())))),
        80..=91 => (c(), (Act::Crash(c()), Some(Act::Start(c())))),
        _ => (format!("speed {worker}"), (Act::Slow(w(), c(), 200 + lasts % 2_000), None)),
    }
}
