//! A coordinator with workers in a process of its own, for `run --detach`: started by running this executable again, ended by `down`.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use roundtable_runtime::config::Config;
use roundtable_runtime::{fsx, shutdown};
use serde::{Deserialize, Serialize};

use super::coordinator::{Embedded, NotStarted};
use super::workers::Crew;
use crate::crew::CrewOptions;
use crate::failure::{Failure, Result};
use crate::settings::load;

/// The hidden word by which this executable is told to be the background process.
pub(super) const WORD: &str = "background";
/// Where the background process logs, in the data dir.
const LOG_NAME: &str = "background.log";
/// A log larger than this is begun anew.
const LOG_BYTES_MAX: u64 = 16 << 20;
/// Once it has joined, the background process writes this file, named after its process.
const READY_SUFFIX: &str = "ready";
/// How long it is waited for.
const READY_WAIT: Duration = Duration::from_secs(90);
/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What the background process is to be. It gets this as JSON.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Background {
    /// The data dir.
    pub data_dir: PathBuf,
    /// Configuration files: `--config`, the repository's top, the user's.
    pub sources: [Option<PathBuf>; 3],
    /// Its workers.
    pub crew: CrewOptions,
}

/// Starts the background process and waits until its workers take work.
pub async fn start_background(background: &Background) -> Result<()> {
    let failed = |why: String| Failure::failed("the background process cannot be started").why(why);
    fsx::create_dir_unless_there(&background.data_dir).map_err(|error| failed(error.to_string()))?;
    let log_path = background.data_dir.join(LOG_NAME);
    let fresh = std::fs::metadata(&log_path).is_ok_and(|found| found.len() > LOG_BYTES_MAX);
    let mut options = OpenOptions::new();
    let log = options.create(true).write(true).append(!fresh).truncate(fresh).mode(0o600).open(&log_path);
    let log = log.map_err(|error| failed(format!("{}: {error}", log_path.display())))?;
    let program = std::env::current_exe().map_err(|error| failed(error.to_string()))?;
    let text = serde_json::to_string(background).map_err(|error| failed(error.to_string()))?;
    let log_start = std::fs::metadata(&log_path).map_or(0, |found| found.len());
    let mut command = Command::new(program);
    command.args([WORD, &text]).current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    let mut starting = Starting(Some(command.spawn().map_err(|error| failed(error.to_string()))?));
    let Some(child) = starting.0.as_mut() else { return Err(failed("it is gone".to_owned())) };
    let ready = ready_file(&background.data_dir, child.id());
    let deadline = Instant::now() + READY_WAIT;
    loop {
        if ready.exists() {
            let _ = std::fs::remove_file(&ready);
            starting.0 = None;
            return Ok(());
        }
        if child.try_wait().map_err(|error| failed(error.to_string()))?.is_some() {
            return Err(failed(tail(&log_path, log_start)).next(format!("its log is {}", log_path.display())));
        }
        if Instant::now() >= deadline {
            return Err(
                failed(format!("it was not ready within {} s", READY_WAIT.as_secs())).next(format!("its log is {}", log_path.display()))
            );
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// A background process that is not known to be ready. Dropped, it is asked to end: left alone it would take work nobody knows of.
struct Starting(Option<Child>);

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(child) = &self.0 {
            // It may have ended by itself.
            let _ = rustix::process::kill_process(rustix::process::Pid::from_child(child), rustix::process::Signal::TERM);
        }
    }
}

fn ready_file(data_dir: &Path, pid: u32) -> PathBuf {
    data_dir.join(format!("{WORD}-{pid}.{READY_SUFFIX}"))
}

/// What the process said since it was started.
fn tail(log: &Path, from: u64) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let new = text.get(usize::try_from(from).unwrap_or(usize::MAX)..).unwrap_or_default();
    let text = String::from_utf8_lossy(new).trim().to_owned();
    if text.is_empty() { "it ended without a word".to_owned() } else { text }
}

/// The background process: serves and works until `down`, SIGTERM, or an error.
pub(super) async fn be_background(background: Background) -> Result<()> {
    let (_trigger, asked) = shutdown::on_signals().map_err(|error| Failure::failed("signals cannot be handled").why(error))?;
    let [explicit, repository, user] = background.sources.clone();
    let config: Config = load(&roundtable_runtime::config::Sources { explicit, repository, user })?;
    let mut coordinator = match Embedded::start(&background.data_dir, "orchctl run --detach").await {
        Ok(embedded) => embedded,
        Err(NotStarted::Held(failure) | NotStarted::Failed(failure)) => return Err(failure),
    };
    let crew = match Crew::join(&background.data_dir, None, &config, &background.crew).await {
        Ok(crew) => crew,
        Err(failure) => {
            coordinator.stop().await;
            return Err(failure);
        }
    };
    let ready = ready_file(&background.data_dir, std::process::id());
    let told = std::fs::write(&ready, b"").map_err(|error| Failure::failed(format!("{} cannot be written", ready.display())).why(error));
    let ended = match told {
        Ok(()) => tokio::select! {
            ended = coordinator.ended() => ended,
            () = asked.draining() => Ok(()),
        },
        Err(failure) => Err(failure),
    };
    crew.stop().await;
    coordinator.stop().await;
    ended
}
