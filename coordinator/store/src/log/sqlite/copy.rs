//! A copy of a store as it is at one moment, taken while anybody may write it.

use std::path::Path;

use super::failure::Failure;
use super::{create_file, query, reader, schema};
use crate::log::error::OpenError;
use crate::log::row::{Head, Incarnation};
use crate::log::witness;

/// What a copy holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Copied {
    /// The store it is a copy of, whose name it still bears.
    pub incarnation: Incarnation,
    /// Its last row.
    pub head: Head,
}

/// Copies the store at `from` to `to`, which must not exist; durable when this returns. Identity and last row of both are checked, and that no acknowledged row
/// is missing; the rows before are checked by whoever reads them. Blocks on the disk.
pub fn copy_store(from: &Path, to: &Path) -> Result<Copied, OpenError> {
    copy(from, to).map_err(|failure| failure.on_open(from))
}

fn copy(from: &Path, to: &Path) -> Result<Copied, Failure> {
    let io = |error: std::io::Error| Failure::Io(format!("{}: {error}", to.display()));
    let witnessed = witness::read(from).map_err(|error| Failure::Io(error.to_string()))?;
    let conn = reader::open_connection(from)?;
    schema::check_readable(&conn, witnessed)?;
    if to.symlink_metadata().is_ok() {
        return Err(Failure::Io(format!("{} exists already", to.display())));
    }
    // SQLite takes an empty file, which is its owner's alone.
    create_file(to).map_err(io)?;
    let name = to.to_str().ok_or_else(|| Failure::Io(format!("{} is not UTF-8", to.display())))?;
    conn.execute("VACUUM INTO ?1", [name])?;
    std::fs::File::open(to).and_then(|file| file.sync_all()).map_err(io)?;
    let copied = reader::open_connection(to)?;
    let incarnation = schema::check_readable(&copied, witnessed)?;
    Ok(Copied { incarnation, head: query::verified_head(&copied, incarnation)?.head })
}
