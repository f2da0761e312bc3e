//! From spec to accepted commits, in one process and in several.

use roundtable_tests::harness::{Playbook, Sandbox, SpecText, Turn, step};

#[test]
fn one_command_does_a_spec_and_accept_moves_the_branch() {
    let sandbox = Sandbox::new();
    let (repo, spec) = sandbox.project(&SpecText::parallel("login", 2));
    let playbook = Playbook::new().write(&sandbox.path("play.json"));
    let workers = format!("scripted:{}=2", playbook.display());
    let before = repo.head();
    let run = sandbox.orchctl(repo.path(), ["run", "--workers", &workers, "--json", "--spec"]).path(&spec).run().expect(0);
    let summary = run.json();
    assert_eq!((&summary["exit"], &summary["status"]), (&0.into(), &"complete".into()), "{}", run.said());
    assert_eq!(repo.head(), before, "the user's branch is untouched");
    sandbox.orchctl(repo.path(), ["accept"]).run().expect(0);
    assert!(repo.read("part-1.txt").contains("unit 1"), "{}", repo.read("part-1.txt"));
    let mut units = repo.trailers(&format!("{before}..HEAD"), "Unit-Id");
    units.sort();
    assert_eq!(units, ["1", "2"]);
    sandbox.expect_no_leftovers();
}

#[test]
fn separate_processes_do_the_same() {
    let sandbox = Sandbox::new();
    let (repo, spec) = sandbox.project(&SpecText::parallel("login", 2));
    let slow = Turn::new().steps([step::sleep_ms(50), step::write("part-1.txt", "from unit {unit}\n")]);
    let playbook = Playbook::new().unit("1", "implement", [slow]).write(&sandbox.path("play.json"));
    let _served = sandbox.serve();
    let _worker = sandbox.worker(["--backend", &format!("scripted:{}=2", playbook.display())]);
    sandbox.orchctl(repo.path(), ["run", "--spec"]).path(&spec).run().expect(0);
    let branches = repo.run_branches();
    assert_eq!(branches.len(), 1, "{branches:?}");
    assert_eq!(repo.show(&branches[0], "part-1.txt"), "from unit 1");
}
