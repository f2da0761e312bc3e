//! What `PROJECT_PULSE.md` takes from `design.md`: its overview and its first diagram. Everything else of it goes to prompts as it stands.

use super::checkbox;
use super::lines;
use super::problem::Report;

const OVERVIEW_CHARS_MAX: usize = 4000;
/// Titles of the section that says what it is all about, lower case.
const OVERVIEW_TITLES: [&str; 20] = [
    "overview",
    "summary",
    "introduction",
    "概要",
    "概述",
    "概览",
    "总览",
    "概觀",
    "はじめに",
    "개요",
    "обзор",
    "visão geral",
    "vue d'ensemble",
    "vue d’ensemble",
    "resumen",
    "descripción general",
    "visión general",
    "überblick",
    "übersicht",
    "tổng quan",
];

/// The first paragraph of the overview section; without one, the first paragraph after the title. Lists and code are no paragraphs.
pub fn design_overview(text: &str) -> Option<String> {
    let split = lines::split(text, &mut Report::new("design.md"));
    let rows: Vec<(&str, bool)> = split.iter().map(|line| (line.text.trim(), line.fenced)).collect();
    let is_overview = |text: &str| {
        let title = text.trim_start_matches(|c: char| !c.is_alphabetic()).to_lowercase();
        OVERVIEW_TITLES.iter().any(|known| title.starts_with(known))
    };
    let section = rows.iter().position(|(row, fenced)| !fenced && checkbox::heading(row).is_some_and(|(_, title)| is_overview(title)));
    section.and_then(|at| paragraph(&rows[at + 1..])).or_else(|| paragraph(&rows))
}

fn paragraph(rows: &[(&str, bool)]) -> Option<String> {
    let is_prose = |(row, fenced): &(&str, bool)| {
        let marked = row.starts_with(['#', '|', '>', '<']) || lines::strip_bullet(row).is_some() || checkbox::is_rule(row);
        !fenced && !row.is_empty() && !marked
    };
    let from = rows.iter().position(is_prose)?;
    let joined = rows[from..].iter().take_while(|row| is_prose(row)).map(|(row, _)| *row).collect::<Vec<_>>().join(" ");
    Some(joined.chars().take(OVERVIEW_CHARS_MAX).collect())
}

/// The inside of the first mermaid block.
pub fn first_mermaid(text: &str) -> Option<&str> {
    let split = lines::split(text, &mut Report::new("design.md"));
    let opens = |text: &str| {
        let info = text.trim().trim_start_matches(['`', '~']).trim();
        info.len() < text.trim().len() && info.split_whitespace().next().is_some_and(|word| word.eq_ignore_ascii_case("mermaid"))
    };
    let mut at = 0;
    while at < split.len() {
        let starts_block = split[at].fenced && (at == 0 || !split[at - 1].fenced || is_fence_end(&split[at - 1].text));
        if starts_block && opens(&split[at].text) {
            let body = split.get(at + 1)?.offset;
            let close = split[at + 1..].iter().find(|line| !line.fenced || is_fence_end(&line.text));
            let end = close.map_or(text.len(), |line| line.offset);
            return text.get(body..end).map(str::trim_end).filter(|body| !body.is_empty());
        }
        at += 1;
    }
    None
}

fn is_fence_end(text: &str) -> bool {
    let text = text.trim();
    text.len() >= 3 && (text.bytes().all(|byte| byte == b'`') || text.bytes().all(|byte| byte == b'~'))
}
