//! Paths where git takes them from a list: quoted so that no byte of theirs ends them or means something else.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

/// `GIT_ALTERNATE_OBJECT_DIRECTORIES` is a list separated by colons; a quoted entry may hold any byte.
pub(super) fn quoted_alternate(dir: &Path) -> OsString {
    OsString::from_vec(quoted(dir.as_os_str().as_bytes()))
}

/// A path as `objects/info/alternates` takes it: quoted where its first byte or a newline would be misread.
pub(super) fn quoted_path(path: &Path) -> Vec<u8> {
    let bytes = path.as_os_str().as_bytes();
    if !bytes.contains(&b'\n') && !bytes.starts_with(b"\"") && !bytes.starts_with(b"#") {
        return bytes.to_vec();
    }
    quoted(bytes)
}

/// A C-style quoted string as git reads it.
fn quoted(bytes: &[u8]) -> Vec<u8> {
    let mut quoted = vec![b'"'];
    for byte in bytes {
        match byte {
            b'"' | b'\\' => quoted.extend([b'\\', *byte]),
            b'\n' => quoted.extend(b"\\n"),
            _ => quoted.push(*byte),
        }
    }
    quoted.push(b'"');
    quoted
}
