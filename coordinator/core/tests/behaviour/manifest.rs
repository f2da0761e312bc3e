//! What counts of a change, and what is said of the rest.
#![allow(clippy::unwrap_used)]

use roundtable_shared::{ChangeKind, ChangedPath, EntryKind, Severity};

use crate::table::{Table, options};

#[test]
fn changes_of_the_spec_s_own_files_are_left_out_and_that_is_said() {
    let mut table = Table::with("- [ ] 1. Write a\n  - _writes: a.rs_\n", options());
    table.join("w", &[("codex", 1)]);
    let work = table.go_one("1");
    table.works(&work, &["a.rs", "spec/tasks.md"]);
    assert_eq!(table.unit("1").work.changed, ["a.rs"]);
    let said: Vec<&str> = table.run().people.notices.iter().map(|notice| notice.text.as_str()).collect();
    assert_eq!(said, ["unit 1: changes of the spec's own files are left out of its work: spec/tasks.md"]);
}

fn reencoded(path: &str) -> ChangedPath {
    ChangedPath { path: path.to_owned(), change: ChangeKind::Modified, entry: EntryKind::File, unreadable: false, reencoded: true }
}

#[test]
fn a_file_in_another_encoding_is_a_breach_unless_the_writes_name_it() {
    let mut table = Table::with("- [ ] 1. Write a\n  - _writes: a.rs, lines/_\n- [ ] 2. Everything\n", options());
    table.join("w", &[("codex", 1), ("codex-review", 1)]);
    let work = table.go_one("1");
    table.works_changing(&work, vec![reencoded("a.rs"), reencoded("lines/b.txt"), reencoded("free.txt")]);
    let breach = table.unit("1").work.breach.as_ref().unwrap();
    assert_eq!(breach.paths.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(), ["free.txt"]);
    assert!(breach.paths[0].1.contains("line ends"), "{breach:?}");
    assert_eq!(table.unit("1").counters.fix_attempts, 0);

    // The same turn again, with the file put back.
    let again = table.go_one("1");
    table.works_changing(&again, vec![reencoded("a.rs"), reencoded("lines/b.txt")]);
    assert_eq!(table.unit("1").work.changed, ["a.rs", "lines/b.txt"]);
    let review = table.go_one("1");
    table.reviews(&review, Severity::None);
    table.integrate();

    // A unit without a manifest may write everything, but nobody asked it for this.
    let all = table.go_one("2");
    table.works_changing(&all, vec![reencoded("free.txt")]);
    assert!(table.unit("2").work.breach.is_some());
}

#[test]
fn files_that_steer_the_repository_or_this_project_need_an_entry_of_their_own() {
    let mut table = Table::with("- [ ] 1. Write a\n  - _writes: a.rs, conf/, .github/_\n", options());
    table.join("w", &[("codex", 1)]);
    let work = table.go_one("1");
    let protected = [
        "roundtable.toml",
        "conf/Roundtable.toml",
        "conf/.gitattributes",
        ".github/workflows/x.yml",
        ".github/workflows",
        ".GitHub/Workflows/y",
    ];
    let mut paths = vec!["a.rs", ".gitignore", "conf/other.toml", ".github/workflows.md"];
    paths.extend(protected);
    table.works(&work, &paths);
    let breach = table.unit("1").work.breach.as_ref().unwrap();
    assert_eq!(breach.paths.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(), protected);

    let named = ["roundtable.toml", "sub/.gitattributes", ".github/workflows/ci.yml"];
    let mut table = Table::with(&format!("- [ ] 1. Set up\n  - _writes: {}_\n", named.join(", ")), options());
    table.join("w", &[("codex", 1)]);
    let work = table.go_one("1");
    table.works(&work, &named);
    assert!(table.unit("1").work.breach.is_none());
    assert_eq!(table.unit("1").work.changed.len(), named.len());
}
