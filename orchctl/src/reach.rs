//! Commands to type next, as they must be typed to speak to the same coordinator and data dir, from where the user stands.

use std::path::{Path, PathBuf};

use crate::output::text::shell_word;

/// What must be said for a command to reach the same coordinator.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Reach {
    /// The coordinator, where it was named and a bare command would not find it.
    pub coordinator: Option<String>,
    /// The profile, likewise, and where it leads.
    pub profile: Option<(String, String)>,
    /// The data dir, likewise.
    pub data_dir: Option<PathBuf>,
}

impl Reach {
    /// The command with the flags without which it would speak to another coordinator or data dir.
    pub fn command(&self, command: &str) -> String {
        if let Some(rest) = command.strip_prefix("orchctl ") {
            let profile = self.profile.as_ref().map(|(name, _)| format!("--profile {} ", shell_word(name))).unwrap_or_default();
            // The profile says where it leads.
            let is_known = |url: &&str| self.profile.as_ref().is_none_or(|(_, known)| known != url);
            let coordinator = self.coordinator.as_deref().filter(is_known);
            let coordinator = coordinator.map(|url| format!("--coordinator {} ", shell_word(url))).unwrap_or_default();
            return format!("orchctl {coordinator}{profile}{}{rest}", self.data_dir_flag());
        }
        if let Some(rest) = command.strip_prefix("worker join ") {
            let coordinator = self.coordinator.as_deref().map(|url| format!("{} ", shell_word(url))).unwrap_or_default();
            return format!("worker join {coordinator}{}{rest}", self.data_dir_flag());
        }
        command.to_owned()
    }

    /// How a worker that offers this joins.
    pub fn join(&self, backend: &str) -> String {
        self.command(&format!("worker join --backend {}", shell_word(backend)))
    }

    /// The same for a worker with labels.
    pub fn join_with(&self, labels: &[String], backend: &str) -> String {
        let labels: String = labels.iter().map(|label| format!("--label {} ", shell_word(label))).collect();
        self.command(&format!("worker join {labels}--backend {}", shell_word(backend)))
    }

    fn data_dir_flag(&self) -> String {
        self.data_dir.as_deref().map(|dir| format!("--data-dir {} ", shell_word(&dir.to_string_lossy()))).unwrap_or_default()
    }
}

/// A command as somebody who stands in the run's working directory types it: without naming that, and with the spec's path from there.
pub fn from_here(command: &str, spec: &str, here: &Path) -> String {
    let Ok(relative) = Path::new(spec).strip_prefix(here) else { return command.to_owned() };
    let long = format!("--spec {} --workdir {}", shell_word(spec), shell_word(&here.to_string_lossy()));
    let short = format!("--spec {}", shell_word(&if relative.as_os_str().is_empty() { ".".into() } else { relative.to_string_lossy() }));
    match command.split_once(&long) {
        // Only a whole path: a longer one may begin alike.
        Some((before, after)) if after.is_empty() || after.starts_with(' ') => format!("{before}{short}{after}"),
        _ => command.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_name_what_they_would_not_find() {
        let reach = Reach { coordinator: Some("https://h:1".into()), profile: None, data_dir: Some("/my data".into()) };
        assert_eq!(reach.command("orchctl status r"), "orchctl --coordinator https://h:1 --data-dir '/my data' status r");
        assert_eq!(reach.join("scripted:/a b.json"), "worker join https://h:1 --data-dir '/my data' --backend 'scripted:/a b.json'");
        assert_eq!(reach.command("worker doctor"), "worker doctor");
        assert_eq!(Reach::default().join("codex"), "worker join --backend codex");
        let profile =
            |url: &str| Reach { coordinator: Some(url.into()), profile: Some(("h".into(), "https://h:1".into())), data_dir: None };
        assert_eq!(profile("https://h:1").command("orchctl status"), "orchctl --profile h status");
        assert_eq!(profile("https://h:1").join("codex"), "worker join https://h:1 --backend codex");
        assert_eq!(profile("https://tunnel:2").command("orchctl status"), "orchctl --coordinator https://tunnel:2 --profile h status");
    }

    #[test]
    fn paths_are_short_where_the_user_stands_in_the_repository() {
        let command = "orchctl run --spec /r/x/.specs/login --workdir /r/x --mode legacy";
        let here = |here: &str| from_here(command, "/r/x/.specs/login", Path::new(here));
        assert_eq!(here("/r/x"), "orchctl run --spec .specs/login --mode legacy");
        assert_eq!(here("/r"), command);
        assert_eq!(here("/r/x/.specs"), command);
        assert_eq!(from_here("orchctl run --spec /r/x --workdir /r/x", "/r/x", Path::new("/r/x")), "orchctl run --spec .");
        assert_eq!(from_here("orchctl run --spec /r/s --workdir /r/x", "/r/s", Path::new("/r")), "orchctl run --spec /r/s --workdir /r/x");
    }
}
