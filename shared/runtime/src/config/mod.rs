//! Configuration files, layered: `--config` over the repository's `roundtable.toml` over the user's. Flags and environment stand above all of them and
//! are the command line's; it takes its defaults from [`Config::flags`]. The repository's file is not trusted with programs or variables.
//!
//! Durations are written as text with units (`"90s"`, `"1h 30m"`, `"500ms"`) or as an integer of milliseconds.

mod aliases;
mod duration;
mod flags;
mod read;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use roundtable_shared::RunLimits;

use crate::telemetry::LogFormat;

pub use aliases::Aliases;
pub use duration::parse_duration_ms;
pub use flags::{COMMANDS, SAME, other_names};

/// What the files say, merged.
#[derive(Clone, PartialEq, Default)]
pub struct Config {
    /// Address of the coordinator.
    pub coordinator: Option<String>,
    /// Name of the profile to use.
    pub profile: Option<String>,
    /// Data directory.
    pub data_dir: Option<PathBuf>,
    /// Form of log lines.
    pub log_format: Option<LogFormat>,
    /// Command run in a new worktree.
    pub setup: Option<String>,
    /// Ignored files to bring into worktrees, repository-relative.
    pub copy: Option<Vec<String>>,
    /// Check command.
    pub check: Option<String>,
    /// Waiting times and limits.
    pub limits: Limits,
    /// Backends by name.
    pub backends: BTreeMap<String, BackendConfig>,
    /// Defaults of flags: per command (`config.show` for one within another), per flag (as on the command line, without `--`), its values.
    pub flags: BTreeMap<String, BTreeMap<String, Vec<String>>>,
    /// What was read but does not count, for a person.
    pub warnings: Vec<String>,
}

/// Of flags the names alone: the value of one may be a token.
impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { coordinator, profile, data_dir, log_format, setup, copy, check, limits, backends, flags, warnings } = self;
        let flags: BTreeMap<&str, Vec<&String>> = flags.iter().map(|(command, flags)| (command.as_str(), flags.keys().collect())).collect();
        f.debug_struct("Config")
            .field("coordinator", coordinator)
            .field("profile", profile)
            .field("data_dir", data_dir)
            .field("log_format", log_format)
            .field("setup", setup)
            .field("copy", copy)
            .field("check", check)
            .field("limits", limits)
            .field("backends", backends)
            .field("flags", &flags)
            .field("warnings", warnings)
            .finish()
    }
}

/// A backend's table.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct BackendConfig {
    /// The program.
    pub command: Option<String>,
    /// Arguments put before our own.
    pub args: Option<Vec<String>>,
    /// Model.
    pub model: Option<String>,
    /// Effort.
    pub effort: Option<String>,
    /// Names of variables passed to the agent beside the default ones.
    pub env: Option<Vec<String>>,
    /// Where its home is.
    pub home: Option<Home>,
}

/// Which home directory an agent gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Home {
    /// The worker's own, with the login there.
    InPlace,
    /// An empty one per attempt.
    Isolated,
}

/// Limits that files set, by the names of their keys.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Limits(BTreeMap<&'static str, u64>);

macro_rules! limit_keys {
    ($($key:literal => $field:ident),+ $(,)?) => {
        impl Limits {
            /// The keys of `[limits]`.
            pub const KEYS: &'static [&'static str] = &[$($key),+];

            /// Sets what the files set.
            pub fn apply(&self, limits: &mut RunLimits) {
                $(if let Some(ms) = self.0.get($key) { limits.$field = *ms; })+
            }
        }
    };
}

limit_keys! {
    "wall" => wall_ms,
    "idle" => idle_ms,
    "save" => save_ms,
    "accept" => accept_ms,
    "park_probe" => park_probe_ms,
    "wait_worker" => wait_worker_ms,
    "no_worker" => no_worker_ms,
    "no_worker_ask_again" => no_worker_ask_again_ms,
    "assign_after" => assign_after_ms,
    "assign_within" => assign_within_ms,
    "park_gone" => park_gone_ms,
    "backoff" => backoff_ms,
    "backoff_max" => backoff_max_ms,
    "consult" => consult_ms,
    "hold" => hold_ms,
    "consult_every" => consult_every_ms,
    "decision_escalate" => decision_escalate_ms,
}

impl Limits {
    /// One limit, milliseconds.
    pub fn get(&self, key: &str) -> Option<u64> {
        self.0.get(key).copied()
    }
}

/// Why a file does not count. Nothing of any file is used then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file named by `--config` is not there.
    #[error("there is no configuration file {}", file.display())]
    Absent {
        /// The file.
        file: PathBuf,
    },
    /// A file cannot be read.
    #[error("the configuration file {} cannot be read: {source}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not TOML.
    #[error("{}:{line}: {message}", file.display())]
    Syntax {
        /// The file.
        file: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What the parser says.
        message: String,
    },
    /// A key that does not exist.
    #[error("{}:{line}: unknown key {key:?}{}", file.display(), hint(nearest))]
    UnknownKey {
        /// The file.
        file: PathBuf,
        /// Line, from 1.
        line: usize,
        /// The key with its table.
        key: String,
        /// The key that was probably meant.
        nearest: Option<String>,
    },
    /// A value that cannot be.
    #[error("{}:{line}: {key}: {why}", file.display())]
    BadValue {
        /// The file.
        file: PathBuf,
        /// Line, from 1.
        line: usize,
        /// The key with its table.
        key: String,
        /// What it must be.
        why: String,
    },
    /// There is no directory to keep anything in.
    #[error("neither {variable} nor HOME is set; name the directory by --data-dir")]
    NoHome {
        /// The variable that would name it.
        variable: &'static str,
    },
}

fn hint(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|key| format!("; did you mean {key:?}?")).unwrap_or_default()
}

/// Where the layers lie.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sources {
    /// `--config`; must exist.
    pub explicit: Option<PathBuf>,
    /// The top folder of the repository; its `roundtable.toml` may be absent.
    pub repository: Option<PathBuf>,
    /// The user's file ([`user_file`]); may be absent.
    pub user: Option<PathBuf>,
}

impl Config {
    /// Reads and merges the layers. Tables of all programs' commands are checked, whoever reads.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let mut merged = Self::default();
        let layers = [
            (sources.user.clone(), Trusted::Yes, Needed::No),
            (sources.repository.as_ref().map(|top| top.join("roundtable.toml")), Trusted::No, Needed::No),
            (sources.explicit.clone(), Trusted::Yes, Needed::Yes),
        ];
        for (file, trusted, needed) in layers {
            let Some(file) = file else { continue };
            if let Some(text) = read_file(&file, needed)? {
                let mut layer = read::parse(&file, &text)?;
                if trusted == Trusted::No {
                    layer.distrust(&file);
                }
                merged.overlay(layer);
            }
        }
        Ok(merged)
    }

    /// Takes away what a repository may not decide, with a warning each.
    fn distrust(&mut self, file: &Path) {
        let mut ignored = Vec::new();
        let mut take = |is_set: bool, key: &str| {
            if is_set {
                ignored.push(key.to_owned());
            }
        };
        take(self.coordinator.take().is_some(), "coordinator");
        take(self.profile.take().is_some(), "profile");
        take(self.data_dir.take().is_some(), "data_dir");
        take(self.log_format.take().is_some(), "log_format");
        for command in std::mem::take(&mut self.flags).into_keys() {
            take(true, &format!("[{command}]"));
        }
        for (name, backend) in &mut self.backends {
            take(backend.command.take().is_some(), &format!("backend.{name}.command"));
            take(backend.args.take().is_some(), &format!("backend.{name}.args"));
            take(backend.env.take().is_some(), &format!("backend.{name}.env"));
            take(backend.home.take().is_some(), &format!("backend.{name}.home"));
        }
        let why = "does not count in a repository's file; put it into your own configuration or --config";
        self.warnings.extend(ignored.into_iter().map(|key| format!("{}: {key} {why}", file.display())));
    }

    /// Takes a key away, whichever part of the configuration holds it.
    fn forget(&mut self, key: &str) {
        match key.split_once('.') {
            None if key == "check" => self.check = None,
            Some(("limits", limit)) => self.limits.0.retain(|name, _| *name != limit),
            Some((command, flag)) => {
                if let Some(flags) = self.flags.get_mut(command) {
                    flags.remove(flag);
                }
            }
            None => {}
        }
    }

    /// The keys with a second name that are set.
    fn named_twice(&self) -> Vec<&'static str> {
        let is_set = |key: &&'static str| match key.split_once('.') {
            None => self.check.is_some(),
            Some(("limits", limit)) => self.limits.get(limit).is_some(),
            Some((command, flag)) => self.flags.get(command).is_some_and(|flags| flags.contains_key(flag)),
        };
        SAME.iter().flat_map(|names| names.iter().copied()).filter(is_set).collect()
    }

    /// Lays another layer over this one.
    fn overlay(&mut self, above: Self) {
        for key in above.named_twice() {
            other_names(key).for_each(|other| self.forget(other));
        }
        fn over<T>(below: &mut Option<T>, above: Option<T>) {
            if above.is_some() {
                *below = above;
            }
        }
        over(&mut self.coordinator, above.coordinator);
        over(&mut self.profile, above.profile);
        over(&mut self.data_dir, above.data_dir);
        over(&mut self.log_format, above.log_format);
        over(&mut self.setup, above.setup);
        over(&mut self.copy, above.copy);
        over(&mut self.check, above.check);
        self.limits.0.extend(above.limits.0);
        for (name, backend) in above.backends {
            let below = self.backends.entry(name).or_default();
            over(&mut below.command, backend.command);
            over(&mut below.args, backend.args);
            over(&mut below.model, backend.model);
            over(&mut below.effort, backend.effort);
            over(&mut below.env, backend.env);
            over(&mut below.home, backend.home);
        }
        for (command, flags) in above.flags {
            self.flags.entry(command).or_default().extend(flags);
        }
        self.warnings.extend(above.warnings);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Trusted {
    Yes,
    No,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Needed {
    Yes,
    No,
}

/// Largest configuration file.
const FILE_BYTES_MAX: u64 = 1 << 20;

fn read_file(file: &Path, needed: Needed) -> Result<Option<String>, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { file: file.to_owned(), source };
    let Some(bytes) = crate::fsx::read_bounded(file, FILE_BYTES_MAX).map_err(unreadable)? else {
        return if needed == Needed::Yes { Err(ConfigError::Absent { file: file.to_owned() }) } else { Ok(None) };
    };
    String::from_utf8(bytes).map(Some).map_err(|error| unreadable(io::Error::new(io::ErrorKind::InvalidData, error)))
}

/// Reads the environment; a parameter so that tests need not change the process's own.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The process's environment. Empty variables count as absent.
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// `$XDG_STATE_HOME/roundtable`, else `~/.local/state/roundtable`.
pub fn default_data_dir(environment: Environment<'_>) -> Result<PathBuf, ConfigError> {
    below(environment, "XDG_STATE_HOME", ".local/state").ok_or(ConfigError::NoHome { variable: "XDG_STATE_HOME" })
}

/// `$XDG_CONFIG_HOME/roundtable/config.toml`, else `~/.config/roundtable/config.toml`.
pub fn user_file(environment: Environment<'_>) -> Option<PathBuf> {
    below(environment, "XDG_CONFIG_HOME", ".config").map(|dir| dir.join("config.toml"))
}

/// Relative paths in these variables are to be ignored, says their specification.
fn below(environment: Environment<'_>, variable: &str, in_home: &str) -> Option<PathBuf> {
    let named = environment(variable).map(PathBuf::from).filter(|dir| dir.is_absolute());
    let dir = named.or_else(|| environment("HOME").map(|home| Path::new(&home).join(in_home)))?;
    Some(dir.join("roundtable"))
}

#[cfg(test)]
mod tests;
