//! Commits and their order: what a commit says, who descends from whom, where a history begins.

use super::scan::{oid_of, text_of};
use super::{Git, GitError, Oid};

/// What a commit says of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommitInfo {
    /// Its tree.
    pub tree: Oid,
    /// Its parents, whether present or not.
    pub parents: Vec<Oid>,
    /// Its message, invalid UTF-8 replaced.
    pub message: String,
}

/// Largest commit object that is read.
const COMMIT_BYTES_MAX: u64 = 4 << 20;

impl Git {
    /// Reads a commit.
    pub async fn commit_info(&self, commit: &Oid) -> Result<CommitInfo, GitError> {
        let answer = self.invoke("cat-file").args(["commit", commit.as_str()]).output_bytes_max(COMMIT_BYTES_MAX).run().await?;
        parse_commit(&answer.stdout)
    }

    /// Reads many commits in one go; all must be present.
    pub(crate) async fn commit_infos(&self, commits: &[Oid]) -> Result<Vec<CommitInfo>, GitError> {
        let mut infos = Vec::with_capacity(commits.len());
        for some in commits.chunks(256) {
            let input: String = some.iter().map(|oid| format!("{oid}\n")).collect();
            let answer = self.invoke("cat-file").args(["--batch=%(objecttype) %(objectsize)", "--buffer"]).input(input).run().await?;
            let mut rest = answer.stdout.as_slice();
            for _ in some {
                let (body, after) = next_in_batch(rest, "commit")?;
                infos.push(parse_commit(body)?);
                rest = after;
            }
        }
        Ok(infos)
    }

    /// Whether `ancestor` is `descendant` or comes before it.
    pub async fn is_ancestor(&self, ancestor: &Oid, descendant: &Oid) -> Result<bool, GitError> {
        let arguments = ["--is-ancestor", ancestor.as_str(), descendant.as_str()];
        Ok(self.invoke("merge-base").args(arguments).codes_ok(&[0, 1]).run().await?.code == 0)
    }

    /// A best common ancestor, if there is one.
    pub async fn merge_base(&self, one: &Oid, other: &Oid) -> Result<Option<Oid>, GitError> {
        let answer = self.invoke("merge-base").args([one.as_str(), other.as_str()]).codes_ok(&[0, 1]).run().await?;
        if answer.code == 1 {
            return Ok(None);
        }
        oid_of("merge-base", answer.line("merge-base")?.as_bytes()).map(Some)
    }

    /// Where the first-parent history of a commit begins. It names a repository: clones share it, and merging foreign histories in does not change it.
    ///
    /// In a shallow clone it is the boundary commit, so a shallow clone's store may differ from a full clone's; nothing but sharing of objects rests on it.
    pub async fn root_commit(&self, commit: &Oid) -> Result<Oid, GitError> {
        let answer = self.invoke("rev-list").args(["--first-parent", "--max-parents=0", commit.as_str()]).run().await?;
        let line = answer.line("rev-list")?;
        oid_of("rev-list", line.lines().next_back().unwrap_or_default().as_bytes())
    }

    /// Commits of `tip` that are not of `not`, newest first, at most `commits_max`.
    pub async fn commits_between(&self, not: &[Oid], tip: &Oid, commits_max: usize) -> Result<Vec<Oid>, GitError> {
        Ok(self.commits_with_parents(not, tip, commits_max).await?.into_iter().map(|(commit, _)| commit).collect())
    }

    pub(crate) async fn commits_with_parents(&self, not: &[Oid], tip: &Oid, commits_max: usize) -> Result<Vec<(Oid, Vec<Oid>)>, GitError> {
        let mut input = format!("{tip}\n");
        input.extend(not.iter().map(|oid| format!("^{oid}\n")));
        let arguments = ["--topo-order", "--parents", "--stdin", &format!("--max-count={commits_max}")];
        let answer = self.invoke("rev-list").args(arguments).input(input).run().await?;
        let mut commits = Vec::new();
        for line in answer.stdout.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            let mut oids = text_of("rev-list", line)?.split(' ').map(Oid::parse);
            let commit = oids.next().unwrap_or_else(|| Oid::parse(""))?;
            commits.push((commit, oids.collect::<Result<_, _>>()?));
        }
        Ok(commits)
    }
}

/// Splits `<kind> <size>\n<bytes>\n` off a batch.
pub(super) fn next_in_batch<'b>(batch: &'b [u8], kind: &str) -> Result<(&'b [u8], &'b [u8]), GitError> {
    let unknown = || GitError::unexpected("cat-file", String::from_utf8_lossy(&batch[..batch.len().min(80)]));
    let end = batch.iter().position(|b| *b == b'\n').ok_or_else(unknown)?;
    let head = text_of("cat-file", &batch[..end])?;
    let size = head.strip_prefix(kind).and_then(|size| size.trim_start().parse::<usize>().ok()).ok_or_else(unknown)?;
    let body_end = (end + 1).checked_add(size).filter(|at| *at < batch.len()).ok_or_else(unknown)?;
    Ok((&batch[end + 1..body_end], &batch[body_end + 1..]))
}

fn parse_commit(bytes: &[u8]) -> Result<CommitInfo, GitError> {
    let unknown = || GitError::unexpected("cat-file", "a commit without a tree");
    let split = bytes.windows(2).position(|two| two == b"\n\n");
    let (head, message) = split.map_or((bytes, &b""[..]), |at| (&bytes[..at], &bytes[at + 2..]));
    let mut tree = None;
    let mut parents = Vec::new();
    for line in head.split(|b| *b == b'\n') {
        if let Some(oid) = line.strip_prefix(b"tree ") {
            tree = Some(oid_of("cat-file", oid)?);
        } else if let Some(oid) = line.strip_prefix(b"parent ") {
            parents.push(oid_of("cat-file", oid)?);
        } else if line.starts_with(b"author ") {
            break;
        }
    }
    Ok(CommitInfo { tree: tree.ok_or_else(unknown)?, parents, message: String::from_utf8_lossy(message).into_owned() })
}
