//! Half-finished units of another tool may overlap; here two never hold the same.

use std::sync::Arc;

use roundtable_core::command::{Act, Command, Imported, ImportedDecision, ImportedUnit};
use roundtable_core::schedule::{Standing, standing};
use roundtable_shared::answer::Proposal;
use roundtable_shared::time::WallMs;
use roundtable_shared::{Choice, Criticality, Dependants, FailureKind, Mode, Priority, Role, RunOptions, Severity, UnitState, UnitType};

use crate::table::{Table, options, run_id};

#[test]
fn imported_units_that_overlap_go_on_one_after_the_other() {
    let plan = "- [ ] 1. Write a\n  - _writes: a.rs_\n- [ ] 2. Write more of a\n  - _writes: a.rs_\n- [ ] 3. Mend a\n  - _writes: a.rs_\n";
    let left = [("1", "pending_review", Some("codex")), ("2", "under_review", Some("codex")), ("3", "fix_required", Some("codex"))];
    let mut table = Table::with_imported(plan, options(), &left);
    table.join("w", &[("codex", 4), ("codex-review", 4)]);
    let states = |table: &Table| ["1", "2", "3"].map(|id| table.unit(id).state());
    assert_eq!(states(&table), [UnitState::PendingReview, UnitState::Blocked, UnitState::Blocked]);
    for unit in ["1", "2"] {
        let review = table.go_one(unit);
        table.reviews(&review, Severity::None);
        table.integrate();
    }
    table.go_one("3");
    assert_eq!(states(&table), [UnitState::Completed, UnitState::Completed, UnitState::InProgress]);
}

const NO_OWNER: [(&str, &str, Option<&str>); 1] = [("1", "fix_required", None)];
const UI_PLAN: &str = "- [ ] 1. Build the login page layout\n  - _writes: a.rs_\n";

#[test]
fn the_owner_of_the_rules_is_offered_first_and_nobody_owns_the_unit_meanwhile() {
    let options = RunOptions { mode: Mode::Deterministic, ..options() };
    let mut table = Table::with_imported(UI_PLAN, options, &NO_OWNER);
    let keywords = |table: &Table| table.run().people.decisions.values().next().expect("one is open").keywords.clone();
    assert_eq!(keywords(&table), ["assign:gemini", "skip", "abort"], "nobody offers anything yet: whom the rules name");
    table.join("w", &[("codex", 1), ("gemini", 1)]);
    table.pass(5_000);
    table.send(Command::Tick);
    let assign = table.go();
    for grant in &assign {
        table.breaks(grant, FailureKind::TurnFailed);
    }
    for grant in table.go() {
        table.breaks(&grant, FailureKind::TurnFailed);
    }
    assert!(table.run().agents.plan_source.is_some(), "rules have decided");
    assert_eq!((table.unit("1").assignment.owner.clone(), table.unit("1").state()), (None, UnitState::Blocked));
    table.decide("missing-owner-agent-1", Choice::Assign { owner: "gemini".into() });
    assert_eq!(table.unit("1").assignment.owner, Some("gemini".into()));
    assert_eq!(table.go_one("1").granted.backend, "gemini".into());
}

const TWO: &str = "- [ ] 1. Write a\n- [ ] 2. Write b\n  - _writes: b.rs_\n";

fn imported(status: &str, files: &[&str], missing: &[&str]) -> ImportedUnit {
    let owned = |list: &[&str]| list.iter().map(ToString::to_string).collect();
    ImportedUnit {
        status: status.to_owned(),
        owner_agent: Some("codex".to_owned()),
        files: owned(files),
        missing: owned(missing),
        fix_attempts: 1,
        ..ImportedUnit::default()
    }
}

fn notices(table: &Table) -> String {
    table.run().people.notices.iter().map(|notice| notice.text.clone()).collect::<Vec<_>>().join("\n")
}

#[test]
fn half_finished_work_that_is_nowhere_is_done_again() {
    let left = [
        ("1", imported("under_review", &["a.rs", "c.rs"], &["a.rs", "c.rs"])),
        ("2", imported("fix_required", &["b.rs", "d.rs"], &["d.rs"])),
    ];
    let table = Table::with_units(TWO, options(), &left);
    let unit = table.unit("1");
    assert_eq!((unit.state(), unit.counters.fix_attempts, unit.files()), (UnitState::NotStarted, 0, Vec::new()));
    assert_eq!(table.unit("2").state(), UnitState::FixRequired, "a part that is not there may have been deleted");
    let said = notices(&table);
    assert!(said.contains("unit 1 was under_review") && said.contains("a.rs, c.rs") && said.contains("starts over"), "{said}");
    assert!(said.contains("unit 2 goes on") && said.contains("d.rs"), "{said}");
}

#[test]
fn completed_work_that_is_nowhere_is_told_and_stays_completed() {
    let table = Table::with_units(
        TWO,
        options(),
        &[("1", imported("completed", &["a.rs"], &["a.rs"])), ("2", imported("completed", &["b.rs"], &[]))],
    );
    assert_eq!((table.unit("1").state(), table.unit("1").files()), (UnitState::Completed, vec!["a.rs".to_owned()]));
    let said = notices(&table);
    assert!(said.contains("unit 1 is completed") && said.contains("a.rs") && !said.contains("unit 2"), "{said}");
}

#[test]
fn an_earlier_assignment_stands_over_rules_and_spec() {
    let of = |unit: &str, writes: &[&str], on: &[&str]| ImportedUnit {
        status: "not_started".to_owned(),
        assignment: Some(Proposal {
            unit_type: Some(UnitType::Ui),
            criticality: Some(Criticality::Complex),
            writes: Some(writes.iter().map(ToString::to_string).collect()),
            depends_on: on.iter().map(|id| (*id).into()).collect(),
            ..Proposal::keep(unit.into())
        }),
        ..ImportedUnit::default()
    };
    let left = [("1", of("1", &["x.rs"], &["2"])), ("2", of("2", &["y.rs", "z.rs"], &["1"]))];
    let table = Table::with_units(TWO, RunOptions { mode: Mode::Legacy, ..options() }, &left);
    let (first, second) = (table.unit("1"), table.unit("2"));
    assert_eq!(
        (first.assignment.unit_type, first.assignment.criticality, first.assignment.exclusive),
        (UnitType::Ui, Criticality::Complex, false)
    );
    assert_eq!(
        (first.assignment.manifest.writes.entries(), second.assignment.manifest.writes.entries()),
        (&["x.rs".to_owned()][..], &["y.rs".to_owned(), "z.rs".to_owned()][..])
    );
    assert_eq!((first.assignment.depends_on.len(), second.assignment.depends_on.len()), (1, 0), "the second would close a cycle");
    assert!(notices(&table).contains("closes a cycle"));
}

#[test]
fn what_was_asked_of_workers_is_asked_again() {
    let of = |requires: &[&str]| ImportedUnit {
        status: "not_started".to_owned(),
        assignment: Some(Proposal { requires: Some(requires.iter().map(ToString::to_string).collect()), ..Proposal::keep("1".into()) }),
        ..ImportedUnit::default()
    };
    let plan = "- [ ] 1. Train\n  - _requires: gpu_\n- [ ] 2. Tell\n";
    let asks = |left: &[(&str, ImportedUnit)]| Table::with_units(plan, options(), left).unit("1").assignment.requires.clone();
    assert_eq!(asks(&[("1", of(&["zone=eu"]))]), ["zone=eu"]);
    assert!(asks(&[("1", of(&[]))]).is_empty(), "none, though the plan asks for one");
    let said_nothing = ImportedUnit { status: "not_started".to_owned(), ..ImportedUnit::default() };
    assert_eq!(asks(&[("1", said_nothing)]), ["gpu"]);
}

#[test]
fn what_a_person_ended_stays_ended() {
    let mut table = Table::with_units(TWO, options(), &[("1", imported("skipped", &[], &[])), ("2", imported("cancelled", &[], &[]))]);
    assert_eq!((table.unit("1").state(), table.unit("2").state()), (UnitState::Skipped, UnitState::Cancelled));
    table.join("w", &[("codex", 1)]);
    table.schedule();
    table.integrate();
    assert_eq!(table.run().ended().map(|ended| ended.exit), Some(1));
}

/// A state of these units that asks so, of a unit or of the run as a whole.
fn asking(units: &[(&str, ImportedUnit)], asked: &[(&str, Option<&str>)]) -> Table {
    let decision = |(id, unit): &(&str, Option<&str>)| ImportedDecision {
        id: (*id).into(),
        unit: unit.map(Into::into),
        priority: Priority::High,
        context: "which one?".to_owned(),
        options: vec!["this".to_owned(), "that".to_owned()],
        created_at: WallMs::default(),
    };
    let units = units.iter().map(|(id, unit)| ((*id).into(), unit.clone())).collect();
    let imported = Imported { units, decisions: asked.iter().map(decision).collect(), ..Imported::default() };
    let mut table = Table::new();
    table.submit(TWO, RunOptions { mode: Mode::Legacy, ..options() }, Some(imported));
    table.join("w", &[("codex", 2), ("codex-review", 2)]);
    table
}

fn open(table: &Table) -> Vec<String> {
    table.run().people.decisions.keys().map(ToString::to_string).collect()
}

/// What a state calls blocked starts over, whatever it asks: then there is no fix to release it to.
#[test]
fn a_unit_that_starts_over_goes_on_once_it_is_given_an_owner() {
    let blocked = ImportedUnit { owner_agent: None, fix_attempts: 0, ..imported("blocked", &[], &[]) };
    let mut table = asking(&[("1", blocked)], &[("missing-owner-agent-1", Some("1"))]);
    assert_eq!((table.unit("1").state(), open(&table)), (UnitState::Blocked, vec!["missing-owner-agent-1".to_owned()]));
    table.decide("missing-owner-agent-1", Choice::Assign { owner: "codex".into() });
    assert_eq!(table.unit("1").state(), UnitState::NotStarted);
    assert_eq!(table.go_one("1").granted.role, Role::Implement);
}

#[test]
fn a_unit_that_two_questions_are_about_waits_for_both_answers() {
    let unit = || [("1", ImportedUnit { fix_attempts: 0, ..imported("not_started", &[], &[]) })];
    let mut table = asking(&unit(), &[("this-first", Some("1")), ("that-too", Some("1"))]);
    table.decide("this-first", Choice::Answer { option: "this".to_owned() });
    assert_eq!((table.unit("1").state(), open(&table)), (UnitState::Blocked, vec!["that-too".to_owned()]));
    table.decide("that-too", Choice::Answer { option: "that".to_owned() });
    assert_eq!(table.unit("1").state(), UnitState::NotStarted);
    let table = asking(&unit(), &[("this-first", Some("1")), ("quarantine-1", Some("1")), ("breach-1", Some("1"))]);
    assert_eq!(open(&table), ["breach-1", "quarantine-1", "this-first"], "none is dropped");
}

/// A person's work answers whatever was asked: nothing else about the unit is left to be answered, and the unit to be held by it.
#[test]
fn a_unit_that_two_questions_are_about_is_resumed_by_either() {
    let unit = [("1", ImportedUnit { fix_attempts: 0, ..imported("not_started", &[], &[]) })];
    let mut table = asking(&unit, &[("quarantine-1", Some("1")), ("breach-1", Some("1")), ("this-first", Some("1"))]);
    let commit = table.commit();
    table.decide("quarantine-1", Choice::Resume { commit: Some(commit) });
    assert_eq!((table.unit("1").state(), open(&table)), (UnitState::FixRequired, Vec::new()));
    table.integrate();
    table.schedule();
    assert_eq!(table.unit("1").state(), UnitState::UnderReview);
}

#[test]
fn a_question_that_an_earlier_release_left_open_resumes_nothing_that_goes_on() {
    let unit = [("1", ImportedUnit { fix_attempts: 0, ..imported("not_started", &[], &[]) })];
    let mut table = asking(&unit, &[("quarantine-1", Some("1"))]);
    let left = table.run().people.decisions.clone();
    table.decide("quarantine-1", Choice::Retry);
    table.go_one("1");
    table.edit(|state| {
        let run = state.runs.get_mut(&run_id()).expect("the run is there");
        Arc::make_mut(run).people.decisions.clone_from(&left);
    });
    let (rows, commit) = (table.log.len(), Some(table.commit()));
    let resume = Act::Decide { id: "quarantine-1".into(), choice: Choice::Resume { commit }, dependants: Dependants::GoOn, note: None };
    let refused = table.try_act(resume).expect_err("the unit is not blocked");
    assert!(refused.to_string().contains("unit 1 is in_progress"), "{refused}");
    assert_eq!((table.log.len(), table.unit("1").state()), (rows, UnitState::InProgress));
}

#[test]
fn a_question_about_the_run_as_a_whole_is_answered_before_its_end() {
    let done = |id| (id, imported("completed", &[], &[]));
    let mut table = asking(&[done("1"), done("2")], &[("choose", None)]);
    table.schedule();
    let stands = |table: &Table| standing(&table.core.state, table.run());
    assert_eq!((open(&table), stands(&table)), (vec!["choose".to_owned()], Standing::Waiting));
    table.decide("choose", Choice::Answer { option: "that".to_owned() });
    table.integrate();
    assert_eq!(stands(&table), Standing::Complete);
}
