//! Generated specs of any size for benchmarks and kill tests: units, what they write, read and depend on, how long their turns take, and the least time
//! any schedule needs. Everything follows from a seed. Running them is the callers'.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::ops::RangeInclusive;

use serde_json::{Value, json};

/// How units get into each other's way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// A file of its own and files of a pool many share, now and then a dependency.
    Overlap,
    /// Each depends on the one before.
    Chain,
    /// Nobody meets anybody.
    Disjoint,
    /// All write the same file.
    Conflict,
}

/// One unit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlannedUnit {
    /// Files it writes.
    pub writes: Vec<String>,
    /// Files it reads.
    pub reads: Vec<String>,
    /// Places (from 0) of units it depends on; all before its own.
    pub depends_on: Vec<usize>,
    /// Length of its implement turn.
    pub implement_ms: u64,
    /// Length of its review turn.
    pub review_ms: u64,
}

/// A spec that can be written out and played.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// Its units, in document order; the id of the first is 1.
    pub units: Vec<PlannedUnit>,
    /// Steps can be repeated on what they left: a line that is there is not added again. Costs a process a step.
    pub idempotent: bool,
    /// The last unit's work goes on until this file is there, so that a test decides when the run may end.
    pub gate: Option<std::path::PathBuf>,
}

/// What no schedule can beat.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Floor {
    /// The longest way through dependencies and hazards.
    pub critical_path_ms: u64,
    /// All turns together.
    pub work_ms: u64,
}

impl Floor {
    /// The least time with so many slots.
    pub fn with_slots(self, slots: u64) -> u64 {
        self.critical_path_ms.max(self.work_ms.div_ceil(slots))
    }
}

/// Numbers that follow from a seed (splitmix64).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number of the range.
    pub fn within(&mut self, range: &RangeInclusive<u64>) -> u64 {
        range.start() + self.roll() % (range.end() - range.start() + 1)
    }

    /// True so often out of a hundred.
    pub fn percent(&mut self, of_hundred: u64) -> bool {
        self.roll() % 100 < of_hundred
    }
}

impl Plan {
    /// A plan of a shape.
    pub fn generate(shape: Shape, units: usize, turn_ms: &RangeInclusive<u64>, seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let pool = (units as u64).div_ceil(2).max(2);
        let units = (0..units).map(|at| {
            let own = format!("src/unit_{}.txt", at + 1);
            let mut unit = PlannedUnit {
                writes: vec![own],
                reads: Vec::new(),
                depends_on: Vec::new(),
                implement_ms: dice.within(turn_ms),
                review_ms: dice.within(turn_ms),
            };
            match shape {
                Shape::Overlap => overlap(&mut unit, at, pool, &mut dice),
                Shape::Chain => unit.depends_on.extend(at.checked_sub(1)),
                Shape::Disjoint => {}
                Shape::Conflict => unit.writes.push("shared/all.txt".to_owned()),
            }
            unit
        });
        Self { units: units.collect(), idempotent: false, gate: None }
    }

    /// The id of the unit at a place.
    pub fn id(at: usize) -> String {
        (at + 1).to_string()
    }

    /// Places of units that the one at this place waits for: dependencies, and earlier ones that write what it reads or writes.
    pub fn waits_for(&self, at: usize) -> BTreeSet<usize> {
        let unit = &self.units[at];
        let mut waits: BTreeSet<usize> = unit.depends_on.iter().copied().collect();
        let touched: BTreeSet<&String> = unit.writes.iter().chain(&unit.reads).collect();
        waits.extend((0..at).filter(|earlier| self.units[*earlier].writes.iter().any(|path| touched.contains(path))));
        waits
    }

    /// What no schedule can beat: a unit's turns follow each other, and it holds its files until both are done.
    pub fn floor(&self) -> Floor {
        let mut done_ms: Vec<u64> = Vec::with_capacity(self.units.len());
        let mut work_ms = 0;
        for (at, unit) in self.units.iter().enumerate() {
            let turns_ms = unit.implement_ms + unit.review_ms;
            let ready_ms = self.waits_for(at).into_iter().map(|earlier| done_ms[earlier]).max().unwrap_or(0);
            done_ms.push(ready_ms + turns_ms);
            work_ms += turns_ms;
        }
        Floor { critical_path_ms: done_ms.into_iter().max().unwrap_or(0), work_ms }
    }

    /// The spec's `tasks.md`.
    pub fn tasks_md(&self) -> String {
        let mut text = String::from("# Generated plan\n\n");
        for (at, unit) in self.units.iter().enumerate() {
            let _ = writeln!(text, "- [ ] {0}. Step number {0}", Self::id(at));
            let _ = writeln!(text, "  - Add a line of its own to each file it writes.");
            let _ = writeln!(text, "  - _writes: {}_", unit.writes.join(", "));
            if !unit.reads.is_empty() {
                let _ = writeln!(text, "  - _reads: {}_", unit.reads.join(", "));
            }
            if !unit.depends_on.is_empty() {
                let ids: Vec<String> = unit.depends_on.iter().map(|at| Self::id(*at)).collect();
                let _ = writeln!(text, "  - depends on: {}", ids.join(", "));
            }
        }
        text
    }

    /// The playbook of its agents: work for a while, then add a line to each file it writes.
    pub fn playbook(&self) -> Value {
        let units = self.units.iter().enumerate().map(|(at, unit)| {
            let mut steps = vec![json!({"sleep_ms": unit.implement_ms})];
            if let Some(gate) = self.gate.as_ref().filter(|_| at + 1 == self.units.len()) {
                steps.push(json!({"run": format!("until [ -e '{}' ]; do sleep 0.05; done", gate.display())}));
            }
            steps.extend(unit.writes.iter().map(|path| self.line_step(path)));
            let review = json!([{"steps": [{"sleep_ms": unit.review_ms}]}]);
            (Self::id(at), json!({"implement": [{"steps": steps}], "review": review}))
        });
        json!({"default": {}, "units": Value::Object(units.collect())})
    }

    fn line_step(&self, path: &str) -> Value {
        if self.idempotent {
            let folder = path.rsplit_once('/').map_or(".", |(folder, _)| folder);
            json!({"run": format!("mkdir -p {folder}; grep -qsx 'unit {{unit}}' {path} || echo 'unit {{unit}}' >> {path}")})
        } else {
            json!({"append": {"path": path, "text": "unit {unit}\n"}})
        }
    }

    /// What each file says once all units are integrated: one line of each unit that writes it, in plan order.
    pub fn files(&self) -> std::collections::BTreeMap<String, String> {
        let mut files = std::collections::BTreeMap::new();
        for (at, unit) in self.units.iter().enumerate() {
            for path in &unit.writes {
                let text: &mut String = files.entry(path.clone()).or_default();
                let _ = writeln!(text, "unit {}", Self::id(at));
            }
        }
        files
    }
}

fn overlap(unit: &mut PlannedUnit, at: usize, pool: u64, dice: &mut Dice) {
    let shared = |dice: &mut Dice| format!("shared/part_{}.txt", dice.roll() % pool);
    if dice.percent(40) {
        unit.writes.push(shared(dice));
    }
    if dice.percent(25) {
        unit.reads.push(shared(dice));
    }
    if at > 0 && dice.percent(15) {
        // Not too far back, as plans are written.
        let back = 1 + dice.roll() % (at as u64).min(20);
        unit.depends_on.extend(usize::try_from(back).ok().and_then(|back| at.checked_sub(back)));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeMap;

    use roundtable_shared::spec::Spec;

    use super::*;

    #[test]
    fn the_floor_is_the_longer_of_path_and_work() {
        let turn = 100..=100;
        let floor = |shape| Plan::generate(shape, 8, &turn, 1).floor();
        assert_eq!(floor(Shape::Chain), Floor { critical_path_ms: 1600, work_ms: 1600 });
        assert_eq!(floor(Shape::Conflict), floor(Shape::Chain));
        assert_eq!(floor(Shape::Disjoint), Floor { critical_path_ms: 200, work_ms: 1600 });
        assert_eq!(floor(Shape::Disjoint).with_slots(4), 400);
        assert_eq!(floor(Shape::Chain).with_slots(4), 1600);
    }

    #[test]
    fn a_seed_is_a_plan_and_the_parser_reads_it_as_meant() {
        let plan = Plan::generate(Shape::Overlap, 200, &(200..=600), 7);
        assert_eq!(plan, Plan::generate(Shape::Overlap, 200, &(200..=600), 7));
        assert_ne!(plan, Plan::generate(Shape::Overlap, 200, &(200..=600), 8));
        let files = BTreeMap::from([("tasks.md".to_owned(), plan.tasks_md().into_bytes())]);
        let read = Spec::read(&files, false).plan;
        assert_eq!(read.units.len(), 200);
        for (at, (unit, read)) in plan.units.iter().zip(&read.units).enumerate() {
            let depends: Vec<String> = unit.depends_on.iter().map(|on| Plan::id(*on)).collect();
            assert_eq!(read.depends_on.iter().map(ToString::to_string).collect::<Vec<_>>(), depends, "unit {at}");
            assert_eq!(read.writes.iter().collect::<BTreeSet<_>>(), unit.writes.iter().collect::<BTreeSet<_>>());
        }
        assert!((0..200).any(|at| plan.waits_for(at).len() > plan.units[at].depends_on.len()), "some meet in a file");
    }
}
