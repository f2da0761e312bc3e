//! The unit an agent names when it says that it cannot go on without it.

use roundtable_shared::UnitId;

use crate::state::{Run, Unit};

/// The unit the agent's words name, if waiting for it can help: it runs, is not done, and comes first in plan order, so that no two wait for each
/// other. Once per unit: what is still missing after that, no waiting brings.
pub(crate) fn needed(run: &Run, unit: &Unit, words: &str) -> Option<UnitId> {
    if unit.work.blocked_on.is_some() {
        return None;
    }
    let mut words =
        words.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | ':' | '(' | ')' | '`' | '"')).filter(|word| !word.is_empty());
    let rank = |unit: &Unit| run.plan.rank.get(unit.spec.position).copied();
    while let Some(word) = words.next() {
        if !["unit", "task", "step"].iter().any(|name| word.eq_ignore_ascii_case(name)) {
            continue;
        }
        let Some(id) = words.next().map(|id| id.trim_end_matches('.').trim_start_matches('#')) else { break };
        let named = run.units().find(|other| other.id.as_str() == id || run.outlined(&other.id).is_some_and(|it| it.task(id).is_some()));
        let Some(other) = named else { continue };
        if other.id != unit.id && other.spec.runs && !other.state().is_terminal() && rank(other) < rank(unit) {
            return Some(other.id.clone());
        }
    }
    None
}
