//! Large packs that come in over more than one link: each is kept in a file until it is whole. Bounded together; what nobody goes on with is removed.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use roundtable_shared::error::ErrorCode;
use roundtable_shared::limits::CHUNK_BYTES_MAX;
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use tokio::sync::Mutex;

use super::Incoming;

/// Packs on their way.
const KEPT_MAX: usize = 256;
/// One that nothing was added to for so long makes room for others.
const IDLE_AFTER: Duration = Duration::from_secs(600);
/// One that nothing was added to for so long is removed.
const KEPT_FOR: Duration = Duration::from_secs(86_400);

/// Whether a pack keeps its room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Claim {
    /// What an attempt left: its run waits for it, so that it takes the room of packs that give way.
    Owed,
    /// What can be sent again at any time: a person's upload, work in progress.
    GivesWay,
}

/// Why a piece of a pack is not taken. Nothing of it is a word on the whole: it comes again.
#[derive(Debug, thiserror::Error)]
pub enum PartialError {
    /// It does not go on where what is here ends.
    #[error("{here} bytes of the pack are here, and what came begins at {offset}; ask again how much is here")]
    Gap {
        /// What is here.
        here: u64,
        /// Where it begins.
        offset: u64,
    },
    /// It ended early.
    #[error("{here} of {bytes} bytes of the pack have come; send the rest")]
    Short {
        /// What is here.
        here: u64,
        /// What it should be.
        bytes: u64,
    },
    /// What came is not what was announced. It is forgotten.
    #[error("the pack that came is not the one that was announced; send it once more")]
    Other,
    /// Too many are on their way.
    #[error("too many large packs are on their way; this one is to come later")]
    Full,
    /// It was removed under its sender.
    #[error("this large pack has made way for what attempts hand in; send it once more")]
    GaveWay,
    /// The disk.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl PartialError {
    /// The code this maps to at every edge.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Gap { .. } | Self::Short { .. } | Self::Other => ErrorCode::Conflict,
            Self::Full | Self::GaveWay | Self::Io(_) => ErrorCode::Exhausted,
        }
    }
}

/// The packs that are on their way. Cheap to clone.
#[derive(Clone)]
pub struct Partials {
    dir: PathBuf,
    /// All that is kept of them, bytes.
    bytes_max: u64,
    /// What each is to become: as much is kept free for it, however little of it has come. Known of those that this process has heard of.
    announced: Arc<Mutex<HashMap<String, Announced>>>,
}

/// What was said of a pack.
#[derive(Clone, Copy)]
struct Announced {
    bytes: u64,
    claim: Claim,
}

/// One of them, being added to.
pub struct Partial {
    path: PathBuf,
    file: File,
    at: u64,
    bytes: u64,
}

impl Partials {
    /// Those in that folder, which need not exist yet.
    pub fn new(dir: PathBuf, bytes_max: u64) -> Self {
        Self { dir, bytes_max, announced: Arc::default() }
    }

    /// How much of a pack is here.
    pub async fn received(&self, name: &str) -> io::Result<u64> {
        match tokio::fs::metadata(self.dir.join(name)).await {
            Ok(facts) => Ok(facts.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Removes what nobody goes on with any more: nothing new need come for that.
    pub async fn tidy(&self) -> io::Result<()> {
        let (dir, bytes_max) = (self.dir.clone(), self.bytes_max);
        let announced = Arc::clone(&self.announced).lock_owned().await;
        let clear = move || if dir.is_dir() { Room::in_folder(&dir, "", 0, &announced, bytes_max)?.clear() } else { Ok(()) };
        tokio::task::spawn_blocking(clear).await.map_err(io::Error::other)?
    }

    /// Goes on with a pack of `bytes` at `offset`. Who adds to it beside this one writes the same.
    pub async fn go_on(&self, name: &str, claim: Claim, offset: u64, bytes: u64) -> Result<Partial, PartialError> {
        let path = self.dir.join(name);
        // One after the other: two that begin at once are not to find the same room.
        let mut announced = Arc::clone(&self.announced).lock_owned().await;
        let here = self.received(name).await?;
        if offset > here {
            return Err(PartialError::Gap { here, offset });
        }
        if here > 0
            && let Some(known) = announced.get_mut(name)
            && known.bytes >= bytes
        {
            // What was saved on the way may be what is left at the end.
            if claim == Claim::Owed {
                known.claim = claim;
            }
            return self.open(&path, offset, bytes).await;
        }
        let (dir, name, bytes_max) = (self.dir.clone(), name.to_owned(), self.bytes_max);
        let made = tokio::task::spawn_blocking(move || {
            let made = make_room(&dir, &name, Announced { bytes, claim }, &mut announced, bytes_max);
            (announced, made)
        });
        // Held until its file is there.
        let (_announced, made) = made.await.map_err(io::Error::other)?;
        made?;
        self.open(&path, offset, bytes).await
    }

    async fn open(&self, path: &Path, offset: u64, bytes: u64) -> Result<Partial, PartialError> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path).await?;
        file.seek(io::SeekFrom::Start(offset)).await?;
        Ok(Partial { path: path.to_owned(), file, at: offset, bytes })
    }
}

impl Partial {
    /// Adds a piece.
    pub async fn push(&mut self, piece: &[u8]) -> Result<(), PartialError> {
        let at = self.at.saturating_add(piece.len() as u64);
        if at > self.bytes {
            self.forget().await;
            return Err(PartialError::Other);
        }
        if self.file.metadata().await?.nlink() == 0 {
            return Err(PartialError::GaveWay);
        }
        self.file.write_all(piece).await?;
        self.at = at;
        Ok(())
    }

    /// That was the last piece: checks that all of it is here, by its digest (blake3, hex).
    pub async fn check(&mut self, digest: &str) -> Result<(), PartialError> {
        self.file.flush().await?;
        let here = self.file.metadata().await?.len();
        if here < self.bytes {
            return Err(PartialError::Short { here, bytes: self.bytes });
        }
        let path = self.path.clone();
        let found = tokio::task::spawn_blocking(move || digest_of(&path)).await.map_err(io::Error::other)?;
        let found = unless_gone(found)?.ok_or(PartialError::GaveWay)?;
        if here > self.bytes || found != digest {
            self.forget().await;
            return Err(PartialError::Other);
        }
        Ok(())
    }

    /// Hands the whole on.
    pub async fn give(&mut self, incoming: &mut Incoming) -> io::Result<()> {
        self.file.seek(io::SeekFrom::Start(0)).await?;
        let mut block = vec![0; CHUNK_BYTES_MAX];
        loop {
            let count = self.file.read(&mut block).await?;
            if count == 0 {
                return Ok(());
            }
            // git may have refused already, and says why when it is asked.
            let _ = incoming.push(&block[..count]).await;
        }
    }

    /// It is of no use any more.
    pub async fn forget(&self) {
        if let Err(error) = tokio::fs::remove_file(&self.path).await
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(file = %self.path.display(), %error, "a pack that came in pieces could not be removed");
        }
    }
}

/// A pack that is on its way.
struct Kept {
    /// Since something was added to it.
    idle: Duration,
    path: PathBuf,
    /// What it is to become, as far as that is known.
    bytes: u64,
    /// Whether it is known to.
    gives_way: bool,
}

/// What packs take beside one that is to come.
struct Room {
    /// The one that was added to last comes first.
    kept: Vec<Kept>,
    wanted: u64,
    bytes_max: u64,
}

impl Room {
    fn in_folder(dir: &Path, name: &str, wanted: u64, announced: &HashMap<String, Announced>, bytes_max: u64) -> io::Result<Self> {
        let mut kept: Vec<Kept> = Vec::new();
        for entry in std::fs::read_dir(dir)?.flatten() {
            // One that has come whole, or is given up, goes at any time.
            let Some(facts) = unless_gone(entry.metadata())? else { continue };
            let of = entry.file_name().to_string_lossy().into_owned();
            if of == name {
                continue;
            }
            let idle = SystemTime::now().duration_since(facts.modified()?).unwrap_or_default();
            let said = announced.get(&of);
            let bytes = said.map_or(facts.len(), |said| facts.len().max(said.bytes));
            kept.push(Kept { idle, path: entry.path(), bytes, gives_way: said.is_some_and(|said| said.claim == Claim::GivesWay) });
        }
        kept.sort_by_key(|one| one.idle);
        Ok(Self { kept, wanted, bytes_max })
    }

    fn is_full(&self) -> bool {
        self.is_full_of(|_| true)
    }

    /// Whether those alone would leave no room.
    fn is_full_of(&self, counts: impl Fn(&Kept) -> bool) -> bool {
        let those: Vec<u64> = self.kept.iter().filter(|one| counts(one)).map(|one| one.bytes).collect();
        those.iter().sum::<u64>().saturating_add(self.wanted) > self.bytes_max || those.len() >= KEPT_MAX
    }

    /// Removes what nobody goes on with, and for want of room what nobody has gone on with for a while.
    fn clear(&mut self) -> io::Result<()> {
        while let Some(oldest) = self.kept.last()
            && (oldest.idle >= KEPT_FOR || (oldest.idle >= IDLE_AFTER && self.is_full()))
        {
            unless_gone(std::fs::remove_file(&oldest.path))?;
            self.kept.pop();
        }
        Ok(())
    }

    /// Removes as many of those that give way as it takes, unless all of them would not do.
    fn push_out(&mut self) -> io::Result<()> {
        if self.is_full_of(|one| !one.gives_way) {
            return Ok(());
        }
        while self.is_full()
            && let Some(at) = self.kept.iter().rposition(|one| one.gives_way)
        {
            let gone = self.kept.remove(at);
            unless_gone(std::fs::remove_file(&gone.path))?;
            tracing::info!(bytes = gone.bytes, "a pack that is on its way has made room for what an attempt hands in");
        }
        Ok(())
    }
}

/// Makes room for a pack, and keeps it for that one.
fn make_room(
    dir: &Path,
    name: &str,
    wanted: Announced,
    announced: &mut HashMap<String, Announced>,
    bytes_max: u64,
) -> Result<(), PartialError> {
    std::fs::create_dir_all(dir)?;
    let mut room = Room::in_folder(dir, name, wanted.bytes, announced, bytes_max)?;
    room.clear()?;
    if wanted.claim == Claim::Owed {
        room.push_out()?;
    }
    announced.retain(|name, _| dir.join(name).exists());
    if room.is_full() {
        return Err(PartialError::Full);
    }
    announced.insert(name.to_owned(), wanted);
    Ok(())
}

fn unless_gone<T>(done: io::Result<T>) -> io::Result<Option<T>> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        done => done.map(Some),
    }
}

fn digest_of(path: &Path) -> io::Result<String> {
    use std::io::Read;
    let mut file = std::fs::File::open(path)?;
    let (mut hasher, mut block) = (blake3::Hasher::new(), vec![0; CHUNK_BYTES_MAX]);
    loop {
        let count = file.read(&mut block)?;
        if count == 0 {
            return Ok(hasher.finalize().to_hex().to_string());
        }
        hasher.update(&block[..count]);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const BYTES_MAX: u64 = 16 << 30;

    fn digest(bytes: &[u8]) -> String {
        blake3::hash(bytes).to_hex().to_string()
    }

    #[tokio::test]
    async fn what_came_before_a_cut_is_not_sent_again() {
        let dir = tempfile::tempdir().unwrap();
        let partials = Partials::new(dir.path().join("incoming"), BYTES_MAX);
        assert_eq!(partials.received("a").await.unwrap(), 0);
        let mut first = partials.go_on("a", Claim::Owed, 0, 10).await.unwrap();
        first.push(b"01234").await.unwrap();
        assert!(matches!(first.check(&digest(b"0123456789")).await, Err(PartialError::Short { here: 5, bytes: 10 })));
        drop(first);
        assert_eq!(partials.received("a").await.unwrap(), 5);
        assert!(matches!(partials.go_on("a", Claim::Owed, 6, 10).await, Err(PartialError::Gap { here: 5, offset: 6 })));
        // Some of it comes twice: it is the same.
        let mut second = partials.go_on("a", Claim::Owed, 3, 10).await.unwrap();
        second.push(b"3456789").await.unwrap();
        second.check(&digest(b"0123456789")).await.unwrap();
        second.forget().await;
        assert_eq!(partials.received("a").await.unwrap(), 0);
    }

    #[tokio::test]
    async fn what_is_not_what_was_announced_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let partials = Partials::new(dir.path().to_owned(), BYTES_MAX);
        let mut other = partials.go_on("a", Claim::Owed, 0, 3).await.unwrap();
        other.push(b"xyz").await.unwrap();
        assert!(matches!(other.check(&digest(b"abc")).await, Err(PartialError::Other)));
        assert_eq!(partials.received("a").await.unwrap(), 0);
        let mut longer = partials.go_on("b", Claim::Owed, 0, 3).await.unwrap();
        longer.push(b"ab").await.unwrap();
        assert!(matches!(longer.push(b"cd").await, Err(PartialError::Other)));
        assert_eq!(partials.received("b").await.unwrap(), 0);
    }

    #[tokio::test]
    async fn what_is_given_up_goes_also_where_nothing_new_comes() {
        let home = tempfile::tempdir().unwrap();
        let partials = Partials::new(home.path().join("incoming"), BYTES_MAX);
        partials.tidy().await.unwrap();
        assert!(!home.path().join("incoming").exists(), "nothing is made for it");
        for (name, idle) in [("cut", IDLE_AFTER), ("dead", KEPT_FOR)] {
            let mut part = partials.go_on(name, Claim::Owed, 0, 10).await.unwrap();
            part.push(b"01234").await.unwrap();
            assert!(part.check("").await.is_err());
            let file = std::fs::File::options().write(true).open(home.path().join("incoming").join(name)).unwrap();
            file.set_modified(SystemTime::now() - idle - Duration::from_secs(1)).unwrap();
        }
        partials.tidy().await.unwrap();
        assert_eq!((partials.received("dead").await.unwrap(), partials.received("cut").await.unwrap()), (0, 5));
    }

    #[test]
    fn there_is_room_for_what_moves_and_none_for_what_lies_about() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, bytes: u64, idle: Duration| {
            let file = std::fs::File::create(dir.path().join(name)).unwrap();
            file.set_len(bytes).unwrap();
            file.set_modified(SystemTime::now() - idle).unwrap();
        };
        let left = || {
            let mut names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
            names.sort();
            names
        };
        put("dead", 1, KEPT_FOR + IDLE_AFTER);
        put("idle", BYTES_MAX / 2, IDLE_AFTER * 2);
        put("moves", BYTES_MAX / 2 - 1, Duration::ZERO);
        let mut announced = HashMap::new();
        let mut make_room =
            |wanted: u64| super::make_room(dir.path(), "new", Announced { bytes: wanted, claim: Claim::Owed }, &mut announced, BYTES_MAX);
        make_room(1).unwrap();
        assert_eq!(left(), ["idle", "moves"]);
        make_room(2).unwrap();
        assert_eq!(left(), ["moves"]);
        assert!(matches!(make_room(BYTES_MAX), Err(PartialError::Full)));
        assert_eq!(left(), ["moves"], "what moves is not taken from under its sender");
    }

    #[tokio::test]
    async fn room_is_kept_for_what_was_announced_however_little_of_it_has_come() {
        let dir = tempfile::tempdir().unwrap();
        let partials = Partials::new(dir.path().join("incoming"), 1_000);
        let both = tokio::join!(partials.go_on("a", Claim::Owed, 0, 600), partials.go_on("b", Claim::Owed, 0, 600));
        assert!(matches!(both, (Ok(_), Err(PartialError::Full)) | (Err(PartialError::Full), Ok(_))), "two at once");
        let name = if both.0.is_ok() { "a" } else { "b" };
        let mut one = partials.go_on(name, Claim::Owed, 0, 600).await.unwrap();
        one.push(b"0123").await.unwrap();
        one.file.flush().await.unwrap();
        partials.go_on("c", Claim::Owed, 0, 400).await.unwrap();
        assert!(matches!(partials.go_on("d", Claim::Owed, 0, 1).await, Err(PartialError::Full)));
        // A process that has not heard of any of them yet counts what has come, until it is gone on with.
        let later = Partials::new(dir.path().join("incoming"), 1_000);
        let _on = later.go_on(name, Claim::Owed, 4, 600).await.unwrap();
        assert!(matches!(later.go_on("d", Claim::Owed, 0, 401).await, Err(PartialError::Full)));
        one.forget().await;
        partials.go_on("d", Claim::Owed, 0, 600).await.unwrap();
    }

    #[tokio::test]
    async fn what_attempts_hand_in_takes_the_room_of_what_can_be_sent_again() {
        let dir = tempfile::tempdir().unwrap();
        let partials = Partials::new(dir.path().join("incoming"), 1_000);
        let _owed = partials.go_on("owed", Claim::Owed, 0, 500).await.unwrap();
        let mut upload = partials.go_on("upload", Claim::GivesWay, 0, 300).await.unwrap();
        let mut saved = partials.go_on("saved", Claim::GivesWay, 0, 200).await.unwrap();
        for part in [&mut upload, &mut saved] {
            part.push(b"0123").await.unwrap();
            part.file.flush().await.unwrap();
        }
        assert!(matches!(partials.go_on("another", Claim::GivesWay, 0, 1).await, Err(PartialError::Full)), "not that of their like");
        assert!(matches!(partials.go_on("large", Claim::Owed, 0, 501).await, Err(PartialError::Full)));
        saved.push(b"4").await.expect("nothing goes where that would not do");
        // The attempt ends with what it had saved.
        let _ended = partials.go_on("saved", Claim::Owed, 4, 200).await.unwrap();
        let _other = partials.go_on("other", Claim::Owed, 0, 300).await.unwrap();
        assert!(matches!(upload.push(b"4").await, Err(PartialError::GaveWay)));
        saved.push(b"5").await.expect("it is owed now");
        assert_eq!(partials.received("upload").await.unwrap(), 0);
    }
}
