//! Rules for Rust files: sizes, openings, and who may call what.

use std::ops::Range;

use crate::File;
use crate::source::Source;

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;
const OPENING_LINES_MAX: usize = 5;

/// Something against a rule.
pub struct Violation {
    pub line: usize,
    /// The function or word, by which the allow-list names it.
    pub subject: String,
    pub detail: String,
    /// How large it is, for rules about sizes.
    pub size: u64,
}

/// Calls with one owner: the words in the code, what the owner's paths begin with, and what to do instead. Tests may call them too.
const OWNERS: &[(&[&str], &[&str], &str)] = &[
    (&["Command::new(\"git\")"], &["shared/runtime/src/git"], "only the runtime's git module spawns git"),
    (
        &["Status::internal(", "Status::invalid_argument(", "Status::not_found(", "Status::unknown(", "Status::with_details("],
        &["proto/src/convert/status.rs"],
        "errors become a gRPC status in one place: use the conversion",
    ),
    (&["std::fs::", "std::process::", "std::net::", "std::env::"], &["!shared/src/"], "shared is pure: the caller reads and passes it in"),
    (
        &["std::fs::", "std::process::", "std::net::", "std::env::", "std::thread", "SystemTime", "Instant", "println!("],
        &["!coordinator/core/src/"],
        "the core is pure: time, randomness and IO come in as arguments",
    ),
];

pub fn long_file(file: &File) -> Vec<Violation> {
    if !file.is_rust() || file.is_generated() || is_test_file(&file.path) {
        return Vec::new();
    }
    let source = Source::new(&file.text);
    let mut test_lines = vec![false; file.text.lines().count() + 2];
    for range in source.tests() {
        test_lines[source.line_of(range.start)..=source.line_of(range.end - 1)].fill(true);
    }
    let lines = (1..=file.text.lines().count()).filter(|line| !test_lines[*line]).count();
    let detail = format!("{lines} lines besides tests");
    if lines > FILE_LINES_MAX { vec![Violation { line: 1, subject: String::new(), detail, size: lines as u64 }] } else { Vec::new() }
}

pub fn long_functions(file: &File) -> Vec<Violation> {
    if !file.is_rust() || file.is_generated() || is_test_file(&file.path) {
        return Vec::new();
    }
    let source = Source::new(&file.text);
    let tests = source.tests();
    let long = source.functions().into_iter().filter(|(range, function)| function.lines > FUNCTION_LINES_MAX && !is_within(range, &tests));
    long.map(|(_, function)| {
        let detail = format!("{} lines", function.lines);
        Violation { line: function.line, subject: function.name, detail, size: function.lines as u64 }
    })
    .collect()
}

pub fn opening(file: &File) -> Vec<Violation> {
    if !file.is_rust() || file.is_generated() {
        return Vec::new();
    }
    let lines = file.text.lines().take_while(|line| line.starts_with("//!"));
    let count = lines.filter(|line| line.trim() != "//!").count();
    let detail = format!("opens with {count} such lines");
    if (1..=OPENING_LINES_MAX).contains(&count) {
        Vec::new()
    } else {
        vec![Violation { line: 1, subject: String::new(), detail, size: count as u64 }]
    }
}

pub fn callers(file: &File) -> Vec<Violation> {
    if !file.is_rust() || file.is_generated() || is_test_file(&file.path) {
        return Vec::new();
    }
    let source = Source::new(&file.text);
    let tests = source.tests();
    let mut found = Vec::new();
    for (calls, owners, instead) in OWNERS {
        if owners.iter().any(|owner| owns(owner, &file.path)) {
            continue;
        }
        for call in *calls {
            // The words may hold a literal, so look in the text, but only where the code begins them.
            let code_part = call.split('"').next().unwrap_or(call);
            for (at, _) in file.text.match_indices(call) {
                if source.code[at..].starts_with(code_part) && !is_within(&(at..at + 1), &tests) {
                    let (line, detail) = (source.line_of(at), (*instead).to_owned());
                    found.push(Violation { line, subject: (*call).to_owned(), detail, size: 0 });
                }
            }
        }
    }
    found
}

/// Whether the path is one the words belong to. `!dir` owns everything outside `dir`.
fn owns(owner: &str, path: &str) -> bool {
    owner.strip_prefix('!').map_or_else(|| path.starts_with(owner), |outside| !path.starts_with(outside))
}

/// Files that hold nothing but tests, helpers of tests or benches.
fn is_test_file(path: &str) -> bool {
    path.starts_with("tests/")
        || ["/tests/", "/tests.rs", "/benches/", "/examples/"].iter().any(|part| path.contains(part))
        || path.ends_with("_tests.rs")
}

fn is_within(range: &Range<usize>, regions: &[Range<usize>]) -> bool {
    regions.iter().any(|region| region.start <= range.start && range.end <= region.end)
}

#[cfg(test)]
fn file(path: &str, text: String) -> File {
    File { path: path.to_owned(), bytes: text.len() as u64, text }
}

#[test]
fn sizes_are_judged_without_tests() {
    let lines = |count: usize| "let a = 1;\n".repeat(count);
    let long = format!("//! A.\nfn long() {{\n{}}}\n", lines(69));
    assert_eq!(long_functions(&file("a/src/b.rs", long.clone()))[0].size, 71);
    assert!(long_functions(&file("a/src/b.rs", long.replacen("let a = 1;\n", "", 1))).is_empty());
    assert!(long_functions(&file("a/src/b/tests.rs", long.clone())).is_empty());
    assert!(long_functions(&file("a/src/b.rs", format!("#[cfg(test)]\nmod tests {{\n{long}}}\n"))).is_empty());
    let tail = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", lines(300));
    assert!(long_file(&file("a/src/b.rs", lines(500) + &tail)).is_empty());
    assert_eq!(long_file(&file("a/src/b.rs", lines(501) + &tail))[0].size, 501);
}

#[test]
fn openings_are_judged() {
    let count = |text: &str| opening(&file("a.rs", text.to_owned())).len();
    assert_eq!(
        (count("//! Owns.\n//!\n//! Not.\nuse a;\n"), count("use a;\n"), count("\n//! Late.\n"), count(&"//! Long.\n".repeat(6))),
        (0, 1, 1, 1)
    );
}

#[test]
fn callers_are_judged() {
    let subjects =
        |path: &str, text: &str| callers(&file(path, text.to_owned())).into_iter().map(|found| found.subject).collect::<Vec<_>>();
    let git = "fn a() { Command::new(\"git\"); }";
    assert_eq!(subjects("worker/src/a.rs", git), ["Command::new(\"git\")"]);
    assert!(subjects("shared/runtime/src/git/run.rs", git).is_empty());
    assert!(subjects("worker/src/a.rs", &format!("// {git}\n#[cfg(test)]\nmod tests {{ {git} }}")).is_empty());
    assert_eq!(subjects("coordinator/core/src/a.rs", "fn a() { std::time::Instant::now(); }"), ["Instant"]);
    assert!(subjects("coordinator/src/a.rs", "fn a() { std::time::Instant::now(); }").is_empty());
}
