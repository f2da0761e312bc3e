//! What the events of a run say about time. An attempt may start when what it waits for has ended: units before its own, the turn it reviews, and the
//! attempt before it in its slot.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, ensure};
use roundtable_shared::time::WallMs;
use roundtable_tests::plans::{Floor, Plan};
use serde_json::Value;

use crate::fleet::Ran;

/// Figures of one run.
pub struct Figures {
    pub shape: String,
    pub units: usize,
    pub workers: usize,
    pub floor: Floor,
    pub floor_ms: u64,
    /// From when the units were planned to the end of the last one.
    pub makespan_ms: u64,
    /// Makespan to floor.
    pub ratio: f64,
    /// Whole `orchctl run`.
    pub command_ms: u64,
    pub attempts: usize,
    pub spans: Vec<(&'static str, Spread)>,
    pub coordinator_ms_per_unit: f64,
    pub coordinator_git_ms_per_unit: f64,
    pub worker_ms_per_attempt: f64,
    pub coordinator_rss_bytes: u64,
    pub worker_rss_bytes: u64,
    /// Share of the machine's CPU time that others used.
    pub foreign: f64,
}

/// Median and tail of a span, milliseconds.
#[derive(Clone, Copy)]
pub struct Spread {
    pub p50: u64,
    pub p99: u64,
    pub max: u64,
}

#[derive(Default, Clone)]
struct Attempt {
    unit: String,
    worker: String,
    role: String,
    granted: u64,
    started: u64,
    first_word: u64,
    last_word: u64,
    ended: u64,
}

#[derive(Default)]
struct Log {
    attempts: BTreeMap<(String, u64), Attempt>,
    done: HashMap<String, u64>,
    planned: u64,
}

pub fn measure(shape: &str, plan: &Plan, workers: usize, ran: &Ran) -> anyhow::Result<Figures> {
    let log = Log::read(&ran.run.events)?;
    ensure!(log.done.len() == plan.units.len(), "{} of {} units were integrated", log.done.len(), plan.units.len());
    let end = log.done.values().copied().max().unwrap_or(0);
    let makespan_ms = end.saturating_sub(log.planned);
    let floor = plan.floor();
    let floor_ms = floor.with_slots(workers as u64);
    let units = plan.units.len() as f64;
    let attempts: Vec<&Attempt> = log.attempts.values().filter(|attempt| attempt.unit != "-").collect();
    let ours_ms = ran.coordinator_ms + ran.coordinator_children_ms + ran.workers_ms;
    Ok(Figures {
        shape: shape.to_owned(),
        units: plan.units.len(),
        workers,
        floor,
        floor_ms,
        makespan_ms,
        ratio: makespan_ms as f64 / floor_ms as f64,
        command_ms: ran.run.command_ms,
        attempts: attempts.len(),
        spans: log.spans(plan)?,
        coordinator_ms_per_unit: ran.coordinator_ms as f64 / units,
        coordinator_git_ms_per_unit: ran.coordinator_children_ms as f64 / units,
        worker_ms_per_attempt: ran.workers_ms as f64 / attempts.len().max(1) as f64,
        coordinator_rss_bytes: ran.coordinator_rss_bytes,
        worker_rss_bytes: ran.worker_rss_bytes,
        foreign: 1.0 - (ours_ms as f64 / ran.run.machine_ms.max(1) as f64).min(1.0),
    })
}

impl Log {
    fn read(events: &str) -> anyhow::Result<Self> {
        let mut log = Self::default();
        for line in events.lines() {
            let line: Value = serde_json::from_str(line).context("a line of the events is no JSON")?;
            let at = line["at"].as_str().and_then(WallMs::parse_rfc3339).context("a line without its time")?.0;
            let unit = line["unit"].as_str().unwrap_or("-").to_owned();
            let kind = line["kind"].as_str().unwrap_or_default();
            match kind {
                "units_planned" => log.planned = at,
                "integrated" | "completed_without_change" => {
                    log.done.insert(unit, at);
                    continue;
                }
                _ => {}
            }
            let Some(number) = line["attempt"].as_u64() else { continue };
            let attempt = log.attempts.entry((unit.clone(), number)).or_default();
            match kind {
                "lease_granted" => {
                    let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
                    (attempt.unit, attempt.worker, attempt.role, attempt.granted) = (unit, text("worker"), text("role"), at);
                }
                "attempt_started" => attempt.started = at,
                "attempt_ended" => attempt.ended = at,
                "started" => attempt.first_word = at,
                _ if line.get("result").is_none() => attempt.last_word = attempt.last_word.max(at),
                _ => {}
            }
        }
        Ok(log)
    }

    fn spans(&self, plan: &Plan) -> anyhow::Result<Vec<(&'static str, Spread)>> {
        let mut slots: HashMap<&str, Vec<&Attempt>> = HashMap::new();
        for attempt in self.attempts.values() {
            ensure!(attempt.first_word > 0 && attempt.ended > 0, "unit {}: an attempt without words or end", attempt.unit);
            slots.entry(&attempt.worker).or_default().push(attempt);
        }
        let mut spans: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
        for slot in slots.values_mut() {
            slot.sort_by_key(|attempt| attempt.granted);
            let mut before: Option<&Attempt> = None;
            for attempt in slot.iter().copied() {
                let (free, idle) = before.map_or((0, 0), |before| (before.ended, before.last_word));
                before = Some(attempt);
                if attempt.unit == "-" {
                    continue;
                }
                let (ready, quiet) = self.ready(plan, attempt)?;
                let measured = [
                    attempt.first_word.saturating_sub(ready.max(free)),
                    attempt.granted.saturating_sub(ready.max(free)),
                    attempt.started.saturating_sub(attempt.granted),
                    attempt.first_word.saturating_sub(attempt.started),
                    attempt.ended.saturating_sub(attempt.last_word),
                    attempt.first_word.saturating_sub(quiet.max(idle)),
                ];
                for (at, ms) in measured.into_iter().enumerate() {
                    spans.entry(at).or_default().push(ms);
                }
            }
        }
        for unit in self.done.keys() {
            spans.entry(SPANS.len() - 1).or_default().push(self.done[unit].saturating_sub(self.review_ended(unit)));
        }
        Ok(spans.into_iter().map(|(at, values)| (SPANS[at], spread(values))).collect())
    }

    /// When nothing but a slot stood in the attempt's way, and when the agent it waited for had said its last word.
    fn ready(&self, plan: &Plan, attempt: &Attempt) -> anyhow::Result<(u64, u64)> {
        if attempt.role == "review" {
            let work = self.attempts.values().filter(|other| other.unit == attempt.unit && other.role != "review");
            let work = work.max_by_key(|other| other.ended).context("a review of nothing")?;
            return Ok((work.ended, work.last_word));
        }
        let at: usize = attempt.unit.parse::<usize>().context("an unknown unit")? - 1;
        let (mut ready, mut quiet) = (self.planned, self.planned);
        for earlier in plan.waits_for(at) {
            let id = Plan::id(earlier);
            ready = ready.max(self.done[&id]);
            let words = self.attempts.values().filter(|other| other.unit == id).map(|other| other.last_word);
            quiet = quiet.max(words.max().unwrap_or(0));
        }
        Ok((ready, quiet))
    }

    fn review_ended(&self, unit: &str) -> u64 {
        self.attempts.values().filter(|attempt| attempt.unit == unit).map(|attempt| attempt.ended).max().unwrap_or(0)
    }
}

/// In the order they are told.
const SPANS: [&str; 7] = [
    "grantable to first word of the agent",
    "  grantable to grant",
    "  grant to start of the process",
    "  start of the process to first word",
    "last word of an agent to its verdict",
    "agent to agent (last word to first word)",
    "last review to integrated",
];

fn spread(mut values: Vec<u64>) -> Spread {
    values.sort_unstable();
    let at = |share: usize| values.get((values.len() * share / 100).min(values.len().saturating_sub(1))).copied().unwrap_or(0);
    Spread { p50: at(50), p99: at(99), max: values.last().copied().unwrap_or(0) }
}
