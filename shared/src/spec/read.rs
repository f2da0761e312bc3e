//! A spec as a whole: its files by name in, one value and all problems out. Finding the folder is the caller's.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::model::Plan;
use super::parse_tasks_within;
use super::problem::{Level, Problem};
use super::requirements::{Requirement, RequirementIndex};
use super::tasks::{checked_text, file_problem};
use super::tick::shape_text;
use crate::limits::UNITS_MAX;

/// The file that must be there.
const TASKS: &str = "tasks.md";
const REQUIREMENTS: &str = "requirements.md";
const BUGFIX: &str = "bugfix.md";
const DESIGN: &str = "design.md";

/// A spec, as it is uploaded with a run and stored with it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Spec {
    /// Text of `tasks.md`.
    pub tasks: String,
    /// Text of `requirements.md`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requirements: Option<String>,
    /// Text of `design.md`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub design: Option<String>,
    /// Text of `bugfix.md`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bugfix: Option<String>,
}

/// How a spec is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReadOptions {
    /// Missing companions are errors rather than warnings.
    pub strict: bool,
    /// Units it may have at most.
    pub units_max: usize,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self { strict: false, units_max: UNITS_MAX }
    }
}

/// A spec with its plan and everything there is to say about it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SpecReport {
    /// The texts; empty where a file could not be read.
    pub spec: Spec,
    /// The plan, as far as it could be read.
    pub plan: Plan,
    /// All problems: of the spec as a whole first, then of the plan in file order.
    pub problems: Vec<Problem>,
}

impl SpecReport {
    /// Whether nothing may be started (exit 3).
    pub fn has_errors(&self) -> bool {
        self.problems.iter().any(|problem| problem.level == Level::Error)
    }

    /// The spec with its warnings and notes, or all problems if there is an error among them.
    pub fn into_result(self) -> Result<(Spec, Plan, Vec<Problem>), Vec<Problem>> {
        if self.has_errors() { Err(self.problems) } else { Ok((self.spec, self.plan, self.problems)) }
    }
}

impl Spec {
    /// Names of the files a spec is read from.
    pub const FILES: [&'static str; 4] = [TASKS, REQUIREMENTS, DESIGN, BUGFIX];

    /// Reads the files of a spec folder, given by name. With `strict`, missing companions are errors rather than warnings.
    pub fn read(files: &BTreeMap<String, Vec<u8>>, strict: bool) -> SpecReport {
        Self::read_with(files, ReadOptions { strict, ..ReadOptions::default() })
    }

    /// The same with all options.
    pub fn read_with(files: &BTreeMap<String, Vec<u8>>, options: ReadOptions) -> SpecReport {
        let mut report = SpecReport::default();
        let mut text = |name: &str| -> Option<String> {
            match checked_text(files.get(name)?) {
                Ok(text) => Some(text.to_owned()),
                // The plan's own text problems are reported, with their line, when it is parsed.
                Err(_) if name == TASKS => None,
                Err(message) => {
                    report.problems.push(file_problem(Level::Error, name, message));
                    None
                }
            }
        };
        report.spec =
            Spec { tasks: text(TASKS).unwrap_or_default(), requirements: text(REQUIREMENTS), design: text(DESIGN), bugfix: text(BUGFIX) };
        let level = if options.strict { Level::Error } else { Level::Warning };
        if !files.contains_key(REQUIREMENTS) && !files.contains_key(BUGFIX) {
            let message = "there is no requirements.md (or bugfix.md), so prompts carry no requirements; add one";
            report.problems.push(file_problem(level, REQUIREMENTS, message));
        }
        if !files.contains_key(DESIGN) {
            report.problems.push(file_problem(level, DESIGN, "there is no design.md, so prompts carry no design; add one"));
        }
        match files.get(TASKS) {
            Some(bytes) => {
                report.plan = parse_tasks_within(bytes, TASKS, options.units_max);
                report.problems.append(&mut report.plan.problems);
                report.problems.extend(dead_links(&report.spec, &report.plan));
            }
            None => {
                report.problems.push(file_problem(Level::Error, TASKS, "there is no tasks.md in the spec folder; write the plan there"))
            }
        }
        report
    }

    /// The plan of a spec that was accepted before.
    pub fn plan(&self) -> Plan {
        parse_tasks_within(self.tasks.as_bytes(), TASKS, usize::MAX)
    }

    /// The text requirement links point into: `requirements.md`, else `bugfix.md`.
    pub fn requirement_source(&self) -> Option<&str> {
        self.requirements.as_deref().or(self.bugfix.as_deref())
    }

    /// A linked requirement. For many links make one [`RequirementIndex`].
    pub fn requirement(&self, id: &str) -> Option<Requirement<'_>> {
        RequirementIndex::new(self.requirement_source()?).get(id)
    }

    /// Names the plan apart from its progress: the same for the same tasks whatever boxes are ticked, whatever line ends the file has.
    pub fn plan_hash(&self) -> String {
        blake3::hash(shape_text(&self.tasks).as_bytes()).to_hex().to_string()
    }

    /// Names all texts, boxes included: prompts and cached answers depend on them.
    pub fn text_hash(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for text in [Some(&self.tasks), self.requirements.as_ref(), self.design.as_ref(), self.bugfix.as_ref()] {
            match text {
                Some(text) => {
                    hasher.update(&(text.len() as u64 + 1).to_le_bytes());
                    hasher.update(text.as_bytes());
                }
                None => {
                    hasher.update(&0u64.to_le_bytes());
                }
            }
        }
        hasher.finalize().to_hex().to_string()
    }
}

/// Links to requirements that are not there. They hurt nobody but the agent, who gets no text for them.
fn dead_links(spec: &Spec, plan: &Plan) -> Vec<Problem> {
    let Some(source) = spec.requirement_source() else { return Vec::new() };
    let file = if spec.requirements.is_some() { REQUIREMENTS } else { BUGFIX };
    let index = RequirementIndex::new(source);
    let (mut found, mut dead) = (0usize, 0usize);
    let mut notes = Vec::new();
    for task in plan.tasks() {
        let missing: Vec<&str> = task.requirements.iter().map(String::as_str).filter(|id| index.get(id).is_none()).collect();
        found += task.requirements.len() - missing.len();
        dead += missing.len();
        if !missing.is_empty() {
            let message = format!("task {} links to {}, which {file} does not have", task.id, missing.join(", "));
            notes.push(Problem { level: Level::Note, file: TASKS.to_owned(), line: task.line, message });
        }
    }
    if found == 0 && dead > 0 {
        let message = format!("none of the {dead} linked requirements is found here; number its headings as the links do");
        return vec![file_problem(Level::Note, file, message)];
    }
    notes
}
