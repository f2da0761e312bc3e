//! The history checker: what a coordinator has left in its log, its segments and a repository, held against the invariants, whatever was done to machines
//! and links meanwhile. It reads and changes nothing; nobody may be serving the data directory. Suites that inject faults all ask this one.

mod branch;
mod ledger;
mod log;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use roundtable_core::Core;
pub use roundtable_core::invariants::Violation;
use roundtable_shared::{AttemptKey, RunId};
use roundtable_store::{Cursor, segment};

use ledger::Ledger;

/// Violations that are told; a history that is broken has no end of them.
const TOLD_MAX: usize = 100;
/// Events read at once.
const EVENTS_AT_ONCE: usize = 256;

/// What a history that keeps the invariants holds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Summary {
    /// Rows of the log.
    pub rows: u64,
    /// Hash of its last row, in hexadecimal: two histories with the same one are the same to the last byte.
    pub head: String,
    /// Runs.
    pub runs: usize,
    /// Units that run.
    pub units: usize,
    /// Of those, units of which a commit is on the run's branch.
    pub integrated: usize,
    /// Leases granted.
    pub granted: usize,
    /// Outcomes accepted.
    pub accepted: usize,
    /// Attempts that ended without an outcome.
    pub lost: usize,
    /// Outcomes that came too late and were refused.
    pub late: usize,
    /// Attempts that went on from the work of another.
    pub resumed: usize,
    /// Events of agents.
    pub events: u64,
    /// Commits on the branches of runs, beyond their bases.
    pub commits: usize,
    /// What is not over: runs, units and attempts, in words. Empty where liveness (I7) was to be shown.
    pub open: Vec<String>,
    /// Exit code of each run that has ended.
    pub exits: BTreeMap<RunId, u8>,
    /// Digest of each outcome that was accepted, to be compared with what workers were told (I2).
    pub digests: BTreeMap<AttemptKey, String>,
}

/// Checks the data directory `log_dir` (`store.db`, `segments/`) and the bare repository in which its runs have their branches.
pub fn check(log_dir: &Path, repository: &Path) -> Result<Summary, Vec<Violation>> {
    // On a thread of its own: whoever asks may be within a runtime.
    let walked = std::thread::scope(|scope| scope.spawn(|| log::walk(log_dir)).join());
    let walked = walked.unwrap_or_else(|_| Err(vec![violation("I13", "the log could not be walked through: it panicked".to_owned())]));
    let (core, ledger, mut violations) = walked?;
    let events = events(&log_dir.join("segments"), &ledger, &mut violations);
    let commits = branch::check(repository, &core, &ledger, &mut violations);
    violations.truncate(TOLD_MAX);
    if violations.is_empty() { Ok(ledger.summary(&core, events, commits)) } else { Err(violations) }
}

/// In words, one a line.
pub fn told(violations: &[Violation]) -> String {
    violations.iter().map(|violation| format!("{violation}\n")).collect()
}

fn violation(invariant: &'static str, text: String) -> Violation {
    Violation { invariant, text }
}

/// I11: the events of every attempt are there from the first to the last without a gap, and of one that ended, to the last that the log counts; how many.
fn events(segments: &Path, ledger: &Ledger, violations: &mut Vec<Violation>) -> u64 {
    let mut total = 0;
    for (key, attempt) in ledger.attempts() {
        if let Some(count) = attempt.events.filter(|count| *count > 0)
            && let Err(error) = segment::check_events(segments, key, count)
        {
            violations.push(violation("I11", format!("attempt {key} ended with {count} events: {error}")));
            continue;
        }
        match count(segments, key) {
            Ok(there) => total += there,
            Err(why) => violations.push(violation("I11", format!("attempt {key}: {why}"))),
        }
    }
    total
}

fn count(segments: &Path, key: &AttemptKey) -> Result<u64, String> {
    if !segment::has_events(segments, key).map_err(|error| error.to_string())? {
        return Ok(0);
    }
    let mut cursor = Cursor::open(segments, key, 1).map_err(|error| error.to_string())?;
    let mut expected = 1;
    loop {
        let batch = cursor.next_batch(EVENTS_AT_ONCE, None).map_err(|error| error.to_string())?;
        if batch.events.is_empty() {
            return Ok(expected - 1);
        }
        for event in batch.events {
            if event.seq != expected {
                return Err(format!("event {} comes where {expected} was to come", event.seq));
            }
            expected += 1;
        }
    }
}

/// Whether everything is over that a run began.
fn open(core: &Core) -> Vec<String> {
    let mut open = Vec::new();
    for run in core.state.runs.values().filter(|run| !run.is_ended()) {
        open.push(format!("run {} is {:?}", run.id, run.stage()));
        let units = run.units().filter(|unit| unit.spec.runs && !unit.state().is_terminal());
        open.extend(units.map(|unit| format!("unit {} of it is {}", unit.id, unit.state())));
        open.extend(run.people.decisions.keys().map(|decision| format!("decision {decision} of it is open")));
    }
    open
}
