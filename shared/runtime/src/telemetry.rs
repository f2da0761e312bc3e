//! Where log lines go: to stderr, as text or JSON, filtered by `RUST_LOG`. Stdout belongs to answers.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Form of log lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One object a line.
    Json,
}

impl std::str::FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("{text:?} is no log format: use text or json")),
        }
    }
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `RUST_LOG` cannot be read.
    #[error("RUST_LOG cannot be read: {0}; use for example RUST_LOG=info,roundtable_worker=debug")]
    Filter(String),
    /// It was set up before.
    #[error("logging was set up twice")]
    Twice,
}

/// Sets logging up for the process. `default_filter` holds where `RUST_LOG` is absent or empty.
pub fn init(format: LogFormat, default_filter: &str) -> Result<(), TelemetryError> {
    let wanted = std::env::var("RUST_LOG").ok().filter(|text| !text.trim().is_empty());
    let filter =
        EnvFilter::builder().parse(wanted.as_deref().unwrap_or(default_filter)).map_err(|e| TelemetryError::Filter(e.to_string()))?;
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    let done = match format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    done.map_err(|_| TelemetryError::Twice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_read_and_setting_up_twice_is_told() {
        assert_eq!("json".parse(), Ok(LogFormat::Json));
        assert!("xml".parse::<LogFormat>().is_err());
        assert!(matches!(init(LogFormat::Text, "no=such=filter"), Err(TelemetryError::Filter(_))));
        assert!(init(LogFormat::Json, "warn").is_ok());
        assert!(matches!(init(LogFormat::Text, "warn"), Err(TelemetryError::Twice)));
    }
}
