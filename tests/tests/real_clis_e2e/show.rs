//! What a user sees when all goes well, and when a review stays critical.

use roundtable_tests::rehearsal::{FILES, SCRIPT, SPEC_DIR};
use serde_json::Value;

use crate::world::World;

fn words<'v>(list: &'v Value, key: &str) -> Vec<&'v str> {
    list.as_array().unwrap_or_else(|| panic!("no list: {list}")).iter().map(|each| each[key].as_str().unwrap_or_default()).collect()
}

/// Whether two attempts ran at the same time. RFC 3339 in UTC sorts as text.
fn overlap(a: &Value, b: &Value) -> bool {
    let at = |attempt: &Value, key: &str| attempt[key].as_str().unwrap_or_else(|| panic!("no {key}: {attempt}")).to_owned();
    at(a, "started_at") < at(b, "ended_at") && at(b, "started_at") < at(a, "ended_at")
}

#[test]
#[ignore = "needs the agent CLIs: .ci/install-clis; .ci/run slow runs it"]
fn a_spec_becomes_reviewed_commits_by_three_clis() {
    let mut world = World::open(SCRIPT, &FILES);
    world.serve();
    world.join(&["--backend", "codex", "--name", "anna"]);
    world.join(&["--backend", "gemini", "--name", "bert"]);
    let run = world.start("orchctl", &["run", "--yes", "--spec", SPEC_DIR, "--workers", "opencode=1"]);
    let both = world.until("codex and gemini at work at the same time", || {
        let status = world.orchctl(&["status", "--json"]);
        let status: Value = serde_json::from_str(&status.stdout).ok()?;
        let live: Vec<&str> = status["units"].as_array()?.iter().filter_map(|unit| unit["backend"].as_str()).collect();
        (live.contains(&"codex") && live.contains(&"gemini")).then_some(status)
    });
    assert_eq!((both["status"].as_str(), both["mode"].as_str()), (Some("running"), Some("llm")));
    let said = world.end(run).expect(0).stdout;
    assert!(said.contains("4/4 units completed") && said.contains("orchctl accept"), "{said}");

    let summary = world.json(&["summary"]);
    let id = summary["run"].as_str().unwrap();
    assert_eq!((summary["exit"].as_u64(), summary["notices"].as_array().map(Vec::len)), (Some(0), Some(0)), "{summary:#}");
    assert_eq!(words(&summary["units"], "owner_agent"), ["codex", "gemini", "codex", "codex"]);
    let first = world.json(&["attempts", id, "1"]);
    assert_eq!(words(&first, "role"), ["implement", "review", "fix", "review"]);
    assert_eq!(words(&first, "backend"), ["codex", "codex-review", "codex", "codex-review"]);
    let second = world.json(&["attempts", id, "2"]);
    assert_eq!((words(&second, "role"), words(&second, "backend")), (vec!["implement", "review"], vec!["gemini", "codex-review"]));
    assert!(overlap(&first[0], &second[0]), "{first:#} {second:#}");
    let findings = world.json(&["findings", id]);
    let found: Vec<_> = findings
        .as_array()
        .unwrap()
        .iter()
        .map(|each| (each["task_id"].as_str(), each["round"].as_u64(), each["severity"].as_str()))
        .collect();
    assert!(
        found.contains(&(Some("1"), Some(1), Some("critical"))) && found.contains(&(Some("2"), Some(1), Some("minor"))),
        "{findings:#}"
    );

    // Each CLI was asked for its part, in its own dialect, with the schema where it takes one.
    for (turn, dialect) in [("-/assign/1", "responses"), ("1/fix/1", "responses"), ("2/implement/1", "gemini"), ("-/orchestrate/1", "chat")]
    {
        assert!(world.asked(turn).iter().any(|seen| seen.dialect == dialect), "{turn}: {:#?}", world.server.seen());
    }
    assert!(world.asked("1/review/1").iter().all(|seen| seen.schema) && !world.asked("1/review/2").is_empty());

    // One commit a unit that changed something, boxes ticked in them, the learning in a commit of its own.
    let log = world.git(&["log", "--format=%(trailers:key=Unit-Id,valueonly,separator=%x2C)", &format!("main..roundtable/{id}")]);
    let mut units: Vec<&str> = log.lines().filter(|line| !line.is_empty()).collect();
    units.sort_unstable();
    assert_eq!(units, ["1", "2", "3"]);
    let text = |path: &str| world.at_tip(id, path).unwrap_or_else(|| panic!("no {path} on the branch"));
    assert!(text("greet/text.py").contains("stranger") && text("web/index.html").contains("<h1>"));
    assert!(text("AGENTS.md").contains("change both together"));
    assert!(text(&format!("{SPEC_DIR}/tasks.md")).contains("- [x] 3. Instructions"));

    // Until it is accepted, nothing of the user's has changed.
    assert_eq!(world.git(&["log", "--format=%s", "main"]).lines().count(), 1);
    assert!(!world.place.repo().join("greet").exists());
    world.orchctl(&["accept", id]).expect(0);
    assert!(std::fs::read_to_string(world.place.repo().join("greet/text.py")).unwrap().contains("stranger"));
    assert_eq!(world.git(&["rev-parse", "main"]), world.git(&["rev-parse", &format!("roundtable/{id}")]));
    world.close();
}

#[test]
#[ignore = "needs the agent CLIs: .ci/install-clis; .ci/run slow runs it"]
fn codex_alone_does_it_all() {
    let mut world = World::open(SCRIPT, &FILES);
    // Nobody offers gemini or opencode, and nobody is going to.
    std::fs::write(world.place.repo().join("roundtable.toml"), "[limits]\nwait_worker = \"1s\"\n").unwrap();
    world.serve();
    world.join(&["--backend", "codex=2"]);
    world.orchctl(&["run", "--yes", "--spec", SPEC_DIR]).expect(0);
    let summary = world.json(&["summary"]);
    assert_eq!(summary["counts"]["completed"], 4, "{summary:#}");
    let notices: Vec<&str> = summary["notices"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(notices.iter().filter(|notice| notice.contains("opencode")).count(), 1, "{notices:#?}");
    let backends = ["1", "2", "3"].map(|unit| world.json(&["attempts", summary["run"].as_str().unwrap(), unit]));
    let all: Vec<&str> = backends.iter().flat_map(|attempts| words(attempts, "backend")).collect();
    assert!(all.iter().all(|backend| backend.starts_with("codex")) && all.contains(&"codex-review"), "{all:?}");
    assert!(world.server.seen().iter().all(|seen| seen.dialect == "responses"));
    world.close();
}

#[test]
#[ignore = "needs the agent CLIs: .ci/install-clis; .ci/run slow runs it"]
fn codex_assigns_before_anything_runs_and_is_not_asked_again() {
    let world = World::open(SCRIPT, &FILES);
    let plan = world.json(&["plan", "--spec", SPEC_DIR, "--assign", "codex"]);
    assert!(plan["waves"].as_u64().is_some_and(|waves| waves > 0), "{plan:#}");
    let asked = |world: &World| world.server.seen().iter().filter(|seen| seen.tag.contains("/-/assign/")).count();
    let before = asked(&world);
    assert!(before > 0, "codex was asked by its model");
    assert_eq!(world.json(&["runs"]), serde_json::json!([]), "no run was made");
    world.orchctl(&["run", "--yes", "--mode", "deterministic", "--workers", "codex=2", "--spec", SPEC_DIR]).expect(0);
    assert_eq!(asked(&world), before, "the run takes the answer");
    world.close();
}

/// Three units whose reviews stay critical through all fixes, and are content in the fifth round.
const STUBBORN_SPEC: [(&str, &str); 2] = [
    ("README.md", "# Three\n"),
    (
        ".kiro/specs/three/tasks.md",
        "- [ ] 1. First\n  - _writes: a.txt_\n- [ ] 2. Second\n  - _writes: b.txt_\n- [ ] 3. Third\n  - _writes: c.txt_\n- [ ] 4. After the third\n  - \
         Depends on: 3\n  - _writes: d.txt_\n",
    ),
];

fn stubborn_script() -> String {
    let unit = |path: &str| {
        let fix = |k: u32| serde_json::json!({"steps": [{"write": {"path": path, "text": format!("fix {k}\n")}}], "result": {"summary": format!("fix {k}")}});
        let review = |k: u32| {
            let issue = serde_json::json!({"description": "wrong", "severity": "critical", "file": "README.md", "line": 1});
            serde_json::json!({"result": {"severity": "critical", "summary": format!("not good enough, round {k}"), "issues": [issue]}})
        };
        let mut reviews: Vec<Value> = (1..=4).map(review).collect();
        reviews.push(serde_json::json!({"result": {"severity": "none", "summary": "good enough"}}));
        serde_json::json!({"fix": [fix(1), fix(2), fix(3)], "review": reviews})
    };
    serde_json::json!({"units": {"1": unit("a.txt"), "2": unit("b.txt"), "3": unit("c.txt")}}).to_string()
}

#[test]
#[ignore = "needs the agent CLIs: .ci/install-clis; .ci/run slow runs it"]
fn reviews_that_stay_critical_become_decisions_and_each_answer_goes_on() {
    let mut world = World::open(&stubborn_script(), &STUBBORN_SPEC);
    world.serve();
    world.join(&["--backend", "codex=3", "--backend", "gemini=1"]);
    let run = ["run", "--yes", "--spec", ".kiro/specs/three", "--mode", "deterministic", "--escalate-backend", "gemini"];
    world.orchctl(&run).expect(2).out_has(&["3 decisions wait", "human-fallback-2", "orchctl decisions"]);
    world.orchctl(&["decisions"]).expect(0).out_has(&["human-fallback-1 resume", "human-fallback-1 retry", "human-fallback-1 skip"]);

    let attempts = world.json(&["attempts", "1"]);
    assert_eq!(words(&attempts, "role"), ["implement", "review", "fix", "review", "fix", "review", "fix", "review"]);
    assert_eq!(words(&attempts, "backend")[6], "gemini", "the third fix goes elsewhere");
    let escalated: Vec<bool> = attempts.as_array().unwrap().iter().map(|each| each["escalated"] == true).collect();
    assert_eq!(escalated, [false, false, false, false, false, false, true, false]);
    let text = world.orchctl(&["attempts", "1"]).expect(0).stdout;
    assert!(text.lines().any(|line| line.contains("escalated to gemini")), "{text}");
    let mut decisions = words(&world.json(&["decisions"]), "id").into_iter().map(str::to_owned).collect::<Vec<_>>();
    decisions.sort();
    assert_eq!(decisions, ["human-fallback-1", "human-fallback-2", "human-fallback-3"]);
    world.orchctl(&["status", "--exit-code"]).expect(2);

    for (unit, choice) in [("1", "skip"), ("2", "resume"), ("3", "retry")] {
        world.orchctl(&["decide", &format!("human-fallback-{unit}"), choice]).expect(0);
    }
    world.orchctl(&run).expect(0);
    let summary = world.json(&["summary"]);
    assert_eq!(words(&summary["units"], "status"), ["skipped", "completed", "completed", "completed"], "{summary:#}");
    let id = summary["run"].as_str().unwrap();
    assert_eq!(world.at_tip(id, "a.txt"), None, "skipped: its work is kept, not integrated");
    assert_eq!(world.at_tip(id, "b.txt").as_deref(), Some("fix 3\n"));
    assert_eq!(words(&world.json(&["attempts", id, "2"]), "role")[8..], ["review"], "resume: straight to a new round");
    assert_eq!(words(&world.json(&["attempts", id, "3"]), "role")[8..], ["fix", "review"], "retry: the work seat again, its count from 0");
    world.close();
}
