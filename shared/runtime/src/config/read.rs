//! One file's text to one layer: keys checked, values typed, every complaint with its line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::duration::{check_ms, parse_duration_ms};
use super::{BackendConfig, COMMANDS, Config, ConfigError, Home, Limits, flags};
use crate::telemetry::LogFormat;

const KEYS: &[&str] = &["coordinator", "profile", "data_dir", "log_format", "setup", "copy", "check", "limits", "backend"];
const BACKEND_KEYS: &[&str] = &["command", "args", "model", "effort", "env", "home"];

type Value<'t> = Spanned<DeValue<'t>>;

pub(super) fn parse(file: &Path, text: &str) -> Result<Config, ConfigError> {
    let reader = Reader { file, text };
    let table = DeTable::parse(text).map_err(|error| ConfigError::Syntax {
        file: file.to_owned(),
        line: reader.line(error.span().map_or(0, |span| span.start)),
        message: error.message().to_owned(),
    })?;
    let mut config = Config::default();
    for (key, value) in table.get_ref() {
        let at = At { key: key.get_ref().to_string(), line: reader.line(key.span().start) };
        match key.get_ref().as_ref() {
            "coordinator" => config.coordinator = Some(reader.text(&at, value)?),
            "profile" => config.profile = Some(reader.text(&at, value)?),
            "data_dir" => config.data_dir = Some(PathBuf::from(reader.text(&at, value)?)),
            "log_format" => config.log_format = Some(reader.text(&at, value)?.parse::<LogFormat>().map_err(|why| reader.bad(&at, why))?),
            "setup" => config.setup = Some(reader.text(&at, value)?),
            "check" => config.check = Some(reader.text(&at, value)?),
            "copy" => config.copy = Some(reader.paths(&at, value)?),
            "limits" => config.limits = reader.limits(&at, value)?,
            "backend" => config.backends = reader.backends(&at, value)?,
            "config" => {
                for (key, value) in reader.table(&at, value)? {
                    let at = reader.below(&at, key);
                    let Some(known) = flags::of(&at.key) else { return Err(reader.unknown(&at, ["show"].into_iter())) };
                    let flags = reader.flags(&at, value, known)?;
                    config.flags.insert(at.key.clone(), flags);
                }
            }
            command => {
                let Some(known) = flags::of(command) else {
                    let commands = COMMANDS.iter().map(|(name, _)| name.split('.').next().unwrap_or(name));
                    return Err(reader.unknown(&at, KEYS.iter().copied().chain(commands)));
                };
                config.flags.insert(command.to_owned(), reader.flags(&at, value, known)?);
                for (key, value) in reader.table(&at, value)? {
                    let at = reader.below(&at, key);
                    if let Some(known) = flags::of(&at.key) {
                        config.flags.insert(at.key.clone(), reader.flags(&at, value, known)?);
                    }
                }
            }
        }
    }
    Ok(config)
}

/// Where a complaint belongs.
struct At {
    key: String,
    line: usize,
}

struct Reader<'r> {
    file: &'r Path,
    text: &'r str,
}

impl Reader<'_> {
    fn line(&self, offset: usize) -> usize {
        self.text.as_bytes().iter().take(offset).filter(|b| **b == b'\n').count() + 1
    }

    fn bad(&self, at: &At, why: impl Into<String>) -> ConfigError {
        ConfigError::BadValue { file: self.file.to_owned(), line: at.line, key: at.key.clone(), why: why.into() }
    }

    fn unknown<'k>(&self, at: &At, keys: impl Iterator<Item = &'k str>) -> ConfigError {
        let (table, name) = at.key.rsplit_once('.').map_or((String::new(), at.key.as_str()), |(table, name)| (format!("{table}."), name));
        let near = keys.map(|key| (strsim::damerau_levenshtein(key, name), key)).min();
        let nearest =
            near.filter(|(distance, key)| *distance <= 3 && *distance * 2 <= key.len().max(2)).map(|(_, key)| format!("{table}{key}"));
        ConfigError::UnknownKey { file: self.file.to_owned(), line: at.line, key: at.key.clone(), nearest }
    }

    fn text(&self, at: &At, value: &Value<'_>) -> Result<String, ConfigError> {
        match value.get_ref() {
            DeValue::String(text) if !text.trim().is_empty() => Ok(text.to_string()),
            _ => Err(self.bad(at, "it must be a text that is not empty")),
        }
    }

    fn texts(&self, at: &At, value: &Value<'_>) -> Result<Vec<String>, ConfigError> {
        let DeValue::Array(values) = value.get_ref() else { return Err(self.bad(at, "it must be a list of texts")) };
        values.iter().map(|value| self.text(at, value)).collect()
    }

    fn table<'v, 't>(&self, at: &At, value: &'v Value<'t>) -> Result<&'v DeTable<'t>, ConfigError> {
        match value.get_ref() {
            DeValue::Table(table) => Ok(table),
            _ => Err(self.bad(at, "it must be a table")),
        }
    }

    fn paths(&self, at: &At, value: &Value<'_>) -> Result<Vec<String>, ConfigError> {
        let paths = self.texts(at, value)?;
        for path in &paths {
            let inside = path.split('/').all(|part| !matches!(part, "" | "." | "..") && !part.eq_ignore_ascii_case(".git"));
            if !inside || path.contains('\0') {
                return Err(self.bad(at, format!("{path:?} is no path of a file inside the repository")));
            }
        }
        Ok(paths)
    }

    fn limits(&self, at: &At, value: &Value<'_>) -> Result<Limits, ConfigError> {
        let mut limits = Limits::default();
        for (key, value) in self.table(at, value)? {
            let at = self.below(at, key);
            let Some(name) = Limits::KEYS.iter().find(|name| **name == key.get_ref().as_ref()) else {
                return Err(self.unknown(&at, Limits::KEYS.iter().copied()));
            };
            let ms = match value.get_ref() {
                DeValue::String(text) => parse_duration_ms(text),
                DeValue::Integer(number) => {
                    u64::from_str_radix(number.as_str(), number.radix()).map_err(|error| error.to_string()).and_then(check_ms)
                }
                _ => Err("it must be a duration (\"90s\") or an integer of milliseconds".to_owned()),
            };
            limits.0.insert(name, ms.map_err(|why| self.bad(&at, why))?);
        }
        Ok(limits)
    }

    fn backends(&self, at: &At, value: &Value<'_>) -> Result<BTreeMap<String, BackendConfig>, ConfigError> {
        let mut backends = BTreeMap::new();
        for (name, value) in self.table(at, value)? {
            let at = self.below(at, name);
            let mut backend = BackendConfig::default();
            for (key, value) in self.table(&at, value)? {
                let at = self.below(&at, key);
                match key.get_ref().as_ref() {
                    "command" => backend.command = Some(self.text(&at, value)?),
                    "args" => backend.args = Some(self.texts(&at, value)?),
                    "model" => backend.model = Some(self.text(&at, value)?),
                    "effort" => backend.effort = Some(self.text(&at, value)?),
                    "env" => backend.env = Some(self.variables(&at, value)?),
                    "home" => backend.home = Some(self.home(&at, value)?),
                    _ => return Err(self.unknown(&at, BACKEND_KEYS.iter().copied())),
                }
            }
            backends.insert(name.get_ref().to_string(), backend);
        }
        Ok(backends)
    }

    fn variables(&self, at: &At, value: &Value<'_>) -> Result<Vec<String>, ConfigError> {
        let names = self.texts(at, value)?;
        for name in &names {
            if name.starts_with("ROUNDTABLE_") {
                return Err(self.bad(at, format!("{name} is ours and never passed to an agent")));
            }
            if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') || name.starts_with(|c: char| c.is_ascii_digit()) {
                return Err(self.bad(at, format!("{name:?} is no name of a variable (values are not written here)")));
            }
        }
        Ok(names)
    }

    fn home(&self, at: &At, value: &Value<'_>) -> Result<Home, ConfigError> {
        match self.text(at, value)?.as_str() {
            "in-place" => Ok(Home::InPlace),
            "isolated" => Ok(Home::Isolated),
            other => Err(self.bad(at, format!("{other:?} is no kind of home: use \"in-place\" or \"isolated\""))),
        }
    }

    /// Flags take texts, numbers, switches, or lists of those. `_` may stand for `-`.
    fn flags(&self, at: &At, value: &Value<'_>, known: &[&str]) -> Result<BTreeMap<String, Vec<String>>, ConfigError> {
        let mut flags = BTreeMap::new();
        for (key, value) in self.table(at, value)? {
            let at = self.below(at, key);
            // A command within this one has a table of its own.
            if flags::of(&at.key).is_some() {
                continue;
            }
            let name = key.get_ref().replace('_', "-");
            if !known.contains(&name.as_str()) {
                return Err(self.unknown(&at, known.iter().copied()));
            }
            let values = match value.get_ref() {
                DeValue::Array(values) => values.iter().map(|value| self.flag_value(&at, value)).collect::<Result<_, _>>()?,
                _ => vec![self.flag_value(&at, value)?],
            };
            flags.insert(name, values);
        }
        if flags.contains_key("backend") && flags.contains_key("orchestrator") {
            return Err(self.bad(at, "backend and orchestrator are one option; give one of them"));
        }
        Ok(flags)
    }

    fn flag_value(&self, at: &At, value: &Value<'_>) -> Result<String, ConfigError> {
        match value.get_ref() {
            DeValue::String(text) => Ok(text.to_string()),
            DeValue::Integer(number) => Ok(number.as_str().to_owned()),
            DeValue::Float(number) => Ok(number.as_str().to_owned()),
            DeValue::Boolean(switch) => Ok(switch.to_string()),
            _ => Err(self.bad(at, "it must be a text, a number, true or false, or a list of those")),
        }
    }

    fn below(&self, at: &At, key: &Spanned<toml::de::DeString<'_>>) -> At {
        At { key: format!("{}.{}", at.key, key.get_ref()), line: self.line(key.span().start) }
    }
}
