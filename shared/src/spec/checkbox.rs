//! One checkbox line or heading by itself: box, mark, id, title. Whether an id counts is decided over the whole plan in `kinds.rs`.

use super::lines::strip_bullet;

/// Longest id that is taken as one: ids become parts of file and ref names.
pub(super) const ID_BYTES_MAX: usize = 96;

/// A checkbox line taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Checkbox<'a> {
    /// What is between the brackets, trimmed.
    pub(super) mark: &'a str,
    /// Byte range between the brackets, in the line.
    pub(super) mark_at: (usize, usize),
    /// `*` or `\*` after the box.
    pub(super) optional: bool,
    /// Everything after box and marker.
    pub(super) body: &'a str,
}

/// How sure it is that the first word is an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// `1.` `1:` `A1.`: with its delimiter.
    Delimited,
    /// `1.2 ` or `P2.1 `: with dots inside.
    Dotted,
    /// `3 ` alone: may be a count.
    Number,
    /// `T01 ` or `S3 `: may be a word.
    Word,
}

/// An id and what follows it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Numbered<'a> {
    pub(super) id: &'a str,
    pub(super) shape: Shape,
    pub(super) rest: &'a str,
}

/// Reads `- [c]`, with any single character or nothing in the box; `None` where the line is no checkbox (a link, for instance).
pub(super) fn parse(line: &str) -> Option<Checkbox<'_>> {
    let start = line.trim_start();
    let after_bullet = strip_bullet(start)?;
    let inside = after_bullet.strip_prefix('[')?;
    let close = inside.find(']')?;
    let mark = inside[..close].trim();
    if mark.chars().count() > 1 || close > 8 {
        return None;
    }
    let from = line.len() - inside.len();
    let rest = &inside[close + 1..];
    let (optional, body) = strip_optional(rest);
    let spaced = optional || rest.is_empty() || rest.starts_with([' ', '\t']) || rest.starts_with(|c: char| c.is_ascii_digit());
    spaced.then_some(Checkbox { mark, mark_at: (from, from + close), optional, body: body.trim() })
}

/// Whether a mark is one that plans use: open, done, in progress or queued.
pub(super) fn known_mark(mark: &str) -> bool {
    matches!(mark, "" | "x" | "X" | "-" | "~")
}

/// A line that was surely meant as a task and is no checkbox: no space after the bullet, a number as bullet, or none (`-[ ] 2. A`, `1. [ ] 2. A`, `[ ] 2. A`).
pub(super) fn is_misspelt(line: &str) -> bool {
    let text = line.trim_start();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let after = match text.get(digits..).and_then(|rest| rest.strip_prefix(['.', ')'])) {
        Some(rest) if (1..=4).contains(&digits) => rest,
        _ => text.strip_prefix(['-', '*', '+', '•', '–', '—']).unwrap_or(text),
    };
    let Some((mark, rest)) = after.trim_start().strip_prefix('[').and_then(|inside| inside.split_once(']')) else { return false };
    let known = matches!(mark, "" | " " | "x" | "X" | "-" | "~");
    // `[x](link)`, `[x]: link`
    if !known || rest.starts_with(['(', '[', ':']) {
        return false;
    }
    let (_, body) = strip_optional(rest);
    let body = body.trim();
    let certain = numbered(body).is_some();
    certain || (text.len() == line.len() && matches!(mark, " " | "x" | "X") && rest.starts_with(' ') && !body.is_empty())
}

fn strip_optional(rest: &str) -> (bool, &str) {
    for marker in ["\\*", "*"] {
        if let Some(after) = rest.strip_prefix(marker)
            && !after.starts_with(['*', '\\'])
        {
            return (true, after);
        }
    }
    let spaced = rest.trim_start();
    for marker in ["\\* ", "* ", "\\*\t", "*\t"] {
        if let Some(after) = spaced.strip_prefix(marker) {
            return (true, after);
        }
    }
    (false, rest)
}

/// Splits an id off the beginning of a checkbox's body. Emphasis around it is allowed: `**1.1** Title`, `**1.1 Title**`.
pub(super) fn numbered(body: &str) -> Option<Numbered<'_>> {
    let text = body.trim_start_matches("**").trim_start_matches("__");
    let len = id_len(text)?;
    let (id, rest) = text.split_at(len);
    let dotted = id.contains('.');
    let letters = id.starts_with(|c: char| c.is_ascii_alphabetic());
    let plain = rest.trim_start_matches("**").trim_start_matches("__");
    let mut chars = plain.chars();
    let shape = match chars.next() {
        None => bare(dotted, letters),
        Some('.') => {
            let next = chars.clone().next();
            let sticks = next.is_some_and(|c| c.is_ascii_digit() || (letters && c.is_ascii_lowercase()));
            if sticks {
                return None;
            }
            Shape::Delimited
        }
        Some(':' | '：' | ')' | '）' | '、' | '．') => Shape::Delimited,
        Some(c) if c.is_whitespace() => {
            chars = plain.chars();
            bare(dotted, letters)
        }
        Some(_) => return None,
    };
    // `3D rendering` is no task 3D.
    if shape == Shape::Number && id.ends_with(|c: char| c.is_ascii_uppercase()) {
        return None;
    }
    Some(Numbered { id, shape, rest: chars.as_str() })
}

fn bare(dotted: bool, letters: bool) -> Shape {
    match (dotted, letters) {
        (true, _) => Shape::Dotted,
        (false, true) => Shape::Word,
        (false, false) => Shape::Number,
    }
}

/// Length of `[A-Z]{0,4} number letter? (. number letter?)*` at the beginning.
pub(super) fn id_len(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let letters = bytes.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
    if letters > 4 {
        return None;
    }
    let mut end = component(bytes, letters)?;
    while end < bytes.len() && bytes[end] == b'.' {
        match component(bytes, end + 1) {
            Some(next) => end = next,
            None => break,
        }
    }
    let sticks = bytes.get(end).is_some_and(|byte| byte.is_ascii_alphanumeric());
    (!sticks && end <= ID_BYTES_MAX).then_some(end)
}

fn component(bytes: &[u8], from: usize) -> Option<usize> {
    let digits = bytes.get(from..)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 {
        return None;
    }
    let mut end = from + digits;
    let suffix = bytes.get(end).is_some_and(u8::is_ascii_alphabetic) && !bytes.get(end + 1).is_some_and(u8::is_ascii_alphanumeric);
    if suffix {
        end += 1;
    }
    Some(end)
}

/// Whether the whole text is an id.
pub fn is_id(text: &str) -> bool {
    id_len(text) == Some(text.len())
}

/// Title of a task: what follows the id, without `(P)`, emphasis and joining marks. Says whether `(P)` was there.
pub(super) fn title(rest: &str) -> (String, bool) {
    let mut text = rest.trim();
    let mut parallel = false;
    loop {
        let before = text;
        for mark in ["(P)", "[P]"] {
            if let Some(after) = text.strip_prefix(mark) {
                parallel = true;
                text = after.trim_start();
            }
        }
        for joint in [": ", "- ", "– ", "— "] {
            text = text.strip_prefix(joint).map_or(text, str::trim_start);
        }
        if text == before {
            break;
        }
    }
    (unwrap_emphasis(text), parallel)
}

/// Drops one `**` pair that begins before the id or at the title, and collapses what comments left.
fn unwrap_emphasis(text: &str) -> String {
    let text = text.trim();
    for marker in ["**", "__"] {
        if let Some(inner) = text.strip_prefix(marker)
            && inner.matches(marker).count() == 1
        {
            return inner.replacen(marker, "", 1).trim().to_owned();
        }
        // The opening half stood before the id.
        if text.matches(marker).count() == 1 {
            return text.replacen(marker, "", 1).trim().to_owned();
        }
    }
    text.to_owned()
}

/// A heading: level and text without the `#`s.
pub(super) fn heading(line: &str) -> Option<(usize, &str)> {
    let text = line.trim_start_matches(' ');
    if line.len() - text.len() > 3 {
        return None;
    }
    let level = text.bytes().take_while(|byte| *byte == b'#').count();
    let rest = &text[level..];
    if level == 0 || level > 6 || !(rest.is_empty() || rest.starts_with([' ', '\t'])) {
        return None;
    }
    let rest = rest.trim();
    let closed = rest.trim_end_matches('#');
    let text = if closed.is_empty() || closed.ends_with([' ', '\t']) { closed.trim_end() } else { rest };
    Some((level, text))
}

/// `1. Core`, `Task 1: Core`, `Phase 2 - Core`: the number of a heading and the title after it. At most three words may come before.
pub(super) fn heading_number(text: &str) -> Option<(&str, String)> {
    let mut rest = text.trim_start_matches(['*', '_', ' ']);
    for _ in 0..4 {
        // A number may stick to a word of a script without spaces.
        let glued = rest.trim_start_matches(|c: char| c.is_alphabetic() && !c.is_ascii());
        let start = if glued.starts_with(|c: char| c.is_ascii_digit()) { glued } else { rest };
        if let Some(len) = id_len(start) {
            let after = &start[len..];
            let trimmed = after.trim_start_matches(['.', ':', '：', ')', '）', '、', '．', ' ', '\t', '*', '_']);
            let (title, _) = title(trimmed);
            return Some((&start[..len], if title.is_empty() { text.to_owned() } else { title }));
        }
        let (word, after) = rest.split_once([' ', '\t'])?;
        if word.contains(|c: char| c.is_ascii_digit()) {
            return None;
        }
        rest = after.trim_start();
    }
    None
}

/// `---`, `***`, `___`: a rule, which says nothing.
pub(super) fn is_rule(line: &str) -> bool {
    let mut marks = line.chars().filter(|c| !c.is_whitespace());
    let Some(first) = marks.next() else { return false };
    matches!(first, '-' | '*' | '_') && marks.clone().count() >= 2 && marks.all(|c| c == first)
}
