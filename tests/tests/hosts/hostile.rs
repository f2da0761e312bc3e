//! Agents that tamper: with git's directory, with links, with their neighbours' files. What was integrated, what refused, what kept; and that nothing
//! they planted ever runs.

use std::path::Path;
use std::process::Command;

use roundtable_tests::harness::{Playbook, SpecText, Turn, Unit, step};
use serde_json::Value;

use crate::stage::Stage;

/// Everything in a `.git` that is known to make git run a program or look elsewhere, with a program that leaves a mark. `$1`: the directory.
const PLANT: &str = r#"
trap_program=$(command -v canary)
plant() {
  mkdir -p "$1/hooks" "$1/info" "$1/objects/info"
  for hook in pre-commit post-checkout post-index-change reference-transaction post-commit pre-merge-commit commit-msg post-merge post-rewrite \
              pre-auto-gc fsmonitor-watchman pre-receive update post-update proc-receive push-to-checkout; do
    cp "$trap_program" "$1/hooks/$hook"
  done
  cat > "$1/config" <<END
[core]
	repositoryformatversion = 0
	fsmonitor = $trap_program
	hooksPath = $PWD/$1/hooks
	pager = $trap_program
	editor = $trap_program
	sshCommand = $trap_program
	alternateRefsCommand = $trap_program
	worktree = /
[filter "evil"]
	clean = $trap_program
	smudge = $trap_program
	process = $trap_program
	required = true
[diff]
	external = $trap_program
[diff "evil"]
	textconv = $trap_program
[merge "evil"]
	driver = $trap_program
[gpg]
	program = $trap_program
[commit]
	gpgSign = true
[alias]
	add = !$trap_program
	update-index = !$trap_program
[uploadpack]
	packObjectsHook = $trap_program
END
  echo '* filter=evil diff=evil merge=evil' > "$1/info/attributes"
  echo '*' > "$1/info/exclude"
  echo /nowhere/objects > "$1/objects/info/alternates"
  printf 'no index' > "$1/index"
  echo / > "$1/commondir"
}
"#;

fn run(script: &str) -> Value {
    step::run(&format!("set -e\n{PLANT}\n{script}"))
}

/// The agents, by unit.
fn playbook() -> Playbook {
    let turn = |steps: Vec<Value>| [Turn::new().steps(steps)];
    let commits =
        "git mv old.txt renamed.txt; echo mine > part-1.txt; git add --all; git commit -qm 'by the agent'; echo more >> part-1.txt";
    let nested = "git init -q sub/deep; cd sub/deep; echo inner > file; git add file; git -c user.name=x -c user.email=x@x commit -qm inner; cd ../..; \
                  plant sub/deep/.git; git init -q other; echo lone > other/lone; git -C other config core.fsmonitor \"$trap_program\"; echo 4 > part-4.txt";
    Playbook::new()
        .unit("1", "implement", turn(vec![run(commits), run("plant .git")]))
        .unit("2", "implement", turn(vec![run("mkdir ../evil; plant ../evil; rm -rf .git; ln -s ../evil .git; echo 2 > part-2.txt")]))
        .unit(
            "3",
            "implement",
            turn(vec![run("mkdir ../evil3; plant ../evil3; rm -rf .git; echo 'gitdir: ../evil3' > .git; echo 3 > part-3.txt")]),
        )
        .unit("4", "implement", turn(vec![run(nested)]))
        .unit("5", "implement", turn(vec![run("ln -sfn ../../../../../etc out; ln -sfn /etc/passwd part-5.txt; echo 5 > kept-5.txt")]))
        .unit("6", "implement", turn(vec![run("echo 6 > part-6.txt; echo by-six >> shared.txt; rm -rf .git")]))
        .unit("7", "implement", turn(vec![run("echo 7 > part-7.txt; while ! test -e ../../../six-is-in; do sleep 0.05; done")]))
        .unit("8", "implement", turn(vec![run("echo '* filter=evil' > .gitattributes; echo 8 > part-8.txt; plant .git")]))
        .unit("9", "implement", turn(vec![run("echo 9 > part-9.txt; cd ..; rm -rf tree; ln -s / tree")]))
}

fn spec() -> SpecText {
    let unit = |n: u32, writes: &str| Unit::new(&n.to_string(), &format!("Part {n}")).writes(writes);
    SpecText::new(
        "hostile",
        [
            unit(1, "part-1.txt, old.txt, renamed.txt"),
            unit(2, "part-2.txt"),
            unit(3, "part-3.txt"),
            unit(4, "part-4.txt, sub/, other/"),
            unit(5, "part-5.txt, out, kept-5.txt"),
            unit(6, "part-6.txt"),
            unit(7, "part-7.txt, shared.txt"),
            unit(8, "part-8.txt"),
            unit(9, "part-9.txt"),
        ],
    )
}

/// A program that leaves a mark whenever it runs; proven to do so.
fn canary(stage: &Stage) -> std::path::PathBuf {
    let mark = stage.sandbox.path("SPRUNG");
    let program =
        stage.sandbox.executable("canary", &format!("#!/bin/sh\necho \"$0 $*\" >> '{}'\ncat 2>/dev/null\nexit 0\n", mark.display()));
    let probe = stage.sandbox.repository("probe");
    let git = |args: &[&str]| Command::new("git").args(args).current_dir(probe.path()).output().unwrap();
    git(&["config", "core.fsmonitor", program.to_str().unwrap()]);
    git(&["status"]);
    assert!(mark.exists(), "else the test proves nothing");
    std::fs::remove_file(&mark).unwrap();
    mark
}

fn sprung(mark: &Path) -> String {
    std::fs::read_to_string(mark).unwrap_or_default()
}

#[test]
fn what_tampering_agents_leave_is_judged_by_files_alone_and_nothing_they_planted_runs() {
    let stage = Stage::with(&spec(), |repo| {
        repo.write("old.txt", "the old text, long enough to be recognised\n");
        repo.write("shared.txt", "of the base\n");
    });
    let mark = canary(&stage);
    let backend = stage.backend("play.json", &playbook());
    let workspace = stage.sandbox.path("ws");
    let worker = stage.sandbox.worker(["--backend", &format!("{backend}=9"), "--workspace", workspace.to_str().unwrap()]);
    let base = stage.repo.head();
    let going = stage.run([]);
    // Six's work reaches the coordinator while seven still holds the file both change.
    stage.wait_for_attempt("unit 6 to end", "6", |attempt| attempt["outcome"] == "completed");
    std::fs::write(workspace.join("six-is-in"), "").unwrap();
    let done = going.wait();
    let said = format!("{}\n{}", done.said(), worker.said());
    assert_eq!(done.code, Some(2), "{said}");
    assert_eq!(sprung(&mark), "", "{said}");

    let status = |unit: &str| {
        let units = done.json()["units"].as_array().unwrap().clone();
        units.iter().find(|each| each["id"] == *unit).unwrap()["status"].as_str().unwrap().to_owned()
    };
    let branch = stage.repo.run_branches().remove(0);
    let changed = |unit: &str| {
        let commit = stage.repo.git(&["log", "--format=%H", &format!("--grep=^Unit-Id: {unit}$"), &format!("{base}..{branch}")]);
        stage.repo.git(&["show", "--format=", "--name-status", "--no-renames", commit.lines().next().unwrap_or("none")])
    };

    // Integrated: what lies within the manifest, by our commits alone.
    for unit in ["1", "2", "3", "4", "6", "7"] {
        assert_eq!(status(unit), "completed", "unit {unit}\n{said}");
    }
    assert_eq!(stage.repo.show(&branch, "part-1.txt"), "mine\nmore");
    assert_eq!(stage.repo.show(&branch, "renamed.txt"), "the old text, long enough to be recognised");
    assert!(changed("1").contains("D\told.txt"), "{}", changed("1"));
    assert!(!stage.repo.subjects(&format!("{base}..{branch}")).iter().any(|subject| subject.contains("by the agent")));
    assert_eq!((stage.repo.show(&branch, "part-2.txt"), stage.repo.show(&branch, "part-3.txt")), ("2".to_owned(), "3".to_owned()));
    let tree = stage.repo.git(&["ls-tree", "-r", &branch]);
    assert!(tree.contains("\tsub/deep/file") && tree.contains("\tother/lone"), "{tree}");
    assert!(!tree.contains("160000") && !tree.contains("120000") && !tree.contains(".git/"), "no gitlink, link or git directory: {tree}");
    // Six changed what seven held: it waited for seven, then came in on top of it.
    assert_eq!(stage.repo.show(&branch, "shared.txt"), "of the base\nby-six");
    let order = stage.repo.trailers(&format!("{base}..{branch}"), "Unit-Id");
    assert!(order.iter().position(|unit| unit == "6") < order.iter().position(|unit| unit == "7"), "newest first: {order:?}");

    // Refused: links out of the tree, and attributes nobody asked for. Nothing of them is on the branch; a person decides.
    for unit in ["5", "8"] {
        assert_eq!(status(unit), "blocked", "unit {unit}\n{said}");
    }
    let decisions = stage.ask(["decisions", "--json"]).stdout;
    assert!(decisions.contains("breach-5") && decisions.contains("breach-8"), "{decisions}");
    assert!(!tree.contains("kept-5.txt") && !tree.contains("part-8.txt") && !tree.contains(".gitattributes"), "{tree}");
    // Kept: their work, as it was.
    let kept = stage.attempt_ref("5", 1);
    assert!(stage.stored(&["ls-tree", &kept, "out"]).starts_with("120000"));
    assert_eq!(stage.file(&kept, "kept-5.txt"), "5");
    assert_eq!(stage.file(&stage.attempt_ref("8", 1), ".gitattributes"), "* filter=evil");

    // Nine took its own directory away: a failure of the unit, and no look at what was put in its place.
    let nine = stage.attempts("9");
    assert_eq!((&nine[0]["class"], &nine[0]["commit"]), (&"unit".into(), &Value::Null), "{nine:#?}");
    assert!(nine[0]["error"].as_str().unwrap().contains("removed the directory"), "{nine:#?}");

    // The user's own repository, with what was done.
    stage.ask(["accept", "--partial"]).expect(0);
    assert_eq!(stage.repo.read("part-1.txt"), "mine\nmore\n");
    assert_eq!(stage.repo.git(&["status", "--porcelain", "--untracked-files=no"]), "");
    assert_eq!(sprung(&mark), "", "{said}");
}
