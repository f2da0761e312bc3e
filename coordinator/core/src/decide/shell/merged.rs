//! A unit's work is merged with the tip.

use roundtable_shared::{CommitId, DecisionKind, RunId, UnitId};

use crate::command::Prepared;
use crate::moves::contention::Contention;
use crate::moves::dropped::note_dropped;
use crate::moves::unit::{Block, block};
use crate::moves::{accept, contention, fix};
use crate::rules::manifest::judge;
use crate::state::{FixCause, Merging, Work};
use crate::transition::Fact;
use crate::txn::Txn;

/// The shell's answer; one that no longer fits is ignored.
pub(crate) fn merged(d: &mut Txn<'_>, run: &RunId, unit: &UnitId, (tip, of): (&CommitId, &CommitId), result: Prepared) {
    let Some(now) = d.state().unit(run, unit) else { return };
    let fits = |merging: &Merging| merging.tip == *tip && merging.work.commit == *of;
    let Some(merging) = now.merging().cloned().filter(fits) else { return };
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
            accept::accept(d, run, unit, work, Vec::new(), Vec::new());
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
                contention::breach(d, run, unit, role, judged.breach);
            } else if !judged.contended.is_empty() {
                let contention = Contention { role, claim: judged.claim, contended: judged.contended, by_person: merging.by_person };
                contention::wait_for(d, run, unit, contention);
            } else {
                accept::accept(d, run, unit, work, judged.claim, judged.paths);
            }
        }
    }
}
