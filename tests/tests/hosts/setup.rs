//! `setup` of `roundtable.toml`: run once for the same lock files, its result in every worktree, nobody's changes in anybody else's.

use roundtable_tests::harness::{Playbook, SpecText, Turn, Unit, step};

use crate::stage::Stage;

#[test]
fn setup_runs_once_per_lock_file_and_no_agent_changes_what_others_get() {
    let unit = |n: u32, writes: &str| Unit::new(&n.to_string(), &format!("Part {n}")).writes(writes);
    let spec = SpecText::new(
        "setup",
        [unit(1, "part-1.txt"), unit(2, "part-2.txt"), unit(3, "part-3.txt, package-lock.json"), unit(4, "part-4.txt").depends("3")],
    );
    let stage = Stage::with(&spec, |repo| {
        repo.write(".gitignore", "node_modules/\n");
        repo.write("package-lock.json", "{\"version\": 1}\n");
        let install = "echo ran >> ../../../runs.log; mkdir -p node_modules/dep/bin; cat package-lock.json > node_modules/dep/index.js; \
                       ln -s ../index.js node_modules/dep/bin/dep; chmod 755 node_modules/dep/index.js";
        repo.write("roundtable.toml", &format!("setup = \"\"\"{install}\"\"\"\n"));
    });
    // Each sees what was installed, through the link, and spoils it for itself.
    let uses = "cat node_modules/dep/bin/dep > part-{unit}.txt; test -x node_modules/dep/index.js; echo spoilt > node_modules/dep/index.js";
    let upgrades = format!("{uses}; echo '{{\"version\": 2}}' > package-lock.json");
    let playbook = Playbook::new().role("implement", [Turn::new().steps([step::run(uses)])]).unit(
        "3",
        "implement",
        [Turn::new().steps([step::run(&upgrades)])],
    );
    let backend = stage.backend("play.json", &playbook);
    let workspace = stage.sandbox.path("ws");
    let worker = stage.sandbox.worker(["--backend", &format!("{backend}=2"), "--workspace", workspace.to_str().unwrap()]);
    let done = stage.run([]).wait().expect(0);
    let said = format!("{}\n{}", done.said(), worker.said());
    let branch = stage.repo.run_branches().remove(0);
    for (unit, version) in [("1", 1), ("2", 1), ("3", 1), ("4", 2)] {
        assert_eq!(stage.repo.show(&branch, &format!("part-{unit}.txt")), format!("{{\"version\": {version}}}"), "unit {unit}\n{said}");
    }
    let runs = std::fs::read_to_string(workspace.join("runs.log")).unwrap();
    assert_eq!(runs.lines().count(), 2, "once per content of the lock file, for all units and reviews\n{said}");
}

#[test]
fn a_setup_whose_result_knows_its_folder_is_run_in_each() {
    let stage = Stage::with(&SpecText::parallel("bound", 2), |repo| {
        repo.write(".gitignore", "venv/\n");
        repo.write("requirements.txt", "x==1\n");
        repo.write("roundtable.toml", "setup = \"echo ran >> ../../../runs.log; mkdir venv; pwd > venv/home\"\n");
    });
    let right = "test \"$(cat venv/home)\" = \"$(pwd)\" && echo right > part-{unit}.txt || echo wrong > part-{unit}.txt";
    let backend = stage.backend("play.json", &Playbook::new().role("implement", [Turn::new().steps([step::run(right)])]));
    let workspace = stage.sandbox.path("ws");
    let worker = stage.sandbox.worker(["--backend", &backend, "--workspace", workspace.to_str().unwrap()]);
    stage.run([]).wait().expect(0);
    let branch = stage.repo.run_branches().remove(0);
    for unit in ["1", "2"] {
        assert_eq!(stage.repo.show(&branch, &format!("part-{unit}.txt")), "right", "{}", worker.said());
    }
    assert!(std::fs::read_to_string(workspace.join("runs.log")).unwrap().lines().count() >= 2);
}
