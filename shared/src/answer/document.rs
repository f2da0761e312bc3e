//! An assignment a person hands in as a document: read strictly, since whoever wrote it can be told. What it means for a plan is judged as an agent's answer is.

use serde_json::Value;

use super::assign::{AssignAnswer, Proposal, Refusal};
use super::fields::{self, Object};
use super::{AnswerError, CheckedAssignment};
use crate::domain::read_requirements;
use crate::ids::BackendName;
use crate::spec::Unit;

/// Keys of an entry of `dispatch_units`.
const KEYS: [&str; 9] = ["task_id", "type", "owner_agent", "target_window", "criticality", "writes", "reads", "depends_on", "requires"];
/// Those whose value is a list of texts.
const LISTS: [&str; 4] = ["writes", "reads", "depends_on", "requires"];

impl AssignAnswer {
    /// Reads a document and judges it whole against the plan: what is of the wrong kind or unknown is a problem, nothing is passed over.
    pub fn read_document(text: &str, units: &[Unit], backends: &[BackendName]) -> Result<CheckedAssignment, AnswerError> {
        let value: Value = serde_json::from_str(text.trim_start_matches('\u{feff}')).map_err(|error| AnswerError::Unusable {
            key: "the document",
            found: error.to_string(),
            wanted: "one JSON object",
        })?;
        let object = value.as_object().ok_or_else(|| unusable("the document", &value, "one JSON object"))?;
        let entries = match object.get("dispatch_units") {
            None => return Err(AnswerError::Missing { key: "dispatch_units" }),
            Some(Value::Array(entries)) => entries,
            Some(other) => return Err(unusable("dispatch_units", other, "an array of objects")),
        };
        let mut refused: Vec<Refusal> = Vec::new();
        for key in object.keys().filter(|key| !["dispatch_units", "window_mapping"].contains(&key.as_str())) {
            refused.push(refusal("-", key, "there is no such key beside `dispatch_units` and `window_mapping`".to_owned()));
        }
        let mut seen: Vec<String> = Vec::new();
        for (at, entry) in entries.iter().enumerate() {
            match entry.as_object() {
                Some(entry) => judge_entry(entry, &mut seen, &mut refused),
                None => refused.push(refusal("-", &format!("dispatch_units[{at}]"), format!("{} is no object", fields::shown(entry)))),
            }
        }
        let mut checked = Self::parse(text)?.check(units, backends);
        // What is of the wrong kind has been named; the lenient reading may have made something of it.
        refused.extend(std::mem::take(&mut checked.refused));
        for entry in entries.iter().filter_map(Value::as_object) {
            require(entry, &mut checked.accepted, &mut refused);
        }
        Ok(CheckedAssignment { refused, ..checked })
    }
}

/// What an entry asks of its unit's worker: an agent's answer has no such field, so it is read here alone.
fn require(entry: &Object, accepted: &mut [Proposal], refused: &mut Vec<Refusal>) {
    let (Some(id), Some(Value::Array(typed))) = (entry.get("task_id").and_then(fields::text), entry.get("requires")) else { return };
    let typed: Vec<&str> = typed.iter().filter_map(Value::as_str).collect();
    let labels = match read_requirements(&typed) {
        Ok(labels) => labels,
        Err(why) => return refused.push(refusal(&id, "requires", why)),
    };
    if let Some(proposal) = accepted.iter_mut().find(|proposal| proposal.unit.as_str() == id) {
        proposal.requires = Some(labels);
    }
}

fn judge_entry(entry: &Object, seen: &mut Vec<String>, refused: &mut Vec<Refusal>) {
    let Some(id) = entry.get("task_id").and_then(fields::text) else {
        // The plan's judge says that it names no unit.
        return;
    };
    if seen.contains(&id) {
        refused.push(refusal(&id, "task_id", "it is assigned twice; leave one of the entries out".to_owned()));
    }
    for (key, value) in entry {
        let of_kind = match key.as_str() {
            _ if value.is_null() => true,
            key if LISTS.contains(&key) => value.as_array().is_some_and(|items| items.iter().all(Value::is_string)),
            "task_id" => true,
            key if KEYS.contains(&key) => value.is_string(),
            other => {
                refused.push(refusal(&id, other, format!("there is no such field; the fields are {}", KEYS.join(", "))));
                continue;
            }
        };
        if !of_kind {
            let wanted = if LISTS.contains(&key.as_str()) { "a list of texts" } else { "a text" };
            refused.push(refusal(&id, key, format!("{} is not {wanted}", fields::shown(value))));
        }
    }
    seen.push(id);
}

fn refusal(unit: &str, field: &str, reason: String) -> Refusal {
    Refusal { unit: fields::shorten(unit), field: fields::shorten(field), reason }
}

fn unusable(key: &'static str, found: &Value, wanted: &'static str) -> AnswerError {
    AnswerError::Unusable { key, found: fields::shown(found), wanted }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::spec::parse_tasks;

    fn read(text: &str) -> Result<CheckedAssignment, AnswerError> {
        let plan = parse_tasks(b"- [ ] 1. A\n  - [ ] 1.1 B\n- [ ] 2. C\n  - Depends on: 1\n- [ ] 3. D\n", "tasks.md");
        AssignAnswer::read_document(text, &plan.units, &["codex".into(), "gemini".into()])
    }

    fn problems(text: &str) -> Vec<String> {
        read(text).unwrap().refused.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_document_is_taken_whole() {
        let text = r#"{"dispatch_units":[{"task_id":"1","writes":["./src/a.rs"],"reads":null,"owner_agent":"gemini"},{"task_id":"3","depends_on":["2"]}]}"#;
        let checked = read(text).unwrap();
        assert!(checked.refused.is_empty(), "{:?}", checked.refused);
        assert_eq!(checked.accepted[0].writes.as_deref(), Some(&["src/a.rs".to_owned()][..]));
        assert_eq!(checked.accepted[1].depends_on, ["2".into()]);
    }

    #[test]
    fn labels_are_asked_for_in_a_document_and_not_in_an_answer() {
        let text = r#"{"dispatch_units":[{"task_id":"1","requires":["gpu","zone = eu","gpu"]},{"task_id":"2","requires":["none"]},{"task_id":"3"}]}"#;
        let checked = read(text).unwrap();
        assert!(checked.refused.is_empty(), "{:?}", checked.refused);
        let asked: Vec<Option<Vec<String>>> = checked.accepted.iter().map(|said| said.requires.clone()).collect();
        assert_eq!(asked, [Some(vec!["gpu".to_owned(), "zone=eu".to_owned()]), Some(Vec::new()), None]);
        let told = problems(r#"{"dispatch_units":[{"task_id":"1","requires":["a big one"]},{"task_id":"2","requires":"gpu"}]}"#);
        assert!(told.iter().any(|problem| problem.starts_with("unit 1, requires: `a big one` is no label")), "{told:?}");
        assert!(told.iter().any(|problem| problem.starts_with("unit 2, requires: `\"gpu\"` is not a list")), "{told:?}");
        let plan = parse_tasks(b"- [ ] 1. A\n", "tasks.md");
        let answer = AssignAnswer::parse(r#"{"dispatch_units":[{"task_id":"1","requires":["gpu"]}]}"#).unwrap();
        assert_eq!(answer.check(&plan.units, &[]).accepted[0].requires, None);
    }

    #[test]
    fn every_problem_is_named_by_unit_and_field() {
        let text = r#"{"extra":1,"dispatch_units":[
            {"task_id":"1","writes":"not-a-list","owner":"codex","criticality":"huge","depends_on":["2"]},
            {"task_id":"1","reads":[1],"writes":["../x"]}, {"task_id":"1.1"}, {"task_id":"9"}, {"writes":[]}, "3",
            {"task_id":"3","owner_agent":"nobody"}]}"#;
        let told = problems(text);
        for wanted in [
            "unit -, extra: there is no such key",
            "unit 1, writes: `\"not-a-list\"` is not a list of texts",
            "unit 1, owner: there is no such field",
            "unit 1, criticality: `huge` is unknown",
            "unit 1, task_id: it is assigned twice",
            "unit 1, reads:",
            "unit 1, writes: `../x` contains `..`",
            "unit 1.1, task_id: 1.1 is a subtask of unit 1",
            "unit 9, task_id: there is no unit 9",
            "unit ?, task_id: an entry of dispatch_units names no unit",
            "unit -, dispatch_units[5]: `\"3\"` is no object",
            "unit 3, owner_agent: `nobody` is no backend of this run; use codex, gemini",
            "unit 1, depends_on: 1 -> 2 would close a cycle",
        ] {
            assert!(told.iter().any(|problem| problem.starts_with(wanted)), "nothing of {wanted:?} in {told:#?}");
        }
    }

    #[test]
    fn what_is_no_document_is_an_error() {
        for text in ["", "no json", "[]", "{}", r#"{"dispatch_units":{"1":{}}}"#, "here: {\"dispatch_units\":[]}"] {
            assert!(read(text).is_err(), "{text:?}");
        }
    }
}
