//! What a prompt says of its turn, read as a model would read it: manifest, open steps, the units to assign or to watch over.

use std::collections::BTreeMap;

use roundtable_shared::{TurnData, TurnSubtask, TurnUnit, UnitState};
use serde_json::Value;

/// Puts what the prompt says into `data`.
pub(super) fn read(prompt: &str, data: &mut TurnData) {
    if let Some(unit) = &data.unit {
        let head = format!("# Unit {unit}: ");
        data.title = prompt.lines().find_map(|line| line.strip_prefix(&head)).unwrap_or_default().to_owned();
    }
    data.writes = paths_after(prompt, "You may write:");
    data.reads = paths_after(prompt, "You may rely on reading:");
    data.open_subtasks = section(prompt, &["# Steps", "# Steps of the unit"]).filter_map(open_step).collect();
    data.units = match data.role {
        roundtable_shared::Role::Assign => assignable(prompt),
        roundtable_shared::Role::Orchestrate => section(prompt, &["# Tasks"]).filter_map(watched).collect(),
        _ => Vec::new(),
    };
}

/// Who does each unit by the rules, as the assignment prompt tells.
pub(super) fn owners(prompt: &str) -> BTreeMap<String, String> {
    let mut owners = BTreeMap::new();
    let mut unit = None;
    for line in prompt.lines() {
        if let Some((id, _)) = line.strip_prefix("## Unit ").and_then(|rest| rest.split_once(": ")) {
            unit = Some(id.to_owned());
        } else if let Some(rule) = line.strip_prefix("By rule: ") {
            owners.extend(unit.take().zip(after(rule, "owner ").filter(|owner| owner != "none")));
        }
    }
    owners
}

/// The quoted paths of a list that follows a line.
fn paths_after(prompt: &str, heading: &str) -> Vec<String> {
    let listed = prompt.lines().skip_while(|line| *line != heading).skip(1);
    listed.map_while(|line| line.strip_prefix("- `")).filter_map(|rest| rest.strip_suffix('`')).map(str::to_owned).collect()
}

/// Lines of the section under one of these headings.
fn section<'p>(prompt: &'p str, headings: &'p [&str]) -> impl Iterator<Item = &'p str> {
    prompt.lines().skip_while(|line| !headings.contains(line)).skip(1).take_while(|line| !line.starts_with("# "))
}

/// `- 2.2 Read words — TO DO`
fn open_step(line: &str) -> Option<TurnSubtask> {
    let (step, state) = line.trim_start().strip_prefix("- ")?.rsplit_once(" — ")?;
    let (id, title) = step.split_once(' ')?;
    state.starts_with("TO DO").then(|| TurnSubtask { id: id.into(), title: title.to_owned(), optional: state.contains("optional") })
}

/// `## Unit 2: Build the parser` and the line with what the rules say.
fn assignable(prompt: &str) -> Vec<TurnUnit> {
    let mut units: Vec<TurnUnit> = Vec::new();
    let (mut open, mut is_named) = (false, false);
    for line in prompt.lines() {
        if let Some((id, title)) = line.strip_prefix("## Unit ").and_then(|rest| rest.split_once(": ")) {
            is_named = false;
            open = !title.ends_with("(does not run: leave it out)");
            if open {
                units.push(TurnUnit {
                    id: id.into(),
                    title: title.to_owned(),
                    unit_type: Default::default(),
                    writes: Vec::new(),
                    reads: Vec::new(),
                    state: UnitState::NotStarted,
                });
            }
        } else if let (Some(rule), true, Some(unit)) = (line.strip_prefix("By rule: "), open, units.last_mut()) {
            let word = after(rule, "type ").unwrap_or_default();
            unit.unit_type = serde_json::from_value(Value::String(word)).unwrap_or_default();
            unit.writes = listed(rule, "Writes: ");
            unit.reads = listed(rule, "Reads: ");
            is_named = unit.writes.is_empty();
            open = false;
        } else if let (Some(named), true, Some(unit)) = (line.strip_prefix("Names, "), is_named, units.last_mut()) {
            // Without anything better a model takes the paths the unit's own text names for what it will write.
            unit.writes.extend(listed(named, ": "));
        }
    }
    units
}

/// `1 Types: completed`
fn watched(line: &str) -> Option<TurnUnit> {
    let (unit, state) = line.rsplit_once(": ")?;
    let (id, title) = unit.split_once(' ').filter(|(id, _)| !id.is_empty())?;
    let state: UnitState = serde_json::from_value(Value::String(state.split(' ').next()?.to_owned())).ok()?;
    Some(TurnUnit { id: id.into(), title: title.to_owned(), unit_type: Default::default(), writes: Vec::new(), reads: Vec::new(), state })
}

/// The word after a mark, up to the punctuation.
fn after(text: &str, mark: &str) -> Option<String> {
    let rest = &text[text.find(mark)? + mark.len()..];
    let end = rest.find([',', ' ']).unwrap_or(rest.len());
    Some(rest[..end].trim_end_matches('.').to_owned()).filter(|word| !word.is_empty())
}

/// The comma-separated list after a mark, up to the end of its sentence.
fn listed(text: &str, mark: &str) -> Vec<String> {
    let Some(at) = text.find(mark) else { return Vec::new() };
    let rest = &text[at + mark.len()..];
    let end = rest.find(". ").unwrap_or(rest.len());
    let items = rest[..end].trim_end_matches('.').split(", ").map(|item| item.trim_matches('`'));
    items.filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use roundtable_shared::Role;

    use super::*;

    fn read_as(role: Role, unit: Option<&str>, prompt: &str) -> TurnData {
        let mut data = TurnData { unit: unit.map(Into::into), ..TurnData::new("r-1", role) };
        read(prompt, &mut data);
        data
    }

    #[test]
    fn work_is_read_from_its_sections() {
        let prompt = "# Unit 2: Parse: all of it\n\n# Steps\n\n- 2.1 Numbers — done already, leave it alone\n  - 2.2 Words — TO DO, continue here\n\
                      \n# What you may change\n\nYou may write:\n- `src/a/`\n- `b.py`\n\nYou may rely on reading:\n(nothing named)\n";
        let data = read_as(Role::Implement, Some("2"), prompt);
        assert_eq!((data.title.as_str(), data.writes, data.reads), ("Parse: all of it", vec!["src/a/".to_owned(), "b.py".into()], vec![]));
        assert_eq!(data.open_subtasks.iter().map(|task| task.id.as_str()).collect::<Vec<_>>(), ["2.2"]);
    }

    #[test]
    fn units_to_assign_are_read_with_what_the_rules_say() {
        let prompt = "## Unit 1: Old (does not run: leave it out)\n\nBy rule: type code, owner none, criticality standard.\n\n## Unit 2: Page\n\n\
                      By rule: type ui, owner gemini, criticality standard. Depends on: 1. Writes: `web/index.html`, `web/a.css`. Reads: `src/t.py`.\n";
        let data = read_as(Role::Assign, None, prompt);
        assert_eq!(data.units.len(), 1);
        assert_eq!(data.units[0].writes, ["web/index.html", "web/a.css"]);
        assert_eq!((data.units[0].reads.as_slice(), data.units[0].unit_type.as_str()), (&["src/t.py".to_owned()][..], "ui"));
        assert_eq!(owners(prompt), BTreeMap::from([("2".to_owned(), "gemini".to_owned())]));
    }

    #[test]
    fn units_to_watch_are_read_with_their_states() {
        let data = read_as(
            Role::Orchestrate,
            None,
            "# Tasks\n\n```\n1 Types: all: completed\n  1.1 first: completed\n2 Parser: in_progress\n```\n\n# X\n",
        );
        let states: Vec<_> = data.units.iter().map(|unit| (unit.id.as_str(), unit.state)).collect();
        assert_eq!(states, [("1", UnitState::Completed), ("2", UnitState::InProgress)]);
    }
}
