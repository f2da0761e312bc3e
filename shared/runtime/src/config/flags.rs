//! The flags of every command of the three programs, by their names in files: so that each program can check all tables, also those of the others. A test of
//! each program compares them with what it takes.

/// Each command that has a table, with its flags as on the command line, without `--`. Flags of all commands are keys of the file itself, and `--config`
/// names a file rather than standing in one.
pub const COMMANDS: &[(&str, &[&str])] = &[
    (
        "serve",
        &[
            "listen",
            "advertise",
            "hostname",
            "http",
            "http-cert",
            "http-key",
            "keep-runs",
            "keep-bytes",
            "pack-bytes",
            "incoming-bytes",
            "drain-limit",
            "connections",
            "connections-per-address",
            "units-max",
        ],
    ),
    ("audit", &["follow", "json"]),
    ("verify", &["json"]),
    ("backup", &["json"]),
    ("restore", &["replace", "json"]),
    ("token", &["json"]),
    ("worker", &["json"]),
    ("revoke", &["json"]),
    ("root", &["json"]),
    (
        "join",
        &[
            "backend",
            "backend-path",
            "token",
            "token-file",
            "pin",
            "name",
            "label",
            "workspace",
            "tmux",
            "once",
            "max-idle",
            "on-partition",
            "keep-outcomes",
            "keep-bytes",
            "cache-bytes",
            "worktree-bytes",
            "pack-bytes",
        ],
    ),
    // Of `coordinator` and of `worker`.
    ("install", &["user", "print"]),
    // Of `worker` and of `orchctl`.
    ("doctor", &["backend", "backend-path", "offline", "json"]),
    ("run", RUN),
    ("plan", &["spec", "slots", "strict", "units-max", "assign", "write", "workdir", "workers", "backend-path", "json"]),
    ("init", &["spec", "output", "session", "mode", "strict", "units-max", "json"]),
    ("demo", &["real", "keep", "yes", "json"]),
    ("status", &["watch", "exit-code", "json"]),
    ("runs", &["all", "json"]),
    ("runs.rm", &["force", "json"]),
    ("runs.prune", &["older-than", "dry-run", "json"]),
    ("du", &["json"]),
    ("show", &["prompt", "attempt", "json"]),
    ("logs", &["follow", "attempt", "jsonl"]),
    ("diff", &["json"]),
    ("findings", &["json"]),
    ("attempts", &["json"]),
    ("explain", &["json"]),
    ("events", &["follow", "jsonl"]),
    ("checkout", &["json"]),
    ("decisions", &["all", "json"]),
    ("decide", &["commit", "dependants", "note", "yes", "json"]),
    ("assign", &["from", "owner", "criticality", "writes", "reads", "requires", "json"]),
    ("retry", &["json"]),
    ("skip", &["json"]),
    ("cancel", &["yes", "json"]),
    ("pause", &["all", "note", "json"]),
    ("resume", &["all", "json"]),
    ("step", &["workers", "backend-path", "json"]),
    ("accept", &["into", "partial", "yes", "json"]),
    ("fetch", &["json"]),
    ("summary", &["json"]),
    ("export", &["output", "json"]),
    ("import", &["spec", "workdir", "include-dirty", "trust", "json"]),
    ("wait", &["timeout", "output", "json"]),
    ("workers", &["json"]),
    ("login", &["token-file", "json"]),
    ("logout", &["json"]),
    ("drain", &["wait", "json"]),
    ("undrain", &["json"]),
    ("down", &["json"]),
    ("config.show", &["workdir", "json"]),
];

/// Flags of `orchctl run`.
const RUN: &[&str] = &[
    "spec",
    "state",
    "tasks",
    "pulse",
    "trust",
    "workdir",
    "output",
    "mode",
    "backend",
    "orchestrator",
    "assign-backend",
    "escalate-backend",
    "check",
    "hazards",
    "manifest",
    "max-iterations",
    "max-actions",
    "sleep",
    "session",
    "with-optional",
    "only",
    "base",
    "include-dirty",
    "strict",
    "units-max",
    "workers",
    "backend-path",
    "label",
    "wait-worker",
    "fresh",
    "accept",
    "detach",
    "dry-run",
    "yes",
    "json",
];

/// Keys that are one option by several names: the one in the layer that goes before wins, whatever it is called there.
pub const SAME: &[&[&str]] = &[
    &["run.check", "check"],
    &["run.wait-worker", "limits.wait_worker"],
    &["run.sleep", "limits.consult_every"],
    &["run.backend", "run.orchestrator"],
];

/// The other names of a key.
pub fn other_names(key: &str) -> impl Iterator<Item = &'static str> + '_ {
    SAME.iter().filter(move |names| names.contains(&key)).flat_map(|names| names.iter().copied()).filter(move |name| *name != key)
}

/// The flags of a command.
pub(super) fn of(command: &str) -> Option<&'static [&'static str]> {
    COMMANDS.iter().find(|(name, _)| *name == command).map(|(_, flags)| *flags)
}
