//! Commands to transitions. One verb, one file; each handler checks first and may refuse, then acts and cannot.
//!
//! Handlers work on a `Deciding`: it folds each fact into the core's own state as it is decided, so that what follows from a fact is decided on
//! the state that has it. Nothing here reads a clock or does IO.

mod access;
mod advance;
mod answer;
mod assign;
mod attach;
mod attempt;
mod blocking;
mod broad;
mod cancel;
mod check;
mod close;
mod consult;
mod contend;
mod cordon;
mod document;
mod drain;
mod failure;
mod finding;
mod fix;
mod import;
mod integrate;
mod judge;
mod land;
mod lease;
mod manifest;
mod merge;
mod operate;
mod park;
mod reassign;
mod refusal;
mod remove;
mod report;
mod review;
mod shell;
mod step;
mod submit;
mod tick;
mod work;
mod worker;

use roundtable_shared::{DecisionId, RunId, UnitId, UnitState};

use crate::change::{Change, Refused, Rejection, Reply};
use crate::command::{Command, Now};
use crate::effect::Effect;
use crate::entropy::Entropy;
use crate::fleet::Fleet;
use crate::state::{Run, State, Unit, may_move};
use crate::transition::{Fact, Transition};

pub use access::{Admission, TOKEN_TTL_MS_MAX, TOKEN_USES_MAX, admission, free_name};
pub(crate) use advance::advance;
pub(crate) use assign::{by_rules_alone, plan_from_cache};
pub(crate) use attempt::key_of;
pub(crate) use blocking::{raise, raise_no_worker, replacements, withdraw};
pub(crate) use consult::give_up;
pub(crate) use integrate::is_gated_by_check;
pub use park::{Parked, parked, parked_account};
pub(crate) use park::{key as park_key, refusal};
pub(crate) use reassign::give_up as give_up_reassignment;
pub(crate) use shell::owed_effects;
pub(crate) use step::allows as step_allows;
pub(crate) use work::reopen_subtasks;

/// A decision in the making.
pub(crate) struct Deciding<'a> {
    state: &'a mut State,
    pub(crate) fleet: &'a mut Fleet,
    pub(crate) now: Now,
    pub(crate) entropy: &'a mut Entropy,
    change: Change,
}

/// Decides a command, and all that follows from it.
pub(crate) fn decide(d: &mut Deciding<'_>, command: Command) -> Result<(), Rejection> {
    match command {
        Command::Submit(submit) => submit::submit(d, *submit)?,
        Command::Operate(act) => operate::operate(d, act)?,
        Command::Access(command) => access::access(d, command)?,
        Command::WorkerHello(hello) => worker::hello(d, *hello)?,
        Command::WorkerGone { worker, session } => worker::gone(d, &worker, session),
        Command::WorkerGoodbye { worker, session } => worker::goodbye(d, &worker, session),
        Command::WorkerDraining { worker, session } => worker::leaving(d, &worker, session)?,
        Command::Want { worker, session, pool, credits } => worker::want(d, &worker, session, pool, credits)?,
        Command::BackendChanged { worker, session, offer } => worker::backend_changed(d, &worker, session, offer)?,
        Command::Heartbeat { worker, session, held } => worker::heartbeat(d, &worker, session, held)?,
        Command::LeaseAccepted { worker, lease } => lease::accepted(d, &worker, &lease),
        Command::LeasePreparing { worker, lease } => lease::preparing(d, &worker, &lease),
        Command::LeaseStarted { worker, lease } => lease::started(d, &worker, &lease),
        Command::LeaseServed { worker, lease } => lease::served(d, &worker, &lease),
        Command::WorkSaved { worker, lease, saved } => lease::saved(d, &worker, &lease, saved),
        Command::LeaseEnding { worker, lease } => lease::ending(d, &worker, &lease),
        Command::HandBack { worker, lease, reason, fault } => lease::hand_back(d, &worker, &lease, &reason, fault),
        Command::Report(report) => report::report(d, *report),
        Command::Shell(answer) => shell::answer(d, answer),
        Command::Tick => tick::tick(d),
    }
    advance_touched(d);
    Ok(())
}

/// Everything that follows by itself in the runs this decision has changed.
fn advance_touched(d: &mut Deciding<'_>) {
    let mut done = 0;
    while done < d.change.transitions.len() {
        let mut touched: Vec<RunId> = Vec::new();
        for transition in &d.change.transitions[done..] {
            if let Some(run) = &transition.run
                && !touched.contains(run)
            {
                touched.push(run.clone());
            }
        }
        done = d.change.transitions.len();
        for run in touched {
            advance(d, &run);
        }
    }
}

impl<'a> Deciding<'a> {
    pub(crate) fn new(state: &'a mut State, fleet: &'a mut Fleet, now: Now, entropy: &'a mut Entropy) -> Self {
        Self { state, fleet, now, entropy, change: Change::default() }
    }

    pub(crate) fn into_change(self) -> Change {
        self.change
    }

    pub(crate) fn is_untouched(&self) -> bool {
        self.change.transitions.is_empty()
    }

    pub(crate) fn state(&self) -> &State {
        self.state
    }

    /// A run that is known to exist.
    pub(crate) fn run(&self, id: &RunId) -> &Run {
        self.state.run(id).expect("runs are never removed, and this one was found before")
    }

    /// A unit that is known to exist.
    pub(crate) fn unit(&self, run: &RunId, unit: &UnitId) -> &Unit {
        self.run(run).unit(unit).expect("units are never removed, and this one was found before")
    }

    /// Decides a fact of a run.
    pub(crate) fn emit(&mut self, run: &RunId, fact: Fact) {
        self.fold(Some(run.clone()), fact);
    }

    /// Decides a fact of the fleet.
    pub(crate) fn emit_fleet(&mut self, fact: Fact) {
        self.fold(None, fact);
    }

    fn fold(&mut self, run: Option<RunId>, fact: Fact) {
        let transition = Transition { run, at: self.now.wall, fact };
        self.state.apply(&transition);
        self.change.transitions.push(transition);
    }

    /// Something to do after the append.
    pub(crate) fn effect(&mut self, effect: Effect) {
        self.change.effects.push(effect);
    }

    pub(crate) fn reply(&mut self, reply: Reply) {
        self.change.reply = reply;
    }

    pub(crate) fn done(&mut self, text: impl Into<String>) {
        self.reply(Reply::Done { text: text.into(), unchanged: false });
    }

    pub(crate) fn unchanged(&mut self, text: impl Into<String>) {
        self.reply(Reply::Done { text: text.into(), unchanged: true });
    }

    /// Moves a unit, if the table has the move; a refused one is reported as the bug it is, and not done.
    pub(crate) fn move_unit(&mut self, run: &RunId, unit: &UnitId, to: UnitState, reason: Option<String>) -> bool {
        let from = self.unit(run, unit).state;
        if !may_move(from, to) {
            self.change.refused.push(Refused { run: run.clone(), unit: unit.clone(), from, to });
            return false;
        }
        self.emit(run, Fact::UnitMoved { unit: unit.clone(), to, reason });
        true
    }

    /// Says something once per run.
    pub(crate) fn notice(&mut self, run: &RunId, text: String) {
        if self.run(run).notices.iter().any(|notice| notice.text == text) {
            return;
        }
        self.say_again(run, text);
    }

    /// Says something, also if it was said before.
    pub(crate) fn say_again(&mut self, run: &RunId, text: String) {
        self.effect(Effect::Notice { run: run.clone(), text: text.clone() });
        self.emit(run, Fact::NoticeSaid { text });
    }

    /// The open decision of that id.
    pub(crate) fn is_open(&self, run: &RunId, id: &DecisionId) -> bool {
        self.run(run).decisions.contains_key(id)
    }
}
