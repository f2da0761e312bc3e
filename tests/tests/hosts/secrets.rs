//! Files under `copy` are there while their run needs them, and nowhere once it has ended: neither at the coordinator nor in a worker's workspace.

use std::path::Path;

use roundtable_tests::harness::{Playbook, Process, Signal, SpecText, Turn, step, wait_for};

use crate::stage::Stage;

const SECRET: &str = "open-sesame-4711";

/// A project with a file under `copy`, which `setup` puts into an ignored folder as well.
fn stage(name: &str, units: usize) -> Stage {
    let stage = Stage::with(&SpecText::parallel(name, units), |repo| {
        repo.write(".gitignore", ".env\nnode_modules/\n");
        repo.write("package-lock.json", "{}\n");
        repo.write("roundtable.toml", "copy = [\".env\"]\nsetup = \"mkdir node_modules; cat .env > node_modules/built\"\n");
    });
    stage.repo.write(".env", &format!("DB_PASSWORD={SECRET}\n"));
    stage
}

/// The agent copies it about, and says once it has.
fn copies() -> Vec<serde_json::Value> {
    vec![step::run("mkdir -p deep; cp .env deep/copy; cp .env \"$TMPDIR/copy\"; echo done > part-{unit}.txt")]
}

fn files_with(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files_with(&path)),
            Ok(kind) if kind.is_file() => {
                let is_there = std::fs::read(&path).unwrap_or_default().windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
                found.extend(is_there.then(|| path.display().to_string()));
            }
            _ => {}
        }
    }
    found
}

/// Waits until it is nowhere in those folders.
#[track_caller]
fn gone(dirs: &[&Path], said: impl Fn() -> String) {
    let left = || dirs.iter().flat_map(|dir| files_with(dir)).collect::<Vec<_>>();
    wait_for("the secret to be gone", || format!("{:#?}\n{}", left(), said()), || left().is_empty().then_some(()));
}

fn kept(stage: &Stage) -> Vec<String> {
    files_with(&stage.sandbox.data_dir().join("attachments"))
}

/// A worker, a detached run, and an agent of it that hangs with the file in its hands.
fn hanging(stage: &Stage, workspace: &Path) -> Process {
    let mut steps = copies();
    steps.extend([step::run("touch ../../../hangs"), step::fault("hang")]);
    let backend = stage.backend("play.json", &Playbook::new().role("implement", [Turn::new().steps(steps)]));
    let worker = stage.sandbox.worker(["--name", "w", "--backend", &backend, "--workspace", workspace.to_str().unwrap()]);
    stage.run(["--detach"]).wait().expect(0);
    wait_for("the agent to hang", || worker.said(), || workspace.join("hangs").exists().then_some(()));
    assert!(!files_with(&workspace.join("trees")).is_empty());
    worker
}

#[test]
fn a_served_run_that_completes_leaves_none() {
    let stage = stage("complete", 3);
    let backend = stage.backend("play.json", &Playbook::new().role("implement", [Turn::new().steps(copies())]));
    let workspace = stage.sandbox.path("ws");
    let worker = stage.sandbox.worker(["--backend", &format!("{backend}=2"), "--workspace", workspace.to_str().unwrap()]);
    let done = stage.run([]).wait().expect(0);
    gone(&[stage.sandbox.data_dir(), &workspace], || format!("{}\n{}", done.said(), worker.said()));
}

#[test]
fn an_embedded_run_that_completes_has_none_left_when_it_returns() {
    let mut stage = stage("embedded", 3);
    stage.stop();
    let backend = stage.backend("play.json", &Playbook::new().role("implement", [Turn::new().steps(copies())]));
    let done = stage.run(["--workers", &format!("{backend}=2")]).wait().expect(0);
    assert_eq!(files_with(stage.sandbox.data_dir()), Vec::<String>::new(), "{}", done.said());
}

#[test]
fn a_cancelled_run_leaves_none_and_a_paused_one_keeps_them() {
    let stage = stage("cancel", 1);
    let workspace = stage.sandbox.path("ws");
    let worker = hanging(&stage, &workspace);
    let run = stage.run_id();
    stage.ask(["pause", &run]).expect(0);
    assert_eq!(kept(&stage).len(), 1);
    stage.ask(["cancel", &run]).expect(0);
    gone(&[stage.sandbox.data_dir(), &workspace], || worker.said());
}

#[test]
fn what_a_crash_left_goes_with_the_next_start() {
    let mut stage = stage("crash-copy", 1);
    let workspace = stage.sandbox.path("ws");
    let worker = hanging(&stage, &workspace);
    // The worker dies with the file in its worktree; the run goes on being unfinished over a restart of the coordinator, and keeps its own copy.
    worker.kill();
    assert!(!files_with(&workspace).is_empty());
    stage.kill();
    stage.serve();
    let run = stage.run_id();
    assert_eq!(kept(&stage).len(), 1);
    // Nobody is there to see its end but the coordinator, which is killed again with the files as it had them.
    stage.ask(["cancel", &run]).expect(0);
    gone(&[&stage.sandbox.data_dir().join("attachments")], String::new);
    stage.kill();
    for of in [run.as_str(), "never-began-abcdef"] {
        let folder = stage.sandbox.data_dir().join("attachments").join(of);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(".env"), SECRET).unwrap();
    }
    stage.serve();
    gone(&[stage.sandbox.data_dir()], String::new);
    std::fs::remove_file(workspace.join("hangs")).unwrap();
    let backend = format!("scripted:{}", stage.sandbox.path("play.json").display());
    let worker = stage.sandbox.worker(["--name", "w", "--backend", &backend, "--workspace", workspace.to_str().unwrap()]);
    gone(&[&workspace], || worker.said());
    worker.signal(Signal::TERM);
    worker.wait().expect(0);
}
