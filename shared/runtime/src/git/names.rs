//! Names git is given on its command line: object ids, refs, people, versions. Ids and refs come from text by `names/parse.rs` alone, which
//! refuses what could be read as an option or leave its place.

mod parse;

use std::fmt;

use roundtable_shared::CommitId;

/// A full object id: 40 (SHA-1) or 64 (SHA-256) lower-case hex digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Oid(String);

impl Oid {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same id in the domain's words.
    pub fn commit_id(&self) -> CommitId {
        CommitId::new(self.0.clone())
    }

    /// Whether it is the id git writes for "nothing".
    pub fn is_zero(&self) -> bool {
        self.0.bytes().all(|b| b == b'0')
    }

    /// The id of "nothing", as long as this one.
    pub(crate) fn zero(&self) -> Oid {
        Oid("0".repeat(self.0.len()))
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Oid({})", self.0)
    }
}

/// A full ref name (`refs/…`) that git accepts.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RefName(String);

impl RefName {
    /// The full name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name without `refs/heads/`, for people.
    pub fn short(&self) -> &str {
        self.0.strip_prefix("refs/heads/").unwrap_or(&self.0)
    }

    /// One ref component made of any text: bytes outside `A-Z a-z 0-9 _ -` become `%XX`, and so does a leading `-`.
    pub fn component(text: &str) -> String {
        let mut component = String::with_capacity(text.len());
        for (at, byte) in text.bytes().enumerate() {
            let plain = byte.is_ascii_alphanumeric() || byte == b'_' || (byte == b'-' && at > 0) || (byte == b'.' && dot_is_safe(text, at));
            if plain {
                component.push(char::from(byte));
            } else {
                component.push_str(&format!("%{byte:02X}"));
            }
        }
        if component.is_empty() { "%".to_owned() } else { component }
    }
}

/// A dot may stay between two letters, digits or underscores, except where it would begin the suffix `.lock`.
fn dot_is_safe(text: &str, at: usize) -> bool {
    let bytes = text.as_bytes();
    let word = |i: Option<usize>| i.and_then(|i| bytes.get(i)).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    word(at.checked_sub(1)) && word(at.checked_add(1)) && !text[at..].eq_ignore_ascii_case(".lock")
}

impl fmt::Display for RefName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who made a commit and when; commits made from the same signature, tree, parents and message have the same id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Signature {
    /// Name, without `<`, `>`, newlines.
    pub name: String,
    /// Address, likewise.
    pub email: String,
    /// Seconds since the Unix epoch; written with zone `+0000`.
    pub at_s: u64,
}

impl Signature {
    /// The project's own identity at a given second.
    pub fn roundtable(at_s: u64) -> Self {
        Self { name: "Roundtable".to_owned(), email: "roundtable@localhost".to_owned(), at_s }
    }
}

/// How a repository names objects.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ObjectFormat {
    /// 40 digits.
    #[default]
    Sha1,
    /// 64 digits.
    Sha256,
}

impl ObjectFormat {
    /// git's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
        }
    }
}

/// Version of the git program.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct GitVersion {
    /// First number.
    pub major: u32,
    /// Second number.
    pub minor: u32,
}

impl GitVersion {
    /// The oldest git that has all this module uses.
    pub const OLDEST: Self = Self { major: 2, minor: 38 };

    /// Reads `git version 2.47.3 (…)`.
    pub fn parse(text: &str) -> Option<Self> {
        let number = text.trim().strip_prefix("git version ")?;
        let mut parts = number.split(|c: char| !c.is_ascii_digit());
        Some(Self { major: parts.next()?.parse().ok()?, minor: parts.next()?.parse().ok()? })
    }
}

impl fmt::Display for GitVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn any_text_becomes_one_component_and_different_texts_stay_different() {
        let texts = ["1", "1.2", "T01", "a/b", "..", ".", "x.lock", "-", "", "%", "%25", "é", "a b", "1.", ".1", "a-b", "a@{b", "1.2.lock"];
        let mut seen = std::collections::BTreeSet::new();
        for text in texts {
            let component = RefName::component(text);
            assert!(RefName::parse(&format!("refs/roundtable/{component}/1")).is_ok(), "{text:?} -> {component}");
            assert!(RefName::parse(&format!("refs/roundtable/x/{component}")).is_ok(), "{text:?} -> {component}");
            assert!(seen.insert(component), "{text:?} collides");
        }
        assert_eq!(RefName::component("1.2"), "1.2");
        assert_eq!(RefName::component("a/b"), "a%2Fb");
    }

    #[test]
    fn versions_are_read_from_vendors_too() {
        assert_eq!(GitVersion::parse("git version 2.47.3\n"), Some(GitVersion { major: 2, minor: 47 }));
        assert_eq!(GitVersion::parse("git version 2.39.5 (Apple Git-154)"), Some(GitVersion { major: 2, minor: 39 }));
        assert_eq!(GitVersion::parse("git version 2.38.0.rc1.windows.1"), Some(GitVersion { major: 2, minor: 38 }));
        assert_eq!(GitVersion::parse("hub"), None);
        assert!(GitVersion { major: 2, minor: 37 } < GitVersion::OLDEST);
        assert!(GitVersion { major: 3, minor: 0 } > GitVersion::OLDEST);
    }
}
