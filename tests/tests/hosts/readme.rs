//! README's second machine, line by line as it stands there, on hosts of those names.

use roundtable_tests::harness::{Network, Playbook, Process, SpecText};

/// A line of the journey.
struct Line {
    host: String,
    typed: String,
    /// The command whose output it is, where that is said.
    printed_by: Option<String>,
}

fn journey() -> Vec<Line> {
    let readme = include_str!("../../../README.md");
    let section = readme.split_once("### A second machine").expect("the section").1;
    let block = section.split_once("```console\n").and_then(|(_, rest)| rest.split_once("```")).expect("its lines").0;
    let line = |text: &str| {
        let (host, rest) = text.split_once('$').expect("a prompt");
        let (typed, comment) = rest.split_once(" #").unwrap_or((rest, ""));
        let printed_by = comment.trim().strip_prefix("printed by: ").map(str::to_owned);
        Line { host: host.to_owned(), typed: typed.trim().to_owned(), printed_by }
    };
    block.lines().map(line).collect()
}

/// A line without what differs from one coordinator to the next.
fn shape(line: &str) -> String {
    let word = |word: &str| match (word.strip_prefix("ROUNDTABLE_TOKEN=rt1."), word.strip_prefix("https://")) {
        (Some(_), _) => "ROUNDTABLE_TOKEN=rt1.…".to_owned(),
        (_, Some(_)) => "https://HOST:PORT".to_owned(),
        _ => word.to_owned(),
    };
    line.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

#[test]
#[ignore = "makes network namespaces: .ci/run test runs it where it may"]
fn the_second_machine_of_the_readme_is_literally_true() {
    let lines = journey();
    assert_eq!(lines.len(), 6, "six lines");
    let network = Network::new(["first", "second", "laptop"]);
    let first = network.host("first");
    for (host, programs) in [("first", &["coordinator", "orchctl"][..]), ("second", &["worker"][..]), ("laptop", &["orchctl"][..])] {
        programs.iter().for_each(|program| network.host(host).install(program));
    }
    let spec = SpecText::parallel("my-feature", 2);
    let (repo, _) = first.project(&spec);
    spec.write(&repo.path().join(".kiro/specs"));
    repo.commit("Specify");
    let mut printed = String::new();
    let mut running: Vec<Process> = Vec::new();
    for Line { host, typed, printed_by } in lines {
        let here = |host: &str, line: &str| {
            let host = network.host(host);
            let folder = if host.name() == "first" { repo.path().to_owned() } else { host.path("home") };
            let play = Playbook::new().write(&host.path("play.json"));
            // Its codex is played, and no model steers.
            let program = host.types_in(&folder, line).env("ROUNDTABLE_RUN_MODE", "deterministic");
            program.env("ROUNDTABLE_JOIN_BACKEND_PATH", &format!("codex=scripted:{}", play.display()))
        };
        if let Some(command) = printed_by {
            printed = here("first", &command).run().expect(0).stdout.trim().to_owned();
        }
        let pasted = if typed.contains("rt1.…") {
            assert_eq!(shape(&printed), shape(&typed));
            printed.clone()
        } else {
            typed
        };
        let program = here(&host, &pasted);
        let goes_on = [("coordinator serve", "ready"), ("worker join", "joined")];
        match goes_on.into_iter().find(|(command, _)| pasted.contains(command)) {
            Some((_, says)) => {
                let mut process = program.start();
                process.wait_for_stderr(says);
                running.push(process);
            }
            None => printed = program.run().expect(0).stdout.trim().to_owned(),
        }
    }
    let branch = repo.run_branches().remove(0);
    assert_eq!(repo.trailers(&format!("main..{branch}"), "Unit-Id").len(), 2);
    let attempts = first.types_in(repo.path(), "orchctl attempts 1 --json").run().expect(0).json();
    assert_eq!(attempts[0]["worker"], "second-1", "{attempts:#}");
}
