//! What a run came to: shown at the end of `run` and `wait`, and by `summary`.

use roundtable_shared::view::{FindingView, SummaryView, UnitView};

use super::findings::severity_style;
use super::paint::{Paint, Style};
use super::status::{decisions_wait, usage, waited};
use super::table::{Cell, Table, facts};
use super::text::{WIDTH, count, cut, duration, short};
use super::units::{Group, files, group, reason, state, tries};

/// Findings listed.
const FINDINGS_MAX: usize = 20;
/// Units listed of each group.
const UNITS_EACH_MAX: usize = 60;

/// Units, time, tokens; each unit with its files and findings; where the commits are and what to do next.
pub fn render(summary: &SummaryView, paint: Paint) -> String {
    let mut text = headline(summary, paint);
    text.push('\n');
    text.push_str(&units(&summary.units).render(paint));
    if !summary.findings.is_empty() {
        text.push('\n');
        text.push_str(&findings(&summary.findings, paint));
    }
    text.push('\n');
    text.push_str(&facts(&places(summary), paint));
    if !summary.decisions.is_empty() {
        let n = u32::try_from(summary.decisions.len()).unwrap_or(u32::MAX);
        text.push_str(&format!("\n{}\n", paint.style(Style::Problem, &format!("{} for you", decisions_wait(n)))));
        for decision in &summary.decisions {
            let line = cut(&format!("{}: {}", decision.id, decision.context), WIDTH - 2);
            text.push_str(&format!("  {line}\n"));
        }
    }
    if !summary.next.is_empty() {
        text.push_str(&format!("\n{}\n", paint.style(Style::Dim, "next")));
        for command in &summary.next {
            text.push_str(&format!("  {command}\n"));
        }
    }
    text
}

fn headline(summary: &SummaryView, paint: Paint) -> String {
    let style = match summary.exit {
        Some(0) => Style::Good,
        Some(_) => Style::Problem,
        None => Style::Live,
    };
    let done = format!("{}/{} units completed", summary.counts.completed(), summary.counts.total());
    let state = paint.style(style, &summary.status.to_string());
    let mut text = format!("{}  {state}, {done}, {}\n", paint.style(Style::Strong, &summary.run), duration(summary.duration_ms));
    let waits = waited(&summary.waited);
    if !waits.is_empty() {
        text.push_str(&format!("{}\n", paint.style(Style::Dim, &format!("and waited {waits}"))));
    }
    let tokens = usage(&summary.usage);
    if !tokens.is_empty() {
        text.push_str(&format!("{}\n", paint.style(Style::Dim, &format!("tokens: {tokens}"))));
    }
    let alone = summary.alone.units.len();
    // A plan of one unit has nothing to run beside it.
    if alone > 0 && summary.units.iter().filter(|unit| unit.runs).count() > 1 {
        let named = summary.alone.units.iter().map(|unit| unit.as_str()).collect::<Vec<_>>().join(", ");
        let spent = format!("{} of {}", duration(summary.alone.ms), duration(summary.duration_ms));
        let line = format!("{} without a manifest ran alone, {spent}: {named}", count(alone as u64, "unit"));
        text.push_str(&format!("{}\n", paint.style(Style::Dim, &cut(&line, WIDTH))));
    }
    text
}

fn units(units: &[UnitView]) -> Table {
    let mut table = Table::new(["", "unit", "state", "agent", "tries", "title"], 5).right(4).notes_under(2);
    for wanted in [Group::Problem, Group::Live, Group::Waiting, Group::Done, Group::Out] {
        let members: Vec<&UnitView> = units.iter().filter(|unit| group(unit) == wanted).collect();
        for unit in members.iter().take(UNITS_EACH_MAX) {
            table.row([
                Cell::new(wanted.style(), wanted.mark()),
                Cell::new(Style::Strong, unit.id.clone()),
                Cell::new(wanted.style(), state(unit)),
                unit.owner_agent.clone().unwrap_or_default().into(),
                tries(unit).into(),
                unit.title.clone().into(),
            ]);
            let why = reason(unit);
            if matches!(wanted, Group::Problem | Group::Waiting | Group::Out) && !why.is_empty() {
                table.note(Cell::new(wanted.style(), why));
            }
            let mut about = files(&unit.files, 56);
            if unit.open_findings > 0 {
                let sep = if about.is_empty() { "" } else { "; " };
                about.push_str(&format!("{sep}{} open", count(u64::from(unit.open_findings), "finding")));
            }
            if !about.is_empty() {
                table.note(Cell::new(Style::Dim, about));
            }
        }
        let left = members.len().saturating_sub(UNITS_EACH_MAX);
        if left > 0 {
            table.note(Cell::new(Style::Dim, format!("… and {left} more like these (all with --json)")));
        }
    }
    table
}

fn findings(findings: &[FindingView], paint: Paint) -> String {
    let mut text = format!("{}\n", paint.style(Style::Dim, "open findings"));
    for finding in findings.iter().take(FINDINGS_MAX) {
        let head = format!("unit {} ", finding.task_id);
        let severity = finding.severity.to_string();
        let body = cut(&finding.summary, WIDTH.saturating_sub(head.len() + severity.len() + 4));
        text.push_str(&format!("  {head}{} {body}\n", paint.style(severity_style(&finding.severity), &severity)));
    }
    if findings.len() > FINDINGS_MAX {
        text.push_str(&format!("  … and {} more: orchctl findings\n", findings.len() - FINDINGS_MAX));
    }
    text
}

fn places(summary: &SummaryView) -> Vec<(&'static str, String)> {
    let branch = if summary.head == summary.base || summary.head.is_empty() {
        format!("{} (no commits yet) on {}", summary.branch, short(&summary.base))
    } else {
        format!("{} at {}, on top of {}", summary.branch, short(&summary.head), short(&summary.base))
    };
    let yours = match &summary.accepted {
        Some(branch) => format!("{branch} has been moved to it"),
        None => "your branch and your files are untouched".to_owned(),
    };
    let mut places = vec![("commits", branch), ("", yours)];
    if let Some(at) = &summary.removed_at {
        places.push(("removed", format!("at {at}: its events, prompts and commits are gone from the coordinator")));
    }
    places
}

#[cfg(test)]
mod tests {
    use roundtable_shared::view::WaitedView;
    use roundtable_shared::{RunStatus, Severity};

    use super::*;
    use crate::output::decisions::samples::decision;
    use crate::output::status::samples::status;
    use crate::output::text::width;

    #[test]
    fn what_it_waited_for_stands_beside_its_duration() {
        let waited = WaitedView { people_ms: 180_000, ..WaitedView::default() };
        let summary =
            SummaryView { run: "r".into(), status: RunStatus::Complete.into(), duration_ms: 720_000, waited, ..SummaryView::default() };
        let text = render(&summary, Paint::plain());
        assert!(text.starts_with("r  complete, 0/0 units completed, 12m00s\nand waited 3m00s for people\n"), "{text}");
    }

    #[test]
    fn tells_what_came_of_it_and_what_is_next() {
        let status = status();
        let finding = FindingView {
            task_id: "2".into(),
            reviewer: "review-2-4".into(),
            round: 4,
            severity: Severity::Critical.into(),
            summary: "Queries are put together from user input.".into(),
            ..FindingView::default()
        };
        let summary = SummaryView {
            run: status.run,
            exit: Some(2),
            status: RunStatus::Waiting.into(),
            spec: status.spec,
            branch: status.branch,
            base: status.base,
            head: status.head,
            units: status.units,
            counts: status.counts,
            decisions: vec![decision()],
            findings: vec![finding],
            usage: status.usage,
            duration_ms: status.elapsed_ms,
            next: vec!["orchctl decisions query-tool-k3f9qa".into()],
            ..SummaryView::default()
        };
        let text = render(&summary, Paint::plain());
        insta::assert_snapshot!(text, @r"
        query-tool-k3f9qa  waiting, 1/5 units completed, 12m31s
        tokens: 120.3k in (40.1k cached), 4.5k out, $0.42

           unit  state        agent  tries  title
        !  2     blocked      codex      1  Query parser with a rather long title that…
                 the third fix still has critical findings
                 1 finding open
        ●  3     in_progress  codex      1  Command line
        ·  4     not_started  codex         Documentation
                 after 3, which writes src/cli.py that this one reads (+1 more)
        ·  5     blocked      codex         Optimiser
                 blocked by unit 2
        ✓  1     completed    codex      2  Store
                 src/store.py, tests/test_store.py
        -  6     left out                   Benchmarks

        open findings
          unit 2 critical Queries are put together from user input.

        commits  roundtable/query-tool-k3f9qa at 1a2b3c4d5e, on top of 9f8e7d6c5b
                 your branch and your files are untouched

        1 decision waits for you
          human-fallback-2: The third fix of unit 2 (Query parser) still has critical f…

        next
          orchctl decisions query-tool-k3f9qa
        ");
        assert!(text.lines().all(|line| width(line) <= WIDTH));
    }
}
