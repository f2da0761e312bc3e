//! Progress of a run: bars on a terminal, else a line per change of a unit's state. Written to standard error; standard output is the answer's.

mod bars;
mod changes;
mod eta;

use std::io::{IsTerminal, Write};
use std::time::Instant;

use roundtable_shared::text::terminal;
use roundtable_shared::time::WallMs;
use roundtable_shared::view::StatusView;

use super::paint::{Paint, Style};
use crate::reach::Reach;
use bars::Bars;
use changes::{Change, changes};
use eta::Eta;

/// Shows progress as statuses come in.
pub struct Progress {
    form: Form,
    last: Option<StatusView>,
    eta: Eta,
    reach: Reach,
}

enum Form {
    Bars(Bars),
    Lines,
    Silent,
}

impl Progress {
    /// Bars where standard error is a terminal that can show them, else lines.
    pub fn for_stderr() -> Self {
        let capable = std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let form = if std::io::stderr().is_terminal() && capable { Form::Bars(Bars::new()) } else { Form::Lines };
        Self { form, last: None, eta: Eta::default(), reach: Reach::default() }
    }

    /// Tells commands as they must be typed to reach the same coordinator.
    #[must_use]
    pub fn with_reach(self, reach: Reach) -> Self {
        Self { reach, ..self }
    }

    /// Goes on as [`Self::for_stderr`] would, if it showed lines until now.
    pub fn show(&mut self) {
        if matches!(self.form, Form::Lines) {
            self.form = Self::for_stderr().form;
        }
    }

    /// A line per change.
    pub fn lines() -> Self {
        Self { form: Form::Lines, last: None, eta: Eta::default(), reach: Reach::default() }
    }

    /// Shows nothing.
    pub fn silent() -> Self {
        Self { form: Form::Silent, last: None, eta: Eta::default(), reach: Reach::default() }
    }

    /// Takes the state a run goes on from, whose changes are no news.
    pub fn start_from(&mut self, status: &StatusView, now: Instant) {
        self.eta.observe(status, now);
        self.last = Some(status.clone());
    }

    /// Shows what is new.
    pub fn update(&mut self, status: &StatusView, wall: WallMs, now: Instant) {
        self.eta.observe(status, now);
        let mut news = changes(self.last.as_ref(), status, &self.reach);
        news.sort_by_key(|change| !change.is_problem);
        for change in &news {
            if change.is_notice {
                self.note(&change.text);
            } else {
                self.say(&change_line(change, status, wall, self.paint()));
            }
        }
        if let Form::Bars(bars) = &mut self.form {
            bars.draw(status, self.eta.remaining_ms(status), Paint::stderr());
        }
        self.last = Some(status.clone());
    }

    /// Says a line above the bars.
    pub fn say(&self, line: &str) {
        let line = &terminal(line);
        match &self.form {
            Form::Bars(bars) => bars.say(line),
            Form::Lines => {
                // A reader that went away is no reason to stop the run.
                let _ = writeln!(std::io::stderr(), "{line}");
            }
            Form::Silent => {}
        }
    }

    /// Says something worth knowing, wrapped.
    pub fn note(&self, text: &str) {
        let label = self.paint().style(Style::Warning, "note");
        for (n, line) in super::text::wrap(text, 74).iter().enumerate() {
            self.say(&if n == 0 { format!("{label}: {line}") } else { format!("      {line}") });
        }
    }

    /// Takes the bars away.
    pub fn finish(&mut self) {
        if let Form::Bars(bars) = &mut self.form {
            bars.clear();
        }
        self.form = Form::Lines;
    }

    fn paint(&self) -> Paint {
        Paint::stderr()
    }
}

/// `12:03:11Z  3/7  ● unit 4 implement by codex on host-1: Queries`
fn change_line(change: &Change, status: &StatusView, wall: WallMs, paint: Paint) -> String {
    let head = format!("{}  {}/{}  ", clock(wall), status.counts.completed(), status.counts.total());
    let columns = super::text::WIDTH.saturating_sub(head.len());
    let body = paint.style(change.style, &super::text::cut(&change.text, columns));
    format!("{}{body}", paint.style(Style::Dim, &head))
}

/// Time of day in UTC.
pub(super) fn clock(wall: WallMs) -> String {
    let second = wall.0 / 1000 % 86_400;
    format!("{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::status::samples::status;
    use crate::output::text::{WIDTH, width};

    #[test]
    fn lines_fit_and_say_how_far_it_is() {
        let news = changes(None, &status(), &Reach::default());
        let lines: Vec<String> = news.iter().map(|change| change_line(change, &status(), WallMs(43_391_000), Paint::plain())).collect();
        assert!(lines.iter().all(|line| width(line) <= WIDTH), "{lines:?}");
        assert!(lines.iter().any(|line| line.starts_with("12:03:11Z  1/5  ")), "{lines:?}");
    }
}
