//! Flags, environment, files, exit codes of a coordinator that is not there, and what is not built.

use std::path::Path;

use roundtable_runtime::config::COMMANDS;
use roundtable_tests::harness::{Output, Playbook, Sandbox, Signal, SpecText};

use crate::world::World;

#[test]
fn what_belongs_to_later_steps_is_absent_from_help_and_refused() {
    let sandbox = Sandbox::new();
    let run = |program: &str, args: &[&str]| sandbox.program(program).args(args.iter().copied()).run();
    let refused = |program: &str, args: &[&str]| {
        run(program, args).expect(3);
    };
    let help = run("orchctl", &["--help"]).expect(0).stdout;
    for command in ["limits", "tui", "ui", "report", "cost", "pr", "mcp"] {
        refused("orchctl", &[command]);
        assert!(!help.contains(&format!("\n  {command} ")), "{command}");
    }
    let flags = run("orchctl", &["run", "--help"]).expect(0).stdout;
    assert!(!flags.contains("--sandbox"));
    refused("orchctl", &["run", "--spec", ".", "--sandbox", "off"]);
    let serve = run("coordinator", &["serve", "--help"]).expect(0).stdout;
    refused("coordinator", &["serve", "--store", "127.0.0.1:1"]);
    assert!(!serve.contains("--store"));
    refused("coordinator", &["verify", "--store", "sqlite:x"]);
    let join = run("worker", &["join", "--help"]).expect(0).stdout;
    refused("worker", &["join", "--backend", "codex", "--sandbox", "off"]);
    assert!(!join.contains("--sandbox"));
    refused("worker", &["doctor", "--security"]);
    for program in ["orchctl", "coordinator", "worker"] {
        run(program, &["--version"]).expect(0).out_has(&[program, "protocol 1"]);
        refused(program, &["nonsense"]);
        run(program, &["--help"]).expect(0).out_has(&["Examples:"]);
    }
}

#[test]
fn a_coordinator_that_is_named_must_be_there_before_anything_else_is_asked() {
    let world = World::new(&SpecText::parallel("login", 1), &Playbook::new());
    let nobody = "https://127.0.0.1:9";
    for args in [
        vec!["status"],
        vec!["runs", "--json"],
        vec!["decide", "x", "retry"],
        vec!["accept"],
        vec!["down"],
        vec!["run", "--spec", ".specs/login"],
    ] {
        let out = world
            .orchctl(&args)
            .args(["--coordinator", nobody])
            .run()
            .expect(4)
            .err_has(&["no coordinator answers at https://127.0.0.1:9", "next:"]);
        assert_eq!(out.stdout, "", "stdout is the answer alone");
    }
    world.orchctl(&["status"]).env("ROUNDTABLE_COORDINATOR", nobody).run().expect(4);
    let join = world.sandbox.program("worker").args(["join", nobody, "--backend", &world.agents(1)]).run();
    assert_eq!(join.code, Some(4), "{}", join.said());
}

#[test]
fn strangers_are_told_so_and_a_second_coordinator_names_the_holder() {
    let sandbox = Sandbox::new();
    let served = sandbox.serve();
    let url = address(&served.stderr());
    let other = sandbox.path("other").display().to_string();
    sandbox.program("orchctl").args(["runs", "--coordinator", &url, "--data-dir", &other]).run().expect(5);
    // Credentials of another coordinator's.
    let mut elsewhere = sandbox.program("coordinator").args(["serve", "--listen", "127.0.0.1:0", "--data-dir", &other]).start();
    elsewhere.wait_for_stderr("ready");
    sandbox.program("orchctl").args(["runs", "--coordinator", &url, "--data-dir", &other]).run().expect(5);
    sandbox.program("orchctl").args(["runs", "--coordinator", &url]).run().expect(0);

    let second = sandbox.program("coordinator").args(["serve", "--listen", "127.0.0.1:0"]).run().expect(6);
    assert!(second.stderr.contains(&served.pid().to_string()), "it names the holder: {}", second.said());
}

fn address(stderr: &str) -> String {
    let after = stderr.split_once("listening on ").unwrap_or_else(|| panic!("no address in {stderr}")).1;
    after.split(',').next().unwrap_or_default().to_owned()
}

#[test]
fn one_that_hangs_is_read_past_and_named_when_something_must_be_written() {
    let world = World::new(&SpecText::parallel("login", 1), &Playbook::new());
    world.run(&[]).run().expect(0);
    let served = world.sandbox.serve();
    served.signal(Signal::STOP);
    let began = std::time::Instant::now();
    let (reads, writes) = (world.orchctl(&["status"]).start(), world.orchctl(&["accept"]).start());
    reads.wait().expect(0).out_has(&["complete"]);
    writes.wait().expect(1).err_has(&["held by", &served.pid().to_string()]);
    assert!(began.elapsed() < std::time::Duration::from_secs(13), "it took {:?}", began.elapsed());
    world.orchctl(&["down"]).run().expect(1).err_has(&["held by", &served.pid().to_string(), "does not answer"]);
    served.signal(Signal::CONT);
    world.orchctl(&["down"]).run().expect(1).err_has(&["runs in the foreground", &format!("kill {}", served.pid())]);
    world.orchctl(&["accept"]).run().expect(0);
}

#[test]
fn a_flag_wins_over_environment_config_repository_and_user() {
    let world = World::new(&SpecText::parallel("login", 1), &Playbook::new());
    let user = world.sandbox.path("home/config/roundtable/config.toml");
    std::fs::create_dir_all(user.parent().expect("a folder")).expect("made");
    let explicit = world.sandbox.path("explicit.toml");
    let put = |file: &Path, text: &str| std::fs::write(file, text).expect("written");
    put(&user, "[run]\nmode = \"legacy\"\nsession = \"of-user\"\nmax-actions = 2\n[limits]\nwall = \"1h\"\nidle = \"1m\"\n");
    world.repo.write("roundtable.toml", "check = \"true\"\n[limits]\nwall = \"2h\"\n[limits.nothing]\n");
    world.orchctl(&["config", "show"]).run().expect(3).err_has(&["roundtable.toml", "nothing"]);
    world.repo.write("roundtable.toml", "check = \"true\"\n[limits]\nwall = \"2h\"\n");
    put(&explicit, "[run]\nsession = \"of-explicit\"\n");
    let config = ["--config", explicit.to_str().expect("text")];
    let shown = world.orchctl(&["config", "show", "--json"]).args(config).env("ROUNDTABLE_RUN_MAX_ACTIONS", "4").run().expect(0).json();
    let value = |key: &str| {
        let found = shown["values"]
            .as_array()
            .expect("values")
            .iter()
            .find(|each| each["key"] == key)
            .unwrap_or_else(|| panic!("no {key}: {shown:#}"));
        (found["value"].as_str().unwrap_or_default().to_owned(), found["from"].as_str().unwrap_or_default().to_owned())
    };
    let pair = |value: &str, from: &str| (value.to_owned(), from.to_owned());
    assert_eq!(value("run.session"), pair("of-explicit", "--config"));
    assert_eq!(value("run.mode"), pair("legacy", "user"));
    assert_eq!(value("run.max-actions"), pair("4", "environment"));
    assert_eq!(value("limits.wall"), pair("2h00m", "repository"));
    assert_eq!(value("limits.idle"), pair("1m00s", "user"));
    assert_eq!(value("check"), pair("true", "repository"));

    let agents = world.agents(2);
    let run = world.run_without_workers(&["--workers", &agents, "--mode", "deterministic", "--json"]).args(config);
    let run = run
        .env("ROUNDTABLE_RUN_MAX_ACTIONS", "4")
        .env("CODEX_TIMEOUT", "60")
        .env("CODEAGENT_OPENCODE_MODEL", "m/x")
        .env("CODEAGENT_SKIP_PERMISSIONS", "1");
    run.run().expect(0);
    let options = options_of(&world.orchctl(&["events", "--jsonl"]).run().expect(0));
    assert_eq!((&options["mode"], &options["session_name"]), (&"deterministic".into(), &"of-explicit".into()), "{options:#}");
    assert_eq!((&options["max_actions"], &options["check"]), (&4.into(), &"true".into()));
    // Variables, also those of other tools, go before files.
    assert_eq!((&options["limits"]["wall_ms"], &options["limits"]["idle_ms"]), (&60_000.into(), &60_000.into()));
    assert_eq!((&options["switches"]["opencode_model"], &options["switches"]["skip_permissions"]), (&"m/x".into(), &true.into()));
}

#[test]
fn an_option_is_one_by_whatever_name_and_the_layer_that_goes_before_wins() {
    let world = World::new(&SpecText::parallel("login", 1), &Playbook::new());
    let user = world.sandbox.path("home/config/roundtable/config.toml");
    std::fs::create_dir_all(user.parent().expect("a folder")).expect("made");
    let table = "[run]\nspec = \".specs/login\"\nbackend = \"gemini\"\ncheck = \"false\"\nwait-worker = \"1s\"\n";
    std::fs::write(&user, table).expect("written");
    world.repo.write("roundtable.toml", "check = \"true\"\n[limits]\nwait_worker = \"7s\"\n");
    let agents = world.agents(1);
    // Empty variables are none; one that cannot stand beside what is typed gives way.
    world
        .orchctl(&["run", "--workers", &agents, "--mode", "deterministic", "--orchestrator", "codex"])
        .env("ROUNDTABLE_RUN_BACKEND", "opencode")
        .env("ROUNDTABLE_RUN_WITH_OPTIONAL", "")
        .env("ROUNDTABLE_RUN_CHECK", "")
        .run()
        .expect(0);
    world.orchctl(&["status", "--json"]).env("ROUNDTABLE_STATUS_WATCH", "1").run().expect(0).json();
    let options = options_of(&world.orchctl(&["events", "--jsonl"]).run().expect(0));
    assert_eq!((&options["orchestrator_backend"], &options["check"]), (&"codex".into(), &"true".into()), "{options:#}");
    assert_eq!(options["limits"]["wait_worker_ms"], 7000);
    let show = world.orchctl(&["config", "show", "--json"]).run().expect(0).json();
    assert!(!show.to_string().contains("run.check"), "one option, told once: {show:#}");
}

#[test]
fn every_program_takes_the_flags_its_tables_have() {
    let sandbox = Sandbox::new();
    for (program, command) in [
        ("coordinator", "serve"),
        ("coordinator", "audit"),
        ("coordinator", "verify"),
        ("coordinator", "backup"),
        ("coordinator", "restore"),
        ("coordinator", "install"),
        ("worker", "join"),
        ("worker", "doctor"),
        ("worker", "install"),
    ] {
        let help = sandbox.program(program).args([command, "--help"]).run().expect(0).stdout;
        let (_, flags) = COMMANDS.iter().find(|(name, _)| *name == command).expect("it has a table");
        for flag in *flags {
            assert!(help.contains(&format!("--{flag}")), "{program} {command} has no --{flag}\n{help}");
        }
        let typed = ["help", "version", "data-dir", "config", "log-format", "coordinator"];
        let own = help.split_whitespace().filter_map(|word| word.strip_prefix("--"));
        let own = own.map(|word| word.trim_end_matches(|c: char| !c.is_ascii_lowercase())).filter(|long| !long.is_empty());
        let untold: Vec<&str> = own.filter(|long| !typed.contains(long) && !flags.contains(long)).collect();
        assert!(untold.is_empty(), "{program} {command} has {untold:?}, which no table knows");
    }
}

/// The options a run was created with.
fn options_of(events: &Output) -> serde_json::Value {
    let created = events.jsonl().into_iter().find(|line| line["kind"] == "run_created").unwrap_or_else(|| panic!("{}", events.said()));
    created["options"].clone()
}

#[test]
fn unknown_keys_name_the_nearest_and_a_repository_sets_no_programs() {
    let world = World::new(&SpecText::parallel("login", 1), &Playbook::new());
    let explicit = world.sandbox.path("explicit.toml").display().to_string();
    for (text, nearest) in [
        ("[run]\nmax-action = 3\n", "max-actions"),
        ("[limits]\nwal = \"1h\"\n", "wall"),
        ("chekc = \"true\"\n", "check"),
        ("[backend.codex]\nmodle = \"x\"\n", "model"),
    ] {
        std::fs::write(&explicit, text).expect("written");
        world.orchctl(&["runs", "--config", &explicit]).run().expect(3).err_has(&[nearest, "explicit.toml"]);
    }
    world.orchctl(&["run", "--spec", ".specs/login", "--mode", "quick"]).run().expect(3).err_has(&["llm", "manual"]);
    world.orchctl(&["run", "--spec", ".specs/login"]).env("ROUNDTABLE_RUN_MODE", "quick").run().expect(3);
    world.repo.write("roundtable.toml", "[backend.codex]\ncommand = \"/tmp/evil\"\n");
    let shown = world.orchctl(&["config", "show"]).run();
    let said = format!("{}{}", shown.stdout, shown.stderr);
    assert!(said.contains("backend") && !shown.stdout.contains("/tmp/evil"), "{}", shown.said());
}

#[test]
fn the_environment_of_the_original_is_read_and_stored() {
    let world = World::new(&SpecText::parallel("login", 1), &Playbook::new());
    let variables = [
        ("CODEX_TIMEOUT", "7300000"),
        ("CODEX_BYPASS_SANDBOX", "1"),
        ("CODEAGENT_OPENCODE_AGENT", "build"),
        ("CODEAGENT_MAX_PARALLEL_WORKERS", "1"),
        ("CODEAGENT_NO_TMUX", "1"),
    ];
    let run = variables.iter().fold(world.run(&["--json"]), |run, (name, value)| run.env(name, value));
    run.run().expect(0);
    let options = options_of(&world.orchctl(&["events", "--jsonl"]).run().expect(0));
    assert_eq!(options["limits"]["wall_ms"], 7_300_000, "more than 10000 are milliseconds");
    assert_eq!(
        (&options["switches"]["bypass_sandbox"], &options["switches"]["opencode_agent"]),
        (&true.into(), &"build".into()),
        "{options:#}"
    );
}

#[test]
fn a_held_data_dir_is_named_and_doctor_says_what_is_wrong() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repository("repo");
    let told = sandbox.orchctl(repo.path(), ["doctor", "--json"]).run().expect(1).json();
    let checks = told.as_array().expect("checks");
    let state = |name: &str| checks.iter().find(|check| check["name"] == name).and_then(|check| check["state"].as_str());
    for name in ["git", "data dir", "coordinator", "repository"] {
        assert!(state(name).is_some_and(|state| state != "bad"), "{told:#}");
    }
    assert_eq!(state("agents"), Some("bad"), "no agent CLI is installed here, so nothing can run: {told:#}");
    std::fs::write(sandbox.path("file"), "").expect("written");
    let wrong = sandbox.path("file/data").display().to_string();
    sandbox.orchctl(repo.path(), ["doctor", "--data-dir", &wrong]).run().expect(1).out_has(&["data dir", "next:"]);
}
