//! One batch of decisions and the way out of it: commands are decided and folded, what can be granted is granted, and answers and effects come out only
//! against the proof that all of it is durable (I14). The driver and the simulator drive this same code; appending is theirs.

use crate::change::{Change, Refused, Rejection, Reply};
use crate::command::{Command, Now};
use crate::core::Core;
use crate::effect::Effect;
use crate::entropy::Entropy;
use crate::planted::{Bug, planted};
use crate::transition::Transition;

/// Who asked, and what they are told. `R` is how the caller finds them again.
pub type Answer<R> = (R, Result<Reply, Rejection>);

/// Commands that are decided together.
#[derive(Debug)]
pub struct Batch<R> {
    change: Change,
    answers: Vec<Answer<R>>,
}

impl<R> Default for Batch<R> {
    fn default() -> Self {
        Self::after(Change::default())
    }
}

impl<R> Batch<R> {
    /// A batch that begins with what was decided already: what a recovery owes.
    pub fn after(change: Change) -> Self {
        Self { change, answers: Vec::new() }
    }

    /// Decides one command; its answer waits.
    pub fn decide(&mut self, core: &mut Core, command: Command, to: R, now: Now, entropy: &mut Entropy) {
        let answer = core.handle(command, now, entropy).map(|mut decided| {
            let reply = std::mem::take(&mut decided.reply);
            self.change.extend(decided);
            reply
        });
        self.answers.push((to, answer));
    }

    /// Grants what can be granted, if anything has changed since that was last looked at. Whether it looked.
    pub fn schedule(&mut self, core: &mut Core, now: Now, entropy: &mut Entropy) -> bool {
        let is_due = core.is_schedule_due(now);
        if is_due {
            self.change.extend(core.schedule(now, entropy));
        }
        is_due
    }

    /// Nothing is added any more: what is left is to make it durable.
    pub fn close(self, core: &Core) -> Pending<R> {
        Pending {
            change: self.change,
            answers: self.answers,
            through_seq: core.state.seq.saturating_sub(u64::from(planted(Bug::ProofTooOld))),
        }
    }
}

/// A batch that waits to be durable. Nothing of it can be had but what is to be appended.
#[derive(Debug)]
pub struct Pending<R> {
    change: Change,
    answers: Vec<Answer<R>>,
    through_seq: u64,
}

impl<R> Pending<R> {
    /// What is to be appended, all or nothing.
    pub fn transitions(&self) -> &[Transition] {
        &self.change.transitions
    }

    /// Lets out what waited, given the last row of the log that is durable. `Err` gives the batch back: it is not durable yet.
    pub fn release(self, durable_seq: u64) -> Result<Released<R>, Box<Self>> {
        if durable_seq < self.through_seq && !planted(Bug::AnswersEarly) {
            return Err(Box::new(self));
        }
        let Change { transitions, effects, refused, .. } = self.change;
        Ok(Released { transitions, answers: self.answers, effects, refused })
    }

    /// Those who wait for an answer, as they are told something else. The batch goes on without them.
    pub fn dismiss(&mut self) -> Vec<R> {
        self.answers.drain(..).map(|(to, _)| to).collect()
    }
}

/// A batch that is durable.
#[derive(Debug)]
pub struct Released<R> {
    /// What was appended.
    pub transitions: Vec<Transition>,
    /// Answers, in the order they were asked for; they go out first.
    pub answers: Vec<Answer<R>>,
    /// Effects, in order.
    pub effects: Vec<Effect>,
    /// Moves no rule knows: bugs, to be logged.
    pub refused: Vec<Refused>,
}
