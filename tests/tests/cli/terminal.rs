//! What only happens on a terminal: questions, and progress that redraws. Needs `script`, which makes a terminal; `.ci/run test` sees to it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use roundtable_tests::harness::{Output, Playbook, Process, SpecText, Turn, binary};

use crate::which::two;
use crate::world::World;

fn script() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join("script")).find(|file| file.is_file());
    found.expect("these tests need `script`: install bsdutils or util-linux")
}

/// Runs `orchctl` with arguments on a terminal where this is typed.
fn on_terminal(world: &World, script: &Path, args: &str, typed: &str) -> Output {
    let keys = world.sandbox.path("typed");
    std::fs::write(&keys, typed).expect("written");
    let command = format!("exec {} {args}", binary("orchctl").display());
    let shell = world.sandbox.path("bin/sh").display().to_string();
    let typed = Stdio::from(std::fs::File::open(keys).expect("opened"));
    world
        .sandbox
        .foreign(script)
        .args(["--quiet", "--return", "--command", &command, "/dev/null"])
        .env("SHELL", &shell)
        .dir(world.repo.path())
        .stdin(typed)
        .run()
}

/// The same, where nothing is typed until told: gives the other end of the keyboard.
fn at_a_keyboard(world: &World, script: &Path, args: &str) -> (Process, std::io::PipeWriter) {
    let command = format!("exec env -u NO_COLOR TERM=xterm {} {args}", binary("orchctl").display());
    let shell = world.sandbox.path("bin/sh").display().to_string();
    let (keys, keyboard) = std::io::pipe().expect("a pipe");
    let started = world
        .sandbox
        .foreign(script)
        .args(["--quiet", "--return", "--command", &command, "/dev/null"])
        .env("SHELL", &shell)
        .dir(world.repo.path())
        .stdin(Stdio::from(keys))
        .start();
    (started, keyboard)
}

#[test]
#[ignore = "needs `script`: .ci/run test runs it"]
fn ctrl_c_at_the_question_ends_it_with_nothing_started() {
    let script = script();
    let world = World::new(&SpecText::parallel("login", 2), &Playbook::new());
    world.sandbox.executable("codex", "#!/bin/sh\necho codex-cli 0.46.0\n");
    for more in ["", "--detach"] {
        let run = format!("run --spec .specs/login --mode deterministic --workers codex=1 {more}");
        let (mut asked, mut keyboard) = at_a_keyboard(&world, &script, &run);
        asked.wait_for_stdout("Start? [y/N] ");
        let drawn = asked.stdout();
        assert!(!drawn.contains('\u{1b}') && !drawn.contains('⠋'), "nothing draws over the question: {drawn:?}");
        keyboard.write_all(b"\x03").expect("typed");
        let ended = asked.wait();
        assert_eq!(ended.code, Some(130), "{}", ended.said());
        assert!(ended.stdout.contains("nothing was started"), "{}", ended.said());
        world.orchctl(&["runs", "--json"]).run().expect(0).out_has(&["[]"]);
        world.sandbox.expect_no_leftovers();
    }
}

#[test]
#[ignore = "needs `script`: .ci/run test runs it"]
fn colours_are_for_terminals_that_want_them() {
    let script = script();
    let world = World::new(&SpecText::parallel("login", 1), &Playbook::new());
    world.run(&[]).run().expect(0);
    let plain = on_terminal(&world, &script, "status", "");
    assert!(plain.code == Some(0) && !plain.stdout.contains('\u{1b}'), "NO_COLOR is set: {:?}", plain.stdout);
    let command = "env -u NO_COLOR TERM=xterm ".to_owned() + &binary("orchctl").display().to_string() + " status";
    let coloured = world.sandbox.foreign(&script).args(["--quiet", "--return", "--command", &command, "/dev/null"]);
    let coloured = coloured.env("SHELL", &world.sandbox.path("bin/sh").display().to_string()).dir(world.repo.path()).run().expect(0);
    assert!(coloured.stdout.contains("\u{1b}["), "{:?}", coloured.stdout);
    // Piped it is plain.
    let piped = world.orchctl(&["status"]).without_env("NO_COLOR").env("TERM", "xterm").run().expect(0);
    assert!(!piped.stdout.contains('\u{1b}'), "{:?}", piped.stdout);
}

#[test]
#[ignore = "needs `script`: .ci/run test runs it"]
fn it_asks_before_the_first_paid_call_and_only_then() {
    let script = script();
    let world = World::new(&SpecText::parallel("login", 2), &Playbook::new());
    // Counts as paid: a CLI that is installed. It is never called.
    world.sandbox.executable("codex", "#!/bin/sh\necho codex-cli 0.46.0\n");
    let run = "run --spec .specs/login --mode deterministic --workers codex=1";
    let asked = on_terminal(&world, &script, run, "n\n");
    assert_eq!(asked.code, Some(1), "{}", asked.said());
    assert!(asked.stdout.contains("2 units to do, at least 5 agent calls by codex"), "{}", asked.said());
    assert!(asked.stdout.contains("not started"), "{}", asked.said());
    world.orchctl(&["runs", "--json"]).run().expect(0).out_has(&["[]"]);
    // Played from a playbook nothing is paid for, and nothing asked.
    let free = on_terminal(
        &world,
        &script,
        &format!("{run} --backend-path codex=scripted:{},codex-review=scripted:{}", world.play.display(), world.play.display()),
        "",
    );
    assert_eq!(free.code, Some(0), "{}", free.said());
    assert!(!free.stdout.contains("Start?"), "{}", free.said());
}

#[test]
#[ignore = "needs `script`: .ci/run test runs it"]
fn where_run_is_left_out_it_asks_before_one_of_two_is_ended_or_accepted() {
    let script = script();
    let (world, login, billing) = two(&Playbook::new().unit("1", "implement", [Turn::fails()]), 2);
    let standing = |run: &str| world.orchctl(&["status", run, "--json"]).run().expect(0).json()["status"].clone();
    let asks = |typed: &str, named: &str, answer: &str| {
        let asked = on_terminal(&world, &script, typed, answer);
        let (notice, question) = (asked.stdout.find("RUN is left out"), asked.stdout.find(&format!("Do `orchctl {named}`? [y/N] ")));
        assert!(notice.is_some() && notice < question, "the chosen one is named first, then asked about: {}", asked.said());
        asked
    };
    for (typed, named) in
        [("cancel", format!("cancel {billing}")), ("decide quarantine-1 abort", format!("decide {billing}/quarantine-1 abort"))]
    {
        let kept = asks(typed, &named, "n\n");
        assert_eq!(kept.code, Some(1), "{}", kept.said());
        assert!(kept.stdout.contains("nothing was done, as you said"), "{}", kept.said());
    }
    let refused = on_terminal(&world, &script, "cancel --yes", "");
    assert_eq!(refused.code, Some(3), "{}", refused.said());
    assert!(!refused.stdout.contains("[y/N]"), "{}", refused.said());
    assert_eq!((standing(&login), standing(&billing)), ("waiting".into(), "waiting".into()));
    let ended = asks("cancel", &format!("cancel {billing}"), "y\n");
    assert_eq!(ended.code, Some(0), "{}", ended.said());
    assert_eq!((standing(&login), standing(&billing)), ("waiting".into(), "incomplete".into()));

    let (world, _, billing) = two(&Playbook::new(), 0);
    let accepted = on_terminal(&world, &script, "accept", "y\n");
    assert_eq!(accepted.code, Some(0), "{}", accepted.said());
    assert!(accepted.stdout.contains(&format!("Do `orchctl accept {billing}`? [y/N] ")), "{}", accepted.said());
    assert!(world.repo.has("bill.txt") && !world.repo.has("part-1.txt"));
}
