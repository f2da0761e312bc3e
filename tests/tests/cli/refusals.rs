//! A provider that refuses: what is said of it while it lasts, and when it is over.

use roundtable_tests::harness::{Playbook, SpecText, Turn, step};

use crate::world::World;

#[test]
fn a_provider_that_refuses_is_said_with_cause_worker_and_time_and_the_run_goes_on() {
    let refused = Turn::new().steps([step::fault("rate_limit:20")]);
    // The run is there until what is to be said of it has been.
    let place = tempfile::tempdir().expect("a folder can be made");
    let said = place.path().join("said");
    let served = Turn::new().steps([step::run(&format!("until test -e {}; do sleep 0.05; done; echo 1 > part-1.txt", said.display()))]);
    let book = Playbook::new().unit("1", "implement", [refused, served]);
    let world = World::new(&SpecText::parallel("login", 1), &book);
    let mut run = world.run(&["--json"]).start();
    let status = world.wait_for_status("the refusal to be told", &run, |status| status["parks"][0]["units_waiting"] == 1);
    let park = &status["parks"][0];
    assert!(park["backend"].as_str().is_some_and(|backend| backend.starts_with("scripted:")), "{park:#}");
    assert_eq!(park["cause"], "429 Too Many Requests", "{park:#}");
    let waiting = &status["units"][0]["waiting"][0];
    assert_eq!((&waiting["kind"], &waiting["on"]), (&"parked".into(), &park["backend"]), "{waiting:#}");
    let wanted: [(&[&str], &str); 3] = [
        (&["status"], "! scripted:play.json: 429 Too Many Requests on "),
        (&["explain", "1"], "429 Too Many Requests on "),
        (&["workers"], "scripted:play.json cannot be used: 429 Too Many Requests on "),
    ];
    for (command, told) in wanted {
        let said = world.orchctl(command).run().expect(0);
        let flat = said.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(told), "{command:?} lacks {told:?}: {}", said.said());
    }
    run.wait_for_stderr("takes work again");
    std::fs::write(&said, "").expect("a word can be given");
    let ended = run.wait().expect(0).err_has(&["scripted:play.json: 429 Too Many Requests on ", "again in"]);
    assert_eq!(ended.stderr.matches("scripted:play.json takes work again").count(), 1, "{}", ended.said());
}
