//! Reads fields of an answer's object as whatever type they came in. Missing, null and empty are the same where a field may be absent.

use serde_json::{Map, Value};

use super::AnswerError;
use super::extract::{last_object_with, tail};
use crate::ids::TaskId;

pub(super) type Object = Map<String, Value>;

const TEXT_CHARS_MAX: usize = 64 << 10;
const LIST_MAX: usize = 100_000;
const SHOWN_CHARS_MAX: usize = 80;
/// More tests than any suite has.
const COUNT_MAX: u64 = 100_000_000;

/// The object of an answer, or what was missing.
pub(super) fn object(text: &str, keys: &[&str]) -> Result<Object, AnswerError> {
    last_object_with(text, keys).ok_or_else(|| AnswerError::NoObject {
        expected: keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", "),
        tail: shorten(tail(text.trim(), SHOWN_CHARS_MAX)),
    })
}

/// The first of several spellings of a key that is there and not null.
pub(super) fn get<'a>(object: &'a Object, keys: &[&str]) -> Option<&'a Value> {
    keys.iter().filter_map(|key| object.get(*key)).find(|value| !value.is_null())
}

/// Text; numbers and truth values as they print, lists joined by line breaks.
pub(super) fn text(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        Value::Array(items) => items.iter().filter_map(text).collect::<Vec<_>>().join("\n"),
        Value::Object(_) => value.to_string(),
        Value::Null => String::new(),
    };
    (!text.is_empty()).then(|| text.chars().take(TEXT_CHARS_MAX).collect())
}

/// Text of a key, `None` where it says nothing (`none`, `null` and `n/a` included if `words` is false).
pub(super) fn field(object: &Object, keys: &[&str]) -> Option<String> {
    get(object, keys).and_then(text)
}

/// Like [`field`], but the words by which people say "nothing" are nothing.
pub(super) fn meaningful(object: &Object, keys: &[&str]) -> Option<String> {
    field(object, keys).filter(|text| says_something(text))
}

/// Whether a text is none of the words by which people say "nothing".
pub(super) fn says_something(text: &str) -> bool {
    !["none", "null", "n/a", "-", "nil"].iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// The beginning of a text, without the blank at which it may have been cut.
pub(super) fn cut(text: &str, chars_max: usize) -> String {
    text.chars().take(chars_max).collect::<String>().trim_end().to_owned()
}

/// A list; a lone value is a list of one, a text with commas one of several.
pub(super) fn list(object: &Object, keys: &[&str]) -> Vec<Value> {
    match get(object, keys) {
        None => Vec::new(),
        Some(Value::Array(items)) => items.iter().filter(|item| !item.is_null()).take(LIST_MAX).cloned().collect(),
        Some(Value::String(text)) => {
            text.split([',', '\n']).map(str::trim).filter(|part| !part.is_empty()).map(|part| Value::String(part.to_owned())).collect()
        }
        Some(other) => vec![other.clone()],
    }
}

/// A list of texts.
pub(super) fn texts(object: &Object, keys: &[&str]) -> Vec<String> {
    list(object, keys).iter().filter_map(text).collect()
}

/// A task id, out of `task 2.1.` or `{"id": "2.1"}`.
pub(super) fn task_id(value: &Value) -> Option<TaskId> {
    let text = match value {
        Value::Object(object) => field(object, &["id", "task_id", "subtask", "subtask_id"])?,
        other => text(other)?,
    };
    let word = text.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    let word = ["subtask ", "Subtask ", "task ", "Task "].iter().find_map(|prefix| word.strip_prefix(prefix)).unwrap_or(word);
    let id = word.split_whitespace().next()?.trim_end_matches([':', '.', ',']);
    (!id.is_empty() && id.len() <= 128).then(|| TaskId::new(id))
}

/// The id of a finding, out of `[review-2-1.1]` or the like.
pub(super) fn finding_id(value: &Value) -> Option<String> {
    let text = text(value)?;
    let id = text.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    (!id.is_empty() && id.len() <= 128 && !id.contains(char::is_whitespace) && !["null", "none"].contains(&id)).then(|| id.to_owned())
}

/// A count, also out of text such as `12 passed`; one that cannot be true is none.
pub(super) fn count(value: &Value) -> Option<u64> {
    raw_count(value).filter(|count| *count <= COUNT_MAX)
}

fn raw_count(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64().or_else(|| number.as_f64().filter(|n| *n >= 0.0).map(|n| n as u64)),
        Value::String(text) => {
            let digits: String = text.trim().chars().take_while(char::is_ascii_digit).collect();
            digits.parse().ok()
        }
        Value::Array(items) => Some(items.len() as u64),
        _ => None,
    }
}

/// For messages: one line, short.
pub(super) fn shorten(text: &str) -> String {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= SHOWN_CHARS_MAX { line } else { line.chars().take(SHOWN_CHARS_MAX - 1).chain(['…']).collect() }
}

/// A value, for messages.
pub(super) fn shown(value: &Value) -> String {
    format!("`{}`", shorten(&value.to_string()))
}
