//! Bars at the foot of a terminal: the run's own, and a line for each unit an agent works on.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use roundtable_shared::RunStatus;
use roundtable_shared::view::{StatusView, UnitView, Word};

use crate::output::paint::{Paint, Style};
use crate::output::status::{decisions_wait, waited};
use crate::output::text::{cut, duration, pad, width};
use crate::output::units::{Group, activity, group};

/// Units with a line of their own.
const UNITS_MAX: usize = 8;
/// Columns of a line: one less than the terminal's least, which would wrap.
const COLUMNS: usize = 79;
/// Columns of the bar.
const BAR: usize = 16;

/// The bars.
pub(super) struct Bars {
    all: MultiProgress,
    head: ProgressBar,
    units: Vec<ProgressBar>,
}

impl Bars {
    pub(super) fn new() -> Self {
        let all = MultiProgress::new();
        let head = all.add(ProgressBar::no_length().with_style(style("{spinner:.cyan} {msg}")));
        head.enable_steady_tick(Duration::from_millis(120));
        Self { all, head, units: Vec::new() }
    }

    pub(super) fn say(&self, line: &str) {
        // Fails only if the terminal went away; the run goes on.
        let _ = self.all.println(line);
    }

    pub(super) fn clear(&mut self) {
        for bar in self.units.drain(..) {
            bar.finish_and_clear();
        }
        self.head.finish_and_clear();
        let _ = self.all.clear();
    }

    pub(super) fn draw(&mut self, status: &StatusView, remaining_ms: Option<u64>, paint: Paint) {
        self.head.set_message(head(status, remaining_ms, paint));
        let lines = unit_lines(&status.units, paint);
        while self.units.len() < lines.len() {
            self.units.push(self.all.add(ProgressBar::no_length().with_style(style("  {msg}"))));
        }
        for bar in self.units.drain(lines.len()..) {
            bar.finish_and_clear();
            self.all.remove(&bar);
        }
        for (bar, line) in self.units.iter().zip(lines) {
            bar.set_message(line);
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).expect("the template is a literal with known keys");
    style.tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ ")
}

/// `3/7 units ━━━━━━━━──────────── 2 running, 1 decision waits, 12m31s, about 4m left`
fn head(status: &StatusView, remaining_ms: Option<u64>, paint: Paint) -> String {
    let (done, total) = (status.counts.completed(), status.counts.total());
    let filled = if total == 0 { 0 } else { BAR * done as usize / total as usize };
    let mut facts = vec![match &status.status {
        Word::Known(RunStatus::Running) => format!("{} running", status.counts.running()),
        other => other.to_string(),
    }];
    if status.decisions > 0 {
        facts.push(decisions_wait(status.decisions));
    }
    facts.push(duration(status.elapsed_ms / 1000 * 1000));
    if let Some(left) = remaining_ms {
        facts.push(format!("about {} left", coarse(left)));
    }
    let waits = waited(&status.waited);
    if !waits.is_empty() {
        facts.push(format!("waited {waits}"));
    }
    let done = format!("{done}/{total} units");
    let room = COLUMNS.saturating_sub(width(&done) + BAR + 4);
    format!(
        "{done} {}{} {}",
        paint.style(Style::Good, &"━".repeat(filled)),
        paint.style(Style::Dim, &"─".repeat(BAR - filled)),
        cut(&facts.join(", "), room)
    )
}

/// A guess, without the seconds of a long time.
fn coarse(ms: u64) -> String {
    if (60_000..3_600_000).contains(&ms) { format!("{}m", ms / 60_000) } else { duration(ms.max(1000) / 1000 * 1000) }
}

fn unit_lines(units: &[UnitView], paint: Paint) -> Vec<String> {
    let live: Vec<&UnitView> = units.iter().filter(|unit| group(unit) == Group::Live).collect();
    let ids = live.iter().take(UNITS_MAX).map(|unit| width(&unit.id)).max().unwrap_or(0);
    let mut lines: Vec<String> = live
        .iter()
        .take(UNITS_MAX)
        .map(|unit| {
            let doing = activity(unit);
            let title = cut(&unit.title, COLUMNS.saturating_sub(ids + width(&doing) + 8));
            format!(
                "{} {}  {title}",
                paint.style(Style::Strong, &pad(&unit.id, ids)),
                paint.style(Style::Live, &cut(&doing, COLUMNS - ids - 6))
            )
        })
        .collect();
    if live.len() > UNITS_MAX {
        lines.push(paint.style(Style::Dim, &format!("… and {} more", live.len() - UNITS_MAX)));
    }
    lines
}

#[cfg(test)]
mod tests {
    use roundtable_shared::view::WaitedView;

    use super::*;
    use crate::output::status::samples::status;

    #[test]
    fn lines_fit_a_terminal_of_eighty_columns() {
        let mut status = status();
        let head = head(&status, Some(240_000), Paint::plain());
        assert_eq!(head, "1/5 units ━━━───────────── 1 running, 1 decision waits, 12m31s, about 4m left");
        assert!(width(&head) < COLUMNS);
        let waited = WaitedView { people_ms: 180_000, ..WaitedView::default() };
        let waits = super::head(&StatusView { decisions: 0, waited, ..status.clone() }, None, Paint::plain());
        assert_eq!(waits, "1/5 units ━━━───────────── 1 running, 12m31s, waited 3m00s for people");
        status.units[2].title = "x".repeat(200);
        status.units = vec![status.units[2].clone(); 12];
        let lines = unit_lines(&status.units, Paint::plain());
        assert_eq!(lines.len(), UNITS_MAX + 1);
        assert!(lines.iter().all(|line| width(line) <= COLUMNS - 2), "{lines:?}");
    }
}
