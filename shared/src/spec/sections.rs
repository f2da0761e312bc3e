//! The parts of a design that concern one unit. Pure: text in, its sections in two heaps out, nothing reworded and nothing lost.

use std::collections::BTreeSet;

use super::checkbox;
use super::lines;
use super::problem::Report;

/// A section speaks of a unit from this many points on.
const NEAR_POINTS: u32 = 4;
/// Shortest word of a title that is looked for, characters.
const WORD_CHARS_MIN: usize = 4;
/// Words of titles that say nothing of what a unit is about.
const COMMON: &[&str] = &[
    "about",
    "add",
    "adds",
    "and",
    "based",
    "basic",
    "build",
    "checkpoint",
    "code",
    "component",
    "components",
    "configure",
    "create",
    "creates",
    "define",
    "design",
    "ensure",
    "feature",
    "features",
    "file",
    "files",
    "final",
    "for",
    "from",
    "function",
    "functions",
    "implement",
    "implementation",
    "implements",
    "initial",
    "integrate",
    "integration",
    "into",
    "logic",
    "make",
    "module",
    "necessary",
    "needed",
    "project",
    "required",
    "requirements",
    "setup",
    "structure",
    "support",
    "system",
    "task",
    "test",
    "tests",
    "that",
    "the",
    "their",
    "this",
    "unit",
    "update",
    "using",
    "when",
    "with",
    "write",
    "properties",
    "property",
    "data",
    "models",
    "model",
    "service",
    "services",
];

/// What a unit is about, as far as a design could name it.
#[derive(Clone, Debug, Default)]
pub struct Hints {
    paths: Vec<String>,
    requirements: Vec<String>,
    words: BTreeSet<String>,
}

impl Hints {
    /// Of the unit's paths, its linked requirements, and the titles of it and its steps.
    pub fn new<'a>(
        paths: impl IntoIterator<Item = &'a str>,
        requirements: impl IntoIterator<Item = &'a str>,
        titles: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let name = |path: &str| {
            let last = path.trim_end_matches('/').rsplit('/').find(|part| !part.contains('*')).unwrap_or_default().to_lowercase();
            Some(last).filter(|last| last.chars().count() >= WORD_CHARS_MIN)
        };
        let words = titles.into_iter().flat_map(words_of).filter(|word| !COMMON.contains(&word.as_str()));
        Self {
            paths: paths.into_iter().filter_map(name).collect(),
            requirements: requirements.into_iter().map(str::to_lowercase).collect(),
            words: words.collect(),
        }
    }
}

/// A design, sorted for one unit.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DesignParts {
    /// Sections that speak of the unit, with the headings above them, as they follow one another.
    pub near: String,
    /// All others.
    pub rest: String,
}

/// Sorts a design's sections by whether they speak of a unit.
pub fn design_parts(design: &str, hints: &Hints) -> DesignParts {
    let sections = sections(design);
    let near: Vec<bool> = sections.iter().map(|section| section.points(hints) >= NEAR_POINTS).collect();
    let mut parts = DesignParts::default();
    for (at, section) in sections.iter().enumerate() {
        if near[at] {
            parts.near.push_str(section.text);
        } else if has_near_below(&sections, &near, at) {
            parts.near.push_str(section.heading);
            parts.rest.push_str(section.text);
        } else {
            parts.rest.push_str(section.text);
        }
    }
    parts
}

/// A heading with what stands under it up to the next one of any level.
struct Section<'t> {
    level: usize,
    heading: &'t str,
    text: &'t str,
}

impl Section<'_> {
    fn points(&self, hints: &Hints) -> u32 {
        let (heading, text) = (self.heading.to_lowercase(), self.text.to_lowercase());
        let named = hints.paths.iter().filter(|path| text.contains(path.as_str())).count() as u32;
        let linked = text.lines().filter(|line| line.contains("requirement") || line.contains("validates")).any(|line| {
            let numbers: BTreeSet<&str> =
                line.split(|c: char| !c.is_alphanumeric() && c != '.').map(|word| word.trim_matches('.')).collect();
            hints.requirements.iter().any(|id| numbers.contains(id.as_str()))
        });
        let heads: BTreeSet<String> = words_of(&heading).collect();
        let body: BTreeSet<String> = words_of(&text).collect();
        let in_heading = hints.words.intersection(&heads).count() as u32;
        let in_body = hints.words.intersection(&body).count() as u32;
        named * 5 + u32::from(linked) * 4 + in_heading * 3 + in_body.min(6)
    }
}

fn has_near_below(sections: &[Section<'_>], near: &[bool], at: usize) -> bool {
    let level = sections[at].level;
    let mut below = sections.iter().zip(near).skip(at + 1).take_while(|(section, _)| section.level > level);
    level > 0 && below.any(|(_, near)| *near)
}

fn sections(design: &str) -> Vec<Section<'_>> {
    let mut starts: Vec<(usize, usize)> = vec![(0, 0)];
    let rows = lines::split(design, &mut Report::new("design.md"));
    for row in rows.iter().filter(|row| !row.fenced) {
        if let Some((level, _)) = checkbox::heading(row.text.trim()) {
            starts.push((row.offset, level));
        }
    }
    let ends = starts.iter().skip(1).map(|(from, _)| *from).chain([design.len()]);
    let cut = starts.iter().zip(ends).filter_map(|((from, level), end)| {
        let text = design.get(*from..end).filter(|text| !text.is_empty())?;
        let heading = if *level == 0 { "" } else { text.split_inclusive('\n').next().unwrap_or_default() };
        Some(Section { level: *level, heading, text })
    });
    cut.collect()
}

/// Words in lower case, long enough to mean something; names in camel case count whole.
fn words_of(text: &str) -> impl Iterator<Item = String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| word.chars().count() >= WORD_CHARS_MIN);
    words.map(str::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DESIGN: &str = "# Shop\n\nOne page.\n\n## Overview\n\nA shop.\n\n## Components\n\n### Cart\n\n```ts\n// # not a heading\nlet x;\n```\n\n### Login form\n\nSee \
                          `src/login.ts`.\n\n## Errors\n\n_Requirements: 2.1, 3.4_\n\n## Testing\n\nBy hand.\n";

    fn near(paths: &[&str], requirements: &[&str], titles: &[&str]) -> String {
        let hints = Hints::new(paths.iter().copied(), requirements.iter().copied(), titles.iter().copied());
        let parts = design_parts(DESIGN, &hints);
        // Nothing is lost: but for headings that lead to a part, both heaps are the whole.
        let mut lines: Vec<&str> = parts.near.lines().chain(parts.rest.lines()).collect();
        let mut whole: Vec<&str> = DESIGN.lines().collect();
        lines.sort_unstable();
        whole.sort_unstable();
        lines.dedup();
        whole.dedup();
        assert_eq!(lines, whole);
        parts.near
    }

    #[test]
    fn a_unit_gets_the_sections_that_name_it_with_their_headings() {
        let cart = near(&[], &[], &["Implement the cart", "Cart totals"]);
        assert_eq!(cart, "# Shop\n## Components\n### Cart\n\n```ts\n// # not a heading\nlet x;\n```\n\n");
        let login = near(&["src/login.ts"], &[], &["Page"]);
        assert_eq!(login, "# Shop\n## Components\n### Login form\n\nSee `src/login.ts`.\n\n");
        let errors = near(&[], &["3.4"], &[]);
        assert_eq!(errors, "# Shop\n## Errors\n\n_Requirements: 2.1, 3.4_\n\n");
        assert_eq!(near(&[], &["4"], &[]), "", "3.4 is not 4");
        let form = near(&[], &[], &["Build the login form"]);
        assert!(form.ends_with("### Login form\n\nSee `src/login.ts`.\n\n"), "{form}");
        assert_eq!(near(&[], &[], &["Set up the project", "Write tests"]), "");
    }

    #[test]
    fn any_text_is_taken_whole() {
        for text in ["", "no heading", "# \n#", "```\n# x\n", "\u{feff}# Ü\r\n\r\nx"] {
            let parts = design_parts(text, &Hints::new(["x.rs"], ["1"], ["Some title"]));
            assert_eq!(format!("{}{}", parts.near, parts.rest), text);
        }
    }
}
