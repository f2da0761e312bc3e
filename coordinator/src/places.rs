//! Where a coordinator is reached: by processes of its host, by others, and by which names its certificate can be checked. `client.json`, the certificate and
//! the printed lines all take them from here, so that they agree.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use roundtable_runtime::addresses;

/// Where it is reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Places {
    bound: SocketAddr,
    local: SocketAddr,
    others: Vec<String>,
    names: Vec<String>,
}

/// Why there is no such place.
#[derive(Debug, thiserror::Error)]
pub enum PlacesError {
    /// It listens for others, who have no way to it.
    #[error(
        "--listen {bound} is for other hosts, but this one has no address that they can reach, only loopback. Connect it to a network, say how others \
         reach it with --advertise HOST:PORT (a name, a port that is forwarded), or listen for this host alone with --listen 127.0.0.1:{}", bound.port()
    )]
    NoWayIn {
        /// The address it listens on.
        bound: SocketAddr,
    },
    /// The kernel does not tell this host's addresses.
    #[error("the addresses of this host cannot be read from /proc/net: {source}; say how others reach it with --advertise HOST:PORT")]
    Unknown {
        /// Why.
        source: io::Error,
    },
}

impl Places {
    /// Of one that listens on `bound` (a wildcard, perhaps). `advertise` (each `HOST:PORT`) replaces what would be found out; without it, `hostnames` with the
    /// port it listens on go first, and `own` is asked for this host's addresses only where it listens on all of them.
    pub fn of(
        bound: SocketAddr,
        advertise: &[String],
        hostnames: &[String],
        own: impl FnOnce() -> io::Result<Vec<IpAddr>>,
    ) -> Result<Self, PlacesError> {
        let ip = bound.ip().to_canonical();
        let mut others: Vec<String> = advertise.to_vec();
        if others.is_empty() && !ip.is_loopback() {
            let port = bound.port();
            others.extend(hostnames.iter().map(|name| with_port(name, port)));
            if ip.is_unspecified() {
                let found = own();
                // Names are a way in, whatever the kernel tells.
                let found =
                    if others.is_empty() { found.map_err(|source| PlacesError::Unknown { source })? } else { found.unwrap_or_default() };
                others.extend(found.into_iter().filter(|each| is_served(bound, *each)).map(|each| SocketAddr::new(each, port).to_string()));
            } else {
                others.push(SocketAddr::new(ip, port).to_string());
            }
            if others.is_empty() {
                return Err(PlacesError::NoWayIn { bound });
            }
        }
        let local = SocketAddr::new(if ip.is_unspecified() { loopback_of(bound) } else { bound.ip() }, bound.port());
        let mut names: Vec<String> = Vec::new();
        let of_others = others.iter().map(|place| host_of(place).to_owned());
        for name in std::iter::once(local.ip().to_string()).chain(hostnames.iter().cloned()).chain(of_others) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let mut once: Vec<String> = Vec::with_capacity(others.len());
        for place in others {
            if !once.contains(&place) {
                once.push(place);
            }
        }
        Ok(Self { bound, local, others: once, names })
    }

    /// As processes of this host reach it: never a wildcard.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// As others reach it, `HOST:PORT` each, best first; none where it listens for this host alone.
    pub fn others(&self) -> &[String] {
        &self.others
    }

    /// The address to give away: the best of others', else this host's own.
    pub fn url(&self) -> String {
        self.others.first().map_or_else(|| format!("https://{}", self.local), |place| format!("https://{place}"))
    }

    /// Names and addresses for the certificate, beside those that every coordinator's has.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// In words, for whoever starts it.
    pub fn listening(&self) -> String {
        let every = if self.bound.ip().is_unspecified() { " (and every other address of this host)" } else { "" };
        format!("https://{}{every}", self.local)
    }
}

/// Whether who listens on a wildcard is reached there.
fn is_served(bound: SocketAddr, address: IpAddr) -> bool {
    match bound.ip() {
        IpAddr::V4(_) => address.is_ipv4(),
        IpAddr::V6(_) => address.is_ipv6() || addresses::is_dual_stack(),
    }
}

fn loopback_of(bound: SocketAddr) -> IpAddr {
    // A wildcard of IPv6 that is not dual has no 127.0.0.1.
    if bound.is_ipv6() && !addresses::is_dual_stack() { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() }
}

/// A name or address with a port, as it stands in a URL.
fn with_port(name: &str, port: u16) -> String {
    match name.parse::<IpAddr>() {
        Ok(address) => SocketAddr::new(address, port).to_string(),
        Err(_) => format!("{name}:{port}"),
    }
}

/// The host of `HOST:PORT`, without brackets.
fn host_of(place: &str) -> &str {
    let host = place.rsplit_once(':').map_or(place, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn places(bound: &str, advertise: &[&str], hostnames: &[&str], own: &[&str]) -> Result<Places, PlacesError> {
        let texts = |all: &[&str]| all.iter().map(|each| (*each).to_owned()).collect::<Vec<_>>();
        let own: Vec<IpAddr> = own.iter().map(|address| address.parse().unwrap()).collect();
        Places::of(bound.parse().unwrap(), &texts(advertise), &texts(hostnames), || Ok(own))
    }

    #[test]
    fn a_wildcard_is_reached_at_the_hosts_own_addresses_and_locally_on_loopback() {
        let found = places("0.0.0.0:7420", &[], &[], &["10.1.2.3", "fd00::2"]).unwrap();
        assert_eq!(found.others(), ["10.1.2.3:7420"]);
        assert_eq!((found.local().to_string(), found.url()), ("127.0.0.1:7420".to_owned(), "https://10.1.2.3:7420".to_owned()));
        assert_eq!(found.names(), ["127.0.0.1", "10.1.2.3"]);
        assert!(found.listening().starts_with("https://127.0.0.1:7420 "), "{}", found.listening());
        let dual = places("[::]:7420", &[], &[], &["fd00::2"]).unwrap();
        assert_eq!((dual.others(), dual.names()[1].as_str()), (["[fd00::2]:7420".to_owned()].as_slice(), "fd00::2"));
    }

    #[test]
    fn what_is_advertised_replaces_what_is_found_and_hostnames_go_first() {
        let told = places("0.0.0.0:7420", &["rt.example:443", "10.9.9.9:7420", "rt.example:443"], &["rt.internal"], &["10.1.2.3"]).unwrap();
        assert_eq!(told.others(), ["rt.example:443", "10.9.9.9:7420"]);
        assert_eq!(told.names(), ["127.0.0.1", "rt.internal", "rt.example", "10.9.9.9"]);
        let named = places("0.0.0.0:7420", &[], &["rt.internal", "fd00::7"], &["10.1.2.3"]).unwrap();
        assert_eq!(named.others(), ["rt.internal:7420", "[fd00::7]:7420", "10.1.2.3:7420"]);
        let unread = Places::of("0.0.0.0:1".parse().unwrap(), &[], &["h".to_owned()], || Err(io::ErrorKind::NotFound.into())).unwrap();
        assert_eq!(unread.others(), ["h:1"]);
    }

    #[test]
    fn loopback_is_for_this_host_alone_unless_something_forwards_to_it() {
        let alone = places("127.0.0.1:7420", &[], &["rt.internal"], &["10.1.2.3"]).unwrap();
        assert!(alone.others().is_empty());
        assert_eq!(
            (alone.url(), alone.names()),
            ("https://127.0.0.1:7420".to_owned(), ["127.0.0.1", "rt.internal"].map(str::to_owned).as_slice())
        );
        assert_eq!(alone.listening(), "https://127.0.0.1:7420");
        let forwarded = places("127.0.0.1:7420", &["rt.example:443"], &[], &[]).unwrap();
        assert_eq!(
            (forwarded.others(), forwarded.local().to_string()),
            (["rt.example:443".to_owned()].as_slice(), "127.0.0.1:7420".to_owned())
        );
        let one = places("10.1.2.3:7420", &[], &[], &["10.1.2.3", "10.5.5.5"]).unwrap();
        assert_eq!((one.others(), one.local().to_string()), (["10.1.2.3:7420".to_owned()].as_slice(), "10.1.2.3:7420".to_owned()));
    }

    #[test]
    fn where_nobody_can_come_the_way_out_is_named() {
        let refused = places("0.0.0.0:7420", &[], &[], &["fd00::2"]).unwrap_err().to_string();
        for part in ["--listen 0.0.0.0:7420", "only loopback", "--advertise HOST:PORT", "--listen 127.0.0.1:7420"] {
            assert!(refused.contains(part), "{refused}");
        }
        let unread = Places::of("0.0.0.0:1".parse().unwrap(), &[], &[], || Err(io::ErrorKind::PermissionDenied.into()));
        assert!(unread.unwrap_err().to_string().contains("--advertise HOST:PORT"));
    }
}
