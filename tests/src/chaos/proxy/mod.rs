//! A TCP proxy that makes links bad where no kernel helps: late, jittery, garbled, stalled, reset, half-open; for one peer or for all. It knows nothing of
//! what it passes on. Everything it holds has a bound.

mod relay;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::sync::watch;

/// What becomes of a peer's bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Trouble {
    /// How much later than sent they arrive, milliseconds, each way.
    pub late_ms: u64,
    /// Up to so much later still, at random; their order stays.
    pub jitter_ms: u64,
    /// One byte in so many is changed; 0 for none.
    pub garble_every: u64,
    /// Whether they arrive at all.
    pub pass: Pass,
}

/// Whether bytes are passed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Pass {
    /// They are.
    #[default]
    All,
    /// They wait; connections stay, and new ones are made.
    Nothing,
    /// The far side is gone and the near side does not know: nothing is read from it, and nothing is ever answered.
    HalfOpen,
}

/// What holds now, and how often each peer's connections were reset.
#[derive(Clone, Debug, Default)]
struct Rules {
    troubles: BTreeMap<IpAddr, Trouble>,
    resets: BTreeMap<IpAddr, u64>,
    /// Who is not named is treated so.
    others: Trouble,
    resets_of_all: u64,
}

impl Rules {
    fn of(&self, peer: IpAddr) -> Trouble {
        self.troubles.get(&peer).copied().unwrap_or(self.others)
    }

    fn resets(&self, peer: IpAddr) -> u64 {
        self.resets.get(&peer).copied().unwrap_or(0) + self.resets_of_all
    }
}

/// A running proxy; dropped, it ends with all its connections.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    rules: watch::Sender<Rules>,
    ends: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Listens, and passes on to `to`: both in the network namespace of that file, if one is named.
    pub fn start(space: Option<&Path>, listen: SocketAddr, to: SocketAddr) -> io::Result<Self> {
        let (rules, seen) = watch::channel(Rules::default());
        let (ends, ended) = watch::channel(false);
        let (told, hears) = sync_channel(1);
        let space = space.map(Path::to_owned);
        let thread = std::thread::Builder::new().name("proxy".to_owned()).spawn(move || match enter(space).and_then(|()| runtime()) {
            Ok(runtime) => runtime.block_on(async move {
                match tokio::net::TcpListener::bind(listen).await.and_then(|listener| Ok((listener.local_addr()?, listener))) {
                    Ok((address, listener)) => {
                        let _ = told.send(Ok(address));
                        relay::serve(listener, to, seen, ended).await;
                    }
                    Err(error) => drop(told.send(Err(error))),
                }
            }),
            Err(error) => drop(told.send(Err(error))),
        })?;
        let address = hears.recv().map_err(io::Error::other)??;
        Ok(Self { address, rules, ends, thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Treats a peer, or all who are not named, like this from now on, also on connections that are there.
    pub fn treat(&self, peer: Option<IpAddr>, trouble: Trouble) {
        self.rules.send_modify(|rules| match peer {
            Some(peer) => drop(rules.troubles.insert(peer, trouble)),
            None => rules.others = trouble,
        });
    }

    /// Treats a peer, or all who are not named, well again.
    pub fn heal(&self, peer: Option<IpAddr>) {
        self.treat(peer, Trouble::default());
    }

    /// Resets the connections of a peer, or all.
    pub fn reset(&self, peer: Option<IpAddr>) {
        self.rules.send_modify(|rules| match peer {
            Some(peer) => *rules.resets.entry(peer).or_default() += 1,
            None => rules.resets_of_all += 1,
        });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.ends.send_replace(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Moves this thread into a network namespace. Its sockets stay there, and it ends with them.
fn enter(space: Option<PathBuf>) -> io::Result<()> {
    let Some(space) = space else { return Ok(()) };
    Ok(move_into_link_name_space(File::open(space)?.as_fd(), Some(LinkNameSpaceType::Network))?)
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
