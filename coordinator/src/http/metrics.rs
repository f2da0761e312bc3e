//! The figures of `/metrics`, in Prometheus' text format. Their names are promised (docs/metrics.md, which a test holds to this); what they say of the
//! present is read from the last published state, the rest is counted while it happens.

use std::collections::BTreeMap;
use std::fmt::Write;

use roundtable_core::schedule::{Demand, demand};
use roundtable_shared::{UnitState, WorkerStatus};

use crate::driver::{HandleError, Histogram};
use crate::parts::Parts;
use crate::view;

/// Longest value of a label.
const LABEL_CHARS_MAX: usize = 200;

/// Name, type and help of each figure, in the order they are told.
pub(super) const FAMILIES: [(&str, &str, &str); 11] = [
    ("roundtable_units", "gauge", "Units of unfinished runs, by state."),
    ("roundtable_ready_units", "gauge", "Units that lack nothing but a slot."),
    ("roundtable_leases", "gauge", "Attempts that hold a lease."),
    ("roundtable_slots_wanted", "gauge", "Slots that would be in use now if there were enough: what runs, and what is ready."),
    ("roundtable_workers", "gauge", "Workers this process knows, by status."),
    ("roundtable_queue_depth", "gauge", "What waits in a queue."),
    ("roundtable_dispatch_seconds", "histogram", "From what made a grant possible until its worker has taken the lease."),
    ("roundtable_append_seconds", "histogram", "One append to the log, until it is durable."),
    ("roundtable_fsync_seconds", "histogram", "One commit of the log's rows to the disk, its sync included."),
    (
        "roundtable_retries_total",
        "counter",
        "Attempts that ended without their work, by who pays; each is tried again or becomes a decision.",
    ),
    ("roundtable_model_tokens_total", "counter", "Tokens of attempts that have ended, as their CLIs said."),
];

/// What state and fleet say of the present.
#[derive(Debug, Default)]
pub(super) struct Gauges {
    units: BTreeMap<&'static str, usize>,
    workers: BTreeMap<String, usize>,
    leases: usize,
    demand: Demand,
}

/// Counts them. Looks at each unit of the unfinished runs.
pub(super) async fn gather(parts: &Parts) -> Result<Gauges, HandleError> {
    let read = parts.links.handle.view(|core, now| {
        let mut gauges = Gauges {
            // Also what nobody is in: it shows as 0.
            units: UnitState::ALL.iter().map(|state| (state.as_str(), 0)).collect(),
            workers: WorkerStatus::ALL.iter().map(|status| (status.to_string(), 0)).collect(),
            leases: core.state.live_attempts().count(),
            demand: demand(&core.state, &core.fleet, now),
        };
        for unit in core.state.unfinished().flat_map(|run| run.units()).filter(|unit| unit.spec.runs) {
            *gauges.units.entry(unit.state().as_str()).or_default() += 1;
        }
        for worker in view::workers(&core.state, &core.fleet, now) {
            *gauges.workers.entry(worker.status.to_string()).or_default() += 1;
        }
        gauges
    });
    read.await
}

/// All figures as text.
pub(super) fn render(parts: &Parts, commits: &Histogram, gauges: &Gauges) -> String {
    let measures = &parts.links.measures;
    let mut text = Text::default();
    for (name, kind, help) in FAMILIES {
        text.family(name, kind, help);
        match name {
            "roundtable_units" => gauges.units.iter().for_each(|(state, count)| text.sample(name, &[("state", *state)], *count as f64)),
            "roundtable_ready_units" => text.sample(name, &[], gauges.demand.ready_units as f64),
            "roundtable_leases" => text.sample(name, &[], gauges.leases as f64),
            "roundtable_slots_wanted" => {
                gauges.demand.slots.iter().for_each(|(backend, count)| text.sample(name, &[("backend", backend.as_str())], *count as f64));
            }
            "roundtable_workers" => {
                gauges.workers.iter().for_each(|(status, count)| text.sample(name, &[("status", status.as_str())], *count as f64));
            }
            "roundtable_queue_depth" => {
                let queues = [
                    ("driver", parts.links.handle.waiting()),
                    ("effects", measures.effects_waiting()),
                    ("sessions", parts.sessions.waiting()),
                ];
                queues.iter().for_each(|(queue, depth)| text.sample(name, &[("queue", *queue)], *depth as f64));
            }
            "roundtable_dispatch_seconds" => text.histogram(name, &measures.dispatch),
            "roundtable_append_seconds" => text.histogram(name, &measures.append),
            "roundtable_fsync_seconds" => text.histogram(name, commits),
            "roundtable_retries_total" => {
                measures.failures().for_each(|(class, count)| text.sample(name, &[("class", class.as_str())], count as f64));
            }
            _ => {
                for (backend, tokens) in measures.tokens() {
                    for (kind, count) in [("input", tokens.input), ("cached", tokens.cached), ("output", tokens.output)] {
                        text.sample(name, &[("backend", backend.as_str()), ("kind", kind)], count as f64);
                    }
                }
            }
        }
    }
    text.0
}

/// Text as it grows. Writing to a string cannot fail.
#[derive(Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    fn histogram(&mut self, name: &str, histogram: &Histogram) {
        let counts = histogram.cumulative();
        let bucket = format!("{name}_bucket");
        for (bound, count) in Histogram::BOUNDS.iter().zip(counts) {
            self.sample(&bucket, &[("le", bound.to_string().as_str())], count as f64);
        }
        let all = counts[Histogram::BOUNDS.len()] as f64;
        self.sample(&bucket, &[("le", "+Inf")], all);
        self.sample(&format!("{name}_sum"), &[], histogram.seconds());
        self.sample(&format!("{name}_count"), &[], all);
    }
}

/// A label's value: backends and workers name themselves.
fn escaped(value: &str) -> String {
    let mut text = String::new();
    for each in value.chars().take(LABEL_CHARS_MAX) {
        match each {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            each if each.is_control() => text.push(' '),
            each => text.push(each),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_names_are_those_that_the_documents_promise() {
        let document = include_str!("../../../docs/metrics.md");
        let rows = document.lines().filter_map(|line| line.strip_prefix("| `roundtable_"));
        let promised: Vec<String> = rows.map(|row| format!("roundtable_{}", row.split(['`', '{']).next().unwrap_or_default())).collect();
        assert_eq!(promised, FAMILIES.map(|(name, ..)| name.to_owned()));
    }

    #[test]
    fn samples_are_as_prometheus_reads_them() {
        let mut text = Text::default();
        text.family("a_total", "counter", "Something.");
        text.sample("a_total", &[("backend", "scripted:a\"b\\c\nd"), ("kind", "input")], 3.0);
        text.sample("b", &[], 0.25);
        let wanted = "# HELP a_total Something.\n# TYPE a_total counter\n\
                      a_total{backend=\"scripted:a\\\"b\\\\c d\",kind=\"input\"} 3\nb 0.25\n";
        assert_eq!(text.0, wanted);
        let mut text = Text::default();
        let histogram = Histogram::default();
        histogram.observe(Duration::from_millis(3));
        histogram.observe(Duration::from_secs(3600));
        text.histogram("c", &histogram);
        assert!(text.0.starts_with("c_bucket{le=\"0.0005\"} 0\n") && text.0.contains("c_bucket{le=\"0.005\"} 1\n"), "{}", text.0);
        assert!(text.0.ends_with("c_bucket{le=\"+Inf\"} 2\nc_sum 3600.003\nc_count 2\n"), "{}", text.0);
    }
}
