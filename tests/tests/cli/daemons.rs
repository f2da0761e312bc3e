//! Flags, environment and files of `coordinator` and `worker`, and how their texts fit a terminal.

use roundtable_tests::harness::{Playbook, Program, Signal, SpecText};

use crate::world::{World, expect_plain};

/// A world whose programs are told of no data directory.
struct Configured {
    world: World,
}

impl Configured {
    fn new() -> Self {
        Self { world: World::new(&SpecText::parallel("login", 1), &Playbook::new()) }
    }

    fn write(&self, file: &str, text: &str) -> String {
        let path = self.world.sandbox.path(file);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    }

    fn user(&self, text: &str) {
        self.write("home/config/roundtable/config.toml", text);
    }

    fn program(&self, name: &str, args: &[&str]) -> Program {
        self.world.sandbox.program(name).args(args.iter().copied()).without_env("ROUNDTABLE_DATA_DIR")
    }

    fn path(&self, name: &str) -> String {
        self.world.sandbox.path(name).display().to_string()
    }
}

#[test]
fn bounds_that_contradict_each_other_are_refused_at_the_start() {
    let it = Configured::new();
    it.user("[serve]\nincoming-bytes = \"1GiB\"\n[join]\ncache-bytes = \"1GiB\"\n");
    let data = it.path("data");
    let serve = it.program("coordinator", &["serve", "--listen", "127.0.0.1:0", "--data-dir", &data]).run().expect(3);
    serve.err_has(&["--incoming-bytes", "--pack-bytes"]);
    assert!(!it.world.sandbox.path("data/store.db").exists());
    let backend = it.world.agents(1);
    it.program("worker", &["join", "--backend", &backend, "--data-dir", &data]).run().expect(3).err_has(&["--cache-bytes", "--pack-bytes"]);
    let said = it.program("worker", &["join", "--backend", &backend, "--on-partition", "perhaps"]).run().expect(3);
    said.err_has(&["go-on", "stop"]);
    it.program("worker", &["join", "--backend", &backend, "--data-dir", &data, "--pack-bytes", "1GiB"]).run().expect(4);
}

#[test]
fn files_count_for_the_daemons_as_for_orchctl() {
    let it = Configured::new();
    let (elsewhere, third) = (it.path("elsewhere"), it.path("third"));
    it.user(&format!(
        "data_dir = \"{elsewhere}\"\nlog_format = \"json\"\n[serve]\nlisten = \"127.0.0.1:0\"\n[join]\nbackend = [\"{}\"]\nmax-idle = \"1s\"\n",
        it.world.agents(1)
    ));
    let mut served = it.program("coordinator", &["serve"]).start();
    served.wait_for_stderr("ready");
    assert!(served.stderr().contains(&format!("data in {elsewhere}")), "{}", served.said());
    let joined = it.program("worker", &["join"]).run().expect(0);
    let is_json = |line: &str| line.starts_with('{') && line.contains("\"level\"");
    assert!(joined.stderr.contains("joined") && joined.stderr.lines().any(is_json), "{}", joined.said());
    // A flag, or a variable, goes before the file.
    let text = it.program("worker", &["join", "--log-format", "text"]).run().expect(0);
    assert!(!text.stderr.lines().any(is_json), "{}", text.said());
    it.program("worker", &["join"]).env("ROUNDTABLE_DATA_DIR", &third).run().expect(4).err_has(&[&third]);
    let other = it.write("other.toml", &format!("data_dir = \"{third}\"\n"));
    it.program("worker", &["join", "--config", &other]).run().expect(4).err_has(&[&third]);
    served.signal(Signal::TERM);
    served.wait().expect(0);
    it.program("coordinator", &["verify"]).run().expect(0).out_has(&["all good"]);
    it.program("coordinator", &["verify", "--config", &other]).run().expect(1).err_has(&[&third]);
}

#[test]
fn files_that_are_wrong_are_refused_by_both() {
    let it = Configured::new();
    let commands: [(&str, &[&str]); 4] =
        [("coordinator", &["serve"]), ("coordinator", &["verify"]), ("worker", &["join", "--backend", "codex"]), ("worker", &["doctor"])];
    for (program, args) in commands {
        let mut named = args.to_vec();
        named.extend(["--config", "/nope.toml"]);
        it.program(program, &named).run().expect(3).err_has(&["/nope.toml"]);
    }
    for (text, nearest) in
        [("dat_dir = \"/x\"\n", "data_dir"), ("[serve]\nlistn = \"x\"\n", "listen"), ("[join]\nbackends = [\"x\"]\n", "backend")]
    {
        let file = it.write("wrong.toml", text);
        let program = if text.contains("join") { ("worker", vec!["join", "--backend", "codex"]) } else { ("coordinator", vec!["serve"]) };
        it.program(program.0, &program.1).env("ROUNDTABLE_CONFIG", &file).run().expect(3).err_has(&["wrong.toml", nearest]);
    }
    it.program("worker", &["join"]).run().expect(3).err_has(&["--backend"]);
}

#[test]
fn switches_are_read_alike_and_an_empty_variable_is_not_set() {
    let it = Configured::new();
    let mine = it.world.sandbox.executable("mine", "#!/bin/sh\necho '{\"status\":\"completed\"}'\n").display().to_string();
    let config = it.write("mine.toml", &format!("[backend.mine]\ncommand = \"{mine}\"\n"));
    for value in ["1", "yes", "true"] {
        let said = it
            .program("worker", &["doctor", "--backend", "mine", "--config", &config])
            .env("ROUNDTABLE_DOCTOR_OFFLINE", value)
            .run()
            .expect(0);
        said.out_has(&["not asked: offline", "may_reach", "this account may (no sandbox)"]);
        let empty = it.path("empty");
        let join = it.program("worker", &["join", "--backend", &it.world.agents(1), "--data-dir", &empty]);
        join.env("ROUNDTABLE_JOIN_ONCE", value).env("ROUNDTABLE_JOIN_NAME", "").env("ROUNDTABLE_COORDINATOR", "").run().expect(4);
    }
    let empty = it.program("worker", &["doctor", "--offline", "--backend", "mine", "--config", &config]);
    let report = empty.env("ROUNDTABLE_DOCTOR_JSON", "").run().expect(0);
    assert!(!report.stdout.starts_with('['), "{}", report.said());
    it.program("worker", &["doctor"]).env("ROUNDTABLE_DOCTOR_OFFLINE", "perhaps").run().expect(3);
}

#[test]
fn their_texts_fit_a_terminal() {
    let it = Configured::new();
    for (program, args) in [
        ("coordinator", vec!["--help"]),
        ("coordinator", vec!["serve", "--help"]),
        ("coordinator", vec!["audit", "--help"]),
        ("coordinator", vec!["verify", "--help"]),
        ("coordinator", vec!["install", "--help"]),
        ("worker", vec!["--help"]),
        ("worker", vec!["join", "--help"]),
        ("worker", vec!["doctor", "--help"]),
        ("worker", vec!["install", "--help"]),
    ] {
        let help = it.program(program, &args).run().expect(0).out_has(&["Examples:"]);
        expect_plain(&help.stdout);
        assert!(!help.stdout.contains("--store"), "not built yet");
    }
    let unknown = it.program("worker", &["doctor", "--backend", "cleverest-agent"]).run().expect(1).out_has(&["unknown backend"]);
    expect_plain(&unknown.stdout);
    expect_plain(&it.program("worker", &["doctor"]).run().expect(1).stdout);
    expect_plain(&it.program("worker", &["join", "ftp://x", "--backend", &it.world.agents(1)]).run().expect(3).stderr);
    expect_plain(&it.program("worker", &["join", "--backend", "cleverest-agent", "--data-dir", "d"]).run().stderr);
}
