//! Text of agents made fit to keep: bounded, valid UTF-8, without terminal escapes.

use std::borrow::Cow;

/// `text` with its middle left out if it is longer than `bytes_max`; says how much is missing.
pub(super) fn elide(text: &str, bytes_max: usize) -> Cow<'_, str> {
    if text.len() <= bytes_max {
        return Cow::Borrowed(text);
    }
    let half = bytes_max / 2;
    let head = &text[..floor_boundary(text, half)];
    let tail = &text[ceil_boundary(text, text.len() - half)..];
    Cow::Owned(format!("{head}\n… {} bytes left out …\n{tail}", text.len() - head.len() - tail.len()))
}

/// The greatest character boundary at or below `at`.
pub(super) fn floor_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// The least character boundary at or above `at`.
pub(super) fn ceil_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at += 1;
    }
    at
}

/// Without ANSI escape sequences and other control characters (tabs and newlines stay).
pub(super) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            match chars.peek() {
                Some('[') => {
                    chars.next();
                    // Parameters, then one final byte in `@`..`~`.
                    while let Some(&c) = chars.peek() {
                        chars.next();
                        if ('@'..='~').contains(&c) {
                            break;
                        }
                    }
                }
                Some(']') => {
                    while let Some(c) = chars.next() {
                        if c == '\u{7}' || (c == '\u{1b}' && chars.next_if_eq(&'\\').is_some()) {
                            break;
                        }
                    }
                }
                _ => {
                    chars.next();
                }
            }
        } else if !c.is_control() || c == '\n' || c == '\t' {
            out.push(c);
        }
    }
    out
}

/// Text that grows at its end and keeps only its last `bytes_max`.
#[derive(Debug)]
pub(super) struct Tail {
    text: String,
    bytes_max: usize,
}

impl Tail {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { text: String::new(), bytes_max }
    }

    pub(super) fn push(&mut self, piece: &str) {
        let piece = &piece[ceil_boundary(piece, piece.len().saturating_sub(self.bytes_max))..];
        self.text.push_str(piece);
        // Cut only when twice too long, so that pushing stays linear.
        if self.text.len() > self.bytes_max * 2 {
            self.trim();
        }
    }

    pub(super) fn push_line(&mut self, line: &str) {
        if !self.text.is_empty() {
            self.push("\n");
        }
        self.push(line);
    }

    pub(super) fn clear(&mut self) {
        self.text.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text[ceil_boundary(&self.text, self.text.len().saturating_sub(self.bytes_max))..]
    }

    pub(super) fn into_string(mut self) -> String {
        self.trim();
        self.text
    }

    fn trim(&mut self) {
        let cut = ceil_boundary(&self.text, self.text.len().saturating_sub(self.bytes_max));
        self.text.drain(..cut);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elide_keeps_both_ends_and_characters_whole() {
        assert_eq!(elide("short", 10), "short");
        let long = "é".repeat(100);
        let cut = elide(&long, 21);
        assert!(cut.starts_with("ééééé\n… 180 bytes left out …\n"), "{cut}");
        assert!(cut.ends_with("ééééé"));
    }

    #[test]
    fn plain_drops_colours_links_and_bells() {
        assert_eq!(
            plain("\u{1b}[91m\u{1b}[1mError: \u{1b}[0mno\r\n\u{7}\u{1b}]8;;http://x\u{1b}\\link\u{1b}]8;;\u{7}."),
            "Error: no\nlink."
        );
        assert_eq!(plain("\u{1b}[38;5"), "");
    }

    #[test]
    fn tail_keeps_the_end() {
        let mut tail = Tail::new(8);
        for n in 0..100 {
            tail.push_line(&format!("é{n}"));
            assert!(tail.text.len() <= 24);
        }
        assert_eq!(tail.as_str(), "98\né99");
        tail.push(&"x".repeat(50));
        assert_eq!(tail.into_string(), "xxxxxxxx");
    }
}
