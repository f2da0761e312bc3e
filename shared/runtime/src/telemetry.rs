//! Where log lines go: to stderr, as text or JSON, filtered by `RUST_LOG`. Stdout belongs to answers.

use std::io::IsTerminal;
use std::time::SystemTime;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

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
    let is_watched = std::io::stderr().is_terminal();
    let colours = is_watched && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    // A line that cannot be written is lost: its terminal may have been closed. To complain about it on the same stderr would panic.
    let lines =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours).log_internal_errors(false);
    let done = match format {
        // A person who looks on wants to know what happens, not where it is written; files and RUST_LOG get it all.
        LogFormat::Text if is_watched && wanted.is_none() => lines.with_target(false).with_timer(TimeOfDay).try_init(),
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    done.map_err(|_| TelemetryError::Twice)
}

/// `15:04:05Z`.
struct TimeOfDay;

impl FormatTime for TimeOfDay {
    fn format_time(&self, to: &mut Writer<'_>) -> std::fmt::Result {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        to.write_str(&time_of_day(since))
    }
}

fn time_of_day(unix_s: u64) -> String {
    let of_day = unix_s % 86_400;
    format!("{:02}:{:02}:{:02}Z", of_day / 3600, of_day / 60 % 60, of_day % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_day_are_utc() {
        assert_eq!((time_of_day(0), time_of_day(86_400 + 3_661)), ("00:00:00Z".to_owned(), "01:01:01Z".to_owned()));
    }

    #[test]
    fn formats_are_read_and_setting_up_twice_is_told() {
        assert_eq!("json".parse(), Ok(LogFormat::Json));
        assert!("xml".parse::<LogFormat>().is_err());
        assert!(matches!(init(LogFormat::Text, "no=such=filter"), Err(TelemetryError::Filter(_))));
        assert!(init(LogFormat::Json, "warn").is_ok());
        assert!(matches!(init(LogFormat::Text, "warn"), Err(TelemetryError::Twice)));
    }
}
