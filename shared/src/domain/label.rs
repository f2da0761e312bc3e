//! Labels of workers, and what a unit asks of them (`_requires: gpu, zone=eu_`).

use std::collections::BTreeMap;

/// Characters of a label's key, and of its value.
pub const LABEL_CHARS_MAX: usize = 63;
/// Labels of one worker, and labels one unit asks for.
pub const LABELS_MAX: usize = 64;

/// Labels that every worker gives itself. Their values can be asked for alone: `linux`, `x86_64`.
pub const OWN_LABELS: [&str; 2] = ["os", "arch"];

/// Reads what is asked of a worker: `KEY` (a label of that key, whatever its value) or `KEY=VALUE`. `Err`: why it is neither.
pub fn read_requirement(text: &str) -> Result<String, String> {
    let text = text.trim();
    match text.split_once('=') {
        Some((key, value)) => check_label(key.trim(), value.trim()).map(|()| format!("{}={}", key.trim(), value.trim())),
        None => check_label(text, "any").map(|()| text.to_owned()),
    }
}

/// Reads all that is asked of a worker, as it is typed: each once, in that order; `none` is none. `Err`: why it cannot be.
pub fn read_requirements<T: AsRef<str>>(typed: &[T]) -> Result<Vec<String>, String> {
    let mut labels: Vec<String> = Vec::new();
    for text in typed.iter().map(|text| text.as_ref().trim()).filter(|text| !text.is_empty() && !text.eq_ignore_ascii_case("none")) {
        let label = read_requirement(text)?;
        if !labels.contains(&label) {
            labels.push(label);
        }
    }
    if labels.len() > LABELS_MAX {
        return Err(format!("a unit can ask for {LABELS_MAX} labels, not for {}", labels.len()));
    }
    Ok(labels)
}

/// Whether these can be a label's key and value; `Err`: why not.
pub fn check_label(key: &str, value: &str) -> Result<(), String> {
    let is_word = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
    let is_short = |text: &str| text.chars().count() <= LABEL_CHARS_MAX;
    let is_key = key.starts_with(|c: char| c.is_ascii_alphabetic()) && is_word(key) && is_short(key);
    if is_key && !value.is_empty() && is_word(value) && is_short(value) {
        return Ok(());
    }
    let shown: String = format!("{key}={value}").trim_end_matches("=any").chars().take(80).collect();
    Err(format!(
        "`{shown}` is no label; write KEY or KEY=VALUE in letters, digits and -_./, the key beginning with a letter, each at most {LABEL_CHARS_MAX} characters"
    ))
}

/// Whether a worker with these labels has what is asked for.
pub fn has_label(labels: &BTreeMap<String, String>, requirement: &str) -> bool {
    match requirement.split_once('=') {
        Some((key, value)) => labels.get(key).is_some_and(|has| has == value),
        None => labels.contains_key(requirement) || OWN_LABELS.iter().any(|own| labels.get(*own).is_some_and(|has| has == requirement)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_requirement_is_a_key_or_a_key_with_its_value() {
        assert_eq!(read_requirement(" gpu ").unwrap(), "gpu");
        assert_eq!(read_requirement("zone = eu-1").unwrap(), "zone=eu-1");
        assert_eq!(read_requirement("example.org/gpu=a100").unwrap(), "example.org/gpu=a100");
        let long = "x".repeat(LABEL_CHARS_MAX + 1);
        for wrong in ["", "big gpu", "1.2", "=a", "zone=", "zone=e u", "a\nb", &long] {
            assert!(read_requirement(wrong).is_err(), "{wrong}");
        }
        assert!(read_requirement("1.2").unwrap_err().starts_with("`1.2` is no label"));
        assert_eq!(read_requirements(&["gpu", " none ", "", "zone=eu", "gpu"]).unwrap(), ["gpu", "zone=eu"]);
        let many: Vec<String> = (0..=LABELS_MAX).map(|n| format!("l{n}")).collect();
        assert!(read_requirements(&many).unwrap_err().contains("64 labels"));
    }

    #[test]
    fn what_a_worker_has_is_found_by_key_by_key_and_value_and_by_its_platform() {
        let labels = [("gpu", "a100"), ("os", "linux"), ("arch", "x86_64")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        let labels = BTreeMap::from(labels);
        for has in ["gpu", "gpu=a100", "os", "linux", "os=linux", "x86_64"] {
            assert!(has_label(&labels, has), "{has}");
        }
        for lacks in ["gpu=h100", "a100", "zone", "macos", "zone=linux"] {
            assert!(!has_label(&labels, lacks), "{lacks}");
        }
    }
}
