//! A second machine, as README tells it: the printed line is pasted on hosts that share nothing with the coordinator's, and somebody steers from there.

use std::collections::BTreeSet;

use roundtable_tests::harness::{Host, Playbook, Process, SpecText, Turn, step, wait_for};
use serde_json::json;

use crate::fleet::{Fleet, URL, end};

/// Works once it may, and refuses unit 3 as saying too little.
pub fn waits(host: &Host) -> Playbook {
    let waits = format!("until test -e '{}'; do sleep 0.05; done; echo {{unit}} > part-{{unit}}.txt", gate(host).display());
    let refuses = json!({"status": "failed", "refusal": "underspecified", "error": "which of the two formats?"});
    Playbook::new().role("implement", [Turn::new().steps([step::run(&waits)])]).unit(
        "3",
        "implement",
        [Turn::new().steps([]).result(refuses)],
    )
}

/// What it waits for.
pub fn gate(host: &Host) -> std::path::PathBuf {
    host.path("go")
}

#[test]
#[ignore = "makes network namespaces: .ci/run test runs it where it may"]
fn the_printed_line_brings_two_hosts_which_share_the_work_and_a_third_one_decides() {
    let fleet = Fleet::new(["first", "second", "third"], &SpecText::parallel("join", 3), |_| {});
    let line = fleet.line("--role worker --uses 2");
    assert!(line.starts_with("ROUNDTABLE_TOKEN=rt1.") && line.ends_with(&format!(" worker join {URL} --backend codex")), "{line}");
    let workers: Vec<(&Host, Process)> = ["second", "third"]
        .map(|name| {
            let host = fleet.host(name);
            // Nothing that the first one keeps is there to be read.
            let seen = host.types(&format!("ls -A '{}'", fleet.host("first").path("").display())).run().expect(0);
            assert_eq!(seen.stdout, "", "{name}");
            (host, fleet.join(name, &line, &waits(host)))
        })
        .into();
    let said = || workers.iter().map(|(_, worker)| worker.said()).chain([fleet.said()]).collect::<Vec<_>>().join("\n");

    let run = fleet.run();
    let at_work = || {
        let workers: BTreeSet<String> =
            ["1", "2"].iter().flat_map(|unit| fleet.works(unit)).filter_map(|each| Some(each["worker"].as_str()?.to_owned())).collect();
        (workers.len() == 2).then_some(workers)
    };
    let at_work = wait_for("both hosts to be at work", said, at_work);
    assert_eq!(at_work.into_iter().collect::<Vec<_>>(), ["second-1", "third-1"], "called by their hosts");
    workers.iter().for_each(|(host, _)| Fleet::touch(&gate(host)));
    run.wait().expect(2);

    // Somebody else, elsewhere: what they have is a line as well.
    let third = fleet.host("third");
    third.install("orchctl");
    third.types(&fleet.line("--role operator")).run().expect(0).out_has(&[&format!("logged in to {URL} as operator")]);
    let open = third.types("orchctl decisions --json").run().expect(0).json();
    assert_eq!(open[0]["id"], "failed-subtask-3", "{open:#}");
    third.types("orchctl decide failed-subtask-3 skip --note unneeded").run().expect(0).err_has(&["profile", URL]);
    let done = fleet.run().wait().expect(0);
    assert_eq!(done.json()["units"][2]["status"], "skipped", "{}\n{}", done.said(), said());

    let completed = |unit: &str| fleet.works(unit).iter().any(|each| each["outcome"] == "completed");
    assert!(completed("1") && completed("2"), "{:#?}", fleet.attempts("1"));
    let branch = fleet.repo.run_branches().remove(0);
    assert_eq!((fleet.repo.show(&branch, "part-1.txt"), fleet.repo.show(&branch, "part-2.txt")), ("1".to_owned(), "2".to_owned()));
    fleet.types("coordinator audit").expect(0).out_has(&["operator", "decide", "unneeded"]);
    workers.into_iter().for_each(|(host, worker)| end(host, worker));
    fleet.stop();
}

#[test]
#[ignore = "makes network namespaces: .ci/run test runs it where it may"]
fn hosts_of_one_name_get_a_number_each_and_who_insists_is_told_what_to_do() {
    let fleet = Fleet::new(["first", "second", "third"], &SpecText::parallel("twins", 1), |_| {});
    let line = fleet.line("--role worker --uses 4");
    let twins = ["second", "third"].map(|name| {
        fleet.host(name).types("/bin/hostname twin").run().expect(0);
        fleet.join(name, &line, &Playbook::new())
    });
    let known = || {
        let listed = fleet.types("orchctl workers --json").expect(0).json();
        listed.as_array().expect("a list").iter().filter_map(|each| Some(each["id"].as_str()?.to_owned())).collect::<BTreeSet<_>>()
    };
    assert_eq!(known().into_iter().collect::<Vec<_>>(), ["twin-1", "twin-2"]);
    let insists = format!("{line} --name build");
    let _build = fleet.join("second", &insists, &Playbook::new());
    let refused = fleet.paste("third", &insists, &Playbook::new()).run().expect(5);
    refused.err_has(&["build", "--name"]);
    // Nobody else was disturbed.
    fleet.run().wait().expect(0);
    let joins = |twin: &Process| twin.stderr().lines().filter(|line| *line == "joined").count();
    assert!(twins.iter().all(|twin| joins(twin) == 1), "{}", fleet.said());
}

#[test]
#[ignore = "makes network namespaces: .ci/run test runs it where it may"]
fn a_git_that_is_too_old_is_named_on_the_host_that_has_it_and_others_work() {
    let fleet = Fleet::new(["first", "second", "third"], &SpecText::parallel("old", 2), |_| {});
    let line = fleet.line("--role worker --uses 2");
    let _well = fleet.join("second", &line, &Playbook::new());
    let third = fleet.host("third");
    let old = third.executable("git", "#!/bin/sh\necho git version 2.30.2\n").display().to_string();
    let refused = fleet.paste("third", &line, &Playbook::new()).run().expect(1);
    refused.err_has(&[&old, "is git 2.30.2", "2.38 or newer is needed", "install a newer git"]);
    fleet.run().wait().expect(0);
    // The token is not spent for it: the same host comes again with the git it was told to install.
    let git = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).map(|dir| dir.join("git")).find(|file| file.is_file());
    std::fs::remove_file(&old).unwrap();
    third.install_foreign("git", &git.expect("git"));
    let _mended = fleet.join("third", &line, &Playbook::new());
}

/// The library that plays another clock to a program.
fn another_clock() -> String {
    let mut files = std::fs::read_dir("/usr/lib").unwrap().flatten().map(|entry| entry.path().join("faketime/libfaketime.so.1"));
    let found = files.find(|file| file.is_file());
    found.expect("this test needs libfaketime").display().to_string()
}

#[test]
#[ignore = "makes network namespaces, and needs libfaketime: .ci/run test runs it where it may"]
fn clocks_that_are_ten_minutes_apart_are_both_named_and_cost_no_token() {
    let fleet = Fleet::new(["first", "second"], &SpecText::parallel("clocks", 1), |_| {});
    let line = fleet.line("--role worker");
    let library = another_clock();
    let with_clock = |shift: &str| {
        let pasted = fleet.paste("second", &line, &Playbook::new()).env("LD_PRELOAD", &library);
        pasted.env("FAKETIME", shift).env("FAKETIME_DONT_FAKE_MONOTONIC", "1").run().expect(5)
    };
    let ahead = with_clock("+630");
    ahead.err_has(&["the clocks are 10 minutes apart", "on the coordinator's host and", "on this one", "set the one that is wrong"]);
    // Behind, it does not believe the coordinator's certificate yet: nothing is sent.
    let behind = with_clock("-630");
    behind
        .err_has(&["by the clock of this host", "the coordinator's certificate begins at", "set it", "Nothing was sent"])
        .err_has_not(&["token create"]);
    let _set_right = fleet.join("second", &line, &Playbook::new());
    fleet.run().wait().expect(0);
}
