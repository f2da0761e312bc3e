//! Links between the documents: every relative target exists, every anchor is a heading there.

use std::collections::{BTreeMap, BTreeSet};

use crate::File;

/// One line for each link that leads nowhere.
pub fn dead_links(files: &[File]) -> Vec<String> {
    let paths: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
    let headings: BTreeMap<&str, BTreeSet<String>> =
        files.iter().filter(|file| file.path.ends_with(".md")).map(|file| (file.path.as_str(), anchors(&file.text))).collect();
    let mut dead = Vec::new();
    for file in files.iter().filter(|file| file.path.ends_with(".md")) {
        for (line, target) in links(&file.text) {
            let (to, anchor) = target.split_once('#').map_or((target.as_str(), None), |(to, anchor)| (to, Some(anchor)));
            let to = if to.is_empty() { Some(file.path.clone()) } else { resolve(&file.path, to) };
            let there = to.as_deref().is_some_and(|to| {
                let dir = format!("{}/", to.trim_end_matches('/'));
                to.is_empty() || paths.contains(to) || paths.iter().any(|path| path.starts_with(&dir))
            });
            let known = |anchor: &str| to.as_deref().and_then(|to| headings.get(to)).is_none_or(|known| known.contains(anchor));
            if !there || !anchor.is_none_or(known) {
                dead.push(format!("{}:{line}: {target}", file.path));
            }
        }
    }
    dead
}

/// Relative targets of `[text](target)` outside code, with their lines.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        for (at, _) in line.match_indices("](") {
            let rest = &line[at + 2..];
            let target = rest.split([')', ' ']).next().unwrap_or_default();
            let external = target.contains("://") || target.starts_with("mailto:") || target.is_empty();
            if !external {
                found.push((number, target.to_owned()));
            }
        }
    }
    found
}

/// Lines outside fenced blocks, with inline code removed.
fn prose(text: &str) -> Vec<(usize, String)> {
    let mut fenced = false;
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            // Every second piece between back-ticks is code.
            lines.push((index + 1, line.split('`').step_by(2).collect::<Vec<_>>().join("``")));
        }
    }
    lines
}

/// Headings as anchors: lower case, punctuation dropped, blanks to hyphens, repeats numbered.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut fenced = false;
    let mut found = BTreeSet::new();
    for line in text.lines() {
        fenced ^= line.trim_start().starts_with("```");
        let title = line.trim_start_matches('#');
        if fenced || title.len() == line.len() || !title.starts_with(' ') {
            continue;
        }
        let kept = title.trim().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).flat_map(char::to_lowercase).collect();
        let repeats = (1..).map(|n| format!("{anchor}-{n}"));
        let free = std::iter::once(anchor.clone()).chain(repeats).find(|name| !found.contains(name));
        found.extend(free);
    }
    found
}

/// A target relative to a file; `None` if it leads out of the repository.
fn resolve(from: &str, to: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in to.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[test]
fn dead_links_are_found() {
    let file = |path: &str, text: &str| File { path: path.to_owned(), bytes: 0, text: text.to_owned() };
    let files = [
        file(
            "README.md",
            "[a](docs/a.md) [b](docs/) [c](docs/a.md#one-two) [d](#here) `[x](no)` [w](https://x.y/z)\n## Here\n```\n[f](no)\n```\n",
        ),
        file("docs/a.md", "# One: two!\n[up](../README.md) [out](../../x) [gone](b.md) [bad](#nope)\n# One, two\n[second](#one-two-1)\n"),
    ];
    assert_eq!(dead_links(&files), ["docs/a.md:2: ../../x", "docs/a.md:2: b.md", "docs/a.md:2: #nope"]);
}
