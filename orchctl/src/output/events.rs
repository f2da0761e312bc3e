//! `events` and `logs`: the lines of a watch, for people. With `--jsonl` they are printed as they come.

use roundtable_shared::time::WallMs;
use serde_json::{Map, Value};

use super::paint::{Paint, Style};
use super::progress::clock;
use super::text::{WIDTH, cut, tame, wrap};

/// Lines shown of a command's output.
const OUTPUT_LINES_MAX: usize = 12;

/// Turns lines into text, with a heading whenever another attempt speaks.
#[derive(Debug, Default)]
pub struct EventPrinter {
    speaker: String,
}

impl EventPrinter {
    /// The text of one JSON line; empty for what says nothing to a person.
    pub fn line(&mut self, line: &[u8], paint: Paint) -> String {
        let Ok(Value::Object(fields)) = serde_json::from_slice::<Value>(line) else {
            return format!("{}\n", cut(&String::from_utf8_lossy(line), WIDTH));
        };
        let body = agent_event(&fields, paint).unwrap_or_else(|| Some(transition(&fields)));
        let Some(body) = body.filter(|body| !body.is_empty()) else {
            return String::new();
        };
        let mut text = String::new();
        let speaker = speaker(&fields);
        if !speaker.is_empty() && speaker != self.speaker {
            text.push_str(&format!("{}\n", paint.style(Style::Strong, &format!("── {speaker}"))));
            self.speaker = speaker;
        }
        let time = paint.style(Style::Dim, &at(&fields));
        for (n, line) in body.lines().enumerate() {
            let margin = if n == 0 { time.clone() } else { " ".repeat(9) };
            text.push_str(format!("{margin}  {line}").trim_end());
            text.push('\n');
        }
        text
    }
}

fn text_of<'a>(fields: &'a Map<String, Value>, key: &str) -> &'a str {
    fields.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// `unit 3, attempt 2`
fn speaker(fields: &Map<String, Value>) -> String {
    let attempt = fields.get("attempt").and_then(Value::as_u64);
    match (text_of(fields, "unit"), attempt) {
        ("", None) => String::new(),
        ("" | "-", Some(attempt)) => format!("the run itself, attempt {attempt}"),
        (unit, None) => format!("unit {unit}"),
        (unit, Some(attempt)) => format!("unit {unit}, attempt {attempt}"),
    }
}

fn at(fields: &Map<String, Value>) -> String {
    let wall = match fields.get("at") {
        Some(Value::Number(ms)) => ms.as_u64().map(WallMs),
        Some(Value::String(text)) => WallMs::parse_rfc3339(text),
        _ => None,
    };
    wall.map_or_else(|| " ".repeat(9), clock)
}

/// The text of an agent event; `None` if it is none.
fn agent_event(fields: &Map<String, Value>, paint: Paint) -> Option<Option<String>> {
    let columns = WIDTH - 11;
    let wrapped = |text: &str, style: Style| {
        let lines: Vec<String> = wrap(text, columns).iter().map(|line| paint.style(style, line)).collect();
        Some(lines.join("\n"))
    };
    let text = text_of(fields, "text");
    Some(match text_of(fields, "kind") {
        "message" => wrapped(&answer(text).unwrap_or_else(|| text.to_owned()), Style::Plain),
        "reasoning" => wrapped(text, Style::Dim),
        "warning" => wrapped(&format!("warning: {text}"), Style::Warning),
        "exec" => exec(fields, paint),
        "file_change" => {
            let paths: Vec<&str> = fields
                .get("paths")
                .and_then(Value::as_array)
                .map(|paths| paths.iter().filter_map(Value::as_str).collect())
                .unwrap_or_default();
            let failed = fields.get("ok") == Some(&Value::Bool(false));
            wrapped(
                &format!("{} {}", if failed { "could not change" } else { "changed" }, paths.join(", ")),
                if failed { Style::Warning } else { Style::Good },
            )
        }
        "subtask" => wrapped(&format!("subtask {} {}", text_of(fields, "id"), text_of(fields, "status")), Style::Good),
        "raw" => wrapped(&format!("{}: {text}", text_of(fields, "stream")), Style::Dim),
        "elided" => match fields.get("bytes").and_then(Value::as_u64) {
            // Of an event that only a later release knows nobody knows the size.
            None | Some(0) => wrapped("… output was not kept …", Style::Dim),
            Some(bytes) => wrapped(&format!("… {bytes} bytes were not kept …"), Style::Dim),
        },
        "usage" => None,
        "started" if !fields.contains_key("body") => wrapped("the agent started", Style::Dim),
        "completed" if !fields.contains_key("body") => wrapped("the agent ended its turn", Style::Dim),
        "failed" if fields.contains_key("message") => wrapped(&format!("failed: {}", text_of(fields, "message")), Style::Problem),
        _ => return None,
    })
}

/// An answer in JSON as a person reads it: a line per field that says something.
fn answer(text: &str) -> Option<String> {
    let Ok(Value::Object(fields)) = serde_json::from_str::<Value>(text) else { return None };
    let lines: Vec<String> = fields
        .iter()
        .map(|(key, value)| (key, said(value)))
        .filter(|(_, said)| !said.is_empty())
        .map(|(key, said)| format!("{key}: {said}"))
        .collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn said(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(said).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => fields.iter().map(|(key, value)| format!("{key}={}", said(value))).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

fn exec(fields: &Map<String, Value>, paint: Paint) -> Option<String> {
    let ended = fields.get("ended") == Some(&Value::Bool(true));
    if !ended {
        return Some(paint.style(Style::Live, &cut(&format!("$ {}", text_of(fields, "command")), WIDTH - 11)));
    }
    let code = fields.get("exit_code").and_then(Value::as_i64);
    let verdict = code.map_or_else(|| "ended".to_owned(), |code| format!("exit {code}"));
    let style = if code.is_none_or(|code| code == 0) { Style::Dim } else { Style::Warning };
    let head = cut(&format!("$ {}", text_of(fields, "command")), WIDTH - 13 - verdict.len());
    let mut text = format!("{}  {}", paint.style(Style::Live, &head), paint.style(style, &verdict));
    let output: Vec<&str> = text_of(fields, "output").lines().collect();
    let skipped = output.len().saturating_sub(OUTPUT_LINES_MAX);
    if skipped > 0 {
        text.push_str(&format!("\n  {}", paint.style(Style::Dim, &format!("… {skipped} lines …"))));
    }
    for line in &output[skipped..] {
        text.push_str(&format!("\n  {}", paint.style(Style::Dim, &cut(&line.replace('\t', "    "), WIDTH - 13))));
    }
    Some(text)
}

/// A transition: its kind and its plain fields.
fn transition(fields: &Map<String, Value>) -> String {
    let hidden = ["seq", "at", "kind", "run", "unit", "attempt", "v", "epoch", "hash"];
    let mut words = vec![text_of(fields, "kind").to_owned()];
    let inner = fields.get("body").and_then(Value::as_object);
    for (key, value) in fields.iter().chain(inner.into_iter().flatten()) {
        let shown = match value {
            Value::String(text) if !text.is_empty() => tame(text),
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            _ => continue,
        };
        if !hidden.contains(&key.as_str()) {
            words.push(format!("{key}={shown}"));
        }
    }
    cut(&words.join("  "), WIDTH - 11)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::text::width;

    #[test]
    fn answers_in_json_are_told_field_by_field() {
        let text = r#"{"status":"completed","error":null,"learnings":[],"files_changed":["a.py","b.py"],"tests_passed":3}"#;
        let line = serde_json::json!({ "seq": 3, "at": "2026-01-01T12:03:11Z", "kind": "message", "text": text });
        assert_eq!(print(&[line]), "12:03:11Z  files_changed: a.py, b.py\n           status: completed\n           tests_passed: 3\n");
    }

    fn print(lines: &[Value]) -> String {
        let mut printer = EventPrinter::default();
        lines.iter().map(|line| printer.line(line.to_string().as_bytes(), Paint::plain())).collect()
    }

    #[test]
    fn an_attempt_as_a_conversation() {
        let event = |mut value: Value| {
            let fields = value.as_object_mut().expect("an object");
            fields.insert("at".into(), 43_391_000.into());
            fields.insert("unit".into(), "3".into());
            fields.insert("attempt".into(), 2.into());
            value
        };
        let text = print(&[
            event(serde_json::json!({ "kind": "started", "session": null })),
            event(
                serde_json::json!({ "kind": "message", "text": "I will add the parser and a test for it, then run the whole suite to see that nothing else broke." }),
            ),
            event(serde_json::json!({ "kind": "exec", "command": "pytest -q", "output": "3 passed\n", "exit_code": 0, "ended": true })),
            event(serde_json::json!({ "kind": "usage", "usage": {} })),
            event(serde_json::json!({ "kind": "file_change", "paths": ["src/parser.py"], "ok": true })),
            event(serde_json::json!({ "kind": "failed", "message": "rate limited" })),
        ]);
        insta::assert_snapshot!(text, @r"
        ── unit 3, attempt 2
        12:03:11Z  the agent started
        12:03:11Z  I will add the parser and a test for it, then run the whole suite to
                   see that nothing else broke.
        12:03:11Z  $ pytest -q  exit 0
                     3 passed
        12:03:11Z  changed src/parser.py
        12:03:11Z  failed: rate limited
        ");
        assert!(text.lines().all(|line| width(line) <= WIDTH));
    }

    #[test]
    fn transitions_show_their_plain_fields() {
        let line = serde_json::json!({ "seq": 12, "at": "2026-01-01T12:03:11Z", "kind": "lease_granted", "run": "r", "unit": "3", "attempt": 1, "backend": "codex", "writes": [] });
        assert_eq!(print(&[line]), "── unit 3, attempt 1\n12:03:11Z  lease_granted  backend=codex\n");
        let mut printer = EventPrinter::default();
        assert_eq!(printer.line(b"not json", Paint::plain()), "not json\n");
    }
}
