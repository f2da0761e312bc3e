//! `coordinator serve` under pressure: another of its kind, readers that do not read, a flood of output.

use std::time::{Duration, Instant};

use roundtable_tests::harness::{Playbook, Process, Sandbox, Signal, SpecText, Turn, step};

use crate::is_full;
use crate::world::end;

/// How long a coordinator may take to end when it is asked to.
const END_WITHIN: Duration = Duration::from_secs(10);
/// Memory a coordinator or worker may need beyond what it needs anyway, bytes.
const RSS_BYTES_MAX: u64 = 160 << 20;

#[test]
fn a_second_one_names_the_first() {
    let sandbox = Sandbox::new();
    let first = sandbox.serve();
    let second = sandbox.program("coordinator").args(["serve", "--listen", "127.0.0.1:0"]).run().expect(6);
    second.err_has(&["coordinator serve", &format!("pid {}", first.pid())]);
    end(first);
    let third = sandbox.serve();
    end(third);
}

/// Output flows through worker and coordinator in bounded memory, past a reader that has stopped reading; and that reader does not keep it from ending.
#[test]
fn a_flood_of_output_and_a_reader_that_does_not_read_cost_no_memory_and_no_time() {
    let bytes: u64 = if is_full() { 1 << 30 } else { 48 << 20 };
    let sandbox = Sandbox::new();
    let (repository, spec) = sandbox.project(&SpecText::parallel("flood", 2));
    let flood = Turn::new().steps([step::fault(&format!("spew:{bytes}")), step::write("part-1.txt", "done\n"), step::sleep_ms(500)]);
    let playbook = Playbook::new().unit("1", "implement", [flood]).write(&sandbox.path("playbook.json"));
    let serve = sandbox.serve();
    let worker = sandbox.worker(["--backend", &format!("scripted:{}=2", playbook.display())]);
    let run = sandbox.orchctl(repository.path(), ["run", "--mode", "deterministic", "--yes", "--json", "--spec"]).path(&spec).start();
    let run_id = roundtable_tests::harness::wait_for(
        "the run",
        || run.said(),
        || {
            let runs = sandbox.orchctl(repository.path(), ["status", "--json"]).run();
            (runs.code == Some(0)).then(|| runs.json()["run"].as_str().map(str::to_owned)).flatten()
        },
    );
    let reader = sandbox.orchctl(repository.path(), ["events", &run_id, "-f", "--jsonl"]).start();
    reader.signal(Signal::STOP);
    let summary = run.wait_within(Duration::from_secs(300)).expect(0).json();
    assert_eq!(summary["status"], "complete", "{summary}");
    for process in [&serve, &worker] {
        let peak = peak_rss_bytes(process);
        println!("peak {} MiB", peak >> 20);
        assert!(peak < RSS_BYTES_MAX, "{} MiB\n{}", peak >> 20, process.said());
    }
    end(worker);
    let began = Instant::now();
    serve.signal(Signal::TERM);
    serve.wait_within(Duration::from_secs(60)).expect(0);
    assert!(began.elapsed() < END_WITHIN, "it took {:?} to end", began.elapsed());
    reader.kill();
}

fn peak_rss_bytes(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
}
