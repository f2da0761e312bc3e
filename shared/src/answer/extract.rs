//! Finds JSON objects in prose. Work is bounded whatever the text: each attempt ends at the first error, and lost attempts share one budget.

use serde_json::{Map, Value};

use super::tolerant;
use crate::limits::ANSWER_BYTES_MAX;

/// Bytes that attempts which come to nothing may read together.
const LOST_BYTES_MAX: usize = 32 * ANSWER_BYTES_MAX;
/// Beginnings of lines that are tried from the end once that is used up.
const LAST_TRIES: usize = 64;
const WRAPPERS_MAX: usize = 3;

/// The last object of a text.
pub fn last_object(text: &str) -> Option<Map<String, Value>> {
    objects(text).pop()
}

/// The last object that has one of these keys, also one level inside another (`{"result": {…}}`); else the last object.
pub fn last_object_with(text: &str, keys: &[&str]) -> Option<Map<String, Value>> {
    let mut found = objects(text);
    let at = found.iter().rposition(|object| unwrap(object, keys).is_some());
    match at {
        Some(at) => unwrap(&found[at], keys).cloned(),
        None => found.pop(),
    }
}

fn unwrap<'a>(object: &'a Map<String, Value>, keys: &[&str]) -> Option<&'a Map<String, Value>> {
    let mut level: Vec<&Map<String, Value>> = vec![object];
    for _ in 0..=WRAPPERS_MAX {
        if let Some(hit) = level.iter().find(|object| keys.iter().any(|key| object.contains_key(*key))) {
            return Some(hit);
        }
        level = level.iter().flat_map(|object| object.values()).filter_map(Value::as_object).collect();
    }
    None
}

/// Top-level objects in order. The tail counts where the text is too long.
fn objects(text: &str) -> Vec<Map<String, Value>> {
    let text = tail(text, ANSWER_BYTES_MAX);
    let mut found = Vec::new();
    let mut budget = LOST_BYTES_MAX;
    let mut at = 0;
    while let Some(start) = text[at..].find('{').map(|offset| at + offset) {
        if budget == 0 {
            found.extend(from_the_end(&text[start..]));
            break;
        }
        if !may_begin(&text[start + 1..]) {
            at = start + 1;
            continue;
        }
        match tolerant::parse(&text[start..]) {
            Ok((Value::Object(object), read)) => {
                found.push(object);
                at = start + read;
            }
            Ok(_) => at = start + 1,
            Err(failed) => {
                budget = budget.saturating_sub(failed.read + 1);
                at = start + if failed.too_deep { failed.read } else { 1 };
            }
        }
    }
    found
}

/// An object begins with a key or ends at once; anything else is a brace of prose or code.
fn may_begin(rest: &str) -> bool {
    let next = rest.trim_start().chars().next();
    next.is_some_and(|c| matches!(c, '"' | '}' | '\'' | '/' | '_') || c.is_alphabetic())
}

/// The last object that begins a line: what is looked for in a text that is mostly braces.
fn from_the_end(text: &str) -> Option<Map<String, Value>> {
    let starts = text.rmatch_indices('{').filter(|(at, _)| text[..*at].trim_end_matches([' ', '\t']).ends_with('\n'));
    let mut parsed = starts.take(LAST_TRIES).filter_map(|(at, _)| match tolerant::parse(&text[at..]) {
        Ok((Value::Object(object), _)) => Some(object),
        _ => None,
    });
    parsed.next()
}

/// The last `max` bytes, at a character's boundary.
pub(super) fn tail(text: &str, max: usize) -> &str {
    let mut from = text.len().saturating_sub(max);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    &text[from..]
}
