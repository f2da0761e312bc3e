//! What a lease needs before it can run comes in: its start commit and the files under `copy`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use roundtable_proto::convert::{message_of, told_code_of};
use roundtable_proto::v1;
use roundtable_proto::v1::fleet_client::FleetClient;
use roundtable_shared::Lease;
use roundtable_shared::error::ErrorCode;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tonic::transport::Channel;
use tracing::{debug, info};

use super::bulk::Lent;
use super::deliver::{self, Again, Client};
use super::{Attachment, Runner, RunnerError};

/// Pieces that wait for git.
const PIECES_MAX: usize = 8;
/// Cuts in a row without a byte between them, after which a lease is handed back.
const CUTS_MAX: u32 = 20;
/// Times a transfer is begun anew because the coordinator has not kept what was sent.
const ANEW_MAX: u32 = 3;
/// While pieces come, that is said this often.
const SAID_EVERY: Duration = Duration::from_secs(10);
/// Most bytes of files under `copy`; the coordinator keeps no more.
const ATTACHED_BYTES_MAX: usize = 64 << 20;

/// Makes sure that the start commit is in the object cache. A link that is cut is waited for, and what came over it counts. `say` is called now and then
/// while pieces come.
pub(super) async fn start_commit(client: &mut Client, runner: &impl Runner, lease: &Lease, say: impl Fn()) -> Result<(), RunnerError> {
    if runner.has(&lease.repository, &lease.start).await? {
        return Ok(());
    }
    let haves: Vec<String> = runner.haves(&lease.repository).await?.into_iter().map(|have| have.to_string()).collect();
    let mut begun = 0;
    loop {
        begun += 1;
        let (sender, pieces) = mpsc::channel(PIECES_MAX);
        let transfer =
            Transfer { lease, haves: &haves, pack: String::new(), offset: 0, cuts: 0, again: Again::default(), said: Instant::now() };
        let (received, end) = tokio::join!(runner.receive(&lease.repository, &lease.start, pieces), transfer.run(client, sender, &say));
        match end {
            End::Anew if begun < ANEW_MAX => {
                info!(lease = %lease.lease.key, "what was sent before the cut is not kept any more; once more from the start")
            }
            End::Anew | End::Over => return received,
        }
    }
}

/// How sending pieces to git ended.
enum End {
    /// All came, or git or the coordinator wanted no more; the receiver has been told.
    Over,
    /// What comes now is not the rest of what came before.
    Anew,
}

/// A pack on its way, over as many links as it takes.
struct Transfer<'l> {
    lease: &'l Lease,
    haves: &'l [String],
    /// The name of what is coming; empty if it cannot be gone on with.
    pack: String,
    offset: u64,
    cuts: u32,
    again: Again,
    said: Instant,
}

impl Transfer<'_> {
    async fn run(mut self, client: &mut Client, sender: mpsc::Sender<Result<Bytes, RunnerError>>, say: &impl Fn()) -> End {
        loop {
            let Some(link) = deliver::lent(client).await else {
                return over(&sender, "the worker stops".to_owned()).await;
            };
            let before = self.offset;
            let why = match self.over_link(&link, &sender, say).await {
                Ok(end) => return end,
                Err(Broken::Told(why)) => return over(&sender, why).await,
                Err(Broken::Cut(why)) => {
                    link.broke();
                    why
                }
            };
            if self.offset > before {
                (self.cuts, self.again) = (0, Again::default());
            }
            self.cuts += 1;
            if self.cuts > CUTS_MAX {
                return over(&sender, why).await;
            }
            debug!(lease = %self.lease.lease.key, why, bytes = self.offset, "fetching broke; on with the next link");
            self.again.pause(client).await;
            // What has no name cannot be gone on with: git has had its beginning.
            if self.offset > 0 && self.pack.is_empty() {
                over(&sender, why).await;
                return End::Anew;
            }
        }
    }

    /// What comes over one link.
    async fn over_link(&mut self, link: &Lent, sender: &mpsc::Sender<Result<Bytes, RunnerError>>, say: &impl Fn()) -> Result<End, Broken> {
        let request = v1::FetchPackRequest {
            lease: Some((&self.lease.lease).into()),
            haves: self.haves.to_vec(),
            pack: self.pack.clone(),
            offset: self.offset,
        };
        let mut chunks = link.client().fetch_pack(request).await?.into_inner();
        let mut is_first = true;
        while let Some(chunk) = chunks.next().await {
            let v1::Chunk { data, pack } = chunk?;
            if std::mem::take(&mut is_first) {
                if self.offset > 0 && pack != self.pack {
                    // Ends git, which has had the beginning of another.
                    let _ = sender.send(Err(RunnerError("the pack was cut, and is not kept".to_owned()))).await;
                    return Ok(End::Anew);
                }
                self.pack = pack;
            }
            if data.is_empty() {
                continue;
            }
            self.offset += data.len() as u64;
            // git may want no more, and says why itself.
            if sender.send(Ok(Bytes::from(data))).await.is_err() {
                return Ok(End::Over);
            }
            if self.said.elapsed() >= SAID_EVERY {
                self.said = Instant::now();
                say();
            }
        }
        Ok(End::Over)
    }
}

/// Why a link brings no more.
enum Broken {
    /// The coordinator says so.
    Told(String),
    /// It is cut.
    Cut(String),
}

impl From<tonic::Status> for Broken {
    fn from(status: tonic::Status) -> Self {
        match told_code_of(&status) {
            // The certificate that the connection was opened with has ended: another is opened with a younger one.
            None | Some(ErrorCode::NotAuthorised) => Self::Cut(message_of(&status)),
            Some(_) => Self::Told(message_of(&status)),
        }
    }
}

async fn over(sender: &mpsc::Sender<Result<Bytes, RunnerError>>, why: String) -> End {
    // git may have gone.
    let _ = sender.send(Err(RunnerError(why))).await;
    End::Over
}

/// The files under `copy`. They are small: over a link that is cut they come once more from the start.
pub(super) async fn attachments(client: &mut Client, lease: &Lease) -> Result<Vec<Attachment>, RunnerError> {
    if !lease.has_attachments {
        return Ok(Vec::new());
    }
    let (mut cuts, mut again) = (0, Again::default());
    loop {
        let link = deliver::lent(client).await.ok_or_else(|| RunnerError("the worker stops".to_owned()))?;
        let why = match attached(&link.client(), lease).await {
            Ok(files) => return Ok(files),
            Err(Broken::Told(why)) => return Err(RunnerError(why)),
            Err(Broken::Cut(why)) => why,
        };
        link.broke();
        cuts += 1;
        if cuts > CUTS_MAX {
            return Err(RunnerError(why));
        }
        debug!(lease = %lease.lease.key, why, "fetching files under `copy` broke; once more with the next link");
        again.pause(client).await;
    }
}

/// The same over one link.
async fn attached(client: &FleetClient<Channel>, lease: &Lease) -> Result<Vec<Attachment>, Broken> {
    let request = v1::LeaseRef::from(&lease.lease);
    let mut pieces = client.clone().fetch_attachments(request).await?.into_inner();
    let mut files: BTreeMap<String, Attachment> = BTreeMap::new();
    let mut bytes = 0;
    while let Some(piece) = pieces.next().await {
        let mut piece = piece?;
        bytes += piece.data.len();
        if bytes > ATTACHED_BYTES_MAX {
            return Err(Broken::Told("the files under `copy` are larger than 64 MiB together".to_owned()));
        }
        let file = files.entry(piece.path.clone());
        let file = file.or_insert_with(|| Attachment { path: piece.path.into(), mode: piece.mode, data: Vec::new() });
        file.data.append(&mut piece.data);
    }
    Ok(files.into_values().collect())
}
