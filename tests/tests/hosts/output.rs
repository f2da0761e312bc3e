//! Agents that print more, and other things, than anyone wants.

use roundtable_tests::harness::{Playbook, Process, SpecText, Turn, step};
use serde_json::Value;

use crate::stage::Stage;

/// Highest memory of a process so far, kilobytes.
fn peak_kb(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse().unwrap()
}

/// Runs one unit with these steps and then the default ones; gives how much the worker's memory grew and the events of the attempt.
fn flood(steps: Vec<Value>) -> (u64, Vec<Value>) {
    let stage = Stage::new(&SpecText::parallel("flood", 1));
    let steps = steps.into_iter().chain([step::write("part-1.txt", "whole\n")]);
    let turn = Turn::new().steps(steps).result(serde_json::json!({"summary": "the last words"}));
    let backend = stage.backend("play.json", &Playbook::new().unit("1", "implement", [turn]));
    let worker = stage.sandbox.worker(["--backend", &backend]);
    let before = peak_kb(&worker);
    let done = stage.run([]).wait_within(std::time::Duration::from_secs(600)).expect(0);
    let grown = peak_kb(&worker) - before;
    let attempts = stage.attempts("1");
    assert_eq!(attempts[0]["outcome"], "completed", "the terminal event was lost: {attempts:#?}\n{}\n{}", done.said(), worker.said());
    let summary = stage.ask(["show", &stage.run_id(), "1", "--json"]).stdout;
    assert!(summary.contains("the last words"), "{summary}");
    let events = stage.ask(["events", &stage.run_id(), "--jsonl"]).jsonl();
    let of_agent = |event: &Value| event["unit"] == "1" && event["attempt"] == 1;
    (grown, events.into_iter().filter(of_agent).collect())
}

fn elided(events: &[Value]) -> u64 {
    events.iter().filter(|event| event["kind"] == "elided").filter_map(|event| event["bytes"].as_u64()).sum()
}

/// A gigabyte; where nothing is optimised, what can be read in the time of a test.
const FLOOD_BYTES: u64 = if cfg!(debug_assertions) { 64 << 20 } else { 1 << 30 };

#[test]
fn a_flood_of_output_is_read_in_bounded_memory_and_its_end_is_not_lost() {
    let (grown_kb, events) = flood(vec![step::fault(&format!("spew:{FLOOD_BYTES}"))]);
    assert!(grown_kb < 64 << 10, "the worker grew by {grown_kb} kB");
    assert!(elided(&events) > FLOOD_BYTES - (24 << 20), "what was not kept is counted: {}", elided(&events));
    assert_eq!(events.iter().filter(|event| event["kind"] == "completed").count(), 1);
}

#[test]
fn any_bytes_may_come_in_lines_of_any_length() {
    let odd = "exec > /proc/$PPID/fd/1; printf '\\377\\376 no text\\n\\0\\0\\0\\n'; head -c 100000000 /dev/zero; echo; \
               head -c 100000000 /dev/zero | tr '\\0' x; echo; printf '{\"kind\":\"message\",\"text\":\"\\xc3\\x28\"}\\n{\"kind\":'; \
               head -c 3000000 /dev/zero | tr '\\0' '['; echo";
    let (grown_kb, events) = flood(vec![step::run(odd)]);
    assert!(grown_kb < 64 << 10, "the worker grew by {grown_kb} kB");
    let raw = |text: &str| events.iter().any(|event| event["kind"] == "raw" && event["text"].as_str().unwrap().contains(text));
    assert!(raw("\u{fffd}\u{fffd} no text"), "{:?}", events.iter().map(|event| event["kind"].clone()).collect::<Vec<_>>());
    assert!(events.iter().all(|event| event.to_string().len() < 1 << 20));
}
