//! One worker as it is right now.

use std::collections::{BTreeMap, BTreeSet};

use roundtable_shared::time::WallMs;
use roundtable_shared::{BackendName, BackendOffer, FailureKind, LeasePhase, LeaseRef, Origin, RunId, UnitId, WorkerId};

use crate::command::Now;
use crate::planted::{Bug, planted};

/// Repositories that are remembered of one worker.
const WARM_MAX: usize = 256;

/// A worker.
#[derive(Clone, PartialEq, Debug)]
pub struct Worker {
    /// Its id.
    pub id: WorkerId,
    /// Number of its present (or last) stream.
    pub session: u64,
    /// Whether that stream is open.
    pub connected: bool,
    /// Whether it said hello to this process.
    pub introduced: bool,
    /// Its own start counter.
    pub incarnation: u64,
    /// Which worker of its name it is.
    pub origin: Origin,
    /// Display name.
    pub name: String,
    /// Version of its program.
    pub version: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// What it offers.
    pub offers: BTreeMap<BackendName, Offer>,
    /// Attempts it can still take, per pool.
    pub credits: BTreeMap<String, u32>,
    /// Its last sign of life (monotonic).
    pub seen_ms: u64,
    /// The same for people.
    pub seen_at: WallMs,
    /// A person has drained it: since when this process knows that (monotonic). Whether it is so is durable, in the state.
    pub drained_ms: Option<u64>,
    /// It takes nothing more by its own decision, and leaves when it is empty.
    pub leaving: bool,
    /// Takes nothing more for a while: its disk or tools failed one attempt after the other.
    pub cordoned: Option<Cordon>,
    /// Cordons since an attempt last went well here: each is longer than the one before.
    pub cordons: u32,
    /// Units (`None`: a run itself) whose attempts ended for infra reasons here, without another end between.
    pub infra_streak: BTreeSet<(RunId, Option<UnitId>)>,
    /// Attempts in a row that failed before their agent ran, those aside that other workers could not prepare either.
    pub unprepared: u32,
    /// Repositories whose objects it keeps.
    pub warm: BTreeSet<String>,
    /// What it last said it holds.
    pub held: BTreeMap<LeaseRef, LeasePhase>,
}

/// Why and how long a worker takes nothing more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cordon {
    /// For a person.
    pub reason: String,
    /// It is tried again after this (monotonic).
    pub until_ms: u64,
}

/// A backend a worker offers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Offer {
    /// As it says.
    pub offer: BackendOffer,
    /// Its credentials, or what is configured for it, were refused: not before this (monotonic).
    pub parked_until_ms: Option<u64>,
    /// Why, until it is known to work again.
    pub refused: Option<Refused>,
}

/// What a worker's backend was refused for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// What failed.
    pub kind: FailureKind,
    /// In the words of its CLI.
    pub reason: String,
    /// The model a run had asked for; empty = the backend's own.
    pub model: String,
}

impl Worker {
    /// A worker that has leases from before a restart and has not come back yet.
    pub fn unseen(id: WorkerId, now: Now) -> Self {
        Self {
            name: id.to_string(),
            id,
            session: 0,
            connected: false,
            introduced: false,
            incarnation: 0,
            origin: Origin::default(),
            version: String::new(),
            labels: BTreeMap::new(),
            offers: BTreeMap::new(),
            credits: BTreeMap::new(),
            seen_ms: if planted(Bug::GraceForgotten) { 0 } else { now.mono_ms },
            seen_at: now.wall,
            drained_ms: None,
            leaving: false,
            cordoned: None,
            cordons: 0,
            infra_streak: BTreeSet::new(),
            unprepared: 0,
            warm: BTreeSet::new(),
            held: BTreeMap::new(),
        }
    }

    /// It keeps the objects of a repository.
    pub fn keeps(&mut self, repository: &str) {
        if self.warm.len() < WARM_MAX && !self.warm.contains(repository) {
            self.warm.insert(repository.to_owned());
        }
    }

    /// A sign of life.
    pub fn saw(&mut self, now: Now) {
        self.seen_ms = self.seen_ms.max(now.mono_ms);
        self.seen_at = now.wall;
    }

    /// Whether nothing was heard for so long.
    pub fn is_silent(&self, now: Now, for_ms: u64) -> bool {
        now.mono_ms.saturating_sub(self.seen_ms) > for_ms
    }

    /// Whether it counts as being here: a stream that broke a moment ago does not make its backends vanish.
    pub fn is_here(&self, now: Now) -> bool {
        let is_drained = self.drained_ms.is_some() && !planted(Bug::DrainIgnored);
        self.introduced && !is_drained && self.cordoned.is_none() && !self.is_silent(now, super::LOST_MS)
    }

    /// Whether it is on a stream and was heard on it of late.
    pub fn is_alive(&self, now: Now) -> bool {
        self.connected && !self.is_silent(now, super::SUSPECT_MS)
    }

    /// Whether what ended there last ended for reasons of its disk or tools.
    pub fn is_suspect(&self) -> bool {
        !self.infra_streak.is_empty()
    }

    /// Whether it takes grants now.
    pub fn takes_grants(&self, now: Now) -> bool {
        self.is_alive(now) && self.is_here(now)
    }
}

impl Offer {
    /// As it is offered, with nothing against it.
    pub fn new(offer: BackendOffer) -> Self {
        Self { offer, parked_until_ms: None, refused: None }
    }

    /// Whether it was refused for what is configured for it, of which a login that works says nothing.
    pub fn is_misconfigured(&self) -> bool {
        self.refused.as_ref().is_some_and(|refused| refused.kind == FailureKind::Misconfigured)
    }

    /// Whether it can be used, parks of its account aside.
    pub fn is_usable(&self, now: Now) -> bool {
        self.offer.unavailable.is_empty() && self.parked_until_ms.is_none_or(|until| until <= now.mono_ms) && self.offer.slots > 0
    }
}
