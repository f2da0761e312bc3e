//! Packs going out that are too large to be made twice. They are kept in files without a name for a while: a link that was cut goes on where it broke,
//! workers that want the same get the same pack, and git has long ended when a slow link still reads.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use roundtable_runtime::git::{GitError, Oid, PackRequest, PackStats};
use roundtable_shared::CommitId;
use roundtable_shared::limits::CHUNK_BYTES_MAX;
use tokio::io::{AsyncReadExt, DuplexStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::transfer::PIECES_MAX;
use super::{PackStream, Repository, RepositoryError};

/// A pack that is no larger is sent from memory, bytes. It is made anew if it is wanted again.
const SMALL_BYTES: usize = 1 << 20;
/// Largest pack that is kept, and all together that take room, also while they grow or are only read to their end, bytes.
const KEPT_BYTES_MAX: u64 = 4 << 30;
/// Packs that are kept.
const KEPT_MAX: usize = 64;
/// How long one is kept after it was last read.
const KEPT_FOR: Duration = Duration::from_secs(600);

/// A transfer that was cut.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cut {
    /// The pack's name.
    pub pack: String,
    /// Bytes of it that have come.
    pub offset: u64,
}

/// A pack going out.
pub struct Sent {
    /// The name by which its rest can be asked for; empty if it is not kept.
    pub name: String,
    /// Its pieces.
    pub pieces: PackStream,
}

/// The packs that are kept, of all repositories. Cheap to clone.
#[derive(Clone)]
pub(super) struct Outgoing {
    kept: Arc<Mutex<Vec<Arc<Pack>>>>,
    /// What all files take that there are, bytes.
    taken: Arc<AtomicU64>,
    bytes_max: u64,
}

impl Default for Outgoing {
    fn default() -> Self {
        Self { kept: Arc::default(), taken: Arc::default(), bytes_max: KEPT_BYTES_MAX }
    }
}

/// What a pack is made for.
#[derive(Clone, PartialEq, Eq)]
struct Wanted {
    repository: PathBuf,
    commit: Oid,
    haves: Vec<Oid>,
}

/// A pack in its file, perhaps still growing.
struct Pack {
    name: String,
    wanted: Wanted,
    file: File,
    grown: watch::Sender<Grown>,
    read_at: Mutex<Instant>,
    /// What of the room of all is this one's: the file goes with this, and its room with it.
    reserved: AtomicU64,
    taken: Arc<AtomicU64>,
}

impl Drop for Pack {
    fn drop(&mut self) {
        self.taken.fetch_sub(self.reserved.load(Ordering::SeqCst), Ordering::SeqCst);
    }
}

/// How far it is.
#[derive(Clone, Default)]
struct Grown {
    bytes: u64,
    end: Option<Result<(), String>>,
}

/// What becomes of the git that makes it.
type Packed = JoinHandle<Option<Result<PackStats, GitError>>>;

impl Repository {
    /// A thin pack that brings a peer this commit, as [`Repository::send`] makes it. A large one can be gone on with after a cut.
    pub async fn send_kept(&self, commit: &CommitId, haves: &[CommitId], cut: Option<Cut>) -> Result<Sent, RepositoryError> {
        let commit = Oid::try_from(commit)?;
        let repository = self.git.git_dir().to_owned();
        if let Some(cut) = &cut
            && let Some(kept) =
                self.outgoing.find(|pack| pack.name == cut.pack && pack.wanted.repository == repository && pack.wanted.commit == commit)
        {
            let bytes = kept.grown.borrow().bytes;
            if cut.offset > bytes {
                return Err(RepositoryError::Refused(format!("{} bytes of the pack are said to have come; {bytes} were sent", cut.offset)));
            }
            return Ok(follow(kept, cut.offset));
        }
        let haves = haves.iter().filter_map(|have| Oid::try_from(have).ok()).collect();
        let mut haves = self.present(haves).await?;
        haves.sort();
        haves.dedup();
        let wanted = Wanted { repository, commit, haves };
        match self.outgoing.find(|pack| pack.wanted == wanted && !pack.has_failed()) {
            Some(kept) => Ok(follow(kept, 0)),
            None => self.send_new(wanted).await,
        }
    }

    async fn send_new(&self, wanted: Wanted) -> Result<Sent, RepositoryError> {
        let request = PackRequest { wants: vec![wanted.commit.clone()], haves: wanted.haves.clone(), history_max: None };
        let (mut writer, mut reader) = tokio::io::duplex(CHUNK_BYTES_MAX);
        let git = self.git.clone();
        let packed = crate::tasks::spawn("pack", async move { git.pack_known(&request, &mut writer).await });
        let mut head = Vec::new();
        let beginning = (&mut reader).take(SMALL_BYTES as u64 + 1).read_to_end(&mut head).await;
        beginning.map_err(|source| GitError::Io { verb: "pack-objects", source })?;
        if head.len() <= SMALL_BYTES {
            ended(packed).await?;
            return Ok(Sent { name: String::new(), pieces: pieces_of(head) });
        }
        let pack = match self.outgoing.begin(wanted, &head).await {
            Ok(pack) => pack,
            Err(error) => {
                tracing::warn!(%error, "a pack cannot be kept; it is sent as it is made");
                return Ok(pass_on(head, reader, packed));
            }
        };
        let kept = self.outgoing.keep(&pack);
        if kept.name == pack.name {
            crate::tasks::spawn("pack-kept", self.outgoing.clone().grow(pack, reader, packed));
        }
        // Somebody who wanted the same was faster: ours ends with its reader.
        Ok(follow(kept, 0))
    }
}

impl Outgoing {
    fn find(&self, is_it: impl Fn(&Pack) -> bool) -> Option<Arc<Pack>> {
        self.packs().iter().find(|pack| is_it(pack)).cloned()
    }

    /// Keeps a pack, and gives the one that is kept: another that is for the same, if there is one. What was not read for longest goes for want of room.
    fn keep(&self, pack: &Arc<Pack>) -> Arc<Pack> {
        let mut packs = self.packs();
        if let Some(other) = packs.iter().find(|other| other.wanted == pack.wanted && !other.has_failed()) {
            return Arc::clone(other);
        }
        while packs.len() >= KEPT_MAX {
            let ended = packs.iter().enumerate().filter(|(_, pack)| pack.grown.borrow().end.is_some());
            let Some((oldest, _)) = ended.max_by_key(|(_, pack)| pack.unread_for()) else { break };
            packs.remove(oldest);
        }
        packs.push(Arc::clone(pack));
        Arc::clone(pack)
    }

    /// A new pack with its first bytes.
    async fn begin(&self, wanted: Wanted, head: &[u8]) -> io::Result<Arc<Pack>> {
        let pack = Pack::begin(wanted, Arc::clone(&self.taken)).await?;
        self.append(&pack, head.to_vec()).await?;
        Ok(pack)
    }

    /// Adds to a pack, within the room there is.
    async fn append(&self, pack: &Arc<Pack>, block: Vec<u8>) -> io::Result<()> {
        self.make_room(block.len() as u64)?;
        pack.append(block).await
    }

    /// Reserves room for so much more. What nobody reads goes for it, the longest unread first: only that gives back its room at once.
    fn make_room(&self, more: u64) -> io::Result<()> {
        let mut packs = self.packs();
        while self.taken.load(Ordering::SeqCst).saturating_add(more) > self.bytes_max {
            let idle = packs.iter().enumerate().filter(|(_, pack)| Arc::strong_count(pack) == 1 && pack.grown.borrow().end.is_some());
            let Some((oldest, _)) = idle.max_by_key(|(_, pack)| pack.unread_for()) else {
                let all = self.bytes_max >> 20;
                return Err(io::Error::other(format!("packs on their way to workers take {all} MiB already, and more is not kept")));
            };
            packs.remove(oldest);
        }
        self.taken.fetch_add(more, Ordering::SeqCst);
        Ok(())
    }

    async fn fill(&self, pack: &Arc<Pack>, reader: &mut DuplexStream) -> io::Result<()> {
        loop {
            let mut block = vec![0; CHUNK_BYTES_MAX];
            let count = reader.read(&mut block).await?;
            if count == 0 {
                return Ok(());
            }
            block.truncate(count);
            self.append(pack, block).await?;
        }
    }

    /// Fills a pack, and lets go of it when nobody has read it for a while.
    async fn grow(self, pack: Arc<Pack>, mut reader: DuplexStream, packed: Packed) {
        let filled = self.fill(&pack, &mut reader).await;
        drop(reader);
        let end = match filled {
            Ok(()) => ended(packed).await.map_err(|error| error.to_string()),
            Err(error) => Err(format!("the pack could not be kept: {error}")),
        };
        let is_whole = end.is_ok();
        pack.grown.send_modify(|grown| grown.end = Some(end));
        let name = pack.name.clone();
        // From here on it is the list's, which may let go of it for want of room.
        let kept = Arc::downgrade(&pack);
        drop(pack);
        if is_whole {
            wait_until_unread(&kept).await;
        }
        self.packs().retain(|kept| kept.name != name);
    }

    fn packs(&self) -> MutexGuard<'_, Vec<Arc<Pack>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits until nobody has read a pack for a while, or nobody keeps it.
async fn wait_until_unread(kept: &Weak<Pack>) {
    loop {
        let left = kept.upgrade().map_or(Duration::ZERO, |pack| KEPT_FOR.saturating_sub(pack.unread_for()));
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left).await;
    }
}

impl Pack {
    /// A new one, empty.
    async fn begin(wanted: Wanted, taken: Arc<AtomicU64>) -> io::Result<Arc<Self>> {
        let dir = wanted.repository.clone();
        let file = tokio::task::spawn_blocking(move || tempfile::tempfile_in(dir)).await.map_err(io::Error::other)??;
        let random = || getrandom::u64().map_err(|error| io::Error::other(error.to_string()));
        let name = format!("{:016x}{:016x}", random()?, random()?);
        let (grown, _) = watch::channel(Grown::default());
        Ok(Arc::new(Self { name, wanted, file, grown, read_at: Mutex::new(Instant::now()), reserved: AtomicU64::new(0), taken }))
    }

    /// Adds what there is room for.
    async fn append(self: &Arc<Self>, block: Vec<u8>) -> io::Result<()> {
        let at = self.grown.borrow().bytes;
        let bytes = at + block.len() as u64;
        // Counted from here on, written or not: the file may have it.
        self.reserved.fetch_add(block.len() as u64, Ordering::SeqCst);
        let pack = Arc::clone(self);
        tokio::task::spawn_blocking(move || pack.file.write_all_at(&block, at)).await.map_err(io::Error::other)??;
        self.grown.send_modify(|grown| grown.bytes = bytes);
        Ok(())
    }

    async fn read(self: &Arc<Self>, at: u64, end: u64) -> io::Result<Bytes> {
        *self.read_at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        let count = usize::try_from(end - at).unwrap_or(usize::MAX).min(CHUNK_BYTES_MAX);
        let pack = Arc::clone(self);
        let read = tokio::task::spawn_blocking(move || {
            let mut block = vec![0; count];
            pack.file.read_exact_at(&mut block, at)?;
            Ok::<_, io::Error>(Bytes::from(block))
        });
        read.await.map_err(io::Error::other)?
    }

    fn has_failed(&self) -> bool {
        matches!(self.grown.borrow().end, Some(Err(_)))
    }

    fn unread_for(&self) -> Duration {
        self.read_at.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

/// Sends a pack from there on, also while it grows.
fn follow(pack: Arc<Pack>, offset: u64) -> Sent {
    let (sender, pieces) = mpsc::channel(PIECES_MAX);
    let name = pack.name.clone();
    crate::tasks::spawn("pack-pieces", async move {
        let mut grown = pack.grown.subscribe();
        let mut at = offset;
        loop {
            let now = grown.borrow_and_update().clone();
            while at < now.bytes {
                let piece: Result<Bytes, RepositoryError> =
                    pack.read(at, now.bytes).await.map_err(|source| GitError::Io { verb: "pack-objects", source }.into());
                at += piece.as_ref().map_or(0, |piece| piece.len() as u64);
                let failed = piece.is_err();
                if sender.send(piece).await.is_err() || failed {
                    return;
                }
            }
            match now.end {
                Some(Ok(())) => return,
                Some(Err(what)) => {
                    // The receiver may have gone.
                    let _ = sender.send(Err(GitError::Unexpected { verb: "pack-objects", what }.into())).await;
                    return;
                }
                None => {}
            }
            if grown.changed().await.is_err() {
                return;
            }
        }
    });
    Sent { name, pieces }
}

/// Sends a pack as it is made.
fn pass_on(head: Vec<u8>, mut reader: DuplexStream, packed: Packed) -> Sent {
    let (sender, pieces) = mpsc::channel(PIECES_MAX);
    crate::tasks::spawn("pack-pieces", async move {
        let mut block = head;
        loop {
            let head = Bytes::from(block);
            for at in (0..head.len()).step_by(CHUNK_BYTES_MAX) {
                if sender.send(Ok(head.slice(at..(at + CHUNK_BYTES_MAX).min(head.len())))).await.is_err() {
                    return;
                }
            }
            block = vec![0; CHUNK_BYTES_MAX];
            match reader.read(&mut block).await {
                Ok(0) | Err(_) => break,
                Ok(count) => block.truncate(count),
            }
        }
        if let Err(error) = ended(packed).await {
            // The receiver may have gone.
            let _ = sender.send(Err(error)).await;
        }
    });
    Sent { name: String::new(), pieces }
}

fn pieces_of(pack: Vec<u8>) -> PackStream {
    let (sender, pieces) = mpsc::channel(SMALL_BYTES / CHUNK_BYTES_MAX + 1);
    let pack = Bytes::from(pack);
    for at in (0..pack.len()).step_by(CHUNK_BYTES_MAX) {
        // There is room for all.
        let _ = sender.try_send(Ok(pack.slice(at..(at + CHUNK_BYTES_MAX).min(pack.len()))));
    }
    pieces
}

/// How the making of a pack ended.
async fn ended(packed: Packed) -> Result<(), RepositoryError> {
    match packed.await {
        Ok(Some(made)) => {
            made?;
            Ok(())
        }
        Ok(None) | Err(_) => Err(GitError::Unexpected { verb: "pack-objects", what: "its making broke".to_owned() }.into()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn wanted(dir: &std::path::Path, commit: u32) -> Wanted {
        Wanted { repository: dir.to_owned(), commit: Oid::parse(&format!("{commit:040}")).unwrap(), haves: Vec::new() }
    }

    #[tokio::test]
    async fn all_that_take_room_are_counted_while_they_grow_and_while_they_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let outgoing = Outgoing { bytes_max: 3_000, ..Outgoing::default() };
        let taken = || outgoing.taken.load(Ordering::SeqCst);
        let one = outgoing.begin(wanted(dir.path(), 1), &[1; 1_000]).await.unwrap();
        let two = outgoing.begin(wanted(dir.path(), 2), &[2; 1_000]).await.unwrap();
        outgoing.keep(&one);
        outgoing.keep(&two);
        // Both grow: there is no room that could be made.
        outgoing.append(&one, vec![1; 1_000]).await.unwrap();
        assert!(outgoing.append(&two, vec![2; 1]).await.is_err());
        assert_eq!(taken(), 3_000);
        // It is whole, and read still.
        one.grown.send_modify(|grown| grown.end = Some(Ok(())));
        assert!(outgoing.append(&two, vec![2; 1]).await.is_err());
        drop(one);
        outgoing.append(&two, vec![2; 1]).await.unwrap();
        assert_eq!((taken(), outgoing.packs().len()), (1_001, 1), "what nobody reads has gone");
        drop(two);
        outgoing.packs().clear();
        assert_eq!(taken(), 0);
    }
}
