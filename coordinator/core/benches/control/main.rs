//! What the pure core itself costs over whole runs, by shape and size of the plan: no log, no wire, no git, agents that end at once. Figures are
//! for comparing shapes, sizes and builds on one machine (`docs/benchmarks.md`).
#![allow(missing_docs)]
#![allow(clippy::disallowed_types, clippy::disallowed_macros, reason = "the core has neither clock nor output; what measures it does")]

mod fleet;
mod shape;

use std::time::{Duration, Instant};

use fleet::Fleet;
use shape::Shape;

/// Each figure is the median of so many runs.
const REPEATS: usize = 3;

/// One whole run.
struct Measured {
    submit: Duration,
    first_grant: Duration,
    whole: Duration,
    longest: Duration,
}

fn main() {
    // cargo passes `--bench`; the rest are sizes.
    let sizes: Vec<usize> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![100, 1_000] } else { sizes };
    println!("shape      units  submit ms  first grant ms  whole us/unit  longest batch ms");
    for shape in Shape::ALL {
        for &size in &sizes {
            let mut runs: Vec<Measured> = (0..REPEATS).map(|_| whole_run(shape, size)).collect();
            runs.sort_by_key(|run| run.whole);
            let run = &runs[REPEATS / 2];
            let ms = |time: Duration| time.as_secs_f64() * 1e3;
            println!(
                "{:9} {size:6} {:10.1} {:15.1} {:14.1} {:17.2}",
                shape.as_str(),
                ms(run.submit),
                ms(run.first_grant),
                run.whole.as_secs_f64() * 1e6 / size as f64,
                ms(run.longest)
            );
        }
    }
}

/// Submits a plan and plays it to its end with four workers of four slots.
fn whole_run(shape: Shape, units: usize) -> Measured {
    let (spec, outline) = shape.plan(units);
    let mut fleet = Fleet::new(4, 4);
    let begun = Instant::now();
    fleet.submit(spec, outline);
    let submit = begun.elapsed();
    fleet.schedule();
    let first_grant = begun.elapsed();
    let mut longest = Duration::ZERO;
    let begun = Instant::now();
    while fleet.step(&mut longest) {}
    assert_eq!(fleet.completed(), units, "every unit is completed");
    Measured { submit, first_grant, whole: begun.elapsed(), longest }
}
