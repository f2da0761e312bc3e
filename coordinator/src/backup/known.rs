//! What a copied log knows of. Repositories and events lie beside it and are copied later, so that they are younger: they are taken as the log has them. What
//! it does not know would be taken for another attempt's, which is granted anew under the same number.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use roundtable_core::state::State;
use roundtable_shared::AttemptKey;
use roundtable_store::segment::attempt_dir;

use crate::repository::attempt_path;
use crate::verify::attempts;

/// The runs and attempts of a log.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Attempts as refs name them.
    attempts: BTreeSet<String>,
    /// Folders of their events.
    folders: Vec<PathBuf>,
    /// Branches of runs, and where the log has them.
    tips: BTreeMap<String, String>,
}

impl Known {
    /// Those of a state; of a removed run nothing is counted on.
    pub(super) fn of(state: &State) -> Self {
        let mut known = Self::default();
        for run in state.runs.values().filter(|run| run.life.removed.is_none()) {
            known.tips.insert(format!("refs/heads/roundtable/{}", run.id), run.branch.tip.to_string());
            for (unit, attempt) in attempts(run) {
                let key = AttemptKey { run: run.id.clone(), unit: unit.cloned(), attempt: attempt.granted.attempt };
                known.folders.push(attempt_dir(&key));
                known.attempts.insert(attempt_path(&key));
            }
        }
        known
    }

    /// Folders of events, below that of all of them.
    pub(super) fn folders(&self) -> &[PathBuf] {
        &self.folders
    }

    /// Where a ref is in the copy that was found there; nowhere if it keeps something of an attempt that is not known.
    pub(super) fn place_of<'r>(&'r self, name: &str, found: &'r str) -> Option<&'r str> {
        // `refs/roundtable…/<run>/<unit>/<attempt>`.
        let attempt = name.strip_prefix("refs/roundtable").and_then(|rest| rest.split_once('/')).map(|(_, path)| path);
        match attempt.filter(|path| path.matches('/').count() == 2) {
            Some(path) if !self.attempts.contains(path) => None,
            _ => Some(self.tips.get(name).map_or(found, String::as_str)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refs_are_where_the_log_has_them_and_those_of_later_attempts_are_not_there() {
        let known = Known {
            attempts: BTreeSet::from(["demo-abcdef/1/1".to_owned(), "demo-abcdef/-/2".to_owned()]),
            folders: Vec::new(),
            tips: BTreeMap::from([("refs/heads/roundtable/demo-abcdef".to_owned(), "tip".to_owned())]),
        };
        for (name, place) in [
            ("refs/heads/roundtable/demo-abcdef", Some("tip")),
            ("refs/heads/roundtable/later-abcdef", Some("found")),
            ("refs/roundtable-person/0123", Some("found")),
            ("refs/roundtable/demo-abcdef/1/1", Some("found")),
            ("refs/roundtable-start/demo-abcdef/-/2", Some("found")),
            ("refs/roundtable/demo-abcdef/1/2", None),
            ("refs/roundtable-saved/demo-abcdef/2/1", None),
            ("refs/roundtable-start/later-abcdef/1/1", None),
        ] {
            assert_eq!(known.place_of(name, "found"), place, "{name}");
        }
    }
}
