//! Playbooks of the scripted backend, put together in code.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

/// Steps of a turn.
pub mod step {
    use serde_json::{Value, json};

    /// Writes a file.
    pub fn write(path: &str, text: &str) -> Value {
        json!({"write": {"path": path, "text": text}})
    }

    /// Adds to a file.
    pub fn append(path: &str, text: &str) -> Value {
        json!({"append": {"path": path, "text": text}})
    }

    /// Says something.
    pub fn say(text: &str) -> Value {
        json!({ "say": text })
    }

    /// Takes its time.
    pub fn sleep_ms(ms: u64) -> Value {
        json!({ "sleep_ms": ms })
    }

    /// Runs a shell's text.
    pub fn run(text: &str) -> Value {
        json!({ "run": text })
    }

    /// Reports a subtask.
    pub fn subtask(id: &str, status: &str) -> Value {
        json!({"subtask": {"id": id, "status": status}})
    }

    /// Goes wrong.
    pub fn fault(what: &str) -> Value {
        json!({ "fault": what })
    }
}

/// What an agent does in one turn.
#[derive(Clone, Debug, Default)]
pub struct Turn {
    steps: Option<Vec<Value>>,
    result: Map<String, Value>,
    report: Option<Value>,
}

impl Turn {
    /// The default steps and answer.
    pub fn new() -> Self {
        Self::default()
    }

    /// These steps instead.
    #[must_use]
    pub fn steps(mut self, steps: impl IntoIterator<Item = Value>) -> Self {
        self.steps = Some(steps.into_iter().collect());
        self
    }

    /// Merged over the role's answer.
    #[must_use]
    pub fn result(mut self, result: Value) -> Self {
        if let Value::Object(result) = result {
            self.result.extend(result);
        }
        self
    }

    /// A review with one finding.
    pub fn finds(severity: &str, summary: &str) -> Self {
        let issue = json!({"description": summary, "severity": severity, "file": "part-1.txt", "line": 1});
        Self::new().steps([]).result(json!({"severity": severity, "summary": summary, "issues": [issue]}))
    }

    /// What it answers when it is asked for its report alone.
    #[must_use]
    pub fn report(mut self, report: Value) -> Self {
        self.report = Some(report);
        self
    }

    /// An agent that fails.
    pub fn fails() -> Self {
        Self::new().steps([step::fault("exit:3")])
    }

    fn value(&self) -> Value {
        let mut turn = Map::new();
        if let Some(steps) = &self.steps {
            turn.insert("steps".to_owned(), json!(steps));
        }
        if !self.result.is_empty() {
            turn.insert("result".to_owned(), Value::Object(self.result.clone()));
        }
        if let Some(report) = &self.report {
            turn.insert("report".to_owned(), report.clone());
        }
        Value::Object(turn)
    }
}

/// A playbook.
#[derive(Clone, Debug, Default)]
pub struct Playbook {
    default: Map<String, Value>,
    units: Map<String, Value>,
}

impl Playbook {
    /// Everybody plays the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Turns of a role where a unit has none of its own: `implement`, `review`, `fix`, `check`, `assign`, `orchestrate`.
    #[must_use]
    pub fn role(mut self, role: &str, turns: impl IntoIterator<Item = Turn>) -> Self {
        self.default.insert(role.to_owned(), turns.into_iter().map(|turn| turn.value()).collect());
        self
    }

    /// Turns of a role for a unit.
    #[must_use]
    pub fn unit(mut self, unit: &str, role: &str, turns: impl IntoIterator<Item = Turn>) -> Self {
        let entry = self.units.entry(unit.to_owned()).or_insert_with(|| json!({}));
        entry[role] = turns.into_iter().map(|turn| turn.value()).collect();
        self
    }

    /// Writes it.
    pub fn write(&self, file: &Path) -> PathBuf {
        let text = json!({"default": self.default, "units": self.units});
        std::fs::write(file, text.to_string()).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        file.to_owned()
    }
}
