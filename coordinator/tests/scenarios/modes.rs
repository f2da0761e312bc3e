//! Modes: the orchestrator agent, halting, no progress, one phase at a time.

use roundtable_core::command::{Act, Phase};
use roundtable_shared::{Mode, Role, RunStatus};
use serde_json::json;

use super::world::*;

const ONE: &str = "- [ ] 1. Only\n  - _writes: a_\n";

fn says_continue(actions: serde_json::Value) -> Turn {
    answers(json!({ "decision": "CONTINUE", "actions": actions, "notes": "go" }))
}

#[test]
fn an_orchestrator_in_prose_with_actions_of_either_form_goes_through_to_the_end() {
    let said = says(
        "noise {\"decision\": \"continue\", \"actions\": [{\"type\": \"dispatch_batch\"}, \"dispatch_reviews\"], \"notes\": \"go\"} noise",
    );
    let world = plan(ONE).mode(Mode::Llm).start().script("-", Role::Orchestrate, [said]).play();
    assert_eq!((world.exit(), world.mirrored("1").status.as_str()), (0, "completed"));
    let told = &world.told("-", Role::Orchestrate)[0].text;
    assert!(told.contains("# What happened last") && told.contains("Roundtable-Turn: ledger-k3v9q2/-/orchestrate/1"), "{told}");
}

#[test]
fn halt_ends_with_one_while_units_are_open() {
    let halt = || says_continue(json!(["halt"]));
    let world = plan(ONE).mode(Mode::Llm).start().script("-", Role::Orchestrate, [halt()]).play();
    assert_eq!((world.exit(), world.status().status), (1, RunStatus::Halted.into()));
}

/// It used to end with a traceback.
#[test]
fn an_orchestrator_without_json_is_asked_again_and_then_done_without() {
    let tasks = "- [ ] 1. A\n- [ ] 2. B\n- [ ] 3. C\n";
    let world = plan(tasks).mode(Mode::Llm).start().script("-", Role::Orchestrate, (0..4).map(|_| says("I would dispatch."))).play();
    assert_eq!((world.exit(), world.mirrored("1").status.as_str()), (0, "completed"));
    let notices = world.status().notices;
    assert!(notices.iter().any(|notice| notice.contains("going on without the orchestrator agent")), "{notices:?}");
    assert!(
        world.told("-", Role::Orchestrate).len() >= 2 && world.turns().iter().filter(|turn| turn.ends_with("orchestrate")).count() == 4
    );
}

/// COMPLETE is believed when it is true.
#[test]
fn complete_is_not_believed_while_units_are_open() {
    let complete = || answers(json!({ "decision": "COMPLETE", "actions": [], "notes": "done" }));
    let world = plan(ONE).mode(Mode::Llm).start().script("-", Role::Orchestrate, [complete(), complete(), complete()]).play();
    assert_eq!((world.exit(), world.mirrored("1").status.as_str()), (0, "completed"));
}

/// Nothing ready waits for the agent, so doing nothing does not stop the run; phases it holds wait a minute at most.
#[test]
fn an_orchestrator_that_does_nothing_stops_nothing() {
    let idle = || answers(json!({ "decision": "CONTINUE", "actions": [], "notes": "wait", "hold": ["dispatch_batch"] }));
    let world = plan(ONE).mode(Mode::Llm).start().script("-", Role::Orchestrate, [idle(), says_continue(json!([]))]).play();
    assert_eq!((world.exit(), world.mirrored("1").status.as_str()), (0, "completed"));
    assert!(world.now.mono_ms < 10 * 60_000, "{} ms", world.now.mono_ms);
}

#[test]
fn without_an_orchestrator_backend_the_engine_goes_on_alone_and_says_so() {
    let world = plan(ONE).mode(Mode::Llm).workers(&[("codex", 2)]).start().play();
    assert_eq!(world.exit(), 0);
}

/// Served, a backend is waited for; but not when the agent's last word is all that is left.
#[test]
fn a_finished_run_does_not_wait_for_an_orchestrator_nobody_offers() {
    let world = plan(ONE).mode(Mode::Llm).options(|options| options.embedded = false).workers(&[("codex", 2)]).start().play();
    assert_eq!(world.exit(), 0);
    let wait_ms = world.run().options.limits.wait_worker_ms;
    assert!(world.now.mono_ms < wait_ms, "{} ms", world.now.mono_ms);
    let notices = world.status().notices;
    assert_eq!(notices.iter().filter(|notice| notice.contains("without the orchestrator agent")).count(), 1, "{notices:?}");
}

#[test]
fn manual_mode_moves_only_by_steps_and_names_the_next() {
    let world = plan(ONE).mode(Mode::Manual).start().play();
    assert_eq!((world.exit(), world.turns().len()), (1, 0));
    assert_eq!(world.summary().next[0], "orchctl step ledger-k3v9q2 assign");
    let step = |world: World, phase| world.act(Act::Step { phase }).play();
    let world = step(world, Phase::Assign);
    assert_eq!(world.mirrored("1").owner_agent.as_deref(), Some("codex"));
    let world = step(world, Phase::Dispatch);
    assert_eq!(
        (world.mirrored("1").status.as_str(), world.summary().next[0].as_str()),
        ("pending_review", "orchctl step ledger-k3v9q2 reviews")
    );
    let world = step(world, Phase::Reviews);
    assert_eq!(world.summary().next[0], "orchctl step ledger-k3v9q2 consolidate");
    let world = step(world, Phase::Consolidate);
    assert_eq!((world.mirrored("1").status.as_str(), world.exit()), ("completed", 0));
}
