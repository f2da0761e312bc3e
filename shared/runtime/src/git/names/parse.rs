//! Ids and refs from text: the only way to them, so that none can be read as an option or leave its place.

use roundtable_shared::CommitId;

use super::{Oid, RefName};
use crate::git::GitError;

impl Oid {
    /// Reads an id; anything but 40 or 64 lower-case hex digits is refused.
    pub fn parse(text: &str) -> Result<Self, GitError> {
        let well_formed = matches!(text.len(), 40 | 64) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if well_formed { Ok(Self(text.to_owned())) } else { Err(GitError::BadOid { text: text.chars().take(80).collect() }) }
    }
}

impl TryFrom<&CommitId> for Oid {
    type Error = GitError;

    fn try_from(id: &CommitId) -> Result<Self, GitError> {
        Self::parse(id.as_str())
    }
}

impl RefName {
    /// Reads a full name by the rules of `git check-ref-format`.
    pub fn parse(text: &str) -> Result<Self, GitError> {
        if is_ref_name(text) { Ok(Self(text.to_owned())) } else { Err(GitError::BadRef { text: text.chars().take(200).collect() }) }
    }

    /// `refs/heads/<branch>`.
    pub fn branch(branch: &str) -> Result<Self, GitError> {
        if branch.starts_with('-') || branch == "HEAD" {
            return Err(GitError::BadRef { text: branch.chars().take(200).collect() });
        }
        Self::parse(&format!("refs/heads/{branch}"))
    }
}

fn is_ref_name(text: &str) -> bool {
    let forbidden = |b: u8| b < 0x20 || b == 0x7f || b" ~^:?*[\\".contains(&b);
    text.starts_with("refs/")
        && text.len() <= 1024
        && !text.bytes().any(forbidden)
        && !text.contains("..")
        && !text.contains("@{")
        && !text.ends_with('.')
        && text.split('/').count() >= 3
        && text.split('/').all(|part| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn ids_that_are_not_ids_are_refused() {
        assert!(Oid::parse(&"a".repeat(40)).is_ok());
        assert!(Oid::parse(&"0".repeat(64)).unwrap().is_zero());
        for bad in ["", "HEAD", "--upload-pack=x", &"A".repeat(40), &"a".repeat(41), &format!("{}\n", "a".repeat(39))] {
            assert!(Oid::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn ref_names_follow_git() {
        for good in ["refs/heads/main", "refs/heads/roundtable/spec-abc123", "refs/roundtable/r/-/1", "refs/heads/ü", "refs/heads/-x"] {
            assert!(RefName::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "main",
            "refs/heads",
            "refs/heads/",
            "refs/heads/a..b",
            "refs/heads/a.lock",
            "refs/heads/.a",
            "refs/heads/a b",
            "refs/heads/a\n",
            "refs/heads/a@{1",
        ] {
            assert!(RefName::parse(bad).is_err(), "{bad:?}");
        }
        assert!(RefName::branch("-x").is_err());
        assert!(RefName::branch("HEAD").is_err());
    }
}
