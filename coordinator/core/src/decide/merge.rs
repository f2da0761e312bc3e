//! Merging a unit's work with the tip outside the integration queue: after contention, and when a person resumes a unit.

use roundtable_shared::{CommitId, DecisionKind, RunId, UnitId};

use super::blocking::{Block, block};
use super::contend::{self, Contention};
use super::manifest::{judge, note_dropped};
use super::{Deciding, fix, work};
use crate::command::Prepared;
use crate::effect::Effect;
use crate::state::{FixCause, Merging, Run, Unit, Work};
use crate::transition::Fact;

/// Begins one; the unit is in `fix_required` and stays there until the answer.
pub(super) fn begin(d: &mut Deciding<'_>, run: &RunId, unit: &UnitId, work: Work, by_person: bool) {
    let merging = Merging { tip: d.run(run).tip.clone(), work, by_person };
    d.emit(run, Fact::MergeSet { unit: unit.clone(), merging: Some(merging) });
    if let Some(effect) = effect(d.run(run), d.unit(run, unit)) {
        d.effect(effect);
    }
}

/// The effect a unit's merge owes.
pub(super) fn effect(run: &Run, unit: &Unit) -> Option<Effect> {
    let merging = unit.merging.as_ref()?;
    Some(Effect::MergeWithTip {
        run: run.id.clone(),
        unit: unit.id.clone(),
        base: merging.work.base.clone(),
        commit: merging.work.commit.clone(),
        tip: merging.tip.clone(),
    })
}

/// The shell's answer; one that no longer fits is ignored.
pub(super) fn merged(d: &mut Deciding<'_>, run: &RunId, unit: &UnitId, (tip, of): (&CommitId, &CommitId), result: Prepared) {
    let Some(now) = d.state().unit(run, unit) else { return };
    let fits = |merging: &Merging| merging.tip == *tip && merging.work.commit == *of;
    let Some(merging) = now.merging.clone().filter(fits) else { return };
    let role = now.next_role();
    d.emit(run, Fact::MergeSet { unit: unit.clone(), merging: None });
    let attempt = merging.work.attempt;
    match result {
        Prepared::Conflict { paths, evidence } => {
            // The fix goes on from what conflicts, also where that is a person's.
            d.emit(run, Fact::WorkReplaced { unit: unit.clone(), work: merging.work });
            fix::want_fix(d, run, unit, FixCause::Conflict { paths, evidence });
        }
        Prepared::Empty => {
            let work = Work { attempt, base: tip.clone(), commit: tip.clone() };
            d.emit(run, Fact::WorkReplaced { unit: unit.clone(), work: work.clone() });
            work::accept(d, run, unit, work, Vec::new(), Vec::new());
        }
        Prepared::Clean { commit, changed } => {
            let work = Work { attempt, base: tip.clone(), commit };
            d.emit(run, Fact::WorkReplaced { unit: unit.clone(), work: work.clone() });
            let judged = judge(d.run(run), d.unit(run, unit), &changed, merging.by_person);
            note_dropped(d, run, unit, &judged);
            if !judged.breach.is_empty() && merging.by_person {
                let listed: Vec<String> = judged.breach.iter().map(|(path, why)| format!("{path} ({why})")).collect();
                let context = format!("the commit given for unit {unit} changes what nobody may: {}", listed.join(", "));
                block(d, run, unit, Block { kind: DecisionKind::Breach, reason: "changes outside its manifest".to_owned(), context });
            } else if !judged.breach.is_empty() {
                contend::breach(d, run, unit, role, judged.breach);
            } else if !judged.contended.is_empty() {
                let contention = Contention { role, claim: judged.claim, contended: judged.contended, by_person: merging.by_person };
                contend::wait_for(d, run, unit, contention);
            } else {
                work::accept(d, run, unit, work, judged.claim, judged.paths);
            }
        }
    }
}
