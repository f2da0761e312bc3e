//! A CLI whose login is refused, and works again later.

use roundtable_tests::harness::{Playbook, SpecText, Turn, step, wait_for};

use crate::stage::{Stage, unavailable};

#[test]
fn a_worker_probes_a_refused_login_by_itself_and_takes_work_once_it_is_good() {
    let stage = Stage::new(&SpecText::parallel("login", 1));
    let refused = || Turn::new().steps([step::fault("auth")]);
    let book = |probe: Turn| Playbook::new().unit("1", "implement", [refused(), Turn::new()]).unit("probe", "implement", [probe]);
    let backend = stage.backend("play.json", &book(refused()));
    let config = stage.sandbox.path("worker.toml");
    std::fs::write(&config, "[limits]\npark_probe = \"200ms\"\n").unwrap();
    let mut worker = stage.sandbox.worker(["--name", "w", "--backend", &backend, "--config", config.to_str().unwrap()]);
    let mut run = stage.run([]);
    wait_for("the login to be refused", || worker.said(), || unavailable(&stage, "w").contains("login was refused").then_some(()));
    worker.wait_for_stderr("a refused login was probed");
    assert!(
        run.is_running() && unavailable(&stage, "w").contains("login was refused"),
        "a probe that fails changes nothing\n{}",
        worker.said()
    );
    stage.backend("play.json", &book(Turn::new()));
    let done = run.wait().expect(0);
    let attempts = stage.attempts("1");
    let said = format!("{attempts:#?}\n{}\n{}", done.said(), worker.said());
    assert_eq!((&attempts[0]["class"], &attempts[1]["outcome"]), (&"provider".into(), &"completed".into()), "{said}");
    assert_eq!(unavailable(&stage, "w"), "", "{said}");
}
