//! `PROJECT_PULSE.md`: our lines are written anew from the state, a person's own lines stay where they are. A file without the four sections is no
//! pulse, and is left alone.

mod document;
mod ours;
mod sections;

use roundtable_core::state::Run;
use roundtable_shared::spec::{design_overview, first_mermaid};
use roundtable_shared::text::{is_harmful, markdown, one_line, plain};
use roundtable_shared::time::WallMs;
use roundtable_shared::view::ExistingPulse;
use roundtable_shared::{Decision, UnitState};

use self::document::{Document, Section, Sub};
use self::ours::Authors;
use self::sections::{SectionKind, SubKind};
use super::form::AgentState;
use crate::view;

/// Lines of completed and of running units that are shown.
const SHOWN_MAX: usize = 5;
/// Anchors that are shown.
const ANCHORS_MAX: usize = 5000;
/// Start and end of what is taken from `design.md`.
const DESIGN_BEGIN: &str = "<!-- from design.md -->";
const DESIGN_END: &str = "<!-- end of design.md -->";

/// Why a pulse was left as it is.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PulseProblem {
    /// Sections are missing.
    #[error("Could not parse PULSE document structure: there is no section {}", .0.join(", "))]
    SectionsMissing(Vec<&'static str>),
}

/// A pulse as it is to stand.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pulse {
    /// Its text.
    pub text: String,
    /// A person's lines in it that have the form of ours.
    pub kept: Vec<String>,
}

/// The pulse made from the run and what stands there now.
pub fn pulse(run: &Run, state: &AgentState, now: WallMs, existing: &ExistingPulse) -> Result<Pulse, PulseProblem> {
    let mut authors = Authors::new(existing.foreign_lines.as_deref());
    let mut document = match existing.existing_pulse.as_deref().filter(|text| !text.trim().is_empty()) {
        Some(text) => Document::parse(text, &mut authors).map_err(PulseProblem::SectionsMissing)?,
        None => Document::blank(),
    };
    for section in &mut document.sections {
        fill(section, run, state, now);
    }
    document.settle_kept(&mut authors.kept);
    Ok(Pulse { text: document.to_text(), kept: authors.kept })
}

fn fill(section: &mut Section, run: &Run, state: &AgentState, now: WallMs) {
    match section.kind {
        Some(SectionKind::MentalModel) => section.ours = mental_model(run, &section.theirs),
        Some(SectionKind::NarrativeDelta) => section.ours = narrative(run, state),
        Some(SectionKind::Risks) => {
            for sub in &mut section.subs {
                fill_sub(sub, run, state, now);
            }
        }
        Some(SectionKind::Anchors) => section.ours = none_if_empty(anchors(run)),
        None => {}
    }
}

fn fill_sub(sub: &mut Sub, run: &Run, state: &AgentState, now: WallMs) {
    let lines = match sub.kind {
        Some(SubKind::Warnings) => warnings(state),
        Some(SubKind::Debt) => debt(state),
        Some(SubKind::Decisions) => decisions(run, now),
        None => return,
    };
    sub.ours = none_if_empty(lines);
}

fn none_if_empty(lines: Vec<String>) -> Vec<String> {
    if lines.is_empty() { vec!["- None".to_owned()] } else { lines }
}

/// The design's overview and first diagram, unless a person put the same text there.
fn mental_model(run: &Run, theirs: &[String]) -> Vec<String> {
    let Some(design) = run.origin.spec.design.as_deref() else { return Vec::new() };
    let mut inside = Vec::new();
    if let Some(overview) = design_overview(design).map(|text| one_line(&text))
        && !theirs.iter().any(|line| line.trim() == overview)
    {
        inside.push(markdown(&overview));
    }
    if let Some(diagram) = first_mermaid(design) {
        let fence = fence_for(diagram);
        if !inside.is_empty() {
            inside.push(String::new());
        }
        inside.push(format!("{fence}mermaid"));
        inside.extend(diagram.lines().map(|line| plain(line.trim_end_matches('\r'))));
        inside.push(fence);
    }
    if inside.is_empty() {
        return inside;
    }
    inside.insert(0, DESIGN_BEGIN.to_owned());
    inside.push(DESIGN_END.to_owned());
    inside
}

fn fence_for(body: &str) -> String {
    let longest = body.lines().map(|line| line.trim_start().chars().take_while(|c| *c == '`').count()).max().unwrap_or(0);
    "`".repeat((longest + 1).max(3))
}

fn narrative(run: &Run, state: &AgentState) -> Vec<String> {
    let count = |states: &[UnitState]| state.tasks.iter().filter(|task| states.iter().any(|state| task.status == state.as_str())).count();
    let mut lines = vec![
        format!("**Orchestration spec:** `{}`", one_line(&run.origin.source.spec_path).replace('`', "?")),
        String::new(),
        "**Progress Summary:**".to_owned(),
        format!("- Total tasks: {}", state.tasks.len()),
        format!("- Completed: {}", count(&[UnitState::Completed])),
        format!("- In progress: {}", count(&[UnitState::InProgress, UnitState::FixRequired])),
        format!("- Pending review: {}", count(&[UnitState::PendingReview, UnitState::UnderReview, UnitState::FinalReview])),
        format!("- Blocked: {}", count(&[UnitState::Blocked])),
    ];
    let mut completed: Vec<_> = run.units().filter(|unit| unit.state() == UnitState::Completed && unit.completed_at().is_some()).collect();
    completed.sort_by_key(|unit| (unit.completed_at(), unit.spec.position));
    if !completed.is_empty() {
        lines.extend([String::new(), "**Recent Completions:**".to_owned()]);
        let recent = completed.iter().rev().take(SHOWN_MAX);
        lines.extend(recent.map(|unit| format!("- ✅ {}: {}", unit.id, markdown(&unit.spec.title))));
    }
    let mut running = run.in_order().filter(|unit| unit.state() == UnitState::InProgress).take(SHOWN_MAX).peekable();
    if running.peek().is_some() {
        lines.extend([String::new(), "**Currently In Progress:**".to_owned()]);
        lines.extend(running.map(|unit| {
            let owner = unit.assignment.owner.as_ref().map_or("no owner", |owner| owner.as_str());
            format!("- 🔄 {}: {} ({owner})", unit.id, markdown(&unit.spec.title))
        }));
    }
    lines
}

fn warnings(state: &AgentState) -> Vec<String> {
    let lines = state.blocked_items.iter().map(|item| {
        let resolution = item.required_resolution.as_deref().map(markdown).filter(|text| !text.is_empty());
        let resolution = resolution.map(|text| format!(" (Resolution: {text})")).unwrap_or_default();
        format!("- 🚫 BLOCKED: [{}] {}{resolution}", item.task_id, markdown(&item.blocking_reason))
    });
    lines.collect()
}

fn debt(state: &AgentState) -> Vec<String> {
    let lines = state.deferred_fixes.iter().map(|fix| format!("- [{}] {} ({})", fix.task_id, markdown(&fix.description), fix.severity));
    lines.collect()
}

fn decisions(run: &Run, now: WallMs) -> Vec<String> {
    let line = |decision: &Decision| {
        let options: Vec<String> = decision.options.iter().map(|option| markdown(option)).collect();
        let escalated = if view::is_escalated(run, decision, now) { " ⚠️ ESCALATED" } else { "" };
        let (context, task) = (markdown(&decision.context), view::decision_task(decision));
        format!("- [{}] {context} (task: {task}) Options: {}{escalated}", decision.id, options.join(", "))
    };
    view::open_decisions(run).into_iter().map(line).collect()
}

/// A line per file and completed unit; the module is the file's top folder.
fn anchors(run: &Run) -> Vec<String> {
    let completed = run.units().filter(|unit| unit.state() == UnitState::Completed);
    let lines = completed.flat_map(|unit| {
        unit.files().into_iter().map(move |path| {
            let path: String = path.chars().map(|c| if is_harmful(c) || matches!(c, '\n' | '\t' | '`') { '?' } else { c }).collect();
            let module = path.split_once('/').map_or("root", |(top, _)| top);
            format!("- [{module}] `{path}` -> `{}`", unit.id)
        })
    });
    lines.take(ANCHORS_MAX).collect()
}
