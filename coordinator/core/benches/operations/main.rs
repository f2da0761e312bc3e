//! Instructions of eleven operations of the core, counted by callgrind, so that one that has become dear is seen whatever the machine is busy with. Held
//! against `counts.txt` beside this file: `cargo bench -p roundtable-core --bench operations`, with `--write` once a change is meant.
#![allow(missing_docs)]
#![allow(clippy::disallowed_types, clippy::disallowed_macros, reason = "the core has neither clock nor output; what measures it does")]

#[path = "../control/shape.rs"]
#[allow(dead_code, reason = "another benchmark has all shapes")]
mod shape;
#[path = "../control/stub.rs"]
mod stub;
mod table;

use std::hint::black_box;

use roundtable_core::command::{Command, Now};
use roundtable_core::effect::{Effect, Grant};
use roundtable_core::schedule::{Explainer, explain, plan};
use roundtable_core::{Core, Entropy};
use roundtable_shared::time::WallMs;
use roundtable_shared::view::WAITING_MAX;
use roundtable_shared::{HazardRule, UnitId, WorkerId};

use shape::Shape;
use stub::Stub;

/// Units of the plan that operations are measured on.
const UNITS: usize = 1_000;
const SLOTS: u32 = 4;
const WORKERS: u64 = 4;

/// What is counted, by name.
const OPERATIONS: [(&str, fn()); 11] = [
    ("plan", plan_overlap),
    ("submit", submit),
    ("first grants", first_grants),
    ("heartbeat", heartbeat),
    ("look for grants, none free", look_in_vain),
    ("explain a unit in a chain", explain_last),
    ("explain all units, one file", explain_all),
    ("work reported", || report(Shape::Disjoint, false)),
    ("work reported, one file", || report(Shape::OneFile, false)),
    ("review reported", || report(Shape::Disjoint, true)),
    ("branch moved", branch_moved),
];

fn main() -> std::process::ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().find_map(|arg| arg.strip_prefix("--only=")) {
        Some(name) => {
            let found = OPERATIONS.iter().find(|(known, _)| *known == name);
            found.expect("an operation of that name").1();
            std::process::ExitCode::SUCCESS
        }
        None => table::run(&OPERATIONS.map(|(name, _)| name), args.iter().any(|arg| arg == "--write")),
    }
}

/// The one function whose instructions, and those of what it calls, are counted.
#[inline(never)]
fn counted<T>(operation: impl FnOnce() -> T) -> T {
    black_box(operation())
}

/// A core at some point of a run.
struct Scene {
    core: Core,
    entropy: Entropy,
    now: Now,
    stub: Stub,
    effects: Vec<Effect>,
}

impl Scene {
    /// Workers are here, nothing is submitted.
    fn new(shape: Shape) -> (Self, Command) {
        let (spec, outline) = shape.plan(UNITS);
        let mut stub = Stub::new(&outline);
        let submit = stub.submit(spec, outline);
        let now = Now { mono_ms: 1_000, wall: WallMs(1_767_225_600_000) };
        let mut scene = Self { core: Core::default(), entropy: Entropy::new(1), now, stub, effects: Vec::new() };
        for command in (1..=WORKERS).flat_map(|n| stub::join(n, SLOTS)) {
            scene.send(command);
        }
        (scene, submit)
    }

    /// A run is under way, every slot taken.
    fn working(shape: Shape) -> Self {
        let (mut scene, submit) = Self::new(shape);
        scene.send(submit);
        scene.schedule();
        scene
    }

    fn send(&mut self, command: Command) {
        let change = self.core.handle(command, self.now, &mut self.entropy).expect("the command is taken");
        self.effects.extend(change.effects);
    }

    fn schedule(&mut self) {
        let change = self.core.schedule(self.now, &mut self.entropy);
        self.effects.extend(change.effects);
    }

    /// The first lease that was granted and not played yet.
    fn grant(&mut self) -> Box<Grant> {
        let at = self.effects.iter().position(|effect| matches!(effect, Effect::Grant(_))).expect("a lease was granted");
        match self.effects.remove(at) {
            Effect::Grant(grant) => grant,
            _ => unreachable!("it is a grant"),
        }
    }

    /// Plays a grant up to its report, which is left to be sent.
    fn up_to_report(&mut self) -> Command {
        let grant = self.grant();
        let [accepted, started, report] = self.stub.play(&grant);
        self.send(accepted);
        self.send(started);
        report
    }

    /// Plays grants until there is an effect that is none.
    fn until_shell(&mut self) -> Command {
        loop {
            let at = self.effects.iter().position(|effect| !matches!(effect, Effect::Grant(_)));
            if let Some(at) = at {
                let effect = self.effects.remove(at);
                if let Some(answer) = self.stub.shell(effect) {
                    return answer;
                }
                continue;
            }
            let report = self.up_to_report();
            self.send(report);
            self.free();
            self.schedule();
        }
    }

    /// Every worker has a slot again.
    fn free(&mut self) {
        (1..=WORKERS).for_each(|n| self.send(stub::want(WorkerId::from(format!("w{n}")), n, 1)));
    }
}

fn plan_overlap() {
    let (_, outline) = Shape::Overlap.plan(UNITS);
    counted(|| plan(&outline, false, &[], HazardRule::Ordered, false, None));
}

fn submit() {
    let (mut scene, submit) = Scene::new(Shape::Overlap);
    counted(|| scene.send(submit));
}

fn first_grants() {
    let (mut scene, submit) = Scene::new(Shape::Disjoint);
    scene.send(submit);
    counted(|| scene.schedule());
}

fn heartbeat() {
    let mut scene = Scene::working(Shape::Disjoint);
    let beat = Command::Heartbeat { worker: WorkerId::from("w1"), session: 1, held: Vec::new() };
    counted(|| scene.send(beat));
}

fn look_in_vain() {
    let mut scene = Scene::working(Shape::Disjoint);
    counted(|| scene.schedule());
}

fn explain_last() {
    let scene = Scene::working(Shape::Chain);
    let (run, unit) = (stub::run(), UnitId::from(UNITS.to_string()));
    let reasons = counted(|| explain(&scene.core.state, &scene.core.fleet, &run, &unit, scene.now));
    assert!(!reasons.is_empty(), "it waits for the one before it");
}

/// As much of each as views of many units tell.
fn explain_all() {
    let scene = Scene::working(Shape::OneFile);
    let (state, fleet) = (&scene.core.state, &scene.core.fleet);
    let run = state.run(&stub::run()).expect("it was submitted");
    let count = counted(|| {
        let mut explainer = Explainer::new(state, fleet, run, scene.now, WAITING_MAX);
        run.units().map(|unit| explainer.reasons(unit)).map(|reasons| reasons.told.len() + reasons.left_out).sum::<usize>()
    });
    assert!(count >= UNITS * (UNITS - 1) / 2, "each waits for all before it");
}

fn report(shape: Shape, of_review: bool) {
    let mut scene = Scene::working(shape);
    if of_review {
        // Its first work is accepted, and the slot that it leaves is taken by its review.
        let report = scene.up_to_report();
        scene.send(report);
        scene.effects.clear();
        scene.free();
        scene.schedule();
    }
    let report = scene.up_to_report();
    counted(|| scene.send(report));
}

fn branch_moved() {
    let mut scene = Scene::working(Shape::Disjoint);
    let prepared = scene.until_shell();
    scene.send(prepared);
    let moved = scene.until_shell();
    counted(|| scene.send(moved));
}
