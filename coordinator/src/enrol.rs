//! Acts about who may come in, from the command line of the coordinator's own user: asked of whoever serves the data directory, else done on it.

use std::path::Path;
use std::time::Duration;

use roundtable_proto::convert::{code_of, message_of};
use roundtable_proto::v1;
use roundtable_proto::v1::admission_client::AdmissionClient;
use roundtable_runtime::identity::{ClientFile, IdentityError};
use roundtable_runtime::lock::{DirLock, LockError};
use roundtable_runtime::tls::{ConnectError, connect};
use roundtable_shared::error::ErrorCode;
use roundtable_shared::view::{AccessReply, AccessRequest};
use roundtable_store::AuditError;
use tonic::transport::Channel;

use crate::admission::AdmissionError;
use crate::audit::{Act, Caller, access_words};
use crate::parts::Parts;
use crate::renewal::own_name;
use crate::serve::{self, ServeError, ServeOptions};

/// How long another holder is waited for: one that starts, or ends.
const LOCK_WITHIN: Duration = Duration::from_secs(10);
/// Longest wait for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnrolError {
    /// `client.json` cannot be read.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The coordinator that serves does not trust it.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Another process holds the data directory and does not answer.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// It could not be served for the moment of the act.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// It was refused.
    #[error(transparent)]
    Refused(#[from] AdmissionError),
    /// It could not be recorded, and was not done.
    #[error("nothing was done, because it could not be recorded: {0}")]
    Unrecorded(#[from] AuditError),
    /// The coordinator that serves refused it.
    #[error("{text}")]
    Told {
        /// Its code.
        code: ErrorCode,
        /// Its words.
        text: String,
    },
    /// A bug, or another release.
    #[error("the coordinator's answer cannot be understood: {0}; are both of the same release?")]
    Answer(#[from] serde_json::Error),
}

/// Asks, or does it.
pub async fn ask(data_dir: &Path, request: AccessRequest, command: &str) -> Result<AccessReply, EnrolError> {
    if let Some(channel) = alive(data_dir).await? {
        return told(channel, &request).await;
    }
    // Taken and given back at once: it only waits; the server takes its own.
    drop(DirLock::acquire_within(data_dir, command, LOCK_WITHIN).await?);
    let running = serve::start(ServeOptions::embedded(data_dir, command)).await?;
    let done = manage_here(&running.parts, request, &own_name()).await;
    // What was done is durable, and a token is told this once.
    if let Err(error) = running.stop().await {
        tracing::warn!(%error, "the data directory was not left in order; the next start sees to that");
    }
    done
}

/// Does it as whoever has the data directory in hand; recorded as what others do.
pub async fn manage_here(parts: &Parts, request: AccessRequest, by: &str) -> Result<AccessReply, EnrolError> {
    let Some(did) = access_words(&request) else { return Ok(parts.admissions.manage(request, by.to_owned()).await?) };
    let (caller, act) = (Caller::local(by), Act { method: "Admission/Manage", run: None, did });
    let number = parts.audit.command(&caller, &act).await?;
    let done = parts.admissions.manage(request, by.to_owned()).await;
    if let Err(error) = &done {
        parts.audit.refused(&caller, &act, number, error.code(), &error.to_string()).await;
    }
    Ok(done?)
}

/// The coordinator that serves the data directory, if one answers.
async fn alive(data_dir: &Path) -> Result<Option<Channel>, EnrolError> {
    let Some(file) = ClientFile::read(data_dir)?.filter(ClientFile::process_runs) else { return Ok(None) };
    match connect(&file.address, &file.credentials).await {
        Ok(channel) => Ok(Some(channel)),
        // It is starting or ending; who holds the lock is named where that lasts.
        Err(ConnectError::Unreachable { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn told(channel: Channel, request: &AccessRequest) -> Result<AccessReply, EnrolError> {
    let mut request = tonic::Request::new(v1::ManageRequest { request: serde_json::to_string(request)? });
    request.set_timeout(ANSWER_WITHIN);
    let reply = AdmissionClient::new(channel).manage(request).await;
    let reply = reply.map_err(|status| EnrolError::Told { code: code_of(&status), text: message_of(&status) })?;
    Ok(serde_json::from_str(&reply.into_inner().reply)?)
}

impl EnrolError {
    /// The code this maps to at every edge.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Refused(error) => error.code(),
            Self::Told { code, .. } => *code,
            Self::Connect(ConnectError::NotTrusted { .. } | ConnectError::ClocksApart { .. }) => ErrorCode::NotAuthorised,
            _ => ErrorCode::Internal,
        }
    }
}
