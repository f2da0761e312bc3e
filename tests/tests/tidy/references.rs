//! What comments refer to: documents of this repository alone, and headings that are there. Whoever reads the code can read what it names.

use std::collections::{BTreeMap, BTreeSet};

use crate::File;

/// Files that the product reads and writes in repositories of its users.
const OF_USERS: [&str; 7] = ["tasks.md", "requirements.md", "design.md", "bugfix.md", "AGENTS.md", "CLAUDE.md", "PROJECT_PULSE.md"];
/// A long document: only with the heading is a reference to it of use.
const RULES: &str = "docs/rules.md";
/// The sign by which sections of documents from elsewhere are named.
const SECTION: char = '\u{a7}';

/// One line for each document that is not there, each heading that is not, and each section of nobody knows what.
pub fn violations(files: &[File]) -> Vec<String> {
    let documents = files.iter().filter(|file| file.path.ends_with(".md"));
    let headings: BTreeMap<&str, BTreeSet<String>> = documents.map(|file| (file.path.as_str(), headings(&file.text))).collect();
    let mut found = Vec::new();
    for file in files {
        for (at, line) in file.text.lines().enumerate() {
            let mut add = |what: String| found.push(format!("{}:{}: {what}", file.path, at + 1));
            if line.contains(SECTION) {
                add("a section by its number; name the document and its heading".to_owned());
            }
            let Some(comment) = comment(&file.path, line) else { continue };
            for (name, heading) in references(comment) {
                match (headings.get(name), heading) {
                    (None, _) => add(format!("there is no {name}; name documents by their path from the top")),
                    (Some(known), Some(heading)) if !known.contains(heading) => add(format!("{name} has no heading {heading:?}")),
                    (Some(_), None) if name == RULES => add(format!("write {RULES}, \"Heading\"")),
                    _ => {}
                }
            }
        }
    }
    found
}

/// What of a line is a comment.
fn comment<'a>(path: &str, line: &'a str) -> Option<&'a str> {
    let line = line.trim_start();
    if path.ends_with(".rs") || path.ends_with(".proto") {
        line.strip_prefix("//").or_else(|| line.split_once(" // ").map(|(_, comment)| comment))
    } else if path.ends_with(".md") {
        None
    } else {
        line.strip_prefix('#')
    }
}

/// Documents that a comment names, each with the heading in quotes that follows it.
fn references(comment: &str) -> Vec<(&str, Option<&str>)> {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || "./_-".contains(c);
    let mut found = Vec::new();
    for (at, _) in comment.match_indices(".md") {
        let (before, after) = (&comment[..at], &comment[at + 3..]);
        let begins = before.rfind(|c: char| !is_of_name(c)).map_or(0, |end| end + before[end..].chars().next().map_or(1, char::len_utf8));
        let name = &comment[begins..at + 3];
        let file = name.rsplit('/').next().unwrap_or(name);
        if after.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') || file == ".md" || OF_USERS.contains(&file) {
            continue;
        }
        let quoted = after.trim_start_matches('`').strip_prefix(", \"").and_then(|rest| rest.split_once('"'));
        found.push((name, quoted.map(|(heading, _)| heading)));
    }
    found
}

/// Headings outside fenced blocks, as they are read.
fn headings(text: &str) -> BTreeSet<String> {
    let mut is_fenced = false;
    let mut found = BTreeSet::new();
    for line in text.lines() {
        is_fenced ^= line.trim_start().starts_with("```");
        let title = line.trim_start_matches('#');
        if !is_fenced && title.len() < line.len() && title.starts_with(' ') {
            found.insert(title.trim().replace('`', ""));
        }
    }
    found
}

#[test]
fn what_is_not_there_is_found() {
    let file = |path: &str, text: &str| File { path: path.to_owned(), bytes: 0, text: text.to_owned() };
    let check = |path: &str, text: &str| {
        let rules = file(RULES, "# Rules\n## Reviews\n```\n# code\n```\n");
        violations(&[rules, file("docs/a.md", "# A `b`\n"), file(path, text)])
    };
    let fine = "//! Reviews (docs/rules.md, \"Reviews\"), `docs/a.md` and \"no heading\".\n/// Reads tasks.md, x/AGENTS.md and **/*.md.\nlet x = \"DESIGN.md\";\n";
    assert_eq!(check("a.rs", fine), Vec::<String>::new());
    assert_eq!(check("a.rs", "//! See docs/a.md, \"A b\"\n"), Vec::<String>::new());
    assert_eq!(check("b/Cargo.toml", "[a]\n# see docs/a.md\nreadme = \"../x.md\"\n"), Vec::<String>::new());
    for (path, text, wanted) in [
        ("a.rs", "fn a() {}\n//! As CLI.md says\n", "a.rs:2: there is no CLI.md"),
        ("a.rs", "    a(); /\u{2f} rules.md", "a.rs:1: there is no rules.md"),
        ("a.rs", "/// (docs/rules.md, \"code\")", "a.rs:1: docs/rules.md has no heading \"code\""),
        ("a.rs", "/// by `docs/rules.md`", "a.rs:1: write docs/rules.md, \"Heading\""),
        ("a.toml", "# DESIGN.md", "a.toml:1: there is no DESIGN.md"),
        ("a.proto", "// see x.md.", "a.proto:1: there is no x.md"),
        ("README.md", "see \u{a7}3", "README.md:1: a section by its number"),
    ] {
        let found = check(path, text);
        assert!(matches!(&found[..], [only] if only.starts_with(wanted)), "{text:?}: {found:?}");
    }
}
