//! Whether an authenticated peer is let in: asked of whoever knows who is a member, by those that accept connections and by those that cut them.

use std::sync::Arc;

use crate::identity::PeerIdentity;

/// Decides whether an authenticated peer is let in. Asked after the handshake, and again for all that are in by [`super::Connections::recheck`].
pub type Admit = Arc<dyn Fn(&PeerIdentity) -> Admission + Send + Sync>;

/// Whether an authenticated peer is let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Admission {
    /// It is.
    Admitted,
    /// It was once: it gets a short connection, on which it is told so.
    Revoked,
    /// It has no business here: closed.
    Stranger,
}
