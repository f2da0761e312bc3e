//! A host whose power is cut in the middle of a unit: nothing of it is ever heard again, and another one goes on from what it had handed in. And one that is
//! only out of reach for a moment.

use std::time::Duration;

use roundtable_tests::harness::{SpecText, wait_for};

use crate::fleet::Fleet;
use crate::join::{gate, waits};
use crate::saved;

#[test]
#[ignore = "makes network namespaces, and takes over a minute, the time after which a silent worker is lost"]
fn another_host_goes_on_from_what_a_lost_one_had_done() {
    let fleet = Fleet::new(["first", "second", "third"], &saved::spec(), |repo| repo.write("roundtable.toml", saved::SAVES_OFTEN));
    let line = fleet.line("--role worker --uses 2");
    let workers = ["second", "third"].map(|name| (name, fleet.join(name, &line, &saved::begins())));
    let said = || workers.iter().map(|(_, worker)| worker.said()).chain([fleet.said()]).collect::<Vec<_>>().join("\n");
    let run = fleet.run();
    wait_for("its work to be saved", said, || saved::is_told(&fleet.events()));
    let first = wait_for("the attempt", said, || fleet.works("1").pop());
    let lost = if first["worker"] == "second-1" { "second" } else { "third" };
    let left = if lost == "second" { "third" } else { "second" };
    assert_eq!(first["worker"], format!("{lost}-1"), "{first:#}");
    // Of what the lost one had, the other has nothing but what comes from the coordinator.
    saved::goes_on().write(&fleet.host(left).path("play.json"));
    fleet.network.cut_power(lost);

    let done = run.wait_within(Duration::from_secs(300)).expect(0);
    let attempts = fleet.attempts("1");
    let said = format!("{attempts:#?}\n{}\n{}", done.said(), said());
    let works = fleet.works("1");
    assert_eq!((works.len(), &works[0]["outcome"], &works[1]["worker"]), (2, &"lost".into(), &format!("{left}-1").into()), "{said}");
    assert_eq!(works[1]["resumed_from"], works[0]["attempt"], "{said}");
    saved::is_closed_before_the_last_grant(&fleet.events());
    let branch = fleet.repo.run_branches().remove(0);
    assert_eq!(fleet.repo.show(&branch, "part-2.txt"), "by the first", "{said}");
}

#[test]
#[ignore = "makes network namespaces: .ci/run test runs it where it may"]
fn a_link_that_is_gone_for_a_moment_costs_nothing() {
    let fleet = Fleet::new(["first", "second", "third"], &SpecText::parallel("link", 1), |_| {});
    let line = fleet.line("--role worker --uses 2");
    let workers = ["second", "third"].map(|name| fleet.join(name, &line, &waits(fleet.host(name))));
    let said = || workers.iter().map(|worker| worker.said()).chain([fleet.said()]).collect::<Vec<_>>().join("\n");
    let run = fleet.run();
    let first = wait_for("the attempt", said, || fleet.works("1").pop());
    let worker = first["worker"].as_str().unwrap();
    let host = worker.trim_end_matches("-1");
    fleet.network.plug(host, false);
    let silent_ms = || {
        let known = fleet.types("orchctl workers --json").expect(0).json();
        known.as_array().unwrap().iter().find(|each| each["id"] == *worker).and_then(|each| each["last_seen_ms"].as_u64()).unwrap()
    };
    wait_for("it to be silent", || format!("{} ms\n{}", silent_ms(), said()), || (silent_ms() > 15_000).then_some(()));
    fleet.network.plug(host, true);
    Fleet::touch(&gate(fleet.host(host)));
    let done = run.wait().expect(0);
    let works = fleet.works("1");
    assert_eq!((works.len(), &works[0]["outcome"]), (1, &"completed".into()), "{works:#?}\n{}\n{}", done.said(), said());
}
