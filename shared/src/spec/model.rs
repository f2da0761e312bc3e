//! What a plan consists of. Plain data, stored with the run; the reading of it is in the neighbouring files.

use serde::{Deserialize, Serialize};

use super::problem::{Level, Problem};
use crate::domain::SubtaskState;
use crate::ids::{TaskId, UnitId};

/// `tasks.md`, read: units in document order, and everything there is to say about the file.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Plan {
    /// Dispatch units in document order.
    pub units: Vec<Unit>,
    /// Whether ids were generated because no task had one.
    #[serde(default)]
    pub generated_ids: bool,
    /// Errors, warnings and notes in file order.
    #[serde(default)]
    pub problems: Vec<Problem>,
}

impl Plan {
    /// Whether nothing may be started.
    pub fn has_errors(&self) -> bool {
        self.problems.iter().any(|problem| problem.level == Level::Error)
    }

    /// The unit of that id.
    pub fn unit(&self, id: &str) -> Option<&Unit> {
        self.units.iter().find(|unit| unit.id.as_str() == id)
    }

    /// All tasks in document order, heading parents included.
    pub fn tasks(&self) -> Vec<&Task> {
        let mut tasks: Vec<&Task> = self.units.iter().flat_map(|unit| &unit.tasks).collect();
        tasks.sort_by_key(|task| task.line);
        tasks
    }
}

/// A top-level task with all its descendants: what is dispatched, reviewed and integrated as one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Unit {
    /// The id of its top-level task.
    pub id: UnitId,
    /// The title of its top-level task.
    pub title: String,
    /// Whether it runs only with `--with-optional`.
    #[serde(default)]
    pub optional: bool,
    /// Whether the plan says that nothing is left to do.
    #[serde(default)]
    pub completed: bool,
    /// Whether it depends on everything before it.
    #[serde(default)]
    pub checkpoint: bool,
    /// Its own task first, then the descendants in document order, which is the order of work.
    pub tasks: Vec<Task>,
    /// Units that any of its tasks depend on, in document order; implied dependencies of checkpoints are not here but in [`super::select()`]'s answer.
    #[serde(default)]
    pub depends_on: Vec<UnitId>,
    /// Entries of all its tasks, normalised.
    #[serde(default)]
    pub writes: Vec<String>,
    /// Entries of all its tasks, normalised.
    #[serde(default)]
    pub reads: Vec<String>,
    /// Whether it names neither, and so counts as reading and writing everything.
    #[serde(default)]
    pub exclusive: bool,
    /// Labels that whoever works on any of its tasks must have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<String>,
}

impl Unit {
    /// Its top-level task.
    pub fn own(&self) -> &Task {
        &self.tasks[0]
    }

    /// Its descendants, in order of work.
    pub fn subtasks(&self) -> &[Task] {
        &self.tasks[1..]
    }

    /// One of its tasks.
    pub fn task(&self, id: &str) -> Option<&Task> {
        self.tasks.iter().find(|task| task.id.as_str() == id)
    }

    /// Tasks without subtasks: what an agent reports on. The unit's own task where it has none.
    pub fn leaves(&self) -> impl Iterator<Item = &Task> {
        self.tasks.iter().filter(|task| task.subtasks.is_empty())
    }
}

/// A checkbox line, or a heading that stands for a parent without one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Task {
    /// As written, or generated.
    pub id: TaskId,
    /// The rest of the line.
    pub title: String,
    /// Line in `tasks.md`, from 1.
    pub line: u32,
    /// The line's own `*`.
    #[serde(default)]
    pub optional: bool,
    /// Whether the unit is incomplete without it: neither optional itself nor below an optional subtask.
    pub needed: bool,
    /// From the box; for parents from their needed descendants.
    pub status: SubtaskState,
    /// `(P)`: may run beside its siblings.
    #[serde(default)]
    pub parallel: bool,
    /// Whether a heading was read as this task.
    #[serde(default)]
    pub heading: bool,
    /// The nearest ancestor that exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<TaskId>,
    /// Children, in document order.
    #[serde(default)]
    pub subtasks: Vec<TaskId>,
    /// Lines below it as written, without the indentation they share; blank lines only inside fences.
    #[serde(default)]
    pub details: Vec<String>,
    /// Ids after `_Requirements:`.
    #[serde(default)]
    pub requirements: Vec<String>,
    /// Entries after `_writes:`, normalised.
    #[serde(default)]
    pub writes: Vec<String>,
    /// Entries after `_reads:`, normalised.
    #[serde(default)]
    pub reads: Vec<String>,
    /// Entries after `_requires:`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<String>,
    /// Tasks it names in dependency lists, ranges expanded.
    #[serde(default)]
    pub depends_on: Vec<Dependency>,
}

/// One dependency and where it is written.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Dependency {
    /// The task named.
    pub task: TaskId,
    /// Line in `tasks.md`.
    pub line: u32,
}

impl Task {
    /// Gives back the room that its lists have for more.
    pub(super) fn shrink_to_fit(&mut self) {
        for list in [&mut self.details, &mut self.requirements, &mut self.writes, &mut self.reads, &mut self.requires] {
            list.shrink_to_fit();
        }
        self.subtasks.shrink_to_fit();
        self.depends_on.shrink_to_fit();
    }

    /// Details as the mirror files list them: one line each, without indentation and bullets; blank lines and code as they are.
    pub fn plain_details(&self) -> Vec<String> {
        let mut fenced = false;
        let plain = |line: &String| {
            let trimmed = line.trim_start();
            let marker = trimmed.starts_with("```") || trimmed.starts_with("~~~");
            fenced ^= marker;
            if fenced || marker { line.clone() } else { super::lines::strip_bullet(trimmed).unwrap_or(trimmed).trim().to_owned() }
        };
        self.details.iter().map(plain).collect()
    }
}
