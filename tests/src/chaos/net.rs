//! A network of network namespaces: one with a bridge, one for each host, joined by pairs of virtual links. Nothing of it touches the machine's own network.
//! What makes a host's link bad is `faults`'. Benches put hosts into it too: where hosts share the machine's processes and files, this is how they are made.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use super::cgroup;
use super::disk;
use super::tools::{attempt, find, is_gone, run, run_with, text, tool};

/// Names of all our namespaces begin so; the maker's process id follows.
const PREFIX: &str = "rtc";
/// Where `ip` keeps them.
const FOLDER: &str = "/run/netns";

/// The bridge between the hosts.
#[derive(Debug)]
pub struct Network {
    name: String,
}

impl Network {
    /// Why none can be made here.
    pub fn why_not() -> Option<String> {
        if !rustix::process::geteuid().is_root() {
            return Some("only root can make network namespaces".to_owned());
        }
        if let Some(lacking) = ["ip", "nsenter"].into_iter().find(|name| find(name).is_none()) {
            return Some(format!("{lacking} is not here"));
        }
        let probe = format!("{PREFIX}-{}-probe", std::process::id());
        let made = attempt("ip", &["netns", "add", &probe], "")
            .and_then(|_| attempt("ip", &["-n", &probe, "link", "add", "v0", "type", "veth", "peer", "name", "v1"], ""))
            .and_then(|_| attempt("ip", &["-n", &probe, "link", "add", "br0", "type", "bridge"], ""));
        // Where nothing was made there is nothing to take away.
        let _ = attempt("ip", &["netns", "delete", &probe], "");
        made.err()
    }

    /// An empty one. Those that a killed maker left behind go first.
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        sweep();
        let name = format!("{PREFIX}-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let network = Self { name };
        let bridge = network.bridge();
        run("ip", &["netns", "add", &bridge]);
        run_with("ip", &["-n", &bridge, "-batch", "-"], "link add br0 type bridge\nlink set br0 up\n");
        network
    }

    fn bridge(&self) -> String {
        format!("{}-bridge", self.name)
    }

    /// A host's own namespace with an address in the network.
    pub fn host(&self, name: &str, number: u8) -> Space {
        let space = Space { name: format!("{}-{name}", self.name), address: Ipv4Addr::new(10, 77, 0, number) };
        run("ip", &["netns", "add", &space.name]);
        let pair = format!(
            "link add v{number} type veth peer name eth0 netns {0}\nlink set v{number} master br0\nlink set v{number} up\n",
            space.name
        );
        run_with("ip", &["-n", &self.bridge(), "-batch", "-"], &pair);
        let own = format!("link set lo up\naddr add {}/24 dev eth0\nlink set eth0 up\n", space.address);
        run_with("ip", &["-n", &space.name, "-batch", "-"], &own);
        space
    }
}

impl Default for Network {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = attempt("ip", &["netns", "delete", &self.bridge()], "");
    }
}

/// A host's network.
#[derive(Debug)]
pub struct Space {
    /// How `ip` knows it.
    pub(super) name: String,
    /// Its address.
    pub address: Ipv4Addr,
}

impl Space {
    /// The program that begins another one in there, and what it is told before that one's own words.
    pub fn enter(&self) -> (PathBuf, [String; 2]) {
        (tool("nsenter"), [format!("--net={}", text(&self.file())), "--".to_owned()])
    }

    /// The file that stands for it.
    pub(super) fn file(&self) -> PathBuf {
        PathBuf::from(FOLDER).join(&self.name)
    }

    /// `ip …` there.
    pub(super) fn ip(&self, args: &[&str]) {
        run("ip", &[["-n", self.name.as_str()].as_slice(), args].concat());
    }

    /// `tc …` there.
    pub(super) fn tc(&self, args: &[&str]) {
        run("tc", &[["-n", self.name.as_str()].as_slice(), args].concat());
    }

    /// Rules of nft there.
    pub(super) fn nft(&self, rules: &str) {
        let net = format!("--net={}", text(&self.file()));
        run_with("nsenter", &[&net, "--", text(&tool("nft")), "-f", "-"], rules);
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let _ = attempt("ip", &["netns", "delete", &self.name], "");
    }
}

/// Removes namespaces whose maker is gone, with what still runs on their hosts, and then their disks.
fn sweep() {
    for entry in std::fs::read_dir(FOLDER).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let maker = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix('-')).and_then(|rest| rest.split('-').next());
        if maker.is_some_and(is_gone) {
            cgroup::end_left(&name);
            let _ = attempt("ip", &["netns", "delete", &name], "");
        }
    }
    // Once nothing runs there any more.
    disk::sweep();
}
