//! What a decision offers: its choices in order, and the backends a person may name.

use roundtable_shared::spec::assign_by_rules;
use roundtable_shared::{BackendName, DecisionKind, Mode, RunId, UnitId};

use crate::schedule::backend;
use crate::txn::Txn;

/// What a decision is about.
pub(crate) struct About<'a> {
    pub unit: Option<&'a UnitId>,
    pub backend: Option<&'a BackendName>,
    pub requires: &'a [String],
}

impl About<'_> {
    /// As its id bears it: `2`, `codex`, `codex-gpu-zone-eu`.
    pub(crate) fn word(&self) -> Option<String> {
        let word = self.unit.map(UnitId::as_str).or(self.backend.map(BackendName::as_str))?;
        let labels = self.requires.iter().map(|label| format!("-{}", label.replace(['=', '/'], "-")));
        Some(std::iter::once(word.to_owned()).chain(labels).collect())
    }
}

/// The choices, and the backends that may be named, of a decision of that kind.
pub(crate) fn options(d: &Txn<'_>, run: &RunId, kind: DecisionKind, about: &About<'_>) -> (Vec<String>, Vec<String>) {
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
fn owners_offered(d: &Txn<'_>, run: &RunId, unit: Option<&UnitId>) -> Vec<BackendName> {
    let now = d.run(run);
    let mode = if now.options.mode == Mode::Legacy { Mode::Legacy } else { Mode::Deterministic };
    let by_rules = unit.and_then(|unit| now.outlined(unit)).and_then(|unit| assign_by_rules(unit, mode).owner_agent);
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
pub(crate) fn replacements(d: &Txn<'_>, run: &RunId, missing: Option<&BackendName>) -> Vec<BackendName> {
    let is_here = |name: &BackendName| backend::is_here(d.state(), d.fleet, d.run(run), name, d.now);
    offered(d, missing).into_iter().filter(is_here).collect()
}

/// Backends somebody offers now, but for one.
fn offered(d: &Txn<'_>, but: Option<&BackendName>) -> Vec<BackendName> {
    let here = d.fleet.workers.values().filter(|worker| worker.is_here(d.now));
    let names = here.flat_map(|worker| worker.offers.values().filter(|offer| offer.is_usable(d.now)).map(|offer| offer.offer.name.clone()));
    let mut names: Vec<BackendName> = names.filter(|name| Some(name) != but && name.as_str() != crate::schedule::CHECK_BACKEND).collect();
    names.sort();
    names.dedup();
    names
}
