//! `coordinator serve --http`: what probes and scrapers are told while runs go on.

use std::io::{Read, Write};
use std::net::TcpStream;

use roundtable_tests::harness::{Playbook, Process, Signal, SpecText, wait_for};

use crate::world::World;

/// Where a coordinator serves its page, as it says.
fn page_of(served: &Process) -> String {
    let said = served.stderr();
    let url = said.split_whitespace().find_map(|word| word.strip_prefix("http://")).unwrap_or_else(|| panic!("no page: {said}"));
    url.to_owned()
}

fn get(page: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(page).expect("it listens");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    answer
}

fn figure(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {text}"))
}

#[test]
fn figures_follow_a_run_and_the_page_ends_with_its_coordinator() {
    let world = World::new(&SpecText::parallel("login", 2), &Playbook::new());
    let served = world.sandbox.program("coordinator").args(["serve", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
    let mut served = served.start();
    served.wait_for_stderr("ready");
    let page = page_of(&served);
    assert!(get(&page, "/readyz").starts_with("HTTP/1.1 200 "));
    let _worker = world.sandbox.worker(["--backend", &world.agents(1)]);
    world.orchctl(&["run", "--mode", "deterministic", "--spec"]).path(&world.spec).run().expect(0);
    let figures = get(&page, "/metrics");
    // Two units, each worked on and reviewed.
    assert!(figure(&figures, "roundtable_dispatch_seconds_count") >= 4.0, "{figures}");
    assert!(figure(&figures, "roundtable_append_seconds_count") >= 4.0 && figure(&figures, "roundtable_fsync_seconds_count") >= 4.0);
    assert_eq!((figure(&figures, "roundtable_leases"), figure(&figures, "roundtable_ready_units")), (0.0, 0.0));
    // The run's last words may come before its worker's slot is free.
    wait_for(
        "the worker to be idle",
        || get(&page, "/metrics"),
        || (figure(&get(&page, "/metrics"), "roundtable_workers{status=\"ready\"}") == 1.0).then_some(()),
    );
    served.signal(Signal::TERM);
    served.wait().expect(0);
    assert!(TcpStream::connect(&page).is_err(), "nobody listens any more");
}

#[test]
fn a_page_that_others_could_read_needs_a_certificate() {
    let world = World::new(&SpecText::parallel("login", 1), &Playbook::new());
    let serve = |args: &[&str]| world.sandbox.program("coordinator").args(["serve", "--listen", "127.0.0.1:0"]).args(args.iter().copied());
    serve(&["--http", "0.0.0.0:0"]).run().expect(3).err_has(&["--http-cert", "--http-key", "127.0.0.1:0"]);
    serve(&["--http", "127.0.0.1:0", "--http-key", "k.pem"]).run().expect(3).err_has(&["belong together"]);
    serve(&["--http-cert", "c.pem", "--http-key", "k.pem"]).run().expect(3).err_has(&["--http"]);
    serve(&["--http", "127.0.0.1:0", "--http-cert", "c.pem", "--http-key", "k.pem"]).run().expect(1).err_has(&["c.pem"]);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = listener.local_addr().expect("it has one").to_string();
    serve(&["--http", &taken]).run().expect(1).err_has(&[&taken, "--http"]);
    drop(listener);
}
