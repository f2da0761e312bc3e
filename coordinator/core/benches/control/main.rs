//! What the pure core itself costs, by shape and size of the plan: reading and planning it, or whole runs without log, wire and git, with agents that
//! end at once. Figures are for comparing shapes, sizes and builds on one machine (`docs/benchmarks.md`).
#![allow(missing_docs)]
#![allow(clippy::disallowed_types, clippy::disallowed_macros, reason = "the core has neither clock nor output; what measures it does")]

mod fleet;
mod shape;
mod stub;

use std::time::{Duration, Instant};

use fleet::Fleet;
use roundtable_core::schedule::plan;
use roundtable_shared::HazardRule;
use shape::Shape;

/// Each figure is the median of so many runs.
const REPEATS: usize = 3;

/// One whole run.
struct Measured {
    submit: Duration,
    first_grant: Duration,
    whole: Duration,
    longest: Duration,
    publish: Duration,
}

fn main() {
    // cargo passes `--bench`; the rest are sizes, `plan` for planning alone, and `publish` where copies for readers are made after each answer.
    let sizes: Vec<usize> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![100, 1_000] } else { sizes };
    if std::env::args().any(|word| word == "plan") {
        plans(&sizes);
    } else {
        whole_runs(&sizes, std::env::args().any(|word| word == "publish"));
    }
}

/// What `orchctl plan` does: reads the text and finds order, waits and waves.
fn plans(sizes: &[usize]) {
    println!("shape      units   read ms   plan ms   waves");
    for shape in Shape::ALL {
        for &size in sizes {
            let mut runs: Vec<(Duration, Duration, u32)> = (0..REPEATS).map(|_| planned(shape, size)).collect();
            runs.sort();
            let (read, plan, waves) = runs[REPEATS / 2];
            println!("{:9} {size:6} {:9.1} {:9.1} {waves:7}", shape.as_str(), ms(read), ms(plan));
        }
    }
}

fn planned(shape: Shape, units: usize) -> (Duration, Duration, u32) {
    let text = shape.text(units);
    let begun = Instant::now();
    let (_, outline) = shape::read(text);
    let read = begun.elapsed();
    let begun = Instant::now();
    let planned = plan(&outline, false, &[], HazardRule::Ordered, false, None);
    let plan = begun.elapsed();
    assert_eq!(planned.units.len(), units, "every unit is planned");
    (read, plan, planned.waves)
}

fn whole_runs(sizes: &[usize], publishes: bool) {
    println!("shape      units  submit ms  first grant ms  whole us/unit  longest batch ms  publish us");
    for shape in Shape::ALL {
        for &size in sizes {
            let mut runs: Vec<Measured> = (0..REPEATS).map(|_| whole_run(shape, size, publishes)).collect();
            runs.sort_by_key(|run| run.whole);
            let run = &runs[REPEATS / 2];
            println!(
                "{:9} {size:6} {:10.1} {:15.1} {:14.1} {:17.2} {:11.2}",
                shape.as_str(),
                ms(run.submit),
                ms(run.first_grant),
                run.whole.as_secs_f64() * 1e6 / size as f64,
                ms(run.longest),
                ms(run.publish) * 1e3
            );
        }
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Submits a plan and plays it to its end with four workers of four slots.
fn whole_run(shape: Shape, units: usize, publishes: bool) -> Measured {
    let (spec, outline) = shape.plan(units);
    let mut fleet = Fleet::new(4, 4, &outline, publishes);
    let begun = Instant::now();
    fleet.submit(spec, outline);
    let submit = begun.elapsed();
    fleet.schedule();
    let first_grant = begun.elapsed();
    let mut longest = Duration::ZERO;
    let begun = Instant::now();
    while fleet.step(&mut longest) {}
    assert_eq!(fleet.completed(), units, "every unit is completed");
    let whole = begun.elapsed();
    let (copies, publishing) = fleet.publishing;
    Measured { submit, first_grant, whole, longest, publish: publishing / copies.max(1) }
}
