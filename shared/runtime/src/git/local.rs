//! What a checkout holds that nothing else does: its files compared with commits, and moving forward over those that commits have too.
//!
//! Not here: which commits count, and what is said when a file would be lost; that is `accept.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::index::copy_index;
use super::scan::{octal_of, oid_of, records, text_of};
use super::user::path_line;
use super::{AcceptError, EntryMode, Git, GitError, Oid, TreeEdit, UserRepository};

/// Paths told to one command.
const PATHS_AT_ONCE: usize = 500;

/// Mode and object of a file.
type Entry = (EntryMode, Oid);
/// The files that are there.
type Entries = BTreeMap<String, Entry>;

/// A copy of a checkout's index, to work on beside it.
pub(super) struct ScratchIndex {
    pub(super) git: Git,
    file: PathBuf,
    _folder: tempfile::TempDir,
}

impl UserRepository {
    /// Those of the paths whose file in the checkout one of `commits` has too, and what is staged of it one of `staged_in` (absent counts as had
    /// by a commit without it): replacing such a file loses nothing. What is no file or link, or stands behind a link, never is among them.
    pub async fn had_by(&self, commits: &[&Oid], staged_in: &[&Oid], paths: &[String]) -> Result<BTreeSet<String>, GitError> {
        let paths: Vec<String> = paths.iter().filter(|path| is_comparable(self.top(), path)).cloned().collect();
        if paths.is_empty() {
            return Ok(BTreeSet::new());
        }
        let scratch = self.scratch_index().await?;
        let staged = entries_of_index(&scratch.git, &paths).await?;
        scratch.take_up(&paths).await?;
        let local = entries_of_index(&scratch.git, &paths).await?;
        let had_local = self.equal_in(commits, &local, &paths).await?;
        let had_staged = self.equal_in(staged_in, &staged, &paths).await?;
        Ok(had_local.intersection(&had_staged).cloned().collect())
    }

    /// The paths at which one of the commits has the same.
    async fn equal_in(&self, commits: &[&Oid], entries: &Entries, paths: &[String]) -> Result<BTreeSet<String>, GitError> {
        let mut equal = BTreeSet::new();
        for commit in commits {
            let theirs = entries_of_commit(self.git(), commit, paths).await?;
            equal.extend(paths.iter().filter(|path| theirs.get(*path) == entries.get(*path)).cloned());
        }
        Ok(equal)
    }

    /// Moves `HEAD` of this checkout from `at` to `to` with its files, over local files that some commit has too. All other files stay.
    pub(super) async fn move_over(&self, at: &Oid, to: &Oid, over: &BTreeSet<String>) -> Result<(), AcceptError> {
        let index = self.index_file().await?;
        let busy = || AcceptError::Busy { checkout: self.top().to_owned(), what: "git command (index.lock is there)" };
        let lock = IndexLock::take(&index)?.ok_or_else(busy)?;
        let over: Vec<String> = over.iter().cloned().collect();
        let scratch = self.scratch_index().await?;
        scratch.take_up(&over).await?;
        // As if the commit we come from had those files the way they are here: git then sees nothing to lose in them, and guards all others.
        let local = entries_of_index(&scratch.git, &over).await?;
        let edits: Vec<TreeEdit> = over.iter().map(|path| edit(path, local.get(path))).collect();
        let from = self.git().edit_tree(at, &edits).await?;
        scratch.switch(&from, to).await?;
        let moved = self.git().invoke("update-ref").args(["-m", "accept: moved forward", "HEAD", to.as_str(), at.as_str()]).run().await;
        if let Err(error) = moved {
            scratch.switch(to, &from).await?;
            return Err(error.into());
        }
        Ok(lock.replace_with(&scratch.file)?)
    }

    /// A copy of the index.
    pub(super) async fn scratch_index(&self) -> Result<ScratchIndex, GitError> {
        let folder = tempfile::tempdir().map_err(GitError::io("update-index"))?;
        let file = folder.path().join("index");
        copy_index("update-index", &self.index_file().await?, &file).await?;
        Ok(ScratchIndex { git: self.git().clone().with_index(&file), file, _folder: folder })
    }

    async fn index_file(&self) -> Result<PathBuf, GitError> {
        path_line(&self.git().invoke("rev-parse").args(["--path-format=absolute", "--git-path", "index"]).run().await?.stdout)
    }
}

impl ScratchIndex {
    /// Has it hold those paths as they are in the checkout, gone ones too.
    async fn take_up(&self, paths: &[String]) -> Result<(), GitError> {
        if paths.is_empty() {
            return Ok(());
        }
        let listed: String = paths.iter().map(|path| format!("{path}\0")).collect();
        let arguments = ["--add", "--remove", "--replace", "-z", "--stdin"];
        self.git.invoke("update-index").args(arguments).input(listed).long().run().await.map(|_| ())
    }

    /// Goes from one tree to another, with the files of the checkout. Git refuses as a whole where a file is neither.
    async fn switch(&self, from: &Oid, to: &Oid) -> Result<(), GitError> {
        // A file that was written anew with the same content is the same: git tells by time until it has looked.
        self.git.invoke("update-index").args(["-q", "--refresh"]).codes_ok(&[0, 1]).long().run().await?;
        self.git.invoke("read-tree").args(["-m", "-u", from.as_str(), to.as_str()]).long().run().await.map(|_| ())
    }
}

/// The lock by which git keeps others from the index.
struct IndexLock {
    index: PathBuf,
    lock: PathBuf,
    file: std::fs::File,
}

impl IndexLock {
    /// `None` if somebody else has it.
    fn take(index: &Path) -> Result<Option<Self>, GitError> {
        let mut lock = index.as_os_str().to_owned();
        lock.push(".lock");
        let lock = PathBuf::from(lock);
        match std::fs::File::create_new(&lock) {
            Ok(file) => Ok(Some(Self { index: index.to_owned(), lock, file })),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(None),
            Err(error) => Err(GitError::Io { verb: "update-index", source: error }),
        }
    }

    fn replace_with(mut self, file: &Path) -> Result<(), GitError> {
        let mut replace = || {
            self.file.write_all(&std::fs::read(file)?)?;
            // With its time, by which git tells which files it must read again.
            self.file.set_modified(std::fs::metadata(file)?.modified()?)?;
            self.file.sync_all()?;
            std::fs::rename(&self.lock, &self.index)
        };
        replace().map_err(GitError::io("update-index"))
    }
}

impl Drop for IndexLock {
    fn drop(&mut self) {
        // Gone already where it has taken the index's place.
        let _ = std::fs::remove_file(&self.lock);
    }
}

fn edit(path: &str, entry: Option<&Entry>) -> TreeEdit {
    match entry {
        Some((mode, oid)) => TreeEdit::Put { path: path.to_owned(), mode: *mode, oid: oid.clone() },
        None => TreeEdit::Remove { path: path.to_owned() },
    }
}

/// Whether what stands at a path can be a file of a commit: a file, a link or nothing, reached through folders alone.
fn is_comparable(top: &Path, path: &str) -> bool {
    if path.contains(char::REPLACEMENT_CHARACTER) || path.ends_with('/') {
        return false;
    }
    let mut place = top.to_owned();
    let mut parts = path.split('/').peekable();
    while let Some(part) = parts.next() {
        place.push(part);
        match place.symlink_metadata() {
            Ok(found) if parts.peek().is_some() && found.is_dir() => {}
            Ok(found) => return parts.peek().is_none() && (found.is_file() || found.is_symlink()),
            Err(error) => return error.kind() == ErrorKind::NotFound,
        }
    }
    false
}

async fn entries_of_commit(git: &Git, commit: &Oid, paths: &[String]) -> Result<Entries, GitError> {
    let mut found = Entries::new();
    for some in paths.chunks(PATHS_AT_ONCE) {
        found.extend(git.entries(commit, some).await?.into_iter().map(|entry| (entry.path, (entry.mode, entry.oid))));
    }
    Ok(found)
}

/// What an index has at those paths.
async fn entries_of_index(git: &Git, paths: &[String]) -> Result<Entries, GitError> {
    let mut found = Entries::new();
    for some in paths.chunks(PATHS_AT_ONCE) {
        let answer = git.invoke("ls-files").args(["--stage", "-z", "--full-name", "--"]).args(some).run().await?;
        for record in records(&answer.stdout) {
            let (path, entry) = parse_staged(record)?;
            if let (Some(path), Some(entry)) = (path, entry) {
                found.insert(path, entry);
            }
        }
    }
    Ok(found)
}

/// `<mode> <object> <stage>TAB<path>`. Paths that are no UTF-8 are none that were asked about.
fn parse_staged(record: &[u8]) -> Result<(Option<String>, Option<Entry>), GitError> {
    let wrong = || GitError::unexpected("ls-files", String::from_utf8_lossy(record));
    let tab = record.iter().position(|byte| *byte == b'\t').ok_or_else(wrong)?;
    let mut fields = record[..tab].split(|byte| *byte == b' ');
    let (Some(mode), Some(oid)) = (fields.next(), fields.next()) else { return Err(wrong()) };
    let mode = EntryMode::from_bits(octal_of("ls-files", mode)?);
    let oid = oid_of("ls-files", oid)?;
    Ok((text_of("ls-files", &record[tab + 1..]).ok().map(str::to_owned), mode.map(|mode| (mode, oid))))
}
