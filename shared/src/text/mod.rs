//! Text from outside (agents, specs, tools) as it may reach a person: cleaned once, at the border where it leaves us. A terminal, a page of ours and a
//! JSON document each have their form; what is stored stays as it came.

mod json;
mod markdown;
mod size;

pub use json::json;
pub use markdown::markdown;
pub use size::{bytes, parse_bytes};

/// Whether a character moves a cursor, changes the direction of what is read, or hides in between: never text a person should see raw. Joiners, which
/// emoji and some scripts need, are none.
pub fn is_harmful(c: char) -> bool {
    let hides =
        matches!(c, '\u{200b}' | '\u{180e}' | '\u{2060}'..='\u{2065}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{206f}');
    let parts = matches!(c, '\u{2028}' | '\u{2029}');
    (c.is_control() && c != '\n' && c != '\t') || hides || turns || parts
}

/// The text without escape sequences and harmful characters. Line breaks and tabs stay.
pub fn plain(text: &str) -> String {
    cleaned(text, false)
}

/// The same in one line, runs of white space as one blank.
pub fn one_line(text: &str) -> String {
    plain(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Finished output for a terminal: like [`plain`], but colours stay. Outside text in it has been cleaned before; this is the last door.
pub fn terminal(text: &str) -> String {
    cleaned(text, true)
}

fn cleaned(text: &str, keeps_colours: bool) -> String {
    if !text.contains(is_harmful) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(is_harmful) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let Some(c) = rest.chars().next() else { break };
        if c == '\u{1b}' {
            let length = sequence(rest);
            if keeps_colours && is_colour(&rest[..length]) {
                out.push_str(&rest[..length]);
            }
            rest = &rest[length..];
            continue;
        }
        rest = &rest[c.len_utf8()..];
        // A carriage return and the separators of lines part words.
        if matches!(c, '\u{2028}' | '\u{2029}') || (c == '\r' && !rest.starts_with('\n')) {
            out.push(' ');
        }
    }
    out.push_str(rest);
    out
}

/// Bytes of the escape sequence a text begins with.
fn sequence(text: &str) -> usize {
    let bytes = text.as_bytes();
    match bytes.get(1) {
        // A colour, a movement: up to its final letter.
        Some(b'[') => {
            let parameters = bytes[2..].iter().take_while(|byte| matches!(byte, b' '..=b'?')).count();
            2 + parameters + usize::from(bytes.get(2 + parameters).is_some_and(|byte| matches!(byte, b'@'..=b'~')))
        }
        // A title, a link, a command: up to a bell or the sequence that ends it, which must be in the same line.
        Some(b']' | b'P' | b'X' | b'^' | b'_') => 2 + bytes[2..].iter().take_while(|byte| !matches!(byte, 0x07 | 0x1b | b'\n')).count(),
        _ => 1,
    }
}

fn is_colour(sequence: &str) -> bool {
    let parameters = sequence.strip_prefix("\u{1b}[").and_then(|rest| rest.strip_suffix('m'));
    parameters.is_some_and(|parameters| parameters.bytes().all(|byte| byte.is_ascii_digit() || byte == b';'))
}

#[cfg(test)]
mod tests;
