//! Outside text as it may stand in a file that people print to their terminals: without escape sequences and control characters.

/// The text in one line, runs of white space as one blank.
pub(super) fn one_line(text: &str) -> String {
    without_controls(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The text without escape sequences and without control characters other than white space.
pub(super) fn without_controls(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => match chars.peek() {
                // A colour, a movement: up to its final letter.
                Some('[') => {
                    chars.next();
                    while chars.next_if(|c| matches!(c, ' '..='?')).is_some() {}
                    chars.next_if(|c| matches!(c, '@'..='~'));
                }
                // A title, a link: up to a bell or the sequence that ends it, which must be in the same line.
                Some(']') => while chars.next_if(|c| !matches!(c, '\u{7}' | '\u{1b}' | '\n')).is_some() {},
                _ => {}
            },
            c if c.is_control() && !matches!(c, '\n' | '\t') => {
                // A carriage return parts words.
                if c == '\r' && chars.peek() != Some(&'\n') {
                    out.push(' ');
                }
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_moves_the_cursor() {
        for (text, plain) in [
            ("plain \u{fc}\u{65e5}", "plain \u{fc}\u{65e5}"),
            ("a\u{0}b\u{7}c\u{8}d\u{7f}e\u{9b}f", "abcdef"),
            ("\u{1b}[31mred\u{1b}[0m!", "red!"),
            ("\u{1b}[1;31", ""),
            ("\u{1b}]0;title\u{7}rest\u{1b}]8;;x\u{1b}\\link", "rest\\link"),
            ("\u{1b}cx", "cx"),
            ("one\r\ntwo\rthree\tfour", "one two three four"),
        ] {
            assert_eq!(one_line(text), plain, "{text:?}");
        }
    }
}
