//! Spelling of manifest entries and repository paths: one form for each, hostile ones refused. Does not touch a file system.

use unicode_normalization::{UnicodeNormalization, is_nfc};

use crate::limits::PATH_BYTES_MAX;

/// Why an entry of a manifest is refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PathError {
    /// Nothing is left of it.
    #[error("the path is empty; name a file, a directory or a glob of the repository")]
    Empty,
    /// It starts at the root of a file system or at a home directory.
    #[error("`{entry}` is absolute; write it relative to the repository's top folder")]
    Absolute {
        /// The entry as written.
        entry: String,
    },
    /// It has a `..`.
    #[error("`{entry}` contains `..`; write it relative to the repository's top folder")]
    Parent {
        /// The entry as written.
        entry: String,
    },
    /// It has a NUL byte.
    #[error("`{entry}` contains a NUL byte; remove it")]
    Nul {
        /// The entry as written, NUL shown as `\0`.
        entry: String,
    },
    /// It names git's own directory.
    #[error("`{entry}` is inside `.git`, which no unit may touch; remove it")]
    GitDir {
        /// The entry as written.
        entry: String,
    },
    /// It is longer than a path may be.
    #[error("a path of {bytes} bytes is longer than {PATH_BYTES_MAX}; shorten it: `{entry}…`")]
    TooLong {
        /// The entry's beginning.
        entry: String,
        /// Its length.
        bytes: usize,
    },
    /// The list is longer than a manifest may be.
    #[error("a list of {count} entries is longer than {max}; name directories or globs instead")]
    TooMany {
        /// Entries in the list.
        count: usize,
        /// The limit.
        max: usize,
    },
}

/// Brings an entry to its one spelling: `/` between segments, no `./` or `//`, NFC, a trailing `/` kept where it names a directory.
/// The repository's top folder itself (`.`, `./`) becomes `**`.
///
/// What is accepted is accepted again as it is: it is kept in the log, and read from there by these same rules.
pub fn normalise_entry(entry: &str) -> Result<String, PathError> {
    let trimmed = entry.trim();
    if trimmed.len() > PATH_BYTES_MAX {
        return Err(PathError::TooLong { entry: trimmed.chars().take(40).collect(), bytes: trimmed.len() });
    }
    if trimmed.contains('\0') {
        return Err(PathError::Nul { entry: trimmed.replace('\0', "\\0") });
    }
    if trimmed.is_empty() {
        return Err(PathError::Empty);
    }
    let text = trimmed.replace('\\', "/");
    if is_absolute(&text) {
        return Err(PathError::Absolute { entry: trimmed.to_owned() });
    }
    let mut out = String::with_capacity(text.len());
    for segment in text.split('/') {
        // What comes to stand at the front is judged as if it had stood there: `./~/x`, `./ /x`.
        let segment = if out.is_empty() { segment.trim_start() } else { segment };
        match segment {
            "" | "." => continue,
            ".." => return Err(PathError::Parent { entry: trimmed.to_owned() }),
            _ if is_git_dir(segment) => return Err(PathError::GitDir { entry: trimmed.to_owned() }),
            _ => {}
        }
        if !out.is_empty() {
            out.push('/');
        }
        out.push_str(segment);
    }
    if out.is_empty() {
        return Ok("**".to_owned());
    }
    if is_absolute(&out) {
        return Err(PathError::Absolute { entry: trimmed.to_owned() });
    }
    if (text.ends_with('/') || text.ends_with("/.")) && !out.ends_with("**") {
        out.push('/');
    }
    let spelt = nfc(out);
    if spelt.len() > PATH_BYTES_MAX {
        return Err(PathError::TooLong { entry: trimmed.chars().take(40).collect(), bytes: spelt.len() });
    }
    Ok(spelt)
}

/// Files without an extension whose names say that they are files.
const FILE_NAMES: [&str; 25] = [
    ".dockerignore",
    ".editorconfig",
    ".env",
    ".eslintrc",
    ".gitattributes",
    ".gitignore",
    ".gitmodules",
    ".npmrc",
    ".nvmrc",
    ".prettierrc",
    "AUTHORS",
    "CHANGELOG",
    "CODEOWNERS",
    "COPYING",
    "Dockerfile",
    "Gemfile",
    "Jenkinsfile",
    "Justfile",
    "LICENSE",
    "Makefile",
    "NOTICE",
    "Procfile",
    "README",
    "Rakefile",
    "justfile",
];
/// What looks like an extension and is usual in names of directories.
const FOLDER_EXTENSIONS: [&str; 16] = [
    "app",
    "bundle",
    "com",
    "d",
    "dev",
    "docset",
    "framework",
    "io",
    "lproj",
    "net",
    "org",
    "playground",
    "plugin",
    "xcassets",
    "xcodeproj",
    "xcworkspace",
];

/// Whether an entry without wildcards may name a directory, as far as its spelling tells: with a `/` at its end, or a last part that does not look like
/// the name of a file.
pub fn may_be_folder(entry: &str) -> bool {
    if entry.ends_with('/') {
        return true;
    }
    let name = entry.rsplit('/').next().unwrap_or(entry);
    if FILE_NAMES.contains(&name) {
        return false;
    }
    let Some((stem, extension)) = name.rsplit_once('.') else { return true };
    let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_extension =
        (1..=10).contains(&extension.len()) && extension.chars().all(lower) && extension.contains(|c: char| c.is_ascii_lowercase());
    // `a.C`, `a.R`, `a.S`
    let is_extension = is_extension || (extension.len() == 1 && extension.chars().all(|c| c.is_ascii_uppercase()));
    stem.is_empty() || !is_extension || FOLDER_EXTENSIONS.contains(&extension)
}

/// Brings a path that git reported to the form entries are compared in. Names that begin or end with a blank or hold a `\` are rare and legal; since entries
/// cannot say them, they count as the same path as the name without, which can only make two units wait for each other that need not.
pub fn normalise_path(path: &str) -> String {
    nfc(path.trim().replace('\\', "/"))
}

fn nfc(text: String) -> String {
    if text.is_ascii() || is_nfc(&text) { text } else { text.nfc().collect() }
}

fn is_absolute(text: &str) -> bool {
    let bytes = text.as_bytes();
    let drive = bytes.len() >= 2 && bytes[0].is_ascii_alphabetic() && bytes[1] == b':' && (bytes.len() == 2 || bytes[2] == b'/');
    text.starts_with('/') || drive || text == "~" || text.starts_with("~/")
}

/// Case-insensitive file systems reach `.git` by other spellings, too.
fn is_git_dir(segment: &str) -> bool {
    segment.trim_end_matches([' ', '.']).eq_ignore_ascii_case(".git")
}

/// Lower case where the repository ignores case.
pub(super) fn fold(text: &str, ignore_case: bool) -> String {
    if !ignore_case {
        return text.to_owned();
    }
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    nfc(text.chars().flat_map(char::to_lowercase).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn one_spelling() {
        for (from, to) in [
            ("src/a.rs", "src/a.rs"),
            ("./src//a.rs", "src/a.rs"),
            ("src\\api\\x.rs", "src/api/x.rs"),
            ("src/./api/", "src/api/"),
            ("src/api/.", "src/api/"),
            (" src/a b.txt ", "src/a b.txt"),
            (".", "**"),
            ("./", "**"),
            ("src/**/", "src/**"),
            ("cafe\u{301}/x", "caf\u{e9}/x"),
            (".github/workflows/ci.yml", ".github/workflows/ci.yml"),
            (".gitignore", ".gitignore"),
            ("a~/b", "a~/b"),
            ("./ /x", "x"),
            ("./ / a /b", "a /b"),
        ] {
            assert_eq!(normalise_entry(from).unwrap(), to, "{from}");
            assert_eq!(normalise_entry(to).unwrap(), to, "{to} is stable");
        }
    }

    #[test]
    fn what_may_be_a_folder() {
        for entry in
            ["src", "src/api", "a.rs/", ".github", "MyApp.Core", "MyApp.UI", "v1.2", "conf.d", "a/App.xcodeproj", "x.egg-info", "a."]
        {
            assert!(may_be_folder(entry), "{entry}");
        }
        for entry in ["a.rs", "src/base.txt", "x/.env", "Makefile", "a.tar.gz", "app.component.ts", "lib/a.R", "a.mp3", ".github/ci.yml"] {
            assert!(!may_be_folder(entry), "{entry}");
        }
    }

    #[test]
    fn hostile_spellings_are_refused() {
        for (entry, message) in [
            ("", "the path is empty; name a file, a directory or a glob of the repository"),
            ("/etc/passwd", "`/etc/passwd` is absolute; write it relative to the repository's top folder"),
            ("\\\\host\\share", "`\\\\host\\share` is absolute; write it relative to the repository's top folder"),
            ("C:\\x", "`C:\\x` is absolute; write it relative to the repository's top folder"),
            ("~/x", "`~/x` is absolute; write it relative to the repository's top folder"),
            ("a/../b", "`a/../b` contains `..`; write it relative to the repository's top folder"),
            ("..\\b", "`..\\b` contains `..`; write it relative to the repository's top folder"),
            ("a\0b", "`a\\0b` contains a NUL byte; remove it"),
            (".git/config", "`.git/config` is inside `.git`, which no unit may touch; remove it"),
            ("sub/.GIT/hooks/x", "`sub/.GIT/hooks/x` is inside `.git`, which no unit may touch; remove it"),
            ("sub/.git. /x", "`sub/.git. /x` is inside `.git`, which no unit may touch; remove it"),
            ("./~/x", "`./~/x` is absolute; write it relative to the repository's top folder"),
            ("./C:/x", "`./C:/x` is absolute; write it relative to the repository's top folder"),
            ("./ .git/x", "`./ .git/x` is inside `.git`, which no unit may touch; remove it"),
        ] {
            assert_eq!(normalise_entry(entry).unwrap_err().to_string(), message, "{entry}");
        }
        assert!(matches!(normalise_entry(&"a/".repeat(4000)), Err(PathError::TooLong { bytes: 8000, .. })));
        // Composed anew, it is longer than it was.
        assert!(matches!(normalise_entry(&"\u{958}".repeat(1300)), Err(PathError::TooLong { bytes: 7800, .. })));
    }
}
