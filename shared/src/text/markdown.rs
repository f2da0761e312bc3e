//! Outside text inside a line of a Markdown page: no element, comment, image or link comes of it.

use super::one_line;

/// The text in one line, as words: `<` that would begin an element or comment, and what would make a link or image, are escaped; code in backticks stays
/// as it is. Idempotent.
pub fn markdown(text: &str) -> String {
    let text = one_line(text);
    let mut out = String::with_capacity(text.len() + 8);
    let mut rest = text.as_str();
    while let Some(c) = rest.chars().next() {
        let length = match c {
            '`' => code(rest),
            // What is escaped already.
            '\\' => 1 + rest[1..].chars().next().filter(char::is_ascii_punctuation).map_or(0, char::len_utf8),
            _ => c.len_utf8(),
        };
        let (piece, after) = rest.split_at(length);
        let begins_element = piece == "<" && after.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!' | '?'));
        if begins_element {
            out.push('\\');
        }
        out.push_str(piece);
        if (piece == "!" && after.starts_with('[')) || (piece == "]" && after.starts_with(['(', '[', ':'])) {
            out.push('\\');
        }
        rest = after;
    }
    out
}

/// Bytes of the code span a text begins with; where it does not end, of its backticks.
fn code(text: &str) -> usize {
    let ticks = text.bytes().take_while(|byte| *byte == b'`').count();
    let mut at = ticks;
    while let Some(found) = text[at..].find('`') {
        let run = text[at + found..].bytes().take_while(|byte| *byte == b'`').count();
        at += found + run;
        if run == ticks {
            return at;
        }
    }
    ticks
}
