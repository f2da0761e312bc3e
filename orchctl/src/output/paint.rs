//! Colours, by meaning. Switched off as a whole where nobody would see them.

use std::io::IsTerminal;

use anstyle::{AnsiColor, Color};

/// Whether colours are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Paint {
    on: bool,
}

/// What a piece of text means.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Style {
    /// Nothing special.
    #[default]
    Plain,
    /// Needs a person, or failed.
    Problem,
    /// Worth a look.
    Warning,
    /// Done.
    Good,
    /// Running now.
    Live,
    /// Less important.
    Dim,
    /// A heading or name.
    Strong,
}

impl Paint {
    /// No colours.
    #[cfg(any(test, feature = "embedded"))]
    pub fn plain() -> Self {
        Self { on: false }
    }

    /// As standard output wants it: colours on a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise.
    pub fn stdout() -> Self {
        Self { on: wants_colour(std::io::stdout().is_terminal()) }
    }

    /// The same for standard error.
    pub fn stderr() -> Self {
        Self { on: wants_colour(std::io::stderr().is_terminal()) }
    }

    /// The text in that style.
    pub fn style(self, style: Style, text: &str) -> String {
        if !self.on || text.is_empty() || style == Style::Plain {
            return text.to_owned();
        }
        let ansi = ansi(style);
        format!("{ansi}{text}{ansi:#}")
    }
}

fn ansi(style: Style) -> anstyle::Style {
    let plain = anstyle::Style::new();
    let coloured = |colour: AnsiColor| plain.fg_color(Some(Color::Ansi(colour)));
    match style {
        Style::Plain => plain,
        Style::Problem => coloured(AnsiColor::Red).bold(),
        Style::Warning => coloured(AnsiColor::Yellow),
        Style::Good => coloured(AnsiColor::Green),
        Style::Live => coloured(AnsiColor::Cyan),
        Style::Dim => plain.dimmed(),
        Style::Strong => plain.bold(),
    }
}

fn wants_colour(is_terminal: bool) -> bool {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    is_terminal && set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_paint_writes_no_escapes_and_the_other_one_closes_them() {
        assert_eq!(Paint::plain().style(Style::Problem, "no"), "no");
        let painted = Paint { on: true }.style(Style::Good, "yes");
        assert!(painted.starts_with("\u{1b}[") && painted.contains("yes") && painted.ends_with("\u{1b}[0m"));
        assert_eq!(Paint { on: true }.style(Style::Plain, "as is"), "as is");
    }
}
