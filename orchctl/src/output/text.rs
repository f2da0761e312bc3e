//! Text of a known width: measuring, cutting, wrapping, and how figures are written.

pub use roundtable_runtime::terminal::{WIDTH, shell_word, tame, width, wrap};
use unicode_width::UnicodeWidthChar;

/// One tame line of at most `columns`, cut with `…`.
pub fn cut(text: &str, columns: usize) -> String {
    let text = tame(text.trim());
    if width(&text) <= columns {
        return text;
    }
    let mut kept = String::new();
    let mut used = 0;
    for c in text.chars() {
        let next = used + c.width().unwrap_or(0);
        if next + 1 > columns {
            break;
        }
        kept.push(c);
        used = next;
    }
    if columns > 0 {
        kept.truncate(kept.trim_end().len());
        kept.push('…');
    }
    kept
}

/// A backend as people call it: a playbook by its file's name. The whole name is in JSON.
pub fn backend(name: &str) -> String {
    match name.strip_prefix("scripted:") {
        Some(file) => format!("scripted:{}", file.rsplit('/').next().unwrap_or(file)),
        None => name.to_owned(),
    }
}

/// The text with spaces up to `columns`.
pub fn pad(text: &str, columns: usize) -> String {
    let missing = columns.saturating_sub(width(text));
    format!("{text}{:missing$}", "")
}

/// `1 unit`, `3 units`.
pub fn count(n: u64, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

/// `850ms`, `42s`, `2m10s`, `3h05m`, `2d04h`.
pub fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0 => format!("{ms}ms"),
        1..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m{:02}s", seconds % 60),
        3600..86_400 => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

/// `950`, `12.3k`, `4.5M`.
pub fn figure(n: u64) -> String {
    let tenths = |unit: u64| format!("{}.{}", n / unit, n % unit * 10 / unit);
    match n {
        0..1000 => n.to_string(),
        1000..1_000_000 => format!("{}k", tenths(1000)),
        1_000_000..1_000_000_000 => format!("{}M", tenths(1_000_000)),
        _ => format!("{}G", tenths(1_000_000_000)),
    }
}

/// The first digits of a commit id.
pub fn short(commit: &str) -> &str {
    commit.get(..10).unwrap_or(commit)
}

/// What is said, and a command to type: on the same line where both fit, else below.
pub fn with_command(said: &str, command: &str) -> String {
    let line = format!("{said}: {command}");
    if width(&line) <= WIDTH - 2 { line } else { format!("{said}:\n  {command}") }
}

#[cfg(test)]
mod tests {
    #[test]
    fn playbooks_are_called_by_their_files_name() {
        assert_eq!(super::backend("scripted:/tmp/a/play.json"), "scripted:play.json");
        assert_eq!(super::backend("codex"), "codex");
    }

    use super::*;

    #[test]
    fn cutting_counts_columns_not_bytes() {
        assert_eq!(cut("short", 10), "short");
        assert_eq!(cut("a longer title", 8), "a longe…");
        assert_eq!(cut("a longer title", 9), "a longer…");
        assert_eq!(cut("表示幅を測る", 7), "表示幅…");
        assert!(width(&cut("表示幅を測る", 6)) <= 6);
        assert_eq!(cut("anything", 0), "");
        assert_eq!(cut("red \u{1b}[31m alert\u{202e}", 40), "red  alert");
    }

    #[test]
    fn figures_are_short() {
        assert_eq!([0, 850, 42_000, 130_000, 11_100_000, 187_200_000].map(duration), ["0ms", "850ms", "42s", "2m10s", "3h05m", "2d04h"]);
        assert_eq!([0, 999, 1000, 12_345, 4_560_000].map(figure), ["0", "999", "1.0k", "12.3k", "4.5M"]);
        assert_eq!((count(1, "unit"), count(0, "unit")), ("1 unit".to_owned(), "0 units".to_owned()));
    }
}
