//! Hosts that share nothing with the coordinator but the network: joining by the printed line, by a key, being cut off, being lent an identity.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use roundtable_tests::harness::{Playbook, Process, Program, Signal, SpecText, wait_for};
use serde_json::Value;

use crate::world::World;

fn world() -> World {
    World::new(&SpecText::parallel("login", 2), &Playbook::new())
}

/// Another host: a data directory of its own, which knows no coordinator.
struct Host<'w> {
    world: &'w World,
    data: PathBuf,
}

impl<'w> Host<'w> {
    fn new(world: &'w World, name: &str) -> Self {
        Self { world, data: world.sandbox.path(name) }
    }

    fn worker(&self, args: &[&str]) -> Program {
        let data = self.data.display().to_string();
        self.world.sandbox.program("worker").args(args.iter().copied()).env("ROUNDTABLE_DATA_DIR", &data)
    }

    fn join(&self, args: &[&str]) -> Program {
        self.worker(&["join", "--backend", &self.world.agents(1)]).args(args.iter().copied())
    }

    fn joined(&self, program: Program) -> Process {
        let mut worker = program.start();
        worker.wait_for_stderr("joined");
        worker
    }
}

fn coordinator(world: &World, args: &[&str]) -> Program {
    world.sandbox.program("coordinator").args(args.iter().copied())
}

fn token(world: &World, more: &[&str]) -> Value {
    coordinator(world, &["token", "create", "--role", "worker", "--json"]).args(more.iter().copied()).run().expect(0).json()
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_else(|| panic!("{key} in {value}")).to_owned()
}

fn workers(world: &World) -> Vec<Value> {
    world.orchctl(&["workers", "--json"]).run().expect(0).json().as_array().expect("a list").clone()
}

#[test]
fn a_host_joins_by_the_printed_line_works_and_is_cut_off() {
    let world = world();
    let _served = world.sandbox.serve();
    let made = token(&world, &["--label", "zone=a"]);
    let (secret, url) = (text(&made, "token"), text(&made, "url"));
    let line = coordinator(&world, &["token", "create", "--role", "worker"]).run().expect(0).stdout;
    assert!(
        line.starts_with("ROUNDTABLE_TOKEN=rt1.") && line.trim_end().ends_with(&format!("worker join {url} --backend codex")),
        "{line}"
    );
    assert_eq!(line.lines().count(), 1, "and nothing else");

    let host = Host::new(&world, "second");
    let worker = host.joined(host.join(&[&url]).env("ROUNDTABLE_TOKEN", &secret));
    world.orchctl(&["run", "--mode", "deterministic", "--spec"]).path(&world.spec).run().expect(0);
    let here = workers(&world);
    assert_eq!((here.len(), &here[0]["labels"]["zone"]), (1, &"a".into()), "{here:?}");
    let name = text(&here[0], "id");
    let listed = coordinator(&world, &["token", "list", "--json"]).run().expect(0);
    assert!(listed.stdout.contains(&format!("worker {name}")) && !listed.stdout.contains("rt1."), "{}", listed.said());

    // Another key is refused; the one that came in comes again without a token.
    let third = Host::new(&world, "third");
    third.join(&[&url]).env("ROUNDTABLE_TOKEN", &secret).run().expect(5).err_has(&["another key", &name, "token create"]);
    worker.signal(Signal::TERM);
    worker.wait().expect(0);
    let worker = host.joined(host.join(&[]));

    let began = Instant::now();
    coordinator(&world, &["revoke", &name]).run().expect(0).out_has(&[&name, "revoked"]);
    worker.wait_within(Duration::from_secs(20)).expect(5).err_has(&["was revoked", "token create"]);
    assert!(began.elapsed() < Duration::from_secs(10));
    assert!(workers(&world).is_empty());
    host.join(&[]).run().expect(5).err_has(&["was revoked"]);
    let hidden = secret.rsplit('.').next().expect("a secret").as_bytes();
    for file in ["store.db", "store.db-wal", "client.json"] {
        let bytes = std::fs::read(world.sandbox.data_dir().join(file)).unwrap_or_default();
        assert!(!bytes.windows(hidden.len()).any(|bytes| bytes == hidden), "no secret in {file}");
    }
}

#[test]
fn what_is_wrong_with_a_token_is_said_before_anything_is_sent() {
    let world = world();
    let host = Host::new(&world, "second");
    // Made while nobody serves, good once somebody does.
    let made = token(&world, &[]);
    let _served = world.sandbox.serve();
    let url = format!("https://{}", text(&client_file(&world), "address"));
    let file = world.sandbox.path("token");
    let named = ["--token-file", file.to_str().expect("text")];
    std::fs::write(&file, "rt1.cut\n").expect("written");
    host.join(&[&url]).args(named).run().expect(3).err_has(&["--token-file", "no join token"]);
    let real = text(&made, "token");
    let parts: Vec<&str> = real.split('.').collect();
    let elsewhere = format!("rt1.{}.{}.{}", "ab".repeat(32), parts[2], parts[3]);
    std::fs::write(&file, &elsewhere).expect("written");
    let refused = host.join(&[&url]).args(named).run().expect(5);
    refused.err_has(&["nothing was sent", "another authority"]).err_has_not(&[parts[3]]);
    let wrong = format!("rt1.{}.{}.{}", parts[1], parts[2], "0".repeat(64));
    host.join(&[&url, "--token", &wrong]).run().expect(5).err_has(&["--token-file", "not known"]);
    coordinator(&world, &["token", "create", "--role", "worker", "--ttl", "48h"]).run().expect(3).err_has(&["--ttl", "24h"]);
    coordinator(&world, &["token", "revoke", "nope"]).run().expect(1).err_has(&["nope", "token list"]);
    std::fs::write(&file, &real).expect("written");
    let _worker = host.joined(host.join(&[&url]).args(named));
}

#[test]
fn a_key_is_admitted_without_a_secret_and_an_identity_that_was_lent_ends() {
    let world = world();
    let _served = world.sandbox.serve();
    let host = Host::new(&world, "second");
    let key = host.worker(&["keygen"]).run().expect(0).stdout.trim().to_owned();
    let added = coordinator(&world, &["worker", "add", "--key", &key, "--name", "ci"]).run().expect(0).stdout;
    let words: Vec<&str> = added.split_whitespace().collect();
    let after = |word: &str| words[words.iter().position(|each| *each == word).expect("it is there") + 1];
    let (url, pin) = (after("join"), after("--pin"));
    host.join(&[url, "--pin", &"ab".repeat(32)]).run().expect(5).err_has(&["nothing was sent"]);
    let _worker = host.joined(host.join(&[url, "--pin", pin]));
    assert_eq!(text(&workers(&world)[0], "id"), "ci");

    let made = token(&world, &["--ephemeral", "--uses", "2"]);
    let (secret, url) = (text(&made, "token"), text(&made, "url"));
    let host = Host::new(&world, "third");
    let name = ["--name", "pod"];
    let worker = host.joined(host.join(&[&url]).args(name).env("ROUNDTABLE_TOKEN", &secret));
    worker.signal(Signal::TERM);
    worker.wait().expect(0);
    wait_for("it to have left", || "workers".to_owned(), || (workers(&world).len() == 1).then_some(()));
    host.join(&[]).args(name).run().expect(5).err_has(&["was lent", "has ended"]);
    let _worker = host.joined(host.join(&[]).args(name).env("ROUNDTABLE_TOKEN", &secret));
    assert_eq!(workers(&world).len(), 2);
}

fn client_file(world: &World) -> Value {
    let text = std::fs::read_to_string(world.sandbox.data_dir().join("client.json")).expect("client.json");
    serde_json::from_str(&text).expect("JSON")
}
