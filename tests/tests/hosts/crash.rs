//! A worker that is killed in the middle of an attempt.

use roundtable_tests::harness::{Playbook, SpecText, Turn, step, wait_for};

use crate::stage::Stage;

/// Lines of a folder's listing, the ledger's own files aside.
fn entries(dir: &std::path::Path) -> Vec<String> {
    std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn what_a_killed_workers_agent_wrote_is_saved_without_the_files_under_copy() {
    let spec = SpecText::parallel("crash", 1);
    let mut stage = Stage::with(&spec, |repo| {
        repo.write(".gitignore", ".env\n");
        repo.write("roundtable.toml", "copy = [\".env\"]\n");
    });
    stage.repo.write(".env", "DB_PASSWORD=open-sesame-4711\n");
    let tells = "cat .env; git add --force .env; git commit -q -m mine -a; : > .gitignore; cp .env copied; echo half > part-1.txt; touch ../../../half";
    let interrupted = Turn::new().steps([step::run(tells), step::fault("hang")]);
    let backend = stage.backend("play.json", &Playbook::new().unit("1", "implement", [interrupted]));
    let workspace = stage.sandbox.path("ws");
    let join = ["--name", "w", "--backend", &backend, "--workspace", workspace.to_str().unwrap()];
    let worker = stage.sandbox.worker(join);
    let run = stage.run([]);
    wait_for("the agent to have written", || worker.said(), || workspace.join("half").exists().then_some(()));
    // What it said is on its way to the spool until then.
    let heard = || stage.ask(["events", &stage.run_id(), "--jsonl"]).stdout.contains("DB_PASSWORD=").then_some(());
    wait_for("what it said to be kept", || worker.said(), heard);
    worker.kill();
    std::fs::remove_file(workspace.join("half")).unwrap();

    // Its next life finishes the unit: the scripted agent behaves now.
    let finishes = Turn::new()
        .steps([step::write("part-1.txt", "whole\n")])
        .result(serde_json::json!({"learnings": ["the password is open-sesame-4711"]}));
    stage.backend("play.json", &Playbook::new().unit("1", "implement", [finishes]));
    let worker = stage.sandbox.worker(join);
    let done = run.wait().expect(0);
    let attempts = stage.attempts("1");
    let said = format!("{attempts:#?}\n{}\n{}", done.said(), worker.said());
    let events = stage.ask(["events", &stage.run_id(), "--jsonl"]).stdout;
    assert!(!events.contains(r#""what":"infra""#), "a restart that reconciles costs nothing: {said}\n{events}");
    let saved = stage.attempt_ref("1", attempts[0]["attempt"].as_u64().unwrap());
    assert_eq!(stage.file(&saved, "part-1.txt"), "half");
    let files = stage.files(&saved);
    assert!(!files.iter().any(|file| file == ".env" || file == "copied"), "{files:?}");
    // Nothing that left the worker has the secret: no commit, no event, no answer.
    let commits = stage.stored(&["log", "--all", "--patch", "--full-diff"]);
    assert!(commits.contains("half") && !commits.contains("open-sesame"), "{commits}");
    assert!(events.contains("DB_PASSWORD=[redacted]") && !events.contains("open-sesame"), "{events}");
    stage.stop();
    let found = grep(stage.sandbox.data_dir(), "open-sesame-4711", &["attachments", "workers"]);
    assert_eq!(found, Vec::<String>::new());
    let worktrees = workspace.join("trees");
    wait_for("the worktrees to be removed", || format!("{:?}", entries(&worktrees)), || entries(&worktrees).is_empty().then_some(()));
}

/// Files below a folder that hold a text, some folders aside.
fn grep(dir: &std::path::Path, text: &str, aside: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if aside.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        if path.is_dir() {
            found.extend(grep(&path, text, &[]));
        } else if std::fs::read(&path).unwrap_or_default().windows(text.len()).any(|window| window == text.as_bytes()) {
            found.push(path.display().to_string());
        }
    }
    found
}
