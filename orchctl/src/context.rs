//! What every command starts from: where the data dir is, which coordinator was named, what the configuration files say.

use std::path::{Path, PathBuf};

use roundtable_runtime::config::{Config, Sources, default_data_dir, environment};
use roundtable_runtime::identity::Profiles;
use roundtable_shared::view::SummaryView;

use crate::args::JsonArg;
use crate::failure::{Failure, Result};
use crate::reach::{Reach, from_here};
use crate::settings::{Settings, refusal};
use crate::workdir::git_dir_of;

/// The same for all commands.
#[derive(Clone, PartialEq, Debug)]
pub struct Context {
    /// The coordinator named by flag, environment or file, or by the profile that was.
    pub coordinator: Option<String>,
    /// The profile named so.
    pub profile: Option<Named>,
    /// Where logs, stores and identities lie.
    pub data_dir: PathBuf,
    /// Whether it was named rather than the usual one.
    pub data_dir_was_named: bool,
    /// `--config` and the user's file.
    pub config: Config,
    /// Where they lie.
    pub sources: Sources,
}

/// A profile that was named.
#[derive(Clone, PartialEq, Debug)]
pub struct Named {
    /// By this.
    pub name: String,
    /// Where it leads; `None` if there is none of that name.
    pub url: Option<String>,
}

impl Context {
    /// From the settings.
    pub fn new(settings: &Settings) -> Result<Self> {
        let global = &settings.cli.global;
        let data_dir = match &global.data_dir {
            Some(dir) => dir.clone(),
            None => default_data_dir(&environment).map_err(refusal)?,
        };
        let data_dir = std::path::absolute(&data_dir)
            .map_err(|error| Failure::usage(format!("{} is no path of a folder", data_dir.display())).why(error))?;
        let profile = match global.profile.clone().filter(|name| !name.is_empty()) {
            Some(name) => Some(Named { url: known_profile(&data_dir, &name)?, name }),
            None => None,
        };
        let coordinator = global.coordinator.clone().filter(|url| !url.is_empty());
        Ok(Self {
            coordinator: coordinator.or_else(|| profile.as_ref().and_then(|profile| profile.url.clone())),
            profile,
            data_dir,
            data_dir_was_named: global.data_dir.is_some(),
            config: settings.config.clone(),
            sources: settings.sources.clone(),
        })
    }

    /// What commands must say to reach the same coordinator and data dir.
    pub fn reach(&self) -> Reach {
        let from_environment = |name: &str| environment(name);
        let named_url = self.coordinator.as_deref().filter(|url| from_environment("ROUNDTABLE_COORDINATOR").as_deref() != Some(url));
        let is_usual =
            !self.data_dir_was_named || from_environment("ROUNDTABLE_DATA_DIR").as_deref() == Some(&*self.data_dir.to_string_lossy());
        let profile =
            self.profile.clone().filter(|profile| from_environment("ROUNDTABLE_PROFILE").as_deref() != Some(profile.name.as_str()));
        let profile = profile.and_then(|profile| Some((profile.name, profile.url?)));
        Reach { coordinator: named_url.map(str::to_owned), profile, data_dir: (!is_usual).then(|| self.data_dir.clone()) }
    }

    /// A command to type next, with the flags without which it would speak to another coordinator or data dir.
    pub fn command(&self, command: &str) -> String {
        self.reach().command(command)
    }

    /// A summary whose commands work where they are typed; for people they are as short as they can be there.
    pub fn with_commands(&self, mut summary: SummaryView, json: JsonArg) -> SummaryView {
        let spec = summary.spec.clone();
        let typed = |command: &String| self.command(&if json.json { command.clone() } else { shortened(command, &spec) });
        let all = std::iter::once(&mut summary.resume).chain(&mut summary.next);
        all.for_each(|command| *command = typed(command));
        summary
    }

    /// The repository the user is in, as runs know it.
    pub async fn git_dir_here(&self) -> Option<String> {
        git_dir_of(Path::new(".")).await
    }
}

/// Where the profile of this name leads.
fn known_profile(data_dir: &Path, name: &str) -> Result<Option<String>> {
    let read = Profiles::of(data_dir).read(name).map_err(|error| Failure::usage(error.to_string()))?;
    Ok(read.map(|profile| profile.url))
}

/// The command as it is typed where the user stands.
fn shortened(command: &str, spec: &str) -> String {
    match std::env::current_dir() {
        Ok(here) => from_here(command, spec, &here),
        Err(_) => command.to_owned(),
    }
}
