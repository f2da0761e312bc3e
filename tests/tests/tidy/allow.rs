//! The allow-list: exceptions with reasons, each of which must still be needed.

use std::path::Path;

use serde::Deserialize;

use crate::rust::Violation;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListFile {
    #[serde(default)]
    allow: Vec<Entry>,
}

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// Which rule: `file`, `function`, `opening`, `caller`, `word`, `bytes`, `fields`.
    rule: String,
    /// The file, relative to the root; a name that ends in `/` stands for everything below.
    path: String,
    /// The function, word or struct; all of the file if absent.
    #[serde(default)]
    subject: Option<String>,
    /// For sizes: how large it may be.
    #[serde(default)]
    max: Option<u64>,
    /// Why.
    reason: String,
}

/// The list, and which of its entries were needed.
pub struct Allow {
    entries: Vec<(Entry, bool)>,
}

impl Allow {
    pub fn load(root: &Path) -> Self {
        let text = std::fs::read_to_string(root.join("tests/tidy-allow.toml")).unwrap();
        Self::parse(&text)
    }

    fn parse(text: &str) -> Self {
        let list: ListFile = toml::from_str(text).unwrap();
        for entry in &list.allow {
            assert!(entry.reason.split_whitespace().count() >= 3, "{}: an exception needs a reason, in words", entry.path);
            assert!(
                ["file", "function", "opening", "caller", "word", "bytes", "fields"].contains(&&*entry.rule),
                "unknown rule {}",
                entry.rule
            );
        }
        Self { entries: list.allow.into_iter().map(|entry| (entry, false)).collect() }
    }

    /// Whether the list has an exception for this violation.
    pub fn takes(&mut self, rule: &str, path: &str, violation: &Violation) -> bool {
        let mut taken = false;
        for (entry, used) in &mut self.entries {
            let here = entry.rule == rule && (entry.path == path || (entry.path.ends_with('/') && path.starts_with(&entry.path)));
            let this = entry.subject.as_ref().is_none_or(|subject| *subject == violation.subject);
            if here && this && entry.max.is_none_or(|max| violation.size <= max) {
                *used = true;
                taken = true;
            }
        }
        taken
    }

    /// Exceptions nothing needed.
    pub fn stale(&self, rule: &str) -> Vec<String> {
        let unused = self.entries.iter().filter(|(entry, used)| entry.rule == rule && !used);
        unused
            .map(|(entry, _)| format!("tests/tidy-allow.toml: the exception for {} ({}) is no longer needed", entry.path, entry.rule))
            .collect()
    }
}

#[test]
fn exceptions_are_matched_and_go_stale() {
    let text = r#"
        [[allow]]
        rule = "function"
        path = "a.rs"
        subject = "table"
        max = 90
        reason = "it is one table"
        [[allow]]
        rule = "word"
        path = "fixtures/"
        reason = "recorded from a tool"
    "#;
    let long = |subject: &str, size| Violation { line: 1, subject: subject.to_owned(), detail: String::new(), size };
    let mut allow = Allow::parse(text);
    assert_eq!(allow.stale("function").len(), 1);
    assert!(!allow.takes("function", "a.rs", &long("other", 80)));
    assert!(!allow.takes("function", "a.rs", &long("table", 91)));
    assert!(!allow.takes("function", "b.rs", &long("table", 80)));
    assert!(allow.takes("function", "a.rs", &long("table", 80)));
    assert!(allow.takes("word", "fixtures/x/y.txt", &long("", 0)));
    assert!(allow.stale("function").is_empty() && allow.stale("word").is_empty());
}
