//! A worker's connections: one for its heartbeats, and a second one only while there is something to send or fetch.

use std::collections::BTreeSet;
use std::fs;

use roundtable_tests::harness::{Playbook, Process, SpecText, Turn, step, wait_for};

use crate::stage::Stage;

/// Established TCP connections of a process.
fn connections(process: &Process) -> usize {
    let pid = process.pid();
    let links = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    let inode = |link: std::path::PathBuf| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned());
    let own: BTreeSet<String> = links.filter_map(inode).collect();
    let tables = ["tcp", "tcp6"].map(|table| fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default());
    let rows = tables.iter().flat_map(|table| table.lines().skip(1)).map(|row| row.split_whitespace().collect::<Vec<_>>());
    // Column 4 is the state, of which 01 is established, column 10 the inode.
    rows.filter(|row| row.get(3) == Some(&"01") && row.get(9).is_some_and(|inode| own.contains(*inode))).count()
}

#[test]
fn a_worker_opens_a_second_connection_for_its_work_and_closes_it_when_there_is_none() {
    let stage = Stage::new(&SpecText::parallel("link", 1));
    let gate = stage.sandbox.path("go").display().to_string();
    let waits = Turn::new().steps([step::run(&format!("until test -e {gate}; do sleep 0.05; done")), step::write("part-1.txt", "made\n")]);
    let backend = stage.backend("play.json", &Playbook::new().unit("1", "implement", [waits]));
    let worker = stage.sandbox.worker(["--name", "w", "--backend", &format!("{backend}=1")]);
    let said = || worker.said();
    wait_for("one connection to be left of joining", said, || (connections(&worker) == 1).then_some(()));
    let run = stage.run([]);
    stage.wait_for_attempt("the agent to run", "1", |attempt| attempt["started_at"].is_string());
    wait_for("the second one", said, || (connections(&worker) == 2).then_some(()));
    fs::write(stage.sandbox.path("go"), "").unwrap();
    run.wait().expect(0);
    wait_for("it to be closed", said, || (connections(&worker) == 1).then_some(()));
}
