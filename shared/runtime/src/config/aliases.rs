//! Variables of the tool whose files we carry on, accepted as aliases of flags.

use super::Environment;

/// What they say; `None` and `false` = not set.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Aliases {
    /// `CODEX_TIMEOUT`: wall limit, milliseconds.
    pub wall_ms: Option<u64>,
    /// `CODEAGENT_OPENCODE_AGENT`.
    pub opencode_agent: Option<String>,
    /// `CODEAGENT_OPENCODE_MODEL`.
    pub opencode_model: Option<String>,
    /// `CODEAGENT_MAX_PARALLEL_WORKERS`.
    pub parallel_max: Option<u32>,
    /// `CODEAGENT_NO_TMUX`.
    pub no_tmux: bool,
    /// `CODEX_BYPASS_SANDBOX`.
    pub bypass_sandbox: bool,
    /// `CODEAGENT_SKIP_PERMISSIONS`.
    pub skip_permissions: bool,
    /// Values that cannot be read, for a person.
    pub warnings: Vec<String>,
}

impl Aliases {
    /// Reads them. What cannot be read is a warning: these variables may be set for another program.
    pub fn read(environment: Environment<'_>) -> Self {
        let text = |name: &str| environment(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let mut aliases = Self {
            opencode_agent: text("CODEAGENT_OPENCODE_AGENT"),
            opencode_model: text("CODEAGENT_OPENCODE_MODEL"),
            no_tmux: text("CODEAGENT_NO_TMUX").is_some_and(|value| is_true(&value)),
            bypass_sandbox: text("CODEX_BYPASS_SANDBOX").is_some_and(|value| is_true(&value)),
            skip_permissions: text("CODEAGENT_SKIP_PERMISSIONS").is_some_and(|value| is_true(&value)),
            ..Self::default()
        };
        if let Some(value) = text("CODEX_TIMEOUT") {
            aliases.wall_ms = timeout_ms(&value);
            if aliases.wall_ms.is_none() {
                aliases.warnings.push(format!("CODEX_TIMEOUT={value} is no timeout: use seconds, or milliseconds above 10000"));
            }
        }
        if let Some(value) = text("CODEAGENT_MAX_PARALLEL_WORKERS") {
            aliases.parallel_max = value.parse().ok().filter(|n| *n > 0);
            if aliases.parallel_max.is_none() {
                aliases.warnings.push(format!("CODEAGENT_MAX_PARALLEL_WORKERS={value} is no number of workers: use 1 or more"));
            }
        }
        aliases
    }
}

/// Seconds, unless greater than 10000: then milliseconds.
fn timeout_ms(value: &str) -> Option<u64> {
    let number = value.parse::<u64>().ok().filter(|n| *n > 0)?;
    let ms = if number > 10_000 { number } else { number * 1000 };
    super::duration::check_ms(ms).ok()
}

fn is_true(value: &str) -> bool {
    !matches!(value.to_ascii_lowercase().as_str(), "0" | "false" | "no" | "off")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(set: &[(&str, &str)]) -> Aliases {
        Aliases::read(&|name| set.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn a_timeout_above_ten_thousand_is_milliseconds() {
        assert_eq!(read(&[("CODEX_TIMEOUT", "7200")]).wall_ms, Some(7_200_000));
        assert_eq!(read(&[("CODEX_TIMEOUT", "10000")]).wall_ms, Some(10_000_000));
        assert_eq!(read(&[("CODEX_TIMEOUT", "7200000")]).wall_ms, Some(7_200_000));
        for bad in ["0", "-1", "soon", "99999999999999999999"] {
            let aliases = read(&[("CODEX_TIMEOUT", bad)]);
            assert!(aliases.wall_ms.is_none() && aliases.warnings.len() == 1, "{bad}");
        }
    }

    #[test]
    fn switches_and_names() {
        assert_eq!(read(&[]), Aliases::default());
        let aliases = read(&[
            ("CODEAGENT_NO_TMUX", "1"),
            ("CODEX_BYPASS_SANDBOX", "false"),
            ("CODEAGENT_SKIP_PERMISSIONS", "true"),
            ("CODEAGENT_OPENCODE_AGENT", " build "),
            ("CODEAGENT_MAX_PARALLEL_WORKERS", "8"),
        ]);
        assert!(aliases.no_tmux && !aliases.bypass_sandbox && aliases.skip_permissions);
        assert_eq!((aliases.opencode_agent.as_deref(), aliases.parallel_max), (Some("build"), Some(8)));
    }
}
