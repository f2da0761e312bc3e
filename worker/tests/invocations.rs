//! The command lines of the adapters: exactly what was measured to work, for every role and switch.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use roundtable_shared::{Role, Switches, TurnData};
use roundtable_worker::backend::{BackendConfig, BackendError, Home, Host, Invocation, Reach, SessionRecord, StdoutMode, Turn, Writes};

/// A machine with a home directory and the three CLIs on its PATH.
struct Machine {
    dir: tempfile::TempDir,
    host: Host,
}

impl Machine {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_owned();
        for name in ["codex", "gemini", "opencode", "mine"] {
            let path = root.join("bin").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "#!/bin/sh\n").unwrap();
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        }
        let mut host = Host { player: "/opt/player".into(), ..Host::default() };
        for (name, value) in
            [("PATH", root.join("bin")), ("HOME", root.join("home")), ("ROUNDTABLE_TOKEN", "t".into()), ("GEMINI_API_KEY", "gk".into())]
        {
            host.env.insert(name.into(), value.into());
        }
        Self { dir, host }
    }

    fn configure(&mut self, name: &str, config: BackendConfig) -> &mut Self {
        self.host.configs.insert(name.to_owned(), config);
        self
    }

    fn set(&mut self, name: &str, value: &str) -> &mut Self {
        self.host.env.insert(name.into(), value.into());
        self
    }

    fn codex_config(&self, text: &str) {
        std::fs::create_dir_all(self.dir.path().join("home/.codex")).unwrap();
        std::fs::write(self.dir.path().join("home/.codex/config.toml"), text).unwrap();
    }

    fn invocation(&self, backend: &str, turn: &Turn) -> Invocation {
        Arc::new(self.host.clone()).open(backend).unwrap().invocation(turn).unwrap()
    }

    /// What a turn of that role may reach.
    fn reach(&self, backend: &str, role: Role) -> Reach {
        let backend = Arc::new(self.host.clone()).open(backend).unwrap();
        backend.reach(&backend.invocation(&turn(role)).unwrap())
    }

    fn account(&self, backend: &str) -> String {
        Arc::new(self.host.clone()).open(backend).unwrap().account()
    }
}

fn turn(role: Role) -> Turn {
    let data = TurnData { unit: Some("1".into()), title: "One".into(), ..TurnData::new("demo-abcdef", role) };
    Turn::new(data, "do it", "/w", "/s")
}

fn resumed(role: Role) -> Turn {
    Turn { resume: Some(SessionRecord { session: "id-1".into(), worktree: "/w".into(), total: Default::default() }), ..turn(role) }
}

fn words(invocation: &Invocation) -> String {
    invocation.args.iter().map(|arg| arg.to_str().unwrap()).collect::<Vec<_>>().join(" ")
}

fn variable<'a>(invocation: &'a Invocation, name: &str) -> Option<&'a str> {
    invocation.env.get(Path::new(name).as_os_str()).map(|value| value.to_str().unwrap())
}

const SECRETS: &str =
    r#"-c shell_environment_policy.exclude=["CODEX_API_KEY","OPENAI_API_KEY","OPENAI_*TOKEN*","CODEX_*TOKEN*","RUST_LOG"]"#;

#[test]
fn codex_implements_in_its_sandbox() {
    let invocation = Machine::new().invocation("codex", &turn(Role::Implement));
    assert!(invocation.program.ends_with("bin/codex"));
    assert_eq!(
        words(&invocation),
        format!(
            "exec --json --skip-git-repo-check -C /w -s workspace-write -o /s/last-message.txt --disable plugins -c analytics.enabled=false {SECRETS} -"
        )
    );
    assert_eq!(
        (invocation.stdin.as_slice(), invocation.stdout, invocation.cwd.as_path()),
        (&b"do it"[..], StdoutMode::Pipe, Path::new("/w"))
    );
    assert_eq!(invocation.last_message.as_deref(), Some(Path::new("/s/last-message.txt")));
    assert_eq!(variable(&invocation, "TMPDIR"), Some("/s/tmp"));
    assert!(invocation.dirs.contains(&PathBuf::from("/s/tmp")));
    assert_eq!((variable(&invocation, "ROUNDTABLE_TOKEN"), variable(&invocation, "GEMINI_API_KEY")), (None, None));
    assert_eq!(variable(&invocation, "RUST_LOG"), Some("error,codex_otel.trace_safe=info"), "so that its provider is seen");
}

#[test]
fn codex_reviews_in_a_tree_to_throw_away_with_a_schema_and_resumes_after_its_flags() {
    let machine = Machine::new();
    let mut review = turn(Role::Review);
    review.schema = Some("{\"type\":\"object\"}".into());
    review.model = Some("m1".into());
    review.effort = Some("high".into());
    let invocation = machine.invocation("codex-review", &review);
    assert!(words(&invocation).contains(" -s workspace-write "), "its tests must be able to write");
    for role in [Role::Assign, Role::Orchestrate] {
        assert!(words(&machine.invocation("codex", &turn(role))).contains(" -s read-only "));
    }
    assert!(words(&invocation).contains(" -c model_reasoning_effort=\"high\" "));
    assert!(words(&invocation).ends_with(" -m m1 --output-schema /s/schema.json -"));
    assert_eq!(invocation.files, [(PathBuf::from("/s/schema.json"), b"{\"type\":\"object\"}".to_vec())]);
    assert!(words(&machine.invocation("codex-review", &resumed(Role::Fix))).ends_with(" resume id-1 -"));
    assert!(words(&machine.invocation("codex-review", &turn(Role::Implement))).contains(" -s workspace-write "), "as an owner it writes");
}

#[test]
fn codex_leaves_the_users_provider_alone_but_for_retries() {
    let machine = Machine::new();
    machine.codex_config(
        "model_provider = \"corp\"\n[model_providers.corp]\nenv_key = \"CORP_KEY\"\nstream_max_retries = 9\n[shell_environment_policy]\ninherit = \"core\"\n",
    );
    let invocation = machine.invocation("codex", &turn(Role::Implement));
    assert_eq!(variable(&invocation, "RUST_LOG"), None, "commands would get it, by the user's own policy");
    let words = words(&invocation);
    assert!(words.contains("-c model_providers.corp.request_max_retries=2 ") && !words.contains("stream_max_retries"), "{words}");
    assert!(!words.contains("shell_environment_policy"), "{words}");
    machine.codex_config("this is = not toml [");
    machine.invocation("codex", &turn(Role::Implement));
}

#[test]
fn switches_of_the_run_win_over_those_of_the_host() {
    let mut machine = Machine::new();
    machine
        .set("CODEX_BYPASS_SANDBOX", "1")
        .set("CODEAGENT_OPENCODE_MODEL", "p/host")
        .set("CODEAGENT_OPENCODE_AGENT", "planner")
        .set("CODEAGENT_SKIP_PERMISSIONS", "true");
    let mut turn = turn(Role::Implement);
    assert!(words(&machine.invocation("codex", &turn)).contains(" --dangerously-bypass-approvals-and-sandbox "));
    assert_eq!(
        words(&machine.invocation("opencode", &turn)),
        "run --format json --print-logs --log-level INFO --model p/host --agent planner --auto"
    );
    assert_eq!(variable(&machine.invocation("opencode", &turn), "OPENCODE_PERMISSION"), None, "all is allowed");
    turn.switches =
        Switches { bypass_sandbox: Some(false), skip_permissions: Some(false), opencode_agent: None, opencode_model: Some("p/run".into()) };
    assert!(words(&machine.invocation("codex", &turn)).contains(" -s workspace-write "));
    assert_eq!(
        words(&machine.invocation("opencode", &turn)),
        "run --format json --print-logs --log-level INFO --model p/run --agent planner"
    );
}

#[test]
fn gemini_reads_stdin_and_writes_to_a_file() {
    let machine = Machine::new();
    let invocation = machine.invocation("gemini", &turn(Role::Implement));
    assert_eq!(words(&invocation), "-o stream-json --approval-mode yolo --skip-trust");
    assert_eq!((invocation.stdin.as_slice(), invocation.stdout), (&b"do it"[..], StdoutMode::File));
    assert_eq!(variable(&invocation, "GEMINI_CLI_NO_RELAUNCH"), Some("true"));
    assert_eq!(variable(&invocation, "GEMINI_API_KEY"), Some("gk"));
    // Settings of the attempt are taken only where all folders above are root's alone.
    let is_roots = rustix::process::geteuid().is_root();
    let strict = tempfile::tempdir_in(if is_roots { "/var" } else { "." }).unwrap();
    let shared = strict.path().join("shared");
    std::fs::create_dir(&shared).unwrap();
    std::fs::set_permissions(&shared, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    for (scratch, taken) in [(strict.path().to_owned(), is_roots), (shared, false), (PathBuf::from("/s"), false)] {
        let invocation = machine.invocation("gemini", &Turn { scratch: scratch.clone(), ..turn(Role::Implement) });
        let settings = scratch.join("gemini/settings.json");
        assert_eq!(variable(&invocation, "GEMINI_CLI_SYSTEM_SETTINGS_PATH").is_some(), taken, "{}", scratch.display());
        let written = invocation.files.iter().find(|(path, _)| *path == settings);
        assert_eq!(written.is_some_and(|(_, text)| String::from_utf8_lossy(text).contains("\"maxAttempts\":3")), taken);
    }
    assert_eq!(words(&machine.invocation("gemini", &turn(Role::Review))), "-o stream-json --approval-mode plan --skip-trust");
    let fix = Turn { model: Some("gemini-x".into()), ..resumed(Role::Fix) };
    assert_eq!(words(&machine.invocation("gemini", &fix)), "-o stream-json --approval-mode yolo --skip-trust -m gemini-x --resume id-1");
}

#[test]
fn opencode_names_the_directory_it_began_in() {
    let mut machine = Machine::new();
    let invocation = machine.invocation("opencode", &Turn { effort: Some("high".into()), ..resumed(Role::Fix) });
    assert_eq!(words(&invocation), "run --format json --print-logs --log-level INFO --variant high --session id-1 --dir /w");
    assert_eq!(invocation.stdout, StdoutMode::File);
    assert_eq!(variable(&invocation, "OPENCODE_DISABLE_AUTOCOMPACT"), Some("1"));
    assert_eq!(variable(&invocation, "OPENCODE_PERMISSION"), Some(r#"{"external_directory":"deny"}"#));
    let review = machine.invocation("opencode", &turn(Role::Review));
    assert!(variable(&review, "OPENCODE_PERMISSION").unwrap().contains("\"edit\":\"deny\""));
    machine.set("OPENCODE_DISABLE_AUTOCOMPACT", "0");
    assert_eq!(variable(&machine.invocation("opencode", &turn(Role::Fix)), "OPENCODE_DISABLE_AUTOCOMPACT"), Some("0"));
}

#[test]
fn an_isolated_home_is_below_the_attempt() {
    let mut machine = Machine::new();
    for name in ["codex", "gemini", "opencode"] {
        machine.configure(name, BackendConfig { home: Home::Isolated, ..BackendConfig::default() });
        let invocation = machine.invocation(name, &turn(Role::Implement));
        assert_eq!(variable(&invocation, "HOME"), Some("/s/home"));
        assert_eq!(variable(&invocation, "CODEX_HOME"), Some("/s/home/.codex"));
        assert_eq!(variable(&invocation, "XDG_CONFIG_HOME"), Some("/s/home/.config"));
        assert!(invocation.dirs.contains(&PathBuf::from("/s/home/.codex")), "codex ends at once if it is not there");
    }
    let invocation = machine.invocation("gemini", &turn(Role::Implement));
    assert!(
        invocation
            .files
            .iter()
            .any(|(path, text)| path.ends_with("home/.gemini/settings.json") && String::from_utf8_lossy(text).contains("gemini-api-key"))
    );
}

#[test]
fn configured_commands_get_prompt_and_places() {
    let mut machine = Machine::new();
    let config =
        BackendConfig { command: Some("mine".into()), model: Some("big".into()), env: vec!["MY_KEY".into()], ..BackendConfig::default() };
    machine
        .set("MY_KEY", "k")
        .configure("mine", BackendConfig { args: vec!["--dir={worktree}".into(), "-m".into(), "{model}".into()], ..config.clone() });
    let invocation = machine.invocation("mine", &turn(Role::Implement));
    assert_eq!((words(&invocation).as_str(), invocation.stdin.as_slice()), ("--dir=/w -m big", &b"do it"[..]));
    assert_eq!(variable(&invocation, "MY_KEY"), Some("k"));
    machine.configure("mine", BackendConfig { args: vec!["{prompt_file}".into()], ..config });
    let invocation = machine.invocation("mine", &turn(Role::Implement));
    assert_eq!((words(&invocation).as_str(), invocation.stdin.len()), ("/s/prompt.md", 0));
    assert_eq!(invocation.files, [(PathBuf::from("/s/prompt.md"), b"do it".to_vec())]);
}

#[test]
fn what_cannot_be_opened_is_named_with_the_fix() {
    let mut machine = Machine::new();
    let open = |machine: &Machine, name: &str| Arc::new(machine.host.clone()).open(name).err().unwrap();
    assert!(matches!(open(&machine, "claude"), BackendError::Unknown { .. }));
    machine.configure("mine", BackendConfig { command: Some("nowhere".into()), ..BackendConfig::default() });
    assert_eq!(
        open(&machine, "mine").to_string(),
        "mine: no program `nowhere` found on PATH: install it, or name it with --backend-path mine=FILE"
    );
    machine.configure("mine", BackendConfig::default());
    assert_eq!(open(&machine, "mine").to_string(), "[backend.mine] has no `command`: name the program to run");
    machine.configure("codex", BackendConfig { env: vec!["ROUNDTABLE_TOKEN".into()], ..BackendConfig::default() });
    assert!(open(&machine, "codex").to_string().contains("ROUNDTABLE_TOKEN"));
    machine.host.paths.insert("gemini".into(), "/no/such/gemini".into());
    assert!(open(&machine, "gemini").to_string().contains("/no/such/gemini"));
    let installed = Arc::new(Machine::new().host).installed();
    assert_eq!(installed.iter().map(|name| name.as_str()).collect::<Vec<_>>(), ["codex", "gemini", "opencode"]);
}

#[test]
fn accounts_tell_keys_apart_without_telling_them() {
    let mut machine = Machine::new();
    assert_eq!(machine.account("codex"), "openai:default");
    machine.set("CODEX_API_KEY", "sk-secret-1");
    let first = machine.account("codex");
    assert_eq!(machine.account("codex-review"), first, "one account, one limit");
    machine.set("CODEX_API_KEY", "sk-secret-2");
    assert_ne!(machine.account("codex"), first);
    assert!(!first.contains("secret") && first.len() == "openai:".len() + 12, "{first}");
    machine.codex_config("model_provider = \"corp\"\n[model_providers.corp]\nenv_key = \"CORP_KEY\"\n");
    assert_eq!(machine.account("codex"), "corp:default");
}

#[test]
fn a_playbook_can_stand_in_for_a_cli() {
    let mut machine = Machine::new();
    let file = machine.dir.path().join("p.json");
    std::fs::write(&file, "{}").unwrap();
    machine.host.paths.insert("codex".into(), format!("scripted:{}", file.display()));
    for name in ["codex", "codex-review"] {
        let invocation = machine.invocation(name, &turn(Role::Implement));
        assert_eq!((invocation.program.as_path(), words(&invocation).as_str()), (Path::new("/opt/player"), "play"));
        assert!(String::from_utf8(invocation.stdin).unwrap().contains("p.json"));
    }
    assert!(machine.invocation("gemini", &turn(Role::Implement)).program.ends_with("bin/gemini"));
}

#[test]
fn what_an_agent_may_reach_is_read_off_its_command_line() {
    let mut machine = Machine::new();
    machine.configure("mine", BackendConfig { command: Some("mine".into()), ..BackendConfig::default() });
    let nothing = |network| Reach { writes: Writes::Nothing, network };
    let worktree = |network| Reach { writes: Writes::Worktree, network };
    for (backend, writing, reviewing) in [
        ("codex", worktree(false), worktree(false)),
        ("codex-review", worktree(false), worktree(false)),
        ("gemini", Reach::ACCOUNT, nothing(true)),
        ("opencode", Reach::ACCOUNT, nothing(true)),
        ("mine", Reach::ACCOUNT, Reach::ACCOUNT),
    ] {
        assert_eq!((machine.reach(backend, Role::Implement), machine.reach(backend, Role::Review)), (writing, reviewing), "{backend}");
    }
    machine.codex_config("[sandbox_workspace_write]\nnetwork_access = true\n");
    assert_eq!(machine.reach("codex", Role::Implement), worktree(true));
    let args = |words: &[&str]| BackendConfig { args: words.iter().map(ToString::to_string).collect(), ..BackendConfig::default() };
    machine.configure("codex", args(&["-s", "danger-full-access"]));
    assert_eq!(machine.reach("codex", Role::Implement), Reach::ACCOUNT);
    machine.configure("codex", BackendConfig::default()).set("CODEX_BYPASS_SANDBOX", "1");
    assert_eq!(machine.reach("codex", Role::Review), Reach::ACCOUNT);
}
