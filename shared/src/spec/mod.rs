//! Specs: reads `tasks.md` and its companions into tasks, dispatch units and problems, and says which units run (docs/spec-format.md).
//!
//! Text in, data out: finding and reading files is the caller's. Nothing recurses, so depth is bounded by memory alone.

mod annotate;
mod assign_rules;
mod checkbox;
mod depends;
mod design;
mod detail;
mod kinds;
mod lines;
mod mentions;
mod model;
mod problem;
mod read;
mod requirements;
mod sections;
mod select;
mod tasks;
mod tick;
mod tree;
mod units;

pub use annotate::{Annotated, annotate};
pub use assign_rules::{apply_proposal, assign_all, assign_by_rules, share_windows};
pub use checkbox::is_id as is_task_id;
pub use design::{design_overview, first_mermaid};
pub use mentions::{Mention, MentionKind, PathIndex};
pub use model::{Dependency, Plan, Task, Unit};
pub use problem::{Level, Problem};
pub use read::{ReadOptions, Spec, SpecReport};
pub use requirements::{Requirement, RequirementIndex};
pub use sections::{DesignParts, Hints, design_parts};
pub use select::{NotRun, SelectedUnit, Selection, plan_order, select};
pub use tasks::{parse_tasks, parse_tasks_within};
pub use tick::{shape_text, tick};
pub(crate) use units::cycles;

#[cfg(test)]
mod tests;
