//! The core with a stub of all that is around it: only the core takes time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use roundtable_core::command::{Command, Now};
use roundtable_core::effect::{Effect, Grant};
use roundtable_core::{Change, Core, Entropy, Publisher, Transition};
use roundtable_shared::UnitState;
use roundtable_shared::spec::{Plan, Spec};
use roundtable_shared::time::WallMs;

use crate::stub::{self, Stub};

/// What passes with each turn: so little that no worker counts as silent meanwhile.
const TURN_MS: u64 = 50;

/// One run, and a fleet for it.
pub struct Fleet {
    core: Core,
    now: Now,
    entropy: Entropy,
    effects: VecDeque<Effect>,
    slots: u32,
    stub: Stub,
    /// What the log would hold, where somebody wants it.
    pub log: Option<Vec<Transition>>,
    /// Copies for readers are made after each answer, where there is one.
    publisher: Option<Publisher>,
    /// The last copy, which is replaced by the next one.
    published: Core,
    /// How many copies were made, and how long that took.
    pub publishing: (u32, Duration),
}

impl Fleet {
    /// So many workers of so many slots, for that plan.
    pub fn new(workers: u64, slots: u32, outline: &Plan, publishes: bool) -> Self {
        let now = Now { mono_ms: 1_000, wall: WallMs(1_767_225_600_000) };
        let (effects, stub) = (VecDeque::new(), Stub::new(outline));
        let (publisher, published) = (publishes.then(Publisher::default), Core::default());
        let mut fleet = Self {
            core: Core::default(),
            now,
            entropy: Entropy::new(1),
            effects,
            slots,
            stub,
            log: None,
            publisher,
            published,
            publishing: Default::default(),
        };
        for n in 1..=workers {
            stub::join(n, slots).into_iter().for_each(|command| fleet.send(command));
        }
        // Workers are no longer about to join.
        fleet.now.mono_ms += 10_000;
        fleet.now.wall.0 += 10_000;
        fleet
    }

    /// A run of that plan.
    pub fn submit(&mut self, spec: Spec, outline: Plan) {
        let submit = self.stub.submit(spec, outline);
        self.send(submit);
    }

    /// Grants what can be granted, if anything has changed.
    pub fn schedule(&mut self) {
        if self.core.is_schedule_due(self.now) {
            let change = self.core.schedule(self.now, &mut self.entropy);
            self.take(change);
        }
    }

    /// Carries out one effect and what it leads to; false when nothing is left to do. `longest`: the longest time the core took for one answer.
    pub fn step(&mut self, longest: &mut Duration) -> bool {
        // The repository is faster than any agent.
        let shell = self.effects.iter().position(|effect| !matches!(effect, Effect::Grant(_)));
        let Some(effect) = self.effects.remove(shell.unwrap_or(0)) else { return false };
        let begun = Instant::now();
        match effect {
            Effect::Grant(grant) => self.play(&grant),
            effect => {
                if let Some(answer) = self.stub.shell(effect) {
                    self.send(answer);
                }
            }
        }
        self.schedule();
        *longest = (*longest).max(begun.elapsed());
        true
    }

    /// Units that are completed.
    pub fn completed(&self) -> usize {
        let run = self.core.state.run(&stub::run()).expect("it was submitted");
        run.units().filter(|unit| unit.state() == UnitState::Completed).count()
    }

    fn play(&mut self, grant: &Grant) {
        // Durations are learned from the clock, and chains measured by them.
        self.now.mono_ms += TURN_MS;
        self.now.wall.0 += TURN_MS;
        self.stub.play(grant).into_iter().for_each(|command| self.send(command));
        let busy = self.core.state.live_of(&grant.granted.worker).count() as u32;
        self.send(stub::want(grant.granted.worker.clone(), grant.session, self.slots.saturating_sub(busy)));
    }

    fn send(&mut self, command: Command) {
        let change = self.core.handle(command, self.now, &mut self.entropy).expect("the command is taken");
        assert!(change.refused.is_empty(), "{:?}", change.refused);
        self.take(change);
    }

    fn take(&mut self, change: Change) {
        self.publish(&change);
        self.effects.extend(change.effects);
        if let Some(log) = &mut self.log {
            log.extend(change.transitions);
        }
    }

    fn publish(&mut self, change: &Change) {
        let Some(publisher) = &mut self.publisher else { return };
        let begun = Instant::now();
        let changed = change.transitions.first().and_then(|transition| transition.run.as_ref());
        self.published = publisher.publish(&self.core, changed);
        self.publishing.0 += 1;
        self.publishing.1 += begun.elapsed();
    }
}
