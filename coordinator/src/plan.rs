//! `orchctl plan`: what a spec comes to before anything runs. Reading is `shared::spec`'s, order and waits are the scheduler's own.

use std::collections::BTreeMap;

use roundtable_core::schedule::{self, Planned, PlannedUnit};
use roundtable_shared::answer::Proposal;
use roundtable_shared::spec::{Level, Plan, Problem, ReadOptions, Spec, SpecReport, Unit, select};
use roundtable_shared::view::{PlanTask, PlanUnit, PlanView, PlanWait, ProblemView};
use roundtable_shared::{HazardRule, SubtaskState, UnitId};

/// What shapes a plan.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PlanOptions {
    /// How the spec is read.
    pub read: ReadOptions,
    /// Optional units run too.
    pub with_optional: bool,
    /// Units to run; empty = all.
    pub only: Vec<String>,
    /// Hazards.
    pub hazards: HazardRule,
    /// Paths are compared case-folded.
    pub ignore_case: bool,
    /// Units a wave takes at most; none = no bound.
    pub slots: Option<usize>,
}

/// Plans the files of a spec's folder, given by name. What could be read is there also when there are errors.
pub fn plan(files: &BTreeMap<String, Vec<u8>>, options: &PlanOptions) -> PlanView {
    plan_report(&Spec::read_with(files, options.read), options)
}

/// The same with what an assignment agent said of its units.
pub fn plan_assigned(files: &BTreeMap<String, Vec<u8>>, options: &PlanOptions, said: &[Proposal]) -> PlanView {
    let mut report = Spec::read_with(files, options.read);
    for unit in &mut report.plan.units {
        let Some(said) = said.iter().find(|said| said.unit == unit.id) else { continue };
        if let Some(writes) = &said.writes {
            unit.writes.clone_from(writes);
        }
        if let Some(reads) = &said.reads {
            unit.reads.clone_from(reads);
        }
        unit.exclusive = unit.writes.is_empty() && unit.reads.is_empty();
        for id in &said.depends_on {
            if !unit.depends_on.contains(id) {
                unit.depends_on.push(id.clone());
            }
        }
    }
    plan_report(&report, options)
}

/// The same for a spec that is read already.
pub fn plan_report(report: &SpecReport, options: &PlanOptions) -> PlanView {
    let outline = &report.plan;
    let selection = select(&outline.units, options.with_optional, &options.only, "tasks.md");
    let problems: Vec<&Problem> = report.problems.iter().chain(&selection.problems).collect();
    let has_errors = problems.iter().any(|problem| problem.level == Level::Error);
    // A plan with errors has no order: its units stand as they were read.
    let planned = if has_errors { Planned::default() } else { planned(outline, options) };
    let of = |level: Level| problems.iter().filter(move |problem| problem.level == level).map(|problem| view(problem));
    PlanView {
        units: units(outline, &planned, has_errors),
        waves: planned.waves,
        critical_path: planned.critical_path.clone(),
        errors: of(Level::Error).collect(),
        warnings: of(Level::Warning).chain(of(Level::Note)).collect(),
    }
}

fn planned(outline: &Plan, options: &PlanOptions) -> Planned {
    schedule::plan(outline, options.with_optional, &options.only, options.hazards, options.ignore_case, options.slots)
}

/// In plan order; then those that do not run, in document order.
fn units(outline: &Plan, planned: &Planned, has_errors: bool) -> Vec<PlanUnit> {
    let ranks: BTreeMap<&UnitId, usize> = planned.units.iter().enumerate().map(|(rank, unit)| (&unit.id, rank)).collect();
    let mut shown: Vec<&Unit> = outline.units.iter().collect();
    shown.sort_by_key(|unit| ranks.get(&unit.id).copied().unwrap_or(usize::MAX));
    let views = shown.into_iter().map(|unit| {
        let rank = ranks.get(&unit.id);
        unit_view(unit, rank.map(|rank| &planned.units[*rank]), has_errors)
    });
    views.collect()
}

fn unit_view(unit: &Unit, planned: Option<&PlannedUnit>, has_errors: bool) -> PlanUnit {
    let task = |task: &roundtable_shared::spec::Task| PlanTask {
        id: task.id.clone(),
        title: task.title.clone(),
        status: task.status,
        optional: task.optional,
        line: task.line,
    };
    let wait = |wait: &schedule::PlannedWait| PlanWait { unit: wait.unit.clone(), why: wait.why, path: wait.path.clone() };
    PlanUnit {
        id: unit.id.clone(),
        title: unit.title.clone(),
        optional: unit.optional,
        status: if unit.completed { SubtaskState::Completed } else { SubtaskState::NotStarted },
        runs: planned.is_some() || (has_errors && !unit.completed),
        tasks: unit.tasks.iter().map(task).collect(),
        depends_on: unit.depends_on.clone(),
        writes: unit.writes.clone(),
        reads: unit.reads.clone(),
        exclusive: unit.exclusive,
        requires: unit.requires.clone(),
        wave: planned.map_or(0, |planned| planned.wave),
        waits_for: planned.map(|planned| planned.waits_for.iter().map(wait).collect()).unwrap_or_default(),
        waits_left_out: planned.map_or(0, |planned| planned.waits_left_out),
    }
}

fn view(problem: &Problem) -> ProblemView {
    ProblemView { file: problem.file.clone(), line: problem.line, message: problem.message.clone() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn plan_of(tasks: &str, options: &PlanOptions) -> PlanView {
        let files = BTreeMap::from([("tasks.md".to_owned(), tasks.as_bytes().to_vec())]);
        plan(&files, options)
    }

    const PLAN: &str = "\
- [x] 1. Types
- [ ] 2. Parser
  - _writes: src/parser.py_
- [ ] 3. Printer
  - _writes: src/printer.py_
  - _reads: src/parser.py_
- [ ] 4. Lexer
  - _writes: src/lexer.py_
- [ ]* 5. Extras
- [ ] 6. Checkpoint
  - _reads: src/_
";

    #[test]
    fn waits_name_what_causes_them() {
        let view = plan_of(PLAN, &PlanOptions::default());
        let ids: Vec<&str> = view.units.iter().map(|unit| unit.id.as_str()).collect();
        assert_eq!(ids, ["2", "3", "4", "6", "1", "5"]);
        let waits = |at: usize| {
            view.units[at].waits_for.iter().map(|wait| (wait.unit.as_str(), wait.why.as_str(), wait.path.as_str())).collect::<Vec<_>>()
        };
        assert_eq!(waits(1), [("2", "hazard", "src/parser.py")]);
        assert_eq!(waits(2), []);
        assert_eq!(waits(3), [("2", "checkpoint", ""), ("3", "checkpoint", ""), ("4", "checkpoint", "")]);
        assert_eq!(view.units.iter().map(|unit| unit.wave).collect::<Vec<_>>(), [1, 2, 1, 3, 0, 0]);
        assert_eq!((view.waves, view.errors.len()), (3, 0));
        assert_eq!(view.critical_path.iter().map(UnitId::as_str).collect::<Vec<_>>(), ["2", "3", "6"]);
        assert_eq!((view.units[4].status, view.units[4].runs), (SubtaskState::Completed, false));
        assert!(view.units[5].optional && !view.units[5].runs);
    }

    /// Listing every earlier unit of each made hundreds of megabytes of a few thousand units.
    #[test]
    fn long_lists_of_waits_leave_out_what_follows_from_the_rest() {
        let waits = |view: &PlanView, id: &str| {
            let unit = view.units.iter().find(|unit| unit.id.as_str() == id).unwrap();
            (unit.waits_for.iter().map(|wait| wait.unit.to_string()).collect::<Vec<_>>(), unit.waits_left_out, unit.wave)
        };
        let numbers = |from: u32, to: u32| (from..=to).map(|n| n.to_string()).collect::<Vec<_>>();
        let bare: String = (1..=600).map(|n| format!("- [ ] {n}. Unit\n")).collect();
        let view = plan_of(&bare, &PlanOptions::default());
        assert_eq!(waits(&view, "257"), (numbers(1, 256), 0, 257));
        assert_eq!(waits(&view, "258"), (numbers(257, 257), 256, 258));
        assert_eq!(waits(&view, "600"), (numbers(599, 599), 598, 600));
        assert_eq!((view.waves, view.critical_path.len()), (600, 600));
        assert_eq!(plan_of(&bare, &PlanOptions { slots: Some(2), ..PlanOptions::default() }).waves, 600);
        // One file, then units beside each other, a checkpoint, and another.
        let mut text: String = (1..=300).map(|n| format!("- [ ] {n}. Unit\n  - _writes: one.txt_\n")).collect();
        text.extend((301..=700).map(|n| format!("- [ ] {n}. Unit\n  - _writes: f{n}.txt_\n")));
        text.push_str("- [ ] 701. Checkpoint\n  - _reads: src/_\n- [ ] 702. Checkpoint\n  - _reads: src/_\n");
        let view = plan_of(&text, &PlanOptions::default());
        assert_eq!(waits(&view, "300"), (numbers(299, 299), 298, 300));
        assert_eq!(waits(&view, "700"), (Vec::new(), 0, 1));
        let (listed, left_out, wave) = waits(&view, "701");
        assert_eq!((listed, left_out, wave), (numbers(445, 700), 444, 301));
        assert_eq!(waits(&view, "702"), (numbers(701, 701), 700, 302));
    }

    #[test]
    fn few_slots_make_more_waves() {
        let waves = |slots| plan_of(PLAN, &PlanOptions { slots, ..PlanOptions::default() }).waves;
        assert_eq!((waves(None), waves(Some(2)), waves(Some(1))), (3, 3, 4));
    }

    #[test]
    fn errors_leave_the_units_readable() {
        let view = plan_of("- [ ] 1. A\n  - Depends on: 2\n- [ ] 2. B\n  - Depends on: 1\n- [ ] 2. C\n", &PlanOptions::default());
        assert!(view.errors.iter().any(|error| error.message.contains("1 -> 2 -> 1")), "{:?}", view.errors);
        assert!(view.errors.iter().any(|error| error.line == 5), "{:?}", view.errors);
        assert!(view.units.iter().any(|unit| unit.id.as_str() == "1" && unit.wave == 0 && unit.runs));
    }

    #[test]
    fn missing_companions_are_errors_only_when_strict() {
        let strict = |strict| {
            plan_of("- [ ] 1. A\n", &PlanOptions { read: ReadOptions { strict, ..ReadOptions::default() }, ..PlanOptions::default() })
        };
        assert!(strict(false).errors.is_empty() && !strict(false).warnings.is_empty());
        assert!(!strict(true).errors.is_empty());
    }

    #[test]
    fn only_names_units() {
        let view = plan_of(PLAN, &PlanOptions { only: vec!["9".to_owned()], ..PlanOptions::default() });
        assert!(view.errors[0].message.contains("--only 9"), "{:?}", view.errors);
    }
}
