//! What of a directory goes into a trusted commit: what is gone, what changed, what is new, and what must stay out and why. One path that git cannot take
//! never keeps the others out.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::command::Answer;
use super::files::blocking;
use super::plain::Plain;
use super::scan::{check_path, path_text, records, text_of};
use super::withheld::Filter;
use super::{Checkout, Git, GitError, SnapshotLimits, SnapshotRequest};

/// Left-out files that are told.
const LEFT_OUT_MAX: usize = 20;
/// Longest path and reason that are told, characters.
const TOLD_CHARS_MAX: usize = 160;
/// Repositories inside one another that are looked through.
const NESTING_MAX: usize = 64;
/// Output of the listings.
const LIST_BYTES_MAX: u64 = 512 << 20;
/// Refusals after which attributes count for nothing for the rest.
const ATTRIBUTE_REFUSALS_MAX: usize = 64;
/// Refusals after which the rest is left out: finding each file costs a dozen runs of git.
const REFUSALS_MAX: usize = 512;
/// The same where it is done again every so often, beside an agent.
const GLANCE_REFUSALS_MAX: usize = 16;

/// How a directory is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Care {
    /// All at once; anything odd is an error.
    Quick,
    /// What git refuses is found and left out.
    PathByPath,
    /// The same while somebody works there: nothing is moved or changed.
    Glance,
}

/// A file that is in no commit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeftOut {
    /// Its path, shortened, for a person.
    pub path: String,
    /// Why.
    pub why: String,
}

impl std::fmt::Display for LeftOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.path, self.why)
    }
}

/// Files that stay out of the commit.
#[derive(Default)]
pub(super) struct Outside {
    told: Vec<LeftOut>,
    count: usize,
}

impl Outside {
    fn add(&mut self, path: &[u8], why: &str) {
        self.count += 1;
        if self.told.len() < LEFT_OUT_MAX {
            self.told.push(LeftOut { path: shortened(&String::from_utf8_lossy(path)), why: shortened(why) });
        }
    }

    /// A few, and how many there are.
    pub(super) fn told(self) -> (Vec<LeftOut>, usize) {
        (self.told, self.count)
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(TOLD_CHARS_MAX) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text.to_owned(),
    }
}

/// Paths as git gave them.
#[derive(Default)]
pub(super) struct Staging {
    removed: Vec<Vec<u8>>,
    written: Vec<Vec<u8>>,
    pub(super) left_out: Outside,
}

impl Git {
    /// Brings the index to what is in the directory.
    pub(super) async fn stage(&self, request: &SnapshotRequest<'_>, care: Care) -> Result<Staging, GitError> {
        let mut staging = Staging::default();
        let plain = match care {
            Care::Quick => None,
            Care::PathByPath | Care::Glance => Some(self.plain_here(request.checkout).await?),
        };
        // Without attributes more seems to differ, and is found equal when it is read with them.
        let looking = plain.as_ref().filter(|_| care == Care::PathByPath).map_or(self, |plain| &plain.git);
        looking.find_tracked(&request.checkout.dir, &mut staging).await?;
        // What is gone leaves the index first: git would not look into a directory that took the place of a file it still lists.
        if !staging.removed.is_empty() {
            self.invoke("update-index").args(["-z", "--force-remove", "--stdin"]).input(nul_ended(&staging.removed)).long().run().await?;
        }
        let filter = Filter::new(request.withheld);
        self.find_new(request, &filter, care, &mut staging).await?;
        let (dir, mut written) = (request.checkout.dir.clone(), std::mem::take(&mut staging.written));
        let withheld;
        (written, withheld) = blocking("snapshot", move || {
            let withheld = filter.take_by_content(&dir, &mut written)?;
            Ok((written, withheld))
        })
        .await?;
        for path in withheld {
            staging.left_out.add(&path, "it holds what a file under `copy` holds");
        }
        check_size(&request.checkout.dir, &written, request.limits).await?;
        match plain {
            None if written.is_empty() => {}
            None => note_ignored(&self.add(&written).await?, &mut staging.left_out),
            Some(plain) => {
                let refusals_max = if care == Care::Glance { GLANCE_REFUSALS_MAX } else { REFUSALS_MAX };
                self.add_path_by_path(&plain.git, written, refusals_max, &mut staging.left_out).await?;
            }
        }
        Ok(staging)
    }

    /// The same directory and index without attributes.
    async fn plain_here(&self, checkout: &Checkout) -> Result<Plain, GitError> {
        let mut plain = self.plain(&checkout.private).await?;
        plain.git.work_tree.clone_from(&self.work_tree);
        plain.git.index_file.clone_from(&self.index_file);
        Ok(plain)
    }

    async fn add(&self, paths: &[Vec<u8>]) -> Result<Answer, GitError> {
        let arguments = ["-z", "--add", "--remove", "--replace", "--stdin"];
        self.invoke("update-index").args(arguments).input(nul_ended(paths)).long().run().await
    }

    /// Halves what git refuses until it is one path, tries that one without attributes, and leaves it out if that does not help either.
    async fn add_path_by_path(
        &self,
        plain: &Git,
        written: Vec<Vec<u8>>,
        refusals_max: usize,
        left_out: &mut Outside,
    ) -> Result<(), GitError> {
        let mut waiting = vec![(written, true)];
        let mut refusals = 0;
        while let Some((mut paths, with_attributes)) = waiting.pop() {
            if paths.is_empty() {
                continue;
            }
            if refusals >= refusals_max {
                paths.iter().for_each(|path| left_out.add(path, "too many files of this attempt cannot be committed"));
                continue;
            }
            let with_attributes = with_attributes && refusals < ATTRIBUTE_REFUSALS_MAX;
            let git = if with_attributes { self } else { plain };
            match git.add(&paths).await {
                Ok(answer) => note_ignored(&answer, left_out),
                Err(error) if error.is_of_machine() => return Err(error),
                Err(error) => {
                    refusals += 1;
                    match (paths.len(), with_attributes) {
                        (1, true) => waiting.push((paths, false)),
                        (1, false) => left_out.add(&paths[0], &why(&error)),
                        (some, _) => {
                            let later = paths.split_off(some / 2);
                            waiting.push((later, with_attributes));
                            waiting.push((paths, with_attributes));
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// What became of the checkout's own files. Behind a directory that became a link, or as a fifo or the like, a file counts as removed.
    async fn find_tracked(&self, dir: &Path, staging: &mut Staging) -> Result<(), GitError> {
        let arguments = ["-z", "--raw", "--no-abbrev", "--no-renames", "--ignore-submodules=all"];
        let answer = self.invoke("diff-files").args(arguments).output_bytes_max(LIST_BYTES_MAX).long().run().await?;
        let mut fields = records(&answer.stdout);
        let mut differing: Vec<Vec<u8>> = Vec::new();
        let mut same_mode: Vec<(Vec<u8>, String)> = Vec::new();
        while let (Some(head), Some(path)) = (fields.next(), fields.next()) {
            let head = text_of("diff-files", head)?;
            let words: Vec<&str> = head.split(' ').collect();
            match words[..] {
                [_, _, _, _, "D"] => staging.removed.push(path.to_owned()),
                [before, after, oid, _, "M"] if before.trim_start_matches(':') == after => {
                    same_mode.push((path.to_owned(), oid.to_owned()))
                }
                [_, _, _, _, "M" | "T"] => differing.push(path.to_owned()),
                _ => return Err(GitError::unexpected("diff-files", head)),
            }
        }
        differing.extend(self.rewritten(dir, same_mode).await?);
        let dir = dir.to_owned();
        let is_kept =
            move |path: &Vec<u8>| dir.join(OsStr::from_bytes(path)).symlink_metadata().is_ok_and(|m| m.is_file() || m.is_symlink());
        let (kept, odd): (Vec<_>, Vec<_>) = blocking("snapshot", move || Ok(differing.into_iter().partition(is_kept))).await?;
        staging.written.extend(kept);
        staging.removed.extend(odd);
        Ok(())
    }

    /// Those of the files whose bytes are not those of the object beside them. What was only written again is no change, whatever attributes would make
    /// of bytes that were committed without them.
    async fn rewritten(&self, dir: &Path, files: Vec<(Vec<u8>, String)>) -> Result<Vec<Vec<u8>>, GitError> {
        let dir = dir.to_owned();
        let is_file = move |path: &[u8]| dir.join(OsStr::from_bytes(path)).symlink_metadata().is_ok_and(|facts| facts.is_file());
        // What cannot be asked about counts as written.
        let askable = move |(path, _): &(Vec<u8>, String)| !path.contains(&b'\n') && !path.starts_with(b"\"") && is_file(path);
        let (asked, mut written): (Vec<_>, Vec<_>) = blocking("snapshot", move || Ok(files.into_iter().partition(askable))).await?;
        if !asked.is_empty() {
            let input: Vec<u8> = asked.iter().flat_map(|(path, _)| [path.as_slice(), b"\n"].concat()).collect();
            let command = self.invoke("hash-object").args(["--no-filters", "--stdin-paths"]).input(input).output_bytes_max(LIST_BYTES_MAX);
            match command.long().run().await {
                Ok(answer) => {
                    let text = answer.text("hash-object")?;
                    let changed = asked.into_iter().zip(text.lines()).filter(|((_, oid), now)| oid != now).map(|(file, _)| file);
                    written.extend(changed);
                }
                Err(error) if error.is_of_machine() => return Err(error),
                Err(_) => written.extend(asked),
            }
        }
        Ok(written.into_iter().map(|(path, _)| path).collect())
    }

    /// New files. git reports a repository inside the directory as one entry that ends with `/`; its `.git` is put aside and its files are looked at again.
    async fn find_new(&self, request: &SnapshotRequest<'_>, filter: &Filter, care: Care, staging: &mut Staging) -> Result<(), GitError> {
        // Repositories whose `.git` could not be put aside.
        let mut stuck: BTreeSet<Vec<u8>> = BTreeSet::new();
        for round in 0.. {
            let command = self.invoke("ls-files").args(["-z", "--others", "--exclude-standard"]);
            let answer = command.output_bytes_max(LIST_BYTES_MAX).long().run().await?;
            let unread = answer.stderr.contains("could not open directory");
            if unread && care == Care::Quick {
                return Err(GitError::Failed { verb: "ls-files", code: 0, stderr: answer.stderr });
            }
            // Nobody's `.git` is put aside while it is used; what lies there comes with the last commit.
            let is_nested = |path: &&[u8]| care != Care::Glance && path.ends_with(b"/") && !stuck.contains(*path);
            let nested: Vec<Vec<u8>> = records(&answer.stdout).filter(is_nested).map(<[u8]>::to_vec).collect();
            if nested.is_empty() || round == NESTING_MAX {
                for path in records(&answer.stdout).filter(|path| !filter.has_path(path)) {
                    match reason_to_leave_out(path, stuck.contains(path)) {
                        None => staging.written.push(path.to_owned()),
                        Some(why) => staging.left_out.add(path, &why),
                    }
                }
                if unread {
                    note_unread(&answer.stderr, &mut staging.left_out);
                }
                return Ok(());
            }
            let (dir, private) = (request.checkout.dir.clone(), request.checkout.private.clone());
            stuck.extend(blocking("snapshot", move || put_nested_aside(&dir, &private, nested)).await?);
        }
        Ok(())
    }
}

/// Why a new path cannot be in a commit. A repository inside that is still listed as such is one path.
fn reason_to_leave_out(path: &[u8], stuck: bool) -> Option<String> {
    if stuck {
        return Some("it is a git repository that cannot be looked into".to_owned());
    }
    if path.ends_with(b"/") {
        return Some(format!("it is a git repository inside {NESTING_MAX} others"));
    }
    match path_text(path).and_then(|path| check_path(&path)) {
        Ok(()) => None,
        Err(GitError::BadPath { why, .. }) => Some(why.to_owned()),
        Err(error) => Some(error.to_string()),
    }
}

fn note_ignored(answer: &Answer, left_out: &mut Outside) {
    let ignored = answer.stderr.lines().filter_map(|line| line.strip_prefix("Ignoring path "));
    ignored.for_each(|path| left_out.add(path.as_bytes(), "some systems take this name for git's own"));
}

/// Directories that git could not read. Their names may have been too long to be told in full.
fn note_unread(stderr: &str, left_out: &mut Outside) {
    for line in stderr.lines().filter(|line| line.contains("could not open directory")) {
        let (_, rest) = line.split_once("could not open directory").unwrap_or_default();
        let (path, why) = rest.trim_start_matches([' ', '\'']).rsplit_once("': ").unwrap_or((rest.trim_start_matches([' ', '\'']), ""));
        let is_long = why.contains("too long") || path.len() >= roundtable_shared::limits::PATH_BYTES_MAX / 2;
        left_out.add(path.as_bytes(), if is_long { "its path is too long" } else { "the directory cannot be read" });
    }
}

/// git's last words about a path.
fn why(error: &GitError) -> String {
    match error {
        GitError::Failed { stderr, .. } => {
            let mut lines = stderr.lines().filter(|line| !line.trim().is_empty() && !line.contains("Unable to process path"));
            let last = lines.next_back().unwrap_or("git refuses it").trim();
            last.trim_start_matches("fatal: ").trim_start_matches("error: ").to_owned()
        }
        other => other.to_string(),
    }
}

async fn check_size(dir: &Path, written: &[Vec<u8>], limits: SnapshotLimits) -> Result<(), GitError> {
    let too_large = |what, found, max| GitError::TooLarge { dir: dir.to_owned(), what, found, max };
    let files = u64::try_from(written.len()).unwrap_or(u64::MAX);
    if files > limits.files_max {
        return Err(too_large("files", files, limits.files_max));
    }
    let paths: Vec<PathBuf> = written.iter().map(|path| dir.join(OsStr::from_bytes(path))).collect();
    let size = |path: &PathBuf| path.symlink_metadata().map_or(0, |m| m.len());
    let bytes = blocking("snapshot", move || Ok(paths.iter().map(size).fold(0_u64, u64::saturating_add))).await?;
    if bytes > limits.bytes_max { Err(too_large("bytes", bytes, limits.bytes_max)) } else { Ok(()) }
}

/// Moves the `.git` of each nested repository out of the directory, without following links; gives those it could not be done for.
fn put_nested_aside(dir: &Path, private: &Path, nested: Vec<Vec<u8>>) -> io::Result<Vec<Vec<u8>>> {
    use rustix::fs::{Mode, OFlags, ResolveFlags, openat2, renameat};
    let root = rustix::fs::open(dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let aside = tempfile::Builder::new().prefix("nested-").tempdir_in(private)?.keep();
    let goal = rustix::fs::open(&aside, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mut stuck = Vec::new();
    for (n, path) in nested.into_iter().enumerate() {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        let parent = openat2(&root, OsStr::from_bytes(&path), flags, Mode::empty(), resolve);
        if parent.and_then(|parent| renameat(&parent, ".git", &goal, n.to_string())).is_err() {
            stuck.push(path);
        }
    }
    Ok(stuck)
}

fn nul_ended(paths: &[Vec<u8>]) -> Vec<u8> {
    let mut input = Vec::with_capacity(paths.iter().map(|path| path.len() + 1).sum());
    for path in paths {
        input.extend_from_slice(path);
        input.push(0);
    }
    input
}
