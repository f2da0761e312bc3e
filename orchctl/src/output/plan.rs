//! `plan`, and the plan part of `run --dry-run`.

use roundtable_shared::view::{PlanUnit, PlanView, PlanWait};
use roundtable_shared::{PlanReason, SubtaskState};

use super::paint::{Paint, Style};
use super::text::{WIDTH, count, cut, pad, width, wrap};
use crate::failure::problem_line;

/// Waits shown of a unit.
const WAITS_MAX: usize = 6;

/// Units wave by wave, each with what it waits for and the path that causes it; warnings last.
pub fn render(plan: &PlanView, paint: Paint) -> String {
    let running = plan.units.iter().filter(|unit| unit.runs).count();
    let mut text = String::new();
    let widest = (1..=plan.waves).map(|wave| plan.units.iter().filter(|unit| unit.wave == wave).count()).max().unwrap_or(0);
    let waves = count(u64::from(plan.waves), "wave");
    text.push_str(&format!("{} in {waves}, at most {widest} at once\n", paint.style(Style::Strong, &count(running as u64, "unit"))));
    if !plan.critical_path.is_empty() {
        let path = plan.critical_path.iter().map(|unit| unit.as_str()).collect::<Vec<_>>().join(" > ");
        push_wrapped(&mut text, &format!("critical path: {path}"), 0);
    }
    let alone: Vec<&str> = plan.units.iter().filter(|unit| unit.runs && unit.exclusive).map(|unit| unit.id.as_str()).collect();
    if !alone.is_empty() && running > 1 {
        let verb = if alone.len() == 1 { "runs" } else { "run" };
        push_wrapped(&mut text, &format!("{} without a manifest {verb} alone: {}", count(alone.len() as u64, "unit"), alone.join(", ")), 0);
    }
    let ids = plan.units.iter().map(|unit| width(unit.id.as_str())).max().unwrap_or(0);
    for wave in 1..=plan.waves {
        text.push_str(&format!("\n{}\n", paint.style(Style::Dim, &format!("wave {wave}"))));
        for unit in plan.units.iter().filter(|unit| unit.wave == wave) {
            push_unit(&mut text, unit, ids, paint);
        }
    }
    let out: Vec<&PlanUnit> = plan.units.iter().filter(|unit| !unit.runs).collect();
    if !out.is_empty() {
        text.push_str(&format!("\n{}\n", paint.style(Style::Dim, "does not run")));
        for unit in out {
            let why = if unit.status == SubtaskState::Completed { "completed before" } else { "left out" };
            let why = if unit.optional && why == "left out" { "optional" } else { why };
            let title = cut(&unit.title, WIDTH.saturating_sub(ids + 7 + why.len()));
            text.push_str(&paint.style(Style::Dim, &format!("  {}  {title} ({why})", pad(unit.id.as_str(), ids))));
            text.push('\n');
        }
    }
    if !plan.warnings.is_empty() {
        text.push_str(&format!("\n{}\n", paint.style(Style::Warning, &count(plan.warnings.len() as u64, "warning"))));
        for warning in &plan.warnings {
            push_wrapped(&mut text, &problem_line(warning), 2);
        }
    }
    text
}

fn push_unit(text: &mut String, unit: &PlanUnit, ids: usize, paint: Paint) {
    let marks = match (unit.optional, unit.exclusive) {
        (true, true) => " (optional, exclusive: no manifest)",
        (true, false) => " (optional)",
        (false, true) => " (exclusive: no manifest)",
        (false, false) => "",
    };
    let id = paint.style(Style::Strong, &pad(unit.id.as_str(), ids));
    let title = cut(&unit.title, WIDTH.saturating_sub(ids + 4 + marks.len()));
    text.push_str(&format!("  {id}  {title}{}\n", paint.style(Style::Dim, marks)));
    let indent = ids + 4;
    let mut line = |body: String| text.push_str(&format!("{:indent$}{}\n", "", paint.style(Style::Dim, &cut(&body, WIDTH - indent))));
    if !unit.writes.is_empty() {
        line(format!("writes {}", super::units::files(&unit.writes, WIDTH - indent - 7)));
    }
    if !unit.reads.is_empty() {
        line(format!("reads  {}", super::units::files(&unit.reads, WIDTH - indent - 7)));
    }
    if !unit.requires.is_empty() {
        line(format!("needs a worker with {}", unit.requires.join(", ")));
    }
    for wait in unit.waits_for.iter().take(WAITS_MAX) {
        line(wait_text(wait));
    }
    let more = unit.waits_for.len().saturating_sub(WAITS_MAX) as u64 + u64::from(unit.waits_left_out);
    if more > 0 {
        line(format!("after {} (more with --json)", count(more, "more unit")));
    }
}

/// `after 3, which writes src/cli.py`
fn wait_text(wait: &PlanWait) -> String {
    let unit = &wait.unit;
    match wait.why {
        PlanReason::Dependency => format!("after {unit} (depends on it)"),
        PlanReason::Checkpoint => format!("after {unit} (checkpoint)"),
        PlanReason::Hazard if wait.path.is_empty() => format!("after {unit} ({})", wait.why),
        PlanReason::Hazard => format!("after {unit}, which writes {}", wait.path),
        PlanReason::Exclusive => format!("after {unit} (one of them has no manifest)"),
    }
}

fn push_wrapped(text: &mut String, body: &str, indent: usize) {
    for (n, line) in wrap(body, WIDTH - indent - 2).iter().enumerate() {
        let indent = if n == 0 { indent } else { indent + 2 };
        text.push_str(&format!("{:indent$}{line}\n", ""));
    }
}

#[cfg(test)]
mod tests {
    use roundtable_shared::view::ProblemView;

    use super::*;

    fn unit(id: &str, title: &str, wave: u32) -> PlanUnit {
        PlanUnit {
            id: id.into(),
            title: title.into(),
            optional: false,
            status: SubtaskState::NotStarted,
            runs: wave > 0,
            tasks: Vec::new(),
            depends_on: Vec::new(),
            writes: Vec::new(),
            reads: Vec::new(),
            exclusive: false,
            requires: Vec::new(),
            wave,
            waits_for: Vec::new(),
            waits_left_out: 0,
        }
    }

    #[test]
    fn waves_with_reasons() {
        let wait = |unit: &str, why: PlanReason, path: &str| PlanWait { unit: unit.into(), why, path: path.into() };
        let plan = PlanView {
            units: vec![
                PlanUnit { writes: vec!["src/store.py".into()], ..unit("1", "Store", 1) },
                PlanUnit {
                    writes: vec!["src/cli.py".into()],
                    reads: vec!["src/store.py".into()],
                    waits_for: vec![wait("1", PlanReason::Hazard, "src/store.py")],
                    ..unit("2", "Command line", 2)
                },
                PlanUnit {
                    exclusive: true,
                    waits_for: vec![wait("1", PlanReason::Exclusive, ""), wait("2", PlanReason::Dependency, "")],
                    ..unit("10", "Checkpoint", 3)
                },
                PlanUnit { optional: true, ..unit("11", "Benchmarks", 0) },
                PlanUnit { status: SubtaskState::Completed, ..unit("12", "Scaffold", 0) },
                PlanUnit { status: SubtaskState::Completed, ..unit("13", &"long ".repeat(30), 0) },
            ],
            waves: 3,
            critical_path: vec!["1".into(), "2".into(), "10".into()],
            errors: Vec::new(),
            warnings: vec![ProblemView {
                file: "tasks.md".into(),
                line: 12,
                message: "a checkbox without an id; give it one, or indent it under a task to make it a detail".into(),
            }],
        };
        let text = render(&plan, Paint::plain());
        insta::assert_snapshot!(text, @r"
        3 units in 3 waves, at most 1 at once
        critical path: 1 > 2 > 10
        1 unit without a manifest runs alone: 10

        wave 1
          1   Store
              writes src/store.py

        wave 2
          2   Command line
              writes src/cli.py
              reads  src/store.py
              after 1, which writes src/store.py

        wave 3
          10  Checkpoint (exclusive: no manifest)
              after 1 (one of them has no manifest)
              after 2 (depends on it)

        does not run
          11  Benchmarks (optional)
          12  Scaffold (completed before)
          13  long long long long long long long long long long long… (completed before)

        1 warning
          tasks.md:12: a checkbox without an id; give it one, or indent it under a
            task to make it a detail
        ");
        assert!(text.lines().all(|line| width(line) <= WIDTH));
    }
}
