//! A host's link: cut in one direction or both, lossy, narrow. The kernel's own means: the link itself, `nft`, a token bucket.

use std::time::Duration;

use super::pause;
use crate::chaos::daemon::Daemon;
use crate::chaos::plan::Way;

/// The table with our rules.
const TABLE: &str = "inet chaos";

/// Cuts it.
pub(super) fn cut(daemon: &Daemon, way: Way, lasts: Duration) {
    let space = &daemon.host.space;
    match way {
        Way::Both => {
            space.ip(&["link", "set", "eth0", "down"]);
            pause(lasts);
            space.ip(&["link", "set", "eth0", "up"]);
        }
        Way::Out => rule(daemon, &[("output", "oifname \"eth0\" drop")], lasts),
        Way::In => rule(daemon, &[("input", "iifname \"eth0\" drop")], lasts),
    }
}

/// Loses packets, each way.
pub(super) fn lose(daemon: &Daemon, percent: u8, lasts: Duration) {
    let lost = |name: &str| format!("{name} \"eth0\" numgen random mod 100 < {percent} drop");
    rule(daemon, &[("output", &lost("oifname")), ("input", &lost("iifname"))], lasts);
}

/// Lets so many kilobits a second out.
pub(super) fn narrow(daemon: &Daemon, kilobits: u32, lasts: Duration) {
    let space = &daemon.host.space;
    let rate = format!("{kilobits}kbit");
    space.tc(&["qdisc", "add", "dev", "eth0", "root", "tbf", "rate", &rate, "burst", "16kb", "latency", "2000ms"]);
    pause(lasts);
    space.tc(&["qdisc", "del", "dev", "eth0", "root"]);
}

fn rule(daemon: &Daemon, rules: &[(&str, &str)], lasts: Duration) {
    let chain = |(hook, rule): &(&str, &str)| format!("chain {hook} {{ type filter hook {hook} priority 0; {rule}; }}\n");
    let chains: String = rules.iter().map(chain).collect();
    daemon.host.space.nft(&format!("table {TABLE} {{\n{chains}}}\n"));
    pause(lasts);
    daemon.host.space.nft(&format!("delete table {TABLE}\n"));
}
