//! A coordinator of this process's own, on loopback, which others of the same user find through `client.json`.

use std::path::Path;
use std::time::Duration;

use roundtable_coordinator::serve::{self, Running, ServeError, ServeOptions};
use roundtable_runtime::identity::ClientFile;
use roundtable_runtime::lock::{DirLock, LockError};
use roundtable_runtime::open_files;
use roundtable_runtime::tls::connect_asking;

use crate::api::Client;
use crate::credentials::of_client_file;
use crate::failure::{Failure, Result};

/// Files and connections it may have open, if the system lets this user: agents of the same process inherit it.
const OPEN_FILES: u64 = 4_096;

/// A coordinator that ends with this process.
pub struct Embedded {
    running: Running,
    client: Client,
}

/// Why there is none.
pub enum NotStarted {
    /// Another process holds the data dir; it may be one to join.
    Held(Failure),
    /// Something else.
    Failed(Failure),
}

impl Embedded {
    /// Starts one at once, or says that another process was faster.
    pub async fn start(data_dir: &Path, command: &str) -> std::result::Result<Self, NotStarted> {
        if let Err(error) = open_files::allow(OPEN_FILES) {
            tracing::warn!(%error, "no more files may be open than this process began with");
        }
        let running = match serve::start(ServeOptions::embedded(data_dir, command)).await {
            Ok(running) => running,
            Err(ServeError::Lock(held @ LockError::Held { .. })) => return Err(NotStarted::Held(held_by(data_dir, &held))),
            Err(error) => return Err(NotStarted::Failed(Failure::failed("no coordinator can be started here").why(error))),
        };
        match client_of(data_dir).await {
            Ok(client) => Ok(Self { running, client }),
            Err(failure) => {
                // The failure is what the user needs to know; that it also did not end well adds nothing.
                let _ = running.stop().await;
                Err(NotStarted::Failed(failure))
            }
        }
    }

    /// Starts one for a single act, waiting so long for another holder of the data dir to end.
    pub async fn for_an_act(data_dir: &Path, wait: Duration) -> Result<Self> {
        match DirLock::acquire_within(data_dir, "orchctl", wait).await {
            Ok(lock) => drop(lock),
            Err(held @ LockError::Held { .. }) => return Err(held_by(data_dir, &held)),
            Err(error) => return Err(Failure::failed(error.to_string())),
        }
        match Self::start(data_dir, "orchctl").await {
            Ok(embedded) => Ok(embedded),
            Err(NotStarted::Held(failure) | NotStarted::Failed(failure)) => Err(failure),
        }
    }

    /// Calls go through this.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Returns when it was asked to end through its own interface, or cannot go on.
    pub async fn ended(&mut self) -> Result<()> {
        self.running
            .ended()
            .await
            .map_err(|error| Failure::failed("the coordinator cannot go on").why(error).next("what was acknowledged is safe; run it again"))
    }

    /// Ends it; all it acknowledged is on disk.
    pub async fn stop(self) {
        drop(self.client);
        if let Err(error) = self.running.stop().await {
            tracing::warn!(%error, "the coordinator did not end in order");
        }
    }
}

fn held_by(data_dir: &Path, held: &LockError) -> Failure {
    let LockError::Held { holder: Some(holder), .. } = held else {
        return Failure::failed(format!("{} is held by another process", data_dir.display()))
            .next("end it, or use another folder with --data-dir");
    };
    Failure::failed(format!("{} is held by {holder}", data_dir.display()))
        .why("it does not answer as a coordinator")
        .next(format!("wait until it has ended, end it (kill {}), or use another folder with --data-dir", holder.pid))
}

async fn client_of(data_dir: &Path) -> Result<Client> {
    let unreachable = |why: String| Failure::failed("the coordinator just started cannot be reached").why(why);
    let file = ClientFile::read(data_dir).map_err(|error| unreachable(error.to_string()))?;
    let file = file.ok_or_else(|| unreachable("client.json is gone".to_owned()))?;
    let channel = connect_asking(&file.address, &file.credentials, of_client_file(data_dir)).await;
    let channel = channel.map_err(|error| unreachable(error.to_string()))?;
    Ok(Client::new(channel, format!("https://{}", file.address)))
}
