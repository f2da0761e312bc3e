//! What every command starts from: where the data dir is, which coordinator was named, what the configuration files say.

use std::path::{Path, PathBuf};

use roundtable_runtime::config::{Config, Sources, default_data_dir, environment};

use crate::api::Api;
use crate::connect;
use crate::embed::{Embedded, Offline};
use crate::failure::{Failure, Result};
use crate::settings::{Settings, refusal};
use crate::workdir::git_dir_of;

/// The same for all commands.
#[derive(Clone, PartialEq, Debug)]
pub struct Context {
    /// The coordinator named by flag, environment or file.
    pub coordinator: Option<String>,
    /// Where logs, stores and identities lie.
    pub data_dir: PathBuf,
    /// Whether it was named rather than the usual one.
    pub data_dir_was_named: bool,
    /// `--config` and the user's file.
    pub config: Config,
    /// Where they lie.
    pub sources: Sources,
}

/// A coordinator for as long as a command needs one to act: the live one, or one of its own on an idle data dir.
pub struct Session {
    /// It answers.
    pub api: Api,
    own: Option<Embedded>,
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
        let coordinator = global.coordinator.clone().filter(|url| !url.is_empty());
        Ok(Self {
            coordinator,
            data_dir,
            data_dir_was_named: global.data_dir.is_some(),
            config: settings.config.clone(),
            sources: settings.sources.clone(),
        })
    }

    /// Something to read from: the live coordinator, else the data dir.
    pub async fn reader(&self) -> Result<Api> {
        Ok(match connect::find(self).await? {
            Some(client) => Api::live(client),
            None => Api::offline(Offline::new(&self.data_dir)),
        })
    }

    /// Something to act on: the live coordinator, else one of our own on the data dir, without workers.
    pub async fn session(&self) -> Result<Session> {
        if let Some(client) = connect::find(self).await? {
            return Ok(Session { api: Api::live(client), own: None });
        }
        let own = Embedded::for_an_act(&self.data_dir).await?;
        Ok(Session { api: Api::live(own.client().clone()), own: Some(own) })
    }

    /// The repository the user is in, as runs know it.
    pub async fn git_dir_here(&self) -> Option<String> {
        git_dir_of(Path::new(".")).await
    }
}

impl Session {
    /// Ends what was started for it.
    pub async fn end(self) {
        if let Some(own) = self.own {
            own.stop().await;
        }
    }
}
