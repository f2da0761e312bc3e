//! Hosts as network namespaces: one for the coordinator, one for each worker, and a pair of virtual links between it and every other. Only the network is
//! apart; what runs in them sees the same files and processes.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use roundtable_tests::harness::{Program, Sandbox, binary};

/// Where the coordinator listens; the port is its namespace's own.
pub const PORT: u16 = 7420;
/// Most worker hosts: each has a network of its own below 10.77.
pub const HOSTS_MAX: usize = 64;

/// The namespaces of one run; gone when this is dropped.
pub struct Net {
    tag: String,
    ip: PathBuf,
    nsenter: PathBuf,
    hosts: usize,
}

impl Net {
    /// Why hosts cannot be namespaces here.
    pub fn why_not() -> Option<String> {
        if !rustix::process::geteuid().is_root() {
            return Some("namespaces can be made by root alone".to_owned());
        }
        ["ip", "nsenter"].into_iter().find_map(|name| tool(name).err()).map(|error| error.to_string()).or_else(|| {
            let probe = format!("rtp{}", std::process::id());
            let ip = tool("ip").ok()?;
            let made = run(&ip, &["netns", "add", &probe])
                .and_then(|()| run(&ip, &["-n", &probe, "link", "add", "a", "type", "veth", "peer", "name", "b"]));
            // What was made of it goes; where nothing was made there is nothing to take away.
            let _ = run(&ip, &["netns", "del", &probe]);
            made.err().map(|error| format!("{error:#}"))
        })
    }

    /// A namespace for the coordinator and one for each of so many hosts.
    pub fn make(hosts: usize) -> anyhow::Result<Self> {
        let net = Self { tag: format!("rt{}", std::process::id()), ip: tool("ip")?, nsenter: tool("nsenter")?, hosts };
        let center = net.coordinator();
        net.ip(&["netns", "add", &center])?;
        net.ip(&["-n", &center, "link", "set", "lo", "up"])?;
        for host in 1..=hosts {
            let (space, link) = (net.worker(host), format!("h{host}"));
            net.ip(&["netns", "add", &space])?;
            net.ip(&["-n", &space, "link", "set", "lo", "up"])?;
            net.ip(&["-n", &center, "link", "add", &link, "type", "veth", "peer", "name", "up0", "netns", &space])?;
            for (space, device, address) in [(&center, link.as_str(), near(host)), (&space, "up0", format!("10.77.{host}.2"))] {
                net.ip(&["-n", space, "addr", "add", &format!("{address}/30"), "dev", device])?;
                net.ip(&["-n", space, "link", "set", device, "up"])?;
            }
        }
        Ok(net)
    }

    /// A program in the coordinator's namespace.
    pub fn on_coordinator(&self, sandbox: &Sandbox, name: &str) -> Program {
        self.program(sandbox, &self.coordinator(), name)
    }

    /// A program in a worker host's namespace.
    pub fn on_host(&self, sandbox: &Sandbox, host: usize, name: &str) -> Program {
        self.program(sandbox, &self.worker(host), name)
    }

    /// `HOST:PORT` of the coordinator as that host reaches it.
    pub fn address(host: usize) -> String {
        format!("{}:{PORT}", near(host))
    }

    fn program(&self, sandbox: &Sandbox, space: &str, name: &str) -> Program {
        // Not `ip netns exec`, which hides the cgroups that process trees are held by.
        sandbox.foreign(&self.nsenter).args([format!("--net=/run/netns/{space}").as_str(), "--"]).path(&binary(name))
    }

    fn coordinator(&self) -> String {
        format!("{}c", self.tag)
    }

    fn worker(&self, host: usize) -> String {
        format!("{}w{host}", self.tag)
    }

    fn ip(&self, args: &[&str]) -> anyhow::Result<()> {
        run(&self.ip, args)
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for space in (1..=self.hosts).map(|host| self.worker(host)).chain([self.coordinator()]) {
            // One that was not made yet is not there.
            let _ = self.ip(&["netns", "del", &space]);
        }
    }
}

/// The coordinator's end of the link to a host.
fn near(host: usize) -> String {
    format!("10.77.{host}.1")
}

fn tool(name: &str) -> anyhow::Result<PathBuf> {
    let search = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&search).chain(["/usr/sbin", "/sbin", "/usr/bin"].map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|file| file.is_file()).with_context(|| format!("{name} is not here"))
}

fn run(program: &Path, args: &[&str]) -> anyhow::Result<()> {
    let done = Command::new(program).args(args).output().with_context(|| program.display().to_string())?;
    if !done.status.success() {
        bail!("{} {}: {}", program.display(), args.join(" "), String::from_utf8_lossy(&done.stderr).trim());
    }
    Ok(())
}
