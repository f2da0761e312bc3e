//! Dependency lists: `Depends on: 1, 2.1`, `_Depends: 3-5_`. Numbers in prose are never ids: every word of the list must be one, or a word that
//! belongs to such lists. Which tasks exist is not known here.

use std::borrow::Cow;

use super::checkbox::is_id;

/// What a dependency line names.
#[derive(Debug, PartialEq, Eq, Default)]
pub(super) struct DependencyLine {
    /// Ids and ranges, in order.
    pub(super) items: Vec<Item>,
    /// An id with words after it: one if the words are the task's title.
    pub(super) titled: Vec<(String, String)>,
    /// Parts of the line that name no task.
    pub(super) foreign: Vec<String>,
}

/// One element of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// One task.
    One(String),
    /// From the first to the second, both included.
    Range(String, String),
}

/// How such lines begin, in the languages plans are written in; the longer spellings first.
const KEYWORDS: [&str; 22] = [
    "dependencies",
    "dependency",
    "depends on",
    "depends_on",
    "depends-on",
    "depends",
    "依存関係",
    "依存タスク",
    "依存",
    "依赖关系",
    "依赖",
    "依賴",
    "의존성",
    "의존",
    "dépendances",
    "dépend de",
    "dependencias",
    "depende de",
    "dependências",
    "abhängigkeiten",
    "зависимости",
    "зависит от",
];
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
const TITLE_CHARS_MAX: usize = 200;

/// Reads a line (without bullet and opening emphasis) as a dependency list; `None` where it is none.
pub(super) fn read(text: &str) -> Option<DependencyLine> {
    let (word, rest) = KEYWORDS.iter().find_map(|word| Some((*word, strip_word(text, word)?)))?;
    let rest = rest.trim_start_matches(['*', '_', '`']).trim_start();
    let (listed, colon) = match rest.strip_prefix([':', '：']) {
        Some(list) => (list, true),
        None => (rest, false),
    };
    let line = parse(listed);
    // Without a colon only a line that is nothing but ids is a list: "depends on task 2 being done" is prose.
    let pure = line.foreign.is_empty() && line.titled.is_empty() && !line.items.is_empty();
    let is_list = colon || (word == "depends on" && pure);
    is_list.then_some(line)
}

/// The text after a word, whatever its case.
pub(super) fn strip_word<'t>(text: &'t str, word: &str) -> Option<&'t str> {
    let head = text.get(..word.len())?;
    let same = if word.is_ascii() { head.eq_ignore_ascii_case(word) } else { !head.is_ascii() && head.to_lowercase() == word };
    same.then(|| &text[word.len()..])
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

fn parse(text: &str) -> DependencyLine {
    let cleaned = without_remarks(text);
    let mut line = DependencyLine::default();
    for part in cleaned.split([',', ';', '、', '，', '；']) {
        read_part(part, &mut line);
    }
    line
}

/// One part between commas. It counts if it is nothing but ids and words of such lists.
fn read_part(part: &str, line: &mut DependencyLine) {
    let mut items: Vec<Item> = Vec::new();
    let (mut range_open, mut foreign_first) = (false, false);
    let mut foreign: Vec<&str> = Vec::new();
    let words = part.split(|c: char| c.is_whitespace() || "&+/*`\"'[]".contains(c));
    for word in words.map(|word| word.trim_matches('_').trim_end_matches(['.', ':'])).filter(|word| !word.is_empty()) {
        if matches!(word, "-" | "–" | "—" | "~" | "〜" | "～" | ".." | "..." | "…" | "to" | "through" | "until") {
            range_open = foreign.is_empty() && matches!(items.last(), Some(Item::One(_)));
            continue;
        }
        match item(word) {
            Some(Item::One(id)) if range_open => {
                if let Some(Item::One(from)) = items.pop() {
                    items.push(Item::Range(from, id));
                }
            }
            Some(found) if foreign.is_empty() => items.push(found),
            None if foreign.is_empty() && is_list_word(word) => {}
            _ => {
                foreign_first |= items.is_empty();
                foreign.push(word);
            }
        }
        range_open = false;
    }
    if foreign.is_empty() {
        line.items.append(&mut items);
        return;
    }
    let words: String = foreign.join(" ").chars().take(TITLE_CHARS_MAX).collect();
    match (items.as_slice(), foreign_first) {
        ([Item::One(id)], false) => line.titled.push((id.clone(), words)),
        _ if line.foreign.len() < FOREIGN_MAX => {
            line.foreign.push(part.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(TITLE_CHARS_MAX).collect())
        }
        _ => {}
    }
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
