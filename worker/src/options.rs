//! How a worker joins: what it is told of coordinator, workspace, name, backends and bounds. Reading it from the command line is `args`'s and the program's,
//! doing it is `join`'s.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use roundtable_runtime::identity::{JoinToken, Pin};

use crate::args::{BackendSlots, OnPartition};
use crate::backend::Host;
use crate::host::Quotas;
use crate::spool::KeepLimits;

/// How to join.
#[derive(Clone, Debug)]
pub struct JoinOptions {
    /// Address of the coordinator; `None` = the live one of this user's data directory, looked up again at each try.
    pub coordinator: Option<String>,
    /// Data directory shared with the coordinator of this host.
    pub data_dir: PathBuf,
    /// What lets it in where its workspace holds no identity.
    pub entry: Option<Entry>,
    /// Folder of the worker; `None` = `<data-dir>/workers/<name>`.
    pub workspace: Option<PathBuf>,
    /// Name; `None` = `<host>-<first free number>`.
    pub name: Option<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// What is served.
    pub backends: Vec<BackendSlots>,
    /// Programs and configuration of backends.
    pub host: Arc<Host>,
    /// End after one attempt.
    pub once: bool,
    /// End after this long without work.
    pub max_idle: Option<Duration>,
    /// How long a coordinator that was there once is waited for; `None` = as long as it takes.
    pub patience: Option<Duration>,
    /// A login that a provider refused is probed again after this.
    pub park_probe: Duration,
    /// How long delivered attempts are kept.
    pub keep: KeepLimits,
    /// What becomes of agents while no coordinator is heard.
    pub on_partition: OnPartition,
    /// What may be kept of objects and worktrees, and taken at once.
    pub quotas: Quotas,
    /// Session of tmux in which attempts are shown.
    pub tmux: Option<String>,
}

/// What lets a worker in for the first time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Entry {
    /// A token.
    Token(JoinToken),
    /// The key made by `worker keygen`, with the authority it goes to.
    Key(Pin),
}
