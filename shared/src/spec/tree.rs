//! Grows tasks from lines: details, parents, headings that stand for parents, ids for plans without any. Units are made of them in `units.rs`.

use std::collections::HashMap;

use super::checkbox::{self, ID_BYTES_MAX, Shape};
use super::depends::DependencyLine;
use super::detail::{self, Detail};
use super::kinds::Kind;
use super::lines::{Line, indent_of, strip_bullet};
use super::model::Task;
use super::problem::Report;
use crate::domain::{LABELS_MAX, SubtaskState, read_requirement};
use crate::ids::TaskId;
use crate::manifest::normalise_entry;

/// Tasks of a file, in document order; parents are set, children, states and units are not.
pub(super) struct Grown {
    pub(super) tasks: Vec<Seed>,
    pub(super) boxes: Vec<(String, (usize, usize))>,
}

/// A task while it grows.
pub(super) struct Seed {
    pub(super) task: Task,
    /// Index of the parent.
    pub(super) parent: Option<usize>,
    /// Whether its own box is ticked.
    pub(super) ticked: bool,
    /// Its dependency lines, unresolved.
    pub(super) depends: Vec<(u32, DependencyLine)>,
    /// A second task of the same id: reported, and no part of the plan.
    pub(super) duplicate: bool,
}

/// A heading with a number, and what stands below it before the next task or heading.
struct Heading<'a> {
    id: &'a str,
    title: String,
    line: u32,
    lines: Vec<(u32, &'a str, bool)>,
}

#[derive(Clone, Copy)]
enum Sink {
    None,
    Task(usize),
    Heading(usize),
}

struct Grower<'a, 'r> {
    seeds: Vec<Seed>,
    /// Raw detail lines per task.
    lines: Vec<Vec<(u32, &'a str, bool)>>,
    by_id: HashMap<String, usize>,
    boxes: Vec<(String, (usize, usize))>,
    headings: Vec<Heading<'a>>,
    /// Tasks that enclose the present line by indentation, since the last heading.
    open: Vec<(usize, usize)>,
    sink: Sink,
    /// Column and task of the list of criteria that is open: checkboxes without ids below its label are details of that task.
    criteria: Option<(usize, usize)>,
    /// Level of the heading the tasks stand under.
    section: usize,
    /// Number of the next generated id at top level and below each open task.
    next_top: u32,
    next_below: HashMap<usize, u32>,
    report: &'r mut Report,
}

pub(super) fn grow<'a>(lines: &'a [Line<'a>], kinds: &'a [Kind<'a>], generate: bool, report: &mut Report) -> Grown {
    let mut grower = Grower {
        seeds: Vec::new(),
        lines: Vec::new(),
        by_id: HashMap::new(),
        boxes: Vec::new(),
        headings: Vec::new(),
        open: Vec::new(),
        sink: Sink::None,
        criteria: None,
        section: 0,
        next_top: 0,
        next_below: HashMap::new(),
        report,
    };
    for (line, kind) in lines.iter().zip(kinds) {
        grower.line(line, kind, generate);
    }
    if !generate {
        grower.find_parents();
    }
    grower.read_details();
    Grown { tasks: grower.seeds, boxes: grower.boxes }
}

impl<'a> Grower<'a, '_> {
    fn line(&mut self, line: &'a Line<'a>, kind: &'a Kind<'a>, generate: bool) {
        match kind {
            Kind::Empty => {}
            Kind::Fenced => self.detail(line, true),
            Kind::Text => self.text(line),
            Kind::Heading { level, text } if *level > self.section.max(2) && is_criteria(text) && matches!(self.sink, Sink::Task(_)) => {
                self.begin_criteria(0);
                self.detail(line, false);
            }
            Kind::Heading { level, text } => {
                self.open.clear();
                self.sink = Sink::None;
                self.criteria = None;
                self.section = *level;
                if let Some((id, title)) = checkbox::heading_number(text) {
                    self.sink = Sink::Heading(self.headings.len());
                    self.headings.push(Heading { id, title, line: line.number, lines: Vec::new() });
                }
            }
            Kind::Box { number: Some(number), parts, nested } => {
                if *nested && number.shape == Shape::Dotted && self.is_stray(number.id) {
                    self.report.warning(line.number, format!("`{}` is read as a detail, not as a task id: it stands below another task and has no parent; write `{}.` to make it a task", number.id, number.id));
                    self.unnumbered(line, parts);
                } else {
                    if *nested && !number.id.contains('.') {
                        self.warn_of_indentation(line, number.id);
                    }
                    let (title, parallel) = checkbox::title(number.rest);
                    self.plant(line, number.id.to_owned(), title, parallel, parts);
                }
            }
            Kind::Box { number: None, parts, .. } if generate => {
                let (title, parallel) = checkbox::title(parts.body);
                self.plant_generated(line, title, parallel, parts);
            }
            Kind::Box { number: None, parts, .. } => self.unnumbered(line, parts),
        }
    }

    /// Prose, a bullet, a label.
    fn text(&mut self, line: &'a Line<'a>) {
        if checkbox::is_misspelt(&line.text) {
            let place = match self.sink {
                Sink::Task(at) => format!("read as a detail of task {}", self.seeds[at].task.id),
                Sink::Heading(_) | Sink::None => "left out".to_owned(),
            };
            let how = "a task line looks like `- [ ] 2. Title`: bullet, space, box, space, id";
            self.report.warning(line.number, format!("this looks like a task and is none, so it is {place}; {how}"));
        }
        if is_label(&line.text) {
            self.begin_criteria(line.indent());
        } else if line.indent() == 0 && strip_bullet(&line.text).is_none() {
            self.criteria = None;
        }
        self.detail(line, false);
    }

    /// A list of criteria below the task above.
    fn begin_criteria(&mut self, column: usize) {
        if let Sink::Task(at) = self.sink {
            self.criteria = Some((column, at));
        }
    }

    /// A number such as `3.5` inside the details of task `2.1` while nothing is called `3`.
    fn is_stray(&self, id: &str) -> bool {
        let Some(&(_, enclosing)) = self.open.last() else { return false };
        let root = id.split('.').next().unwrap_or(id);
        let own = self.seeds[enclosing].task.id.as_str();
        own.split('.').next() != Some(root) && !self.by_id.contains_key(root)
    }

    /// A top-level task below another by indentation: the id decides where it belongs.
    fn warn_of_indentation(&mut self, line: &Line<'_>, id: &str) {
        let indent = line.indent();
        let Some((_, above)) = self.open.iter().rev().find(|(column, _)| *column < indent) else { return };
        let above = &self.seeds[*above].task.id;
        self.report.warning(
            line.number,
            format!(
                "task {id} is indented below task {above}, but its id makes it a task of its own, which it is; take the indentation away"
            ),
        );
    }

    fn detail(&mut self, line: &'a Line<'a>, fenced: bool) {
        let entry = (line.number, line.text.trim_end(), fenced);
        match self.sink {
            Sink::Task(at) => self.lines[at].push(entry),
            Sink::Heading(at) => self.headings[at].lines.push(entry),
            Sink::None => {}
        }
    }

    /// A checkbox without an id, in a plan that has ids.
    fn unnumbered(&mut self, line: &'a Line<'a>, parts: &checkbox::Checkbox<'a>) {
        let indent = line.indent();
        while self.open.last().is_some_and(|(column, _)| *column >= indent) {
            self.open.pop();
        }
        let listed = self.criteria.filter(|(column, _)| *column <= indent).map(|(_, at)| at);
        if let Some(at) = self.open.last().map(|(_, at)| *at).or(listed) {
            self.sink = Sink::Task(at);
            self.detail(line, false);
            return;
        }
        self.sink = Sink::None;
        self.criteria = None;
        // Its first word may have been meant as one.
        let word = checkbox::numbered(parts.body).map(|number| format!(" (`{0}.` if {0} is its id)", number.id)).unwrap_or_default();
        self.report.warning(
            line.number,
            format!("this checkbox has no id and belongs to no task, so it is left out; number it{word}, or indent it below a task"),
        );
    }

    fn plant_generated(&mut self, line: &'a Line<'a>, title: String, parallel: bool, parts: &checkbox::Checkbox<'a>) {
        let indent = line.indent();
        while self.open.last().is_some_and(|(column, _)| *column >= indent) {
            self.open.pop();
        }
        let parent = self.open.last().map(|&(_, at)| at);
        let id = match parent {
            None => {
                self.next_top += 1;
                self.next_top.to_string()
            }
            Some(at) => {
                let next = self.next_below.entry(at).or_insert(0);
                *next += 1;
                format!("{}.{next}", self.seeds[at].task.id)
            }
        };
        if id.len() > ID_BYTES_MAX {
            self.detail(line, false);
            return;
        }
        self.plant(line, id, title, parallel, parts);
        if let Some(seed) = self.seeds.last_mut() {
            seed.parent = parent;
        }
    }

    fn plant(&mut self, line: &'a Line<'a>, id: String, title: String, parallel: bool, parts: &checkbox::Checkbox<'a>) {
        let number = line.number;
        if title.is_empty() {
            self.report.warning(number, format!("task {id} has no title; say what is to be done"));
        }
        match parts.mark {
            "-" => self.report.note(number, format!("task {id} is marked in progress; it counts as not started")),
            "~" => self.report.note(number, format!("task {id} is marked queued; it counts as not started")),
            mark if !checkbox::known_mark(mark) => {
                self.report.warning(number, format!("the box `[{mark}]` of task {id} counts as not started; use `[ ]` or `[x]`"));
            }
            _ => {}
        }
        let at = self.seeds.len();
        let first = *self.by_id.entry(id.clone()).or_insert(at);
        if first != at {
            let line = self.seeds[first].task.line;
            self.report.error(number, format!("task id {id} is used twice, first on line {line}; give one of them another id"));
        } else {
            let (from, to) = parts.mark_at;
            self.boxes.push((id.clone(), (line.offset + from, line.offset + to)));
        }
        let mut task = blank(id, title, number);
        task.optional = parts.optional;
        task.parallel = parallel;
        self.seeds.push(Seed { task, parent: None, ticked: matches!(parts.mark, "x" | "X"), depends: Vec::new(), duplicate: first != at });
        self.lines.push(Vec::new());
        let indent = line.indent();
        while self.open.last().is_some_and(|(column, _)| *column >= indent) {
            self.open.pop();
        }
        self.open.push((indent, at));
        self.sink = Sink::Task(at);
        self.criteria = None;
    }

    /// Parents by id; a numbered heading above stands in for one that has no line.
    fn find_parents(&mut self) {
        let mut by_heading: HashMap<&str, Vec<usize>> = HashMap::new();
        for (at, heading) in self.headings.iter().enumerate() {
            by_heading.entry(heading.id).or_default().push(at);
        }
        let mut used: HashMap<usize, usize> = HashMap::new();
        let mut at = 0;
        // Headings taken as tasks are appended and looked at in turn: `1.2.3` below `### 1.2` below `## 1`.
        while at < self.seeds.len() {
            let id = self.seeds[at].task.id.as_str().to_owned();
            let line = self.seeds[at].task.line;
            let mut rest = id.as_str();
            while let Some(dot) = rest.rfind('.') {
                rest = &rest[..dot];
                if let Some(&parent) = self.by_id.get(rest) {
                    self.seeds[at].parent = Some(parent);
                    break;
                }
                let above = by_heading.get(rest).and_then(|list| list.iter().rev().find(|heading| self.headings[**heading].line < line));
                if let Some(&heading) = above {
                    let parent = *used.entry(heading).or_insert(self.seeds.len());
                    if parent == self.seeds.len() {
                        self.plant_heading(heading);
                    }
                    self.seeds[at].parent = Some(parent);
                    break;
                }
            }
            at += 1;
        }
    }

    fn plant_heading(&mut self, at: usize) {
        let heading = &mut self.headings[at];
        let mut task = blank(heading.id.to_owned(), std::mem::take(&mut heading.title), heading.line);
        task.heading = true;
        self.lines.push(std::mem::take(&mut heading.lines));
        self.by_id.insert(heading.id.to_owned(), self.seeds.len());
        self.seeds.push(Seed { task, parent: None, ticked: false, depends: Vec::new(), duplicate: false });
    }

    /// Keeps detail lines and takes from them what concerns the plan.
    fn read_details(&mut self) {
        for (seed, lines) in self.seeds.iter_mut().zip(&self.lines) {
            let shared = lines.iter().filter(|(_, text, _)| !text.is_empty()).map(|(_, text, _)| indent_of(text)).min().unwrap_or(0);
            for &(number, text, fenced) in lines {
                seed.task.details.push(without_indent(text, shared).to_owned());
                if fenced {
                    continue;
                }
                match detail::read(text) {
                    Detail::Prose => {}
                    Detail::Requirements(ids) => extend_new(&mut seed.task.requirements, ids),
                    Detail::Writes(entries) => take_entries(&mut seed.task.writes, entries, number, "writes", self.report),
                    Detail::Reads(entries) => take_entries(&mut seed.task.reads, entries, number, "reads", self.report),
                    Detail::Requires(labels) => take_labels(&mut seed.task.requires, labels, number, self.report),
                    Detail::Depends(line) => seed.depends.push((number, line)),
                }
            }
        }
    }
}

/// Longest line that is taken for the label of a list.
const LABEL_CHARS_MAX: usize = 80;
/// Words of headings over criteria, which are no sections of the plan.
const CRITERIA_WORDS: [&str; 6] = ["criteria", "acceptance", "definition of done", "done when", "checklist", "verification"];

/// `**Acceptance criteria:**`, with or without emphasis or bullet.
fn is_label(text: &str) -> bool {
    let text = strip_bullet(text.trim()).unwrap_or(text.trim()).trim_end_matches(['*', '_', ' ']);
    text.ends_with([':', '：']) && text.chars().count() <= LABEL_CHARS_MAX
}

fn is_criteria(heading: &str) -> bool {
    let heading = heading.to_lowercase();
    CRITERIA_WORDS.iter().any(|word| heading.contains(word)) && checkbox::heading_number(&heading).is_none()
}

fn blank(id: String, title: String, line: u32) -> Task {
    Task {
        id: TaskId::new(id),
        title,
        line,
        optional: false,
        needed: true,
        status: SubtaskState::NotStarted,
        parallel: false,
        heading: false,
        parent: None,
        subtasks: Vec::new(),
        details: Vec::new(),
        requirements: Vec::new(),
        writes: Vec::new(),
        reads: Vec::new(),
        requires: Vec::new(),
        depends_on: Vec::new(),
    }
}

fn take_entries(into: &mut Vec<String>, entries: Vec<String>, line: u32, keyword: &str, report: &mut Report) {
    if entries.is_empty() {
        report.note(line, format!("this `_{keyword}:` line names no path"));
    }
    for entry in entries {
        match normalise_entry(&entry) {
            Ok(entry) => extend_new(into, vec![entry]),
            Err(error) => report.error(line, error.to_string()),
        }
    }
}

fn take_labels(into: &mut Vec<String>, labels: Vec<String>, line: u32, report: &mut Report) {
    for label in labels {
        match read_requirement(&label) {
            Ok(label) if into.len() < LABELS_MAX => extend_new(into, vec![label]),
            Ok(label) => report.warning(line, format!("a task can ask for {LABELS_MAX} labels; `{label}` is left out")),
            Err(why) => report.warning(line, format!("nothing is asked of workers by this: {why}")),
        }
    }
}

fn extend_new(into: &mut Vec<String>, more: Vec<String>) {
    for item in more {
        if !into.contains(&item) {
            into.push(item);
        }
    }
}

/// Takes up to `columns` of white space off the beginning.
fn without_indent(text: &str, columns: usize) -> &str {
    let mut taken = 0;
    for (at, byte) in text.bytes().enumerate() {
        let width = match byte {
            b' ' => 1,
            b'\t' => 4 - taken % 4,
            _ => return &text[at..],
        };
        if taken + width > columns {
            return &text[at..];
        }
        taken += width;
    }
    ""
}
