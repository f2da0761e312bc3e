//! The state machine alone, over a whole run; its floor is what any scheduler has to do with such a plan: a queue of what is ready, a count of what each
//! unit waits for, and a map from ids.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use anyhow::ensure;
use roundtable_shared::spec::{Plan, Spec};

use crate::fleet::Fleet;
use crate::shape::Shape;
use crate::table::{Measured, Table};

pub fn run(table: &mut Table, units: usize, workers: u64) -> anyhow::Result<()> {
    for shape in Shape::ALL {
        let (spec, outline) = shape.plan(units);
        let mut floor = || Ok(floor(&outline));
        let mut ours = || whole(&spec, &outline, workers);
        table.take(&format!("core, {}, {units}", shape.as_str()), &mut [("floor", &mut floor), ("ours", &mut ours)])?;
    }
    Ok(())
}

fn whole(spec: &Spec, outline: &Plan, workers: u64) -> anyhow::Result<Measured> {
    let units = outline.units.len();
    let mut fleet = Fleet::new(workers, 4, outline, false);
    let (spec, plan) = (spec.clone(), outline.clone());
    let began = Instant::now();
    fleet.submit(spec, plan);
    fleet.schedule();
    let first = began.elapsed();
    let (began, mut longest) = (Instant::now(), Duration::ZERO);
    while fleet.step(&mut longest) {}
    let whole = began.elapsed();
    ensure!(fleet.completed() == units, "every unit is completed");
    Ok(vec![
        ("submit to first grant", "ms", first.as_secs_f64() * 1e3),
        ("a unit", "us", whole.as_secs_f64() * 1e6 / units as f64),
        ("longest answer", "ms", longest.as_secs_f64() * 1e3),
    ])
}

fn floor(outline: &Plan) -> Measured {
    let began = Instant::now();
    let places: HashMap<&str, usize> = outline.units.iter().enumerate().map(|(at, unit)| (unit.id.as_str(), at)).collect();
    let mut last_writer: BTreeMap<&str, usize> = BTreeMap::new();
    let mut waits = vec![0_usize; outline.units.len()];
    let mut waiters: Vec<Vec<usize>> = vec![Vec::new(); outline.units.len()];
    for (at, unit) in outline.units.iter().enumerate() {
        let named = unit.depends_on.iter().filter_map(|id| places.get(id.as_str()).copied());
        let met: Vec<usize> = unit.writes.iter().filter_map(|path| last_writer.insert(path, at)).filter(|on| *on != at).collect();
        for on in named.chain(met) {
            waits[at] += 1;
            waiters[on].push(at);
        }
    }
    let mut ready: VecDeque<usize> = (0..waits.len()).filter(|at| waits[*at] == 0).collect();
    while let Some(at) = ready.pop_front() {
        for &next in &waiters[at] {
            waits[next] -= 1;
            if waits[next] == 0 {
                ready.push_back(next);
            }
        }
    }
    assert!(waits.iter().all(|waits| *waits == 0), "every unit is done");
    vec![("a unit", "us", began.elapsed().as_secs_f64() * 1e6 / waits.len().max(1) as f64)]
}
