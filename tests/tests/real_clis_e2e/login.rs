//! The commonest failure of a first day: codex is installed and not logged in. What is asked says so, with the command; after it everything goes on.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use crate::world::World;

const SPEC: [(&str, &str); 2] = [("README.md", "# First day\n"), (".kiro/specs/first/tasks.md", "- [ ] 1. Library\n  - _writes: a.txt_\n")];
const RUN: [&str; 8] = ["run", "--yes", "--spec", ".kiro/specs/first", "--mode", "deterministic", "--workers", "codex=1"];

/// codex itself, without the key this world's home has for it otherwise.
fn codex(world: &World, args: &[&str], typed: &str) -> Output {
    let mut command = Command::new(world.place.dir().join("bin/codex"));
    command.args(args).env_clear().envs(world.place.env().iter().map(|(name, value)| (name, value)));
    let mut codex = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    codex.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
    codex.wait_with_output().unwrap()
}

#[test]
#[ignore = "needs the agent CLIs: .ci/install-clis; .ci/run slow runs it"]
fn a_codex_that_is_not_logged_in_is_named_with_its_command_and_a_later_run_says_that_it_is_mended() {
    let world = World::open_under("login", "{}", &SPEC);
    let config = world.place.home().join(".codex/config.toml");
    let own = std::fs::read_to_string(&config).unwrap();
    assert!(own.contains("env_key = \"CODEX_MODEL_SERVER_KEY\""), "{own}");
    std::fs::write(&config, own.replace("env_key = \"CODEX_MODEL_SERVER_KEY\"", "requires_openai_auth = true")).unwrap();
    assert!(!codex(&world, &["login", "status"], "").status.success(), "nobody is logged in");

    world.orchctl(&RUN).expect(2).err_has(&["codex on this host is not logged in", "`codex login`, then run again"]);
    // The run has ended, and with it its coordinator and worker: what is needed is still there.
    let decisions = world.json(&["decisions"]);
    let asked = &decisions[0];
    assert_eq!(decisions.as_array().map(Vec::len), Some(1), "{decisions:#}");
    assert!(asked["context"].as_str().unwrap().contains("codex on this host is not logged in: `codex login`"), "{asked:#}");
    assert_eq!(asked["keywords"], serde_json::json!(["wait", "abort"]), "what uses the same login is no substitute: {asked:#}");
    let log = asked["evidence"][0].as_str().unwrap();
    assert!(log.starts_with("orchctl logs "), "{asked:#}");
    world.orchctl(&log.split(' ').skip(1).collect::<Vec<_>>()).expect(0).out_has(&["401"]);
    let notices = world.json(&["status"])["notices"].to_string();
    assert!(!notices.contains("plays for it"), "{notices}");

    assert!(codex(&world, &["login", "--with-api-key"], "codex-test-key").status.success());
    assert!(codex(&world, &["login", "status"], "").status.success());
    world.orchctl(&RUN).expect(0).err_has(&["codex on this host is logged in again"]);
    assert_eq!(world.json(&["decisions"]), serde_json::json!([]));
    world.close();
}
