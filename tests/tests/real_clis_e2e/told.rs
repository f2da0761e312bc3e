//! What reaches the models, per role and CLI, over a whole plan: looked at where the CLI has put it into its provider's request, not where we wrote it.

use serde_json::{Value, json};

use crate::world::World;

const SPEC: &str = ".kiro/specs/notes";

const FILES: [(&str, &str); 5] = [
    ("README.md", "# Notes\n\nRun `make test`.\n"),
    ("src/store/lines.py", "LINES = []\n"),
    (
        ".kiro/specs/notes/tasks.md",
        "# Implementation Plan\n\n- [ ] 1. Note store\n  - [ ] 1.1 Keep notes in `src/store/notes.py`\n    - Beside lines.py\n    - _Requirements: 1.1_\n  \
         - [ ]* 1.2 Write property tests for the store\n\n- [ ] 2. Notes page\n  - [ ] 2.1 Show them in `web/index.html`\n\n- [ ] 3. Manual\n  - Describe both in `docs/manual.md`\n",
    ),
    (".kiro/specs/notes/requirements.md", "# Requirements\n\n### Requirement 1: Notes\n\n1. No note is lost.\n"),
    (".kiro/specs/notes/design.md", "# Notes\n\nOne list in memory, nothing else.\n"),
];

/// The first unit's reviews find something three times; codex does it, gemini the page and the last fix, opencode the manual.
fn script() -> String {
    let finding = |n: u32| {
        let issue = json!({"description": format!("note {n} is lost"), "severity": "major", "file": "src/store/notes.py", "line": n});
        json!({"steps": [{"run": "touch made-by-review && mktemp ./probe.XXXXXX && echo could-write"}],
            "result": {"severity": "major", "summary": format!("round {n}: a note is lost"), "issues": [issue]}})
    };
    let unit = |id: &str, owner: &str, writes: &[&str], on: &[&str]| json!({"task_id": id, "owner_agent": owner, "writes": writes, "depends_on": on});
    let assigned = json!({"dispatch_units": [
        unit("1", "codex", &["src/store/"], &[]),
        unit("2", "gemini", &["web/index.html"], &[]),
        unit("3", "opencode", &["docs/manual.md", "src/store/README.md"], &["1"]),
    ], "window_mapping": {}});
    let write = |text: &str| json!([{"write": {"path": "src/store/notes.py", "text": text}}]);
    let turn = |n: u32| {
        json!({"steps": write(&format!("NOTES = [{n}]\n")), "result": {"summary": format!("Turn {n} kept a note."),
        "evidence": [{"command": "make test", "exit_code": 0}], "learnings": [{"text": "Run make tables before the tests.", "path": "src/store"}]}})
    };
    json!({
        "default": {"assign": [{"result": assigned}]},
        "units": {"1": {"implement": [turn(0)], "fix": [turn(1), turn(2), turn(3)],
            "review": [finding(1), finding(2), finding(3), {"result": {"severity": "none", "summary": "none is lost"}}]}},
    })
    .to_string()
}

#[track_caller]
fn has(prompt: &str, wanted: &[&str]) {
    for word in wanted {
        assert!(prompt.contains(word), "{word:?} is missing in\n{prompt}");
    }
}

#[track_caller]
fn lacks(prompt: &str, unwanted: &[&str]) {
    for word in unwanted {
        assert!(!prompt.contains(word), "{word:?} stands in\n{prompt}");
    }
}

#[test]
#[ignore = "needs the agent CLIs: .ci/install-clis; .ci/run slow runs it"]
fn every_role_is_told_its_part_through_every_cli() {
    let mut world = World::open(&script(), &FILES);
    world.serve();
    world.join(&["--backend", "codex", "--name", "anna"]);
    world.join(&["--backend", "gemini", "--backend", "opencode", "--name", "bert"]);
    world.orchctl(&["run", "--yes", "--spec", SPEC, "--escalate-backend", "gemini", "--check", "true"]).expect(0);
    let id = world.json(&["summary"])["run"].as_str().unwrap().to_owned();

    // The prompt of a turn as it came in that dialect, and whether a schema came with it.
    let told = |turn: &str, dialect: &str| {
        let seen = world.asked(turn).into_iter().find(|seen| !seen.prompt.is_empty() && seen.dialect == dialect);
        let seen = seen.unwrap_or_else(|| panic!("nobody asked for {turn} in {dialect}: {:#?}", world.server.seen()));
        (seen.prompt, seen.schema)
    };

    let (assign, schema) = told("-/assign/1", "responses");
    has(
        &assign,
        &["## Unit 1: Note store", "> - Beside lines.py", "`src/store/notes.py`", "`web/index.html`", "the order is lost", "ui → gemini"],
    );
    assert!(schema);

    for (turn, dialect, network) in [
        ("1/implement/1", "responses", "normally reach no network"),
        ("2/implement/1", "gemini", "reach the network as far as"),
        ("3/implement/1", "chat", "reach the network as far as"),
    ] {
        let (implement, schema) = told(turn, dialect);
        has(
            &implement,
            &[
                "no stubs",
                "run build, lint and tests before you end",
                "`true`",
                "A step fails only if you cannot do it",
                "underspecified",
                network,
            ],
        );
        has(&implement, &["# The other units of the plan", "One list in memory"]);
        assert!(!schema, "{turn}: it reports its steps while it goes on");
    }
    let (manual, _) = told("3/implement/1", "chat");
    has(&manual, &["Unit 1, Note store: `src/store/notes.py`", "> Turn 3 kept a note.", "- Run make tables before the tests. (unit 1)"]);

    let (review, schema) = told("1/review/1", "responses");
    has(
        &review,
        &[
            "build it, run its tests",
            "make test (exit code 0)",
            "optional tests included, is no finding",
            "1.2 Write property tests for the store — optional",
        ],
    );
    assert!(schema);

    let (fix, schema) = told("1/fix/1", "responses");
    has(&fix, &["fix attempt 1/3", "round 1: a note is lost", "`src/store/notes.py:1`"]);
    lacks(&fix, &["One list in memory", "No note is lost.", "leave it alone"]);
    assert!(!schema);

    let (escalated, _) = told("1/fix/3", "gemini");
    has(
        &escalated,
        &[
            "fix attempt 3/3",
            "> Turn 0 kept a note.",
            "> Turn 2 kept a note.",
            "note 1 is lost",
            "note 2 is lost",
            "note 3 is lost",
            "One list in memory",
        ],
    );

    let (orchestrate, _) = told("-/orchestrate/1", "chat");
    has(&orchestrate, &["1 Note store: ", "<COMPLETE | CONTINUE>"]);

    // What a person is shown is what was sent.
    let attempts = world.json(&["attempts", &id, "1"]);
    let number = |role: &str, nth: usize| {
        let of_role = attempts.as_array().unwrap().iter().filter(|attempt| attempt["role"] == role);
        of_role.map(|attempt| attempt["attempt"].to_string()).nth(nth).unwrap()
    };
    for (attempt, sent) in [(number("implement", 0), told("1/implement/1", "responses").0), (number("fix", 2), escalated.clone())] {
        let shown = world.orchctl(&["show", &id, "1", "--prompt", "--attempt", &attempt]).expect(0).stdout;
        assert_eq!(sent.trim_end(), shown.trim_end(), "attempt {attempt}");
    }
    let run_level = world.orchctl(&["show", &id, "-", "--prompt", "--attempt", "1"]).expect(0).stdout;
    assert_eq!(run_level.trim_end(), assign.trim_end());

    // A reviewer can write, and nothing of it is kept.
    let logs = world.orchctl(&["logs", &id, "1", "--attempt", &number("review", 0), "--jsonl"]).expect(0).stdout;
    let ran =
        logs.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).any(|line| line.to_string().contains("could-write\\n"));
    assert!(ran, "{logs}");
    assert_eq!(world.at_tip(&id, "made-by-review"), None);
    world.close();
}
