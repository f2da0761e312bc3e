//! Dependency lists: `Depends on: 1, 2.1`, `_Depends: 3-5_`. Numbers in prose are never ids: every word of the list must be one, or a word that
//! belongs to such lists. Which tasks exist is not known here.

use std::borrow::Cow;

use super::checkbox::is_id;

/// What a dependency line names.
#[derive(Debug, PartialEq, Eq, Default)]
pub(super) struct DependencyLine<'a> {
    /// Ids and ranges, in order.
    pub(super) items: Vec<Item>,
    /// Words that are neither ids nor belong to such lists.
    pub(super) foreign: Vec<Cow<'a, str>>,
}

/// One element of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// One task.
    One(String),
    /// From the first to the second, both included.
    Range(String, String),
}

const KEYWORDS: [&str; 6] = ["dependencies", "dependency", "depends on", "depends_on", "depends-on", "depends"];
/// Words before an id.
const BEFORE: [&str; 10] = ["task", "tasks", "subtask", "subtasks", "unit", "units", "step", "steps", "all", "of"];
/// Words after an id, and between ids.
const AFTER: [&str; 8] = ["and", "complete", "completed", "completion", "done", "finished", "is", "are"];
/// Words for an empty list.
const NONE: [&str; 8] = ["none", "nothing", "n/a", "なし", "无", "無", "нет", "없음"];
/// Words that stick to an id in scripts without spaces.
const GLUED_BEFORE: [&str; 8] = ["タスク", "任务", "任務", "작업", "태스크", "步骤", "задача", "#"];
const GLUED_AFTER: [&str; 8] = ["の完了", "完了後", "完了", "完成后", "完成", "完毕", "완료", "번"];
const FOREIGN_MAX: usize = 8;

/// Reads a line (without bullet and opening emphasis) as a dependency list; `None` where it is none.
pub(super) fn read(text: &str) -> Option<DependencyLine<'_>> {
    let (word, rest) = KEYWORDS.iter().find_map(|word| {
        let head = text.get(..word.len())?;
        head.eq_ignore_ascii_case(word).then(|| (*word, &text[word.len()..]))
    })?;
    let rest = rest.trim_start_matches(['*', '_', '`']).trim_start();
    let (listed, colon) = match rest.strip_prefix([':', '：']) {
        Some(list) => (list, true),
        None => (rest, false),
    };
    let line = parse(listed);
    // Without a colon only a line that is nothing but ids is a list: "depends on task 2 being done" is prose.
    let is_list = colon || (word == "depends on" && line.foreign.is_empty() && !line.items.is_empty());
    is_list.then_some(line)
}

/// The text without `(remarks)`, full-width ones included.
pub(super) fn without_remarks(text: &str) -> Cow<'_, str> {
    if !text.contains(['(', '（']) {
        return Cow::Borrowed(text);
    }
    let mut depth = 0usize;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '(' | '（' => depth += 1,
            ')' | '）' => {
                depth = depth.saturating_sub(1);
                out.push(' ');
            }
            _ if depth == 0 => out.push(c),
            _ => {}
        }
    }
    Cow::Owned(out)
}

fn parse(text: &str) -> DependencyLine<'static> {
    let cleaned = without_remarks(text);
    let mut line = DependencyLine::default();
    let mut range_open = false;
    let words = cleaned.split(|c: char| c.is_whitespace() || ",;、，；&+/*`\"'[]".contains(c));
    for word in words.map(|word| word.trim_matches('_').trim_end_matches('.')).filter(|word| !word.is_empty()) {
        if matches!(word, "-" | "–" | "—" | "~" | "〜" | "～" | ".." | "..." | "…" | "to" | "through" | "until") {
            range_open = matches!(line.items.last(), Some(Item::One(_)));
            continue;
        }
        match item(word) {
            Some(Item::One(id)) if range_open => {
                if let Some(Item::One(from)) = line.items.pop() {
                    line.items.push(Item::Range(from, id));
                }
            }
            Some(found) => line.items.push(found),
            None if is_list_word(word) => {}
            None if line.foreign.len() < FOREIGN_MAX => line.foreign.push(Cow::Owned(word.to_owned())),
            None => {}
        }
        range_open = false;
    }
    line
}

fn is_list_word(word: &str) -> bool {
    let known = BEFORE.iter().chain(&AFTER).chain(&NONE).any(|known| word.eq_ignore_ascii_case(known));
    known || GLUED_BEFORE.contains(&word) || GLUED_AFTER.contains(&word)
}

fn item(word: &str) -> Option<Item> {
    let mut core = word;
    for glued in GLUED_BEFORE {
        core = core.strip_prefix(glued).unwrap_or(core);
    }
    for glued in GLUED_AFTER {
        core = core.strip_suffix(glued).unwrap_or(core);
    }
    if is_id(core) {
        return Some(Item::One(core.to_owned()));
    }
    ["..", "-", "–", "—", "~", "〜", "～"].iter().find_map(|between| {
        let (from, to) = core.split_once(between)?;
        let to = GLUED_BEFORE.iter().fold(to.trim_start_matches('.'), |to, glued| to.strip_prefix(glued).unwrap_or(to));
        (is_id(from) && is_id(to)).then(|| Item::Range(from.to_owned(), to.to_owned()))
    })
}

/// The ids of a range, or `None` where the ends do not belong to one row (`2.1-3`). At most `max` are returned.
pub(super) fn expand(from: &str, to: &str, max: usize) -> Option<Vec<String>> {
    let (head, first) = split(from);
    let (tail, last) = split(to);
    let same = head == tail || (tail.is_empty() && !head.ends_with('.'));
    let (low, high) = (first.parse::<u64>().ok()?, last.parse::<u64>().ok()?);
    if !same || low > high {
        return None;
    }
    let width = if first.starts_with('0') { first.len() } else { 0 };
    Some((low..=high).take(max).map(|n| format!("{head}{n:0width$}")).collect())
}

/// Everything before the last number, and that number.
fn split(id: &str) -> (&str, &str) {
    let at = id.rfind(|c: char| !c.is_ascii_digit()).map_or(0, |at| at + 1);
    id.split_at(at)
}
