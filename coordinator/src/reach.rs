//! The address that join lines name, kept in the data directory, so that a token can be made while nobody serves it. Finding it out is `places`.

use std::path::{Path, PathBuf};

use roundtable_runtime::fsx;

/// Bytes of the file.
const FILE_BYTES_MAX: u64 = 1024;

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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn it_is_kept_for_when_nobody_serves() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(remembered(dir.path()), None);
        remember(dir.path(), "https://h:1").unwrap();
        assert_eq!(remembered(dir.path()).as_deref(), Some("https://h:1"));
    }
}
