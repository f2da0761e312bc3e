//! The fix loop (docs/rules.md, "Fixes"): sending a unit back, counting its fixes, and the end of patience.

use roundtable_shared::limits::FIX_ATTEMPTS_MAX;
use roundtable_shared::{DecisionKind, Finding, FindingAnswer, RunId, UnitId, UnitState};

use super::blocking::{Block, block};
use super::{Deciding, consult};
use crate::command::HUMAN;
use crate::planted::{Bug, planted};
use crate::state::{FixCause, Unit};
use crate::transition::{Counter, Fact};

/// Points of a finding that a decision shows.
const POINTS_MAX: usize = 10;
/// Longest of their texts there, characters.
const SIDE_CHARS_MAX: usize = 300;

/// A unit needs a fix: it goes to `fix_required`, or after the third one to a person.
pub(super) fn want_fix(d: &mut Deciding<'_>, run: &RunId, unit: &UnitId, cause: FixCause) {
    let context = context_of(d, run, unit, &cause);
    if !planted(Bug::CauseForgotten) {
        d.emit(run, Fact::FixSet { unit: unit.clone(), cause: Some(cause) });
    }
    if d.unit(run, unit).fix_attempts >= FIX_ATTEMPTS_MAX && !planted(Bug::FourthFix) {
        block(d, run, unit, Block { kind: DecisionKind::HumanFallback, reason: HUMAN.to_owned(), context });
        return;
    }
    if d.unit(run, unit).state != UnitState::FixRequired {
        d.move_unit(run, unit, UnitState::FixRequired, None);
    }
    consult::due(d, run, &format!("unit {unit} was sent back"));
}

/// A fix ended without being acceptable: the same again, or a person.
pub(super) fn fix_failed(d: &mut Deciding<'_>, run: &RunId, unit: &UnitId, error: &str) {
    d.emit(run, Fact::Counted { unit: unit.clone(), what: Counter::Fix });
    let now = d.unit(run, unit);
    if now.fix_attempts >= FIX_ATTEMPTS_MAX {
        let context = format!("unit {unit}: the fix failed {} times, last: {error}", now.fix_attempts);
        block(d, run, unit, Block { kind: DecisionKind::HumanFallback, reason: HUMAN.to_owned(), context });
    } else {
        d.move_unit(run, unit, UnitState::FixRequired, None);
    }
}

fn context_of(d: &Deciding<'_>, run: &RunId, unit: &UnitId, cause: &FixCause) -> String {
    let now = d.unit(run, unit);
    let tried = format!("after {} fixes", now.fix_attempts);
    match cause {
        FixCause::Findings { .. } => {
            let open = now.round_findings().filter(|finding| finding.severity.must_fix());
            let sides: Vec<String> = open.map(|finding| both_sides(now, finding)).collect();
            format!("unit {unit} still has findings {tried}: {}", sides.join("; "))
        }
        FixCause::Conflict { paths, .. } => format!("unit {unit} still conflicts with the run's branch {tried}: {}", paths.join(", ")),
        FixCause::CheckRed { .. } => format!("the check of unit {unit} is still red {tried}"),
        FixCause::Repeat { .. } | FixCause::Imported | FixCause::Waiting { .. } => format!("unit {unit} still needs a fix {tried}"),
    }
}

/// A finding with what its owner says to each point of it.
fn both_sides(unit: &Unit, finding: &Finding) -> String {
    let points: Vec<_> = finding.points().into_iter().filter(|point| point.severity.must_fix()).collect();
    let mut text = cut(&finding.summary);
    for point in points.iter().take(POINTS_MAX) {
        let said = match unit.answers_to(point.id).next_back().map(|last| &last.answer) {
            Some(FindingAnswer { why_not: Some(why), .. }) => format!("the owner left it: {}", cut(why)),
            Some(FindingAnswer { fixed: Some(how), .. }) => format!("the owner says it is fixed: {}", cut(how)),
            _ => "the owner said nothing to it".to_owned(),
        };
        let what = if finding.issues.is_empty() { String::new() } else { format!(" {}: {}", point.severity, cut(point.text)) };
        text.push_str(&format!(" [{}{what}; {said}]", point.id));
    }
    if points.len() > POINTS_MAX {
        text.push_str(&format!(" and {} more", points.len() - POINTS_MAX));
    }
    text
}

fn cut(text: &str) -> String {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= SIDE_CHARS_MAX { line } else { line.chars().take(SIDE_CHARS_MAX).chain(['…']).collect() }
}
