//! Layers, complaints, and what a repository may not say.
#![allow(clippy::unwrap_used)]

use super::*;

struct Files {
    home: tempfile::TempDir,
}

impl Files {
    fn new(user: &str, repository: &str, explicit: &str) -> Self {
        let files = Self { home: tempfile::tempdir().unwrap() };
        for (name, text) in [("user.toml", user), ("roundtable.toml", repository), ("explicit.toml", explicit)] {
            std::fs::write(files.home.path().join(name), text).unwrap();
        }
        files
    }

    fn load(&self) -> Result<Config, ConfigError> {
        let at = |name: &str| Some(self.home.path().join(name));
        let sources = Sources { explicit: at("explicit.toml"), repository: Some(self.home.path().to_owned()), user: at("user.toml") };
        Config::load(&sources)
    }
}

fn error(text: &str) -> String {
    Files::new("", text, "").load().unwrap_err().to_string()
}

#[test]
fn layers_lie_over_one_another_key_by_key() {
    let files = Files::new(
        "data_dir = '/u'\nsetup = 'user'\ncheck = 'user'\n[limits]\nwall = '1h'\nidle = 1000\n[backend.codex]\nmodel = 'u'\neffort = 'u'\ncommand = '/opt/codex'\n[run]\nmode = 'legacy'\nmax_iterations = 7\n",
        "setup = 'repository'\ncopy = ['.env', 'a/b']\n[limits]\nwall = '2h 30m'\n[backend.codex]\nmodel = 'r'\n",
        "check = 'explicit'\n[limits]\naccept = '20s'\n[backend.codex]\nmodel = 'e'\nhome = 'isolated'\n[run]\nmode = 'manual'\nworkers = ['codex=2', 'gemini=1']\nstrict = true\nsleep = 1.5\n[serve]\nlisten = '127.0.0.1:1'\n",
    );
    let config = files.load().unwrap();
    assert_eq!(config.data_dir.as_deref(), Some(Path::new("/u")));
    assert_eq!((config.setup.as_deref(), config.check.as_deref()), (Some("repository"), Some("explicit")));
    assert_eq!(config.copy.as_deref(), Some(&[".env".to_owned(), "a/b".to_owned()][..]));
    let mut limits = RunLimits::default();
    config.limits.apply(&mut limits);
    assert_eq!((limits.wall_ms, limits.idle_ms, limits.accept_ms, limits.hold_ms), (9_000_000, 1000, 20_000, 60_000));
    let codex = &config.backends["codex"];
    assert_eq!((codex.model.as_deref(), codex.effort.as_deref(), codex.command.as_deref()), (Some("e"), Some("u"), Some("/opt/codex")));
    assert_eq!(codex.home, Some(Home::Isolated));
    let run = &config.flags["run"];
    assert_eq!((run["mode"].as_slice(), run["max-iterations"].as_slice()), (&["manual".to_owned()][..], &["7".to_owned()][..]));
    assert_eq!((run["workers"].len(), run["strict"][0].as_str(), run["sleep"][0].as_str()), (2, "true", "1.5"));
    assert_eq!(config.flags["serve"]["listen"], ["127.0.0.1:1"], "another program's table is checked and kept as well");
    assert!(config.flags.len() == 2 && config.warnings.is_empty());
}

#[test]
fn a_repository_is_not_trusted_with_programs_variables_or_flags() {
    let files = Files::new(
        "[backend.codex]\ncommand = 'mine'\n",
        "coordinator = 'evil:1'\nprofile = 'evil'\ndata_dir = '/evil'\n[backend.codex]\ncommand = 'evil'\nargs = ['x']\nenv = ['AWS_SECRET']\nhome = 'isolated'\nmodel = 'fine'\n[run]\nmode = 'manual'\n",
        "",
    );
    let config = files.load().unwrap();
    let codex = &config.backends["codex"];
    assert_eq!((codex.command.as_deref(), codex.model.as_deref()), (Some("mine"), Some("fine")));
    assert!(codex.args.is_none() && codex.env.is_none() && codex.home.is_none() && config.coordinator.is_none() && config.flags.is_empty());
    assert_eq!(config.warnings.len(), 8, "{:?}", config.warnings);
}

#[test]
fn unknown_keys_name_file_line_and_the_nearest() {
    let text = error("check = 'x'\n\nstup = 'npm ci'\n");
    assert!(text.contains("roundtable.toml:3: unknown key \"stup\"; did you mean \"setup\"?"), "{text}");
    let text = error("[limits]\nwal = '1h'\n");
    assert!(text.contains(":2: unknown key \"limits.wal\"; did you mean \"limits.wall\"?"), "{text}");
    let text = error("[backend.codex]\nmodle = 'x'\n");
    assert!(text.contains("did you mean \"backend.codex.model\"?"), "{text}");
    let text = error("[run]\nmax_iteration = 3\n");
    assert!(text.contains("did you mean \"run.max-iterations\"?"), "{text}");
    for (text, nearest) in [
        ("[serve]\nlissten = 'x'\n", "serve.listen"),
        ("[join]\nbakend = 'x'\n", "join.backend"),
        ("[status]\nwacth = true\n", "status.watch"),
        ("[config.show]\nworkdri = '.'\n", "config.show.workdir"),
        ("[config.shwo]\n", "config.show"),
        ("[verfy]\njson = true\n", "verify"),
    ] {
        let text = error(text);
        assert!(text.contains(&format!("did you mean {nearest:?}?")), "{text}");
    }
    let text = error("completely_else = 1\n");
    assert!(text.ends_with("unknown key \"completely_else\""), "{text}");
}

#[test]
fn bad_values_name_what_they_must_be() {
    for (text, wanted) in [
        ("check = 5", "1: check: it must be a text"),
        ("\n[limits]\nwall = '10'", ":3: limits.wall: \"10\" has no unit"),
        ("[limits]\nwall = -5", "limits.wall"),
        ("[limits]\nwall = 0x10", ""),
        ("copy = ['../x']", "no path of a file inside"),
        ("copy = ['/etc/passwd']", "no path of a file inside"),
        ("copy = ['.git/config']", "no path of a file inside"),
        ("[backend.x]\nenv = ['A=1']", "no name of a variable"),
        ("[backend.x]\nenv = ['ROUNDTABLE_TOKEN']", "never passed"),
        ("[backend.x]\nhome = 'elsewhere'", "in-place"),
        ("backend = 5", "a table"),
        ("setup = 'unclosed", "roundtable.toml:1: "),
        ("log_format = 'xml'", "text or json"),
    ] {
        if wanted.is_empty() {
            Files::new("", text, "").load().unwrap();
        } else {
            let message = error(text);
            assert!(message.contains(wanted), "{text}: {message}");
        }
    }
}

#[test]
fn a_named_file_must_exist_and_others_need_not() {
    let home = tempfile::tempdir().unwrap();
    let absent = home.path().join("absent.toml");
    let sources = Sources { explicit: None, repository: Some(home.path().to_owned()), user: Some(absent.clone()) };
    assert_eq!(Config::load(&sources).unwrap(), Config::default());
    let sources = Sources { explicit: Some(absent), ..Sources::default() };
    assert!(matches!(Config::load(&sources), Err(ConfigError::Absent { .. })));
}

#[test]
fn directories_follow_the_environment() {
    let with =
        |set: &'static [(&'static str, &'static str)]| move |name: &str| set.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
    let home = with(&[("HOME", "/h")]);
    assert_eq!(default_data_dir(&home).unwrap(), Path::new("/h/.local/state/roundtable"));
    assert_eq!(user_file(&home).unwrap(), Path::new("/h/.config/roundtable/config.toml"));
    let both = with(&[("HOME", "/h"), ("XDG_STATE_HOME", "/s"), ("XDG_CONFIG_HOME", "relative")]);
    assert_eq!(default_data_dir(&both).unwrap(), Path::new("/s/roundtable"));
    assert_eq!(user_file(&both).unwrap(), Path::new("/h/.config/roundtable/config.toml"));
    assert!(matches!(default_data_dir(&with(&[])), Err(ConfigError::NoHome { .. })));
}

#[test]
fn an_option_with_two_names_is_one_option_across_layers() {
    let files = Files::new(
        "[run]\ncheck = 'user'\nwait-worker = '1s'\nbackend = 'gemini'\n",
        "check = 'repository'\n[limits]\nwait_worker = '2s'\n",
        "[run]\norchestrator = 'codex'\n",
    );
    let config = files.load().unwrap();
    assert_eq!((config.check.as_deref(), config.limits.get("wait_worker")), (Some("repository"), Some(2000)));
    let run = &config.flags["run"];
    assert_eq!(run.keys().map(String::as_str).collect::<Vec<_>>(), ["orchestrator"]);
    // Within one file the flag's own name goes before.
    let config = Files::new("", "", "check = 'all'\n[run]\ncheck = 'run'\n").load().unwrap();
    assert_eq!((config.check.as_deref(), config.flags["run"]["check"].as_slice()), (Some("all"), &["run".to_owned()][..]));
    assert!(
        Files::new("[run]\nbackend = 'a'\norchestrator = 'b'\n", "", "")
            .load()
            .is_err_and(|error| error.to_string().contains("one option"))
    );
}

#[test]
fn a_command_within_a_command_has_a_table_within_its_table() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.toml");
    let load = |text: &str| {
        std::fs::write(&file, text).unwrap();
        Config::load(&Sources { explicit: Some(file.clone()), repository: None, user: None })
    };
    let config = load("[runs]\njson = true\n[runs.prune]\nolder_than = '90d'\n").unwrap();
    assert_eq!(config.flags["runs"]["json"], ["true"]);
    assert_eq!(config.flags["runs.prune"]["older-than"], ["90d"]);
    let error = load("[runs.prune]\nolder_then = '90d'\n").unwrap_err().to_string();
    assert!(error.contains("runs.prune.older-than"), "{error}");
    assert!(load("[runs.rmm]\nforce = true\n").is_err());
}
