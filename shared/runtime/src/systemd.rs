//! Units of systemd for our own programs: whose they are, where they go, and how they are enabled. What a unit says is its program's to write.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::config::{Environment, user_file};
use crate::fsx;

/// Units of the whole machine.
const SYSTEM_UNITS: &str = "/etc/systemd/system";
/// What `%E` is in them.
const SYSTEM_CONFIG: &str = "/etc";
/// There is a systemd to speak to.
const RUNS: &str = "/run/systemd/system";

/// Whose a unit is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Scope {
    /// The machine's: it runs as that user, from the boot on.
    System {
        /// The user.
        user: String,
    },
    /// The caller's own: it runs while that user is logged in, or lingers.
    User,
}

/// A unit to install.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unit<'a> {
    /// Its name, without `.service`.
    pub name: &'a str,
    /// Its text.
    pub text: String,
    /// The file below `%E/roundtable` that its flags come from, and what stands in it where there is none yet.
    pub environment: (&'a str, &'a str),
    /// Only a person can say what stands in that file: the unit is not started where it is new.
    pub needs_environment: bool,
}

/// What has been installed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Installed {
    /// The unit's file.
    pub unit: PathBuf,
    /// The file of its flags.
    pub environment: PathBuf,
    /// It runs; else the file of its flags is to be looked at first.
    pub is_started: bool,
}

/// Why nothing, or not all, is installed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// Root has said for nobody.
    #[error("root installs for somebody: name the user it is to run as with --user; files, agents and their logins are that user's")]
    NoUser,
    /// Somebody else's.
    #[error("only root can install a unit that runs as {0}: use sudo, or leave --user out for one of your own")]
    NotRoot(String),
    /// A name that would be another line of the unit.
    #[error("{0:?} is no user's name")]
    BadUser(String),
    /// No place for it.
    #[error("there is no folder for units of this user: neither XDG_CONFIG_HOME nor HOME is set")]
    NoHome,
    /// No systemd.
    #[error("systemd does not run on this machine, and nothing was installed; --print writes the unit to standard output")]
    NoSystemd,
    /// A file.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// systemctl did not do it.
    #[error("the unit is in its place, but `systemctl {command}` failed: {detail}; do that by hand")]
    Systemctl {
        /// What it was asked.
        command: String,
        /// What it said.
        detail: String,
    },
}

impl InstallError {
    /// Whether the command line is at fault.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::NoUser | Self::NotRoot(_) | Self::BadUser(_))
    }
}

impl Scope {
    /// Whose the unit is to be, for the caller.
    pub fn of(user: Option<String>) -> Result<Self, InstallError> {
        Self::of_caller(user, rustix::process::geteuid().is_root())
    }

    fn of_caller(user: Option<String>, is_root: bool) -> Result<Self, InstallError> {
        match user {
            Some(user) if !is_user_name(&user) => Err(InstallError::BadUser(user)),
            Some(user) if is_root => Ok(Self::System { user }),
            Some(user) => Err(InstallError::NotRoot(user)),
            None if is_root => Err(InstallError::NoUser),
            None => Ok(Self::User),
        }
    }
}

fn is_user_name(name: &str) -> bool {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    !name.is_empty() && name.len() <= 64 && !name.starts_with('-') && name.chars().all(is_fine)
}

/// The text with another value of a key; `None` leaves the key out. Only the first line that has it counts.
pub fn with(text: &str, key: &str, value: Option<&str>) -> String {
    let start = format!("{key}=");
    let mut is_done = false;
    let mut lines = String::new();
    for line in text.lines() {
        if !is_done && line.starts_with(&start) {
            is_done = true;
            if let Some(value) = value {
                lines.push_str(&start);
                lines.push_str(value);
                lines.push('\n');
            }
        } else {
            lines.push_str(line);
            lines.push('\n');
        }
    }
    debug_assert!(is_done, "the unit has no {key}");
    lines
}

/// A command line as `ExecStart=` takes it: specifiers and variables are only text here.
pub fn command_line(program: &Path, arguments: &[&str]) -> String {
    let words = std::iter::once(program.display().to_string()).chain(arguments.iter().map(|word| (*word).to_owned()));
    words.map(|word| quoted(&word).replace('$', "$$")).collect::<Vec<_>>().join(" ")
}

/// One word of a unit's line.
pub fn quoted(word: &str) -> String {
    let plain = word.replace('%', "%%");
    if !plain.is_empty() && plain.chars().all(|c| c.is_ascii_alphanumeric() || "/._-:=,+@%".contains(c)) {
        return plain;
    }
    let mut text = String::from('"');
    for c in plain.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            '\n' => text.push_str("\\n"),
            c => text.push(c),
        }
    }
    text.push('"');
    text
}

/// Writes a unit, and enables it; it starts now, unless a person must say something first.
pub fn install(unit: &Unit<'_>, scope: &Scope, environment: Environment<'_>) -> Result<Installed, InstallError> {
    if !Path::new(RUNS).is_dir() {
        return Err(InstallError::NoSystemd);
    }
    let places = match scope {
        Scope::System { .. } => Places { units: SYSTEM_UNITS.into(), config: Path::new(SYSTEM_CONFIG).join("roundtable") },
        Scope::User => {
            let config = user_file(environment).and_then(|file| Some(file.parent()?.to_owned())).ok_or(InstallError::NoHome)?;
            let above = config.parent().ok_or(InstallError::NoHome)?;
            Places { units: above.join("systemd/user"), config }
        }
    };
    install_at(unit, scope, &places, &systemctl)
}

/// Asks systemctl; its own words where it refuses.
fn systemctl(arguments: &[&str]) -> Result<(), String> {
    let output = Command::new("systemctl").args(arguments).output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(if said.is_empty() { output.status.to_string() } else { said })
}

type Systemctl<'a> = &'a dyn Fn(&[&str]) -> Result<(), String>;

/// Where things go.
struct Places {
    units: PathBuf,
    config: PathBuf,
}

fn install_at(unit: &Unit<'_>, scope: &Scope, places: &Places, systemctl: Systemctl<'_>) -> Result<Installed, InstallError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| InstallError::Io { path, source }
    };
    let file = places.units.join(format!("{}.service", unit.name));
    let flags = places.config.join(unit.environment.0);
    std::fs::create_dir_all(&places.units).map_err(io(&places.units))?;
    std::fs::create_dir_all(&places.config).map_err(io(&places.config))?;
    // It may come to hold what only its reader should know.
    let is_new = match fsx::write_new(&flags, unit.environment.1.as_bytes(), fsx::PRIVATE) {
        Ok(()) => true,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => false,
        Err(error) => return Err(io(&flags)(error)),
    };
    fsx::write_atomic(&file, unit.text.as_bytes(), fsx::PUBLIC).map_err(io(&file))?;
    let is_started = !(is_new && unit.needs_environment);
    let service = format!("{}.service", unit.name);
    call(systemctl, scope, &["daemon-reload"])?;
    call(systemctl, scope, &["enable", &service])?;
    if is_started {
        // What runs already takes up the new unit too.
        call(systemctl, scope, &["restart", &service])?;
    }
    Ok(Installed { unit: file, environment: flags, is_started })
}

fn call(systemctl: Systemctl<'_>, scope: &Scope, arguments: &[&str]) -> Result<(), InstallError> {
    let mine: &[&str] = if *scope == Scope::User { &["--user"] } else { &[] };
    let all: Vec<&str> = mine.iter().chain(arguments).copied().collect();
    systemctl(&all).map_err(|detail| InstallError::Systemctl { command: all.join(" "), detail })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn whose_a_unit_is_depends_on_the_caller() {
        let of = |user: Option<&str>, is_root| Scope::of_caller(user.map(str::to_owned), is_root);
        assert_eq!(of(Some("rt"), true).unwrap(), Scope::System { user: "rt".to_owned() });
        assert_eq!(of(None, false).unwrap(), Scope::User);
        assert!(matches!(of(None, true), Err(InstallError::NoUser)));
        assert!(matches!(of(Some("rt"), false), Err(InstallError::NotRoot(_))));
        for bad in ["", "-x", "a b", "root\nExecStartPre=x", "%u"] {
            assert!(matches!(of(Some(bad), true), Err(InstallError::BadUser(_))), "{bad:?}");
        }
    }

    #[test]
    fn lines_are_replaced_and_words_stay_words() {
        let text = "[Service]\nUser=a\nExecStart=x\nState=y\n";
        assert_eq!(with(&with(text, "User", Some("b")), "State", None), "[Service]\nUser=b\nExecStart=x\n");
        assert_eq!(command_line(Path::new("/usr/bin/worker"), &["join", "--name=a,b"]), "/usr/bin/worker join --name=a,b");
        assert_eq!(command_line(Path::new("/a b/w"), &["50%", "$HOME", "q\"\\"]), r#""/a b/w" 50%% "$$HOME" "q\"\\""#);
    }

    /// A unit, folders, and a systemctl that notes what it is asked, and fails at one word.
    fn tried(fails_at: &str, scope: &Scope, flags: Option<&str>) -> (Result<Installed, InstallError>, Vec<String>, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let places = Places { units: dir.path().join("units"), config: dir.path().join("config") };
        if let Some(flags) = flags {
            std::fs::create_dir_all(&places.config).unwrap();
            std::fs::write(places.config.join("w.env"), flags).unwrap();
        }
        let unit = Unit { name: "w", text: "[Service]\n".to_owned(), environment: ("w.env", "A=sample\n"), needs_environment: true };
        let asked = std::cell::RefCell::new(Vec::new());
        let installed = install_at(&unit, scope, &places, &|arguments| {
            asked.borrow_mut().push(arguments.join(" "));
            if arguments.contains(&fails_at) { Err("no".to_owned()) } else { Ok(()) }
        });
        (installed, asked.into_inner(), dir)
    }

    #[test]
    fn a_unit_is_written_enabled_and_started_unless_somebody_must_say_something_first() {
        let (installed, asked, _dir) = tried("nothing", &Scope::User, None);
        let installed = installed.unwrap();
        assert!(!installed.is_started);
        assert_eq!(asked, ["--user daemon-reload", "--user enable w.service"]);
        assert_eq!(std::fs::read_to_string(installed.unit).unwrap(), "[Service]\n");
        assert_eq!(std::fs::read_to_string(installed.environment).unwrap(), "A=sample\n");
        let system = Scope::System { user: "rt".to_owned() };
        let (installed, asked, _dir) = tried("nothing", &system, Some("A=mine\n"));
        let installed = installed.unwrap();
        assert!(installed.is_started);
        assert_eq!(asked, ["daemon-reload", "enable w.service", "restart w.service"]);
        assert_eq!(std::fs::read_to_string(installed.environment).unwrap(), "A=mine\n", "what somebody has said stays");
    }

    #[test]
    fn what_systemctl_refuses_is_said_with_the_command() {
        let (installed, _, _dir) = tried("enable", &Scope::User, None);
        let error = installed.unwrap_err().to_string();
        assert!(error.contains("`systemctl --user enable w.service` failed: no"), "{error}");
    }
}
