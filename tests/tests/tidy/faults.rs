//! `docs/faults.md`: every fault has its row, and every test that is named anywhere in it exists.

use std::collections::{BTreeMap, BTreeSet};

use crate::File;
use crate::source::Source;

const DOCUMENT: &str = "docs/faults.md";
/// Faults of the matrix, numbered from 1.
const FAULTS: usize = 38;

/// One line for each row that is missing, out of order or says of no test, and for each test that is not there.
pub fn violations(files: &[File]) -> Vec<String> {
    let Some(document) = files.iter().find(|file| file.path == DOCUMENT) else { return vec![format!("{DOCUMENT} is not there")] };
    let known = tests(files);
    let mut found = Vec::new();
    let mut next = 1;
    for (line, text) in document.text.lines().enumerate().map(|(at, text)| (at + 1, text)) {
        let names = names(text);
        found.extend(names.iter().filter(|name| !known.contains(**name)).map(|name| format!("{DOCUMENT}:{line}: there is no test {name}")));
        let Some(number) = row(text) else { continue };
        if number != next {
            found.push(format!("{DOCUMENT}:{line}: row {number} stands where {next} should"));
        }
        next = number + 1;
        let last = text.trim_end().trim_end_matches('|').rsplit('|').next().unwrap_or_default();
        if names.is_empty() && !last.contains("later: ") {
            found.push(format!("{DOCUMENT}:{line}: row {number} names neither a test nor the later step that brings it"));
        }
    }
    if next != FAULTS + 1 {
        found.push(format!("{DOCUMENT}: the matrix has {FAULTS} rows, and ends before row {next}"));
    }
    found
}

/// The number of a row of the matrix.
fn row(line: &str) -> Option<usize> {
    line.strip_prefix("| ")?.split(" |").next()?.trim().parse().ok()
}

/// Tests that a line names: paths between back-ticks.
fn names(line: &str) -> Vec<&str> {
    let is_name = |text: &&str| {
        text.contains("::") && text.split("::").all(|part| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
    };
    // Every second piece is code.
    line.split('`').skip(1).step_by(2).filter(is_name).collect()
}

/// All tests, called by their suite (the crate without `roundtable-`, or the test target) and the path within; fuzz targets as `fuzz::NAME`.
fn tests(files: &[File]) -> BTreeSet<String> {
    let crates: BTreeMap<&str, String> = files.iter().filter_map(crate_of).collect();
    let mut found = BTreeSet::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        if let Some((_, target)) = file.path.split_once("/fuzz/src/bin/") {
            found.insert(format!("fuzz::{}", target.trim_end_matches(".rs")));
        }
        let Some(place) = place(&file.path, &crates) else { continue };
        found.extend(Source::new(&file.text).test_names().into_iter().map(|name| format!("{place}::{name}")));
    }
    found
}

/// A crate's folder and its name.
fn crate_of(file: &File) -> Option<(&str, String)> {
    let dir = file.path.strip_suffix("/Cargo.toml")?;
    let name = file.text.lines().find_map(|line| line.strip_prefix("name = \""))?.trim_end_matches('"');
    Some((dir, name.trim_start_matches("roundtable-").to_owned()))
}

/// What the tests of a file are called by: `worker::spool` for `worker/src/spool/mod.rs`, `hosts::saved` for `tests/tests/hosts/saved.rs`.
fn place(path: &str, crates: &BTreeMap<&str, String>) -> Option<String> {
    let owner = crates.iter().filter(|(dir, _)| path.starts_with(&format!("{dir}/"))).max_by_key(|(dir, _)| dir.len());
    let (dir, name) = owner?;
    let (kind, within) = path[dir.len() + 1..].strip_suffix(".rs")?.split_once('/')?;
    let mut parts: Vec<&str> = match kind {
        "src" => std::iter::once(name.as_str()).chain(within.split('/')).collect(),
        "tests" => within.split('/').collect(),
        _ => return None,
    };
    if parts.len() > 1 && ["mod", "lib", "main"].contains(parts.last()?) {
        parts.pop();
    }
    Some(parts.join("::"))
}

#[test]
fn rows_and_names_that_are_wrong_are_found() {
    let file = |path: &str, text: &str| File { path: path.to_owned(), bytes: 0, text: text.to_owned() };
    let mut rows: Vec<String> = (1..=FAULTS).map(|n| format!("| {n} | fault | holds | `hosts::saved::is` |")).collect();
    let check = |rows: &[String]| {
        violations(&[
            file(DOCUMENT, &rows.join("\n")),
            file("tests/Cargo.toml", "[package]\nname = \"roundtable-tests\"\n"),
            file("tests/tests/hosts/saved.rs", "#[test]\nfn is() {}\n"),
            file("worker/Cargo.toml", "[package]\nname = \"roundtable-worker\"\n"),
            file("worker/src/spool/mod.rs", "mod tests {\n#[test]\nfn is() {}\n}\n"),
            file("tests/fuzz/src/bin/frames.rs", "fn none() {}\n"),
        ])
    };
    assert_eq!(check(&rows), Vec::<String>::new());
    rows[3] = "| 4 | `a::B` is code | `x::` | `worker::spool::tests::is`, `fuzz::frames` |".to_owned();
    assert_eq!(check(&rows), ["docs/faults.md:4: there is no test a::B"]);
    rows[3] = "| 4 | fault | holds | later: another step |".to_owned();
    assert_eq!(check(&rows), Vec::<String>::new());
    rows[3] = "| 4 | fault | later: that | `one` |".to_owned();
    rows[5] = "| 6 | fault | holds | `hosts::saved::was` |".to_owned();
    rows.remove(6);
    let found = check(&rows);
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(
        found[0].contains("row 4 names neither") && found[1].contains("no test hosts::saved::was") && found[2].contains("row 8 stands")
    );
    rows.truncate(20);
    assert!(check(&rows).iter().any(|found| found.contains("ends before")));
}
