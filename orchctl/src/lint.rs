//! The spec's problems, found before anything is started: errors end the command, all at once; warnings are said.

use roundtable_shared::spec::{Level, Problem, ReadOptions, Spec, SpecReport};
use roundtable_shared::view::ProblemView;

use crate::failure::{Failure, Result};
use crate::intake::SpecFolder;
use crate::output::text::count;

/// Reads a spec. With errors it is a failure that names them all.
pub fn lint(spec: &SpecFolder, options: ReadOptions) -> Result<SpecReport> {
    let report = Spec::read_with(&spec.files, options);
    let errors = of(&report, Level::Error);
    if errors.is_empty() { Ok(report) } else { Err(spec_failure(errors)) }
}

/// What is probably not meant so.
pub fn warnings(report: &SpecReport) -> Vec<ProblemView> {
    of(report, Level::Warning)
}

/// The failure of a spec with errors.
pub fn spec_failure(errors: Vec<ProblemView>) -> Failure {
    let errors_count = count(errors.len() as u64, "error");
    Failure::usage(format!("the spec has {errors_count}; nothing was started")).problems(errors)
}

fn of(report: &SpecReport, level: Level) -> Vec<ProblemView> {
    report.problems.iter().filter(|problem| problem.level == level).map(view).collect()
}

fn view(problem: &Problem) -> ProblemView {
    ProblemView { file: problem.file.clone(), line: problem.line, message: problem.message.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    fn spec(tasks: &str) -> SpecFolder {
        SpecFolder { path: "/s".into(), files: [("tasks.md".to_owned(), tasks.as_bytes().to_vec())].into() }
    }

    #[test]
    fn errors_end_it_and_warnings_do_not() {
        let report = lint(&spec("- [ ] 1. One\n"), ReadOptions::default());
        assert!(report.is_ok_and(|report| !warnings(&report).is_empty()), "requirements and design are missing");
        let failure = lint(&spec("- [ ] 1. One\n- [ ] 1. Twice\n"), ReadOptions::default()).err();
        assert!(failure.is_some_and(|failure| failure.exit() == Exit::Usage));
        assert!(lint(&spec("- [ ] 1. One\n"), ReadOptions { strict: true, ..ReadOptions::default() }).is_err());
    }
}
