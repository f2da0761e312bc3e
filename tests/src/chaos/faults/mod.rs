//! Doing what a plan says, and healing it: one file for each kind of thing that goes wrong. On one host one fault at a time.

mod clock;
mod disk;
mod link;
mod power;
mod process;
mod proxied;
mod sync;

use std::time::Duration;

use super::plan::{Fault, Trouble};
use super::world::World;

/// Plays a fault to its healing. Whether it met what it was to meet: a sync that never came was not broken.
pub(super) fn play(world: &World, fault: &Fault) -> bool {
    let daemon = world.daemon(fault.on);
    let host = match fault.on {
        super::plan::On::Spare => &world.spare,
        _ => &daemon.host,
    };
    let _held = host.hold();
    let lasts = fault.lasts;
    match fault.trouble {
        Trouble::Kill => process::kill(daemon, lasts),
        Trouble::Stop => process::stop(daemon, lasts),
        Trouble::PowerCut => power::cut(daemon, lasts),
        Trouble::Freeze => power::freeze(daemon, lasts),
        Trouble::Cut(way) => link::cut(daemon, way, lasts),
        Trouble::Loss(percent) => link::lose(daemon, percent, lasts),
        Trouble::Narrow(kilobits) => link::narrow(daemon, kilobits, lasts),
        Trouble::Late(..) | Trouble::Reset | Trouble::Stall | Trouble::HalfOpen | Trouble::Garble(_) => {
            proxied::spoil(world, daemon, fault.trouble, lasts);
        }
        Trouble::Full => disk::fill(daemon, lasts),
        Trouble::Clock(minutes) => clock::set(daemon, minutes, lasts),
        Trouble::Sync(what, which, how) => return sync::play(world, daemon, sync::Break { what, which, how }, lasts),
    }
    true
}

/// The time a fault lasts: a moment of its own, not a condition.
fn pause(lasts: Duration) {
    std::thread::sleep(lasts);
}
