//! What is wrong with a spec, where, and how to put it right. Printing and exit codes are the caller's.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How much a problem matters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Nothing is started.
    Error,
    /// Probably not meant so; the plan runs.
    Warning,
    /// How something was read.
    Note,
}

/// One problem: `file:line: what, and the fix`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Problem {
    /// How much it matters.
    pub level: Level,
    /// File name inside the spec folder.
    pub file: String,
    /// Line from 1; 0 where the file as a whole is meant.
    pub line: u32,
    /// What, and the fix.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            write!(f, "{}: {}", self.file, self.message)
        } else {
            write!(f, "{}:{}: {}", self.file, self.line, self.message)
        }
    }
}

/// Problems of one file while it is read.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) file: String,
    pub(super) problems: Vec<Problem>,
}

impl Report {
    pub(super) fn new(file: &str) -> Self {
        Self { file: file.to_owned(), problems: Vec::new() }
    }

    pub(super) fn error(&mut self, line: u32, message: impl Into<String>) {
        self.add(Level::Error, line, message.into());
    }

    pub(super) fn warning(&mut self, line: u32, message: impl Into<String>) {
        self.add(Level::Warning, line, message.into());
    }

    pub(super) fn note(&mut self, line: u32, message: impl Into<String>) {
        self.add(Level::Note, line, message.into());
    }

    fn add(&mut self, level: Level, line: u32, message: String) {
        self.problems.push(Problem { level, file: self.file.clone(), line, message });
    }

    /// In file order, errors before warnings before notes of the same line.
    pub(super) fn finish(mut self) -> Vec<Problem> {
        self.problems.sort_by(|a, b| a.line.cmp(&b.line).then(a.level.cmp(&b.level)));
        self.problems
    }
}
