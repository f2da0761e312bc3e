//! What the decision about a unit that no fix could settle says of it.

use roundtable_shared::{Finding, FindingAnswer, RunId, UnitId};

use crate::state::{FixCause, Unit};
use crate::txn::Txn;

/// Points of a finding that a decision shows.
const POINTS_MAX: usize = 10;

/// Longest of their texts there, characters.
const SIDE_CHARS_MAX: usize = 300;

/// What the decision about a unit that no fix could settle tells of it.
pub(crate) fn context_of(d: &Txn<'_>, run: &RunId, unit: &UnitId, cause: &FixCause) -> String {
    let now = d.unit(run, unit);
    let tried = format!("after {} fixes", now.counters.fix_attempts);
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
