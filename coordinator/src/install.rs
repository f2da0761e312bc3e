//! `coordinator install`: the unit that keeps `coordinator serve` running. Its text is that of `deploy/systemd`, with the caller's program and places.

use std::path::Path;

use roundtable_runtime::systemd::{Scope, Unit, command_line, quoted, with};

const SYSTEM: &str = include_str!("../../deploy/systemd/roundtable-coordinator.service");
const USER: &str = include_str!("../../deploy/systemd/user/roundtable-coordinator.service");
const ENVIRONMENT: &str = include_str!("../../deploy/config/coordinator.env");

/// Where a coordinator of the machine keeps what it keeps: systemd makes the folder.
const SYSTEM_DATA_DIR: &str = "/var/lib/roundtable";

/// The unit for that program.
pub fn unit(program: &Path, scope: &Scope, data_dir: Option<&Path>) -> Unit<'static> {
    let named = data_dir.map(|dir| dir.display().to_string());
    let text = match scope {
        Scope::System { user } => {
            let data_dir = named.as_deref().unwrap_or(SYSTEM_DATA_DIR);
            let text = with(SYSTEM, "User", Some(user));
            let text = with(&text, "ExecStart", Some(&command_line(program, &["serve", "--data-dir", data_dir])));
            match &named {
                None => text,
                // Somebody else's folder is there already, and all but it is read-only.
                Some(named) => {
                    let text = with(&text, "StateDirectory", None);
                    let text = with(&text, "StateDirectoryMode", None);
                    with(&text, "ProtectHome", Some(&format!("read-only\nReadWritePaths={}", quoted(named))))
                }
            }
        }
        Scope::User => {
            let arguments: Vec<&str> = std::iter::once("serve").chain(named.iter().flat_map(|dir| ["--data-dir", dir.as_str()])).collect();
            with(USER, "ExecStart", Some(&command_line(program, &arguments)))
        }
    };
    Unit { name: "roundtable-coordinator", text, environment: ("coordinator.env", ENVIRONMENT), needs_environment: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn system() -> Scope {
        Scope::System { user: "rt".to_owned() }
    }

    fn has_line(unit: &Unit<'_>, line: &str) -> bool {
        unit.text.lines().any(|each| each == line)
    }

    #[test]
    fn the_machines_unit_runs_as_its_user_in_a_folder_of_systemds() {
        let unit = unit(Path::new("/opt/rt/coordinator"), &system(), None);
        for line in ["User=rt", "ExecStart=/opt/rt/coordinator serve --data-dir /var/lib/roundtable", "StateDirectory=roundtable"] {
            assert!(has_line(&unit, line), "{line}: {}", unit.text);
        }
    }

    #[test]
    fn a_data_directory_of_ones_own_is_all_it_may_write() {
        let unit = unit(Path::new("/opt/rt/coordinator"), &system(), Some(Path::new("/srv/my data")));
        for line in
            ["ExecStart=/opt/rt/coordinator serve --data-dir \"/srv/my data\"", "ReadWritePaths=\"/srv/my data\"", "ProtectSystem=strict"]
        {
            assert!(has_line(&unit, line), "{line}: {}", unit.text);
        }
        assert!(!unit.text.contains("StateDirectory"));
    }

    #[test]
    fn a_users_own_unit_keeps_to_that_users_folders() {
        let program = Path::new("/home/user/.local/bin/coordinator");
        assert!(has_line(&unit(program, &Scope::User, None), "ExecStart=/home/user/.local/bin/coordinator serve"));
        let named = unit(program, &Scope::User, Some(Path::new("/srv/rt")));
        assert!(has_line(&named, "ExecStart=/home/user/.local/bin/coordinator serve --data-dir /srv/rt"));
        assert!(!named.text.contains("\nUser="));
    }
}
