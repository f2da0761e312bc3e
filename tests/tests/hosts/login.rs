//! A CLI whose login or model is refused, and works again later.

use roundtable_tests::harness::{Playbook, SpecText, Turn, step, wait_for};

use crate::stage::{Stage, unavailable};

#[test]
fn a_worker_probes_a_refused_login_by_itself_and_takes_work_once_it_is_good() {
    is_out_until_a_probe_is_good("login", "auth", "login was refused");
}

#[test]
fn a_worker_whose_model_is_refused_probes_it_too_and_no_unit_pays() {
    is_out_until_a_probe_is_good("model", "model", "it cannot be used here: status: 404 Not Found");
}

fn is_out_until_a_probe_is_good(name: &str, fault: &str, says: &str) {
    let stage = Stage::new(&SpecText::parallel(name, 1));
    let refused = || Turn::new().steps([step::fault(fault)]);
    let book = |probe: Turn| Playbook::new().unit("1", "implement", [refused(), Turn::new()]).unit("probe", "implement", [probe]);
    let backend = stage.backend("play.json", &book(refused()));
    let config = stage.sandbox.path("worker.toml");
    std::fs::write(&config, "[limits]\npark_probe = \"200ms\"\n").unwrap();
    let mut worker = stage.sandbox.worker(["--name", "w", "--backend", &backend, "--config", config.to_str().unwrap()]);
    let mut run = stage.run([]);
    wait_for("the backend to be refused", || worker.said(), || unavailable(&stage, "w").contains(says).then_some(()));
    worker.wait_for_stderr("a refused backend was probed");
    assert!(run.is_running() && unavailable(&stage, "w").contains(says), "a probe that fails changes nothing\n{}", worker.said());
    stage.backend("play.json", &book(Turn::new()));
    let done = run.wait().expect(0);
    let attempts = stage.attempts("1");
    let said = format!("{attempts:#?}\n{}\n{}", done.said(), worker.said());
    assert_eq!((&attempts[0]["class"], &attempts[1]["outcome"]), (&"provider".into(), &"completed".into()), "{said}");
    assert_eq!(unavailable(&stage, "w"), "", "{said}");
    let notices = stage.ask(["status", "--json"]).json()["notices"].to_string();
    let (told, mended) = (notices.contains("is not logged in: "), notices.contains("is logged in again"));
    assert_eq!((told, mended), (fault == "auth", fault == "auth"), "{notices}\n{said}");
}
