//! The wire: `roundtable.v1` and every conversion between it and domain types.
//!
//! The generated code is committed (`src/generated`), so that building needs no protoc; a test generates it again and compares.
//! `ROUNDTABLE_REGENERATE=1 cargo test -p roundtable-proto --features regenerate` writes it anew (the feature leaves the conversions out, which may
//! not compile against the old code).

#[cfg(not(feature = "regenerate"))]
pub mod convert;
pub mod protocol;

pub use protocol::PROTOCOL;

mod secret;

/// Messages, clients and servers of package `roundtable.v1`.
#[allow(missing_docs, clippy::all, deprecated, unreachable_pub, rust_2018_idioms)]
pub mod v1 {
    include!("generated/roundtable.v1.rs");
}
