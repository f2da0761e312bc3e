//! Agents that do not end by themselves, or not alone.

use std::time::{Duration, Instant};

use roundtable_tests::harness::{Playbook, SpecText, Turn, step};

use crate::stage::Stage;

#[test]
fn agents_that_hang_ignore_signals_or_leave_processes_behind_are_ended_with_all_of_theirs() {
    let stage = Stage::with(&SpecText::parallel("endings", 4), |repo| {
        repo.write("roundtable.toml", "[limits]\nidle = \"2s\"\nwall = \"20s\"\n");
    });
    let good = Turn::new;
    let leave = "setsid sh -c 'trap \"\" TERM HUP; sleep 777' & (setsid sleep 777 &) & nohup sleep 777 > /dev/null & sleep 0.1";
    let playbook = Playbook::new()
        .unit("1", "implement", [Turn::new().steps([step::write("part-1.txt", "half\n"), step::fault("hang")]), good()])
        .unit("2", "implement", [Turn::new().steps([step::fault("ignore_term"), step::run("trap '' TERM; sleep 777")]), good()])
        .unit("3", "implement", [Turn::new().steps([step::fault("daemonize"), step::run(leave), step::write("part-3.txt", "done\n")])])
        .unit("4", "implement", [Turn::new().steps([step::run("while :; do :; done")]), good()]);
    let backend = stage.backend("play.json", &playbook);
    let worker = stage.sandbox.worker(["--backend", &format!("{backend}=4")]);
    let started = Instant::now();
    let done = stage.run([]).wait().expect(0);
    let said = format!("{}\n{}", done.said(), worker.said());
    let ends = |unit: &str| -> Vec<String> {
        let attempts = stage.attempts(unit);
        let work = attempts.iter().filter(|attempt| attempt["seat"] == "work");
        work.map(|attempt| format!("{} {} {}", attempt["outcome"], attempt["class"], attempt["error"]).replace('"', "")).collect()
    };
    let first = |unit: &str, words: &str| {
        let ends = ends(unit);
        assert!(ends[0].starts_with("failed unit") && ends[0].contains(words), "{unit}: {ends:?}\n{said}");
        assert_eq!(ends.last().unwrap(), "completed null null", "{unit}: {ends:?}\n{said}");
    };
    first("1", "idle limit");
    first("2", "idle limit");
    // One that is busy is not idle; it has its wall time.
    first("4", "wall limit");
    assert_eq!(ends("3"), ["completed null null"], "{said}");
    assert!(started.elapsed() < Duration::from_secs(110), "{:?}\n{said}", started.elapsed());
    let left: Vec<_> =
        stage.sandbox.leftovers().into_iter().filter(|each| each.command.contains("777") || each.command.contains("linger")).collect();
    assert_eq!(left, [], "{said}");
    // What the hanging one wrote was kept.
    assert_eq!(stage.file(&stage.attempt_ref("1", 1), "part-1.txt"), "half");
    drop(worker);
    drop(stage.ask(["down"]));
}
