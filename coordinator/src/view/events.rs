//! Lines of `events --jsonl`: one transition or agent event each, with `seq`, `at` and `kind`.

use roundtable_core::transition::{Fact, Transition};
use roundtable_shared::AttemptKey;
use roundtable_shared::time::WallMs;
use roundtable_shared::view::EventLine;
use serde_json::{Map, Value, json};

/// Keys every line has; a fact's own field of that name gets `its_` before it.
const COMMON: [&str; 4] = ["seq", "at", "kind", "run"];
/// Texts of the whole spec have no place in a line.
const LEFT_OUT: [&str; 2] = ["spec", "outline"];

/// A transition.
pub fn transition_line(seq: u64, at_ms: u64, transition: &Transition) -> String {
    let mut line = Map::new();
    line.insert("seq".to_owned(), json!(seq));
    line.insert("at".to_owned(), json!(WallMs(at_ms).rfc3339()));
    line.insert("kind".to_owned(), json!(transition.kind()));
    if let Some(run) = &transition.run {
        line.insert("run".to_owned(), json!(run));
    }
    let is_creation = matches!(transition.fact, Fact::RunCreated(_));
    for (key, value) in fields(&transition.fact) {
        if is_creation && LEFT_OUT.contains(&key.as_str()) {
            continue;
        }
        let key = if COMMON.contains(&key.as_str()) { format!("its_{key}") } else { key };
        line.insert(key, value);
    }
    Value::Object(line).to_string()
}

/// A fact's fields, whatever its shape: facts are written as `{kind: fields}`, those without fields as `kind`.
fn fields(fact: &Fact) -> Map<String, Value> {
    match serde_json::to_value(fact) {
        Ok(Value::Object(outer)) => match outer.into_iter().next() {
            Some((_, Value::Object(fields))) => fields,
            Some((_, Value::Null)) | None => Map::new(),
            Some((_, other)) => Map::from_iter([("body".to_owned(), other)]),
        },
        _ => Map::new(),
    }
}

/// An agent event as it lies in its segment, with its time; `None` if the line is none.
pub fn agent_event_line(key: &AttemptKey, seq: u64, bytes: &[u8]) -> Option<(WallMs, String)> {
    let event: EventLine = serde_json::from_slice(bytes).ok()?;
    let Ok(Value::Object(fields)) = serde_json::to_value(&event.event) else { return None };
    let mut line = Map::new();
    line.insert("seq".to_owned(), json!(seq));
    line.insert("at".to_owned(), json!(event.at.rfc3339()));
    line.insert("run".to_owned(), json!(key.run));
    line.insert("unit".to_owned(), json!(key.unit.as_ref().map_or("-", |unit| unit.as_str())));
    line.insert("attempt".to_owned(), json!(key.attempt));
    line.extend(fields);
    Some((event.at, Value::Object(line).to_string()))
}
