//! What a run starts from: specs with every kind of fault, repositories of every shape, `plan`, `init`.

use roundtable_tests::harness::{Playbook, Sandbox, SpecText, Unit};
use serde_json::Value;

use crate::world::{World, expect_plain, unit};

/// Every kind of fault at once.
const FAULTY: &str = "\
# Tasks

- [ ] 1. First
  - _writes: ../outside.txt_
- [ ] 1. Again
- [ ] 2. Second
  - _Depends: 9_
- [ ] 3. Third
  - _Depends: 4_
- [ ] 4. Fourth
  - _Depends: 3_
- [ ] 5. Fifth
  - _writes: /etc/passwd, .git/config_
";

#[test]
fn all_problems_of_a_spec_are_told_at_once_and_nothing_starts() {
    let world = World::new(&SpecText::of_tasks("login", FAULTY), &Playbook::new());
    let wanted = [":4: ", ":5: ", ":7: ", ":13: ", "3 -> 4 -> 3", "nothing was started"];
    let run = world.run(&[]).run().expect(3).err_has(&wanted);
    assert_eq!(run.stdout, "");
    assert!(!world.sandbox.data_dir().join("store.db").exists(), "nothing was started");
    let plan = world.orchctl(&["plan", "--json", "--spec", ".specs/login"]).run().expect(3).json();
    let errors = plan["errors"].as_array().expect("errors");
    let lines: Vec<u64> = errors.iter().filter_map(|error| error["line"].as_u64()).collect();
    assert!([4, 5, 7, 13].iter().all(|line| lines.contains(line)), "{plan:#}");
    assert!(errors.iter().all(|error| error["file"] == "tasks.md" && error["message"].is_string()), "{plan:#}");
    world.orchctl(&["init", "--spec", ".specs/login"]).run().expect(3).err_has(&[":13: "]);

    let empty = SpecText::of_tasks("empty", "# Tasks\n\nNothing yet.\n").write(&world.sandbox.path(""));
    world.orchctl(&["plan", "--spec"]).path(&empty).run().expect(3).err_has(&["tasks.md"]);
    std::fs::write(empty.join("tasks.md"), b"- [ ] 1. a\n- [ ] 2. b\xff\n").expect("written");
    world.orchctl(&["plan", "--spec"]).path(&empty).run().expect(3).err_has(&["UTF-8", "21"]);
    std::fs::remove_file(empty.join("tasks.md")).expect("removed");
    world.orchctl(&["plan", "--spec"]).path(&empty).run().expect(3).err_has(&["tasks.md"]);
    world.orchctl(&["plan", "--spec", "nowhere"]).run().expect(3).err_has(&["nowhere", "--spec names"]);
}

#[test]
fn a_missing_design_is_a_warning_unless_strict() {
    let spec = SpecText { design: None, requirements: None, ..SpecText::parallel("login", 1) };
    let world = World::new(&spec, &Playbook::new());
    let plan = world.orchctl(&["plan", "--json", "--spec", ".specs/login"]).run().expect(0).json();
    let about: Vec<&str> = plan["warnings"].as_array().expect("warnings").iter().filter_map(|each| each["file"].as_str()).collect();
    assert!(about.contains(&"design.md") && about.contains(&"requirements.md"), "{plan:#}");
    for command in ["plan", "init", "run"] {
        world.orchctl(&[command, "--strict", "--spec", ".specs/login"]).run().expect(3).err_has(&["design.md", "requirements.md"]);
    }
    std::fs::write(world.spec.join("bugfix.md"), "# Bug\n").expect("written");
    std::fs::write(world.spec.join("design.md"), "# Design\n").expect("written");
    world.orchctl(&["plan", "--strict", "--spec", ".specs/login"]).run().expect(0);
}

#[test]
fn a_plan_names_units_waves_hazards_with_their_path_and_the_critical_path() {
    let units = [
        Unit::new("1", "Store").subtask("1.1", "Table").subtask("1.2", "Index").writes("src/store.py"),
        Unit::new("2", "Query").writes("src/query.py").reads("src/store.py"),
        Unit::new("3", "Page").writes("web/"),
        Unit::new("4", "Bench").optional().writes("bench/"),
        Unit::new("5", "Docs").depends("3").writes("docs/"),
    ];
    let world = World::new(&SpecText::new("login", units), &Playbook::new());
    let plan = world.orchctl(&["plan", "--json", "--spec", ".specs/login"]).run().expect(0).json();
    assert_eq!(plan["errors"], Value::Array(Vec::new()));
    let ids: Vec<&str> = plan["units"].as_array().expect("units").iter().filter_map(|unit| unit["id"].as_str()).collect();
    assert_eq!(ids, ["1", "2", "3", "5", "4"], "in plan order, what does not run last");
    let first = unit(&plan, "1");
    assert_eq!(first["tasks"].as_array().map(Vec::len), Some(3), "the unit and its subtasks: {first}");
    assert_eq!((&first["wave"], &first["writes"]), (&1.into(), &serde_json::json!(["src/store.py"])));
    let query = unit(&plan, "2");
    let hazard = &query["waits_for"][0];
    assert_eq!((&hazard["unit"], &hazard["path"]), (&"1".into(), &"src/store.py".into()), "{query}");
    assert_eq!(query["wave"], 2);
    assert_eq!((&unit(&plan, "4")["optional"], &unit(&plan, "5")["depends_on"]), (&true.into(), &serde_json::json!(["3"])));
    assert_eq!(plan["waves"], 2);
    assert_eq!(plan["critical_path"].as_array().map(Vec::len), Some(2), "{plan:#}");
    let one = world.orchctl(&["plan", "--json", "--slots", "1", "--spec", ".specs/login"]).run().expect(0).json();
    assert_eq!(one["waves"], 4, "one after the other: {one:#}");
    let human = world.orchctl(&["plan", "--spec", ".specs/login"]).run().expect(0).out_has(&["Store", "src/store.py"]);
    expect_plain(&human.stdout);
}

#[test]
fn init_writes_the_three_files_with_assignment_only_in_legacy_mode() {
    let world = World::new(&SpecText::parallel("login", 2), &Playbook::new());
    world.orchctl(&["init", "--spec", ".specs/login", "--session", "mine", "--mode", "legacy"]).run().expect(0);
    let state = |dir: &str| -> Value { serde_json::from_str(&world.repo.read(&format!("{dir}/AGENT_STATE.json"))).expect("JSON") };
    let legacy = state(".specs");
    assert_eq!((&legacy["session_name"], &legacy["tasks"][0]["owner_agent"]), (&"mine".into(), &"codex".into()));
    for key in [
        "spec_path",
        "session_name",
        "tasks",
        "review_findings",
        "final_reports",
        "blocked_items",
        "pending_decisions",
        "deferred_fixes",
        "window_mapping",
    ] {
        assert!(!legacy[key].is_null(), "{key}");
    }
    world.orchctl(&["init", "--spec", ".specs/login", "--output", "out"]).run().expect(0);
    assert_eq!(state("out")["tasks"][0]["owner_agent"], Value::Null);
    assert!(world.repo.has("out/TASKS_PARSED.json") && world.repo.read("out/PROJECT_PULSE.md").starts_with("# PROJECT_PULSE"));
    // Another spec's state lies beside: into the spec's own folder, with a notice.
    let other = SpecText::parallel("other", 1).write(&world.repo.path().join(".specs"));
    world.orchctl(&["init", "--spec", ".specs/other"]).run().expect(0).err_has(&["this run's mirror files go to"]);
    assert!(other.join("AGENT_STATE.json").is_file());
}

#[test]
fn what_is_no_repository_with_a_commit_is_refused_with_the_line_to_type() {
    let sandbox = Sandbox::new();
    let bare = sandbox.path("plain");
    let spec = SpecText::parallel("login", 1).write(&bare);
    let play = format!("scripted:{}=1", Playbook::new().write(&sandbox.path("play.json")).display());
    let run = || sandbox.orchctl(&bare, ["run", "--workers", &play, "--mode", "deterministic", "--spec"]).path(&spec).run();
    run().expect(3).err_has(&["git init && git add -A && git commit"]);
    let repo = sandbox.empty_repository("plain");
    run().expect(3).err_has(&["git add -A && git commit"]);
    repo.commit("Start");
    run().expect(0);
}

#[test]
fn detached_heads_shallow_clones_and_dirty_trees_work_and_say_so() {
    let world = World::new(&SpecText::parallel("login", 1), &Playbook::new());
    world.repo.write("later.txt", "later\n");
    let head = world.repo.commit("Later");
    let url = format!("file://{}", world.repo.path().display());
    world.repo.git(&["clone", "--quiet", "--depth", "1", &url, "../shallow"]);
    let shallow = world.sandbox.checkout("shallow");
    shallow.git(&["checkout", "--quiet", "--detach"]);
    shallow.write("dirty.txt", "mine\n");
    let spec = shallow.path().join(".specs/login");
    let agents = world.agents(1);
    let run = world
        .sandbox
        .orchctl(shallow.path(), ["run", "--workers", &agents, "--mode", "deterministic", "--json", "--spec"])
        .path(&spec)
        .run();
    let summary = run.expect(0).err_has(&["uncommitted changes are not included", "dirty.txt"]).json();
    assert_eq!(summary["base"], head.as_str());
    let accepted = world.sandbox.orchctl(shallow.path(), ["accept", "--json"]).run().expect(0).json();
    assert_eq!(accepted["branch"], "HEAD");
    assert_eq!(shallow.head(), accepted["commit"].as_str().expect("a commit"));
    assert!(shallow.has("part-1.txt"));
    assert_eq!(shallow.read("dirty.txt"), "mine\n");

    world.repo.write("dirty.txt", "mine\n");
    let summary = world.run(&["--include-dirty", "--json"]).run().expect(0).json();
    assert_eq!(world.repo.show(summary["branch"].as_str().expect("a branch"), "dirty.txt"), "mine");
}

#[test]
fn submodules_and_lfs_pointers_are_told_and_work() {
    let world = World::new(&SpecText::parallel("login", 1), &Playbook::new());
    world.sandbox.repository("library");
    let library = world.sandbox.path("library").display().to_string();
    world.repo.git(&["submodule", "--quiet", "add", &library, "lib"]);
    world.repo.write(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n");
    world.repo.git(&["add", ".gitattributes"]);
    world.repo.write("big.bin", "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n");
    world.repo.git(&["-c", "filter.lfs.clean=cat", "-c", "filter.lfs.required=false", "add", "--all"]);
    world.repo.git(&["commit", "--quiet", "--message", "Library and pointer"]);
    let summary = world.run(&["--json"]).run().expect(0).err_has(&["submodule", "LFS"]).json();
    let branch = summary["branch"].as_str().expect("a branch");
    assert!(world.repo.show(branch, "big.bin").contains("oid sha256:4d7a"));
    assert!(world.repo.git(&["ls-tree", branch, "lib"]).starts_with("160000 commit"));
}

#[test]
fn before_a_run_there_is_none_to_be_named() {
    let world = World::new(&SpecText::parallel("login", 2), &Playbook::new());
    let out = world.sandbox.path("out").display().to_string();
    let done = world.orchctl(&["init", "--spec", ".specs/login", "--output", &out, "--json"]).run().expect(0).json();
    assert_eq!(done["run"], serde_json::Value::Null, "{done:#}");
    for file in done["files"].as_array().expect("files") {
        let text = std::fs::read_to_string(file.as_str().expect("a path")).expect("a file");
        assert!(!text.contains("preview") && !text.contains("00000000"), "{file}:\n{text}");
    }
    world.orchctl(&["run", "--state", "nofile.json"]).run().expect(3).err_has(&["nofile.json cannot be read", "there is no such file"]);
    world.orchctl(&["runs", "--config", "/nope.toml"]).run().expect(3).err_has(&["no configuration file /nope.toml", "--config"]);
}
