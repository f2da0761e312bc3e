//! Which workers a run brings along. Starting them is `embed`'s.

use roundtable_shared::CHECK_BACKEND;
use serde::{Deserialize, Serialize};

/// What a crew is made of. Plain data: the background process gets it as JSON.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct CrewOptions {
    /// `NAME=SLOTS`; empty = what is found here.
    pub workers: Vec<String>,
    /// `NAME=FILE`.
    pub backend_paths: Vec<String>,
    /// Most slots in all, if bounded.
    pub slots_max: Option<u32>,
    /// `KEY` or `KEY=VALUE`, beside those that the configuration gives.
    #[serde(default)]
    pub labels: Vec<String>,
}

impl CrewOptions {
    /// Whether every agent is a scripted one, so that nothing is paid for.
    pub fn is_scripted(&self) -> bool {
        let played = |worker: &str| {
            self.backend_paths
                .iter()
                .any(|pair| pair.split_once('=').is_some_and(|(name, file)| name == worker && file.starts_with("scripted:")))
        };
        let mut agents = self.workers.iter().filter(|worker| name_of(worker) != CHECK_BACKEND).peekable();
        agents.peek().is_some() && agents.all(|worker| worker.starts_with("scripted:") || played(name_of(worker)))
    }
}

impl CrewOptions {
    /// The backends asked for, without their slots.
    pub fn names(&self) -> Vec<&str> {
        self.workers.iter().map(|worker| name_of(worker)).collect()
    }
}

/// A worker's backend without its slots.
fn name_of(worker: &str) -> &str {
    match worker.rsplit_once('=') {
        Some((name, slots)) if slots.parse::<u32>().is_ok() => name,
        _ => worker,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_scripted_agents_are_free() {
        let options = |workers: &[&str], paths: &[&str]| {
            let own = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
            CrewOptions { workers: own(workers), backend_paths: own(paths), slots_max: None, labels: Vec::new() }
        };
        assert!(options(&["scripted:play.json=4"], &[]).is_scripted());
        assert!(options(&["codex=2", "codex-review"], &["codex=scripted:p.json", "codex-review=scripted:p.json"]).is_scripted());
        assert!(!options(&["codex=2"], &["codex=/usr/bin/codex"]).is_scripted());
        assert!(!options(&["scripted:play.json", "gemini"], &[]).is_scripted());
        assert!(!options(&[], &[]).is_scripted());
        assert!(options(&["scripted:play.json=4", "check=4"], &[]).is_scripted(), "a check is nobody who is paid");
        assert!(!options(&["check=4"], &[]).is_scripted(), "the agents are those that are found");
    }
}
