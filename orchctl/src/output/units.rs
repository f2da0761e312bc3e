//! How a unit appears in lists: its group, its mark, the line that says what about it.

use roundtable_shared::view::UnitView;
use roundtable_shared::{UnitState, WaitKind};

use super::paint::Style;
use super::table::{Cell, Table};
use super::text::{backend, count, cut, duration};

/// What a person looks for first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Group {
    /// Needs a person.
    Problem,
    /// An attempt is live.
    Live,
    /// Waits by itself.
    Waiting,
    /// Completed.
    Done,
    /// Does not run: optional, left out, skipped, cancelled.
    Out,
}

/// The group of a unit.
pub fn group(unit: &UnitView) -> Group {
    let asks = unit.waiting.iter().any(|wait| wait.kind == WaitKind::Decision);
    match unit.status.known() {
        _ if !unit.runs => Group::Out,
        Some(UnitState::Completed) => Group::Done,
        Some(UnitState::Skipped | UnitState::Cancelled) => Group::Out,
        _ if asks => Group::Problem,
        Some(UnitState::Blocked) if unit.blocked_by.is_none() => Group::Problem,
        _ if unit.worker.is_some() => Group::Live,
        _ => Group::Waiting,
    }
}

impl Group {
    /// A mark of one column.
    pub fn mark(self) -> &'static str {
        match self {
            Self::Problem => "!",
            Self::Live => "●",
            Self::Waiting => "·",
            Self::Done => "✓",
            Self::Out => "-",
        }
    }

    /// Its colour.
    pub fn style(self) -> Style {
        match self {
            Self::Problem => Style::Problem,
            Self::Live => Style::Live,
            Self::Waiting => Style::Plain,
            Self::Done => Style::Good,
            Self::Out => Style::Dim,
        }
    }
}

/// `implement by codex on host-1 for 2m10s`; empty without a live attempt.
pub fn activity(unit: &UnitView) -> String {
    let Some(worker) = &unit.worker else {
        return String::new();
    };
    let role = unit.role.as_ref().map_or_else(|| "working".to_owned(), ToString::to_string);
    let by = unit.backend.as_deref().map(|name| format!(" by {}", backend(name))).unwrap_or_default();
    // What has just begun needs no "for 9ms".
    let since = unit.running_ms.filter(|ms| *ms >= 1000).map(|ms| format!(" for {}", duration(ms))).unwrap_or_default();
    let delivering = match unit.delivering.as_deref() {
        Some("") => ", delivering".to_owned(),
        Some(why) => format!(", delivering: {why}"),
        None => String::new(),
    };
    format!("{role}{by} on {worker}{since}{delivering}")
}

/// What keeps it, in a line; empty when nothing does.
pub fn reason(unit: &UnitView) -> String {
    if let (Some(upstream), false) = (&unit.blocked_by, unit.waiting.iter().any(|wait| wait.kind == WaitKind::Decision)) {
        return format!("blocked by unit {upstream}");
    }
    match (&unit.blocked_reason, unit.waiting.split_first()) {
        (Some(reason), _) => spoken(reason),
        (None, Some((first, rest))) => {
            let more = more(unit, rest.len()).map(|more| format!(" (+{more})")).unwrap_or_default();
            format!("{}{more}", first.text)
        }
        (None, None) => String::new(),
    }
}

/// `9 more`, `at least 300 more`: the reasons that are not listed, with so many that are.
pub fn more(unit: &UnitView, listed: usize) -> Option<String> {
    let more = listed as u64 + u64::from(unit.waiting_left_out);
    let least = if unit.waiting_left_out_at_least { "at least " } else { "" };
    (more > 0).then(|| format!("{least}{more} more"))
}

/// A reason as a person says it: the mirror files' keyword is for programs.
pub fn spoken(reason: &str) -> String {
    match reason {
        "human_intervention_required" => "three fixes were not enough; a person has to decide".to_owned(),
        reason => reason.to_owned(),
    }
}

/// Units in groups, problems first; at most `each_max` of a group.
pub fn table(units: &[UnitView], each_max: usize) -> Table {
    let mut table = Table::new(["", "unit", "state", "owner", "tries", "title"], 5).right(4).notes_under(2);
    for wanted in [Group::Problem, Group::Live, Group::Waiting, Group::Done, Group::Out] {
        let members: Vec<&UnitView> = units.iter().filter(|unit| group(unit) == wanted).collect();
        for unit in members.iter().take(each_max) {
            push(&mut table, unit, wanted);
        }
        let left = members.len().saturating_sub(each_max);
        if left > 0 {
            table.note(Cell::new(Style::Dim, format!("… and {left} more like these (all with --json)")));
        }
    }
    table
}

/// The state to show: one that does not run has none here.
pub fn state(unit: &UnitView) -> String {
    match (unit.runs, unit.status.known()) {
        (true, _) => unit.status.to_string(),
        (false, Some(UnitState::Completed)) => "completed before".to_owned(),
        (false, _) => "left out".to_owned(),
    }
}

/// The column `tries`.
pub fn tries(unit: &UnitView) -> String {
    if unit.tries == 0 { String::new() } else { unit.tries.to_string() }
}

/// `2 tries, 1 fix, 2 reviews`: what was done for it so far, each counted apart; empty if nothing was.
pub fn turns(unit: &UnitView) -> String {
    let counts = [
        (unit.tries, "try", "tries"),
        (unit.fix_attempts, "fix", "fixes"),
        (unit.reviews, "review", "reviews"),
        (unit.checks, "check", "checks"),
    ];
    let told = counts.into_iter().filter(|(n, ..)| *n > 0).map(|(n, one, more)| format!("{n} {}", if n == 1 { one } else { more }));
    told.collect::<Vec<_>>().join(", ")
}

fn push(table: &mut Table, unit: &UnitView, group: Group) {
    let state = state(unit);
    table.row([
        Cell::new(group.style(), group.mark()),
        Cell::new(if group == Group::Out { Style::Dim } else { Style::Strong }, unit.id.clone()),
        Cell::new(group.style(), state),
        unit.owner_agent.clone().unwrap_or_default().into(),
        tries(unit).into(),
        Cell::new(if group == Group::Out { Style::Dim } else { Style::Plain }, unit.title.clone()),
    ]);
    let (note, style) = match group {
        Group::Problem => (reason(unit), Style::Problem),
        Group::Live => (activity(unit), Style::Live),
        Group::Waiting => (reason(unit), Style::Dim),
        Group::Done => (String::new(), Style::Dim),
        Group::Out => (unit.blocked_reason.as_deref().map(spoken).unwrap_or_default(), Style::Dim),
    };
    if !note.is_empty() {
        table.note(Cell::new(style, note));
    }
}

/// `src/a.py, src/b.py and 3 more files`, in a width.
pub fn files(paths: &[String], columns: usize) -> String {
    let mut text = String::new();
    for (n, path) in paths.iter().enumerate() {
        let rest = paths.len() - n - 1;
        let tail = if rest > 0 { format!(" and {}", count(rest as u64, "more file")) } else { String::new() };
        let sep = if n == 0 { "" } else { ", " };
        if n > 0 && text.chars().count() + sep.len() + path.chars().count() + tail.chars().count() > columns {
            return format!("{text} and {}", count((paths.len() - n) as u64, "more file"));
        }
        text.push_str(sep);
        text.push_str(&cut(path, columns));
    }
    text
}

#[cfg(test)]
pub(crate) mod samples {
    //! Units for the tests of everything that shows them.
    use roundtable_shared::view::{UnitView, WaitView};
    use roundtable_shared::{Criticality, Role, Severity, UnitState, UnitType, WaitKind};

    pub(crate) fn unit(id: &str, title: &str, status: UnitState) -> UnitView {
        UnitView {
            id: id.into(),
            title: title.into(),
            status: status.into(),
            runs: true,
            unit_type: UnitType::Code.into(),
            owner_agent: Some("codex".into()),
            criticality: Criticality::Standard.into(),
            ..UnitView::default()
        }
    }

    pub(crate) fn waiting(kind: WaitKind, on: &str, text: &str) -> WaitView {
        WaitView { kind: kind.into(), on: on.into(), path: String::new(), text: text.into() }
    }

    pub(crate) fn some_units() -> Vec<UnitView> {
        vec![
            UnitView {
                attempts: 3,
                tries: 2,
                reviews: 1,
                files: vec!["src/store.py".into(), "tests/test_store.py".into()],
                commit: Some("a".repeat(40)),
                ..unit("1", "Store", UnitState::Completed)
            },
            UnitView {
                attempts: 8,
                tries: 1,
                fix_attempts: 3,
                reviews: 4,
                escalated: true,
                open_findings: 1,
                last_severity: Some(Severity::Critical.into()),
                blocked_reason: Some("the third fix still has critical findings".into()),
                waiting: vec![waiting(WaitKind::Decision, "human-fallback-2", "decision human-fallback-2")],
                ..unit("2", "Query parser with a rather long title that will not fit", UnitState::Blocked)
            },
            UnitView {
                attempt: 1,
                attempts: 1,
                tries: 1,
                worker: Some("host-1".into()),
                backend: Some("codex".into()),
                role: Some(Role::Implement.into()),
                running_ms: Some(130_000),
                ..unit("3", "Command line", UnitState::InProgress)
            },
            UnitView {
                waiting: vec![
                    waiting(WaitKind::Hazard, "3", "after 3, which writes src/cli.py that this one reads"),
                    waiting(WaitKind::Slot, "codex", "no free slot"),
                ],
                ..unit("4", "Documentation", UnitState::NotStarted)
            },
            UnitView { blocked_by: Some("2".into()), ..unit("5", "Optimiser", UnitState::Blocked) },
            UnitView { runs: false, optional: true, owner_agent: None, ..unit("6", "Benchmarks", UnitState::NotStarted) },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::paint::Paint;
    use crate::output::text::{WIDTH, width};

    #[test]
    fn problems_first_then_what_runs() {
        let text = table(&samples::some_units(), 10).render(Paint::plain());
        insta::assert_snapshot!(text, @r"
           unit  state        owner  tries  title
        !  2     blocked      codex      1  Query parser with a rather long title that…
                 the third fix still has critical findings
        ●  3     in_progress  codex      1  Command line
                 implement by codex on host-1 for 2m10s
        ·  4     not_started  codex         Documentation
                 after 3, which writes src/cli.py that this one reads (+1 more)
        ·  5     blocked      codex         Optimiser
                 blocked by unit 2
        ✓  1     completed    codex      2  Store
        -  6     left out                   Benchmarks
        ");
        assert!(text.lines().all(|line| width(line) <= WIDTH));
    }

    #[test]
    fn reasons_that_are_not_listed_are_counted_too() {
        let unit = UnitView { waiting_left_out: 9_990, ..samples::some_units().swap_remove(3) };
        assert_eq!(reason(&unit), "after 3, which writes src/cli.py that this one reads (+9991 more)");
        let unit = UnitView { waiting_left_out_at_least: true, ..unit };
        assert_eq!(reason(&unit), "after 3, which writes src/cli.py that this one reads (+at least 9991 more)");
    }

    #[test]
    fn each_kind_of_turn_is_counted_apart() {
        let units = samples::some_units();
        assert_eq!(units.iter().map(turns).collect::<Vec<_>>()[..4], ["2 tries, 1 review", "1 try, 3 fixes, 4 reviews", "1 try", ""]);
        assert_eq!(turns(&UnitView { checks: 2, ..units[2].clone() }), "1 try, 2 checks");
    }

    #[test]
    fn what_was_done_before_is_not_left_out() {
        let unit = |status, runs| UnitView { runs, ..samples::unit("1", "t", status) };
        assert_eq!(state(&unit(UnitState::Completed, false)), "completed before");
        assert_eq!(state(&unit(UnitState::NotStarted, false)), "left out");
        assert_eq!(state(&unit(UnitState::Completed, true)), "completed");
    }

    #[test]
    fn large_groups_are_cut() {
        let units: Vec<UnitView> = (0..30).map(|n| samples::unit(&n.to_string(), "t", UnitState::Completed)).collect();
        let text = table(&units, 5).render(Paint::plain());
        assert!(text.contains("… and 25 more"));
    }

    #[test]
    fn file_lists_fit() {
        let paths: Vec<String> = (0..9).map(|n| format!("src/module_{n}/file.py")).collect();
        let text = files(&paths, 60);
        assert!(width(&text) <= 60 && text.ends_with("and 7 more files"), "{text}");
        assert_eq!(files(&paths[..1], 60), "src/module_0/file.py");
        assert_eq!(files(&[], 60), "");
    }
}
