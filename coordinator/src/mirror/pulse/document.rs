//! A pulse as its sections: which lines are ours (`ours` tells), which are a person's. Order and foreign sections are kept.

use super::ours::Authors;
use super::sections::{SECTIONS, SUBS, SectionKind, SubKind};

/// A whole file.
pub(super) struct Document {
    preamble: Vec<String>,
    pub(super) sections: Vec<Section>,
}

/// What stands under a `##` heading.
pub(super) struct Section {
    /// `None`: a person's own section, all of it theirs.
    pub(super) kind: Option<SectionKind>,
    heading: String,
    /// Our lines, to be filled in.
    pub(super) ours: Vec<String>,
    /// A person's lines.
    pub(super) theirs: Vec<String>,
    /// `###` parts, of `Risks & Debt` only.
    pub(super) subs: Vec<Sub>,
}

/// What stands under a `###` heading of `Risks & Debt`.
pub(super) struct Sub {
    /// `None`: a person's own part.
    pub(super) kind: Option<SubKind>,
    heading: String,
    /// Our lines, to be filled in.
    pub(super) ours: Vec<String>,
    /// A person's lines.
    theirs: Vec<String>,
}

impl Document {
    /// The four sections, empty.
    pub(super) fn blank() -> Self {
        let sections =
            SECTIONS.iter().map(|(kind, _, heading)| Section::new(Some(*kind), heading, Vec::new(), &mut Authors::new(None))).collect();
        Self { preamble: vec!["# PROJECT_PULSE".to_owned()], sections }
    }

    /// Reads a file; the names of sections that are missing, if any are.
    pub(super) fn parse(text: &str, authors: &mut Authors<'_>) -> Result<Self, Vec<&'static str>> {
        let mut document = Self { preamble: Vec::new(), sections: Vec::new() };
        for (heading, lines) in split(text, "## ") {
            let Some(heading) = heading else {
                document.preamble = trimmed(lines);
                continue;
            };
            let title = bare_title(heading);
            let known = SECTIONS.iter().find(|(_, name, _)| title == *name || (*name == "risks & debt" && title == "risks and debt"));
            // A second section of the same name is a person's.
            let known = known.filter(|(kind, _, _)| document.sections.iter().all(|section| section.kind != Some(*kind)));
            document.sections.push(match known {
                Some((kind, _, canonical)) => Section::new(Some(*kind), canonical, lines, authors),
                None => Section::new(None, heading, lines, authors),
            });
        }
        let has = |kind: SectionKind| document.sections.iter().any(|section| section.kind == Some(kind));
        let missing: Vec<&'static str> = SECTIONS.iter().filter(|(kind, _, _)| !has(*kind)).map(|(_, _, heading)| &heading[3..]).collect();
        if missing.is_empty() { Ok(document) } else { Err(missing) }
    }

    /// Drops a person's lines in our form that are ours now, and those of `kept` that stand nowhere else.
    pub(super) fn settle_kept(&mut self, kept: &mut Vec<String>) {
        let same = |theirs: &mut Vec<String>, ours: &[String], kept: &[String]| {
            theirs.retain(|line| !(kept.iter().any(|each| each == line.trim()) && ours.iter().any(|each| each == line.trim())));
        };
        if kept.is_empty() {
            return;
        }
        for section in &mut self.sections {
            same(&mut section.theirs, &section.ours, kept);
            section.subs.iter_mut().for_each(|sub| same(&mut sub.theirs, &sub.ours, kept));
        }
        let lines = self.sections.iter().flat_map(|section| section.theirs.iter().chain(section.subs.iter().flat_map(|sub| &sub.theirs)));
        let there: std::collections::HashSet<&str> = lines.map(|line| line.trim()).collect();
        kept.retain(|line| there.contains(line.as_str()));
    }

    /// The file's text.
    pub(super) fn to_text(&self) -> String {
        let mut blocks: Vec<Vec<String>> = vec![self.preamble.clone()];
        for section in &self.sections {
            blocks.push(vec![section.heading.clone()]);
            blocks.push(section.ours.clone());
            blocks.push(section.theirs.clone());
            for sub in &section.subs {
                // Lists stand right under their heading, as readers expect them.
                let mut block = vec![sub.heading.clone()];
                block.extend(sub.ours.iter().cloned());
                blocks.push(block);
                blocks.push(sub.theirs.clone());
            }
        }
        let texts: Vec<String> = blocks.into_iter().filter(|block| !block.is_empty()).map(|block| block.join("\n")).collect();
        let mut text = texts.join("\n\n");
        text.push('\n');
        text
    }
}

impl Section {
    fn new(kind: Option<SectionKind>, heading: &str, lines: Vec<&str>, authors: &mut Authors<'_>) -> Self {
        let mut section = Self { kind, heading: heading.to_owned(), ours: Vec::new(), theirs: Vec::new(), subs: Vec::new() };
        match kind {
            Some(SectionKind::Risks) => section.split_subs(lines, authors),
            Some(kind) => section.theirs = trimmed(authors.without_ours(kind, lines)),
            None => section.theirs = trimmed(lines),
        }
        section
    }

    fn split_subs(&mut self, lines: Vec<&str>, authors: &mut Authors<'_>) {
        let lines = authors.without_long_decisions(lines).join("\n");
        for (heading, lines) in split(&lines, "### ") {
            let Some(heading) = heading else {
                self.theirs = trimmed(lines);
                continue;
            };
            let title = bare_title(heading);
            let known = SUBS.iter().find(|(_, name, _)| title == *name);
            let known = known.filter(|(kind, _, _)| self.subs.iter().all(|sub| sub.kind != Some(*kind)));
            let (kind, heading) = known.map_or((None, heading), |(kind, _, canonical)| (Some(*kind), canonical));
            let theirs = match kind {
                Some(kind) => authors.without_ours_in(kind, lines),
                None => lines,
            };
            self.subs.push(Sub { kind, heading: heading.to_owned(), ours: Vec::new(), theirs: trimmed(theirs) });
        }
        for (at, (kind, _, heading)) in SUBS.iter().enumerate() {
            if self.subs.iter().all(|sub| sub.kind != Some(*kind)) {
                let sub = Sub { kind: Some(*kind), heading: (*heading).to_owned(), ours: Vec::new(), theirs: Vec::new() };
                self.subs.insert(at.min(self.subs.len()), sub);
            }
        }
    }
}

/// Text by headings of one level, which do not count inside fences. The part before the first has none.
fn split<'a>(text: &'a str, mark: &str) -> Vec<(Option<&'a str>, Vec<&'a str>)> {
    let mut parts: Vec<(Option<&str>, Vec<&str>)> = vec![(None, Vec::new())];
    let mut fence: Option<&str> = None;
    for line in text.lines() {
        let bare = line.trim_start();
        let ticks = &bare[..bare.len() - bare.trim_start_matches('`').len()];
        match fence {
            Some(open) if ticks.len() >= open.len() && bare.trim_end() == ticks => fence = None,
            Some(_) => {}
            None if ticks.len() >= 3 => fence = Some(ticks),
            None if line.starts_with(mark) => {
                parts.push((Some(line.trim_end()), Vec::new()));
                continue;
            }
            None => {}
        }
        if let Some((_, lines)) = parts.last_mut() {
            lines.push(line);
        }
    }
    parts
}

/// A heading's words, without marks and signs, in lower case.
fn bare_title(heading: &str) -> String {
    heading.trim_start_matches(|c: char| !c.is_alphanumeric()).trim().to_lowercase()
}

/// Without blank lines at both ends.
fn trimmed(lines: Vec<&str>) -> Vec<String> {
    let filled = |line: &&str| !line.trim().is_empty();
    let from = lines.iter().position(filled).unwrap_or(lines.len());
    let to = lines.iter().rposition(filled).map_or(from, |at| at + 1);
    lines[from..to].iter().map(|line| (*line).to_owned()).collect()
}
