//! Sizes as people write and read them: powers of 1024.

const UNITS: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

/// `950 B`, `12.3 MiB`.
pub fn bytes(n: u64) -> String {
    match UNITS.iter().find(|(_, unit)| n >= *unit) {
        Some((name, unit)) => format!("{}.{} {name}", n / unit, n % unit * 10 / unit),
        None => format!("{n} B"),
    }
}

/// Reads `512MiB`, `20 GiB`, `1.5g`, `4096`. Powers of 1000 are not told from those of 1024: nobody means them on a disk.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no size; write e.g. 512MiB or 20GiB");
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len()));
    let unit: u64 = match unit.trim().to_ascii_lowercase().trim_end_matches('b').trim_end_matches('i') {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        "t" => 1 << 40,
        _ => return Err(wrong()),
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let whole: u64 = whole.parse().map_err(|_| wrong())?;
    let digits: String = part.chars().take(3).collect();
    let part: u64 = if digits.is_empty() { 0 } else { digits.parse().map_err(|_| wrong())? };
    let scale = 10_u64.pow(u32::try_from(digits.len()).unwrap_or(0));
    let whole = whole.checked_mul(unit).ok_or_else(wrong)?;
    whole.checked_add(part.saturating_mul(unit) / scale).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, n) in [("4096", 4096), ("1k", 1024), ("1.5 KiB", 1536), ("512MiB", 512 << 20), ("20gb", 20 << 30), ("2T", 2 << 40)] {
            assert_eq!(parse_bytes(text), Ok(n), "{text}");
        }
        for text in ["", "GiB", "1.x", "12 parsecs", "-1", "99999999999999999999", "99999999T"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_short() {
        let shown = [0, 1023, 1536, 64 << 20, 13_002_342, 5 << 40].map(bytes);
        assert_eq!(shown, ["0 B", "1023 B", "1.5 KiB", "64.0 MiB", "12.3 MiB", "5.0 TiB"]);
    }
}
