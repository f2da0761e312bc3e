//! Facts about who may come in, as rows hold them.

use std::collections::BTreeMap;

use roundtable_shared::time::WallMs;
use roundtable_shared::{AccessRole, PeerName, TokenId};
use serde::{Deserialize, Serialize};

use crate::state::Admits;

/// A token, or a key that is admitted without one. Of a secret only the digest is here.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TokenCreated {
    /// Its id.
    pub id: TokenId,
    /// What its bearers come in as.
    pub role: AccessRole,
    /// What must be shown.
    pub admits: Admits,
    /// The name its bearer gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How many keys it admits.
    pub uses: u32,
    /// Labels its workers get.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Its peers' identities end when they leave or are lost.
    #[serde(default)]
    pub ephemeral: bool,
    /// Until when it may be used; none = until it is used or revoked.
    #[serde(default)]
    pub expires_at: Option<WallMs>,
    /// Who made it.
    pub by: String,
}

/// A peer came in. What it was given is part of the fact, so that a lost reply can be given again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PeerJoined {
    /// By which token.
    pub token: TokenId,
    /// SHA-256 of its public key.
    pub key: String,
    /// As what.
    pub peer: PeerName,
    /// Its certificate, PEM.
    pub certificate: String,
    /// Its renewals are recorded: it can be forgotten once there have been none for long. Earlier releases recorded none.
    #[serde(default)]
    pub is_followed: bool,
}
