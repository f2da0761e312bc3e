//! What every binary stands on and the core must never see: git, TLS and identities, configuration, telemetry, shutdown, clocks, locks, files and how many
//! may be open, flags, addresses.
//!
//! Nothing here knows of gRPC messages, runs or units.

pub mod addresses;
pub mod beneath;
pub mod clock;
pub mod config;
pub mod flags;
pub mod fsx;
pub mod git;
pub mod identity;
pub mod lock;
pub mod open_files;
pub mod shutdown;
pub mod sweep;
pub mod systemd;
pub mod telemetry;
pub mod terminal;
pub mod tls;

/// Version, commit and protocol range, as `--version` prints them.
pub const VERSION_LONG: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("ROUNDTABLE_COMMIT"), ", protocol 1..2)");
