//! Finds the requirements that tasks link to, in the many forms people write them. The text itself is never changed.

use std::collections::HashMap;

use super::checkbox;
use super::lines::{self, Line};
use super::problem::Report;

/// Where requirements of a text are. Made per text and cheap to make; it borrows the text.
#[derive(Debug)]
pub struct RequirementIndex<'a> {
    text: &'a str,
    sections: HashMap<String, Section>,
}

/// A requirement, or one acceptance criterion of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Requirement<'a> {
    /// Heading of the requirement.
    pub heading: &'a str,
    /// The criterion's text, or the whole section below the heading.
    pub text: &'a str,
}

#[derive(Debug)]
struct Section {
    heading: (usize, usize),
    body: (usize, usize),
    /// Byte ranges of list items, by number as written (`2`, `1.2`).
    items: HashMap<String, (usize, usize)>,
}

/// Words by which a list of acceptance criteria is announced, lower case.
const CRITERIA: [&str; 16] = [
    "criteria",
    "criterios",
    "critérios",
    "critères",
    "criteres",
    "kriterien",
    "受け入れ",
    "受入",
    "验收",
    "驗收",
    "인수",
    "수용",
    "критери",
    "tiêu chí",
    "acceptance",
    "接受",
];

impl<'a> RequirementIndex<'a> {
    /// Looks through a `requirements.md` (or `bugfix.md`).
    pub fn new(text: &'a str) -> Self {
        let split = lines::split(text, &mut Report::new("requirements.md"));
        let headings: Vec<(usize, usize, &str)> = split
            .iter()
            .enumerate()
            .filter(|(_, line)| !line.fenced)
            .filter_map(|(at, line)| checkbox::heading(line.text.trim_end()).map(|(level, title)| (at, level, title)))
            .collect();
        let mut sections = HashMap::new();
        for (nth, &(at, level, title)) in headings.iter().enumerate() {
            let Some(id) = heading_id(title) else { continue };
            let next = headings[nth + 1..].iter().find(|(_, other, _)| *other <= level).map_or(split.len(), |(at, ..)| *at);
            let section = Section {
                heading: (split[at].offset, end_of(&split, at, text)),
                body: (offset_of(&split, at + 1, text), offset_of(&split, next, text)),
                items: items(&split[at + 1..next], offset_of(&split, next, text)),
            };
            sections.entry(id).or_insert(section);
        }
        Self { text, sections }
    }

    /// `3` is a requirement, `3.2` its second criterion (or a requirement of that very number).
    pub fn get(&self, id: &str) -> Option<Requirement<'a>> {
        if let Some(section) = self.sections.get(id) {
            return Some(self.requirement(section, section.body));
        }
        let mut rest = id;
        while let Some(dot) = rest.rfind('.') {
            let number = id[dot + 1..].split('.').next().unwrap_or_default();
            rest = &rest[..dot];
            if let Some(section) = self.sections.get(rest) {
                let range = section.items.get(id).or_else(|| section.items.get(number))?;
                return Some(self.requirement(section, *range));
            }
        }
        None
    }

    fn requirement(&self, section: &Section, (from, to): (usize, usize)) -> Requirement<'a> {
        let slice = |(from, to): (usize, usize)| self.text.get(from..to).unwrap_or_default().trim();
        Requirement { heading: slice(section.heading).trim_start_matches(['#', ' ']), text: slice((from, to)) }
    }
}

/// The id in a requirement's heading: `Requirement 4`, `要件1: …`, `4. Login`, `US-1: …`, `FR-2.1 …`.
fn heading_id(title: &str) -> Option<String> {
    for word in title.split_whitespace().take(4) {
        let word = word.trim_matches(['*', '_', ':', '：', '.', ')', '(', '[', ']', ',']);
        let letters = word.bytes().take_while(u8::is_ascii_uppercase).count();
        if let Some(number) = word.get(letters..).and_then(|rest| rest.strip_prefix('-'))
            && letters > 0
            && number.starts_with(|c: char| c.is_ascii_digit())
            && number.chars().all(|c| c.is_ascii_alphanumeric() || c == '.')
        {
            return Some(word.to_owned());
        }
    }
    let (id, _) = number_of(title)?;
    Some(id.to_owned())
}

/// As headings of plans, but with capital suffixes (`Requirement 7A`).
fn number_of(title: &str) -> Option<(&str, usize)> {
    let at = title.find(|c: char| c.is_ascii_digit())?;
    let words = title[..at].split_whitespace().count();
    let glued = title[..at].ends_with(|c: char| c.is_ascii_alphanumeric() && !c.is_ascii_uppercase() || c == '.' || c == '-');
    if words > 3 || glued {
        return None;
    }
    let len = title[at..].bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'.').count();
    let id = title[at..at + len].trim_end_matches('.');
    let tidy = id
        .split('.')
        .all(|part| part.starts_with(|c: char| c.is_ascii_digit()) && part.trim_start_matches(|c: char| c.is_ascii_digit()).len() <= 1);
    tidy.then_some((id, at))
}

fn offset_of(split: &[Line<'_>], at: usize, text: &str) -> usize {
    split.get(at).map_or(text.len(), |line| line.offset)
}

fn end_of(split: &[Line<'_>], at: usize, text: &str) -> usize {
    split.get(at).map_or(text.len(), |line| line.offset + line.text.len())
}

/// Numbered items of a section. Those after the announcement of criteria win over earlier lists.
fn items(rows: &[Line<'_>], end: usize) -> HashMap<String, (usize, usize)> {
    let announced = rows.iter().position(|line| {
        let text = line.text.trim();
        let short = text.starts_with(['#', '*', '_']) || text.ends_with([':', '：']);
        short && CRITERIA.iter().any(|word| text.to_lowercase().contains(word))
    });
    let mut found = HashMap::new();
    for range in [announced.map_or(rows.len(), |at| at + 1)..rows.len(), 0..rows.len()] {
        let mut open: Option<(String, usize, usize)> = None;
        let mut blank = false;
        for (line, next_offset) in rows[range.clone()].iter().zip(next_offsets(&rows[range], end)) {
            let text = line.text.trim_end();
            let indent = line.indent();
            // Text at the list's own margin after a blank line is no part of the item.
            let margin = blank && !text.is_empty() && open.as_ref().is_some_and(|(_, column, _)| indent <= *column);
            let ends = checkbox::heading(text).is_some() || checkbox::is_rule(text) || (margin && item_number(text).is_none());
            blank = text.is_empty();
            let number = if line.fenced || ends { None } else { item_number(text) };
            let outer = open.as_ref().is_none_or(|(_, column, _)| indent <= *column);
            if ends || (number.is_some() && outer) {
                if let Some((number, _, from)) = open.take() {
                    found.entry(number).or_insert((from, line.offset));
                }
                open = number.map(|number| (number, indent, line.offset));
            }
            if let Some((number, _, from)) = &open
                && next_offset == end
            {
                found.entry(number.clone()).or_insert((*from, end));
            }
        }
    }
    found
}

fn next_offsets<'l>(rows: &'l [Line<'_>], end: usize) -> impl Iterator<Item = usize> + 'l {
    rows.iter().skip(1).map(|line| line.offset).chain(std::iter::once(end))
}

/// The number of a list item: `2. …`, `2) …`, `1.2 …`, `- 1.2: …`, `- **1.2** …`.
fn item_number(text: &str) -> Option<String> {
    let text = text.trim_start();
    let text = lines::strip_bullet(text).unwrap_or(text).trim_start_matches(['*', '_']);
    let len = checkbox::id_len(text)?;
    let (id, rest) = text.split_at(len);
    let delimited = rest.starts_with(['.', ')', ':', '：', '*', '_']);
    let dotted = id.contains('.') && rest.starts_with(' ');
    (id.starts_with(|c: char| c.is_ascii_digit()) && (delimited || dotted)).then(|| id.to_owned())
}
