//! Integration as a train: checks of several units side by side, one order, and the right unit sent back.

use roundtable_tests::harness::{Playbook, Process, SpecText, Turn, step, wait_for};
use serde_json::Value;

use crate::world::{World, unit};

/// A check that tells when it begins and ends, with something to be done in between.
fn check(world: &World, does: &str) -> String {
    let log = world.sandbox.path("checks.log");
    std::fs::write(&log, "").expect("a log can be made");
    format!("log={}; echo begin >> $log; {does}; code=$?; echo end >> $log; exit $code", log.display())
}

/// The most that were under way at once.
fn at_once(world: &World) -> i32 {
    let log = std::fs::read_to_string(world.sandbox.path("checks.log")).expect("the log of checks");
    let steps = log.lines().map(|line| if line == "begin" { 1 } else { -1 });
    let under_way = steps.scan(0, |sum, step| {
        *sum += step;
        Some(*sum)
    });
    under_way.max().unwrap_or(0)
}

/// A run with an agent for each unit and four slots for checks.
fn begin(world: &World, check: &str, units: u32) -> Process {
    let workers = format!("{},check=4", world.agents(units));
    world.run_without_workers(&["--mode", "deterministic", "--check", check, "--json", "--workers", &workers]).start()
}

/// Kinds of the run's facts with their unit, in order; nothing before there is a run.
fn facts(world: &World) -> Vec<(String, String)> {
    let told = world.orchctl(&["events", "--jsonl"]).run();
    let events = if told.code == Some(0) { told.jsonl() } else { Vec::new() };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let unit = |event: &Value| text(if event["flight"].is_null() { &event["unit"] } else { &event["flight"]["unit"] });
    events.iter().map(|event| (text(&event["kind"]), unit(event))).collect()
}

#[test]
fn checks_of_several_units_run_side_by_side_and_the_branch_moves_past_many() {
    let world = World::new(&SpecText::parallel("login", 8), &Playbook::new());
    // The check of the first one, alone on the base, waits for a word.
    let go = world.sandbox.path("go");
    let does = format!("test $(ls | grep -c '^part-') != 1 || until test -f {}; do sleep 0.1; done", go.display());
    let running = begin(&world, &check(&world, &does), 8);
    let of = |kind: &str| facts(&world).into_iter().filter(|(of, _)| of == kind).map(|(_, unit)| unit).collect::<Vec<_>>();
    wait_for("the checks of two behind it", || running.said(), || (of("candidate_checked").len() >= 2).then_some(()));
    assert_eq!(of("integrated"), Vec::<String>::new(), "none goes before the first");
    std::fs::write(&go, "").expect("a word can be given");
    let summary = running.wait().expect(0).json();
    assert_eq!(summary["counts"]["completed"], 8, "{summary:#}");
    assert!(at_once(&world) >= 2, "{} at once", at_once(&world));
    let count = |kind: &str| of(kind).len();
    assert_eq!((count("integrated"), count("integration_dropped")), (8, 0));
    assert!(count("integration_intended") <= 6, "the first three in one step");
    // Units are integrated in the order in which they joined.
    assert_eq!(of("integrated"), of("integration_started"));
    let commits =
        world.repo.subjects(&format!("{}..{}", summary["base"].as_str().expect("a base"), summary["branch"].as_str().expect("a branch")));
    assert!(commits.iter().filter(|subject| subject.starts_with("Part ")).count() == 8, "one commit each: {commits:?}");
}

#[test]
fn a_red_one_and_a_pair_red_only_together_are_found_and_the_others_integrated() {
    let writes = |unit: &str, text: &str| Turn::new().steps([step::write(&format!("part-{unit}.txt"), text)]);
    let playbook = Playbook::new()
        .unit("2", "implement", [writes("2", "wrong\n")])
        .unit("2", "fix", [writes("2", "right\n")])
        .unit("3", "implement", [writes("3", "half a pair\n")])
        .unit("3", "fix", [writes("3", "mended\n")])
        .unit("6", "implement", [writes("6", "half a pair\n")])
        .unit("6", "fix", [writes("6", "mended\n")]);
    let world = World::new(&SpecText::parallel("login", 8), &playbook);
    let check = check(
        &world,
        "sleep 0.5; ! grep -q wrong part-2.txt 2>/dev/null && ! { grep -q half part-3.txt 2>/dev/null && grep -q half part-6.txt 2>/dev/null; }",
    );
    let summary = begin(&world, &check, 8).wait().expect(0).json();
    assert_eq!(summary["counts"]["completed"], 8, "{summary:#}");
    let of_checks = |id: &str| {
        let findings = world.orchctl(&["findings", id, "--json"]).run().expect(0).json();
        let all = findings.as_array().expect("a list").clone();
        all.into_iter().filter(|finding| finding["reviewer"].as_str().is_some_and(|name| name.starts_with("check-"))).collect::<Vec<_>>()
    };
    let own = of_checks("2");
    assert_eq!((own.len(), &own[0]["summary"]), (1, &"the check command fails with this unit on the run's branch".into()));
    // Whichever of the two came later has the finding, and it names the other.
    let (third, sixth) = (of_checks("3"), of_checks("6"));
    let (later, other) = if third.is_empty() { (&sixth, "3 (Part 3)") } else { (&third, "6 (Part 6)") };
    assert_eq!(third.len() + sixth.len(), 1, "{third:?} {sixth:?}");
    let said = later[0]["summary"].as_str().expect("a summary");
    assert!(said.contains("fails with this unit together with") && said.contains(other), "{said}");
    for id in ["1", "4", "5", "7", "8"] {
        assert_eq!((&unit(&summary, id)["fix_attempts"], of_checks(id).len()), (&0.into(), 0), "unit {id}");
    }
    assert_eq!(world.repo.show(summary["branch"].as_str().expect("a branch"), "part-2.txt"), "right");
}

#[test]
fn status_and_workers_tell_of_the_train_and_of_check_slots() {
    let world = World::new(&SpecText::parallel("login", 3), &Playbook::new());
    let go = world.sandbox.path("go");
    // The base is green at once; candidates wait for a word.
    let check = format!("test ! -f part-1.txt -a ! -f part-2.txt -a ! -f part-3.txt || until test -f {}; do sleep 0.1; done", go.display());
    let workers = format!("{},check=2", world.agents(3));
    let running = world.run_without_workers(&["--mode", "deterministic", "--check", &check, "--workers", &workers]).start();
    let texts_of = |status: &Value| -> Vec<String> {
        let waits =
            status["units"].as_array().into_iter().flatten().flat_map(|unit| unit["waiting"].as_array().cloned().unwrap_or_default());
        waits.filter_map(|wait| wait["text"].as_str().map(str::to_owned)).collect()
    };
    // The third is prepared meanwhile.
    let status = world.wait_for_status("two checks of the train, and a third candidate", &running, |status| {
        let texts = texts_of(status);
        texts.iter().filter(|text| text.contains("check running on")).count() == 2 && texts.iter().any(|text| text.contains("is busy"))
    });
    let texts = texts_of(&status);
    assert!(texts.iter().any(|text| text.starts_with("in the train, 1st of 3; check running on ")), "{texts:?}");
    assert!(texts.iter().any(|text| text == "in the train, 3rd of 3; every slot of check is busy"), "{texts:?}");
    let workers = world.orchctl(&["workers", "--json"]).run().expect(0).json();
    assert_eq!(
        (&workers[0]["backends"]["check"]["slots"], &workers[0]["backends"]["check"]["busy"]),
        (&2.into(), &2.into()),
        "{workers:#}"
    );
    world.orchctl(&["workers"]).run().expect(0).out_has(&["check 2/2"]);
    std::fs::write(&go, "").expect("a word can be given");
    running.wait().expect(0);
}
