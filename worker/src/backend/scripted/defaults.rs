//! What a turn does and answers where its playbook says nothing.

use roundtable_shared::{Role, TurnData, UnitId};
use serde_json::{Value, json};

use super::playbook::Step;

/// The role's default steps.
pub fn steps(data: &TurnData, is_dir: impl Fn(&str) -> bool) -> Vec<Step> {
    if !data.role.writes() {
        return Vec::new();
    }
    let mut steps: Vec<Step> = paths(data, is_dir)
        .into_iter()
        .map(|path| Step::Write { path, text: "unit {unit} ({title})\nrole ".to_owned() + data.role.as_str() + "\nattempt {attempt}\n" })
        .collect();
    steps.extend(data.open_subtasks.iter().map(|task| Step::Subtask { id: task.id.to_string(), status: "completed".to_owned() }));
    steps
}

/// A path for every entry of the manifest. A unit that declares nothing at all must change something too, unless it is a checkpoint.
fn paths(data: &TurnData, is_dir: impl Fn(&str) -> bool) -> Vec<String> {
    let name = file_name(data.unit.as_ref());
    if data.writes.is_empty() {
        let title = data.title.trim_start().to_lowercase();
        let checkpoint = title.starts_with("checkpoint") || title.starts_with("final checkpoint");
        return if data.reads.is_empty() && !checkpoint { vec![format!("unit-{name}.txt")] } else { Vec::new() };
    }
    data.writes
        .iter()
        .map(|entry| {
            if entry.ends_with('/') || is_dir(entry) {
                format!("{}/{name}.txt", entry.trim_end_matches('/'))
            } else {
                matching(entry, &name)
            }
        })
        .collect()
}

/// A unit's id as a file name.
fn file_name(unit: Option<&UnitId>) -> String {
    let id = unit.map_or("run", UnitId::as_str);
    id.chars().map(|c| if c.is_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '_' }).collect()
}

/// A path that a glob matches; other entries are paths already.
fn matching(entry: &str, name: &str) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut pieces = entry.split('/').peekable();
    while let Some(piece) = pieces.next() {
        if piece == "**" {
            // It matches no directory as well as many; at the end it needs a file.
            if pieces.peek().is_none() {
                parts.push(format!("{name}.txt"));
            }
            continue;
        }
        parts.push(matching_piece(piece, name));
    }
    parts.join("/")
}

fn matching_piece(piece: &str, name: &str) -> String {
    let mut out = String::new();
    let mut chars = piece.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '*' => {
                while chars.next_if_eq(&'*').is_some() {}
                out.push_str(name);
            }
            '?' => out.push('x'),
            '[' => {
                let class: Vec<char> = chars.by_ref().take_while(|c| *c != ']').collect();
                out.push(member(&class));
            }
            c => out.push(c),
        }
    }
    out
}

/// A character of a class like `abc`, `a-z` or `!a`.
fn member(class: &[char]) -> char {
    match class {
        ['!' | '^', rest @ ..] => {
            let inside = |c: char| {
                let range = rest.windows(3).any(|w| w[1] == '-' && w[0] <= c && c <= w[2]);
                range || rest.contains(&c)
            };
            ('a'..='z').chain('0'..='9').find(|c| !inside(*c)).unwrap_or('_')
        }
        [first, ..] => *first,
        [] => '_',
    }
}

/// The role's default answer. `failed` is the subtask that was reported as failed, `completed` those before it.
pub fn answer(data: &TurnData, completed: &[String], failed: Option<&str>, files: &[String]) -> Value {
    let unit = data.unit.as_ref().map_or("-", UnitId::as_str);
    match data.role {
        Role::Implement | Role::Fix => json!({
            "status": if failed.is_some() { "failed" } else { "completed" },
            "completed_subtasks": if failed.is_some() { completed.to_vec() } else { data.open_subtasks.iter().map(|task| task.id.to_string()).collect() },
            "failed_subtask": failed,
            "error": failed.map(|id| format!("subtask {id} failed, as its playbook says")),
            "summary": format!("Played {} of unit {unit}, attempt {}.", data.role, data.attempt),
            "files_changed": files,
            "learnings": [],
        }),
        Role::Review => {
            json!({"severity": "none", "summary": format!("Nothing found in unit {unit}, round {}.", data.round), "details": "", "issues": []})
        }
        Role::Assign => {
            let units: Vec<Value> = data
                .units
                .iter()
                .map(|unit| json!({"task_id": unit.id, "type": unit.unit_type, "owner_agent": "codex", "writes": unit.writes, "reads": unit.reads}))
                .collect();
            json!({"dispatch_units": units, "window_mapping": {}})
        }
        Role::Orchestrate => {
            let done = !data.units.is_empty() && data.units.iter().all(|unit| unit.state.is_terminal());
            let actions: &[&str] = if done { &[] } else { &["dispatch_batch", "dispatch_reviews", "consolidate_reviews", "sync_pulse"] };
            json!({"decision": if done { "COMPLETE" } else { "CONTINUE" }, "actions": actions, "notes": "played"})
        }
        Role::Check => json!({"status": "completed", "summary": "The check passed, as played."}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_become_names_they_match() {
        for (glob, path) in [
            ("src/a.rs", "src/a.rs"),
            ("src/*.rs", "src/2.rs"),
            ("src/**/*.rs", "src/2.rs"),
            ("**/x?.py", "xx.py"),
            ("docs/**", "docs/2.txt"),
            ("**", "2.txt"),
            ("t[0-9]_[!a-z].c", "t0_0.c"),
        ] {
            assert_eq!(matching(glob, "2"), path, "{glob}");
        }
    }
}
