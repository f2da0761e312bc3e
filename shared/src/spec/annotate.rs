//! Writes an assignment into the text of a plan, as detail lines for a person to review: `_writes:`, `_reads:`, `_Depends:`. Every other byte of the file stays;
//! written twice it is the same; what is read again is what was assigned.

use std::collections::{BTreeMap, BTreeSet};

use super::detail::{self, Detail};
use super::lines;
use super::model::{Plan, Unit};
use super::problem::Report;
use super::{checkbox, parse_tasks_within};
use crate::answer::Proposal;
use crate::ids::UnitId;

/// A plan with its assignment.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Annotated {
    /// The text.
    pub text: String,
    /// Units that have new lines.
    pub changed: Vec<UnitId>,
    /// Units whose assignment such lines cannot say: their text is as it was.
    pub unsaid: Vec<UnitId>,
}

/// The text with what the proposals say. Text that is no plan comes back as it is.
pub fn annotate(text: &str, proposals: &[Proposal]) -> Annotated {
    let mut done = Annotated { text: text.to_owned(), ..Annotated::default() };
    for said in proposals {
        let plan = parse(&done.text);
        let Some(unit) = plan.units.iter().find(|unit| unit.id == said.unit) else { continue };
        let wanted = Wanted::of(unit, said);
        if wanted.is_said_by(unit) {
            continue;
        }
        let next = written(&done.text, &plan, unit, &wanted);
        let read = parse(&next);
        let is_right = read.units.iter().find(|again| again.id == said.unit).is_some_and(|again| wanted.is_said_by(again));
        if is_right && others_are_the_same(&plan, &read, &said.unit) {
            done.text = next;
            done.changed.push(said.unit.clone());
        } else {
            done.unsaid.push(said.unit.clone());
        }
    }
    done
}

fn parse(text: &str) -> Plan {
    parse_tasks_within(text.as_bytes(), "tasks.md", usize::MAX)
}

/// What a unit's lines are to say.
struct Wanted {
    /// `None`: as they are.
    writes: Option<BTreeSet<String>>,
    reads: Option<BTreeSet<String>>,
    /// Added to those of the plan.
    depends_on: BTreeSet<UnitId>,
}

impl Wanted {
    fn of(unit: &Unit, said: &Proposal) -> Self {
        let set = |list: &Option<Vec<String>>| list.as_ref().map(|list| list.iter().cloned().collect());
        let depends_on = unit.depends_on.iter().chain(&said.depends_on).cloned().collect();
        Self { writes: set(&said.writes), reads: set(&said.reads), depends_on }
    }

    fn is_said_by(&self, unit: &Unit) -> bool {
        let same = |wanted: &Option<BTreeSet<String>>, list: &[String]| {
            wanted.as_ref().is_none_or(|wanted| *wanted == list.iter().cloned().collect::<BTreeSet<_>>())
        };
        same(&self.writes, &unit.writes)
            && same(&self.reads, &unit.reads)
            && self.depends_on == unit.depends_on.iter().cloned().collect::<BTreeSet<_>>()
    }
}

fn others_are_the_same(before: &Plan, after: &Plan, but: &UnitId) -> bool {
    let others = |plan: &Plan| plan.units.iter().filter(|unit| unit.id != *but).cloned().collect::<Vec<_>>();
    let is_same = |(a, b): (&Unit, &Unit)| a.id == b.id && a.writes == b.writes && a.reads == b.reads && a.depends_on == b.depends_on;
    let (before, after) = (others(before), others(after));
    before.len() == after.len() && before.iter().zip(&after).all(is_same)
}

/// The text with the unit's new lines right below its own, and without lines of it that say more than is wanted.
fn written(text: &str, plan: &Plan, unit: &Unit, wanted: &Wanted) -> String {
    let mut report = Report::new("tasks.md");
    let all = lines::split(text, &mut report);
    let own: BTreeSet<u32> = unit.tasks.iter().map(|task| task.line).collect();
    let tasks: BTreeMap<u32, bool> = plan.tasks().iter().map(|task| (task.line, own.contains(&task.line))).collect();
    let mut removed: BTreeSet<u32> = BTreeSet::new();
    let (mut kept_writes, mut kept_reads): (BTreeSet<String>, BTreeSet<String>) = (BTreeSet::new(), BTreeSet::new());
    let mut inside = false;
    for line in &all {
        if let Some(is_own) = tasks.get(&line.number) {
            inside = *is_own;
            continue;
        }
        inside &= line.fenced || checkbox::heading(&line.text).is_none();
        if !inside || line.fenced {
            continue;
        }
        let (list, wanted, kept) = match detail::read(line.text.trim_end()) {
            Detail::Writes(list) => (list, &wanted.writes, &mut kept_writes),
            Detail::Reads(list) => (list, &wanted.reads, &mut kept_reads),
            _ => continue,
        };
        let Some(wanted) = wanted else { continue };
        let list: Vec<String> = list.iter().filter_map(|entry| crate::manifest::normalise_entry(entry).ok()).collect();
        if list.iter().all(|entry| wanted.contains(entry)) {
            kept.extend(list);
        } else {
            removed.insert(line.number);
        }
    }
    let missing = |wanted: &Option<BTreeSet<String>>, kept: &BTreeSet<String>| -> Vec<String> {
        wanted.iter().flatten().filter(|entry| !kept.contains(*entry)).map(|entry| quoted(entry)).collect()
    };
    let depends: Vec<String> = wanted.depends_on.iter().filter(|id| !unit.depends_on.contains(id)).map(ToString::to_string).collect();
    let new = [("writes", missing(&wanted.writes, &kept_writes)), ("reads", missing(&wanted.reads, &kept_reads)), ("Depends", depends)];
    spliced(text, unit, &removed, &new)
}

/// An entry as a line can have it: in backticks where it would be read as something else.
fn quoted(entry: &str) -> String {
    let is_plain = entry.chars().all(|c| c.is_ascii_alphanumeric() || "-_./*?".contains(c))
        && !entry.starts_with(['_', '*', '-'])
        && !entry.ends_with(['_', '*']);
    if is_plain { entry.to_owned() } else { format!("`{entry}`") }
}

fn spliced(text: &str, unit: &Unit, removed: &BTreeSet<u32>, new: &[(&str, Vec<String>); 3]) -> String {
    let mut out = String::with_capacity(text.len() + 200);
    let end = if text.contains("\r\n") { "\r\n" } else { "\n" };
    for (at, line) in text.split_inclusive('\n').enumerate() {
        let number = u32::try_from(at + 1).unwrap_or(u32::MAX);
        if removed.contains(&number) {
            continue;
        }
        out.push_str(line);
        if number != unit.own().line {
            continue;
        }
        let mut at_line_end = line.ends_with('\n');
        // Below a heading a detail stands at the left.
        let indent: String = line.trim_start_matches('\u{feff}').chars().take_while(|c| matches!(c, ' ' | '\t')).collect();
        let indent = if unit.own().heading { String::new() } else { format!("{indent}  ") };
        for (word, entries) in new.iter().filter(|(_, entries)| !entries.is_empty()) {
            if !at_line_end {
                out.push_str(end);
            }
            out.push_str(&format!("{indent}- _{word}: {}_", entries.join(", ")));
            if at_line_end {
                out.push_str(end);
            }
            at_line_end = line.ends_with('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn said(unit: &str, writes: &[&str], reads: &[&str], depends_on: &[&str]) -> Proposal {
        let list = |list: &[&str]| (!list.is_empty()).then(|| list.iter().map(ToString::to_string).collect());
        let depends_on = depends_on.iter().map(|id| (*id).into()).collect();
        Proposal { writes: list(writes), reads: list(reads), depends_on, ..Proposal::keep(unit.into()) }
    }

    #[test]
    fn lines_stand_below_their_unit_and_nothing_else_changes() {
        let text = "# Plan\n\n- [ ] 1. Store\n  - a table\n  - [ ] 1.1 Rows\n- [x] 2. Serve\n  - _writes: src/serve.rs_\n";
        let all = [
            said("1", &["src/store.rs", "src/my files/", "src/**"], &["docs/db.md"], &[]),
            said("2", &["src/serve.rs", "src/main.rs"], &[], &["1"]),
        ];
        let done = annotate(text, &all);
        assert_eq!(
            done.text,
            "# Plan\n\n- [ ] 1. Store\n  - _writes: `src/**`, `src/my files/`, src/store.rs_\n  - _reads: docs/db.md_\n  - a table\n  - [ ] 1.1 Rows\n- [x] 2. Serve\n  - _writes: src/main.rs_\n  - _Depends: 1_\n  - _writes: src/serve.rs_\n"
        );
        assert_eq!((done.changed, done.unsaid), (vec!["1".into(), "2".into()], Vec::new()));
        let again = annotate(&done.text, &all);
        assert_eq!((again.text, again.changed), (done.text, Vec::new()));
    }

    #[test]
    fn lines_that_say_more_than_is_assigned_are_replaced() {
        let text = "- [ ] 1. Store\r\n  - [ ] 1.1 Rows\r\n    - _writes: src/_\r\n    - keep me\r\n- [ ] 2. Serve";
        let done = annotate(text, &[said("1", &["src/store.rs"], &[], &[]), said("2", &["b.rs"], &["a.rs"], &["1"])]);
        assert_eq!(
            done.text,
            "- [ ] 1. Store\r\n  - _writes: src/store.rs_\r\n  - [ ] 1.1 Rows\r\n    - keep me\r\n- [ ] 2. Serve\r\n  - _writes: b.rs_\r\n  - _reads: a.rs_\r\n  - _Depends: 1_"
        );
    }

    #[test]
    fn headings_generated_ids_and_what_no_line_can_say() {
        let done = annotate("## 1. Core\n\n- [ ] 1.1 A\n", &[said("1", &["core/"], &[], &[])]);
        assert_eq!(done.text, "## 1. Core\n- _writes: core/_\n\n- [ ] 1.1 A\n");
        let done = annotate("- [ ] First\n- [ ] Second\n", &[said("2", &["b.rs"], &[], &["1"])]);
        assert_eq!(done.text, "- [ ] First\n- [ ] Second\n  - _writes: b.rs_\n  - _Depends: 1_\n");
        let text = "- [ ] 1. A\n";
        let done = annotate(text, &[said("1", &["odd`name"], &[], &[]), said("7", &["x"], &[], &[])]);
        assert_eq!((done.text.as_str(), done.unsaid), (text, vec!["1".into()]));
        assert_eq!(annotate(text, &[Proposal::keep("1".into())]).text, text);
    }
}
