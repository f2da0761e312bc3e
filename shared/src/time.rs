//! Wall-clock milliseconds as they are stored, and how they are written for people and mirror files. Reading a clock is the caller's.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

const TO_THE_MILLISECOND: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// Milliseconds since the Unix epoch, UTC. For display and durable timers only; durations across hosts never use it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Debug, Default)]
#[serde(transparent)]
pub struct WallMs(pub u64);

impl WallMs {
    /// RFC 3339 in UTC, always to the millisecond, so that sorting the texts sorts the times.
    pub fn rfc3339(self) -> String {
        let nanos = i128::from(self.0) * 1_000_000;
        OffsetDateTime::from_unix_timestamp_nanos(nanos)
            .ok()
            .and_then(|at| at.format(TO_THE_MILLISECOND).ok())
            .unwrap_or_else(|| "1970-01-01T00:00:00.000Z".to_owned())
    }

    /// Reads RFC 3339 with any offset.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        u64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok().map(Self)
    }

    /// Milliseconds from `earlier` to here; 0 if the clock went backwards.
    pub fn since(self, earlier: WallMs) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_round_trips_and_accepts_offsets() {
        let at = WallMs(1_767_225_600_123);
        assert_eq!(WallMs::parse_rfc3339(&at.rfc3339()), Some(at));
        assert_eq!(WallMs(1_767_225_600_000).rfc3339(), "2026-01-01T00:00:00.000Z");
        assert_eq!(WallMs::parse_rfc3339("2026-01-01T01:00:00+01:00"), WallMs::parse_rfc3339("2026-01-01T00:00:00Z"));
        assert_eq!(WallMs::parse_rfc3339("yesterday"), None);
    }
}
