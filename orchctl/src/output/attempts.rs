//! `attempts`.

use roundtable_shared::AttemptOutcome;
use roundtable_shared::time::WallMs;
use roundtable_shared::view::AttemptView;

use super::paint::{Paint, Style};
use super::table::{Cell, Table};
use super::text::{backend, duration, short};

/// Attempts in their order, each with how it ended.
pub fn render(attempts: &[AttemptView], now: WallMs, paint: Paint) -> String {
    if attempts.is_empty() {
        return "no attempts yet\n".to_owned();
    }
    table(attempts, now).render(paint)
}

/// The same as a table.
pub fn table(attempts: &[AttemptView], now: WallMs) -> Table {
    let mut table = Table::new(["no", "seat", "role", "backend", "worker", "outcome", "took", "commit"], 4).right(0);
    for attempt in attempts {
        let style = match attempt.outcome.known() {
            Some(AttemptOutcome::Completed) => Style::Good,
            Some(AttemptOutcome::Running) => Style::Live,
            Some(AttemptOutcome::Failed) => Style::Problem,
            _ => Style::Dim,
        };
        table.row([
            attempt.attempt.to_string().into(),
            attempt.seat.clone().into(),
            attempt.role.to_string().into(),
            backend(&attempt.backend).into(),
            attempt.worker.clone().into(),
            Cell::new(style, outcome(attempt)),
            took(attempt, now).into(),
            attempt.commit.as_deref().map(short).unwrap_or_default().into(),
        ]);
        if attempt.escalated {
            table.note(Cell::new(Style::Warning, format!("escalated to {}, with the whole history", backend(&attempt.backend))));
        }
        if let Some(error) = &attempt.error {
            table.note(Cell::new(Style::Problem, error.clone()));
        }
    }
    table
}

fn outcome(attempt: &AttemptView) -> String {
    match &attempt.class {
        Some(class) => format!("{} ({class})", attempt.outcome),
        None => attempt.outcome.to_string(),
    }
}

fn took(attempt: &AttemptView, now: WallMs) -> String {
    let Some(started) = attempt.started_at.as_deref().and_then(WallMs::parse_rfc3339) else {
        return String::new();
    };
    let ended = attempt.ended_at.as_deref().and_then(WallMs::parse_rfc3339).unwrap_or(now);
    duration(ended.since(started))
}

#[cfg(test)]
pub(crate) mod samples {
    //! Attempts for tests.
    use roundtable_shared::time::WallMs;
    use roundtable_shared::view::AttemptView;
    use roundtable_shared::{AttemptOutcome, OutcomeClass, Role};

    pub(crate) fn attempts() -> Vec<AttemptView> {
        let at = |ms: u64| Some(WallMs(ms).rfc3339());
        let attempt = |n: u32, seat: &str, role: Role, outcome: AttemptOutcome| AttemptView {
            attempt: n,
            seat: seat.into(),
            role: role.into(),
            worker: "host-1".into(),
            backend: "codex".into(),
            outcome: outcome.into(),
            started_at: at(1_000_000),
            ended_at: at(1_130_000),
            ..AttemptView::default()
        };
        vec![
            AttemptView {
                class: Some(OutcomeClass::Unit.into()),
                error: Some("the agent ended with exit code 1".into()),
                ..attempt(1, "work", Role::Implement, AttemptOutcome::Failed)
            },
            AttemptView {
                commit: Some("1a2b3c4d5e6f708192a3".into()),
                resumed_from: Some(1),
                ..attempt(2, "work", Role::Implement, AttemptOutcome::Completed)
            },
            AttemptView { backend: "gemini".into(), escalated: true, ..attempt(3, "work", Role::Fix, AttemptOutcome::Completed) },
            AttemptView { ended_at: None, backend: "codex-review".into(), ..attempt(4, "review-1", Role::Review, AttemptOutcome::Running) },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::text::{WIDTH, width};

    #[test]
    fn each_with_how_it_ended() {
        let text = render(&samples::attempts(), WallMs(1_042_000), Paint::plain());
        insta::assert_snapshot!(text, @r"
        no  seat      role       backend       worker  outcome        took   commit
         1  work      implement  codex         host-1  failed (unit)  2m10s
            the agent ended with exit code 1
         2  work      implement  codex         host-1  completed      2m10s  1a2b3c4d5e
         3  work      fix        gemini        host-1  completed      2m10s
            escalated to gemini, with the whole history
         4  review-1  review     codex-review  host-1  running        42s
        ");
        assert!(text.lines().all(|line| width(line) <= WIDTH));
    }
}
