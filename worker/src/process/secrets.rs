//! Finds the secrets an agent may come to see: in variables by their names, in files (`.env`, JSON, tokens) by names and looks. Only for looking for
//! them again in what leaves the worker; nothing here is kept.

use std::ffi::OsStr;

use serde_json::Value;

/// Names that contain one of these hold secrets.
const NAMES: &[&str] = &["KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "CREDENTIAL"];
/// Names of which one of these is a word of its own hold secrets.
const WORDS: &[&str] = &["PASS", "PWD", "PAT", "DSN"];
/// A value without a telling name is taken for a secret from this length on, if it looks drawn at random.
const RANDOM_BYTES_MIN: usize = 20;
/// Most values taken from one file.
const VALUES_MAX: usize = 1000;

/// The secrets among variables.
pub fn of_env<'a>(vars: impl IntoIterator<Item = (&'a OsStr, &'a OsStr)>) -> Vec<String> {
    let mut found = Vec::new();
    for (name, value) in vars {
        let Some(value) = value.to_str() else { continue };
        if is_secret_name(&name.to_string_lossy()) {
            found.push(value.to_owned());
        }
        found.extend(password_of(value));
    }
    found
}

/// The secrets in a file that an agent gets or can read.
pub fn of_file(data: &[u8]) -> Vec<String> {
    let Ok(text) = std::str::from_utf8(data) else { return Vec::new() };
    let mut found = Vec::new();
    if let Ok(json) = serde_json::from_str::<Value>(text) {
        of_json("", &json, &mut found);
    } else {
        text.lines().for_each(|line| of_line(line, &mut found));
        // A file that is nothing but a token.
        if found.is_empty() && is_random(text.trim()) {
            found.push(text.trim().to_owned());
        }
    }
    found.truncate(VALUES_MAX);
    found
}

fn of_json(name: &str, value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => of_pair(name, text, found),
        Value::Array(values) => values.iter().for_each(|value| of_json(name, value, found)),
        Value::Object(fields) => fields.iter().for_each(|(name, value)| of_json(name, value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// `NAME=value`, `export NAME="value"`, `name: value`.
fn of_line(line: &str, found: &mut Vec<String>) {
    let line = line.trim();
    let line = line.strip_prefix("export ").unwrap_or(line);
    if line.starts_with('#') {
        return;
    }
    let Some(at) = line.find(['=', ':']) else { return };
    let value = line[at + 1..].trim().trim_end_matches(',');
    of_pair(line[..at].trim().trim_matches(['"', '\'']), value.trim_matches(['"', '\'']), found);
}

fn of_pair(name: &str, value: &str, found: &mut Vec<String>) {
    if is_secret_name(name) || is_random(value) {
        found.push(value.to_owned());
    }
    found.extend(password_of(value));
}

fn is_secret_name(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    if matches!(upper.as_str(), "PWD" | "OLDPWD") {
        return false;
    }
    NAMES.iter().any(|part| upper.contains(part)) || upper.split(['_', '-', '.']).any(|word| WORDS.contains(&word))
}

/// The password within an address.
fn password_of(value: &str) -> Option<String> {
    let (_, rest) = value.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (user, _) = authority.rsplit_once('@')?;
    let (_, password) = user.split_once(':')?;
    Some(password.to_owned()).filter(|password| !password.is_empty())
}

/// Letters and digits without a break, as tokens are and words, paths and versions are not.
fn is_random(value: &str) -> bool {
    let plain = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'+' | b'=' | b'~'));
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    let letters = value.bytes().filter(u8::is_ascii_alphabetic).count();
    value.len() >= RANDOM_BYTES_MIN && plain && digits >= 3 && letters >= 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_give_what_their_names_and_looks_tell() {
        let env = b"# KEY=comment\nexport API_KEY=\"abc def\"\nNODE_ENV=development\nURL=postgres://me:pa%20ss@db/x\nOPAQUE=0a1b2c3d4e5f6a7b8c9d\nDB_PASS='x y'\nPATHS=/usr/local/share/x1y2z3/abcdefghij\n";
        assert_eq!(of_file(env), ["abc def", "pa%20ss", "0a1b2c3d4e5f6a7b8c9d", "x y"]);
        let json = br#"{"tokens": {"access_token": "t1", "id": ["plain"]}, "list": [{"key": "k1"}]}"#;
        assert_eq!(of_file(json), ["k1", "t1"]);
        assert_eq!(of_file(b"npmtoken0123456789abcdef\n"), ["npmtoken0123456789abcdef"]);
        assert_eq!(of_file(b"DB_PASSWORD=open-sesame-4711\n"), ["open-sesame-4711"]);
        assert_eq!(of_file(b"\xff\xfe"), Vec::<String>::new());
        assert_eq!(of_file(b"just some words\n"), Vec::<String>::new());
        assert_eq!(of_file(b"api:\n  password: hunter2\n"), ["hunter2"]);
    }

    #[test]
    fn variables_give_what_their_names_tell_and_passwords_of_addresses() {
        let vars = [("MY_TOKEN", "t"), ("PWD", "/here"), ("COMPASS", "north"), ("http_proxy", "http://u:secret@proxy:1/")];
        assert_eq!(of_env(vars.iter().map(|(name, value)| (OsStr::new(name), OsStr::new(value)))), ["t", "secret"]);
    }
}
