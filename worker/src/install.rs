//! `worker install`: the unit that keeps `worker join` running. Its text is that of `deploy/systemd`, with the caller's program; what it serves, and where its
//! coordinator is, stands in the file of its flags.

use std::path::Path;

use roundtable_runtime::systemd::{Scope, Unit, command_line, with};

const SYSTEM: &str = include_str!("../../deploy/systemd/roundtable-worker.service");
const USER: &str = include_str!("../../deploy/systemd/user/roundtable-worker.service");
const ENVIRONMENT: &str = include_str!("../../deploy/config/worker.env");

/// Where a worker of the machine keeps what it keeps: systemd makes the folder.
const SYSTEM_DATA_DIR: &str = "/var/lib/roundtable";

/// The unit for that program.
pub fn unit(program: &Path, scope: &Scope) -> Unit<'static> {
    let text = match scope {
        Scope::System { user } => {
            let line = command_line(program, &["join", "--data-dir", SYSTEM_DATA_DIR]);
            with(&with(SYSTEM, "User", Some(user)), "ExecStart", Some(&line))
        }
        Scope::User => with(USER, "ExecStart", Some(&command_line(program, &["join"]))),
    };
    // Which agents it may run is nobody's to guess.
    Unit { name: "roundtable-worker", text, environment: ("worker.env", ENVIRONMENT), needs_environment: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_unit_runs_as_its_user_and_a_users_own_names_none() {
        let program = Path::new("/opt/rt/worker");
        let has = |unit: &Unit<'_>, line: &str| unit.text.lines().any(|each| each == line);
        let system = unit(program, &Scope::System { user: "rt".to_owned() });
        assert!(has(&system, "User=rt") && has(&system, "ExecStart=/opt/rt/worker join --data-dir /var/lib/roundtable"), "{}", system.text);
        let user = unit(program, &Scope::User);
        assert!(has(&user, "ExecStart=/opt/rt/worker join") && !user.text.contains("\nUser="), "{}", user.text);
        assert!(system.needs_environment && user.needs_environment);
    }
}
