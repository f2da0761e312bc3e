//! Acts about who may come in, and the wish to. Secrets and keys are digests by now; certificates are made before they are asked for here.

use std::collections::BTreeMap;

use roundtable_shared::time::WallMs;
use roundtable_shared::{AccessRole, PeerName, TokenId, WorkerId};

use crate::state::Admits;

/// One of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AccessCommand {
    /// Make a token, or admit a key.
    Create(Box<NewToken>),
    /// Let nobody in by it any more.
    RevokeToken {
        /// Which.
        id: TokenId,
        /// Who.
        by: String,
    },
    /// Somebody wants in.
    Join(Box<Joining>),
    /// A worker of the coordinator's own user is to have its name.
    Enrol {
        /// It.
        worker: WorkerId,
    },
    /// Somebody was given a younger certificate.
    Renewed {
        /// Who.
        peer: PeerName,
    },
    /// Refuse a peer from now on.
    RevokePeer {
        /// Its role, where the id alone is not clear.
        role: Option<AccessRole>,
        /// Its id.
        id: String,
        /// Who.
        by: String,
    },
}

/// A token to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewToken {
    /// Its id, drawn by the shell.
    pub id: TokenId,
    /// What its bearers come in as.
    pub role: AccessRole,
    /// What must be shown.
    pub admits: Admits,
    /// The name its bearer gets.
    pub name: Option<String>,
    /// How many keys it admits.
    pub uses: u32,
    /// Labels its workers get.
    pub labels: BTreeMap<String, String>,
    /// Its peers' identities end when they leave or are lost.
    pub ephemeral: bool,
    /// Until when it may be used.
    pub expires_at: Option<WallMs>,
    /// Who makes it.
    pub by: String,
}

/// What somebody shows who wants in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Presented {
    /// The token's id and the SHA-256 of its secret; none = the key is to be enough.
    pub token: Option<(TokenId, String)>,
    /// SHA-256 of the public key.
    pub key: String,
}

/// Somebody who wants in, with the certificate that is theirs if they may.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Joining {
    /// What they show.
    pub presented: Presented,
    /// The name the certificate was made for.
    pub peer: PeerName,
    /// It, PEM.
    pub certificate: String,
}
