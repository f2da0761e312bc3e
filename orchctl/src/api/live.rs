//! Calls to a live coordinator, one method each; a watch, which outlasts a connection, is `watching`'s. Conversions of errors are the wire crate's; here they
//! become failures.

use std::error::Error;

use roundtable_proto::convert::{code_of, message_of, told_code_of};
use roundtable_proto::v1;
use roundtable_proto::v1::control_client::ControlClient;
use roundtable_shared::error::ErrorCode;
use roundtable_shared::limits::{BULK_MESSAGE_BYTES_MAX, CHUNK_BYTES_MAX};
use roundtable_shared::view::{Operation, OperationReply, Query, SubmitReply, SubmitRequest};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_stream::StreamExt;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::failure::{Failure, Result};
use crate::intake::{CopyFile, SpecFolder};

/// Largest answer to a question, bytes.
const ANSWER_BYTES_MAX: usize = 1 << 30;

/// A connection, cheap to clone.
#[derive(Clone)]
pub struct Client {
    control: ControlClient<Channel>,
    url: String,
}

impl Client {
    /// Calls go over this channel; `url` is for messages.
    pub fn new(channel: Channel, url: impl Into<String>) -> Self {
        let control =
            ControlClient::new(channel).max_decoding_message_size(BULK_MESSAGE_BYTES_MAX).max_encoding_message_size(BULK_MESSAGE_BYTES_MAX);
        Self { control, url: url.into() }
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Who it is.
    pub async fn info(&self) -> Result<v1::InfoReply> {
        Ok(self.control.clone().info(v1::InfoRequest {}).await.map_err(|status| self.refusal(status))?.into_inner())
    }

    /// One read model as JSON.
    pub async fn query(&self, query: &Query) -> Result<Vec<u8>> {
        let request = v1::QueryRequest { query: to_json(query)? };
        let answer = match self.answer(request.clone()).await {
            // A connection ends with the certificate it has shown, whatever is under way: whether the coordinator is gone, dialling it anew tells.
            Err(status) if is_cut(&status) => self.answer(request).await,
            answer => answer,
        };
        answer.map_err(|status| self.refusal(status))?
    }

    async fn answer(&self, request: v1::QueryRequest) -> std::result::Result<Result<Vec<u8>>, Status> {
        let mut pieces = self.control.clone().query(request).await?.into_inner();
        let mut text = Vec::new();
        while let Some(piece) = pieces.next().await {
            let piece = piece?;
            if text.len() + piece.data.len() > ANSWER_BYTES_MAX {
                return Ok(Err(Failure::failed("the coordinator's answer is larger than 1 GiB")));
            }
            text.extend_from_slice(&piece.data);
        }
        Ok(Ok(text))
    }

    /// An act of a person.
    pub async fn operate(&self, operation: &Operation) -> Result<OperationReply> {
        let request = v1::OperateRequest { operation: to_json(operation)? };
        let reply = self.control.clone().operate(request).await.map_err(|status| self.refusal(status))?;
        from_json(&reply.into_inner().reply)
    }

    /// A submission: the header, then the files in pieces.
    pub async fn submit(&self, request: &SubmitRequest, spec: &SpecFolder, copies: &[CopyFile]) -> Result<SubmitReply> {
        use v1::submit_frame::Frame;
        let mut frames = vec![Frame::Header(v1::SubmitHeader { request: to_json(request)? })];
        for (name, data) in &spec.files {
            frames.extend(pieces(data).map(|data| Frame::SpecFile(v1::SpecFile { name: name.clone(), data })));
        }
        for file in copies {
            frames
                .extend(pieces(&file.data).map(|data| Frame::Attachment(v1::Attached { path: file.path.clone(), mode: file.mode, data })));
        }
        let frames: Vec<v1::SubmitFrame> = frames.into_iter().map(|frame| v1::SubmitFrame { frame: Some(frame) }).collect();
        let reply = self.control.clone().submit(tokio_stream::iter(frames)).await.map_err(|status| self.refusal(status))?;
        from_json(&reply.into_inner().reply)
    }

    /// Asks it to end.
    pub async fn shutdown(&self) -> Result<()> {
        self.control.clone().shutdown(v1::ShutdownRequest {}).await.map_err(|status| self.refusal(status))?;
        Ok(())
    }

    pub(super) fn control(&self) -> ControlClient<Channel> {
        self.control.clone()
    }

    pub(super) fn refusal(&self, status: Status) -> Failure {
        refusal(&self.url, &status)
    }
}

/// A refusal, or a connection that went away, as a failure.
pub fn refusal(url: &str, status: &Status) -> Failure {
    match failure_code(status) {
        ErrorCode::Unreachable => Failure::unreachable(format!("the coordinator at {url} does not answer"))
            .why(message_of(status))
            .next("is it still running? `orchctl doctor` looks for it"),
        ErrorCode::NotAuthorised => {
            Failure::of(ErrorCode::NotAuthorised, format!("the coordinator at {url} refuses: {}", message_of(status)))
                .next("use a profile that may (--profile), or the data dir of its own user on its host (--data-dir)")
        }
        ErrorCode::Internal => {
            Failure::of(ErrorCode::Internal, format!("the coordinator failed: {}", message_of(status))).next("its log says more")
        }
        code => Failure::of(code, message_of(status)),
    }
}

/// A status without a code of ours that carries a transport error is a broken connection, whatever its number.
fn failure_code(status: &Status) -> ErrorCode {
    let broken = status.details().is_empty() && matches!(status.code(), Code::Unknown | Code::Internal) && status.source().is_some();
    if broken { ErrorCode::Unreachable } else { code_of(status) }
}

/// Whether a call was cut off on its way: nobody has said anything.
pub(super) fn is_cut(status: &Status) -> bool {
    told_code_of(status).is_none() && failure_code(status) == ErrorCode::Unreachable
}

/// Pieces of a file; at least one, so that an empty file is one too.
fn pieces(data: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    let empty = data.is_empty().then(Vec::new);
    empty.into_iter().chain(data.chunks(CHUNK_BYTES_MAX).map(<[u8]>::to_vec))
}

fn to_json<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Failure::failed("the request cannot be written as JSON").why(error))
}

fn from_json<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| {
        Failure::failed("the coordinator's answer cannot be read")
            .why(error)
            .next("coordinator and orchctl may be of different versions: compare --version")
    })
}

#[cfg(test)]
mod tests {
    use roundtable_proto::convert::status_of;

    use super::*;
    use crate::exit::Exit;

    #[test]
    fn refusals_keep_their_codes() {
        let exit = |status: Status| refusal("https://h:1", &status).exit();
        assert_eq!(exit(status_of(ErrorCode::InvalidInput, "no such unit")), Exit::Usage);
        assert_eq!(exit(status_of(ErrorCode::NotAuthorised, "viewer")), Exit::NotAuthorised);
        assert_eq!(exit(status_of(ErrorCode::Conflict, "answered")), Exit::Failed);
        assert_eq!(exit(Status::unavailable("tcp connect error")), Exit::Unreachable);
        let broken = Status::from_error(Box::new(std::io::Error::from(std::io::ErrorKind::ConnectionReset)));
        assert_eq!(exit(broken), Exit::Unreachable);
        assert_eq!(exit(status_of(ErrorCode::Internal, "bug")), Exit::Failed);
        let cut = Status::from_error(Box::new(std::io::Error::from(std::io::ErrorKind::ConnectionReset)));
        assert!(is_cut(&cut) && is_cut(&Status::unavailable("tcp connect error")));
        assert!(!is_cut(&status_of(ErrorCode::Unreachable, "come again")) && !is_cut(&Status::internal("bug")));
    }

    #[test]
    fn files_travel_in_pieces_and_empty_ones_too() {
        assert_eq!(pieces(b"").collect::<Vec<_>>(), [Vec::<u8>::new()]);
        let large = vec![7_u8; CHUNK_BYTES_MAX + 1];
        assert_eq!(pieces(&large).map(|piece| piece.len()).collect::<Vec<_>>(), [CHUNK_BYTES_MAX, 1]);
    }
}
