//! A worker whose workspace is taken away while it works, beside one that is well.

use roundtable_tests::harness::{Playbook, SpecText, Turn, step, wait_for};

use crate::stage::{Stage, unavailable};

#[test]
fn a_worker_whose_workspace_is_taken_away_costs_no_unit_anything_and_mends_itself() {
    let stage = Stage::new(&SpecText::parallel("broken", 4));
    let gate = stage.sandbox.path("go");
    let wait = format!("while ! test -e {}; do sleep 0.05; done; echo {{unit}} > part-{{unit}}.txt", gate.display());
    let plays = Turn::new().steps([step::run(&wait)]);
    let backend = stage.backend("play.json", &Playbook::new().role("implement", [plays]));
    let workspace = stage.sandbox.path("ws");
    let join = |name: &'static str| ["--name", name, "--backend"];
    let _well = stage.sandbox.worker(join("well").into_iter().chain([backend.as_str()]));
    let broken = stage.sandbox.worker(join("broken").into_iter().chain([backend.as_str(), "--workspace", workspace.to_str().unwrap()]));
    let run = stage.run([]);
    let all = || ["1", "2", "3", "4"].into_iter().flat_map(|unit| stage.attempts(unit)).collect::<Vec<_>>();
    let runs_there = || all().into_iter().find(|attempt| attempt["worker"] == "broken" && !attempt["started_at"].is_null());
    wait_for("the worker to be at work", || format!("{:#?}", all()), runs_there);
    // Aside first: it is gone at once, as with a disk that is taken away.
    let aside = stage.sandbox.path("aside");
    std::fs::rename(&workspace, &aside).unwrap();
    std::fs::remove_dir_all(&aside).unwrap();
    wait_for("the workspace to be made anew", || broken.said(), || workspace.join("trees").is_dir().then_some(()));
    std::fs::write(&gate, "").unwrap();
    let done = run.wait().expect(0);
    let attempts = all();
    let said = format!("{attempts:#?}\n{}\n{}", done.said(), broken.said());
    assert!(attempts.iter().all(|attempt| attempt["class"] != "unit"), "{said}");
    let lost_there = attempts.iter().filter(|attempt| attempt["worker"] == "broken" && attempt["class"] == "infra").count();
    assert_eq!(lost_there, 1, "what ran there was lost, and nothing after it: {said}");
    assert_eq!(unavailable(&stage, "broken"), "", "{said}");
}
