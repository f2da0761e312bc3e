//! Opening backends by name: which adapter answers to it, and which agent CLIs are here to be opened. What an adapter may know of the machine is
//! `host`'s.

use std::sync::Arc;

use roundtable_shared::{BUILT_IN_BACKENDS, BackendName};

use super::codex::Codex;
use super::command::Command;
use super::env::is_ours;
use super::gemini::Gemini;
use super::host::Host;
use super::opencode::OpenCode;
use super::scripted::Scripted;
use super::{Backend, BackendError, codex_review};

impl Host {
    /// The backend of that name.
    pub fn open(self: &Arc<Self>, name: &str) -> Result<Arc<dyn Backend>, BackendError> {
        self.check_config(name)?;
        if let Some(file) = name.strip_prefix("scripted:") {
            return Ok(Arc::new(Scripted::open(name, file, self)?));
        }
        if let Some(file) = self.paths.get(name).and_then(|path| path.strip_prefix("scripted:")) {
            return Ok(Arc::new(Scripted::open(name, file, self)?));
        }
        match name {
            "codex" => Ok(Arc::new(Codex::open(name, Arc::clone(self))?)),
            "codex-review" => {
                // Reviews follow codex where only that was redirected.
                match self.paths.get("codex").and_then(|path| path.strip_prefix("scripted:")) {
                    Some(file) if !self.paths.contains_key(name) => Ok(Arc::new(Scripted::open(name, file, self)?)),
                    _ => Ok(Arc::new(codex_review::open(Arc::clone(self))?)),
                }
            }
            "gemini" => Ok(Arc::new(Gemini::open(name, Arc::clone(self))?)),
            "opencode" => Ok(Arc::new(OpenCode::open(name, Arc::clone(self))?)),
            _ => Ok(Arc::new(Command::open(name, Arc::clone(self))?)),
        }
    }

    /// The agent CLIs found here, without starting any: the default workers of a run. `codex-review` comes with `codex`.
    pub fn installed(self: &Arc<Self>) -> Vec<BackendName> {
        let mut names: Vec<&str> = ["codex", "gemini", "opencode"].into();
        names.extend(self.configs.keys().map(String::as_str).filter(|name| !BUILT_IN_BACKENDS.contains(name)));
        names.into_iter().filter(|name| self.open(name).is_ok()).map(BackendName::from).collect()
    }

    fn check_config(&self, name: &str) -> Result<(), BackendError> {
        let bad = self.configs.get(name).and_then(|config| config.env.iter().find(|name| is_ours(name)));
        match bad {
            Some(variable) => Err(BackendError::BadConfig {
                backend: name.to_owned(),
                why: format!("env lists {variable}, which is the orchestrator's own and never passed to agents: take it out"),
            }),
            None => Ok(()),
        }
    }
}
