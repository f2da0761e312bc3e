//! This host's own addresses that others can reach, from the kernel's tables below /proc/net. Nothing is sent and no name is resolved.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use crate::fsx;

/// Most addresses that are told.
pub const ADDRESSES_MAX: usize = 16;
/// Largest table that is read; a router's may be long.
const TABLE_BYTES_MAX: u64 = 64 << 20;

/// What bridges of containers and virtual machines are called: their addresses are no way to this host from outside.
const BRIDGES: [&str; 7] = ["docker", "br-", "virbr", "veth", "cni", "podman", "lxc"];

/// Flags of an IPv6 address that will not stay or does not work: temporary, duplicate, deprecated, tentative.
const IPV6_UNFIT: u32 = 0x01 | 0x08 | 0x20 | 0x40;

/// Addresses of this host, the ones on the way to the default gateway first, IPv4 before IPv6: neither loopback nor of one link alone, nor of bridges that
/// containers use.
pub fn of_this_host() -> io::Result<Vec<IpAddr>> {
    let table = |name: &str| -> io::Result<String> {
        // A kernel without IPv6 has no such table.
        let bytes = fsx::read_bounded(&Path::new("/proc/net").join(name), TABLE_BYTES_MAX)?;
        Ok(String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned())
    };
    Ok(of_tables(&table("fib_trie")?, &table("route")?, &table("if_inet6")?))
}

/// Whom something is counted of that comes from this address: of an IPv6 address its network of 64 bits, all of which one host may have to itself.
pub fn source_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            let mut octets = address.octets();
            octets[8..].fill(0);
            octets.into()
        }
        address => address,
    }
}

/// Whether who listens on `[::]` is reached by IPv4 too.
pub fn is_dual_stack() -> bool {
    let only = fsx::read_bounded(Path::new("/proc/sys/net/ipv6/bindv6only"), 64);
    !matches!(only, Ok(Some(bytes)) if bytes.trim_ascii() == b"1")
}

fn of_tables(fib_trie: &str, route: &str, if_inet6: &str) -> Vec<IpAddr> {
    let routes: Vec<Route<'_>> = route.lines().skip(1).filter_map(Route::parse).collect();
    let interface_of = |address: Ipv4Addr| {
        let value = u32::from(address);
        routes.iter().find(|route| route.mask != 0 && value & route.mask == route.network).map(|route| route.interface)
    };
    let default = routes.iter().filter(|route| route.mask == 0).min_by_key(|route| route.metric).map(|route| route.interface);
    let mut v4: Vec<Ipv4Addr> = Vec::new();
    for address in local_v4(fib_trie) {
        let is_bridge = interface_of(address).is_some_and(is_bridge);
        if is_way_in(address) && !is_bridge && !v4.contains(&address) {
            v4.push(address);
        }
    }
    // Stable: beside that, as the kernel lists them.
    v4.sort_by_key(|address| default.is_none() || interface_of(*address) != default);
    let v6 = if_inet6.lines().filter_map(global_v6);
    v4.into_iter().map(IpAddr::from).chain(v6.map(IpAddr::from)).take(ADDRESSES_MAX).collect()
}

/// A line of the table of IPv4 routes.
struct Route<'a> {
    interface: &'a str,
    network: u32,
    mask: u32,
    metric: u32,
}

impl<'a> Route<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        // Addresses are printed as this machine's numbers, though they are in the network's order.
        let address = |text: &str| u32::from_str_radix(text, 16).ok().map(|value| u32::from_be_bytes(value.to_ne_bytes()));
        Some(Self {
            interface: fields.first().copied()?,
            network: address(fields.get(1).copied()?)?,
            mask: address(fields.get(7).copied()?)?,
            metric: fields.get(6)?.parse().ok()?,
        })
    }
}

/// The addresses that are this host's own: leaves of the tree that bear a host's own entry.
fn local_v4(fib_trie: &str) -> impl Iterator<Item = Ipv4Addr> + '_ {
    let mut leaf = None;
    fib_trie.lines().filter_map(move |line| {
        let line = line.trim_start();
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.trim_end().parse().ok();
        }
        if line.starts_with("/32 host LOCAL") { leaf } else { None }
    })
}

fn is_way_in(address: Ipv4Addr) -> bool {
    !(address.is_loopback() || address.is_link_local() || address.is_unspecified() || address.is_multicast() || address.is_broadcast())
}

fn is_bridge(interface: &str) -> bool {
    BRIDGES.iter().any(|name| interface.starts_with(name))
}

/// An address of global scope that is fit to be given to others.
fn global_v6(line: &str) -> Option<Ipv6Addr> {
    let mut fields = line.split_ascii_whitespace();
    let address = u128::from_str_radix(fields.next()?, 16).ok()?;
    let scope = fields.nth(2)?;
    let flags = u32::from_str_radix(fields.next()?, 16).ok()?;
    let interface = fields.next()?;
    (scope == "00" && flags & IPV6_UNFIT == 0 && !is_bridge(interface)).then(|| Ipv6Addr::from(address))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_one_host_may_have_to_itself_is_one_source() {
        let of = |text: &str| source_of(text.parse().unwrap()).to_string();
        for (address, wanted) in [
            ("10.0.0.1", "10.0.0.1"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("2001:db8:1:2::", "2001:db8:1:2::"),
            ("::1", "::1"),
            ("127.0.0.1", "127.0.0.1"),
        ] {
            assert_eq!(of(address), wanted, "{address}");
        }
    }

    const TRIE: &str = "\
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 10.1.2.0
        /24 link UNICAST
Local:
  +-- 0.0.0.0/0 3 0 5
        |-- 127.0.0.0
           /8 host LOCAL
        |-- 127.0.0.1
           /32 host LOCAL
        |-- 172.17.0.1
           /32 host LOCAL
        |-- 100.64.3.4
           /32 host LOCAL
        |-- 169.254.7.8
           /32 host LOCAL
        |-- 10.1.2.3
           /32 host LOCAL
        |-- 10.1.2.255
           /32 link BROADCAST
";

    /// As this machine's kernel would print it.
    fn hex(address: [u8; 4]) -> String {
        format!("{:08X}", u32::from_ne_bytes(address))
    }

    fn routes(default: bool) -> String {
        let line = |interface: &str, network: [u8; 4], mask: [u8; 4]| {
            format!("{interface}\t{}\t00000000\t0001\t0\t0\t100\t{}\t0\t0\t0\n", hex(network), hex(mask))
        };
        let mut table = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n".to_owned();
        table += &line("docker0", [172, 17, 0, 0], [255, 255, 0, 0]);
        table += &line("eth0", [10, 1, 2, 0], [255, 255, 255, 0]);
        if default {
            table += &line("eth0", [0, 0, 0, 0], [0, 0, 0, 0]);
        }
        table
    }

    #[test]
    fn addresses_others_can_reach_are_found_the_likeliest_first() {
        let inet6 = "\
fd000000000000000000000000000002 04 40 00 80     eth0
fd000000000000000000000000000003 04 40 00 01     eth0
fe8000000000000000fc00fffe000001 04 40 20 80     eth0
fd000000000000000000000000000004 05 40 00 80  docker0
00000000000000000000000000000001 01 80 10 80       lo
";
        let told = |default: bool, inet6: &str| of_tables(TRIE, &routes(default), inet6).iter().map(IpAddr::to_string).collect::<Vec<_>>();
        assert_eq!(told(true, inet6), ["10.1.2.3", "100.64.3.4", "fd00::2"]);
        assert_eq!(told(false, ""), ["100.64.3.4", "10.1.2.3"]);
        assert!(of_tables("", "", "").is_empty());
        assert!(of_tables("|-- nonsense\n/32 host LOCAL\n", "\nx y z\n", "zz\n").is_empty());
    }

    #[test]
    fn this_machines_own_tables_are_read() {
        let found = of_this_host().unwrap();
        assert!(found.iter().all(|address| !address.is_loopback() && !address.is_unspecified()), "{found:?}");
    }
}
