//! An agent that says it cannot do the unit as it stands (docs/rules.md, "Agents that refuse a unit"): trying it blindly again would get the same answer, so a
//! person is asked at once, unless all it lacks is another unit's work that is on its way.

use roundtable_shared::answer::{RefusalKind, WorkAnswer};
use roundtable_shared::{DecisionKind, Role, RunId, UnitId};

use super::Deciding;
use super::blocking::{Block, block};
use super::failure;
use crate::state::{Run, Unit};
use crate::transition::{Counter, Fact};

/// What becomes of a unit whose agent refuses it; false if the answer refuses nothing.
pub(super) fn refused(d: &mut Deciding<'_>, run: &RunId, unit: &UnitId, role: Role, answer: &WorkAnswer, error: &str) -> bool {
    let Some(kind) = answer.refusal else { return false };
    let on = (kind == RefusalKind::BlockedOn && role == Role::Implement).then(|| needed(d.run(run), d.unit(run, unit), error)).flatten();
    if let Some(on) = on {
        d.notice(run, format!("unit {unit} waits for unit {on}: its agent says that it needs that first: {error}"));
        d.emit(run, Fact::Counted { unit: unit.clone(), what: Counter::Repeated(role) });
        d.emit(run, Fact::DependencyFound { unit: unit.clone(), on });
        failure::back_to_waiting(d, run, unit);
        return true;
    }
    let counter = if role == Role::Fix { Counter::Fix } else { Counter::UnitFailure };
    d.emit(run, Fact::Counted { unit: unit.clone(), what: counter });
    let what = match kind {
        RefusalKind::Underspecified => "says that the task does not say enough",
        RefusalKind::BlockedOn => "says that something else must be there first",
        RefusalKind::OutOfScope => "says that the task cannot be done within the unit's bounds",
    };
    let context = format!("unit {unit}: the agent {what}: {error}");
    block(d, run, unit, Block { kind: DecisionKind::FailedSubtask, reason: error.to_owned(), context });
    true
}

/// The unit the agent's words name, if waiting for it can help: it runs, is not done, and comes first in plan order, so that no two wait for each
/// other. Once per unit: what is still missing after that, no waiting brings.
fn needed(run: &Run, unit: &Unit, words: &str) -> Option<UnitId> {
    if unit.blocked_on.is_some() {
        return None;
    }
    let mut words =
        words.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | ':' | '(' | ')' | '`' | '"')).filter(|word| !word.is_empty());
    let rank = |unit: &Unit| run.plan.rank.get(unit.position).copied();
    while let Some(word) = words.next() {
        if !["unit", "task", "step"].iter().any(|name| word.eq_ignore_ascii_case(name)) {
            continue;
        }
        let Some(id) = words.next().map(|id| id.trim_end_matches('.').trim_start_matches('#')) else { break };
        let named = run
            .units()
            .find(|other| other.id.as_str() == id || run.outline.unit(other.id.as_str()).is_some_and(|it| it.task(id).is_some()));
        let Some(other) = named else { continue };
        if other.id != unit.id && other.runs && !other.state.is_terminal() && rank(other) < rank(unit) {
            return Some(other.id.clone());
        }
    }
    None
}
