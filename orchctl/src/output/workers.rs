//! `workers`.

use roundtable_shared::view::WorkerView;
use roundtable_shared::{OWN_LABELS, WorkerStatus};

use super::paint::{Paint, Style};
use super::table::{Cell, Table};
use super::text::{backend, duration, with_command, wrap};
use crate::reach::Reach;

/// Columns of a line below a worker; names are seldom longer than what is left.
const NOTE: usize = 60;

/// Workers with their slots and what they do.
pub fn render(workers: &[WorkerView], reach: &Reach, paint: Paint) -> String {
    if workers.is_empty() {
        return format!("{}\n", with_command("no workers are here; start one with", &reach.join("codex=2")));
    }
    let mut table = Table::new(["worker", "status", "slots", "seen", "version"], 2);
    for worker in workers {
        let style = match worker.status.known() {
            Some(WorkerStatus::Ready) => Style::Good,
            Some(WorkerStatus::Busy) => Style::Live,
            Some(WorkerStatus::Draining | WorkerStatus::Drained | WorkerStatus::Cordoned) => Style::Warning,
            Some(WorkerStatus::Silent | WorkerStatus::Gone) | None => Style::Problem,
        };
        let slots = worker
            .backends
            .iter()
            .map(|(name, offered)| format!("{} {}/{}", backend(name), offered.busy, offered.slots))
            .collect::<Vec<_>>()
            .join(", ");
        let seen = format!("{} ago", duration(worker.last_seen_ms / 1000 * 1000));
        table.row([
            Cell::new(Style::Strong, worker.name.clone()),
            Cell::new(style, worker.status.to_string()),
            slots.into(),
            seen.into(),
            worker.version.clone().into(),
        ]);
        // What every worker says of itself is in the JSON.
        let given = worker.labels.iter().filter(|(key, _)| !OWN_LABELS.contains(&key.as_str()));
        let labels = given.map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(", ");
        if !labels.is_empty() {
            for line in wrap(&labels, NOTE) {
                table.note(Cell::new(Style::Dim, line));
            }
        }
        for (name, offered) in &worker.backends {
            if let Some(why) = &offered.unavailable {
                for line in wrap(&format!("{} cannot be used: {why}", backend(name)), NOTE) {
                    table.note(Cell::new(Style::Problem, line));
                }
            }
        }
        if let Some(by) = &worker.drained_by {
            for line in wrap(&format!("drained by {by}; `orchctl undrain {}` gives it work again", worker.id), NOTE) {
                table.note(Cell::new(Style::Warning, line));
            }
        }
        for lease in &worker.leases {
            let delivering = worker.delivering.get(lease);
            let why = delivering.map(|why| if why.is_empty() { " delivering".to_owned() } else { format!(" delivering: {why}") });
            table.note(Cell::new(Style::Dim, format!("{lease}{}", why.unwrap_or_default())));
        }
    }
    table.render(paint)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use roundtable_shared::view::BackendView;

    use super::*;

    #[test]
    fn nobody_here_is_told_how_to_come() {
        let none = |dir: &str| render(&[], &Reach { data_dir: Some(dir.into()), ..Reach::default() }, Paint::plain());
        assert_eq!(none("/"), "no workers are here; start one with:\n  worker join --data-dir / --backend codex=2\n");
        assert_eq!(render(&[], &Reach::default(), Paint::plain()), "no workers are here; start one with: worker join --backend codex=2\n");
        let long = none(&format!("/{}", "d".repeat(60)));
        assert!(long.starts_with("no workers are here; start one with:\n  worker join --data-dir /d"), "{long}");
    }

    #[test]
    fn slots_and_trouble() {
        let backends = BTreeMap::from([
            ("codex".to_owned(), BackendView { slots: 2, busy: 1, unavailable: None, version: "0.169.0".into() }),
            ("gemini".to_owned(), BackendView { slots: 1, busy: 0, unavailable: Some("not logged in".into()), version: "0.61.0".into() }),
        ]);
        let worker = WorkerView {
            id: "w1".into(),
            name: "host-1".into(),
            status: WorkerStatus::Busy.into(),
            backends,
            last_seen_ms: 1200,
            version: "0.1.0".into(),
            leases: vec!["query-tool-k3f9qa unit 3 attempt 1".into()],
            ..WorkerView::default()
        };
        insta::assert_snapshot!(render(&[worker], &Reach::default(), Paint::plain()), @r"
        worker  status  slots                  seen    version
        host-1  busy    codex 1/2, gemini 0/1  1s ago  0.1.0
                gemini cannot be used: not logged in
                query-tool-k3f9qa unit 3 attempt 1
        ");
    }

    #[test]
    fn a_drained_worker_says_by_whom_and_labels_are_shown_but_for_those_all_have() {
        let labels = [("gpu", "a100"), ("os", "linux")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        let worker = WorkerView {
            id: "host-1".into(),
            name: "host-1".into(),
            status: WorkerStatus::Drained.into(),
            labels: labels.into(),
            drained_by: Some("ada".into()),
            ..WorkerView::default()
        };
        let shown = render(&[worker], &Reach::default(), Paint::plain());
        assert!(shown.contains("gpu=a100") && !shown.contains("os=linux"), "{shown}");
        assert!(shown.contains("drained by ada") && shown.contains("`orchctl undrain host-1`"), "{shown}");
    }
}
