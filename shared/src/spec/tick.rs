//! Ticks boxes in the text of a plan, and the opposite: the text as it is apart from its boxes. No byte outside boxes changes.

use std::collections::HashSet;

use super::tasks;
use crate::ids::TaskId;

/// The text with the boxes of these tasks set to `x`. Ids that have no box (headings, unknown ones) are passed over; text that is no plan
/// comes back as it is.
pub fn tick(text: &str, ids: &[TaskId]) -> String {
    let wanted: HashSet<&str> = ids.iter().map(TaskId::as_str).collect();
    let reading = tasks::read(text.as_bytes(), "tasks.md", usize::MAX);
    let ranges = reading.boxes.into_iter().filter(|(id, _)| wanted.contains(id.as_str())).map(|(_, range)| range).collect();
    replace(text, ranges, "x")
}

/// The text with every task's box emptied and `\n` line ends: equal for plans that differ in progress alone.
pub fn shape_text(text: &str) -> String {
    let reading = tasks::read(text.as_bytes(), "tasks.md", usize::MAX);
    let emptied = replace(text, reading.boxes.into_iter().map(|(_, range)| range).collect(), " ");
    emptied.trim_start_matches('\u{feff}').replace("\r\n", "\n")
}

fn replace(text: &str, mut ranges: Vec<(usize, usize)>, mark: &str) -> String {
    ranges.sort_unstable();
    let mut out = String::with_capacity(text.len() + ranges.len());
    let mut done = 0;
    for (from, to) in ranges {
        let (Some(before), true) = (text.get(done..from), text.is_char_boundary(to)) else { continue };
        out.push_str(before);
        out.push_str(mark);
        done = to;
    }
    out.push_str(&text[done..]);
    out
}
