//! Who may come in: join tokens and admitted keys, the peers that came in by them, and those that may not any more. Durable, because a token must not be
//! spent twice nor a revocation forgotten over a crash.

use std::collections::BTreeMap;

use roundtable_shared::time::WallMs;
use roundtable_shared::{AccessRole, PeerName, TokenId, TokenStatus, WorkerId};
use serde::{Deserialize, Serialize};

/// A token is remembered this long after its end, so that whoever comes late with it is told why it is refused.
pub const TOKEN_KEPT_MS: u64 = 24 * 3_600_000;
/// A revocation is remembered for longer than any certificate made before it can be renewed: its life, thirty days of grace, and a day.
pub const BARRED_KEPT_MS: u64 = 32 * 24 * 3_600_000;

/// Of a peer's renewals one in so long is recorded: they come twice a day.
pub const RENEWAL_NOTED_MS: u64 = 30 * 24 * 3_600_000;
/// A peer is forgotten once no certificate of it can be good or be renewed: so long after a renewal that was recorded there may have been one that was not, and
/// that is good for a day and can be renewed for thirty; three more for a coordinator that could not write.
pub const PEER_KEPT_MS: u64 = RENEWAL_NOTED_MS + 34 * 24 * 3_600_000;

/// What is known of who may come in.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Access {
    /// Tokens and admitted keys, for a day after their end too.
    pub tokens: BTreeMap<TokenId, Token>,
    /// Peers that came in by one, or are workers of the coordinator's own user, and were not revoked.
    pub peers: BTreeMap<PeerName, Peer>,
    /// Names whose certificates of before that time are refused. The name itself may be given again.
    pub barred: BTreeMap<PeerName, Barred>,
}

/// What admits a number of peers once each.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Token {
    /// Its id.
    pub id: TokenId,
    /// What its bearers come in as.
    pub role: AccessRole,
    /// What must be shown.
    pub admits: Admits,
    /// The name its bearer gets, where that was laid down.
    pub name: Option<String>,
    /// How many keys it admits.
    pub uses: u32,
    /// Labels its workers get.
    pub labels: BTreeMap<String, String>,
    /// Its peers' identities end when they leave or are lost.
    pub ephemeral: bool,
    /// Since when.
    pub created_at: WallMs,
    /// By whom.
    pub created_by: String,
    /// Until when; none = until it is used or revoked.
    pub expires_at: Option<WallMs>,
    /// When it was revoked.
    pub revoked_at: Option<WallMs>,
    /// The keys it was used with.
    pub used: BTreeMap<String, Use>,
}

/// What a token's bearer must show.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Admits {
    /// The secret with that SHA-256.
    Secret(String),
    /// The private key to the public key with that SHA-256.
    Key(String),
}

/// What a token was used for. The same key gets the same certificate again: a reply lost on the way must not burn the token.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Use {
    /// Who came in.
    pub peer: PeerName,
    /// The certificate it got, PEM.
    pub certificate: String,
}

/// A peer that came in.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Peer {
    /// By which token; none = it is a worker of the coordinator's own user, who may read its files anyway.
    pub token: Option<TokenId>,
    /// Labels it has from there.
    pub labels: BTreeMap<String, String>,
    /// Its identity ends when it leaves or is lost.
    pub ephemeral: bool,
    /// Since when.
    pub since: WallMs,
    /// When it was last recorded that it got a certificate.
    pub renewed_at: WallMs,
    /// Its renewals are recorded. Those of who came in to an earlier release are from the first one on that is.
    pub is_followed: bool,
}

/// A name whose earlier certificates are refused.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Barred {
    /// Those that begin in a second before this one.
    pub until: WallMs,
    /// Who did it; empty if nobody in person.
    pub by: String,
    /// For a person.
    pub reason: String,
}

impl Token {
    /// How many more keys it admits.
    pub fn left(&self) -> u32 {
        self.uses.saturating_sub(u32::try_from(self.used.len()).unwrap_or(u32::MAX))
    }

    /// When it ended or will end, if that is known.
    pub fn ends_at(&self) -> Option<WallMs> {
        self.revoked_at.or(self.expires_at)
    }

    /// Whether it lets somebody in at that time.
    pub fn status(&self, now: WallMs) -> TokenStatus {
        if self.revoked_at.is_some() {
            TokenStatus::Revoked
        } else if self.left() == 0 {
            TokenStatus::Used
        } else if self.expires_at.is_some_and(|at| at <= now) {
            TokenStatus::Expired
        } else {
            TokenStatus::Open
        }
    }
}

impl Access {
    /// What was recorded of a worker when it came in by a token.
    pub fn worker(&self, id: &WorkerId) -> Option<&Peer> {
        self.peers.get(&PeerName::worker(id.as_str()))
    }

    /// Certificates of that name that begin in a second before this one are refused.
    pub fn barred_until(&self, peer: &PeerName) -> Option<WallMs> {
        self.barred.get(peer).map(|barred| barred.until)
    }
}
