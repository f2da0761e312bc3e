//! `coordinator audit`: what was done and by whom, as it is told, followed, and found damaged.

use roundtable_tests::harness::{Output, Playbook, Process, SpecText, wait_for};
use serde_json::Value;

use crate::world::World;

fn world() -> World {
    World::new(&SpecText::parallel("login", 1), &Playbook::new())
}

fn audit(world: &World, args: &[&str]) -> Output {
    world.sandbox.program("coordinator").args(["audit"]).args(args.iter().copied()).run()
}

fn records(world: &World) -> Vec<Value> {
    audit(world, &["--json"]).expect(0).json().as_array().expect("a list").clone()
}

fn did(records: &[Value]) -> Vec<String> {
    records.iter().map(|each| each["did"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_run_leaves_a_record_of_each_command() {
    let world = world();
    audit(&world, &[]).expect(1).err_has(&["no audit log", "--data-dir"]);
    world.run(&[]).run().expect(0);
    let records = records(&world);
    let did = did(&records);
    assert!(did.iter().any(|did| did.starts_with("upload commit=")), "{did:?}");
    assert!(did.iter().any(|did| did.starts_with("submit spec=")), "{did:?}");
    for (nth, record) in records.iter().enumerate() {
        assert_eq!((record["seq"].as_u64(), record["role"].as_str()), (Some(nth as u64 + 1), Some("admin")), "{record:#}");
        assert!(record["hash"].as_str().is_some_and(|hash| hash.len() == 64), "{record:#}");
    }
    audit(&world, &[]).expect(0).out_has(&["admin", "commit="]);
    world.sandbox.program("coordinator").args(["verify"]).run().expect(0).out_has(&["audit log:", "all good"]);
}

#[test]
fn commands_are_followed_as_they_come_and_a_changed_record_is_named() {
    let world = world();
    let served = world.sandbox.serve();
    world.run(&[]).run().expect(0);
    let followed: Process = world.sandbox.program("coordinator").args(["audit", "--follow", "--json"]).start();
    let line_with = |text: &str| {
        let found = || followed.stdout().lines().find(|line| line.contains(text)).map(str::to_owned);
        let line = wait_for(text, || followed.said(), found);
        serde_json::from_str::<Value>(&line).expect("a line is one JSON value")
    };
    world.orchctl(&["pause", "--all", "--note", "lunch"]).run().expect(0);
    let told = line_with("pause all");
    assert_eq!((told["kind"].as_str(), told["did"].as_str()), (Some("command"), Some("pause all note=lunch")), "{told:#}");
    world.orchctl(&["retry", "1"]).run().expect(1);
    let (command, refused) = (line_with("retry unit=1"), line_with("\"kind\":\"refused\""));
    assert_eq!((&refused["of"], refused["code"].as_str()), (&command["seq"], Some("conflict")), "{refused:#}");
    drop(followed);
    served.kill();

    let file = world.sandbox.data_dir().join("audit/00000001.jsonl");
    let text = std::fs::read_to_string(&file).expect("the log");
    let line = 1 + text.lines().position(|line| line.contains("lunch")).expect("the command");
    std::fs::write(&file, text.replacen("lunch", "brunch", 1)).expect("changed");
    let place = format!("audit/00000001.jsonl line {line}");
    audit(&world, &["--json"]).expect(1).err_has(&[&place, "does not match its hash"]);
    let verified = world.sandbox.program("coordinator").args(["verify"]).run().expect(1);
    assert!(verified.stdout.contains("00000001.jsonl"), "{}", verified.said());
    let refused = world.sandbox.program("coordinator").args(["serve", "--listen", "127.0.0.1:0"]).run().expect(1);
    refused.err_has(&[&place, "Move its folder aside"]);
}
