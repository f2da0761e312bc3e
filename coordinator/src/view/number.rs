//! Counts as views have them.

/// A count; one that no view has room for is the largest that it has.
pub(super) fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
