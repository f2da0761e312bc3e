//! The core against the naive model, over states no history need ever reach: units moved about at will, claims, reassignments, backoffs, pauses.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use roundtable_core::command::{Command, Now, RunSource, Submit, WorkerHello};
use roundtable_core::state::{Release, Run};
use roundtable_core::{Core, Entropy, Fact, Transition};
use roundtable_shared::time::WallMs;
use roundtable_shared::{
    BackendName, BackendOffer, CommitId, HazardRule, Introduction, Mode, Origin, RunId, RunOptions, Seat, UnitId, UnitState, WorkerId,
};

use crate::naive::{differences, reasons};
use crate::plans;
use crate::rng::Rng;

const NOW: Now = Now { mono_ms: 1_000_000, wall: WallMs(1_767_225_600_000) };

/// Something done to a unit, whether it may be done or not.
#[derive(Clone, Debug)]
enum Change {
    Move(UnitState),
    Claim(u8),
    Settle(u8),
    Reassign(u8),
    Backoff(bool),
    Release(bool),
    Pause(bool),
}

fn change() -> impl Strategy<Value = Change> {
    use UnitState::{Blocked, Cancelled, Completed, FinalReview, FixRequired, InProgress, NotStarted, PendingReview, Skipped, UnderReview};
    let states = vec![
        NotStarted,
        InProgress,
        PendingReview,
        UnderReview,
        FinalReview,
        FixRequired,
        Completed,
        Completed,
        Completed,
        Blocked,
        Skipped,
        Cancelled,
    ];
    prop_oneof![
        6 => proptest::sample::select(states).prop_map(Change::Move),
        2 => any::<u8>().prop_map(Change::Claim),
        1 => any::<u8>().prop_map(Change::Settle),
        1 => any::<u8>().prop_map(Change::Reassign),
        1 => any::<bool>().prop_map(Change::Backoff),
        2 => any::<bool>().prop_map(Change::Release),
        1 => any::<bool>().prop_map(Change::Pause),
    ]
}

fn path(n: u8) -> String {
    match n % 5 {
        0 => format!("area{}/", n % 3),
        1 => format!("area{}/*.rs", n % 4),
        _ => format!("area{}/f{}.rs", n % 4, n % 3),
    }
}

/// A run of a generated plan, planned by the rules, in a core with nobody there.
fn planned(seed: u64, hazards: HazardRule) -> (Core, RunId) {
    let (spec, outline) = plans::spec(&mut Rng::new(seed), false);
    let run = RunId::from("run");
    let mut core = Core::default();
    let options = RunOptions { mode: Mode::Legacy, hazards, with_optional: seed.is_multiple_of(2), ..RunOptions::default() };
    let source = RunSource { repository: "r".to_owned(), git_dir: "g".to_owned(), spec_path: "s".to_owned(), workdir: ".".to_owned() };
    let submit = Submit {
        run: run.clone(),
        source,
        spec,
        outline,
        inputs_digest: String::new(),
        options,
        base: CommitId::from("base"),
        started_branch: None,
        fresh: false,
        tick_path: None,
        spec_paths: Vec::new(),
        mirror_paths: Vec::new(),
        imported: None,
        by: "ada".to_owned(),
    };
    core.handle(Command::Submit(Box::new(submit)), NOW, &mut Entropy::new(seed)).expect("the plan has no errors");
    (core, run)
}

fn facts(core: &Core, run: &RunId, unit: &UnitId, change: &Change) -> Vec<Fact> {
    let unit = unit.clone();
    let of = core.state.unit(run, &unit).expect("the unit is there");
    match change {
        Change::Move(to) => vec![Fact::UnitMoved { unit, to: *to, reason: None }],
        Change::Claim(n) => vec![Fact::ManifestClaimed { unit, paths: vec![path(*n)] }],
        Change::Settle(n) if of.claims_all() => vec![Fact::ManifestSettled { unit, paths: vec![path(*n)] }],
        Change::Reassign(n) => {
            let assignment = roundtable_shared::Assignment {
                unit,
                unit_type: of.assignment.unit_type,
                owner_agent: of.assignment.owner.clone(),
                target_window: of.assignment.window.clone(),
                criticality: of.assignment.criticality,
                writes: if n.is_multiple_of(4) { Vec::new() } else { vec![path(*n)] },
                reads: if n.is_multiple_of(3) { vec![path(n.wrapping_add(1))] } else { Vec::new() },
                depends_on: Vec::new(),
            };
            vec![Fact::UnitReassigned { assignment: Box::new(assignment), by: "ada".to_owned() }]
        }
        Change::Backoff(on) => {
            vec![Fact::BackoffSet { unit, until: on.then_some(WallMs(NOW.wall.0 + 5_000)), avoid: None }]
        }
        Change::Release(step) if of.state() == UnitState::Blocked => {
            vec![Fact::ReleaseSet { unit, release: Some(if *step { Release::Subtask } else { Release::Fix }) }]
        }
        Change::Pause(true) => vec![Fact::RunPaused { note: String::new(), by: String::new() }],
        Change::Pause(false) => vec![Fact::RunResumed { by: String::new() }],
        Change::Settle(_) | Change::Release(_) => Vec::new(),
    }
}

fn apply(core: &mut Core, run: &RunId, changes: &[(u16, Change)]) {
    for (at, change) in changes {
        let units = &core.state.run(run).expect("the run is there").units;
        let unit = units[usize::from(*at) % units.len()].clone();
        if !unit.spec.runs {
            continue;
        }
        for fact in facts(core, run, &unit.id, change) {
            core.state.apply(&Transition { run: Some(run.clone()), at: NOW.wall, fact });
        }
    }
}

/// A worker with more slots than there are units, and every label that is asked for.
fn join(core: &mut Core) {
    let offer = BackendOffer {
        name: BackendName::from("scripted"),
        pool: "scripted".to_owned(),
        slots: 500,
        version: String::new(),
        account: String::new(),
        serves_all: true,
        unavailable: String::new(),
    };
    let introduction = Introduction {
        incarnation: 1,
        name: "w".to_owned(),
        version: String::new(),
        labels: BTreeMap::from([("gpu", "true"), ("zone", "a")].map(|(key, value)| (key.to_owned(), value.to_owned()))),
        backends: vec![offer],
        held: Vec::new(),
        repositories: Vec::new(),
        origin: Origin::default(),
    };
    let worker = WorkerId::from("w");
    let mut entropy = Entropy::new(2);
    let hello = WorkerHello { worker: worker.clone(), session: 1, introduction };
    core.handle(Command::WorkerHello(Box::new(hello)), NOW, &mut entropy).expect("the worker is new");
    let want = Command::Want { worker, session: 1, pool: "scripted".to_owned(), credits: 500 };
    core.handle(want, NOW, &mut entropy).expect("the session is open");
}

fn rule() -> impl Strategy<Value = HazardRule> {
    prop_oneof![Just(HazardRule::Ordered), Just(HazardRule::Writes)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn readiness_and_the_index_are_what_the_rules_say(seed in any::<u64>(), hazards in rule(), changes in prop::collection::vec((any::<u16>(), change()), 0..60)) {
        let (mut core, run) = planned(seed, hazards);
        for changes in changes.chunks(6) {
            apply(&mut core, &run, changes);
            let now = core.state.run(&run).expect("the run is there");
            let differ = differences(&core.state, &core.fleet, now, NOW);
            prop_assert!(differ.is_empty(), "{differ:?}");
        }
    }

    #[test]
    fn with_slots_enough_exactly_what_the_rules_let_start_is_granted(seed in any::<u64>(), hazards in rule(), changes in prop::collection::vec((any::<u16>(), change()), 0..30)) {
        let (mut core, run) = planned(seed, hazards);
        // No unit is left in a state that has no seat of its own: nothing but first grants is looked at.
        let settled: Vec<(u16, Change)> = changes
            .into_iter()
            .filter(|(_, change)| match change {
                Change::Move(to) => matches!(to, UnitState::NotStarted | UnitState::InProgress | UnitState::Completed | UnitState::Skipped),
                Change::Release(_) => false,
                _ => true,
            })
            .collect();
        apply(&mut core, &run, &settled);
        join(&mut core);
        let mut before = core.state.clone();
        let change = core.schedule(NOW, &mut Entropy::new(3));
        for transition in &change.transitions {
            if let Fact::LeaseGranted(granted) = &transition.fact && granted.seat == Seat::Work {
                let now = before.run(&run).expect("the run is there");
                let unit = now.unit(granted.unit.as_ref().expect("work is a unit's")).expect("the unit is there");
                let against = reasons(&before, now, unit, NOW);
                prop_assert!(against.is_empty(), "unit {} was granted in spite of {against:?}", unit.id);
            }
            before.apply(transition);
        }
        let now = core.state.run(&run).expect("the run is there");
        let waits = |unit: &&roundtable_core::state::Unit| unit.spec.runs && unit.state() == UnitState::NotStarted;
        // A unit without a manifest that waits for holds alone keeps the others back.
        let barred = hazards == HazardRule::Writes && now.units().filter(waits).any(|unit| {
            unit.claims_all() && !unit.work.started && reasons(&core.state, now, unit, NOW).iter().all(|(kind, _)| *kind == roundtable_core::schedule::WaitKind::Hold)
        });
        for unit in now.units().filter(waits).filter(|unit| unit.work.started || !barred) {
            let own = reasons(&core.state, now, unit, NOW);
            prop_assert!(!own.is_empty() || now.is_ended(), "unit {} could start and was not granted", unit.id);
        }
    }
}

#[test]
fn an_index_that_forgot_something_is_noticed() {
    let forgets: [fn(&mut Run); 6] = [
        |run| run.plan.lookup_mut(&run.units).writers = Default::default(),
        |run| run.plan.lookup_mut(&run.units).startable.clear(),
        |run| run.plan.begun = (0..run.units.len()).collect(),
        |run| Arc::make_mut(&mut run.plan.needs).iter_mut().for_each(Vec::clear),
        |run| run.plan.unfinished = Default::default(),
        |run| Arc::make_mut(&mut run.plan.order).reverse(),
    ];
    for (at, forget) in forgets.into_iter().enumerate() {
        let noticed = (0..50).any(|seed| {
            let (mut core, run) = planned(seed, HazardRule::Ordered);
            forget(Arc::make_mut(core.state.runs.get_mut(&run).expect("the run is there")));
            let now = core.state.run(&run).expect("the run is there");
            !differences(&core.state, &core.fleet, now, NOW).is_empty()
        });
        assert!(noticed, "nothing is noticed of {at}");
    }
}
