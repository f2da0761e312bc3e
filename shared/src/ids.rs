//! Identifiers: one newtype each, so that a unit id can never be passed for a run id. Validation of outside input is in the constructors named `parse`.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Wraps text that is already known to be a valid id (parsed, or read back from the log).
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The id as written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

text_id!(
    /// `<spec>-<6 base32>`: one orchestration of a spec on a base commit.
    RunId
);
text_id!(
    /// A task id as written in `tasks.md` (`1`, `1.2`, `T01`); generated for plans without ids.
    TaskId
);
text_id!(
    /// The task id of a dispatch unit's top-level task.
    UnitId
);
text_id!(
    /// A worker's identity, from its certificate; never from a message field.
    WorkerId
);
text_id!(
    /// Name of a backend: `codex`, `gemini`, `codex-review`, `opencode`, `scripted:FILE`, or a configured one.
    BackendName
);
text_id!(
    /// A commit or tree id in lower-case hex, as git prints it.
    CommitId
);
text_id!(
    /// The CLI's own conversation, by which it can be resumed on the worker that has it.
    AgentSessionId
);
text_id!(
    /// `human-fallback-3`, `no-worker-codex`, …: unique within a run while open.
    DecisionId
);

text_id!(
    /// Public part of a join token, by which people name it; says nothing of its secret.
    TokenId
);

impl BackendName {
    /// The name without what it plays: `scripted` of `scripted:FILE`.
    pub fn kind(&self) -> &str {
        self.as_str().split_once(':').map_or(self.as_str(), |(kind, _)| kind)
    }
}

impl UnitId {
    /// The unit's top-level task, which bears the same id.
    pub fn task(&self) -> TaskId {
        TaskId::new(self.as_str())
    }
}

impl TaskId {
    /// The same id as a unit's.
    pub fn unit(&self) -> UnitId {
        UnitId::new(self.as_str())
    }
}

/// Number of an attempt within its unit (or, at run level, within its run): the fencing token, never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Debug, Default)]
#[serde(transparent)]
pub struct AttemptNo(pub u32);

impl fmt::Display for AttemptNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// 128 random bits that name a lease; protects against attempt numbers reused after a restore. Written as 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub u128);

impl LeaseId {
    /// Reads 32 lower-case hex digits: one id has one spelling.
    pub fn parse(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() != 32 || !text.bytes().all(is_digit) {
            return None;
        }
        u128::from_str_radix(text, 16).ok().map(Self)
    }
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LeaseId({:032x})", self.0)
    }
}

impl Serialize for LeaseId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LeaseId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("a lease id is 32 hex digits"))
    }
}

/// Names one attempt wherever it is spoken of: on the wire, in file names and in refs. `unit` is `None` for run-level seats.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Debug)]
pub struct AttemptKey {
    /// The run.
    pub run: RunId,
    /// The unit, or `None` for the run's own seats (`assign`, `orchestrate`, the base `check`).
    pub unit: Option<UnitId>,
    /// The attempt number within the unit or run.
    pub attempt: AttemptNo,
}

impl fmt::Display for AttemptKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.unit {
            Some(unit) => write!(f, "{}/{}/{}", self.run, unit, self.attempt),
            None => write!(f, "{}/-/{}", self.run, self.attempt),
        }
    }
}

/// What every frame of a worker bears: the attempt and the lease that entitles to it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Debug)]
pub struct LeaseRef {
    /// The attempt.
    pub key: AttemptKey,
    /// The lease.
    pub lease_id: LeaseId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_id_is_read_as_it_is_written_and_in_no_other_way() {
        let id = LeaseId(0xab << 64);
        assert_eq!(LeaseId::parse(&id.to_string()), Some(id));
        for other in [id.to_string().to_uppercase(), format!("+{}", "1".repeat(31)), "ab".to_owned(), "g".repeat(32)] {
            assert_eq!(LeaseId::parse(&other), None, "{other}");
        }
    }
}
