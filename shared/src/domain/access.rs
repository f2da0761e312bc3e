//! Who may come in, and as what. Certificates name a peer by its role and its id; nothing else does.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a token or a key admits its bearer as.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessRole {
    /// Runs attempts.
    Worker,
    /// Runs and steers.
    Operator,
    /// Looks.
    Viewer,
    /// Does all an operator does and administers.
    Admin,
}

impl AccessRole {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Worker, Self::Operator, Self::Viewer, Self::Admin];

    /// The word in names, flags and output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Operator => "operator",
            Self::Viewer => "viewer",
            Self::Admin => "admin",
        }
    }

    /// Reads that word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

impl fmt::Display for AccessRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A peer by role and id, as its certificate bears them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct PeerName {
    /// What it may do.
    pub role: AccessRole,
    /// Its id within the role.
    pub id: String,
}

impl PeerName {
    /// A worker of that id.
    pub fn worker(id: &str) -> Self {
        Self { role: AccessRole::Worker, id: id.to_owned() }
    }
}

impl fmt::Display for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.role, self.id)
    }
}
