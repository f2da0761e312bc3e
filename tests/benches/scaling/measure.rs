//! What the events of a run say of its time: from when the units were planned to the last integration, against all turns divided by slots.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write;

use anyhow::{Context, ensure};
use roundtable_shared::time::WallMs;
use roundtable_tests::plans::Plan;
use serde_json::Value;

use crate::fleet::Ran;

/// Figures of one run.
pub struct Figures {
    pub hosts: usize,
    /// All turns divided by slots.
    pub ideal_ms: u64,
    /// From when the units were planned to when the last one was integrated.
    pub makespan_ms: u64,
    /// Ideal to makespan.
    pub ratio: f64,
    /// From when the units were planned to the first word of an agent.
    pub first_ms: u64,
    /// On one slot, from an agent's last word to the next one's first: median, and of a hundred the fifth longest.
    pub between_ms: (u64, u64),
    /// From the last word of the last agent to the last integration.
    pub last_ms: u64,
    /// Whole `orchctl run`, with submission, assignment and the closing commit.
    pub command_ms: u64,
    /// CPU of all of ours, per turn.
    pub cpu_per_turn_ms: f64,
    /// Share of the machine's CPU time that others used.
    pub foreign: f64,
}

#[derive(Default)]
struct Turn {
    worker: String,
    first_word: u64,
    last_word: u64,
}

pub fn measure(plan: &Plan, hosts: usize, ran: &Ran) -> anyhow::Result<Figures> {
    let (mut turns, mut integrated, mut planned) = (BTreeMap::<(String, u64), Turn>::new(), Vec::new(), 0);
    for line in ran.run.events.lines() {
        let line: Value = serde_json::from_str(line).context("a line of the events is no JSON")?;
        let at = line["at"].as_str().and_then(WallMs::parse_rfc3339).context("a line without its time")?.0;
        let kind = line["kind"].as_str().unwrap_or_default();
        match kind {
            "units_planned" => planned = at,
            "integrated" => integrated.push(at),
            _ => {}
        }
        // The run's own turns, such as the assignment, come before its units are planned.
        let (Some(unit), Some(number)) = (line["unit"].as_str().filter(|unit| *unit != "-"), line["attempt"].as_u64()) else { continue };
        let turn = turns.entry((unit.to_owned(), number)).or_default();
        match kind {
            "lease_granted" => turn.worker = line["worker"].as_str().unwrap_or_default().to_owned(),
            "started" => turn.first_word = at,
            // The agent's; what the coordinator and the worker say of an attempt is none of its words.
            "message" | "file_change" | "completed" | "usage" => turn.last_word = turn.last_word.max(at),
            _ => {}
        }
    }
    ensure!(integrated.len() == plan.units.len(), "{} of {} units were integrated", integrated.len(), plan.units.len());
    ensure!(turns.len() == 2 * plan.units.len(), "{} turns where {} were planned", turns.len(), 2 * plan.units.len());
    ensure!(turns.values().all(|turn| turn.first_word > 0 && turn.last_word > 0), "a turn without words");
    let used: BTreeSet<&str> = turns.values().map(|turn| turn.worker.as_str()).collect();
    ensure!(used.len() == hosts, "{} of {hosts} hosts had work", used.len());
    let end = integrated.iter().copied().max().unwrap_or(0);
    let (ideal_ms, makespan_ms) = (plan.floor().with_slots(hosts as u64), end.saturating_sub(planned));
    let first = turns.values().map(|turn| turn.first_word).min().unwrap_or(0);
    let last = turns.values().map(|turn| turn.last_word).max().unwrap_or(0);
    Ok(Figures {
        hosts,
        ideal_ms,
        makespan_ms,
        ratio: ideal_ms as f64 / makespan_ms.max(1) as f64,
        first_ms: first.saturating_sub(planned),
        between_ms: between(turns.values()),
        last_ms: end.saturating_sub(last),
        command_ms: ran.run.command_ms,
        cpu_per_turn_ms: ran.ours_ms as f64 / turns.len() as f64,
        foreign: 1.0 - (ran.ours_ms as f64 / ran.run.machine_ms.max(1) as f64).min(1.0),
    })
}

/// What lies between turns of one slot.
fn between<'t>(turns: impl Iterator<Item = &'t Turn>) -> (u64, u64) {
    let mut slots: HashMap<&str, Vec<&Turn>> = HashMap::new();
    turns.for_each(|turn| slots.entry(&turn.worker).or_default().push(turn));
    let mut gaps = Vec::new();
    for slot in slots.values_mut() {
        slot.sort_by_key(|turn| turn.first_word);
        gaps.extend(slot.windows(2).map(|pair| pair[1].first_word.saturating_sub(pair[0].last_word)));
    }
    gaps.sort_unstable();
    let at = |percent: usize| gaps.get(gaps.len() * percent / 100).copied().unwrap_or(0);
    (at(50), at(95))
}

const COLUMNS: [&str; 11] =
    ["hosts", "ideal", "makespan", "ratio", "to first", "between p50", "between p95", "after last", "command", "cpu a turn", "others' cpu"];

pub fn heading() -> String {
    COLUMNS.iter().fold(String::new(), |mut text, column| {
        let _ = write!(text, "{column:>12}");
        text
    })
}

impl Figures {
    fn cells(&self) -> [String; 11] {
        let (p50, p95) = self.between_ms;
        [
            self.hosts.to_string(),
            format!("{} ms", self.ideal_ms),
            format!("{} ms", self.makespan_ms),
            format!("{:.3}", self.ratio),
            format!("{} ms", self.first_ms),
            format!("{p50} ms"),
            format!("{p95} ms"),
            format!("{} ms", self.last_ms),
            format!("{} ms", self.command_ms),
            format!("{:.0} ms", self.cpu_per_turn_ms),
            format!("{:.0} %", self.foreign * 100.0),
        ]
    }

    pub fn row(&self) -> String {
        self.cells().iter().map(|cell| format!("{cell:>12}")).collect()
    }
}

pub fn csv(all: &[Figures]) -> String {
    let names = [
        "hosts",
        "ideal_ms",
        "makespan_ms",
        "ratio",
        "to_first_word_ms",
        "between_turns_p50_ms",
        "between_turns_p95_ms",
        "after_last_word_ms",
        "command_ms",
        "cpu_per_turn_ms",
        "foreign_cpu",
    ];
    let mut text = format!("{}\n", names.join(","));
    for each in all {
        let (p50, p95) = each.between_ms;
        let _ = writeln!(
            text,
            "{},{},{},{:.4},{},{p50},{p95},{},{},{:.1},{:.3}",
            each.hosts,
            each.ideal_ms,
            each.makespan_ms,
            each.ratio,
            each.first_ms,
            each.last_ms,
            each.command_ms,
            each.cpu_per_turn_ms,
            each.foreign
        );
    }
    text
}
