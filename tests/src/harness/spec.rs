//! Specs, put together in code.

use std::fmt::Write;
use std::path::{Path, PathBuf};

/// A unit of a spec's `tasks.md`.
#[derive(Clone, Debug)]
pub struct Unit {
    line: String,
    details: Vec<String>,
}

impl Unit {
    /// A task with an id and a title.
    pub fn new(id: &str, title: &str) -> Self {
        Self { line: format!("- [ ] {id}. {title}"), details: Vec::new() }
    }

    /// Its box as written: `x`, `-`, `~`.
    #[must_use]
    pub fn marked(mut self, mark: &str) -> Self {
        self.line = self.line.replacen("[ ]", &format!("[{mark}]"), 1);
        self
    }

    /// Not needed.
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.line = self.line.replacen("] ", "]* ", 1);
        self
    }

    /// Any line of details.
    #[must_use]
    pub fn detail(mut self, text: &str) -> Self {
        self.details.push(format!("  - {text}"));
        self
    }

    /// A subtask.
    #[must_use]
    pub fn subtask(mut self, id: &str, title: &str) -> Self {
        self.details.push(format!("  - [ ] {id} {title}"));
        self
    }

    /// What it may write.
    #[must_use]
    pub fn writes(self, paths: &str) -> Self {
        self.detail(&format!("_writes: {paths}_"))
    }

    /// What it reads.
    #[must_use]
    pub fn reads(self, paths: &str) -> Self {
        self.detail(&format!("_reads: {paths}_"))
    }

    /// What it depends on.
    #[must_use]
    pub fn depends(self, ids: &str) -> Self {
        self.detail(&format!("_Depends: {ids}_"))
    }
}

/// A spec's texts.
#[derive(Clone, Debug)]
pub struct SpecText {
    /// Its folder's name.
    pub name: String,
    /// `tasks.md`.
    pub tasks: String,
    /// `requirements.md`, unless absent.
    pub requirements: Option<String>,
    /// `design.md`, unless absent.
    pub design: Option<String>,
}

impl SpecText {
    /// A spec of these units.
    pub fn new(name: &str, units: impl IntoIterator<Item = Unit>) -> Self {
        let mut tasks = String::from("# Tasks\n\n");
        for unit in units {
            let _ = writeln!(tasks, "{}", unit.line);
            unit.details.iter().for_each(|detail| {
                let _ = writeln!(tasks, "{detail}");
            });
        }
        Self::of_tasks(name, &tasks)
    }

    /// A spec with this `tasks.md`.
    pub fn of_tasks(name: &str, tasks: &str) -> Self {
        Self {
            name: name.to_owned(),
            tasks: tasks.to_owned(),
            requirements: Some("# Requirements\n\n### Requirement 1: All of it\n\n1. THE sample SHALL have every file.\n".to_owned()),
            design: Some("# Design\n\n## Overview\n\nFiles, each written by one unit.\n".to_owned()),
        }
    }

    /// Independent units `1…n`, each with a file of its own.
    pub fn parallel(name: &str, units: usize) -> Self {
        Self::new(name, (1..=units).map(|n| Unit::new(&n.to_string(), &format!("Part {n}")).writes(&format!("part-{n}.txt"))))
    }

    /// Writes it below `parent` and gives its folder.
    pub fn write(&self, parent: &Path) -> PathBuf {
        let dir = parent.join(&self.name);
        let put = |name: &str, text: &str| {
            std::fs::create_dir_all(&dir)
                .and_then(|()| std::fs::write(dir.join(name), text))
                .unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
        };
        put("tasks.md", &self.tasks);
        if let Some(text) = &self.requirements {
            put("requirements.md", text);
        }
        if let Some(text) = &self.design {
            put("design.md", text);
        }
        dir
    }
}
