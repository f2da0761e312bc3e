//! How much memory a git may take that unpacks what a peer has sent: a few kilobytes of a pack can say that they are gigabytes.

use std::fs;

/// Most, bytes.
const MOST: u64 = 2 << 30;
/// Least: a large repository takes so much.
const LEAST: u64 = 256 << 20;

/// The bound on this machine: half of what it has.
pub(super) fn bound() -> u64 {
    fs::read_to_string("/proc/meminfo").ok().and_then(|text| field(&text, "MemTotal")).map_or(MOST, |total| (total / 2).clamp(LEAST, MOST))
}

/// Whether the machine has so much to give: if so, who ran out of it has met the bound.
pub(super) fn is_free(bytes: u64) -> bool {
    let available = fs::read_to_string("/proc/meminfo").ok().and_then(|text| field(&text, "MemAvailable"));
    available.is_none_or(|available| available >= bytes)
}

/// Whether git says that it got no memory.
pub(super) fn is_wanted(stderr: &str) -> bool {
    ["ut of memory", "malloc failed", "Cannot allocate memory", "unable to create thread"].iter().any(|phrase| stderr.contains(phrase))
}

/// A field of `/proc/meminfo`, bytes.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_by_their_whole_name() {
        let text = "MemTotal:        8041072 kB\nMemFree:          100 kB\nMemAvailable:    4000 kB\nHugePages_Total:       0\n";
        assert_eq!(field(text, "MemTotal"), Some(8_041_072 * 1024));
        assert_eq!(field(text, "MemAvailable"), Some(4000 * 1024));
        assert_eq!((field(text, "Mem"), field(text, "HugePages_Total")), (None, None));
    }

    #[test]
    fn the_bound_is_within_its_bounds() {
        assert!((LEAST..=MOST).contains(&bound()));
        assert!(is_free(0) && is_wanted("fatal: Out of memory, malloc failed (tried to allocate 67108865 bytes)"));
    }
}
