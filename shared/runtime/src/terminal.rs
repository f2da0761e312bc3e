//! Text for people at a terminal: tame, within so many columns, and words that a shell takes as they stand.

use roundtable_shared::text::plain;
use unicode_width::UnicodeWidthStr;

/// Columns human output keeps to.
pub const WIDTH: usize = 80;

/// Columns a text takes.
pub fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// The text as one line of a terminal: titles and errors come from files and agents, and must not drive it.
pub fn tame(text: &str) -> String {
    plain(text).replace(['\n', '\t'], " ")
}

/// Lines of at most `columns`, broken at spaces; what stands in backticks stays in one piece, and so does a word longer than a line.
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.trim_end().lines() {
        let mut line = String::new();
        for word in words(&tame(paragraph)) {
            if line.is_empty() {
                line = word;
            } else if width(&line) + 1 + width(&word) <= columns {
                line.push(' ');
                line.push_str(&word);
            } else {
                lines.push(std::mem::replace(&mut line, word));
            }
        }
        lines.push(line);
    }
    if lines.is_empty() {
        lines.push(String::new());
    }
    lines
}

/// The text in lines that fit a terminal; all but the first are indented by as many columns. Paragraphs stay apart.
pub fn hanging(text: &str, indent: usize) -> String {
    wrap(text, WIDTH - indent).join(&format!("\n{:indent$}", ""))
}

fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut open = false;
    for word in text.split_whitespace() {
        match words.last_mut() {
            Some(last) if open => {
                last.push(' ');
                last.push_str(word);
            }
            _ => words.push(word.to_owned()),
        }
        if word.matches('`').count() % 2 == 1 {
            open = !open;
        }
    }
    words
}

/// A word for the shell: as it is where that is safe, else in single quotes.
pub fn shell_word(word: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "_-./:=,@%+~".contains(c);
    if !word.is_empty() && word.chars().all(safe) && !word.starts_with('~') {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapping_keeps_commands_whole() {
        let lines = wrap("fix it, then `orchctl decide human-fallback-3 resume` and wait", 24);
        assert_eq!(lines, ["fix it, then", "`orchctl decide human-fallback-3 resume`", "and wait"]);
        assert_eq!(wrap("", 10), [""]);
        assert_eq!(wrap("two\nparagraphs", 40), ["two", "paragraphs"]);
    }

    #[test]
    fn lines_below_the_first_hang() {
        let text = hanging(&format!("{} end", "word ".repeat(20)), 4);
        assert!(text.lines().count() == 2 && text.lines().nth(1).is_some_and(|line| line.starts_with("    word")), "{text}");
        assert!(text.lines().all(|line| width(line) <= WIDTH));
    }

    #[test]
    fn shell_words_are_quoted_where_needed() {
        assert_eq!(shell_word(".specs/my-feature"), ".specs/my-feature");
        assert_eq!(shell_word("my specs"), "'my specs'");
        assert_eq!(shell_word("it's"), r"'it'\''s'");
        assert_eq!(shell_word(""), "''");
        assert_eq!(shell_word("~x"), "'~x'");
    }
}
