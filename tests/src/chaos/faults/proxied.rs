//! A host's connections, by the proxy that all of them go through.

use std::time::Duration;

use super::pause;
use crate::chaos::daemon::Daemon;
use crate::chaos::plan::Trouble;
use crate::chaos::proxy::{self, Pass};
use crate::chaos::world::{World, peer};

/// Spoils those of a host.
pub(super) fn spoil(world: &World, daemon: &Daemon, trouble: Trouble, lasts: Duration) {
    let peer = peer(daemon);
    let well = proxy::Trouble::default();
    let spoilt = match trouble {
        Trouble::Late(late_ms, jitter_ms) => proxy::Trouble { late_ms, jitter_ms, ..well },
        Trouble::Stall => proxy::Trouble { pass: Pass::Nothing, ..well },
        Trouble::HalfOpen => proxy::Trouble { pass: Pass::HalfOpen, ..well },
        Trouble::Garble(garble_every) => proxy::Trouble { garble_every, ..well },
        _ => {
            world.proxy.reset(peer);
            well
        }
    };
    world.proxy.treat(peer, spoilt);
    pause(lasts);
    world.proxy.heal(peer);
}
