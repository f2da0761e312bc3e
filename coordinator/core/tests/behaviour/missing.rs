//! A backend nobody can be given: what is asked, and what is offered in its place.

use roundtable_core::command::{Act, Phase};
use roundtable_shared::{BackendName, Decision, FailureKind, Mode, RunOptions, WorkerId};

use crate::table::{Table, options};

const ONE: &str = "- [ ] 1. Write a\n  - _writes: a.rs_\n";

/// The provider of the first grant refuses for longer than is waited for.
fn refused(backends: &[(&str, u32)]) -> Decision {
    let mut table = Table::with(ONE, options());
    table.join("w", backends);
    let work = table.go_one("1");
    table.breaks(&work, FailureKind::RateLimit { retry_after_ms: Some(100_000_000) });
    table.schedule();
    table.run().people.decisions.values().next().cloned().expect("a person is asked")
}

#[test]
fn what_is_refused_itself_is_not_offered_in_its_own_place() {
    let asked = refused(&[("scripted:book", 1)]);
    assert_eq!((asked.id.as_str(), asked.keywords.as_slice()), ("no-worker-codex", ["wait", "abort"].map(String::from).as_slice()));
    assert!(asked.context.contains("its provider refuses") && asked.context.contains("nothing that is here could play for it"));
}

#[test]
fn what_may_be_put_in_its_place_is_not_denied() {
    let asked = refused(&[("codex", 1), ("gemini", 1)]);
    assert_eq!(asked.keywords, ["wait", "use:gemini", "abort"]);
    assert!(asked.context.contains("another plays for it only if you say so"), "{}", asked.context);
}

#[test]
fn a_backend_that_is_set_up_wrongly_is_out_on_that_worker_alone_and_no_unit_pays() {
    let mut table = Table::with(ONE, options());
    table.join("wrong", &[("codex", 1)]);
    let first = table.go_one("1");
    table.breaks(&first, FailureKind::Misconfigured);
    assert_eq!(table.go().len(), 0, "there it is not tried again");
    let counters = &table.unit("1").counters;
    assert_eq!((counters.unit_failures, counters.infra), (0, 0), "no unit pays");
    let told =
        table.run().people.notices.iter().any(|notice| notice.text.contains("codex cannot be used on worker wrong: no; correct its model"));
    assert!(told, "{:?}", table.run().people.notices);
    table.join("right", &[("codex", 1)]);
    let second = table.go_one("1");
    assert_eq!(second.granted.worker.as_str(), "right", "the same account goes on elsewhere");
    table.works(&second, &["a.rs"]);
    table.offers_again("wrong", "codex");
    let review = table.go();
    assert!(!review.is_empty(), "a good probe brings it back");
}

/// Reviewers use the login of their CLI, and a model of their own.
#[test]
fn a_login_that_works_says_nothing_of_a_wrong_model_beside_it() {
    let mut table = Table::with(ONE, options());
    table.join("w", &[("codex", 1), ("codex-review", 1)]);
    let work = table.go_one("1");
    table.works(&work, &["a.rs"]);
    let review = table.go_one("1");
    table.breaks(&review, FailureKind::Misconfigured);
    table.offers_again("w", "codex");
    let offers = &table.core.fleet.workers[&WorkerId::from("w")].offers;
    let refused = &offers[&BackendName::from("codex-review")].refused;
    assert_eq!(refused.as_ref().map(|refused| &refused.kind), Some(&FailureKind::Misconfigured));
    assert!(offers[&BackendName::from("codex")].refused.is_none());
}

#[test]
fn a_model_that_the_run_asks_for_is_named_where_it_is_refused() {
    let models = [(BackendName::from("codex"), "gpt-wrong".to_owned())].into();
    let mut table = Table::with(ONE, RunOptions { models, ..options() });
    table.join("w", &[("codex", 1)]);
    let work = table.go_one("1");
    table.breaks(&work, FailureKind::Misconfigured);
    let text = "codex cannot be used on worker w: no; correct the model its run asks for (gpt-wrong) and run again";
    assert!(table.run().people.notices.iter().any(|notice| notice.text.starts_with(text)), "{:?}", table.run().people.notices);
}

/// Who closes a step and begins it again is asked all the same once the backend has been missing for long.
#[test]
fn steps_of_a_person_do_not_begin_the_wait_anew() {
    let mut table = Table::with(ONE, RunOptions { mode: Mode::Manual, embedded: false, ..options() });
    table.act(Act::Step { phase: Phase::Assign });
    let half_ms = table.run().options.limits.no_worker_ms / 2 + 1_000;
    for _ in 0..2 {
        table.act(Act::Step { phase: Phase::Dispatch });
        table.schedule();
        assert!(table.run().people.decisions.is_empty());
        table.pass(half_ms);
        table.act(Act::Step { phase: Phase::Consolidate });
    }
    table.act(Act::Step { phase: Phase::Dispatch });
    table.schedule();
    assert!(table.run().people.decisions.keys().any(|id| id.as_str() == "no-worker-codex"), "{:?}", table.run().people.decisions);
}
