//! `show`.

use roundtable_shared::time::WallMs;
use roundtable_shared::view::ShowView;

use super::paint::{Paint, Style};
use super::table::{Cell, Table, facts};
use super::text::{WIDTH, shell_word, short};
use super::{attempts, decisions, findings, units};

/// Everything about a unit of that run: what it is, where it stands, its tasks, attempts, findings and decisions.
pub fn render(show: &ShowView, run: &str, now: WallMs, paint: Paint) -> String {
    let unit = &show.unit;
    let group = units::group(unit);
    let state = if unit.runs { unit.status.to_string() } else { "does not run".to_owned() };
    let title = super::text::cut(&unit.title, WIDTH - 20);
    let mut text =
        format!("{}  {}  {title}\n", paint.style(Style::Strong, &format!("unit {}", unit.id)), paint.style(group.style(), &state));
    text.push_str(&facts(&known(show, run), paint));
    if !show.tasks.is_empty() {
        let mut table = Table::new(["task", "state", "title"], 2);
        for task in &show.tasks {
            let title = if task.optional { format!("{} (optional)", task.title) } else { task.title.clone() };
            table.row([Cell::new(Style::Strong, task.id.clone()), task.status.to_string().into(), title.into()]);
            if let Some(error) = &task.error {
                table.note(Cell::new(Style::Problem, error.clone()));
            }
        }
        text.push_str(&format!("\n{}", table.render(paint)));
    }
    if !show.attempt_list.is_empty() {
        text.push_str(&format!("\n{}", attempts::table(&show.attempt_list, now).render(paint)));
    }
    if !show.findings.is_empty() {
        text.push_str(&format!("\n{}", findings::render(&show.findings, paint)));
    }
    if !show.decisions.is_empty() {
        text.push_str(&format!("\n{}", decisions::render(&show.decisions, now, paint)));
    }
    if !show.notices.is_empty() {
        text.push('\n');
    }
    for notice in &show.notices {
        text.push_str(&super::status::note(notice, paint));
    }
    text
}

fn known(show: &ShowView, run: &str) -> Vec<(&'static str, String)> {
    let unit = &show.unit;
    let owner = unit.owner_agent.clone().unwrap_or_else(|| "nobody yet".to_owned());
    let owner = if unit.escalated { format!("{owner} (escalated)") } else { owner };
    let more = units::more(unit, 0).map(|more| format!("and {more} (`orchctl explain {} {}`)", shell_word(run), shell_word(&unit.id)));
    let waiting = unit.waiting.iter().map(|wait| wait.text.clone()).chain(more).collect::<Vec<_>>().join("; ");
    vec![
        ("doing", units::activity(unit)),
        (
            "why",
            unit.blocked_reason
                .as_deref()
                .map(units::spoken)
                .or_else(|| unit.blocked_by.as_ref().map(|by| format!("blocked by unit {by}")))
                .unwrap_or_default(),
        ),
        ("waits for", waiting),
        ("owner", format!("{owner}, type {}, {}", unit.unit_type, unit.criticality)),
        ("depends on", unit.depends_on.join(", ")),
        ("writes", unit.writes.join(", ")),
        ("reads", unit.reads.join(", ")),
        ("needs", unit.requires.join(", ")),
        ("turns", units::turns(unit)),
        ("commit", unit.commit.as_deref().map(short).unwrap_or_default().to_owned()),
        ("files", unit.files.join(", ")),
        ("summary", unit.summary.clone().unwrap_or_default()),
    ]
}

#[cfg(test)]
mod tests {
    use roundtable_shared::UnitState;
    use roundtable_shared::view::{TaskView, UnitView};

    use super::*;
    use crate::output::text::width;
    use crate::output::units::samples::some_units;

    #[test]
    fn a_unit_in_full() {
        let mut unit = some_units().swap_remove(1);
        unit.writes = vec!["src/parser.py".into()];
        let task = |id: &str, status: UnitState| TaskView {
            id: id.into(),
            title: format!("Step {id}"),
            status: status.into(),
            ..TaskView::default()
        };
        let show = ShowView {
            unit,
            tasks: vec![
                task("2.1", UnitState::Completed),
                TaskView { error: Some("tests fail".into()), ..task("2.2", UnitState::Blocked) },
            ],
            attempt_list: attempts::samples::attempts(),
            findings: Vec::new(),
            decisions: vec![decisions::samples::decision()],
            notices: vec!["unit 2, attempt 1: not committed: git~1/x (some systems take this name for git's own)".into()],
        };
        let text = render(&show, "query-tool-k3f9qa", WallMs(2_000_000), Paint::plain());
        insta::assert_snapshot!(text, @r"
        unit 2  blocked  Query parser with a rather long title that will not fit
        why         the third fix still has critical findings
        waits for   decision human-fallback-2
        owner       codex (escalated), type code, standard
        writes      src/parser.py
        turns       1 try, 3 fixes, 4 reviews

        task  state      title
        2.1   completed  Step 2.1
        2.2   blocked    Step 2.2
              tests fail

        no  seat      role       backend       worker  outcome        took    commit
         1  work      implement  codex         host-1  failed (unit)  2m10s
            the agent ended with exit code 1
         2  work      implement  codex         host-1  completed      2m10s   1a2b3c4d5e
         3  work      fix        gemini        host-1  completed      2m10s
            escalated to gemini, with the whole history
         4  review-1  review     codex-review  host-1  running        16m40s

        human-fallback-2  critical  query-tool-k3f9qa  about 2
          The third fix of unit 2 (Query parser) still has critical findings: queries
          are put together from user input.
          asked 16m40s ago
          1. I've fixed it manually - resume [resume]
             orchctl decide query-tool-k3f9qa/human-fallback-2 resume
          2. Skip this task - continue without it [skip]
             orchctl decide query-tool-k3f9qa/human-fallback-2 skip
          3. Abort orchestration [abort]
             orchctl decide query-tool-k3f9qa/human-fallback-2 abort
          evidence  orchctl diff query-tool-k3f9qa 2
                    orchctl findings query-tool-k3f9qa 2

        note: unit 2, attempt 1: not committed: git~1/x (some systems take this name
              for git's own)
        ");
        assert!(text.lines().all(|line| width(line) <= WIDTH));
    }

    #[test]
    fn reasons_that_are_not_listed_are_counted() {
        let mut show = ShowView { unit: UnitView { waiting_left_out: 12, ..some_units().swap_remove(4) }, ..ShowView::default() };
        let waits_for =
            |show: &ShowView| known(show, "query-tool-k3f9qa").into_iter().find(|(fact, _)| *fact == "waits for").map(|(_, text)| text);
        assert_eq!(waits_for(&show).as_deref(), Some("and 12 more (`orchctl explain query-tool-k3f9qa 5`)"));
        show.unit.waiting_left_out_at_least = true;
        assert_eq!(waits_for(&show).as_deref(), Some("and at least 12 more (`orchctl explain query-tool-k3f9qa 5`)"));
    }
}
