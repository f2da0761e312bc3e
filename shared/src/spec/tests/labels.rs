//! `_requires:` lines: what they take, and what is none.

use super::plan;

fn requires(line: &str) -> (Vec<String>, usize) {
    let read = plan(&format!("- [ ] 1. Train\n  - {line}\n"));
    (read.units[0].requires.clone(), read.problems.len())
}

#[test]
fn labels_are_listed_like_paths() {
    for line in ["_requires: gpu, zone=eu_", "_Requires: gpu, zone=eu_", "**Requires:** gpu, `zone=eu`", "*requires*: gpu, zone = eu"] {
        assert_eq!(requires(line).0, ["gpu", "zone=eu"], "{line}");
    }
    assert_eq!(requires("_requires: none_"), (Vec::new(), 0));
}

#[test]
fn prose_and_numbers_ask_nothing_of_workers() {
    for line in ["Requires: gpu", "requires a gpu", "_Requires: 1.2, 1.3_", "_Requires: 2_"] {
        assert_eq!(requires(line).0, Vec::<String>::new(), "{line}");
    }
}

#[test]
fn what_is_no_label_is_warned_of_and_the_rest_taken() {
    let (labels, problems) = requires("_requires: gpu, a big one_");
    assert_eq!((labels.as_slice(), problems), (["gpu".to_owned()].as_slice(), 1));
}

#[test]
fn a_unit_asks_for_what_its_tasks_ask_for() {
    let read = plan("- [ ] 1. Train\n  - _requires: gpu_\n  - [ ] 1.1 Load\n    - _requires: disk, gpu_\n- [ ] 2. Tell\n");
    assert_eq!(read.units[0].requires, ["gpu", "disk"]);
    assert!(read.units[1].requires.is_empty());
}
