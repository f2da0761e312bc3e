//! Workers of this process: which backends with how many slots, and their life from joining to the last saved byte.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use roundtable_runtime::config::Config;
use roundtable_runtime::lock::DirLock;
use roundtable_runtime::shutdown::{self, Cause, Trigger};
use roundtable_shared::{CHECK_BACKEND, RunLimits};
use roundtable_worker::args::{BackendSlots, OnPartition, parse_backend, parse_label, parse_pair};
use roundtable_worker::backend::scripted::Playbook;
use roundtable_worker::backend::{BackendConfig, Host};
use roundtable_worker::host::Quotas;
use roundtable_worker::join::{JoinError, JoinOptions, join};
use roundtable_worker::spool::{KeepLimits, Spool};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::crew::CrewOptions;
use crate::failure::{Failure, Result};

/// Slots of each agent CLI found, where nothing was said.
const DEFAULT_SLOTS: u32 = 2;
/// How long joining may take before it counts as failed: each CLI is asked for its version.
const JOIN_WAIT: Duration = Duration::from_secs(60);

/// How long a worker whose process is gone may take to hand in what it owes.
const SETTLE_WAIT: Duration = Duration::from_secs(30);

/// Workers that have joined.
pub struct Crew {
    trigger: Trigger,
    task: JoinHandle<std::result::Result<(), JoinError>>,
}

/// The backends a crew offers, by name.
pub fn agents(config: &Config, options: &CrewOptions) -> Result<Vec<String>> {
    let host = host(config, options)?;
    Ok(backends(&host, options)?.into_iter().map(|backend| backend.name).filter(|name| name != CHECK_BACKEND).collect())
}

/// Whether every playbook that is named is there and can be understood: so that it is said before anything is started, and also where nothing would be.
pub fn check_playbooks(options: &CrewOptions) -> Result<()> {
    let of_workers =
        named(options)?.into_iter().filter_map(|worker| Some(("--workers", worker.name.strip_prefix("scripted:")?.to_owned())));
    let of_paths = options.backend_paths.iter().filter_map(|pair| {
        let (_, file) = pair.split_once('=')?;
        Some(("--backend-path", file.strip_prefix("scripted:")?.to_owned()))
    });
    for (flag, file) in of_workers.chain(of_paths) {
        Playbook::read(Path::new(&file)).map_err(|error| {
            Failure::usage(format!("{flag}: the playbook {file} cannot be used"))
                .why(error)
                .next("name one that is there; `orchctl demo --keep DIR` leaves one to look at")
        })?;
    }
    Ok(())
}

/// The backends with their slots.
fn backends(host: &Arc<Host>, options: &CrewOptions) -> Result<Vec<BackendSlots>> {
    let mut backends = if options.workers.is_empty() { found(host)? } else { with_agents(host, named(options)?) };
    if let Some(max) = options.slots_max {
        bound(&mut backends, max);
    }
    Ok(backends)
}

/// Slots for checks alone leave the agents to be found.
fn with_agents(host: &Arc<Host>, mut named: Vec<BackendSlots>) -> Vec<BackendSlots> {
    if named.iter().all(|backend| backend.name == CHECK_BACKEND) {
        named.extend(found(host).unwrap_or_default());
    }
    named
}

fn named(options: &CrewOptions) -> Result<Vec<BackendSlots>> {
    let read = |text: &String| parse_backend(text).map_err(|why| Failure::usage(format!("--workers {text}: {why}")));
    options.workers.iter().map(read).collect()
}

fn found(host: &Arc<Host>) -> Result<Vec<BackendSlots>> {
    let found = host.installed();
    if found.is_empty() {
        return Err(Failure::failed("no agent CLI is found on this machine")
            .why("neither codex nor gemini nor opencode is in PATH, and none is configured")
            .next("install one and log in; `orchctl doctor` tells what is found")
            .next("or rehearse without one: orchctl demo"));
    }
    Ok(found.into_iter().map(|name| BackendSlots { name: name.to_string(), slots: Some(DEFAULT_SLOTS) }).collect())
}

/// Takes slots of agents away from the largest until no more than `max` are left; each backend keeps one.
fn bound(backends: &mut [BackendSlots], max: u32) {
    let slots = |backend: &BackendSlots| backend.slots.unwrap_or(1);
    let mut agents: Vec<&mut BackendSlots> = backends.iter_mut().filter(|backend| backend.name != CHECK_BACKEND).collect();
    while agents.iter().map(|backend| slots(backend)).sum::<u32>() > max {
        match agents.iter_mut().max_by_key(|backend| slots(backend)) {
            Some(backend) if slots(backend) > 1 => backend.slots = Some(slots(backend) - 1),
            _ => return,
        }
    }
}

/// What workers of this process know of the machine.
pub(super) fn host(config: &Config, options: &CrewOptions) -> Result<Arc<Host>> {
    let configs = config.backends.iter().map(|(name, backend)| (name.clone(), BackendConfig::from(backend))).collect();
    let mut paths = BTreeMap::new();
    for pair in options.backend_paths.iter().filter(|pair| !pair.trim().is_empty()) {
        let (name, file) = parse_pair(pair).map_err(|why| Failure::usage(format!("--backend-path {pair}: {why}")))?;
        paths.insert(name, file);
    }
    Host::current(configs, paths).map(Arc::new).map_err(|error| Failure::failed("this program cannot find itself").why(error))
}

/// What workers of this process say of themselves: as `worker join` of this host would, and what was asked for beside that.
fn labels(config: &Config, options: &CrewOptions) -> Result<BTreeMap<String, String>> {
    let configured = config.flags.get("join").and_then(|flags| flags.get("label"));
    let configured = configured.into_iter().flatten().flat_map(|values| values.split(',')).map(|text| ("[join] label", text));
    let typed = options.labels.iter().map(|text| ("--label", text.as_str()));
    let all = configured.chain(typed).map(|(flag, text)| (flag, text.trim())).filter(|(_, text)| !text.is_empty());
    all.map(|(flag, text)| parse_label(text).map_err(|why| Failure::usage(format!("{flag}: {why}")))).collect()
}

impl Crew {
    /// Joins the coordinator that `client.json` names (looked up again whenever the link is lost), or the one named, and waits until it takes work.
    pub async fn join(data_dir: &Path, coordinator: Option<&str>, config: &Config, options: &CrewOptions) -> Result<Self> {
        let host = host(config, options)?;
        let backends = backends(&host, options)?;
        let labels = labels(config, options)?;
        Self::join_as(JoinOptions { labels, ..join_options(data_dir, coordinator, None, backends, host, config) }).await
    }

    /// Joins without any agent: every worker runs check commands.
    pub async fn join_for_checks(data_dir: &Path, coordinator: Option<&str>, config: &Config) -> Result<Self> {
        let options = CrewOptions::default();
        let (host, labels) = (host(config, &options)?, labels(config, &options)?);
        Self::join_as(JoinOptions { labels, ..join_options(data_dir, coordinator, None, Vec::new(), host, config) }).await
    }

    async fn join_as(join_options: JoinOptions) -> Result<Self> {
        let (trigger, watched) = shutdown::manual();
        let (joined, mut has_joined) = watch::channel(false);
        let mut task = tokio::spawn(join(join_options, watched, joined));
        tokio::select! {
            ready = tokio::time::timeout(JOIN_WAIT, has_joined.wait_for(|joined| *joined)) => match ready {
                Ok(Ok(_)) => Ok(Self { trigger, task }),
                Ok(Err(_)) => Err(ended_early((&mut task).await)),
                Err(_) => {
                    task.abort();
                    Err(Failure::failed(format!("the workers have not joined within {} s", JOIN_WAIT.as_secs())).next("RUST_LOG=info shows what they wait for"))
                }
            },
            ended = &mut task => Err(ended_early(ended)),
        }
    }

    /// Whether the workers have ended by themselves.
    pub fn has_ended(&self) -> bool {
        self.task.is_finished()
    }

    /// Lets them finish what they hold, and go.
    async fn drain(self) {
        self.trigger.pull(Cause::Request);
        let _ = self.task.await;
    }

    /// Stops them: agents are ended, their work is saved and handed back.
    pub async fn stop(self) {
        self.trigger.stop(Cause::Request);
        match self.task.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the workers did not end in order"),
            Err(error) => tracing::error!(%error, "the workers broke"),
        }
    }
}

fn join_options(
    data_dir: &Path,
    coordinator: Option<&str>,
    name: Option<String>,
    backends: Vec<BackendSlots>,
    host: Arc<Host>,
    config: &Config,
) -> JoinOptions {
    JoinOptions {
        coordinator: coordinator.map(str::to_owned),
        data_dir: data_dir.to_owned(),
        entry: None,
        workspace: None,
        name,
        labels: BTreeMap::new(),
        backends,
        host,
        once: false,
        max_idle: None,
        patience: None,
        park_probe: park_probe(config),
        keep: KeepLimits::default(),
        quotas: Quotas::default(),
        on_partition: OnPartition::default(),
        tmux: None,
    }
}

/// When workers probe a login that was refused.
fn park_probe(config: &Config) -> Duration {
    let mut limits = RunLimits::default();
    config.limits.apply(&mut limits);
    Duration::from_millis(limits.park_probe_ms)
}

/// Joins for a moment in place of each worker of this data dir that was killed: what it left running is ended, what it owes is handed in, and its
/// leases end now rather than when it has been silent for long. That it cannot be done is no failure: its silence has the same end, later.
pub async fn settle_abandoned(data_dir: &Path, config: &Config) {
    let Ok(host) = host(config, &CrewOptions::default()) else { return };
    for name in abandoned(data_dir) {
        let settled = async {
            let crew = Crew::join_as(join_options(data_dir, None, Some(name.clone()), Vec::new(), Arc::clone(&host), config)).await?;
            crew.drain().await;
            Ok::<(), Failure>(())
        };
        match tokio::time::timeout(SETTLE_WAIT, settled).await {
            Ok(Ok(())) => tracing::info!(worker = %name, "handed in what a killed worker owed"),
            Ok(Err(failure)) => tracing::warn!(worker = %name, why = failure.what(), "what a killed worker owes is not handed in"),
            Err(_) => tracing::warn!(worker = %name, "what a killed worker owes is not handed in yet"),
        }
    }
}

/// Workers whose folder nobody holds and whose spool still owes something.
fn abandoned(data_dir: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(data_dir.join("workers")) else { return Vec::new() };
    let owes = |folder: &Path| {
        let _lock = DirLock::acquire(folder, "orchctl run").ok()?;
        let spool = folder.join("spool");
        let left = Spool::open(spool).and_then(|spool| spool.left_behind()).ok()?;
        (!left.is_empty()).then_some(())
    };
    let mut names: Vec<String> =
        entries.flatten().filter(|entry| owes(&entry.path()).is_some()).filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

fn ended_early(ended: std::result::Result<std::result::Result<(), JoinError>, tokio::task::JoinError>) -> Failure {
    match ended {
        Ok(Ok(())) => Failure::failed("the workers ended before they could take work"),
        Ok(Err(error @ (JoinError::Usage(_) | JoinError::Backend(_)))) => {
            Failure::usage(error.to_string()).next("`orchctl doctor` tells which agent CLIs are found")
        }
        Ok(Err(error)) => Failure::failed("the workers cannot join").why(error),
        Err(error) => Failure::failed("the workers broke").why(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_bounded_from_the_largest_down() {
        let backend = |name: &str, slots| BackendSlots { name: name.into(), slots: Some(slots) };
        let mut backends = [backend("a", 5), backend("b", 1), backend("c", 2), backend("check", 7)];
        bound(&mut backends, 4);
        assert_eq!(backends.iter().map(|backend| backend.slots).collect::<Vec<_>>(), [Some(2), Some(1), Some(1), Some(7)]);
        bound(&mut backends, 1);
        assert_eq!(backends.iter().map(|backend| backend.slots).collect::<Vec<_>>(), [Some(1), Some(1), Some(1), Some(7)]);
    }
}
