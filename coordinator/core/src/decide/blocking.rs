//! Units that wait for a person, and the decisions that say so: one place fixes ids, priorities and options (docs/rules.md, "Decisions").

use roundtable_shared::spec::assign_by_rules;
use roundtable_shared::{BackendName, BlockedItem, Decision, DecisionId, DecisionKind, Mode, Priority, RunId, UnitId, UnitState};

use super::{Deciding, attempt, integrate};
use crate::planted::{Bug, planted};
use crate::transition::Fact;

/// Why a unit is blocked and what is asked.
pub(super) struct Block {
    pub kind: DecisionKind,
    /// As the unit shows it.
    pub reason: String,
    /// As the decision shows it.
    pub context: String,
}

/// Blocks a unit and asks a person. Its other live seats are ended; its hold is free from here on.
pub(super) fn block(d: &mut Deciding<'_>, run: &RunId, unit: &UnitId, block: Block) {
    attempt::revoke_unit(d, run, unit, "the unit is blocked");
    integrate::drop_flight_of(d, run, unit, "the unit is blocked");
    clear_waits(d, run, unit);
    if !d.move_unit(run, unit, UnitState::Blocked, Some(block.reason.clone())) {
        return;
    }
    let item = BlockedItem {
        task_id: unit.task(),
        blocking_reason: block.context.clone(),
        required_resolution: Some(format!("answer decision {}", block.kind.id(Some(unit.as_str())))),
        created_at: d.now.wall,
    };
    d.emit(run, Fact::BlockedItemAdded { item: Box::new(item) });
    if !planted(Bug::DecisionUnasked) {
        raise(d, run, block.kind, Some(unit), block.context);
    }
}

/// Ends waits of a unit that leaves the automatic states: contended paths, merges.
pub(super) fn clear_waits(d: &mut Deciding<'_>, run: &RunId, unit: &UnitId) {
    let now = d.unit(run, unit);
    let (contended, merging) = (now.contended.clone(), now.merging.is_some());
    if !contended.is_empty() {
        d.emit(run, Fact::ContendedSet { unit: unit.clone(), paths: Vec::new() });
    }
    if merging {
        d.emit(run, Fact::MergeSet { unit: unit.clone(), merging: None });
    }
}

/// Asks a person, once.
pub(crate) fn raise(d: &mut Deciding<'_>, run: &RunId, kind: DecisionKind, unit: Option<&UnitId>, context: String) {
    ask(d, run, kind, About { unit, backend: None, requires: &[] }, context);
}

/// Asks a person about a backend that nobody who has these labels offers, once.
pub(crate) fn raise_no_worker(d: &mut Deciding<'_>, run: &RunId, backend: &BackendName, requires: &[String], context: String) {
    ask(d, run, DecisionKind::NoWorker, About { unit: None, backend: Some(backend), requires }, context);
}

/// What a decision is about.
struct About<'a> {
    unit: Option<&'a UnitId>,
    backend: Option<&'a BackendName>,
    requires: &'a [String],
}

impl About<'_> {
    /// As its id bears it: `2`, `codex`, `codex-gpu-zone-eu`.
    fn word(&self) -> Option<String> {
        let word = self.unit.map(UnitId::as_str).or(self.backend.map(BackendName::as_str))?;
        let labels = self.requires.iter().map(|label| format!("-{}", label.replace(['=', '/'], "-")));
        Some(std::iter::once(word.to_owned()).chain(labels).collect())
    }
}

fn ask(d: &mut Deciding<'_>, run: &RunId, kind: DecisionKind, about: About<'_>, context: String) {
    let id = kind.id(about.word().as_deref());
    if d.is_open(run, &id) {
        return;
    }
    let (options, keywords) = options(d, run, kind, &about);
    let decision = Decision {
        id,
        kind,
        unit: about.unit.cloned(),
        backend: about.backend.cloned(),
        requires: about.requires.to_vec(),
        priority: priority(kind),
        context,
        options,
        keywords,
        created_at: d.now.wall,
        answer: None,
    };
    d.emit(run, Fact::DecisionRaised { decision: Box::new(decision) });
}

/// Takes a question back that nobody needs to answer any more.
pub(crate) fn withdraw(d: &mut Deciding<'_>, run: &RunId, id: &DecisionId, reason: &str) {
    if d.is_open(run, id) {
        d.emit(run, Fact::DecisionWithdrawn { id: id.clone(), reason: reason.to_owned() });
    }
}

/// Takes back all that is asked about a unit.
pub(super) fn withdraw_of_unit(d: &mut Deciding<'_>, run: &RunId, unit: &UnitId, reason: &str) {
    let open = d.run(run).decisions.values().filter(|decision| decision.unit.as_ref() == Some(unit));
    let ids: Vec<DecisionId> = open.map(|decision| decision.id.clone()).collect();
    for id in ids {
        withdraw(d, run, &id, reason);
    }
}

fn priority(kind: DecisionKind) -> Priority {
    match kind {
        DecisionKind::HumanFallback => Priority::Critical,
        _ => Priority::High,
    }
}

fn options(d: &Deciding<'_>, run: &RunId, kind: DecisionKind, about: &About<'_>) -> (Vec<String>, Vec<String>) {
    let (unit, backend) = (about.unit, about.backend);
    let option = |text: &str, keyword: &str| (text.to_owned(), keyword.to_owned());
    let abort = option("Abort orchestration", "abort");
    let skip = option("Skip this task - continue without it", "skip");
    let pairs = match kind {
        // The three that scripts know by number come first.
        DecisionKind::HumanFallback => {
            vec![option("I've fixed it manually - resume", "resume"), skip, abort, option("Try again", "retry")]
        }
        DecisionKind::FailedSubtask | DecisionKind::Quarantine | DecisionKind::ReviewFailed | DecisionKind::Breach => {
            vec![option("I've fixed it manually - resume", "resume"), option("Try again", "retry"), skip, abort]
        }
        // It brings its own.
        DecisionKind::Imported => Vec::new(),
        DecisionKind::MissingOwnerAgent => {
            let owners = owners_offered(d, run, unit);
            let mut pairs: Vec<_> = owners.iter().map(|name| (format!("Give it to {name}"), format!("assign:{name}"))).collect();
            pairs.extend([skip, abort]);
            pairs
        }
        DecisionKind::NoWorker => {
            let mut pairs = vec![option("Wait for it", "wait")];
            // Another backend would be the whole run's; who lacks a label is not helped by it.
            let replaceable =
                about.requires.is_empty() && backend.is_some_and(|backend| backend.as_str() != crate::schedule::CHECK_BACKEND);
            if replaceable {
                pairs.extend(replacements(d, run, backend).iter().map(|name| (format!("Use {name} instead"), format!("use:{name}"))));
            }
            pairs.push(abort);
            pairs
        }
        DecisionKind::CheckRedOnBase => {
            vec![option("Go on: hold checks against nobody until one is green", "go-on"), abort]
        }
    };
    pairs.into_iter().unzip()
}

/// Who could own a unit: whom the keyword rules name first, if somebody offers that or nobody offers anything yet; then the others.
fn owners_offered(d: &Deciding<'_>, run: &RunId, unit: Option<&UnitId>) -> Vec<BackendName> {
    let now = d.run(run);
    let mode = if now.options.mode == Mode::Legacy { Mode::Legacy } else { Mode::Deterministic };
    let by_rules = unit.and_then(|unit| now.outline.unit(unit.as_str())).and_then(|unit| assign_by_rules(unit, mode).owner_agent);
    let by_rules = by_rules.unwrap_or_else(|| now.options.escalate_backend.clone());
    let mut owners = offered(d, None);
    let mut here = d.fleet.workers.values().filter(|worker| worker.is_here(d.now)).flat_map(|worker| worker.offers.values());
    if owners.is_empty() || owners.contains(&by_rules) || here.any(|offer| offer.offer.serves_all && offer.is_usable(d.now)) {
        owners.retain(|owner| *owner != by_rules);
        owners.insert(0, by_rules);
    }
    owners
}

/// Backends that could play for a missing one this very moment.
pub(crate) fn replacements(d: &Deciding<'_>, run: &RunId, missing: Option<&BackendName>) -> Vec<BackendName> {
    let is_here = |name: &BackendName| crate::schedule::is_here(d.state(), d.fleet, d.run(run), name, d.now);
    offered(d, missing).into_iter().filter(is_here).collect()
}

/// Backends somebody offers now, but for one.
fn offered(d: &Deciding<'_>, but: Option<&BackendName>) -> Vec<BackendName> {
    let here = d.fleet.workers.values().filter(|worker| worker.is_here(d.now));
    let names = here.flat_map(|worker| worker.offers.values().filter(|offer| offer.is_usable(d.now)).map(|offer| offer.offer.name.clone()));
    let mut names: Vec<BackendName> = names.filter(|name| Some(name) != but && name.as_str() != crate::schedule::CHECK_BACKEND).collect();
    names.sort();
    names.dedup();
    names
}
