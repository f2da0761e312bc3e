//! What reaches the agents, role by role, over whole plans of the shapes that real ones have: titles, prose and paths in details, optional test steps,
//! checkpoints, no manifests. Wording is the snapshots' (`prompt/tests.rs`); here it is what a prompt says of the plan, the run and its history.

use roundtable_shared::{FailureKind, Role};
use serde_json::json;

use super::world::*;

/// Paths only in the details of steps, tests as optional steps, a checkpoint, requirements linked, no manifest at all.
const SHOP: &str = "\
# Implementation Plan

- [ ] 1. Set up the project
  - [ ] 1.1 Create `package.json` and the folder structure
    - Add TypeScript and vitest to package.json
    - _Requirements: 1.1_
  - [ ]* 1.2 Write a smoke test
    - Put it into `tests/smoke.test.ts`

- [ ] 2. Cart
  - [ ] 2.1 Implement the cart store in `src/cart/store.ts`
    - Uses the types of src/types.ts
    - _Requirements: 1.2_
  - [ ]* 2.2 Write property tests for the cart
    - **Property 1: totals never go below zero**

- [ ] 3. Checkout page
  - [ ] 3.1 Build the form in `src/components/Checkout.tsx`
    - Reuse Button.tsx

- [ ] 4. Checkpoint - make sure all tests pass
";

const DESIGN: &str = "# Shop\n\nA small shop.\n\n## Cart store\n\nLives in `src/cart/store.ts`, keeps its lines in order.\n\n## Checkout form\n\nOne page.\n\n";

const TREE: [&str; 6] =
    [".kiro/specs/shop/tasks.md", "README.md", "src/cart/index.ts", "src/components/Button.tsx", "src/types.ts", "tests/setup.ts"];

/// The shop, with a design that is too long to be told whole.
fn shop() -> Setup {
    let design = format!("{DESIGN}{}", "## Deployment\n\nLong words about servers.\n\n".repeat(400));
    plan(SHOP).saying("design.md", &design).having(&TREE).options(|options| {
        options.check = Some("npm test".to_owned());
        options.setup = Some("npm ci".to_owned());
    })
}

/// What an assignment agent could say of the shop.
fn assigned() -> Turn {
    let unit = |id: &str, writes: &[&str], reads: &[&str], on: &[&str]| json!({ "task_id": id, "writes": writes, "reads": reads, "depends_on": on });
    answers(json!({ "dispatch_units": [
        unit("1", &["package.json", "tests/"], &[], &[]),
        unit("2", &["src/cart/"], &["src/types.ts"], &["1"]),
        unit("3", &["src/components/Checkout.tsx"], &["src/components/Button.tsx"], &["1"]),
    ], "window_mapping": {} }))
}

fn did(summary: &str) -> Turn {
    answers(json!({ "status": "completed", "completed_subtasks": [], "summary": summary,
        "evidence": [{ "command": "npm test", "exit_code": 0 }], "learnings": [] }))
}

fn learnt(text: &str) -> Turn {
    answers(json!({ "status": "completed", "completed_subtasks": [], "summary": "did it", "learnings": [{ "text": text, "path": null }] }))
}

/// The lines of a prompt's section.
fn section<'p>(text: &'p str, heading: &str) -> Vec<&'p str> {
    let mut inside = text.lines().skip_while(|line| *line != heading);
    assert_eq!(inside.next(), Some(heading), "{text}");
    inside.take_while(|line| !line.starts_with("# ") && !line.starts_with("## ")).collect()
}

#[track_caller]
fn has(text: &str, wanted: &[&str]) {
    for word in wanted {
        assert!(text.contains(word), "{word:?} is missing in\n{text}");
    }
}

#[track_caller]
fn lacks(text: &str, unwanted: &[&str]) {
    for word in unwanted {
        assert!(!text.contains(word), "{word:?} stands in\n{text}");
    }
}

#[test]
fn the_assignment_agent_is_told_what_each_unit_says_and_names() {
    let world = shop().start().play();
    let asked = &world.told("-", Role::Assign)[0].text;
    let cart = section(asked, "## Unit 2: Cart").join("\n");
    has(
        &cart,
        &["> - Uses the types of src/types.ts", "`src/types.ts`", "Names, there already:", "Names, not there yet: `src/cart/store.ts`."],
    );
    let page = section(asked, "## Unit 3: Checkout page").join("\n");
    has(&page, &["`src/components/Button.tsx`", "`src/components/Checkout.tsx`"]);
    let first = section(asked, "## Unit 1: Set up the project").join("\n");
    has(&first, &["Names, not there yet: `package.json`, `tests/smoke.test.ts`."]);
    // What it must know to answer well.
    has(asked, &["the order is lost", "`depends_on`", "It may be left out", "code → codex, ui → gemini, review → codex-review"]);
    has(asked, &["README.md", "src/cart/index.ts"]);
    lacks(&section(asked, "## Unit 2: Cart").join("\n"), &["tasks.md`"]);
}

#[test]
fn implement_is_told_what_done_means_and_what_surrounds_it() {
    let world = shop().start().script("-", Role::Assign, [assigned()]).script("1", Role::Implement, [did("Made the skeleton.")]).play();
    let told = &world.told("2", Role::Implement)[0].text;
    has(told, &["no stubs", "no TODOs", "nothing deferred", "README", "run build, lint and tests before you end", "`npm test`"]);
    has(told, &["A step fails only if you cannot do it", "is yours to fix", "`underspecified`", "`blocked_on`", "`out_of_scope`"]);
    has(told, &["reach no network", "`.git` in it is only for reading", "prepared by `npm ci`"]);
    let left = section(told, "# What units before this one left").join("\n");
    has(&left, &["Unit 1, Set up the project: `package.json`", "> Made the skeleton."]);
    let others = section(told, "# The other units of the plan").join("\n");
    has(&others, &["- 1 Set up the project — done", "- 3 Checkout page — ", "- 4 Checkpoint"]);
    lacks(&others, &["- 2 Cart"]);
    assert!(told.find("# Steps").unwrap() < told.find("# The other units").unwrap(), "its own text comes first");
    // The design's part for this unit comes first, the rest is there as well.
    let (near, far) = (told.find("Lives in `src/cart/store.ts`").unwrap(), told.find("Long words about servers.").unwrap());
    assert!(near < told.find("The other parts:").unwrap() && near < far, "{told}");
    has(told, &["[1.2]"]);
    assert_eq!(world.told("2", Role::Implement)[0].schema, None, "a schema would forbid the steps to be reported");
}

/// Without manifests each unit goes on from all that was done before it, whether it says so or not.
#[test]
fn a_unit_that_declares_nothing_is_told_what_was_done_before_it() {
    let mut tasks = String::new();
    for n in 1..=20 {
        tasks.push_str(&format!("- [ ] {n}. Part {n}\n"));
    }
    let world = plan(&tasks).start().script("1", Role::Implement, [did("Made the first part.")]).play();
    let told = |unit: &str| section(&world.told(unit, Role::Implement)[0].text, "# What units before this one left").join("\n");
    has(&told("2"), &["- Unit 1, Part 1: `src/1.txt`", "> Made the first part."]);
    has(&told("20"), &["- Unit 19, Part 19", "- Unit 8, Part 8"]);
    lacks(&told("20"), &["- Unit 7, Part 7"]);
    lacks(&world.told("1", Role::Implement)[0].text, &["# What units before this one left"]);
}

/// They were kept for the closing commit alone.
#[test]
fn what_a_unit_learnt_reaches_those_that_come_after_and_are_near() {
    let tasks = "- [ ] 1. Parser\n  - _writes: src/parse/words.py_\n- [ ] 2. Printer\n  - Depends on: 1\n  - _writes: src/parse/print.py_\n\
                 - [ ] 3. Manual\n  - Depends on: 1\n  - _writes: docs/manual.md_\n- [ ] 4. All of it\n  - Depends on: 1, 2, 3\n";
    let world = plan(tasks).start().script("1", Role::Implement, [learnt("Run `make tables` before the tests of src/parse.")]).play();
    let heading = "# What other units found out near here";
    has(
        &section(&world.told("2", Role::Implement)[0].text, heading).join("\n"),
        &["- Run `make tables` before the tests of src/parse. (unit 1)"],
    );
    lacks(&world.told("3", Role::Implement)[0].text, &[heading]);
    has(&world.told("4", Role::Implement)[0].text, &[heading, "make tables"]);
    lacks(&world.told("1", Role::Implement)[0].text, &[heading]);
}

#[test]
fn learnings_are_bounded_and_said_once() {
    let mut tasks = String::new();
    for n in 1..=30 {
        tasks.push_str(&format!("- [ ] {n}. Part\n  - _writes: src/{n}.py_\n"));
    }
    tasks.push_str("- [ ] 31. Last\n  - Depends on: 1-30\n  - _writes: src/last.py_\n");
    let mut world = plan(&tasks).start();
    for n in 1..=30 {
        world = world.script(&n.to_string(), Role::Implement, [learnt(if n % 2 == 0 { "The same for all." } else { "Each its own: " })]);
    }
    let world = world.play();
    let known = section(&world.told("31", Role::Implement)[0].text, "# What other units found out near here").join("\n");
    assert_eq!(known.matches("The same for all.").count(), 1, "{known}");
    assert!(known.lines().filter(|line| line.starts_with("- ")).count() <= 20, "{known}");
}

#[test]
fn reviewers_are_told_what_the_author_ran_and_what_is_no_finding() {
    let world = shop().start().script("-", Role::Assign, [assigned()]).script("2", Role::Implement, [did("Made the cart.")]).play();
    let told = &world.told("2", Role::Review)[0].text;
    has(told, &["> Made the cart.", "- npm test (exit code 0)", "Claims, not facts"]);
    has(told, &["2.2 Write property tests for the cart — optional, left out on purpose", "optional tests included, is no finding"]);
    // It is codex that reviews here: it can run things.
    has(told, &["thrown away after you: build it, run its tests", "Lives in `src/cart/store.ts`"]);
    lacks(told, &["change nothing.\n\n# Unit", "\"severity\": \"major\""]);
    assert!(world.told("2", Role::Review)[0].schema.is_some());
}

#[test]
fn reviewers_without_a_shell_are_told_to_read() {
    let world = shop().workers(&[("gemini", 2)]).start().play();
    let told = &world.told("2", Role::Review)[0].text;
    has(told, &["You cannot run commands in this turn"]);
    lacks(told, &["run its tests"]);
}

#[test]
fn a_fix_is_told_the_findings_and_an_escalated_one_the_whole_story() {
    let found = |n: u32| {
        answers(json!({ "severity": "major", "summary": format!("round {n} is wrong"), "details": null,
            "issues": [{ "description": format!("line {n} loses an item"), "severity": "major", "file": "src/cart/store.ts", "line": n }] }))
    };
    let world = shop()
        .options(|options| options.escalate_backend = "gemini".into())
        .start()
        .script("-", Role::Assign, [assigned()])
        .script("2", Role::Implement, [did("Made the cart.")])
        .script("2", Role::Review, [found(1), found(2), found(3)])
        .script("2", Role::Fix, [did("Kept the first item."), did("Kept the second item."), did("Kept all of them.")])
        .play();
    let fixes = world.told("2", Role::Fix);
    has(&fixes[0].text, &["fix attempt 1/3", "[MAJOR] round 1 is wrong", "`src/cart/store.ts:1`: line 1 loses an item"]);
    lacks(&fixes[0].text, &["# What was tried so far", "round 2 is wrong", "leave it alone"]);
    let last = &fixes[2].text;
    let tried = section(last, "# What was tried so far").join("\n");
    has(
        &tried,
        &["Attempt 1 (implement, codex):\n  > Made the cart.", "(fix, codex):\n  > Kept the first item.", "> Kept the second item."],
    );
    let history = section(last, "# History of reviews").join("\n");
    has(&history, &["round 1 is wrong", "`src/cart/store.ts:1`: line 1 loses an item", "round 2 is wrong", "`src/cart/store.ts:2`"]);
    has(last, &["# Design", "Commands you run reach the network", "[MAJOR] round 3 is wrong"]);
    assert!(fixes.iter().all(|prompt| prompt.schema.is_none()));
}

#[test]
fn a_fix_that_goes_on_with_its_conversation_is_told_only_what_is_new() {
    let world = shop()
        .start()
        .script("-", Role::Assign, [assigned()])
        .script("2", Role::Implement, [did("Made the cart.").in_session("s-1")])
        .script("2", Role::Review, [finds("major", "loses an item")])
        .play();
    let fix = &world.told("2", Role::Fix)[0].text;
    has(fix, &["This goes on where your own conversation stopped", "[MAJOR] loses an item", "You may write:\n- `src/cart/`"]);
    lacks(fix, &["# Design", "# Requirements linked", "Lives in `src/cart/store.ts`", "No word is lost"]);
}

/// A turn that was cut off says nothing; what came of it is told as it is.
#[test]
fn a_repeated_turn_is_told_how_the_last_one_ended() {
    let world = shop()
        .start()
        .script("-", Role::Assign, [assigned()])
        .script("2", Role::Implement, [fails(FailureKind::WallLimit), did("Made the cart.")])
        .play();
    let again = &world.told("2", Role::Implement)[1].text;
    has(again, &["# Where you start", "The last attempt ended badly: attempt 1 failed: boom", "already holds the work of attempt 1"]);
}

#[test]
fn the_orchestrator_is_told_the_state_and_no_example_speaks_for_it() {
    let world = shop().mode(roundtable_shared::Mode::Llm).start().script("-", Role::Assign, [assigned()]).play();
    let told = &world.told("-", Role::Orchestrate)[0].text;
    has(told, &["1 Set up the project: ", "1.1 Create", "\"decision\": \"<COMPLETE | CONTINUE>\"", "dispatch_batch"]);
    lacks(told, &["\"actions\": [\"dispatch_batch\"]"]);
}
