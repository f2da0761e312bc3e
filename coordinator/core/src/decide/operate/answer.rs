//! Answers to decisions (docs/rules.md, "Decisions"): who answered first counts, the same answer again is fine.

use roundtable_shared::time::WallMs;
use roundtable_shared::{
    Answer, BackendName, Choice, CommitId, Decision, DecisionId, DecisionKind, Dependants, RunId, SubtaskState, UnitId, UnitState,
};

use crate::change::Rejection;
use crate::moves::{ask, end, retry};
use crate::rules::known::{known_unit, may_retry};
use crate::state::{BaseCheck, Release, Work};
use crate::transition::Fact;
use crate::txn::Txn;

/// A person answers a decision.
pub(crate) fn decide(
    d: &mut Txn<'_>,
    run: &RunId,
    id: &DecisionId,
    choice: Choice,
    dependants: Dependants,
    note: Option<String>,
    by: String,
) -> Result<(), Rejection> {
    let Some(decision) = d.run(run).people.decisions.get(id).cloned() else { return answered_before(d, run, id, &choice) };
    check_fits(d, run, &decision, &choice)?;
    let answer = Answer { choice: choice.clone(), dependants, note, by: by.clone(), at: d.now.wall };
    d.emit(run, Fact::DecisionAnswered { id: id.clone(), answer: Box::new(answer) });
    d.done(format!("{id}: {}", choice.keyword()));
    match (&decision.unit, decision.kind, choice) {
        (_, _, Choice::Abort) => end::abort(d, run, format!("aborted: {id}"), by),
        (Some(unit), _, Choice::Retry) => retry::retry(d, run, unit),
        (Some(unit), _, Choice::Resume { commit }) => resume(d, run, unit, commit),
        (Some(unit), _, Choice::Skip) => end::skip(d, run, unit, dependants),
        (Some(unit), DecisionKind::MissingOwnerAgent, Choice::Assign { owner }) => give_owner(d, run, unit, owner, by),
        (None, DecisionKind::NoWorker, Choice::Wait) => snooze(d, run, &decision),
        (None, DecisionKind::NoWorker, Choice::Use { backend }) => {
            if let Some(wanted) = decision.backend {
                d.emit(run, Fact::BackendReplaced { wanted, used: backend });
            }
        }
        (Some(unit), DecisionKind::Imported, Choice::Answer { .. }) => retry::go_on(d, run, unit),
        (None, DecisionKind::CheckRedOnBase, Choice::GoOn) => d.emit(run, Fact::BaseChecked { result: BaseCheck::Waived }),
        _ => {}
    }
    Ok(())
}

fn answered_before(d: &mut Txn<'_>, run: &RunId, id: &DecisionId, choice: &Choice) -> Result<(), Rejection> {
    let known = d.run(run).people.answered.get(id).and_then(|decision| decision.answer.clone());
    let Some(answer) = known else {
        let open: Vec<&str> = d.run(run).people.decisions.keys().map(DecisionId::as_str).collect();
        let open = if open.is_empty() { "none is open".to_owned() } else { format!("open are {}", open.join(", ")) };
        return Err(Rejection::not_found(format!("run {run} has no decision {id}; {open}")));
    };
    let said = format!("{id} was answered with `{}` by {} at {}", answer.choice.keyword(), answer.by, answer.at.rfc3339());
    if answer.choice == *choice {
        d.unchanged(said);
        return Ok(());
    }
    Err(Rejection::conflict(format!("{said}; that stands")))
}

/// Whether the choice is one of the decision's, and can be done now.
fn check_fits(d: &Txn<'_>, run: &RunId, decision: &Decision, choice: &Choice) -> Result<(), Rejection> {
    let word = choice.keyword();
    if let (DecisionKind::Imported, Choice::Answer { option }) = (decision.kind, choice) {
        let is_one = decision.options.is_empty() || decision.options.contains(option);
        let why =
            || Rejection::invalid(format!("`{option}` is no option of {}; choose one of: {}", decision.id, decision.options.join(", ")));
        return is_one.then_some(()).ok_or_else(why);
    }
    let offered = decision.keywords.iter().any(|keyword| keyword.split(':').next() == Some(word));
    if !offered {
        return Err(Rejection::invalid(format!(
            "`{word}` is no option of {}; choose one of {}",
            decision.id,
            decision.keywords.join(", ")
        )));
    }
    if let (Choice::Use { backend }, Some(wanted)) = (choice, &decision.backend)
        && backend == wanted
    {
        return Err(Rejection::invalid(format!("{backend} is what is missing; name another backend, or `wait`")));
    }
    if let (Choice::Resume { commit }, Some(unit)) = (choice, &decision.unit) {
        let now = d.unit(run, unit);
        // Earlier releases left questions open about units that went on.
        if now.state() != UnitState::Blocked {
            return Err(Rejection::conflict(format!("unit {unit} is {}: only a blocked one is resumed", now.state())));
        }
        if commit.is_none() && now.work.last.is_none() {
            return Err(Rejection::conflict(format!("unit {unit} has left no commit to resume from; name one with --commit")));
        }
    }
    Ok(())
}

/// `retry` without a decision: also for units that are not blocked.
pub(crate) fn retry_act(d: &mut Txn<'_>, run: &RunId, unit: &UnitId, by: String) -> Result<(), Rejection> {
    let now = known_unit(d, run, unit)?;
    if !now.spec.runs || !may_retry(now) {
        return Err(Rejection::conflict(format!("unit {unit} is {}: its work cannot be started over now", now.state())));
    }
    let open = d
        .run(run)
        .people
        .decisions
        .values()
        .find(|decision| decision.unit.as_ref() == Some(unit) && decision.keywords.iter().any(|word| word == "retry"));
    if let Some(id) = open.map(|decision| decision.id.clone()) {
        return decide(d, run, &id, Choice::Retry, Dependants::default(), None, by);
    }
    let waits_for_its_turn = now.state() == UnitState::NotStarted;
    retry::retry(d, run, unit);
    if waits_for_its_turn {
        d.done(format!("unit {unit} is not under way: its failures count from 0, and it starts as soon as nothing stands in its way"));
    } else {
        d.done(format!("unit {unit} is tried again"));
    }
    Ok(())
}

/// The person did it: open subtasks count as done, what else was asked about the unit is settled, and the commit is merged with the tip and reviewed in
/// a new round.
fn resume(d: &mut Txn<'_>, run: &RunId, unit: &UnitId, commit: Option<CommitId>) {
    let (base, last) = (d.run(run).origin.base.clone(), d.unit(run, unit).work.last.clone());
    let work = match (commit, last) {
        (Some(commit), Some(last)) => Work { commit, ..last },
        (Some(commit), None) => Work { attempt: Default::default(), base, commit },
        (None, Some(last)) => last,
        (None, None) => return,
    };
    ask::withdraw_of_unit(d, run, unit, "a person did its work");
    let open: Vec<_> = d.unit(run, unit).open_subtasks().map(|subtask| subtask.id.clone()).collect();
    for task in open {
        d.emit(run, Fact::SubtaskMoved { unit: unit.clone(), task, to: SubtaskState::Completed, error: None });
    }
    d.emit(run, Fact::CountersReset { unit: unit.clone(), fixes: false });
    d.emit(run, Fact::ReleaseSet { unit: unit.clone(), release: Some(Release::Review { work }) });
}

fn give_owner(d: &mut Txn<'_>, run: &RunId, unit: &UnitId, owner: BackendName, by: String) {
    let now = d.unit(run, unit);
    let assignment = roundtable_shared::Assignment {
        unit: unit.clone(),
        unit_type: now.assignment.unit_type,
        owner_agent: Some(owner),
        target_window: now.assignment.window.clone().or_else(|| Some(format!("task-{unit}"))),
        criticality: now.assignment.criticality,
        writes: now.assignment.manifest.writes.entries().to_vec(),
        reads: now.assignment.manifest.reads.entries().to_vec(),
        depends_on: Vec::new(),
    };
    d.emit(run, Fact::UnitReassigned { assignment: Box::new(assignment), by });
    retry::go_on(d, run, unit);
}

fn snooze(d: &mut Txn<'_>, run: &RunId, decision: &Decision) {
    let Some(backend) = decision.backend.clone() else { return };
    let until = WallMs(d.now.wall.0.saturating_add(d.run(run).options.limits.no_worker_ask_again_ms));
    d.fleet.missing.retain(|(other, need), _| other != run || need.wanted != backend);
    d.emit(run, Fact::NoWorkerSnoozed { backend, until });
}
