//! One detail line by itself: is it a dependency list, a manifest line, a link to requirements, or prose? Resolving what it names is done elsewhere.

use super::checkbox::{self, is_id};
use super::depends::{self, DependencyLine};
use super::lines::strip_bullet;

/// What a detail line says to us, beside what it says to the agent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Detail {
    /// Nothing.
    Prose,
    /// A dependency list.
    Depends(DependencyLine),
    /// `_writes:`, entries as written.
    Writes(Vec<String>),
    /// `_reads:`, entries as written.
    Reads(Vec<String>),
    /// `_requires:`, labels of workers as written.
    Requires(Vec<String>),
    /// Requirement ids.
    Requirements(Vec<String>),
}

const LINKS_MAX: usize = 200;
const BRACES_MAX: usize = 100;
/// What such lines begin with in the languages plans are written in.
const REQUIREMENT_WORDS: [&str; 14] = [
    "requirements",
    "requirement",
    "要件",
    "需求",
    "要求",
    "요구사항",
    "exigences",
    "requisitos",
    "requerimientos",
    "anforderungen",
    "требования",
    "yêu cầu",
    "requisiti",
    "eisen",
];

/// Reads a line outside fences.
pub(super) fn read(line: &str) -> Detail {
    let text = content(line);
    let (open, bare) = open_emphasis(text);
    if let Some(rest) = keyword(bare, &["writes", "write"]) {
        return entries(&open, rest).map_or(Detail::Prose, Detail::Writes);
    }
    if let Some(rest) = keyword(bare, &["reads", "read"]) {
        return entries(&open, rest).map_or(Detail::Prose, Detail::Reads);
    }
    if let Some(list) = depends::read(bare) {
        return Detail::Depends(list);
    }
    match links(bare) {
        Some(ids) if !ids.is_empty() => Detail::Requirements(ids),
        _ => labels(&open, bare).map_or(Detail::Prose, Detail::Requires),
    }
}

/// The line without indentation, bullet or number, and box.
pub(super) fn content(line: &str) -> &str {
    let text = line.trim();
    if let Some(checkbox) = checkbox::parse(text) {
        return checkbox.body;
    }
    if let Some(rest) = strip_bullet(text) {
        return rest.trim();
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let numbered = (1..=4).contains(&digits) && text[digits..].starts_with(". ");
    if numbered { text[digits + 2..].trim() } else { text }
}

/// Splits leading emphasis and backticks off.
fn open_emphasis(text: &str) -> (String, &str) {
    let rest = text.trim_start_matches(['*', '_', '`']);
    (text[..text.len() - rest.len()].to_owned(), rest)
}

/// What follows `keyword:`, with emphasis closed on either side of the colon taken off. ASCII case does not matter.
fn keyword<'a>(text: &'a str, words: &[&str]) -> Option<&'a str> {
    words.iter().find_map(|word| {
        let rest = depends::strip_word(text, word)?.trim_start_matches(['*', '_', '`']).trim_start();
        rest.strip_prefix([':', '：'])
    })
}

/// Entries of a manifest line. A line without any emphasis counts only if every entry looks like a path: `Writes: the audit log` is prose.
fn entries(open: &str, rest: &str) -> Option<Vec<String>> {
    let mut text = rest.trim();
    let closed_early = text.starts_with(['*', '_']) && !open.is_empty() && text.trim_start_matches(['*', '_']).starts_with([' ', '\t']);
    if closed_early {
        text = text.trim_start_matches(['*', '_']).trim();
    } else if !open.is_empty() {
        let close: String = open.chars().rev().collect();
        text = text.strip_suffix(close.as_str()).unwrap_or(text);
        // Half of `**` or a lone `_` at the end closes what opened.
        if open.starts_with('_') {
            text = text.strip_suffix('_').unwrap_or(text);
        }
    }
    let list: Vec<String> = split_entries(text).into_iter().filter_map(entry).flat_map(expand_braces).collect();
    let pathlike = |entry: &String| !entry.contains(char::is_whitespace) && entry.contains(['/', '.', '*', '\\']);
    (!open.is_empty() || list.iter().all(pathlike) && !list.is_empty()).then_some(list)
}

/// Entries of a line of labels. Without emphasis it is prose, and numbers mean tasks or requirements: neither says anything of workers.
fn labels(open: &str, bare: &str) -> Option<Vec<String>> {
    let rest = keyword(bare, &["requires"]).filter(|_| !open.is_empty())?;
    entries(open, rest).filter(|list| !list.iter().any(|entry| entry.starts_with(|c: char| c.is_ascii_digit())))
}

/// Splits at commas outside backticks, braces and brackets.
fn split_entries(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let (mut from, mut quoted, mut depth) = (0, false, 0u32);
    for (at, c) in text.char_indices() {
        match c {
            '`' => quoted = !quoted,
            '{' | '[' => depth += 1,
            '}' | ']' => depth = depth.saturating_sub(1),
            ',' | '，' | '、' | ';' if !quoted && depth == 0 => {
                out.push(&text[from..at]);
                from = at + c.len_utf8();
            }
            _ => {}
        }
    }
    out.push(&text[from..]);
    out
}

/// `src/{a,b}.rs` names two paths. Braces without a comma are part of a name.
fn expand_braces(entry: String) -> Vec<String> {
    let mut done = Vec::new();
    let mut open = vec![entry];
    while let Some(entry) = open.pop() {
        let list = entry
            .find('{')
            .and_then(|from| Some((from, from + entry[from..].find('}')?)))
            .filter(|(from, to)| entry[*from..*to].contains(','));
        match list {
            Some((from, to)) if done.len() + open.len() < BRACES_MAX => {
                let expanded: Vec<String> =
                    entry[from + 1..to].split(',').map(|part| format!("{}{}{}", &entry[..from], part.trim(), &entry[to + 1..])).collect();
                open.extend(expanded.into_iter().rev());
            }
            _ => done.push(entry),
        }
    }
    done
}

/// One entry: out of its backticks or emphasis, without a trailing remark in parentheses. `none` names nothing.
fn entry(text: &str) -> Option<String> {
    let text = text.trim();
    if let Some(rest) = text.strip_prefix('`')
        && let Some(end) = rest.find('`')
    {
        let inner = rest[..end].trim();
        return (!inner.is_empty()).then(|| inner.to_owned());
    }
    let mut text = text;
    for mark in ["**", "\"", "'"] {
        if let Some(inner) = text.strip_prefix(mark).and_then(|inner| inner.strip_suffix(mark))
            && !inner.contains('*')
        {
            text = inner.trim();
        }
    }
    if text.ends_with(')')
        && let Some(at) = text.find(" (")
    {
        text = text[..at].trim();
    }
    let nothing = ["", "-", "–", "—", "none", "n/a", "nothing", "なし", "无", "無"].iter().any(|word| text.eq_ignore_ascii_case(word));
    (!nothing).then(|| text.to_owned())
}

/// `Requirements: 1.1, 2.3`, also behind another word (`Validates: Requirements 1.2`).
fn links(text: &str) -> Option<Vec<String>> {
    let rest = requirement_word(text).or_else(|| {
        let (first, rest) = text.split_once([':', '：'])?;
        (first.chars().count() <= 20 && !first.trim().contains(' ')).then_some(())?;
        requirement_word(rest.trim_start_matches(['*', '_', ' ']))
    })?;
    let listed = rest.trim_start_matches(['*', '_', ' ']);
    let colon = listed.starts_with([':', '：']);
    let mut out: Vec<String> = Vec::new();
    for word in depends::without_remarks(listed).split(|c: char| c.is_whitespace() || ",;、，；&*_`~".contains(c)) {
        let word = word.trim_matches(['.', ':', '：']);
        let ids = expand_link(word);
        // Without a colon only ids may follow: "Requirements of 2019" links to nothing.
        if ids.is_empty() && !colon && !word.is_empty() && word != "and" {
            return None;
        }
        for id in ids {
            if out.len() < LINKS_MAX && !out.contains(&id) {
                out.push(id);
            }
        }
    }
    Some(out)
}

fn requirement_word(text: &str) -> Option<&str> {
    REQUIREMENT_WORDS.iter().find_map(|word| {
        let rest = depends::strip_word(text, word)?;
        (!rest.starts_with(|c: char| c.is_alphabetic())).then_some(rest)
    })
}

/// A requirement id (`1.2`, `7A.3`, `FR-4`, `NFR-1.2`), or a range of criteria (`1.2-1.5`).
fn expand_link(word: &str) -> Vec<String> {
    if let Some((from, to)) = word.split_once(['-', '–'])
        && is_requirement(from)
        && is_requirement(to)
        && let (Some((head, low)), Some((tail, high))) = (split_last(from), split_last(to))
        && (head == tail || tail.is_empty())
        && low <= high
        && high - low < 100
    {
        return (low..=high).map(|n| format!("{head}{n}")).collect();
    }
    if is_requirement(word) { vec![word.to_owned()] } else { Vec::new() }
}

fn split_last(id: &str) -> Option<(&str, u32)> {
    let at = id.rfind('.').map_or(0, |dot| dot + 1);
    Some((&id[..at], id[at..].parse().ok()?))
}

fn is_requirement(word: &str) -> bool {
    let rest = word.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    let rest = if rest.len() < word.len() { rest.strip_prefix('-').unwrap_or(rest) } else { rest };
    let digits_first = rest.starts_with(|c: char| c.is_ascii_digit());
    let tidy = rest.split('.').all(|part| {
        let suffix = part.trim_start_matches(|c: char| c.is_ascii_digit());
        suffix.len() < part.len() && suffix.len() <= 1 && suffix.chars().all(|c| c.is_ascii_alphabetic())
    });
    word.len() <= 32 && digits_first && (is_id(word) || tidy)
}
