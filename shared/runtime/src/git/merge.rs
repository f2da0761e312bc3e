//! Three-way merges of commits without a work tree.

use std::collections::BTreeMap;

use super::command::Answer;
use super::scan::{octal_of, oid_of, path_text, records, text_of};
use super::{Git, GitError, GitVersion, Oid, Signature};

/// The outcome of a merge.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Merge {
    /// The merged tree; conflicted files hold markers.
    pub tree: Oid,
    /// Whether nothing needs a hand.
    pub clean: bool,
    /// The conflicted paths, in order.
    pub conflicts: Vec<ConflictedPath>,
    /// What git says of the merge, when it is not clean.
    pub messages: Vec<MergeMessage>,
}

impl Merge {
    fn unchanged(tree: Oid) -> Self {
        Self { tree, clean: true, conflicts: Vec::new(), messages: Vec::new() }
    }
}

/// A path that both sides changed in ways that do not fit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConflictedPath {
    /// The path.
    pub path: String,
    /// Whether the base, `ours` and `theirs` have it.
    pub stages: [bool; 3],
}

/// A remark of git on a merge.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MergeMessage {
    /// Stable kind, such as `CONFLICT (contents)`.
    pub kind: String,
    /// For a person.
    pub text: String,
}

const VERB: &str = "merge-tree";
/// The first git that takes the base of a merge as an argument.
const TAKES_BASE: GitVersion = GitVersion { major: 2, minor: 40 };

impl Git {
    /// Merges what happened from `base` to `theirs` into `ours`. Edits follow a file that `ours` renamed, so the result may differ from `ours` in paths
    /// that `theirs` never named; whole directories are not followed.
    pub async fn merge(&self, base: &Oid, ours: &Oid, theirs: &Oid) -> Result<Merge, GitError> {
        if base == ours || ours == theirs {
            return Ok(Merge::unchanged(self.tree_of(theirs).await?));
        }
        if base == theirs {
            return Ok(Merge::unchanged(self.tree_of(ours).await?));
        }
        let mut command = self.invoke(VERB).args(["--write-tree", "-z"]).config("merge.directoryRenames=false").codes_ok(&[0, 1]).long();
        if self.program.version() >= TAKES_BASE {
            command = command.arg(format!("--merge-base={base}")).args([ours.as_str(), theirs.as_str()]);
        } else {
            let [ours, theirs] = self.graft(base, [ours, theirs]).await?;
            command = command.args([ours.as_str(), theirs.as_str()]);
        }
        parse(&command.run().await?)
    }

    /// Merges two branches as `git merge` would, from their own common ancestors.
    pub(crate) async fn merge_heads(&self, ours: &Oid, theirs: &Oid) -> Result<Merge, GitError> {
        let command = self.invoke(VERB).args(["--write-tree", "-z", ours.as_str(), theirs.as_str()]).codes_ok(&[0, 1]).long();
        parse(&command.run().await?)
    }

    /// Commits with the trees of both sides whose only common ancestor has the tree of `base`.
    async fn graft(&self, base: &Oid, sides: [&Oid; 2]) -> Result<[Oid; 2], GitError> {
        let by = Signature::roundtable(0);
        let base_tree = self.tree_of(base).await?;
        let root = self.commit_tree(&base_tree, &[], &by, "base").await?;
        let mut grafted = Vec::with_capacity(2);
        for (side, name) in sides.into_iter().zip(["ours", "theirs"]) {
            let tree = self.tree_of(side).await?;
            grafted.push(self.commit_tree(&tree, std::slice::from_ref(&root), &by, name).await?);
        }
        grafted.try_into().map_err(|_| GitError::unexpected(VERB, "not two sides"))
    }
}

/// `<tree>` NUL, then per conflicted stage `<mode> <oid> <stage>\t<path>` NUL, then NUL, then per message `<n>` NUL, n paths, kind, text (NUL each).
fn parse(answer: &Answer) -> Result<Merge, GitError> {
    let mut fields = records(&answer.stdout);
    let tree = oid_of(VERB, fields.next().unwrap_or_default())?;
    let mut stages: BTreeMap<String, [bool; 3]> = BTreeMap::new();
    for field in fields.by_ref() {
        if field.is_empty() {
            break;
        }
        let unknown = || GitError::unexpected(VERB, String::from_utf8_lossy(field));
        let tab = field.iter().position(|b| *b == b'\t').ok_or_else(unknown)?;
        let words: Vec<&str> = text_of(VERB, &field[..tab])?.split(' ').collect();
        let [mode, _oid, stage] = words[..] else { return Err(unknown()) };
        octal_of(VERB, mode.as_bytes())?;
        let stage = stage.parse::<usize>().ok().filter(|stage| (1..=3).contains(stage)).ok_or_else(unknown)?;
        stages.entry(path_text(&field[tab + 1..])?).or_default()[stage - 1] = true;
    }
    let mut messages = Vec::new();
    while let Some(count) = fields.next() {
        let count = text_of(VERB, count)?.parse::<usize>().map_err(|_| GitError::unexpected(VERB, "a message without a count"))?;
        let mut rest = fields.by_ref().skip(count);
        let (Some(kind), Some(text)) = (rest.next(), rest.next()) else { return Err(GitError::unexpected(VERB, "half a message")) };
        let text_of = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        messages.push(MergeMessage { kind: text_of(kind), text: text_of(text) });
    }
    let conflicts = stages.into_iter().map(|(path, stages)| ConflictedPath { path, stages }).collect();
    Ok(Merge { tree, clean: answer.code == 0, conflicts, messages })
}
