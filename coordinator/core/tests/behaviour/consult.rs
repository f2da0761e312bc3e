//! The orchestrator agent: what counts as a standstill, and what its actions do.

use roundtable_core::command::{Act, RoleAnswer};
use roundtable_core::effect::Grant;
use roundtable_shared::answer::{Action, CheckedAssignment, OrchestrateAnswer, OrchestrateDecision, Proposal};
use roundtable_shared::{Mode, Role, RunOptions, Severity, UnitState};

use crate::table::{Table, options};

const ONE: &str = "- [ ] 1. Write a\n  - _writes: a.rs_\n";

/// Assigned by the rules; the first consultation is answered.
fn consulted(plan: &str, options: RunOptions, backends: &[(&str, u32)]) -> Table {
    let mut table = Table::with(plan, RunOptions { mode: Mode::Llm, ..options });
    table.join("w", backends);
    let assign = of_run(table.go());
    assert_eq!(assign.granted.role, Role::Assign);
    table.report(&assign, None, &[], Ok(RoleAnswer::Assign(CheckedAssignment::default())));
    table
}

fn of_run(grants: Vec<Grant>) -> Grant {
    let mut own: Vec<Grant> = grants.into_iter().filter(|grant| grant.lease.key.unit.is_none()).collect();
    assert_eq!(own.len(), 1, "one seat of the run itself is granted");
    own.remove(0)
}

fn says(table: &mut Table, grant: &Grant, actions: &[Action]) {
    assert_eq!(grant.granted.role, Role::Orchestrate);
    let answer = OrchestrateAnswer {
        decision: OrchestrateDecision::Continue,
        actions: actions.to_vec(),
        notes: None,
        hold: Vec::new(),
        unknown: Vec::new(),
    };
    table.report(grant, None, &[], Ok(RoleAnswer::Orchestrate(answer)));
}

const BACKENDS: [(&str, u32); 3] = [("codex", 2), ("codex-review", 2), ("opencode", 1)];

#[test]
fn hearing_it_before_the_end_is_no_standstill() {
    let mut table = consulted(ONE, RunOptions { max_iterations: 1, ..options() }, &BACKENDS);
    let work = table.go_one("1");
    table.works(&work, &["a.rs"]);
    let review = table.go_one("1");
    table.reviews(&review, Severity::None);
    table.integrate();
    for _ in 0..2 {
        table.pass(2_000);
        let grants = table.go();
        if grants.is_empty() {
            break;
        }
        says(&mut table, &of_run(grants), &[]);
    }
    assert_eq!(table.run().ended().map(|ended| ended.exit), Some(0));
}

#[test]
fn what_happens_while_it_answers_is_movement() {
    let mut table = consulted(ONE, RunOptions { max_iterations: 1, ..options() }, &BACKENDS);
    let work = table.go_one("1");
    table.pass(2_000);
    let first = of_run(table.go());
    table.works(&work, &["a.rs"]);
    let review = table.go_one("1");
    table.reviews(&review, Severity::Major);
    assert_eq!(table.unit("1").state(), UnitState::FixRequired);
    says(&mut table, &first, &[]);
    table.pass(2_000);
    let second = table.go().into_iter().find(|grant| grant.granted.role == Role::Orchestrate).expect("it is heard of what was sent back");
    says(&mut table, &second, &[]);
    assert_eq!(table.run().life.halted, None);
}

#[test]
fn a_halt_when_all_is_done_leaves_the_run_complete() {
    let mut table = consulted(ONE, options(), &BACKENDS);
    let work = table.go_one("1");
    table.works(&work, &["a.rs"]);
    let review = table.go_one("1");
    table.reviews(&review, Severity::None);
    table.integrate();
    table.pass(2_000);
    while table.run().ended().is_none() {
        let last = of_run(table.go());
        says(&mut table, &last, &[Action::Halt]);
        table.pass(2_000);
    }
    assert_eq!((&table.run().life.halted, table.run().ended().map(|ended| ended.exit)), (&None, Some(0)));
}

#[test]
fn actions_count_as_often_as_they_are_named() {
    let mut table = consulted(ONE, RunOptions { max_actions: 2, ..options() }, &BACKENDS);
    table.pass(2_000);
    let first = of_run(table.go());
    says(&mut table, &first, &[Action::SyncPulse, Action::SyncPulse, Action::Halt]);
    assert_eq!(table.run().life.halted, None, "the halt was cut");
    assert!(table.run().people.notices.iter().any(|notice| notice.text.contains("more than 2 actions")));
}

const THREE: &str = "- [ ] 1. Write a\n  - _writes: a.rs_\n- [ ] 2. Write b\n  - Depends on: 1\n  - _writes: b.rs_\n\
                     - [ ] 3. Write c\n  - Depends on: 1\n  - _writes: c.rs_\n";

/// Unit 1 is at work, a person assigned unit 3, and the agent asks for `assign_dispatch`; the seat that opens.
fn asked_to_assign_anew() -> (Table, Grant, Grant) {
    let mut table = consulted(THREE, options(), &BACKENDS);
    let work = table.go_one("1");
    table.act(Act::Assign {
        unit: "3".into(),
        owner: Some("opencode".into()),
        criticality: None,
        writes: None,
        reads: None,
        requires: None,
    });
    table.pass(2_000);
    let first = of_run(table.go());
    says(&mut table, &first, &[Action::AssignDispatch]);
    let seat = of_run(table.go());
    assert_eq!((seat.granted.role, seat.granted.turn), (Role::Assign, 2));
    (table, work, seat)
}

fn proposes(table: &mut Table, seat: &Grant, owner: &str) {
    let proposal = |id: &str| Proposal { owner_agent: Some(owner.into()), ..Proposal::keep(id.into()) };
    let accepted = ["1", "2", "3"].map(proposal).to_vec();
    table.report(seat, None, &[], Ok(RoleAnswer::Assign(CheckedAssignment { accepted, ..CheckedAssignment::default() })));
}

fn owners(table: &Table) -> Vec<&str> {
    table.run().units().filter_map(|unit| unit.assignment.owner.as_ref()).map(|owner| owner.as_str()).collect()
}

#[test]
fn what_has_not_started_is_assigned_anew_and_a_person_s_word_stands() {
    let (mut table, work, seat) = asked_to_assign_anew();
    table.works(&work, &["a.rs"]);
    table.go_one("1");
    proposes(&mut table, &seat, "gemini");
    assert_eq!(owners(&table), ["codex", "gemini", "opencode"]);
    assert_eq!(
        table.run().agents.assign_answer.as_ref().map(|answer| answer.proposals.len()),
        Some(0),
        "it is not the answer for the whole plan"
    );
    assert!(table.go().iter().all(|grant| grant.granted.role != Role::Assign), "it was asked once");
}

#[test]
fn what_starts_before_the_answer_keeps_what_it_has() {
    let (mut table, work, seat) = asked_to_assign_anew();
    table.works(&work, &["a.rs"]);
    let review = table.go_one("1");
    table.reviews(&review, Severity::None);
    table.integrate();
    let next = table.go_one("2");
    assert_eq!(next.granted.role, Role::Implement, "nothing ready waits for the answer");
    proposes(&mut table, &seat, "gemini");
    assert_eq!(owners(&table), ["codex", "codex", "opencode"]);
}

#[test]
fn an_assignment_anew_that_comes_to_nothing_leaves_what_was() {
    let (mut table, _, seat) = asked_to_assign_anew();
    table.report(&seat, None, &[], Err("prose".to_owned()));
    let again = of_run(table.go());
    assert_eq!(again.granted.role, Role::Assign, "it is asked once more");
    table.report(&again, None, &[], Err("prose".to_owned()));
    assert!(table.go().iter().all(|grant| grant.granted.role != Role::Assign));
    assert_eq!(owners(&table), ["codex", "codex", "opencode"]);
}
