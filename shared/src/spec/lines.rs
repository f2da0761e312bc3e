//! Physical lines of a Markdown file: which are inside code fences, what is left outside HTML comments. Comments are blanked byte by byte, so
//! offsets into the file stay true. Knows nothing of tasks.

use std::borrow::Cow;

use super::problem::Report;

/// One line.
#[derive(Debug)]
pub(super) struct Line<'a> {
    /// From 1.
    pub(super) number: u32,
    /// Byte offset of its first character in the file.
    pub(super) offset: usize,
    /// Without line end; comments are spaces.
    pub(super) text: Cow<'a, str>,
    /// Part of a fenced block, fence lines included.
    pub(super) fenced: bool,
}

impl Line<'_> {
    /// Columns of leading white space, tabs to the next multiple of four.
    pub(super) fn indent(&self) -> usize {
        indent_of(&self.text)
    }
}

pub(super) fn indent_of(text: &str) -> usize {
    let mut columns = 0;
    for byte in text.bytes() {
        match byte {
            b' ' => columns += 1,
            b'\t' => columns += 4 - columns % 4,
            _ => break,
        }
    }
    columns
}

/// Splits a file. Lines that consist of a comment alone are left out.
pub(super) fn split<'a>(text: &'a str, report: &mut Report) -> Vec<Line<'a>> {
    let closers = Closers::find(text);
    let last_comment_end = text.rfind("-->");
    let mut scan = Scan { fence: None, comment_until: 0, warned_comment: false };
    let mut out = Vec::new();
    let mut offset = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let mut number = 0u32;
    while offset < text.len() {
        let end = text[offset..].find('\n').map_or(text.len(), |at| offset + at);
        let raw = text[offset..end].strip_suffix('\r').unwrap_or(&text[offset..end]);
        number = number.saturating_add(1);
        let mut line = Line { number, offset, text: Cow::Borrowed(raw), fenced: false };
        if scan.fence.is_some() {
            scan.inside_fence(&mut line, report);
        }
        let mut hidden = false;
        if !line.fenced {
            hidden = scan.blank_comments(&mut line, text, last_comment_end, report);
            if !hidden {
                scan.open_fence(&mut line, &closers);
            }
        }
        if !hidden {
            out.push(line);
        }
        offset = end + 1;
    }
    if let Some(fence) = scan.fence {
        fence.finish(report, false);
    }
    out
}

struct Scan {
    fence: Option<Fence>,
    /// Bytes before this offset belong to a comment.
    comment_until: usize,
    warned_comment: bool,
}

struct Fence {
    marker: u8,
    len: usize,
    indent: usize,
    line: u32,
    /// Whether a closing fence follows somewhere.
    closes: bool,
    /// Checkbox lines inside.
    checkboxes: u32,
}

impl Fence {
    fn finish(&self, report: &mut Report, closed: bool) {
        let (lines, are) = if self.checkboxes == 1 { ("line", "is no task") } else { ("lines", "are no tasks") };
        let count = self.checkboxes;
        if !closed {
            let hides = if count == 0 { String::new() } else { format!(", so {count} checkbox {lines} after it {are}") };
            let marks = (self.marker as char).to_string().repeat(self.len);
            report.warning(self.line, format!("this code fence is never closed{hides}; close it with {marks}"));
        } else if count > 0 {
            report.note(self.line, format!("{count} checkbox {lines} inside this code fence {are}"));
        }
    }
}

impl Scan {
    /// Decides whether the line still belongs to the open fence.
    fn inside_fence(&mut self, line: &mut Line<'_>, report: &mut Report) {
        let Some(fence) = &mut self.fence else { return };
        let closing = fence_run(line.text.trim())
            .is_some_and(|(marker, len)| marker == fence.marker && len >= fence.len && line.text.trim().len() == len);
        if closing {
            line.fenced = true;
            fence.finish(report, true);
            self.fence = None;
            return;
        }
        // A fence inside a list item that is never closed ends with the item.
        let leaves_item = !fence.closes && fence.indent > 0 && !line.text.trim().is_empty() && line.indent() < fence.indent;
        if leaves_item {
            fence.finish(report, false);
            self.fence = None;
            return;
        }
        line.fenced = true;
        if looks_like_checkbox(&line.text) {
            fence.checkboxes = fence.checkboxes.saturating_add(1);
        }
    }

    fn open_fence(&mut self, line: &mut Line<'_>, closers: &Closers) {
        let mut body = line.text.trim_start();
        let mut indent = line.indent();
        if let Some(rest) = strip_bullet(body) {
            indent += body.len() - rest.len();
            body = rest;
        }
        let Some((marker, len)) = fence_run(body) else { return };
        if len < 3 || (marker == b'`' && body[len..].contains('`')) {
            return;
        }
        let closes = closers.any_after(marker, line.offset + line.text.len(), len);
        line.fenced = true;
        self.fence = Some(Fence { marker, len, indent, line: line.number, closes, checkboxes: 0 });
    }

    /// Blanks comments; says whether nothing but comment was there.
    fn blank_comments(&mut self, line: &mut Line<'_>, text: &str, last_end: Option<usize>, report: &mut Report) -> bool {
        let raw: &str = &line.text;
        let inside = self.comment_until > line.offset;
        if !inside && !raw.contains("<!--") {
            return false;
        }
        let mut bytes = raw.as_bytes().to_vec();
        let blank = |bytes: &mut [u8], from: usize, to: usize| {
            let to = to.min(bytes.len());
            if from < to {
                bytes[from..to].fill(b' ');
            }
        };
        let mut at = 0;
        if inside {
            at = (self.comment_until - line.offset).min(raw.len());
            blank(&mut bytes, 0, at);
        }
        while let Some(start) = find_comment(raw, at) {
            let absolute = line.offset + start;
            if last_end.is_none_or(|end| end < absolute) {
                if !self.warned_comment {
                    report.warning(line.number, "this comment is never closed and is read as text; close it with `-->`");
                    self.warned_comment = true;
                }
                break;
            }
            let end = text[absolute..].find("-->").map_or(text.len(), |found| absolute + found + 3);
            blank(&mut bytes, start, end - line.offset);
            self.comment_until = end;
            at = (end - line.offset).min(raw.len());
        }
        let blanked = String::from_utf8(bytes).unwrap_or_default();
        let hidden = blanked.trim().is_empty() && !raw.trim().is_empty();
        line.text = Cow::Owned(blanked);
        hidden
    }
}

/// `<!--` outside inline code.
fn find_comment(text: &str, from: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = from;
    while at < bytes.len() {
        if bytes[at] == b'`' {
            let run = bytes[at..].iter().take_while(|byte| **byte == b'`').count();
            let close = find_run(bytes, at + run, run);
            at = close.unwrap_or(at + run);
        } else if bytes[at..].starts_with(b"<!--") {
            return Some(at);
        } else {
            at += 1;
        }
    }
    None
}

/// End of the next run of exactly `len` backticks.
fn find_run(bytes: &[u8], from: usize, len: usize) -> Option<usize> {
    let mut at = from;
    while at < bytes.len() {
        if bytes[at] != b'`' {
            at += 1;
            continue;
        }
        let run = bytes[at..].iter().take_while(|byte| **byte == b'`').count();
        at += run;
        if run == len {
            return Some(at);
        }
    }
    None
}

/// Marker and length of a run of fence characters at the beginning.
fn fence_run(text: &str) -> Option<(u8, usize)> {
    let marker = *text.as_bytes().first()?;
    if marker != b'`' && marker != b'~' {
        return None;
    }
    Some((marker, text.bytes().take_while(|byte| *byte == marker).count()))
}

/// The rest after `- `, `* ` or `+ `.
pub(super) fn strip_bullet(text: &str) -> Option<&str> {
    let rest = text.strip_prefix(['-', '*', '+'])?;
    rest.starts_with([' ', '\t']).then(|| rest.trim_start_matches([' ', '\t']))
}

fn looks_like_checkbox(text: &str) -> bool {
    strip_bullet(text.trim_start()).is_some_and(|rest| rest.len() >= 3 && rest.as_bytes()[0] == b'[' && rest.as_bytes()[2] == b']')
}

/// Lines that could close a fence, so that "is it ever closed" needs no search.
struct Closers {
    /// Per marker: offsets, and the longest run from there on.
    backticks: Vec<(usize, usize)>,
    tildes: Vec<(usize, usize)>,
}

impl Closers {
    fn find(text: &str) -> Self {
        let mut found = Self { backticks: Vec::new(), tildes: Vec::new() };
        if text.contains("```") || text.contains("~~~") {
            let mut offset = 0;
            for line in text.split('\n') {
                let trimmed = line.trim();
                if let Some((marker, len)) = fence_run(trimmed)
                    && len >= 3
                    && len == trimmed.len()
                {
                    if marker == b'`' { &mut found.backticks } else { &mut found.tildes }.push((offset, len));
                }
                offset += line.len() + 1;
            }
        }
        for list in [&mut found.backticks, &mut found.tildes] {
            let mut longest = 0;
            for (_, len) in list.iter_mut().rev() {
                longest = longest.max(*len);
                *len = longest;
            }
        }
        found
    }

    fn any_after(&self, marker: u8, offset: usize, len: usize) -> bool {
        let list = if marker == b'`' { &self.backticks } else { &self.tildes };
        let at = list.partition_point(|(start, _)| *start < offset);
        list.get(at).is_some_and(|(_, longest)| *longest >= len)
    }
}
