//! Where others reach this coordinator: what join lines name. Kept in the data directory too, so that a token can be made while nobody serves it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use roundtable_runtime::fsx;

/// Bytes of the file.
const FILE_BYTES_MAX: u64 = 1024;

/// The URL of a coordinator that listens there; behind an unspecified address the host's name stands for it.
pub fn url(listen: SocketAddr) -> String {
    if listen.ip().is_unspecified() { format!("https://{}:{}", host_name(), listen.port()) } else { format!("https://{listen}") }
}

/// Keeps it.
pub fn remember(data_dir: &Path, url: &str) -> std::io::Result<()> {
    if remembered(data_dir).as_deref() == Some(url) {
        return Ok(());
    }
    fsx::write_atomic(&path(data_dir), format!("{url}\n").as_bytes(), fsx::PRIVATE)
}

/// That of the coordinator that last served the data directory.
pub fn remembered(data_dir: &Path) -> Option<String> {
    let bytes = fsx::read_bounded(&path(data_dir), FILE_BYTES_MAX).ok()??;
    let text = String::from_utf8(bytes).ok()?.trim().to_owned();
    text.starts_with("https://").then_some(text)
}

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("reach")
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String = name.trim().chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.')).take(253).collect();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_unspecified_address_is_no_place_to_go_to() {
        assert_eq!(url(([10, 0, 0, 7], 7420).into()), "https://10.0.0.7:7420");
        let named = url(([0, 0, 0, 0], 7420).into());
        assert!(named.ends_with(":7420") && !named.contains("0.0.0.0"), "{named}");
    }

    #[test]
    fn it_is_kept_for_when_nobody_serves() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(remembered(dir.path()), None);
        remember(dir.path(), "https://h:1").unwrap();
        assert_eq!(remembered(dir.path()).as_deref(), Some("https://h:1"));
    }
}
