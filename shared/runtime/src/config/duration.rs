//! Durations as people write them.

/// Longest duration that means anything here.
const MS_MAX: u64 = 366 * 86_400_000;

/// Reads `90s`, `1h 30m`, `500ms`, `10m`; a bare number is refused, for nobody knows its unit. Between 1 ms and a year.
pub fn parse_duration_ms(text: &str) -> Result<u64, String> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("{text:?} has no unit: write {text}s, {text}m or {text}ms"));
    }
    let duration =
        humantime::parse_duration(text).map_err(|error| format!("{text:?} is no duration ({error}): write for example 90s or 1h 30m"))?;
    check_ms(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

pub(super) fn check_ms(ms: u64) -> Result<u64, String> {
    if (1..=MS_MAX).contains(&ms) { Ok(ms) } else { Err("a duration is at least 1 ms and at most a year".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_needed_and_bounds_hold() {
        for (text, ms) in [("90s", 90_000), ("1h 30m", 5_400_000), (" 500ms ", 500), ("2min", 120_000), ("1h30m", 5_400_000)] {
            assert_eq!(parse_duration_ms(text), Ok(ms), "{text}");
        }
        for bad in ["", "10", "-5s", "soon", "0s", "1000years", "1us"] {
            assert!(parse_duration_ms(bad).is_err(), "{bad}");
        }
        assert!(parse_duration_ms("120").is_err_and(|why| why.contains("120s")));
    }
}
