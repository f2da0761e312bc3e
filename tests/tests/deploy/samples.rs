//! Sample configurations and batch files, by our own programs: read, started, joined, ended.

use roundtable_tests::harness::{Playbook, Process, Program, Sandbox, Signal, SpecText, binary};

use crate::repository;

/// A coordinator, a project, and agents that play.
struct World {
    sandbox: Sandbox,
    repo: roundtable_tests::harness::Repository,
    spec: std::path::PathBuf,
    play: std::path::PathBuf,
    _served: Process,
}

impl World {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let (repo, spec) = sandbox.project(&SpecText::parallel("login", 2));
        let play = Playbook::new().write(&sandbox.path("play.json"));
        let served = sandbox.serve();
        Self { sandbox, repo, spec, play, _served: served }
    }

    /// A program that finds ours and the system's, and whose `codex` plays.
    fn prepared(&self, program: Program) -> Program {
        let ours = binary("worker").parent().unwrap().display().to_string();
        let played = format!("codex=scripted:{}", self.play.display());
        program.env("PATH", &format!("{ours}:/usr/local/bin:/usr/bin:/bin")).env("ROUNDTABLE_JOIN_BACKEND_PATH", &played)
    }

    /// The run ends well, on workers of that name alone.
    #[track_caller]
    fn runs_on(&self, name: &str) {
        let orchctl = |args: &[&str]| self.sandbox.orchctl(self.repo.path(), args.iter().copied());
        orchctl(&["run", "--mode", "deterministic", "--spec"]).path(&self.spec).run().expect(0);
        let attempts = orchctl(&["attempts", "--json", "1"]).run().expect(0).json();
        let workers: Vec<&str> = attempts.as_array().into_iter().flatten().filter_map(|attempt| attempt["worker"].as_str()).collect();
        assert!(!workers.is_empty() && workers.iter().all(|worker| *worker == name), "{attempts:#}");
    }
}

#[test]
fn the_batch_script_works_until_there_is_no_more_work() {
    let world = World::new();
    let script = repository("deploy/slurm/worker.sbatch");
    let batch = |job: &str, idle: &str| {
        let shell = world.sandbox.foreign(std::path::Path::new("/bin/sh")).path(&script);
        world.prepared(shell).env("SLURM_JOB_ID", job).env("ROUNDTABLE_JOIN_MAX_IDLE", idle).start()
    };
    let mut job = batch("41", "8s");
    job.wait_for_stderr("joined");
    world.runs_on("slurm-41");
    job.wait().expect(0);
    assert!(!world.sandbox.path("tmp/roundtable-41").exists(), "it cleans up after itself");
    // The batch system's warning comes to the script.
    let mut job = batch("42", "10m");
    job.wait_for_stderr("joined");
    job.signal(Signal::TERM);
    job.wait().expect(0);
    assert!(!world.sandbox.path("tmp/roundtable-42").exists());
}

/// The words of `args = [ … ]`, with the variables of an allocation filled in.
fn nomad_arguments(text: &str, allocation: &str) -> Vec<String> {
    let list = text.lines().find_map(|line| line.trim().strip_prefix("args")?.trim().strip_prefix('=')).unwrap();
    let list = list.replace("${NOMAD_SHORT_ALLOC_ID}", "c0ffee12").replace("${NOMAD_ALLOC_DIR}", allocation);
    assert!(!list.contains("${"), "a variable that nobody fills in: {list}");
    serde_json::from_str(&list).unwrap()
}

#[test]
fn the_allocations_command_joins_under_a_name_of_its_own() {
    let world = World::new();
    let text = std::fs::read_to_string(repository("deploy/nomad/worker.nomad.hcl")).unwrap();
    assert!(text.contains("command = \"worker\"") && text.contains("kill_signal  = \"SIGTERM\""));
    let allocation = world.sandbox.path("alloc").display().to_string();
    let arguments = nomad_arguments(&text, &allocation);
    crate::commands::check_command("worker", &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let worker = world.sandbox.program("worker").args(arguments.iter().map(String::as_str));
    let mut worker = world.prepared(worker).start();
    worker.wait_for_stderr("joined");
    world.runs_on("nomad-c0ffee12");
    assert!(world.sandbox.path("alloc/worker/spool").exists(), "it keeps to its allocation");
    worker.signal(Signal::TERM);
    worker.wait().expect(0);
}

#[test]
fn the_sample_configuration_is_read_by_all_three() {
    let sandbox = Sandbox::new();
    let repo = sandbox.repository("project");
    let file = repository("deploy/config/config.toml").display().to_string();
    let play = Playbook::new().write(&sandbox.path("play.json"));
    sandbox.orchctl(repo.path(), ["config", "show", "--config", &file]).run().expect(0);
    // Its ports may be taken here.
    let serve = sandbox.program("coordinator").args(["serve", "--config", &file]);
    let mut served = serve.env("ROUNDTABLE_SERVE_LISTEN", "127.0.0.1:0").env("ROUNDTABLE_SERVE_HTTP", "127.0.0.1:0").start();
    served.wait_for_stderr("ready");
    assert!(served.stderr().contains("health and metrics on http://"), "{}", served.said());
    let played = ["codex", "gemini"].map(|name| format!("{name}=scripted:{}", play.display())).join(",");
    let mut worker = sandbox.program("worker").args(["join", "--config", &file]).env("ROUNDTABLE_JOIN_BACKEND_PATH", &played).start();
    worker.wait_for_stderr("joined");
    let known = sandbox.orchctl(repo.path(), ["workers", "--json"]).run().expect(0).json();
    assert_eq!(known[0]["backends"]["codex"]["slots"], 2, "{known:#}");
    assert_eq!(known[0]["labels"]["zone"], "a");
}
