//! `worker doctor`: probes each backend and says what was found. The probing itself is the backends'.

use std::fmt;
use std::sync::Arc;

use roundtable_runtime::terminal::{WIDTH, hanging, wrap};

use crate::backend::Host;
use crate::backend::doctor::{BackendReport, probe};
use crate::process::{ProcessError, Supervisor, SupervisorOptions};

/// What was found about the backends asked for.
#[derive(Debug)]
pub struct Diagnosis {
    reports: Vec<BackendReport>,
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

/// Probes these backends, or all that are installed.
pub async fn examine(host: &Arc<Host>, names: &[String], offline: bool) -> Result<Diagnosis, DoctorError> {
    let folder = tempfile::tempdir()?;
    let supervisor = Supervisor::start(SupervisorOptions::new(folder.path())).await?;
    let installed: Vec<String> = host.installed().iter().map(ToString::to_string).collect();
    let names = if names.is_empty() { &installed } else { names };
    let mut reports = Vec::new();
    for name in names {
        reports.push(probe(host, name, &supervisor, offline).await);
    }
    Ok(Diagnosis { reports })
}

impl Diagnosis {
    /// Whether something was probed and all of it can be used.
    pub fn is_good(&self) -> bool {
        !self.reports.is_empty() && self.reports.iter().all(|report| report.ok)
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

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.reports.is_empty() {
            let text = "no agent CLI found on PATH: install codex, gemini or opencode, or name one with --backend-path NAME=FILE";
            return f.write_str(&hanging(text, 0));
        }
        for (at, report) in self.reports.iter().enumerate() {
            if at > 0 {
                writeln!(f)?;
            }
            let verdict = if report.ok { "good" } else { "BAD" };
            write!(f, "{} {} {verdict}", report.backend, report.version.as_deref().unwrap_or(""))?;
            for check in &report.checks {
                let mark = match check.ok {
                    Some(true) => "yes",
                    Some(false) => "NO ",
                    None => "-  ",
                };
                let line = format!("  {mark} {:<16} ", check.check);
                let indent = line.len();
                write!(f, "\n{line}{}", wrap(&check.detail, WIDTH - indent).join(&format!("\n{:indent$}", "")))?;
            }
        }
        Ok(())
    }
}
