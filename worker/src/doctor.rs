//! `worker doctor`: probes each backend and says what was found. The probing itself is the backends'.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use roundtable_runtime::terminal::{WIDTH, hanging, wrap};

use tokio::task::JoinSet;

use crate::backend::Host;
use crate::backend::doctor::{BackendReport, probe};
use crate::process::{ProcessError, Supervisor, SupervisorOptions};

/// What was found about the backends asked for.
#[derive(Debug)]
pub struct Diagnosis {
    reports: Vec<BackendReport>,
    are_named: bool,
}

/// Why nothing could be probed.
#[derive(Debug, thiserror::Error)]
pub enum DoctorError {
    /// No way to contain what is started.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// No folder to work in.
    #[error("no temporary folder can be made: {0}")]
    Io(#[from] std::io::Error),
}

/// Probes these backends, or all that are installed, side by side; each is `told` as soon as it is known.
pub async fn examine(
    host: &Arc<Host>,
    names: &[String],
    offline: bool,
    mut told: impl FnMut(&BackendReport),
) -> Result<Diagnosis, DoctorError> {
    let folder = tempfile::tempdir()?;
    let supervisor = Supervisor::start(SupervisorOptions::new(folder.path())).await?;
    let installed: Vec<String> = host.installed().iter().map(ToString::to_string).collect();
    let are_named = !names.is_empty();
    let names = if are_named { names } else { &installed };
    let mut probes = JoinSet::new();
    for (place, name) in names.iter().cloned().enumerate() {
        let (host, supervisor) = (Arc::clone(host), supervisor.clone());
        probes.spawn(async move { (place, probe(&host, &name, &supervisor, offline).await) });
    }
    let mut reports = BTreeMap::new();
    while let Some(done) = probes.join_next().await {
        let (place, report) = done.map_err(|error| DoctorError::Io(std::io::Error::other(error)))?;
        told(&report);
        reports.insert(place, report);
    }
    Ok(Diagnosis { reports: reports.into_values().collect(), are_named })
}

impl Diagnosis {
    /// Whether there is something that can be used; of backends that were asked for by name, whether all can.
    pub fn is_good(&self) -> bool {
        let mut reports = self.reports.iter();
        if self.are_named { reports.all(|report| report.ok) } else { reports.any(|report| report.ok) }
    }

    /// What was found, a backend each.
    pub fn reports(&self) -> &[BackendReport] {
        &self.reports
    }

    /// The reports as one JSON array.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(&self.reports)
    }
}

/// What is said where nothing can be probed.
pub fn nothing_installed() -> String {
    hanging("no agent CLI found on PATH: install codex, gemini or opencode, or name one with --backend-path NAME=FILE", 0)
}

impl fmt::Display for BackendReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.ok { "good" } else { "BAD" };
        write!(f, "{} {} {verdict}", self.backend, self.version.as_deref().unwrap_or(""))?;
        for check in &self.checks {
            let mark = match check.ok {
                Some(true) => "yes",
                Some(false) => "NO ",
                None => "-  ",
            };
            let line = format!("  {mark} {:<16} ", check.check);
            let indent = line.len();
            write!(f, "\n{line}{}", wrap(&check.detail, WIDTH - indent).join(&format!("\n{:indent$}", "")))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diagnosis(are_named: bool, ok: &[bool]) -> Diagnosis {
        let report = |ok: &bool| BackendReport {
            backend: "codex".to_owned(),
            ok: *ok,
            program: None,
            version: None,
            account: None,
            checks: Vec::new(),
            duration_ms: 0,
        };
        Diagnosis { reports: ok.iter().map(report).collect(), are_named }
    }

    #[test]
    fn one_that_can_be_used_is_enough_unless_they_were_asked_for() {
        assert!(!diagnosis(false, &[]).is_good(), "nothing is installed");
        assert!(!diagnosis(false, &[false, false]).is_good());
        assert!(diagnosis(false, &[false, true]).is_good());
        assert!(!diagnosis(true, &[false, true]).is_good());
    }
}
