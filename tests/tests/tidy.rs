//! Holds the house to its own rules: sizes, openings, dependencies, who may call what, circles, links in documents, words that must not be committed.
//!
//! Exceptions are in `tests/tidy-allow.toml`, each with its reason; one that is no longer needed fails here too.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "tidy/allow.rs"]
mod allow;
#[path = "tidy/circles.rs"]
mod circles;
#[path = "tidy/documents.rs"]
mod documents;
#[path = "tidy/faults.rs"]
mod faults;
#[path = "tidy/fields.rs"]
mod fields;
#[path = "tidy/floors.rs"]
mod floors;
#[path = "tidy/graph/mod.rs"]
mod graph;
#[path = "tidy/manifests.rs"]
mod manifests;
#[path = "tidy/references.rs"]
mod references;
#[path = "tidy/rust.rs"]
mod rust;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/words.rs"]
mod words;

use std::path::{Path, PathBuf};

use allow::Allow;

/// Floors of the core from the bottom up: a file names what is below it, and of its own floor nothing but what is in the same entry.
const FLOORS_OF_CORE: floors::Floors<'_> = &[
    &["planted.rs", "entropy.rs", "now.rs", "shared.rs"],
    &["state/"],
    &["command.rs", "command/", "effect.rs", "fleet/", "transition.rs", "transition/"],
    &["change.rs"],
    &["apply/"],
    &["txn.rs"],
    &["rules/"],
    &["schedule/"],
    &[
        "moves/attempt.rs",
        "moves/ask.rs",
        "moves/orchestrator.rs",
        "moves/run.rs",
        "moves/merge.rs",
        "moves/cordon.rs",
        "moves/park.rs",
        "moves/subtasks.rs",
        "moves/review.rs",
        "moves/dropped.rs",
    ],
    &["moves/lease.rs", "moves/close.rs", "moves/reassignment.rs", "moves/outcome.rs", "moves/flight.rs", "moves/base_check.rs"],
    &["moves/unit.rs", "moves/step.rs", "moves/plan.rs"],
    &["moves/fix.rs", "moves/contention.rs", "moves/setback.rs", "moves/refusal.rs", "moves/end.rs"],
    &["moves/loss.rs", "moves/send_back.rs", "moves/accept.rs", "moves/land.rs", "moves/retry.rs"],
    &["moves/assignment.rs", "moves/peer.rs", "moves/drain.rs", "moves/errand.rs"],
    &["moves/mod.rs"],
    &[
        "decide/access.rs",
        "decide/lease.rs",
        "decide/operate/answer.rs",
        "decide/operate/assign.rs",
        "decide/operate/attach.rs",
        "decide/operate/cancel.rs",
        "decide/operate/document.rs",
        "decide/operate/drain.rs",
        "decide/operate/pause.rs",
        "decide/operate/remove.rs",
        "decide/operate/step.rs",
        "decide/report/assign.rs",
        "decide/report/check.rs",
        "decide/report/consult.rs",
        "decide/report/review.rs",
        "decide/report/work.rs",
        "decide/shell/closed.rs",
        "decide/shell/merged.rs",
        "decide/shell/moved.rs",
        "decide/shell/prepared.rs",
        "decide/submit/import.rs",
        "decide/tick.rs",
        "decide/worker.rs",
    ],
    &["decide/operate/mod.rs", "decide/report/mod.rs", "decide/shell/mod.rs", "decide/submit/mod.rs"],
    &["decide/mod.rs"],
    &[
        "settle/contention.rs",
        "settle/end.rs",
        "settle/judge.rs",
        "settle/land.rs",
        "settle/release.rs",
        "settle/review.rs",
        "settle/step.rs",
        "settle/train.rs",
    ],
    &["settle/advance.rs"],
    &["settle/dispatch/"],
    &["settle/mod.rs"],
    &["invariants/"],
    &["core.rs"],
    &["batch.rs", "publisher.rs"],
    &["lib.rs"],
];

/// A file of the repository.
struct File {
    /// Relative to the root, with `/`.
    path: String,
    /// Its text; empty for what is not UTF-8.
    text: String,
    bytes: u64,
}

impl File {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether the file says of itself that a tool wrote it.
    fn is_generated(&self) -> bool {
        self.text.lines().take(3).any(|line| line.contains("@generated"))
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// All files but build output and git's own.
fn files() -> Vec<File> {
    let root = root();
    let mut found = Vec::new();
    let mut dirs = vec![root.clone()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).unwrap().map(Result::unwrap) {
            let name = entry.file_name();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() && ![".git", "target", "build"].map(std::ffi::OsStr::new).contains(&&*name) {
                dirs.push(entry.path());
            } else if kind.is_file() && !name.to_string_lossy().ends_with(".swp") && name != ".git" {
                let path = entry.path().strip_prefix(&root).unwrap().to_str().expect("file names are UTF-8").to_owned();
                let bytes = std::fs::read(entry.path()).unwrap();
                found.push(File { path, bytes: bytes.len() as u64, text: String::from_utf8(bytes).unwrap_or_default() });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(found.iter().filter(|file| file.is_rust()).count() > 50, "the repository is not where it is looked for");
    found
}

/// Fails with one line per violation.
fn report(what: &str, violations: Vec<String>) {
    assert!(violations.is_empty(), "\n{what}:\n  {}\n", violations.join("\n  "));
}

/// Applies one rule to every file, minus what is allowed for `rule`.
fn check(rule: &str, what: &str, violations: impl Fn(&File) -> Vec<rust::Violation>) {
    let mut allow = Allow::load(&root());
    let mut found = Vec::new();
    for file in files() {
        found.extend(violations(&file).into_iter().filter(|violation| !allow.takes(rule, &file.path, violation)).map(|violation| {
            let rust::Violation { line, subject, detail, .. } = violation;
            format!("{}:{line}: {subject}{}{detail}", file.path, if subject.is_empty() { "" } else { ": " })
        }));
    }
    found.extend(allow.stale(rule));
    report(what, found);
}

#[test]
fn files_are_short() {
    check("file", "a file has at most 500 lines besides tests; split it by verb or concern", rust::long_file);
}

#[test]
fn functions_are_short() {
    check("function", "a function has at most 70 lines; give its steps names", rust::long_functions);
}

#[test]
fn structs_of_the_core_are_small() {
    check("fields", "a struct or variant of the core has at most 15 fields; name what belongs together", fields::large_structs);
}

#[test]
fn files_say_what_they_own() {
    check("opening", "a Rust file opens with 1 to 5 lines of `//!`: what it owns and what it deliberately does not", rust::opening);
}

#[test]
fn only_their_owners_call_them() {
    check("caller", "this is called in one place only", rust::callers);
}

#[test]
fn nothing_is_committed_that_should_not_be() {
    check("word", "this must not be committed", words::forbidden);
}

#[test]
fn files_are_small() {
    check("bytes", "a file of more than 512 KiB does not belong into the repository", words::large);
}

#[test]
fn links_lead_somewhere() {
    let files = files();
    report("a relative link leads nowhere", documents::dead_links(&files));
}

#[test]
fn comments_name_documents_that_are_here() {
    report("a comment refers to what is not in the repository", references::violations(&files()));
}

#[test]
fn every_fault_has_its_tests() {
    report("docs/faults.md and the tests do not agree", faults::violations(&files()));
}

#[test]
fn members_follow_the_workspace() {
    report("a member's manifest breaks the house rules", manifests::member_violations(&root(), &files()));
}

#[test]
fn dependencies_follow_the_table() {
    report("a dependency is not in the table of tidy/manifests.rs", manifests::table_violations(&root()));
}

#[test]
fn files_name_each_other_in_no_circles() {
    report("files of a crate name each other in a circle; move what ties them into the lower one", circles::violations(&files()));
}

#[test]
fn the_core_keeps_to_its_floors() {
    let files = files();
    let graph = graph::Graph::of(&files, "coordinator/core/src/lib.rs");
    report("a file of the core names what is not below it", floors::violations(&graph, FLOORS_OF_CORE));
}
