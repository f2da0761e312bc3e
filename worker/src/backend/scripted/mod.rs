//! The scripted backend: plays a playbook instead of asking a model, as a real process (this executable again, with `play`). For demos,
//! rehearsals and tests; nothing above this file knows the difference.

mod defaults;
mod play;
mod playbook;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use roundtable_shared::{AgentSessionId, BackendName, Role, TurnData};
use serde::{Deserialize, Serialize};

pub use defaults::{answer as default_answer, steps as default_steps};
pub use play::play_main;
pub use playbook::{Fault, Playbook, PlaybookError, PlaybookTurn, Roles, Step};

use super::discover::Program;
use super::event_stream::EventStream;
use super::host::{BackendConfig, Host};
use super::{Backend, BackendError, Capabilities, Invocation, Resume, StreamParser, Turn};

/// What the player reads from stdin.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct PlayOrder {
    /// The playbook's file.
    playbook: PathBuf,
    /// What the turn is about.
    turn: TurnData,
    /// The conversation that goes on, if one does.
    resume: Option<AgentSessionId>,
    /// Only the final answer is wanted.
    #[serde(default)]
    report_only: bool,
}

/// The adapter, under its own name (`scripted:FILE`) or in another backend's place.
pub(super) struct Scripted {
    name: BackendName,
    file: PathBuf,
    playbook: Playbook,
    host: Arc<Host>,
}

impl Scripted {
    pub(super) fn open(name: &str, file: &str, host: &Arc<Host>) -> Result<Self, BackendError> {
        let bad = |why: String| BackendError::BadFile { backend: name.to_owned(), path: file.into(), why };
        let file = std::path::absolute(Path::new(file)).map_err(|error| bad(error.to_string()))?;
        let playbook = Playbook::read(&file).map_err(|error| bad(error.to_string()))?;
        Ok(Self { name: name.into(), file, playbook, host: Arc::clone(host) })
    }
}

impl Backend for Scripted {
    fn name(&self) -> &BackendName {
        &self.name
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { resume: Resume::AnyDirectory, read_only: false, schema: false, shell_in_review: true }
    }

    fn account(&self) -> String {
        "scripted:default".to_owned()
    }

    fn version_invocation(&self) -> Option<Invocation> {
        None
    }

    fn read_version(&self, _stdout: &str) -> Option<String> {
        None
    }

    fn invocation(&self, turn: &Turn) -> Result<Invocation, BackendError> {
        let program = Program { path: self.host.player.clone(), args: Vec::new() };
        let mut invocation = self.host.invocation(&program, vec!["play".into()], turn, &[], &BackendConfig::default());
        let order = PlayOrder {
            playbook: self.file.clone(),
            turn: turn.data.clone(),
            resume: turn.resume.as_ref().map(|resume| resume.session.clone()),
            report_only: turn.report_only,
        };
        invocation.stdin = serde_json::to_vec(&order).map_err(|error| BackendError::BadConfig {
            backend: self.name.to_string(),
            why: format!("the turn cannot be written: {error}"),
        })?;
        Ok(invocation)
    }

    fn parser(&self, turn: &Turn) -> Box<dyn StreamParser> {
        Box::new(EventStream::new("scripted", turn, false))
    }

    fn plays_check(&self, data: &TurnData) -> bool {
        self.playbook.has(data.unit.as_ref().map(|unit| unit.as_str()), Role::Check)
    }
}
