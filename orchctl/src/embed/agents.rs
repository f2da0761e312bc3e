//! Asking the agent CLIs of this machine how they are, for `doctor`: the worker's own probe, told in its checks.

use roundtable_runtime::config::Config;
use roundtable_worker::backend::doctor::BackendReport;
use roundtable_worker::doctor::examine;

use super::workers::host;
use crate::check::{Check, State};
use crate::crew::CrewOptions;
use crate::output::paint::Paint;

/// How the agent CLIs found here are, each told as soon as it is known: by a real call to its model, or `offline` by its version alone. One that can be
/// used is enough; where none can, that is told last.
pub async fn probe_agents(config: &Config, offline: bool, mut told: impl FnMut(Check)) {
    let host = match host(config, &CrewOptions::default()) {
        Ok(host) => host,
        Err(failure) => return told(Check::new(State::Bad, "agents", failure.render(Paint::plain()), "")),
    };
    let next = "install codex, gemini or opencode, or try `orchctl demo`, which needs none";
    if host.installed().is_empty() {
        return told(Check::new(State::Bad, "agents", "no agent CLI found on PATH", next));
    }
    match examine(&host, &[], offline, |report| told(check_of(report))).await {
        Ok(diagnosis) if diagnosis.is_good() => {}
        Ok(_) => told(Check::new(State::Bad, "agents", "none of them can be used", "do what is said beside one of them")),
        Err(error) => told(Check::new(State::Bad, "agents", format!("the agent CLIs cannot be asked: {error}"), "")),
    }
}

/// One line of a report: what is wrong and what to do about it, else all that is right.
fn check_of(report: &BackendReport) -> Check {
    let version = report.version.as_deref().unwrap_or("no version");
    if let Some(bad) = report.checks.iter().find(|check| check.ok == Some(false)) {
        let (found, next) = bad.detail.rsplit_once("; ").unwrap_or((&bad.detail, ""));
        let said = words_of(bad.check);
        return Check::new(State::Unusable, &report.backend, format!("{version}, {}: {found}", said.1), next);
    }
    let asked = report.checks.iter().filter(|check| check.ok == Some(true) && !matches!(check.check, "found" | "version" | "may_reach"));
    let mut found = vec![version];
    found.extend(asked.map(|check| words_of(check.check).0));
    if found.len() == 1 {
        found.push("no model asked");
    }
    Check::new(State::Good, &report.backend, found.join(", "), "")
}

/// A check that went well, and one that did not.
fn words_of(check: &str) -> (&str, &str) {
    match check {
        "found" => ("found", "not usable"),
        "version" => ("version told", "does not tell its version"),
        "logged_in" => ("logged in", "no answer from its model"),
        "can_write" => ("able to write", "cannot write"),
        "does_not_prompt" => ("does not prompt", "does not end by itself"),
        other => (other, other),
    }
}

#[cfg(test)]
mod tests {
    use roundtable_worker::backend::doctor::Check as Asked;

    use super::*;

    fn report(checks: Vec<Asked>) -> BackendReport {
        BackendReport {
            backend: "codex".into(),
            ok: true,
            program: None,
            version: Some("0.169.0".into()),
            account: None,
            checks,
            duration_ms: 1,
        }
    }

    fn asked(check: &'static str, ok: Option<bool>, detail: &str) -> Asked {
        Asked { check, ok, detail: detail.into() }
    }

    #[test]
    fn a_report_becomes_one_line_that_says_what_to_do() {
        let well = ["found", "version", "logged_in", "can_write"].map(|check| asked(check, Some(true), "")).to_vec();
        assert_eq!(check_of(&report(well)).found, "0.169.0, logged in, able to write");
        let offline =
            vec![asked("found", Some(true), ""), asked("version", Some(true), ""), asked("logged_in", None, "not asked: offline")];
        assert_eq!(check_of(&report(offline)).found, "0.169.0, no model asked");
        let out = vec![asked("found", Some(true), ""), asked("logged_in", Some(false), "401 Unauthorized; log in with `codex login`")];
        let check = check_of(&report(out));
        assert_eq!((check.state, check.next.as_str()), (State::Unusable, "log in with `codex login`"));
        assert_eq!(check.found, "0.169.0, no answer from its model: 401 Unauthorized");
    }
}
