//! What the assignment agent answers, and which of it can be taken: every field is judged alone, so one slip does not cost the rest.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::AnswerError;
use super::fields::{self, Object};
use crate::domain::{Criticality, UnitType};
use crate::ids::{BackendName, UnitId};
use crate::limits::MANIFEST_ENTRIES_MAX;
use crate::manifest::normalise_entry;
use crate::spec::Unit;

const WINDOW_CHARS_MAX: usize = 64;
const UNITS_PROPOSED_MAX: usize = crate::limits::UNITS_MAX;

/// The final JSON of an assignment, unchecked: `{dispatch_units: […], window_mapping: {…}}`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct AssignAnswer {
    /// Objects, as written.
    pub dispatch_units: Vec<Object>,
    /// Unit to window.
    pub window_mapping: BTreeMap<String, String>,
}

/// What is proposed for one unit. `None` keeps what rules and spec say.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Proposal {
    /// The unit.
    pub unit: UnitId,
    /// Kind of work.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub unit_type: Option<UnitType>,
    /// Backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner_agent: Option<BackendName>,
    /// Window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_window: Option<String>,
    /// How carefully it is reviewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub criticality: Option<Criticality>,
    /// Paths it may write, normalised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writes: Option<Vec<String>>,
    /// Paths it reads, normalised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reads: Option<Vec<String>>,
    /// Units it depends on beside those of the spec.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<UnitId>,
    /// Labels its worker must have, instead of those before; a person's word only, agents are not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requires: Option<Vec<String>>,
}

impl Proposal {
    /// A proposal that changes nothing.
    pub fn keep(unit: UnitId) -> Self {
        Self {
            unit,
            unit_type: None,
            owner_agent: None,
            target_window: None,
            criticality: None,
            writes: None,
            reads: None,
            depends_on: Vec::new(),
            requires: None,
        }
    }
}

/// A part of an answer that was not taken.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Refusal {
    /// The unit named, as written.
    pub unit: String,
    /// The field.
    pub field: String,
    /// What is wrong with it, and what would be right.
    pub reason: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "unit {}, {}: {}", self.unit, self.field, self.reason)
    }
}

/// An answer, judged.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct CheckedAssignment {
    /// What can be taken, one per unit, in order of first mention.
    pub accepted: Vec<Proposal>,
    /// What cannot, with reasons to ask again with.
    pub refused: Vec<Refusal>,
}

impl AssignAnswer {
    /// Reads the last object of an answer. An empty answer is valid: everything stays as rules and spec say.
    pub fn parse(text: &str) -> Result<Self, AnswerError> {
        let object = fields::object(text, &["dispatch_units", "window_mapping"])?;
        let units = match fields::get(&object, &["dispatch_units"]) {
            None if object.contains_key("window_mapping") || object.contains_key("dispatch_units") || object.is_empty() => Vec::new(),
            None => return Err(AnswerError::Missing { key: "dispatch_units" }),
            Some(Value::Array(items)) => items.iter().take(UNITS_PROPOSED_MAX).filter_map(Value::as_object).cloned().collect(),
            Some(Value::Object(map)) => keyed(map),
            Some(other) => {
                return Err(AnswerError::Unusable { key: "dispatch_units", found: fields::shown(other), wanted: "an array of objects" });
            }
        };
        Ok(Self { dispatch_units: units, window_mapping: windows(&object) })
    }

    /// Judges the answer against the plan and the backends that can be named.
    pub fn check(&self, units: &[Unit], backends: &[BackendName]) -> CheckedAssignment {
        let mut judge = Judge::new(units, backends);
        for object in &self.dispatch_units {
            judge.unit(object);
        }
        for (id, window) in &self.window_mapping {
            let Some(unit) = judge.known(id, "window_mapping") else { continue };
            let window = judge.window(id, window);
            let proposal = judge.proposal(unit);
            if proposal.target_window.is_none() {
                proposal.target_window = window;
            }
        }
        judge.refuse_cycles();
        judge.checked
    }
}

/// `{"2": {…}}` instead of `[{"task_id": "2", …}]`.
fn keyed(map: &Object) -> Vec<Object> {
    let with_id = |(id, value): (&String, &Value)| {
        let mut object = value.as_object()?.clone();
        object.entry("task_id").or_insert_with(|| Value::String(id.clone()));
        Some(object)
    };
    map.iter().filter_map(with_id).collect()
}

/// A map, or (constrained decoding knows no maps) an array of pairs.
fn windows(object: &Object) -> BTreeMap<String, String> {
    match fields::get(object, &["window_mapping"]) {
        Some(Value::Object(map)) => map.iter().filter_map(|(id, window)| Some((id.clone(), fields::text(window)?))).collect(),
        Some(Value::Array(items)) => {
            let pair = |item: &Value| {
                let entry = item.as_object()?;
                Some((fields::field(entry, &["task_id", "id", "unit"])?, fields::field(entry, &["target_window", "window"])?))
            };
            items.iter().filter_map(pair).collect()
        }
        _ => BTreeMap::new(),
    }
}

struct Judge<'a> {
    units: &'a [Unit],
    backends: &'a [BackendName],
    place: HashMap<&'a str, usize>,
    /// Unit of each descendant.
    owner: HashMap<&'a str, &'a UnitId>,
    proposed: HashMap<usize, usize>,
    checked: CheckedAssignment,
}

impl<'a> Judge<'a> {
    fn new(units: &'a [Unit], backends: &'a [BackendName]) -> Self {
        let place = units.iter().enumerate().map(|(at, unit)| (unit.id.as_str(), at)).collect();
        let owner = units.iter().flat_map(|unit| unit.subtasks().iter().map(move |task| (task.id.as_str(), &unit.id))).collect();
        Self { units, backends, place, owner, proposed: HashMap::new(), checked: CheckedAssignment::default() }
    }

    fn refuse(&mut self, unit: &str, field: &str, reason: String) {
        self.checked.refused.push(Refusal { unit: fields::shorten(unit), field: field.to_owned(), reason });
    }

    fn known(&mut self, id: &str, field: &str) -> Option<usize> {
        if let Some(&at) = self.place.get(id) {
            return Some(at);
        }
        let reason = match self.owner.get(id) {
            Some(unit) => format!("{id} is a subtask of unit {unit}; only units are assigned"),
            None => format!("there is no unit {}; use ids of the plan's top-level tasks", fields::shorten(id)),
        };
        self.refuse(id, field, reason);
        None
    }

    fn proposal(&mut self, unit: usize) -> &mut Proposal {
        let next = self.checked.accepted.len();
        let at = *self.proposed.entry(unit).or_insert(next);
        if at == next {
            self.checked.accepted.push(Proposal::keep(self.units[unit].id.clone()));
        }
        &mut self.checked.accepted[at]
    }

    fn unit(&mut self, object: &Object) {
        let Some(id) = fields::field(object, &["task_id", "id", "unit_id", "unit"]) else {
            self.refuse("?", "task_id", "an entry of dispatch_units names no unit; add `task_id`".to_owned());
            return;
        };
        let Some(unit) = self.known(&id, "task_id") else { return };
        let unit_type = self.word(object, &id, "type", UnitType::parse, "code, ui or review");
        let criticality = self.word(object, &id, "criticality", Criticality::parse, "standard, complex or security-sensitive");
        let owner = self.owner_agent(object, &id);
        let window = fields::meaningful(object, &["target_window"]).and_then(|window| self.window(&id, &window));
        let writes = self.paths(object, &id, "writes");
        let reads = self.paths(object, &id, "reads");
        let depends_on = self.dependencies(object, &id, unit);
        let proposal = self.proposal(unit);
        proposal.unit_type = unit_type.or(proposal.unit_type);
        proposal.criticality = criticality.or(proposal.criticality);
        proposal.owner_agent = owner.or(proposal.owner_agent.take());
        proposal.target_window = window.or(proposal.target_window.take());
        proposal.writes = writes.or(proposal.writes.take());
        proposal.reads = reads.or(proposal.reads.take());
        for id in depends_on {
            if !proposal.depends_on.contains(&id) {
                proposal.depends_on.push(id);
            }
        }
    }

    fn word<T>(&mut self, object: &Object, id: &str, key: &str, parse: impl Fn(&str) -> Option<T>, wanted: &str) -> Option<T> {
        let text = fields::field(object, &[key])?;
        let parsed = parse(&text.replace('_', "-"));
        if parsed.is_none() {
            self.refuse(id, key, format!("`{}` is unknown; use {wanted}", fields::shorten(&text)));
        }
        parsed
    }

    fn owner_agent(&mut self, object: &Object, id: &str) -> Option<BackendName> {
        let text = fields::meaningful(object, &["owner_agent", "owner", "agent"])?;
        let found = self.backends.iter().find(|backend| backend.as_str().eq_ignore_ascii_case(&text)).cloned();
        if found.is_none() {
            let names: Vec<&str> = self.backends.iter().map(BackendName::as_str).collect();
            self.refuse(id, "owner_agent", format!("`{}` is no backend of this run; use {}", fields::shorten(&text), names.join(", ")));
        }
        found
    }

    fn window(&mut self, id: &str, window: &str) -> Option<String> {
        let tidy = window.trim();
        let fits = !tidy.is_empty()
            && tidy.chars().count() <= WINDOW_CHARS_MAX
            && tidy.chars().all(|c| c.is_alphanumeric() || "-_ /+".contains(c));
        if !fits {
            self.refuse(id, "target_window", format!("`{}` is no window name; use letters, digits, `-` and `_`", fields::shorten(window)));
        }
        fits.then(|| tidy.to_owned())
    }

    /// A list with a hostile path is refused whole: half a manifest would be worse than the spec's.
    fn paths(&mut self, object: &Object, id: &str, key: &str) -> Option<Vec<String>> {
        fields::get(object, &[key])?;
        let listed = fields::texts(object, &[key]);
        if listed.is_empty() {
            return None;
        }
        if listed.len() > MANIFEST_ENTRIES_MAX {
            self.refuse(id, key, format!("{} entries are more than {MANIFEST_ENTRIES_MAX}; name directories or globs", listed.len()));
            return None;
        }
        let mut out: Vec<String> = Vec::new();
        let mut hostile = false;
        let mut seen = HashSet::new();
        for entry in &listed {
            match normalise_entry(entry) {
                Ok(entry) if seen.insert(entry.clone()) => out.push(entry),
                Ok(_) => {}
                Err(error) => {
                    hostile = true;
                    self.refuse(id, key, error.to_string());
                }
            }
        }
        (!hostile).then_some(out)
    }

    fn dependencies(&mut self, object: &Object, id: &str, unit: usize) -> Vec<UnitId> {
        let mut out = Vec::new();
        for text in fields::texts(object, &["depends_on", "dependencies"]) {
            // What the agent copied from the plan names subtasks, too: they mean their unit, as in the plan.
            let target =
                self.place.get(text.as_str()).map(|at| &self.units[*at].id).or_else(|| self.owner.get(text.as_str()).copied()).cloned();
            match target {
                Some(target) if target == self.units[unit].id => {
                    if text == id {
                        self.refuse(id, "depends_on", format!("unit {id} cannot depend on itself"));
                    }
                }
                Some(target) => out.push(target),
                None => self.refuse(id, "depends_on", format!("there is no unit {}; use ids of the plan", fields::shorten(&text))),
            }
        }
        out
    }

    /// Takes proposed dependencies one by one while they close no cycle with the plan's.
    fn refuse_cycles(&mut self) {
        let mut edges: Vec<Vec<usize>> =
            self.units.iter().map(|unit| unit.depends_on.iter().filter_map(|id| self.place.get(id.as_str()).copied()).collect()).collect();
        let mut proposed: Vec<(usize, usize)> = Vec::new();
        for proposal in &self.checked.accepted {
            let Some(&unit) = self.place.get(proposal.unit.as_str()) else { continue };
            proposed.extend(proposal.depends_on.iter().filter_map(|id| Some((unit, *self.place.get(id.as_str())?))));
        }
        let mut all = edges.clone();
        proposed.iter().for_each(|(unit, to)| all[*unit].push(*to));
        if crate::spec::cycles(&all).is_empty() {
            return;
        }
        for (unit, to) in proposed {
            if !reaches(&edges, to, unit) {
                edges[unit].push(to);
                continue;
            }
            let (name, target) = (self.units[unit].id.clone(), self.units[to].id.clone());
            if let Some(&at) = self.proposed.get(&unit) {
                self.checked.accepted[at].depends_on.retain(|id| *id != target);
            }
            self.refuse(
                name.as_str(),
                "depends_on",
                format!("{name} -> {target} would close a cycle, since {target} already depends on {name}"),
            );
        }
    }
}

fn reaches(edges: &[Vec<usize>], from: usize, to: usize) -> bool {
    let mut seen = HashSet::from([from]);
    let mut open = vec![from];
    while let Some(at) = open.pop() {
        if at == to {
            return true;
        }
        open.extend(edges[at].iter().copied().filter(|next| seen.insert(*next)));
    }
    false
}
