//! Reading git's NUL-separated output and checking the paths in it. Knows no command.

use super::{GitError, Oid};

/// Splits at NUL; a last NUL ends the list and begins no empty record.
pub(crate) fn records(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let body = bytes.strip_suffix(b"\0").unwrap_or(bytes);
    let all = if bytes.is_empty() { None } else { Some(body.split(|b| *b == 0)) };
    all.into_iter().flatten()
}

/// A path of a repository as text. A path that is not UTF-8 cannot be told to agents, manifests or JSON, so it is refused.
pub(crate) fn path_text(bytes: &[u8]) -> Result<String, GitError> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => {
            Err(GitError::BadPath { path: String::from_utf8_lossy(bytes).into_owned(), why: "its name is not valid UTF-8; rename it" })
        }
    }
}

/// Refuses what is no path of a file inside a repository: empty, absolute, with `.`, `..` or `.git` components, with NUL, too long.
pub(crate) fn check_path(path: &str) -> Result<(), GitError> {
    let why = if path.is_empty() {
        "it is empty"
    } else if path.len() > roundtable_shared::limits::PATH_BYTES_MAX {
        "it is too long"
    } else if path.contains('\0') {
        "it has a NUL"
    } else if path.starts_with('/') {
        "it is absolute"
    } else if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        "it has an empty, . or .. component"
    } else if path.split('/').any(|part| part.eq_ignore_ascii_case(".git")) {
        "it has a .git component"
    } else {
        return Ok(());
    };
    Err(GitError::BadPath { path: path.chars().take(200).collect(), why })
}

pub(crate) fn text_of<'b>(verb: &'static str, bytes: &'b [u8]) -> Result<&'b str, GitError> {
    std::str::from_utf8(bytes).map_err(|_| GitError::unexpected(verb, String::from_utf8_lossy(bytes)))
}

pub(crate) fn oid_of(verb: &'static str, bytes: &[u8]) -> Result<Oid, GitError> {
    let text = text_of(verb, bytes)?;
    Oid::parse(text).map_err(|_| GitError::unexpected(verb, text))
}

pub(crate) fn octal_of(verb: &'static str, bytes: &[u8]) -> Result<u32, GitError> {
    let text = text_of(verb, bytes)?;
    u32::from_str_radix(text, 8).map_err(|_| GitError::unexpected(verb, text))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn records_end_at_nul() {
        let split = |bytes: &'static [u8]| records(bytes).map(|r| String::from_utf8_lossy(r).into_owned()).collect::<Vec<_>>();
        assert!(split(b"").is_empty());
        assert_eq!(split(b"a\0"), ["a"]);
        assert_eq!(split(b"a\0\0b\0"), ["a", "", "b"]);
        assert_eq!(split(b"a"), ["a"]);
    }

    #[test]
    fn hostile_paths_are_refused_and_odd_ones_are_not() {
        for bad in ["", "/etc/passwd", "../x", "a/../b", "a//b", "./a", "a/", ".git/config", "a/.GIT/x", "a\0b"] {
            assert!(check_path(bad).is_err(), "{bad:?}");
        }
        for good in ["a", "-x", "a\nb", "a b/ü", "..a", "a...", ".gitignore", ":(glob)**"] {
            check_path(good).unwrap();
        }
        assert!(path_text(b"a\xff").is_err());
    }
}
