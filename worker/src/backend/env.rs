//! The environment an agent gets: an allow-list, never ours (docs/backends.md, "Login, environment, home").

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

/// Variables, as the operating system gives them.
pub type Env = BTreeMap<OsString, OsString>;

/// What every agent gets; a trailing `*` means a prefix.
const COMMON: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LC_*",
    "TZ",
    "TERM",
    "TMPDIR",
    "XDG_*",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
];

/// The part of `host` that an agent gets: the common names, its backend's own patterns, and the names its configuration lists.
pub(super) fn agent_env(host: &Env, own: &[&str], listed: &[String]) -> Env {
    let allowed = |name: &OsStr| {
        let Some(name) = name.to_str() else { return false };
        let own = COMMON.iter().chain(own).any(|pattern| matches(pattern, name));
        (own || listed.iter().any(|listed| listed == name)) && !is_ours(name)
    };
    host.iter().filter(|(name, _)| allowed(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Whether a variable is the orchestrator's own.
pub(super) fn is_ours(name: &str) -> bool {
    name.starts_with("ROUNDTABLE_")
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => pattern == name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_allowed_passes() {
        let host: Env = ["PATH", "LC_ALL", "CODEX_HOME", "OPENAI_API_KEY", "GEMINI_API_KEY", "NPM_TOKEN", "ROUNDTABLE_TOKEN", "AWS_SECRET"]
            .map(|name| (name.into(), "x".into()))
            .into();
        let env = agent_env(&host, &["CODEX_*", "OPENAI_*"], &["NPM_TOKEN".into(), "ROUNDTABLE_TOKEN".into(), "ABSENT".into()]);
        let names: Vec<&str> = env.keys().filter_map(|name| name.to_str()).collect();
        assert_eq!(names, ["CODEX_HOME", "LC_ALL", "NPM_TOKEN", "OPENAI_API_KEY", "PATH"]);
    }
}
