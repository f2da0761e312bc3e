//! Who this worker is to its coordinator: the certificate it keeps in its workspace, how it came by it (a token, an admitted key, or `client.json` of the
//! same user), and how it stays young. Connecting with it is the caller's.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use roundtable_proto::convert::{code_of, message_of, told_code_of};
use roundtable_proto::v1;
use roundtable_proto::v1::admission_client::AdmissionClient;
use roundtable_proto::v1::control_client::ControlClient;
use roundtable_runtime::clock::{Clock, SystemClock};
use roundtable_runtime::identity::{ClientFile, Credentials, Csr, IdentityError, PeerRole, Pin, new_csr, read_private, write_private};
use roundtable_runtime::tls::{Asked, ConnectError, Source, connect, connect_pinned, reach};
use roundtable_shared::error::ErrorCode;
use roundtable_shared::time::WallMs;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, watch};
use tonic::transport::Channel;
use tracing::{info, warn};

use crate::error::JoinError;
use crate::options::JoinOptions;

pub use crate::options::Entry;

/// A coordinator that is not there yet when a worker first comes in is waited for this long: it may be starting.
const FIRST_CONTACT: Duration = Duration::from_secs(10);
/// Pause between two tries.
const TRY_AGAIN: Duration = Duration::from_millis(250);
/// Longest wait for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// How often the certificate's age is looked at while the worker works.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Clocks further apart than this are named.
const CLOCKS_APART_MAX_MS: u64 = 5 * 60_000;

/// The certificate as the workspace keeps it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Kept {
    #[serde(flatten)]
    credentials: Credentials,
    /// Where it came in by a token or a key; absent if it was made through `client.json`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    coordinator: Option<String>,
}

/// A key that was made and whose certificate has not arrived: the same one asks again, so that a lost reply burns no token.
#[derive(Serialize, Deserialize)]
struct KeyFile {
    key_pem: String,
    /// Of a key that all workers of the data directory could show: the workspace of the one that does. A second would be given the same name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    workspace: Option<PathBuf>,
}

/// The identity of a worker at work.
pub(crate) struct Identity {
    options: JoinOptions,
    path: PathBuf,
    /// The id in its certificate.
    pub name: String,
    kept: Mutex<Kept>,
    /// What is kept, for whoever must not wait while it is renewed.
    shown: watch::Sender<Credentials>,
    /// The part of its life after which a certificate is renewed, in thousandths: not the same for all, so that a fleet does not come at once.
    renewed_at: u16,
    /// What was last said of a renewal that failed: not said again while it is the same.
    said: std::sync::Mutex<String>,
}

impl Identity {
    /// The identity in the workspace, or a new one. `name` is what the worker would like to be called.
    pub(crate) async fn find(options: &JoinOptions, name: &str, workspace: &Path) -> Result<Self, JoinError> {
        let path = identity_path(workspace);
        let kept = find(options, name, workspace, &path).await?;
        let name = kept.credentials.peer()?.id;
        let renewed_at = 400 + u16::try_from(getrandom::u32().unwrap_or(100) % 201).unwrap_or(100);
        if options.name.as_ref().is_some_and(|wanted| *wanted != name) {
            warn!(name, "the identity in this workspace bears another name than --name says, and goes before it");
        }
        let shown = watch::Sender::new(kept.credentials.clone());
        Ok(Self { options: options.clone(), path, name, kept: Mutex::new(kept), shown, renewed_at, said: std::sync::Mutex::default() })
    }

    /// Where it came in, if it did so by itself.
    pub(crate) async fn coordinator(&self) -> Option<String> {
        self.kept.lock().await.coordinator.clone()
    }

    /// What to show now: young if that can be had, good in any case.
    pub(crate) async fn credentials(&self) -> Result<Credentials, JoinError> {
        let mut kept = self.kept.lock().await;
        let now = SystemClock.wall();
        if kept.credentials.is_past(self.renewed_at, now).unwrap_or(true) {
            match renewed(&self.options, &kept, &self.path).await {
                Ok(younger) => {
                    *kept = younger;
                    self.shown.send_replace(kept.credentials.clone());
                }
                Err(error) if kept.credentials.is_past(1000, now).unwrap_or(true) => return Err(error),
                Err(error) => self.say(&error),
            }
        }
        Ok(kept.credentials.clone())
    }

    /// Gives a channel what is kept whenever it dials, without going anywhere for it.
    pub(crate) fn source(&self) -> Source {
        let shown = self.shown.subscribe();
        Arc::new(move || -> Asked {
            let credentials = shown.borrow().clone();
            Box::pin(async move { Some(credentials) })
        })
    }

    /// Returns once there is a younger certificate than when this began.
    pub(crate) async fn outlived(&self) {
        // Whoever sends lives as long as this.
        let _ = self.shown.subscribe().changed().await;
    }

    /// Renews the certificate while the worker works; what runs is not disturbed. Never ends.
    pub(crate) async fn look_after(&self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if let Err(error) = self.credentials().await {
                self.say(&error);
            }
        }
    }

    fn say(&self, error: &JoinError) {
        let text = error.to_string();
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if *said != text {
            warn!(%error, "this worker's certificate could not be renewed; it is tried again");
            *said = text;
        }
    }
}

async fn find(options: &JoinOptions, name: &str, workspace: &Path, path: &Path) -> Result<Kept, JoinError> {
    let now = SystemClock.wall();
    let kept: Option<Kept> = read_private(path)?;
    // One that has ended for good is none; nor, made through `client.json`, one of another name.
    let kept = kept.filter(|kept| !kept.credentials.is_past_renewal(now).unwrap_or(true));
    let kept = kept.filter(|kept| kept.coordinator.is_some() || kept.credentials.peer().is_ok_and(|peer| peer.id == name));
    let client = ClientFile::read(&options.data_dir)?;
    let known = client.as_ref().map(|client| client.address.clone());
    match (kept, &options.entry, client) {
        (Some(kept), entry, _) if kept.coordinator.is_some() => {
            same_cluster(&kept, entry.as_ref(), path)?;
            own(options, kept, name, workspace, path).await
        }
        (None, Some(entry), _) => come_in(options, entry, name, workspace, path, known).await,
        (Some(kept), Some(entry), _) => match same_cluster(&kept, Some(entry), path) {
            Ok(()) => young(options, kept, path).await,
            // It was made for another coordinator of this user: nobody else gave it.
            Err(_) => come_in(options, entry, name, workspace, path, known).await,
        },
        (Some(kept), None, Some(client)) if kept.credentials.ca_pem != client.credentials.ca_pem => {
            enrol_anew(options, name, client, path).await
        }
        (Some(kept), None, _) => young(options, kept, path).await,
        (None, None, Some(client)) => enrol_anew(options, name, client, path).await,
        (None, None, None) => Err(no_credentials(options, path).await),
    }
}

/// An identity that was won by a token or a key. It goes before another token, unless it was lent and has ended since: then the token is for that.
async fn own(options: &JoinOptions, kept: Kept, name: &str, workspace: &Path, path: &Path) -> Result<Kept, JoinError> {
    let found = match &options.entry {
        None => young(options, kept, path).await,
        Some(entry) => match renewed(options, &kept, path).await {
            Err(JoinError::Ended(why)) => {
                info!(why, "coming in anew");
                come_in(options, entry, name, workspace, path, kept.coordinator).await
            }
            Err(JoinError::Unreachable(_)) => Ok(kept),
            done => done,
        },
    };
    found.map_err(|error| match error {
        JoinError::Refused(why) => {
            JoinError::Refused(format!("{why}\n  remove {} once you have a new token: what it holds goes before one", path.display()))
        }
        error => error,
    })
}

/// The kept certificate, renewed if it is half over.
async fn young(options: &JoinOptions, kept: Kept, path: &Path) -> Result<Kept, JoinError> {
    let now = SystemClock.wall();
    if !kept.credentials.is_past_half(now)? {
        return Ok(kept);
    }
    match renewed(options, &kept, path).await {
        Ok(younger) => Ok(younger),
        // The link finds out whether the coordinator is there, and says what is in the way.
        Err(error @ (JoinError::Refused(_) | JoinError::Ended(_))) => Err(error),
        Err(error) => {
            warn!(%error, "this worker's certificate could not be renewed; it is tried again");
            Ok(kept)
        }
    }
}

/// A stored identity goes before a token, unless that is for another cluster: then somebody is mistaken.
fn same_cluster(kept: &Kept, entry: Option<&Entry>, path: &Path) -> Result<(), JoinError> {
    let pins = match entry {
        None => return Ok(()),
        Some(Entry::Token(token)) => token.pins.as_slice(),
        Some(Entry::Key(pin)) => std::slice::from_ref(pin),
    };
    if kept.credentials.authorities()?.iter().any(|known| pins.contains(known)) {
        return Ok(());
    }
    Err(JoinError::Refused(format!(
        "the token is for another cluster than the identity of this workspace ({})\n  use a --workspace of its own for each cluster; or, if the coordinator has begun a new cluster, remove that file and join again",
        path.display()
    )))
}

/// Comes in for the first time: the key is made and kept, the authority looked at, then secret and request are sent.
async fn come_in(
    options: &JoinOptions,
    entry: &Entry,
    name: &str,
    workspace: &Path,
    path: &Path,
    known: Option<String>,
) -> Result<Kept, JoinError> {
    let Some(address) = options.coordinator.clone().or(known) else {
        return Err(JoinError::Usage("a token does not say where its coordinator is; name it: worker join https://HOST:PORT".to_owned()));
    };
    let waiting = workspace.join("joining.json");
    let (csr, pins, (token, secret)) = match entry {
        Entry::Token(token) => (kept_key(&waiting)?, token.pins.clone(), (token.id.clone(), token.secret().to_owned())),
        Entry::Key(pin) => (made_key(&options.data_dir, workspace)?, vec![pin.clone()], (String::new(), String::new())),
    };
    let request = v1::JoinRequest {
        token,
        secret,
        csr_pem: csr.request_pem,
        name: name.to_owned(),
        exact_name: options.name.is_some(),
        now_ms: SystemClock.wall().0,
        worker: true,
    };
    let reply = ask_to_join(&address, &pins, &request).await?;
    let credentials = Credentials { ca_pem: reply.ca_pem, certificate_pem: reply.certificate_pem, key_pem: csr.key_pem };
    let peer = credentials.peer()?;
    if peer.role != PeerRole::Worker {
        return Err(JoinError::Refused(format!(
            "the coordinator at {address} gave a certificate for the role {}, not for a worker",
            peer.role
        )));
    }
    let kept = Kept { credentials, coordinator: Some(address) };
    write_private(path, &kept)?;
    // The identity is safe; a key that is left over would only be shown once more.
    let _ = std::fs::remove_file(&waiting);
    info!(worker = %peer.id, "came in");
    Ok(kept)
}

async fn ask_to_join(address: &str, pins: &[Pin], request: &v1::JoinRequest) -> Result<v1::JoinReply, JoinError> {
    let deadline = tokio::time::Instant::now() + FIRST_CONTACT;
    loop {
        let asked = match connect_pinned(address, pins).await {
            Ok(channel) => {
                let mut request = tonic::Request::new(request.clone());
                request.set_timeout(ANSWER_WITHIN);
                AdmissionClient::new(channel).join(request).await.map_err(|status| refusal(&status))
            }
            Err(error) => Err(connect_error(error)),
        };
        match asked {
            Ok(reply) => return Ok(reply.into_inner()),
            Err(JoinError::Unreachable(_)) if tokio::time::Instant::now() + TRY_AGAIN < deadline => tokio::time::sleep(TRY_AGAIN).await,
            Err(error) => return Err(error),
        }
    }
}

/// The key of a join that was begun, or a new one, which is kept before it is shown to anybody.
fn kept_key(path: &Path) -> Result<Csr, JoinError> {
    if let Some(KeyFile { key_pem, .. }) = read_private(path)? {
        return Ok(Csr::of_key(&key_pem)?);
    }
    let csr = new_csr()?;
    write_private(path, &KeyFile { key_pem: csr.key_pem.clone(), workspace: None })?;
    Ok(csr)
}

/// The key `worker keygen` made: for this workspace, else the one of the data directory, which is one worker's.
fn made_key(data_dir: &Path, workspace: &Path) -> Result<Csr, JoinError> {
    if let Some(KeyFile { key_pem, .. }) = read_private(&key_path(workspace))? {
        return Ok(Csr::of_key(&key_pem)?);
    }
    let path = key_path(data_dir);
    let Some(KeyFile { key_pem, workspace: shown_by }) = read_private(&path)? else {
        return Err(JoinError::Usage(format!(
            "--pin goes with a key, and {} does not exist; make one with `worker keygen`",
            path.display()
        )));
    };
    let own = std::path::absolute(workspace).map_err(|source| JoinError::Io { path: workspace.to_owned(), source })?;
    match shown_by.filter(|other| *other != own && identity_path(other).exists()) {
        Some(other) => Err(JoinError::Usage(format!(
            "the key in {} is that of the worker in {}, and a second one would be taken for it; make a key for this one: `worker keygen --workspace {}`, \
             and have it admitted too",
            path.display(),
            other.display(),
            own.display()
        ))),
        None => {
            write_private(&path, &KeyFile { key_pem: key_pem.clone(), workspace: Some(own) })?;
            Ok(Csr::of_key(&key_pem)?)
        }
    }
}

/// Makes the key by which a worker is admitted without a secret, unless it is there; its fingerprint. `folder` is the data directory, or the workspace of a
/// worker that is not the only one of its host.
pub fn keygen(folder: &Path) -> Result<String, IdentityError> {
    roundtable_runtime::fsx::create_private_dir(folder).map_err(|source| IdentityError::Io { path: folder.to_owned(), source })?;
    let path = key_path(folder);
    if let Some(KeyFile { key_pem, .. }) = read_private(&path)? {
        return Ok(Csr::of_key(&key_pem)?.fingerprint);
    }
    let csr = new_csr()?;
    write_private(&path, &KeyFile { key_pem: csr.key_pem, workspace: None })?;
    Ok(csr.fingerprint)
}

fn key_path(folder: &Path) -> PathBuf {
    folder.join("worker-key.json")
}

fn identity_path(workspace: &Path) -> PathBuf {
    workspace.join("identity.json")
}

/// A younger certificate for a new key: of whoever gave the present one.
async fn renewed(options: &JoinOptions, kept: &Kept, path: &Path) -> Result<Kept, JoinError> {
    let client = ClientFile::read(&options.data_dir)?;
    let name = kept.credentials.peer()?.id;
    if kept.coordinator.is_none()
        && let Some(client) = &client
    {
        return enrol(options, &name, client, path).await;
    }
    let address = options.coordinator.clone().or_else(|| kept.coordinator.clone()).or_else(|| client.map(|client| client.address));
    let address = address.ok_or_else(|| JoinError::Unreachable("no coordinator of this user is running".to_owned()))?;
    let channel = connect(&address, &kept.credentials).await.map_err(connect_error)?;
    let csr = new_csr()?;
    let mut request = tonic::Request::new(v1::RenewRequest { csr_pem: csr.request_pem });
    request.set_timeout(ANSWER_WITHIN);
    let reply = AdmissionClient::new(channel).renew(request).await.map_err(|status| refusal(&status))?.into_inner();
    name_clocks(WallMs(reply.now_ms), SystemClock.wall());
    let credentials = Credentials { ca_pem: reply.ca_pem, certificate_pem: reply.certificate_pem, key_pem: csr.key_pem };
    if credentials.peer()?.id != name {
        return Err(JoinError::Refused(format!("the coordinator at {address} renewed the certificate of {name} for another name")));
    }
    let younger = Kept { credentials, coordinator: kept.coordinator.clone() };
    write_private(path, &younger)?;
    info!("this worker's certificate was renewed");
    Ok(younger)
}

/// Says so where the clocks of the two hosts are far apart: nothing fails yet, and everything that is judged by the time of day is about to.
fn name_clocks(theirs: WallMs, ours: WallMs) {
    let apart = ours.since(theirs).max(theirs.since(ours));
    if apart > CLOCKS_APART_MAX_MS {
        warn!(here = ours.rfc3339(), coordinator = theirs.rfc3339(), "the clocks are more than 5 minutes apart; set the one that is wrong");
    }
}

/// A certificate through `client.json`.
async fn enrol(options: &JoinOptions, name: &str, client: &ClientFile, path: &Path) -> Result<Kept, JoinError> {
    let channel = connect(&address_of(options, client), &client.credentials).await.map_err(connect_error)?;
    enrol_over(channel, name, path).await
}

/// The same for a worker that has none to go on with. A coordinator that ends while it is asked may be back in a moment, under another address; one that was
/// not there to begin with is said to be away at once.
async fn enrol_anew(options: &JoinOptions, name: &str, mut client: ClientFile, path: &Path) -> Result<Kept, JoinError> {
    let deadline = tokio::time::Instant::now() + FIRST_CONTACT;
    let mut was_there = false;
    loop {
        let done = match connect(&address_of(options, &client), &client.credentials).await {
            Ok(channel) => {
                was_there = true;
                enrol_over(channel, name, path).await
            }
            Err(error) => Err(connect_error(error)),
        };
        let is_again = was_there && tokio::time::Instant::now() + TRY_AGAIN < deadline;
        match done {
            Err(JoinError::Unreachable(_)) if is_again => tokio::time::sleep(TRY_AGAIN).await,
            done => return done,
        }
        client = ClientFile::read(&options.data_dir)?.unwrap_or(client);
    }
}

fn address_of(options: &JoinOptions, client: &ClientFile) -> String {
    options.coordinator.clone().unwrap_or_else(|| client.address.clone())
}

async fn enrol_over(channel: Channel, name: &str, path: &Path) -> Result<Kept, JoinError> {
    let csr = new_csr()?;
    let request = v1::EnrolWorkerRequest { name: name.to_owned(), csr_pem: csr.request_pem.clone() };
    let reply = ControlClient::new(channel).enrol_worker(request).await.map_err(|status| refusal(&status))?.into_inner();
    let credentials = Credentials { ca_pem: reply.ca_pem, certificate_pem: reply.certificate_pem, key_pem: csr.key_pem };
    let kept = Kept { credentials, coordinator: None };
    write_private(path, &kept)?;
    Ok(kept)
}

fn refusal(status: &tonic::Status) -> JoinError {
    match code_of(status) {
        // A full disk there, or a word to wait, is no last word: it is tried again, also by whoever keeps this worker running.
        ErrorCode::Unreachable | ErrorCode::Exhausted => JoinError::Unreachable(message_of(status)),
        ErrorCode::Stale => JoinError::Ended(message_of(status)),
        // Not its word: it ended in the middle, or the link did.
        ErrorCode::Internal if told_code_of(status).is_none() => {
            JoinError::Unreachable(format!("the connection to the coordinator broke: {}", message_of(status)))
        }
        _ => JoinError::Refused(message_of(status)),
    }
}

fn connect_error(error: ConnectError) -> JoinError {
    match error {
        ConnectError::NotTrusted { .. } | ConnectError::WrongAuthority { .. } | ConnectError::ClocksApart { .. } => {
            JoinError::Refused(error.to_string())
        }
        ConnectError::BadAddress { .. } => JoinError::Usage(error.to_string()),
        _ => JoinError::Unreachable(error.to_string()),
    }
}

/// Why there is nothing to show to a coordinator. Whether the one that was named is there comes first.
async fn no_credentials(options: &JoinOptions, path: &Path) -> JoinError {
    let file = ClientFile::path(&options.data_dir);
    let Some(address) = &options.coordinator else {
        return JoinError::Unreachable(format!(
            "there is no coordinator of this user: {} does not exist\n  start one with `coordinator serve`, or name its data directory with --data-dir",
            file.display()
        ));
    };
    if let Err(error) = reach(address).await {
        return connect_error(error);
    }
    let lacks = if path.exists() { "what the workspace holds has ended" } else { "the workspace holds none" };
    JoinError::Refused(format!(
        "there are no credentials for the coordinator at {address}: {} does not exist, and {lacks}\n  \
         on its host: `coordinator token create --role worker` prints the line to join by\n  \
         or join as the coordinator's own user, on its host, with its data directory: --data-dir DIR",
        file.display()
    ))
}

#[cfg(test)]
mod tests;
