//! `tasks.md` as a whole: has its lines read, grown into tasks and made units. The entry point of the parser.

use super::kinds::{self, Kind};
use super::lines;
use super::model::Plan;
use super::problem::{Problem, Report};
use super::tree;
use super::units;
use crate::limits::{SPEC_FILE_BYTES_MAX, UNITS_MAX};

/// Reads a plan. Never fails: everything that is wrong is in [`Plan::problems`].
pub fn parse_tasks(bytes: &[u8], file: &str) -> Plan {
    parse_tasks_within(bytes, file, UNITS_MAX)
}

/// The same for a plan of so many units at most; one with more is an error, and has no others.
pub fn parse_tasks_within(bytes: &[u8], file: &str, units_max: usize) -> Plan {
    read(bytes, file, units_max).plan
}

/// A plan with what only [`super::tick()`] needs.
pub(super) struct Reading {
    pub(super) plan: Plan,
    /// Task id, and the byte range between its brackets.
    pub(super) boxes: Vec<(String, (usize, usize))>,
}

pub(super) fn read(bytes: &[u8], file: &str, units_max: usize) -> Reading {
    let mut report = Report::new(file);
    let text = match checked_text(bytes) {
        Ok(text) => text,
        Err(message) => {
            report.error(line_of(bytes), message);
            return Reading { plan: Plan { problems: report.finish(), ..Plan::default() }, boxes: Vec::new() };
        }
    };
    let lines = lines::split(text, &mut report);
    let mut kinds: Vec<Kind<'_>> = kinds::classify(&lines);
    let generated_ids = !kinds::accept_ids(&mut kinds);
    let grown = tree::grow(&lines, &kinds, generated_ids, &mut report);
    let boxes = grown.boxes;
    let units = units::gather(grown.tasks, units_max, &mut report);
    if units.is_empty() && report.problems.iter().all(|problem| problem.level != super::Level::Error) {
        report.error(1, "there are no tasks; write at least one line such as `- [ ] 1. Title`");
    }
    Reading { plan: Plan { generated_ids: generated_ids && !units.is_empty(), units, problems: report.finish() }, boxes }
}

/// The text of a spec file, or why there is none.
pub(super) fn checked_text(bytes: &[u8]) -> Result<&str, String> {
    if bytes.len() > SPEC_FILE_BYTES_MAX {
        return Err(format!("the file has {} bytes, more than {SPEC_FILE_BYTES_MAX}; split the spec", bytes.len()));
    }
    std::str::from_utf8(bytes).map_err(|error| format!("invalid UTF-8 at byte {}; save the file as UTF-8", error.valid_up_to()))
}

/// Line of the first byte that is no UTF-8.
fn line_of(bytes: &[u8]) -> u32 {
    let valid = std::str::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), |_| 0);
    let newlines = bytes[..valid].iter().filter(|byte| **byte == b'\n').count();
    u32::try_from(newlines).unwrap_or(u32::MAX).saturating_add(1)
}

/// A file-wide problem without lines of its own.
pub(super) fn file_problem(level: super::Level, file: &str, message: impl Into<String>) -> Problem {
    Problem { level, file: file.to_owned(), line: 0, message: message.into() }
}
