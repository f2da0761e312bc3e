//! Who may come in, as those who decide it ask and are told.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::Word;
use crate::domain::{AccessRole, TokenStatus};

/// What is asked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum AccessRequest {
    /// Make a token; the answer is a [`CreatedToken`].
    CreateToken {
        /// What its bearers come in as.
        role: AccessRole,
        /// How long it lasts.
        ttl_ms: u64,
        /// How many keys it admits.
        uses: u32,
        /// Labels its workers get.
        #[serde(default)]
        labels: BTreeMap<String, String>,
        /// Its workers' identities end when they leave or are lost.
        #[serde(default)]
        ephemeral: bool,
    },
    /// Tokens and admitted keys, also for a day after their end.
    Tokens,
    /// Let nobody in by it any more.
    RevokeToken {
        /// Its id.
        id: String,
    },
    /// Admit the worker with this key.
    AddWorker {
        /// SHA-256 of its public key, as `worker keygen` prints it.
        key: String,
        /// Its name; its own choice if absent.
        #[serde(default)]
        name: Option<String>,
        /// Labels it gets.
        #[serde(default)]
        labels: BTreeMap<String, String>,
    },
    /// Refuse a peer from now on, and cut its connections.
    Revoke {
        /// Its id, or role and id: `worker/ID`.
        id: String,
    },
    /// The roots of the cluster.
    Root {
        /// What becomes of them.
        act: RootAct,
    },
}

/// What becomes of the roots. A rotation is `next`, a day of patience, `switch`, a month of patience, `drop`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RootAct {
    /// Nothing: their digests are told.
    Show,
    /// Make the next one and make it known.
    Next,
    /// Let the next one sign.
    Switch {
        /// Also before everybody can know it.
        #[serde(default)]
        early: bool,
    },
    /// Believe in the former one no more.
    Drop {
        /// Also while certificates of it can be good, or be renewed.
        #[serde(default)]
        early: bool,
    },
}

/// What is answered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessReply {
    /// The token that was made.
    Created(CreatedToken),
    /// All of them.
    Tokens(Vec<TokenView>),
    /// It was done.
    Done {
        /// In words.
        text: String,
        /// It had been done before.
        unchanged: bool,
    },
}

/// `token create --json`. Its bearer's alone: it does not show itself.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CreatedToken {
    /// Its id, which is no secret.
    pub id: String,
    /// All of it.
    pub token: String,
    /// What its bearers come in as.
    pub role: Word<AccessRole>,
    /// How many keys it admits.
    pub uses: u32,
    /// RFC 3339.
    pub expires_at: String,
    /// Where they come in.
    pub url: String,
    /// What they paste.
    pub line: String,
}

impl fmt::Debug for CreatedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreatedToken").field("id", &self.id).finish_non_exhaustive()
    }
}

/// `token list --json`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct TokenView {
    /// Its id.
    pub id: String,
    /// What its bearers come in as.
    pub role: Word<AccessRole>,
    /// Whether it still lets somebody in.
    pub status: Word<TokenStatus>,
    /// How many keys it admits.
    pub uses: u32,
    /// Of those, how many more.
    pub left: u32,
    /// RFC 3339; null = until it is used or revoked.
    pub expires_at: Option<String>,
    /// RFC 3339.
    pub created_at: String,
    /// Who made it.
    pub created_by: String,
    /// Labels its workers get.
    pub labels: BTreeMap<String, String>,
    /// Its workers' identities end with them.
    pub ephemeral: bool,
    /// The key it admits, if it is no secret that does.
    pub key: Option<String>,
    /// Who came in by it.
    pub used_by: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_not_shown_by_accident() {
        let made = CreatedToken { id: "t1".into(), token: "hush".into(), line: "hush".into(), ..CreatedToken::default() };
        let shown = format!("{:?}", AccessReply::Created(made));
        assert!(shown.contains("t1") && !shown.contains("hush"), "{shown}");
    }
}
