//! Bounds that whoever serves may set: who may be connected at once, what is taken from others at once and together, and how long a drained worker may end
//! what it runs.

use std::time::Duration;

use roundtable_core::fleet::Waits;
use roundtable_runtime::git::ReceiveLimits;
use roundtable_runtime::open_files;
use roundtable_runtime::tls::AcceptLimits;
use roundtable_shared::limits::UNITS_MAX;
use roundtable_shared::text;

use crate::args::ServeArgs;

/// The bounds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ServeLimits {
    /// Largest pack that is taken from a worker or a person, bytes.
    pub pack_bytes: u64,
    /// What is kept of packs on their way together, bytes.
    pub incoming_bytes: u64,
    /// How long what runs on a drained worker may go on.
    pub drain: Duration,
    /// Connections at once. Where that is what it usually is, and this process may not open twice as many files, half of those.
    pub connections: usize,
    /// Of those, from one address; loopback is exempt.
    pub connections_per_address: usize,
    /// Units of a plan that is submitted.
    pub units: usize,
}

/// Smallest bound of a pack: less, and ordinary work is refused.
const PACK_BYTES_MIN: u64 = 1 << 20;
/// Bounds of the time to drain in.
const DRAIN_MIN: Duration = Duration::from_secs(1);
const DRAIN_MAX: Duration = Duration::from_secs(30 * 86_400);
/// Fewest connections: a worker has two, and a person comes beside it.
const CONNECTIONS_MIN: usize = 8;

impl Default for ServeLimits {
    fn default() -> Self {
        let AcceptLimits { connections_max, per_address_max, .. } = AcceptLimits::default();
        Self {
            pack_bytes: 4 << 30,
            incoming_bytes: 16 << 30,
            drain: Duration::from_millis(Waits::default().drain_ms),
            connections: connections_max,
            connections_per_address: per_address_max,
            units: UNITS_MAX,
        }
    }
}

impl ServeLimits {
    /// Whether they can be, and go together; else what to change.
    pub fn check(&self) -> Result<(), String> {
        let Self { pack_bytes, incoming_bytes, drain, units, .. } = *self;
        if units == 0 {
            return Err("--units-max is 0; it must be at least 1".to_owned());
        }
        if pack_bytes < PACK_BYTES_MIN {
            return Err(format!("--pack-bytes is {}; it must be at least {}", text::bytes(pack_bytes), text::bytes(PACK_BYTES_MIN)));
        }
        if incoming_bytes < pack_bytes {
            return Err(format!(
                "--incoming-bytes is {}, less than --pack-bytes ({}): a pack of that size could never come in; raise the one or lower the other",
                text::bytes(incoming_bytes),
                text::bytes(pack_bytes)
            ));
        }
        if !(DRAIN_MIN..=DRAIN_MAX).contains(&drain) {
            return Err("--drain-limit must be from 1s to 30d".to_owned());
        }
        self.check_connections(open_files::half())
    }

    /// Connections that there can be: each is a file, of which this process may have so many for them.
    fn check_connections(&self, files: usize) -> Result<(), String> {
        let Self { connections, connections_per_address, .. } = *self;
        if connections < CONNECTIONS_MIN {
            return Err(format!("--connections is {connections}; it must be at least {CONNECTIONS_MIN}"));
        }
        if !(1..=connections).contains(&connections_per_address) {
            return Err(format!(
                "--connections-per-address is {connections_per_address}; it must be from 1 to --connections ({connections})"
            ));
        }
        if connections > files && connections != Self::default().connections {
            return Err(format!(
                "--connections is {connections}, but this process may open no more than {files} files for them, half of its limit; raise that \
                 (`ulimit -n`, LimitNOFILE= of a unit), or lower --connections"
            ));
        }
        Ok(())
    }

    /// What whoever accepts connections is told.
    pub fn accept(&self) -> AcceptLimits {
        // Connections that take the files of log and repositories would end more than themselves.
        let connections_max = self.connections.min(open_files::half());
        AcceptLimits { connections_max, per_address_max: self.connections_per_address, ..AcceptLimits::default() }
    }

    /// What git is told of a pack that comes in.
    pub fn receive(&self) -> ReceiveLimits {
        ReceiveLimits { pack_bytes_max: self.pack_bytes, ..ReceiveLimits::default() }
    }

    /// What the core is told.
    pub fn waits(&self) -> Waits {
        Waits { drain_ms: u64::try_from(self.drain.as_millis()).unwrap_or(u64::MAX) }
    }
}

impl ServeArgs {
    /// The bounds that are asked for.
    pub fn limits(&self) -> ServeLimits {
        let usual = ServeLimits::default();
        let connections = self.connections.unwrap_or(usual.connections);
        ServeLimits {
            pack_bytes: self.pack_bytes.unwrap_or(usual.pack_bytes),
            incoming_bytes: self.incoming_bytes.unwrap_or(usual.incoming_bytes),
            drain: self.drain_limit.unwrap_or(usual.drain),
            connections,
            connections_per_address: self.connections_per_address.unwrap_or(usual.connections_per_address.min(connections)),
            units: self.units_max.unwrap_or(usual.units),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_that_contradict_each_other_are_refused_by_name() {
        let usual = ServeLimits::default();
        assert_eq!(usual.check(), Ok(()));
        let small = ServeLimits { pack_bytes: 4096, ..usual };
        let crossed = ServeLimits { incoming_bytes: 1 << 30, ..usual };
        let never = ServeLimits { drain: Duration::ZERO, ..usual };
        for (limits, words) in
            [(small, vec!["--pack-bytes", "1.0 MiB"]), (crossed, vec!["--incoming-bytes", "--pack-bytes"]), (never, vec!["--drain-limit"])]
        {
            let why = limits.check().expect_err("refused");
            assert!(words.iter().all(|word| why.contains(word)), "{why}");
        }
        assert_eq!(ServeLimits { drain: Duration::from_secs(90), ..usual }.waits().drain_ms, 90_000);
    }

    #[test]
    fn connections_that_cannot_be_are_refused_by_name_and_the_usual_ones_make_do_with_fewer_files() {
        let usual = ServeLimits::default();
        assert_eq!((usual.connections, usual.connections_per_address), (4_096, 64));
        assert_eq!(usual.check_connections(500), Ok(()));
        let many = ServeLimits { connections: 20_000, connections_per_address: 20_000, ..usual };
        assert_eq!(many.check_connections(20_000), Ok(()));
        assert_eq!(ServeLimits { connections: 16, connections_per_address: 9, ..usual }.accept().per_address_max, 9);
        let few = ServeLimits { connections: 7, ..usual };
        let none = ServeLimits { connections_per_address: 0, ..usual };
        let more = ServeLimits { connections: 16, ..usual };
        for (limits, words) in [
            (many, vec!["--connections is 20000", "19999", "ulimit"]),
            (few, vec!["--connections is 7", "at least 8"]),
            (none, vec!["--connections-per-address is 0"]),
            (more, vec!["--connections-per-address is 64", "(16)"]),
        ] {
            let why = limits.check_connections(19_999).expect_err("refused");
            assert!(words.iter().all(|word| why.contains(word)), "{why}");
        }
    }
}
