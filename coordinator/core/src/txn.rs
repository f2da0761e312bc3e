//! A transaction of the core: each fact is folded as it is decided, so that what follows from it is decided on the state that has it.

use roundtable_shared::{DecisionId, RunId, UnitId, UnitState};

use crate::change::{Change, Refused, Reply};
use crate::command::Now;
use crate::effect::Effect;
use crate::entropy::Entropy;
use crate::fleet::Fleet;
use crate::state::{Run, State, Unit, may_move};
use crate::transition::{Fact, Transition};

/// Facts decided so far, folded into the state as they come, with what is to be done and answered once they are durable.
pub(crate) struct Txn<'a> {
    state: &'a mut State,
    pub(crate) fleet: &'a mut Fleet,
    pub(crate) now: Now,
    pub(crate) entropy: &'a mut Entropy,
    change: Change,
    /// Runs in which something may follow by itself, in the order they were touched.
    touched: Vec<RunId>,
}

impl<'a> Txn<'a> {
    pub(crate) fn new(state: &'a mut State, fleet: &'a mut Fleet, now: Now, entropy: &'a mut Entropy) -> Self {
        Self { state, fleet, now, entropy, change: Change::default(), touched: Vec::new() }
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
        if let Some(run) = &run {
            self.touch(run);
        }
        let transition = Transition { run, at: self.now.wall, fact };
        self.state.apply(&transition);
        self.change.transitions.push(transition);
    }

    /// Something may follow by itself in that run, also where no fact of it is decided: time has passed.
    pub(crate) fn touch(&mut self, run: &RunId) {
        if !self.touched.contains(run) {
            self.touched.push(run.clone());
        }
    }

    /// The runs touched since this was last asked.
    pub(crate) fn take_touched(&mut self) -> Vec<RunId> {
        std::mem::take(&mut self.touched)
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
        let from = self.unit(run, unit).state();
        if !may_move(from, to) {
            self.change.refused.push(Refused { run: run.clone(), unit: unit.clone(), from, to });
            return false;
        }
        self.emit(run, Fact::UnitMoved { unit: unit.clone(), to, reason });
        true
    }

    /// Says something once per run.
    pub(crate) fn notice(&mut self, run: &RunId, text: String) {
        if self.run(run).people.notices.iter().any(|notice| notice.text == text) {
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
        self.run(run).people.decisions.contains_key(id)
    }
}
