//! `runs`.

use roundtable_shared::time::WallMs;
use roundtable_shared::view::RunLine;

use super::paint::{Paint, Style};
use super::status::{NO_RUNS, standing_style};
use super::table::{Cell, Table};
use super::text::duration;

/// Runs, latest first.
pub fn render(runs: &[RunLine], now: WallMs, paint: Paint) -> String {
    if runs.is_empty() {
        return NO_RUNS.to_owned();
    }
    let mut table = Table::new(["run", "status", "units", "asks", "started", "spec"], 5);
    for run in runs.iter().rev() {
        let style = if run.removed_at.is_some() { Style::Dim } else { standing_style(&run.status) };
        let asks = if run.decisions == 0 { Cell::default() } else { Cell::new(Style::Problem, run.decisions.to_string()) };
        table.row([
            Cell::new(Style::Strong, run.run.clone()),
            Cell::new(style, if run.removed_at.is_some() { "removed".to_owned() } else { run.status.to_string() }),
            format!("{}/{}", run.completed, run.total).into(),
            asks,
            ago(&run.created_at, now).into(),
            tail(&run.spec, 30).into(),
        ]);
    }
    table.render(paint)
}

/// `2h05m ago`; the text itself if it is no time.
pub fn ago(at: &str, now: WallMs) -> String {
    match WallMs::parse_rfc3339(at) {
        Some(at) => format!("{} ago", duration(now.since(at) / 1000 * 1000)),
        None => at.to_owned(),
    }
}

/// The end of a path, which tells more than its beginning.
fn tail(path: &str, columns: usize) -> String {
    let excess = path.chars().count().saturating_sub(columns);
    if excess == 0 { path.to_owned() } else { format!("…{}", path.chars().skip(excess + 1).collect::<String>()) }
}

#[cfg(test)]
mod tests {
    use roundtable_shared::RunStatus;

    use super::*;

    #[test]
    fn latest_first() {
        let run = |run: &str, status: RunStatus, decisions, at: u64| RunLine {
            run: run.into(),
            spec: "/home/ann/projects/query/.specs/query-tool".into(),
            status: status.into(),
            total: 7,
            completed: 3,
            decisions,
            created_at: WallMs(at).rfc3339(),
            ..RunLine::default()
        };
        let runs =
            [run("query-tool-aaaaaa", RunStatus::Complete, 0, 1_000_000), run("query-tool-k3f9qa", RunStatus::Waiting, 2, 9_000_000)];
        insta::assert_snapshot!(render(&runs, WallMs(10_000_000), Paint::plain()), @r"
        run                status    units  asks  started     spec
        query-tool-k3f9qa  waiting   3/7    2     16m40s ago  …jects/query/.specs/query…
        query-tool-aaaaaa  complete  3/7          2h30m ago   …jects/query/.specs/query…
        ");
        assert_eq!(render(&[], WallMs(0), Paint::plain()), NO_RUNS);
    }
}
