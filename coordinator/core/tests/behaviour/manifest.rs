//! What counts of a change, and what is said of the rest.

use crate::table::{Table, options};

#[test]
fn changes_of_the_spec_s_own_files_are_left_out_and_that_is_said() {
    let mut table = Table::with("- [ ] 1. Write a\n  - _writes: a.rs_\n", options());
    table.join("w", &[("codex", 1)]);
    let work = table.go_one("1");
    table.works(&work, &["a.rs", "spec/tasks.md"]);
    assert_eq!(table.unit("1").changed, ["a.rs"]);
    let said: Vec<&str> = table.run().notices.iter().map(|notice| notice.text.as_str()).collect();
    assert_eq!(said, ["unit 1: changes of the spec's own files are left out of its work: spec/tasks.md"]);
}
