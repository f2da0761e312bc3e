//! What backends may know of this machine: environment, configuration, programs named by the user. Everything comes in through here, so that
//! tests decide what an adapter sees.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::discover::{Program, look_up, resolve};
use super::env::{Env, agent_env};
use super::{BackendError, Invocation, StdoutMode, Switches, Turn};

/// `[backend.NAME]` of the configuration.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BackendConfig {
    /// The program; obligatory for names that are not built in.
    pub command: Option<String>,
    /// Its arguments; for built-in names they are added to ours.
    pub args: Vec<String>,
    /// Model, where neither run nor environment names one.
    pub model: Option<String>,
    /// Effort, likewise.
    pub effort: Option<String>,
    /// Variables passed to the agent beside the allow-list.
    pub env: Vec<String>,
    /// Whose home directory it gets.
    pub home: Home,
}

/// A table of the configuration files, as it was read.
impl From<&roundtable_runtime::config::BackendConfig> for BackendConfig {
    fn from(read: &roundtable_runtime::config::BackendConfig) -> Self {
        Self {
            command: read.command.clone(),
            args: read.args.clone().unwrap_or_default(),
            model: read.model.clone(),
            effort: read.effort.clone(),
            env: read.env.clone().unwrap_or_default(),
            home: match read.home {
                Some(roundtable_runtime::config::Home::Isolated) => Home::Isolated,
                Some(roundtable_runtime::config::Home::InPlace) | None => Home::InPlace,
            },
        }
    }
}

impl BackendConfig {
    pub(super) fn is_isolated(&self) -> bool {
        self.home == Home::Isolated
    }
}

/// Whose home directory an agent gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Home {
    /// The user's, with the login the CLI has there.
    #[default]
    InPlace,
    /// A fresh one per attempt; only with API keys, and nothing can be resumed.
    Isolated,
}

/// What backends may know of this machine.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// Our own environment; agents get a part of it.
    pub env: Env,
    /// `[backend.NAME]` sections.
    pub configs: BTreeMap<String, BackendConfig>,
    /// `--backend-path NAME=FILE`; FILE may be `scripted:FILE`.
    pub paths: BTreeMap<String, String>,
    /// The executable that plays playbooks when started with `play` (`play_main`).
    pub player: PathBuf,
}

impl Host {
    /// This machine as it is: our environment and executable, with the configuration given.
    pub fn current(configs: BTreeMap<String, BackendConfig>, paths: BTreeMap<String, String>) -> std::io::Result<Self> {
        Ok(Self { env: std::env::vars_os().collect(), configs, paths, player: std::env::current_exe()? })
    }

    /// Switches of the environment names other orchestrators use (docs/backends.md, "Configuration"), as this host's defaults.
    pub fn switches(&self) -> Switches {
        let text = |name: &str| self.var(name).and_then(OsStr::to_str).filter(|text| !text.is_empty()).map(str::to_owned);
        let flag = |name: &str| text(name).map(|text| !matches!(text.to_ascii_lowercase().as_str(), "0" | "false" | "no" | "off"));
        Switches {
            bypass_sandbox: flag("CODEX_BYPASS_SANDBOX"),
            skip_permissions: flag("CODEAGENT_SKIP_PERMISSIONS"),
            opencode_agent: text("CODEAGENT_OPENCODE_AGENT"),
            opencode_model: text("CODEAGENT_OPENCODE_MODEL"),
        }
    }

    pub(super) fn var(&self, name: &str) -> Option<&OsStr> {
        self.env.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    pub(super) fn config(&self, name: &str) -> Option<BackendConfig> {
        self.configs.get(name).cloned()
    }

    /// The program of a built-in CLI: `--backend-path`, else `command`, else the name on PATH.
    pub(super) fn program(&self, name: &str, cli: &str, config: &BackendConfig) -> Result<Program, BackendError> {
        let path_var = self.var("PATH");
        let named = self.paths.get(name).or_else(|| self.paths.get(cli)).or(config.command.as_ref());
        let command = named.map_or(cli, String::as_str);
        let found = look_up(command, path_var);
        let program = found.and_then(|found| resolve(cli, found, path_var));
        program.ok_or_else(|| match named {
            Some(file) if file.contains('/') => {
                let why = "is no executable file (or, for a .js file, there is no node on PATH)".to_owned();
                BackendError::BadFile { backend: name.to_owned(), path: file.into(), why }
            }
            _ => BackendError::NotFound { backend: name.to_owned(), program: command.to_owned() },
        })
    }

    /// An invocation with the environment an agent gets; adapters add what is theirs.
    pub(super) fn invocation(
        &self,
        program: &Program,
        args: Vec<OsString>,
        turn: &Turn,
        own: &[&str],
        config: &BackendConfig,
    ) -> Invocation {
        let mut env = agent_env(&self.env, own, &config.env);
        let temporary = turn.scratch.join("tmp");
        // Agents leave conversations in temporary files; these go with the attempt.
        env.insert("TMPDIR".into(), temporary.clone().into());
        let mut dirs = vec![temporary];
        if config.is_isolated() {
            dirs.extend(isolate(&mut env, &turn.scratch.join("home")));
        }
        Invocation {
            program: program.path.clone(),
            args,
            cwd: turn.worktree.clone(),
            env,
            stdin: Vec::new(),
            stdout: StdoutMode::Pipe,
            dirs,
            files: Vec::new(),
            last_message: None,
        }
    }

    /// `PROGRAM --version`.
    pub(super) fn version_invocation(&self, program: &Program, own: &[&str], config: &BackendConfig) -> Invocation {
        let mut args = program.args.clone();
        args.push("--version".into());
        let mut env = agent_env(&self.env, own, &config.env);
        env.insert("GEMINI_CLI_NO_RELAUNCH".into(), "true".into());
        Invocation {
            program: program.path.clone(),
            args,
            cwd: "/".into(),
            env,
            stdin: Vec::new(),
            stdout: StdoutMode::Pipe,
            dirs: Vec::new(),
            files: Vec::new(),
            last_message: None,
        }
    }

    pub(super) fn home(&self) -> Option<PathBuf> {
        self.var("HOME").filter(|home| !home.is_empty()).map(PathBuf::from)
    }
}

/// Points every directory a CLI keeps state in below `home`; what must exist is returned.
fn isolate(env: &mut Env, home: &Path) -> Vec<PathBuf> {
    let places = [
        ("HOME", ""),
        ("CODEX_HOME", ".codex"),
        ("XDG_CONFIG_HOME", ".config"),
        ("XDG_DATA_HOME", ".local/share"),
        ("XDG_CACHE_HOME", ".cache"),
        ("XDG_STATE_HOME", ".local/state"),
    ];
    env.remove(OsStr::new("GEMINI_CLI_HOME"));
    places
        .iter()
        .map(|(name, below)| {
            let place = if below.is_empty() { home.to_owned() } else { home.join(below) };
            env.insert((*name).into(), place.clone().into());
            place
        })
        .collect()
}
