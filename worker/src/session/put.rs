//! What attempts make goes out: their commits at the end, and what running ones have done so far.

use roundtable_proto::convert::told_code_of;
use roundtable_proto::v1;
use roundtable_proto::v1::fleet_client::FleetClient;
use roundtable_shared::CommitId;
use roundtable_shared::error::ErrorCode;
use roundtable_shared::limits::CHUNK_BYTES_MAX;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic::transport::Channel;
use tracing::warn;

use super::large::{LargePack, Made};
use super::{Pieces, Runner, RunnerError};
use crate::spool::AttemptSpool;

/// Frames that wait for the link.
const FRAMES_MAX: usize = 8;

/// Sends an attempt's commit. A large pack is kept in `large` from one try to the next, so that it goes on where the link was cut.
pub(super) async fn put_pack(
    client: &FleetClient<Channel>,
    runner: &impl Runner,
    spool: &AttemptSpool,
    commit: &CommitId,
    large: &mut Option<LargePack>,
) -> Result<(), PutError> {
    let lease = spool.lease();
    let header = v1::PutPackHeader { lease: Some((&lease.lease).into()), commit: commit.to_string(), ..Default::default() };
    send(client, runner, spool, Sending { header, haves: std::slice::from_ref(&lease.start), is_end: true }, large).await.map(drop)
}

/// What is sent.
struct Sending<'a> {
    header: v1::PutPackHeader,
    /// What the coordinator has.
    haves: &'a [CommitId],
    /// An attempt's end, and not what it has done so far.
    is_end: bool,
}

/// Sends it; how many bytes went over this link.
async fn send(
    client: &FleetClient<Channel>,
    runner: &impl Runner,
    spool: &AttemptSpool,
    Sending { mut header, haves, is_end }: Sending<'_>,
    large: &mut Option<LargePack>,
) -> Result<u64, PutError> {
    let lease = spool.lease();
    let commit = &CommitId::new(header.commit.as_str());
    let mut pieces = None;
    if large.is_none() {
        let made = runner.pack(&lease.repository, commit, haves).await.map_err(PutError::Runner)?;
        match LargePack::unless_small(made, spool.dir()).await.map_err(PutError::Runner)? {
            Made::Small(small) => pieces = Some(small),
            Made::Large(pack) => *large = Some(pack),
            Made::Unkept(error) => {
                warn!(lease = %lease.lease.key, %error, "a large pack cannot be kept here; it is sent in one go");
                pieces = Some(runner.pack(&lease.repository, commit, haves).await.map_err(PutError::Runner)?);
            }
        }
    }
    let mut client = client.clone();
    let pieces = match (pieces, large.as_ref()) {
        (Some(pieces), _) => pieces,
        (None, Some(pack)) => {
            let asked = v1::PackReceivedRequest { lease: header.lease.clone(), digest: pack.digest.clone() };
            match client.pack_received(asked).await {
                Ok(received) => {
                    header.offset = received.into_inner().bytes.min(pack.bytes);
                    (header.digest, header.bytes) = (pack.digest.clone(), pack.bytes);
                }
                // One of an older release takes it in one go.
                Err(status) if status.code() == Code::Unimplemented => {}
                Err(status) => return Err(PutError::Status(status)),
            }
            pack.pieces(header.offset)
        }
        (None, None) => return Err(PutError::Runner(RunnerError("a pack is neither small nor large".to_owned()))),
    };
    let (frames, stream) = mpsc::channel(FRAMES_MAX);
    let stream = ReceiverStream::new(stream);
    let put = match is_end {
        true => put(client.put_pack(stream), header, pieces, frames).await,
        false => put(client.save_work(stream), header, pieces, frames).await,
    };
    if let Err(PutError::Status(status)) = &put
        && told_code_of(status) == Some(ErrorCode::Conflict)
    {
        // What came there is not what lies here.
        *large = None;
    }
    put
}

/// Sends what an attempt has done so far, to a coordinator that has `before` of it; how many bytes that took. A large pack is kept in `large` as that of an
/// attempt's commit is.
pub(super) async fn save_work(
    client: &FleetClient<Channel>,
    runner: &impl Runner,
    spool: &AttemptSpool,
    (commit, done): (&CommitId, Vec<String>),
    before: Option<&CommitId>,
    large: &mut Option<LargePack>,
) -> Result<u64, PutError> {
    let lease = spool.lease();
    let haves: Vec<CommitId> = before.into_iter().chain([&lease.start]).cloned().collect();
    let header = v1::PutPackHeader { lease: Some((&lease.lease).into()), commit: commit.to_string(), done, ..Default::default() };
    send(client, runner, spool, Sending { header, haves: &haves, is_end: false }, large).await
}

/// Sends the header and the pieces while the call is being answered; how many bytes these have.
async fn put(
    call: impl Future<Output = Result<tonic::Response<v1::PutPackReply>, tonic::Status>>,
    header: v1::PutPackHeader,
    mut pieces: Pieces,
    frames: mpsc::Sender<v1::PutPackFrame>,
) -> Result<u64, PutError> {
    let send = async move {
        let mut bytes = 0;
        let header = v1::PutPackFrame { frame: Some(v1::put_pack_frame::Frame::Header(header)) };
        if frames.send(header).await.is_err() {
            return Ok(bytes);
        }
        while let Some(piece) = pieces.recv().await {
            for part in piece?.chunks(CHUNK_BYTES_MAX) {
                bytes += part.len() as u64;
                let chunk = v1::Chunk { data: part.to_vec(), pack: String::new() };
                let frame = v1::PutPackFrame { frame: Some(v1::put_pack_frame::Frame::Chunk(chunk)) };
                if frames.send(frame).await.is_err() {
                    return Ok(bytes);
                }
            }
        }
        Ok(bytes)
    };
    let (sent, put): (Result<u64, RunnerError>, _) = tokio::join!(send, call);
    // Where our side stopped in the middle, what the other says of the rest is no word on the whole.
    let bytes = sent.map_err(PutError::Runner)?;
    put.map_err(PutError::Status)?;
    Ok(bytes)
}

/// Why a commit could not be sent.
#[derive(Debug)]
pub(super) enum PutError {
    /// Our side.
    Runner(RunnerError),
    /// The coordinator, or the way to it.
    Status(tonic::Status),
}
