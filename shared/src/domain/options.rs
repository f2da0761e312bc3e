//! Options of a run, as stored with it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::unit::enum_text;
use crate::ids::BackendName;

/// Who decides what runs next (docs/rules.md, "Modes").
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The engine, with an orchestrator agent consulted.
    #[default]
    Llm,
    /// The engine alone, with an assignment agent.
    Deterministic,
    /// The engine alone, without an assignment agent.
    Legacy,
    /// Nothing moves but by `orchctl step`.
    Manual,
}

enum_text!(Mode { Llm => "llm", Deterministic => "deterministic", Legacy => "legacy", Manual => "manual" });

/// Which conflicts delay a unit's first grant (docs/rules.md, "Which units run").
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum HazardRule {
    /// Wait for earlier units that write what this one reads or writes.
    #[default]
    Ordered,
    /// Writes must not be held; nothing else waits.
    Writes,
}

enum_text!(HazardRule { Ordered => "ordered", Writes => "writes" });

/// What happens to a change outside the manifest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum ManifestRule {
    /// Claim it if nobody holds it.
    #[default]
    Extend,
    /// It is a breach.
    Strict,
}

enum_text!(ManifestRule { Extend => "extend", Strict => "strict" });

/// Waiting times and limits, milliseconds. Every waiting time of the workflow has a key here.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct RunLimits {
    /// Longest turn, from `Started`.
    pub wall_ms: u64,
    /// Longest time without output and CPU.
    pub idle_ms: u64,
    /// What an attempt has done so far is handed in this often.
    pub save_ms: u64,
    /// `Accepted` must follow the grant within this.
    pub accept_ms: u64,
    /// Longest wait before a backend whose provider named no reset is probed again (a quota begins there), and between two probes of a refused login.
    pub park_probe_ms: u64,
    /// Served: how long a missing backend is waited for before another is used.
    pub wait_worker_ms: u64,
    /// The assignment agent is asked once no worker has joined for this.
    pub assign_after_ms: u64,
    /// The assignment agent is asked at most this after the run was planned, however many still join.
    pub assign_within_ms: u64,
    /// How long every slot of a backend may be gone before decision `no-worker-…`.
    pub no_worker_ms: u64,
    /// `wait` of that decision asks again after this.
    pub no_worker_ask_again_ms: u64,
    /// A park longer than this counts as not offered.
    pub park_gone_ms: u64,
    /// First backoff of infra retries; doubles up to `backoff_max_ms`.
    pub backoff_ms: u64,
    /// Greatest backoff of infra retries.
    pub backoff_max_ms: u64,
    /// A consultation without an answer in this has failed.
    pub consult_ms: u64,
    /// A phase in `hold` waits at most this.
    pub hold_ms: u64,
    /// Consultations are collected for this.
    pub consult_every_ms: u64,
    /// A decision older than this shows as escalated.
    pub decision_escalate_ms: u64,
}

impl Default for RunLimits {
    fn default() -> Self {
        Self {
            wall_ms: 7_200_000,
            idle_ms: 900_000,
            save_ms: 40_000,
            accept_ms: 15_000,
            park_probe_ms: 900_000,
            wait_worker_ms: 120_000,
            assign_after_ms: 3_000,
            assign_within_ms: 10_000,
            no_worker_ms: 600_000,
            no_worker_ask_again_ms: 3_600_000,
            park_gone_ms: 21_600_000,
            backoff_ms: 5_000,
            backoff_max_ms: 300_000,
            consult_ms: 300_000,
            hold_ms: 60_000,
            consult_every_ms: 1_000,
            decision_escalate_ms: 86_400_000,
        }
    }
}

/// Switches that came in by the environment names of the mirror files' contract; a worker's own environment fills those left unset.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Switches {
    /// `CODEX_BYPASS_SANDBOX`: codex runs without its sandbox (it can then commit, use the network and write anywhere).
    pub bypass_sandbox: Option<bool>,
    /// `CODEAGENT_SKIP_PERMISSIONS`: agents approve everything they would otherwise refuse.
    pub skip_permissions: Option<bool>,
    /// `CODEAGENT_OPENCODE_AGENT`: opencode's agent for the orchestrator role.
    pub opencode_agent: Option<String>,
    /// `CODEAGENT_OPENCODE_MODEL`: opencode's model, `provider/model`.
    pub opencode_model: Option<String>,
}

/// What a run was asked to do; stored with it, so a resume needs no flags.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct RunOptions {
    /// Mode.
    pub mode: Mode,
    /// Backend of the orchestrator agent (llm mode).
    pub orchestrator_backend: BackendName,
    /// Backend of the assignment agent.
    pub assign_backend: BackendName,
    /// Backend of the third fix.
    pub escalate_backend: BackendName,
    /// Check command, run by `sh -c` on tip + candidate; `None` = no checks.
    pub check: Option<String>,
    /// Setup command of a new worktree (`roundtable.toml`).
    pub setup: Option<String>,
    /// Ignored files to bring into worktrees (`roundtable.toml`), repository-relative.
    pub copy: Vec<String>,
    /// Model per backend, where configured.
    pub models: BTreeMap<BackendName, String>,
    /// Effort per backend, where configured.
    pub efforts: BTreeMap<BackendName, String>,
    /// Hazards.
    pub hazards: HazardRule,
    /// Manifest rule.
    pub manifest: ManifestRule,
    /// Consultations in a row without any unit changing state before the run halts.
    pub max_iterations: u32,
    /// Actions of one consultation that are taken.
    pub max_actions: u32,
    /// Session name of the mirror files.
    pub session_name: String,
    /// Whether optional units and subtasks run.
    pub with_optional: bool,
    /// Units to run; empty = all.
    pub only: Vec<String>,
    /// Only the assignment is wanted: the run rests once its units are planned.
    pub plan_only: bool,
    /// Whether the coordinator runs inside `orchctl run` (missing backends are replaced at once).
    pub embedded: bool,
    /// Whether manifest paths are compared case-folded (`core.ignorecase` of the repository).
    pub ignore_case: bool,
    /// Limits.
    pub limits: RunLimits,
    /// Switches for the agents' command lines.
    pub switches: Switches,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            orchestrator_backend: "opencode".into(),
            assign_backend: "codex".into(),
            escalate_backend: "codex".into(),
            check: None,
            setup: None,
            copy: Vec::new(),
            models: BTreeMap::new(),
            efforts: BTreeMap::new(),
            hazards: HazardRule::default(),
            manifest: ManifestRule::default(),
            max_iterations: 50,
            max_actions: 6,
            session_name: "roundtable".to_owned(),
            with_optional: false,
            only: Vec::new(),
            plan_only: false,
            embedded: false,
            ignore_case: false,
            limits: RunLimits::default(),
            switches: Switches::default(),
        }
    }
}

impl RunOptions {
    /// What the run goes on with when it is run again with `given`: all that was given (is other than the default) and does not shape the plan.
    /// Also names what that changes, by its flag. Files to copy are not among it: they came with the first submission.
    pub fn revised(&self, given: &Self) -> (Self, Vec<&'static str>) {
        let usual = Self::default();
        let mut now = self.clone();
        let mut changed = Vec::new();
        if Self::may_switch(self.mode, given.mode) && self.mode != given.mode {
            now.mode = given.mode;
            changed.push("--mode");
        }
        macro_rules! take {
            ($($field:ident => $flag:literal),* $(,)?) => {$(
                if given.$field != usual.$field && given.$field != self.$field {
                    now.$field.clone_from(&given.$field);
                    changed.push($flag);
                }
            )*};
        }
        take!(
            orchestrator_backend => "--orchestrator",
            assign_backend => "--assign-backend",
            escalate_backend => "--escalate-backend",
            check => "--check",
            setup => "setup",
            models => "model",
            efforts => "effort",
            max_iterations => "--max-iterations",
            max_actions => "--max-actions",
            session_name => "--session",
            limits => "limits",
            switches => "variables of the agents",
        );
        now.embedded = given.embedded;
        (now, changed)
    }

    /// Whether a run may go from one mode to another: both plan alike, and differ in who is consulted.
    pub fn may_switch(from: Mode, to: Mode) -> bool {
        from == to || (matches!(from, Mode::Llm | Mode::Deterministic) && matches!(to, Mode::Llm | Mode::Deterministic))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_again_holds_and_the_rest_stays() {
        let had = RunOptions { check: Some("make test".into()), max_actions: 3, hazards: HazardRule::Writes, ..RunOptions::default() };
        assert_eq!(had.revised(&RunOptions::default()), (had.clone(), Vec::new()));
        let given = RunOptions { mode: Mode::Deterministic, check: Some("make check".into()), max_iterations: 90, ..RunOptions::default() };
        let (now, changed) = had.revised(&given);
        assert_eq!(changed, ["--mode", "--check", "--max-iterations"]);
        assert_eq!((now.mode, now.max_actions, now.hazards), (Mode::Deterministic, 3, HazardRule::Writes));
        let manual = RunOptions { mode: Mode::Manual, ..RunOptions::default() };
        assert_eq!(manual.revised(&given).0.mode, Mode::Manual, "manual plans otherwise");
    }
}
