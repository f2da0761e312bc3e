//! The same on hosts that share nothing: real CLIs on one of them, with the models on its own loopback, a second one beside it, and somebody who decides.

use std::path::Path;

use roundtable_tests::harness::{Host, Network, Playbook, Process, Signal, SpecText, Turn, Unit};
use roundtable_tests::model_server::Home;
use serde_json::{Value, json};

use crate::world::{ONE_AT_A_TIME, WITHIN, program_of};

/// Where the models are, on the host of the CLIs.
const MODELS: &str = "127.0.0.1:7430";

/// codex has the library and more of it, gemini the page; what is left unsaid is a person's.
fn spec() -> SpecText {
    let unit = |id: &str, title: &str, file: &str| Unit::new(id, title).writes(file);
    SpecText::new(
        "hosts",
        [
            unit("1", "Library", "a.txt"),
            unit("2", "Settings page", "b.html"),
            unit("3", "More of the library", "c.txt"),
            unit("4", "A library for nobody knows what", "d.txt").depends("1, 3"),
        ],
    )
}

/// What an agent answers that asks back.
fn refuses() -> Value {
    json!({"status": "failed", "refusal": "underspecified", "error": "which of the two formats?"})
}

/// The models, once they listen, and a home on that host whose CLIs talk to them and to nobody else.
fn models(host: &Host) -> (Process, Home) {
    let script = host.path("script.json");
    std::fs::write(&script, json!({"units": {"4": {"implement": [{"steps": [], "result": refuses()}]}}}).to_string()).unwrap();
    let server = host.foreign(Path::new(env!("CARGO_BIN_EXE_model-server"))).args(["--port", "7430", "--script"]).path(&script);
    let mut server = server.start();
    server.wait_for_stderr(MODELS);
    let home = Home::create(&host.path("home"), &format!("http://{MODELS}/s/play")).unwrap();
    for cli in ["codex", "gemini"] {
        host.install_foreign(cli, &program_of(cli));
    }
    (server, home)
}

fn words<'v>(attempts: &'v Value, role: &str, key: &str) -> Vec<&'v str> {
    let of_role = attempts.as_array().unwrap().iter().filter(|each| each["role"] == *role);
    of_role.map(|each| each[key].as_str().unwrap()).collect()
}

#[test]
#[ignore = "needs the agent CLIs and network namespaces: .ci/install-clis; .ci/run slow runs it"]
fn real_clis_on_one_host_work_beside_another_host_and_a_person_on_a_third_decides() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    // Not in the system's temporary directory: codex does not work there.
    let network = Network::within(Path::new(env!("CARGO_TARGET_TMPDIR")), ["first", "second", "third"]);
    let (first, second, third) = (network.host("first"), network.host("second"), network.host("third"));
    ["coordinator", "orchctl"].iter().for_each(|program| first.install(program));
    second.install("worker");
    ["worker", "orchctl"].iter().for_each(|program| third.install(program));
    let (repo, _) = first.project(&spec());
    let here = |line: &str| first.types_in(repo.path(), line);
    let mut served = here("coordinator serve --listen 0.0.0.0:7420").start();
    served.wait_for_stderr("ready");
    let token = |wanted: &str| here(&format!("coordinator token create {wanted}")).run().expect(0).stdout.trim_end().to_owned();

    // The line as it is printed; this host serves gemini as well.
    let line = token("--role worker --uses 2");
    let (_models, home) = models(second);
    let search = std::env::var_os("PATH").unwrap_or_default();
    let search = std::env::join_paths(std::iter::once(second.path("bin")).chain(std::env::split_paths(&search))).unwrap();
    let pasted = second.types(&format!("{line} --backend gemini")).env("PATH", search.to_str().unwrap());
    let mut real = home.env().iter().fold(pasted, |program, (name, value)| program.env(name, value)).start();
    real.wait_for_stderr("joined");
    // And as it is; what stands in for its codex asks back too.
    let play = Playbook::new().unit("4", "implement", [Turn::new().steps([]).result(refuses())]).write(&third.path("play.json"));
    let mut played = third.types(&line).env("ROUNDTABLE_JOIN_BACKEND_PATH", &format!("codex=scripted:{}", play.display())).start();
    played.wait_for_stderr("joined");

    let run = || here("orchctl run --mode deterministic --json --spec .specs/hosts").start().wait_within(WITHIN);
    let waits = run();
    let said = || format!("{}\n{}\n{}\n{}", waits.said(), served.said(), real.said(), played.said());
    assert_eq!(waits.code, Some(2), "{}", said());
    third.types(&token("--role operator")).run().expect(0).out_has(&["as operator"]);
    third.types("orchctl decide failed-subtask-4 skip").run().expect(0);
    assert_eq!(run().code, Some(0), "{}", said());

    let attempts = |unit: &str| here(&format!("orchctl attempts {unit} --json")).run().expect(0).json();
    let (one, two, three) = (attempts("1"), attempts("2"), attempts("3"));
    let mut library = [words(&one, "implement", "worker"), words(&three, "implement", "worker")].concat();
    library.sort_unstable();
    assert_eq!(library, ["second-1", "third-1"], "{}", said());
    assert_eq!((words(&two, "implement", "worker"), words(&two, "implement", "backend")), (vec!["second-1"], vec!["gemini"]), "{}", said());
    let branch = repo.run_branches().remove(0);
    assert!(["a.txt", "b.html", "c.txt"].iter().all(|file| !repo.show(&branch, file).is_empty()));
    second.signal(&real, Signal::TERM);
    real.wait_within(WITHIN).expect(0);
}
