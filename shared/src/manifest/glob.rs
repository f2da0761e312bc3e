//! Globs: `*`, `?`, `[..]` within a segment, `**` across segments. Compiles, matches and intersects them; does not know of sets or manifests.

use super::product::{self, Step};

/// One path segment of a glob.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Segment {
    /// Exactly this name.
    Literal(String),
    /// A name that matches.
    Wild(Vec<Token>),
    /// Any number of segments, none included (`**`).
    Deep,
}

/// One element of a segment with wildcards.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Token {
    /// This character.
    Char(char),
    /// `?`: any one character.
    Any,
    /// `[..]`: one of these ranges, sorted and disjoint.
    Class(Vec<(char, char)>),
    /// `*`: any number of characters.
    Star,
}

/// Whether an entry has a wildcard at all. A `[` without its `]` is an ordinary character.
pub(super) fn is_glob(entry: &str) -> bool {
    entry.contains(['*', '?']) || entry.split('/').any(has_class)
}

/// Whether the entry's only wildcards are classes, so that it may also be meant as it stands (`app/[slug]/page.tsx`).
pub(super) fn may_be_literal(entry: &str) -> bool {
    !entry.contains(['*', '?'])
}

fn has_class(segment: &str) -> bool {
    if !segment.contains('[') {
        return false;
    }
    let chars: Vec<char> = segment.chars().collect();
    (0..chars.len()).any(|at| chars[at] == '[' && parse_class(&chars, at).is_some())
}

/// Compiles a normalised glob. A trailing `/` stands for everything below, a trailing `**` for at least one segment.
pub(super) fn compile(entry: &str) -> Vec<Segment> {
    let directory = entry.ends_with('/');
    let mut segments: Vec<Segment> = Vec::new();
    for text in entry.split('/').filter(|text| !text.is_empty()) {
        if text == "**" {
            if segments.last() != Some(&Segment::Deep) {
                segments.push(Segment::Deep);
            }
        } else if text.contains(['*', '?']) || has_class(text) {
            segments.push(Segment::Wild(tokens(text)));
        } else {
            segments.push(Segment::Literal(text.to_owned()));
        }
    }
    if segments.last() == Some(&Segment::Deep) {
        segments.insert(segments.len() - 1, Segment::Wild(vec![Token::Star]));
    } else if directory {
        segments.push(Segment::Deep);
    }
    segments
}

/// A plain path, with everything below it if it is a folder.
pub(super) fn compile_plain(path: &str, folder: bool) -> Vec<Segment> {
    let names = path.split('/').filter(|text| !text.is_empty()).map(|text| Segment::Literal(text.to_owned()));
    names.chain(folder.then_some(Segment::Deep)).collect()
}

fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let mut out: Vec<Token> = Vec::with_capacity(chars.len());
    let mut at = 0;
    while at < chars.len() {
        let token = match chars[at] {
            '*' => Token::Star,
            '?' => Token::Any,
            '[' => match parse_class(&chars, at) {
                Some((class, next)) => {
                    at = next;
                    out.push(Token::Class(class));
                    continue;
                }
                None => Token::Char('['),
            },
            other => Token::Char(other),
        };
        at += 1;
        if token != Token::Star || out.last() != Some(&Token::Star) {
            out.push(token);
        }
    }
    out
}

/// Reads `[abc]`, `[a-z]`, `[!a]`, `[^a]` at `at`; a `]` right after the opening is a member. `None` if it never closes or is empty.
fn parse_class(chars: &[char], at: usize) -> Option<(Vec<(char, char)>, usize)> {
    let mut next = at + 1;
    let negated = matches!(chars.get(next), Some('!' | '^'));
    if negated {
        next += 1;
    }
    let first = next;
    let mut ranges = Vec::new();
    loop {
        let low = *chars.get(next)?;
        if low == ']' && next > first {
            break;
        }
        let range_end = chars.get(next + 2).filter(|end| chars[next + 1] == '-' && **end != ']');
        match range_end {
            Some(&high) => {
                if low <= high {
                    ranges.push((low, high));
                }
                next += 3;
            }
            None => {
                ranges.push((low, low));
                next += 1;
            }
        }
    }
    let merged = merge(ranges);
    let set = if negated { complement(&merged) } else { merged };
    (!set.is_empty()).then_some((set, next + 1))
}

fn merge(mut ranges: Vec<(char, char)>) -> Vec<(char, char)> {
    ranges.sort_unstable();
    let mut out: Vec<(char, char)> = Vec::with_capacity(ranges.len());
    for (low, high) in ranges {
        match out.last_mut() {
            Some(last) if low <= last.1 => last.1 = last.1.max(high),
            _ => out.push((low, high)),
        }
    }
    out
}

fn complement(ranges: &[(char, char)]) -> Vec<(char, char)> {
    let mut out = Vec::new();
    let mut low = Some('\u{1}');
    for &(from, to) in ranges {
        if let Some(start) = low
            && start < from
            && let Some(end) = before(from)
        {
            out.push((start, end));
        }
        low = after(to).map(|next| next.max(low.unwrap_or(next)));
        if low.is_none() {
            return out;
        }
    }
    if let Some(start) = low {
        out.push((start, char::MAX));
    }
    out
}

fn before(c: char) -> Option<char> {
    if c == '\u{e000}' { Some('\u{d7ff}') } else { char::from_u32((c as u32).checked_sub(1)?) }
}

fn after(c: char) -> Option<char> {
    if c == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(c as u32 + 1) }
}

fn in_class(class: &[(char, char)], c: char) -> bool {
    class.iter().any(|&(low, high)| low <= c && c <= high)
}

fn accepts(token: &Token, c: char) -> bool {
    match token {
        Token::Char(own) => *own == c,
        Token::Any => true,
        Token::Class(class) => in_class(class, c),
        Token::Star => false,
    }
}

fn is_star(token: &Token) -> bool {
    *token == Token::Star
}

/// A character both tokens accept.
fn meet(left: &Token, right: &Token) -> Option<char> {
    match (left, right) {
        (Token::Char(c), other) | (other, Token::Char(c)) => accepts(other, *c).then_some(*c),
        (Token::Class(a), Token::Class(b)) => a
            .iter()
            .flat_map(|&(low, high)| b.iter().map(move |&(from, to)| (low.max(from), high.min(to))))
            .filter(|(low, high)| low <= high)
            .map(|(low, high)| pleasant(low, high))
            .next(),
        (Token::Class(class), _) | (_, Token::Class(class)) => class.first().map(|&(low, high)| pleasant(low, high)),
        _ => Some('x'),
    }
}

/// A character of a range that a person can read.
fn pleasant(low: char, high: char) -> char {
    ('a'..='z').chain('0'..='9').find(|c| low <= *c && *c <= high).unwrap_or(low)
}

fn sample(token: &Token) -> char {
    meet(token, &Token::Any).unwrap_or('x')
}

fn is_deep(segment: &Segment) -> bool {
    *segment == Segment::Deep
}

fn segment_matches(segment: &Segment, name: &str) -> bool {
    match segment {
        Segment::Literal(own) => own == name,
        Segment::Wild(tokens) => {
            let chars: Vec<char> = name.chars().collect();
            product::matches(tokens, &chars, is_star, accepts)
        }
        Segment::Deep => false,
    }
}

/// Whether a normalised path matches.
pub(super) fn matches(segments: &[Segment], path: &str) -> bool {
    let names: Vec<&str> = path.split('/').collect();
    product::matches(segments, &names, is_deep, segment_matches)
}

/// A name both segments match.
fn segment_meet(left: &Segment, right: &Segment) -> Option<String> {
    match (left, right) {
        (Segment::Literal(a), other) | (other, Segment::Literal(a)) => segment_matches(other, a).then(|| a.clone()),
        (Segment::Wild(a), Segment::Wild(b)) => {
            let steps = product::intersect(a, b, is_star, |x, y| meet(x, y).is_some())?;
            let name: String = steps
                .into_iter()
                .filter_map(|step| match step {
                    Step::Left(i) => Some(sample(&a[i])),
                    Step::Right(j) => Some(sample(&b[j])),
                    Step::Both(i, j) => meet(&a[i], &b[j]),
                })
                .collect();
            Some(if name.is_empty() { "x".to_owned() } else { name })
        }
        _ => None,
    }
}

fn segment_sample(segment: &Segment) -> String {
    match segment {
        Segment::Literal(name) => name.clone(),
        Segment::Wild(tokens) => {
            let name: String = tokens.iter().filter(|token| !is_star(token)).map(sample).collect();
            if name.is_empty() { "x".to_owned() } else { name }
        }
        Segment::Deep => "x".to_owned(),
    }
}

/// Whether some path matches both.
pub(super) fn meets(left: &[Segment], right: &[Segment]) -> bool {
    product::intersect(left, right, is_deep, |a, b| segment_meet(a, b).is_some()).is_some()
}

/// Some path that matches both.
pub(super) fn common_path(left: &[Segment], right: &[Segment]) -> Option<String> {
    let steps = product::intersect(left, right, is_deep, |a, b| segment_meet(a, b).is_some())?;
    let names: Vec<String> = steps
        .into_iter()
        .filter_map(|step| match step {
            Step::Left(i) => Some(segment_sample(&left[i])),
            Step::Right(j) => Some(segment_sample(&right[j])),
            Step::Both(i, j) => segment_meet(&left[i], &right[j]),
        })
        .collect();
    Some(names.join("/"))
}
