//! One process: `orchctl run` with its own coordinator and workers.

use crate::Volume;
use crate::check;
use crate::world::{RUN_WITHIN, World, runs_on};

#[test]
fn an_embedded_run_goes_on_after_every_kill() {
    let volume = Volume::asked(21);
    for seed in &volume.seeds {
        println!("seed {seed}");
        let mut world = World::gated(volume.units, *seed);
        let crew = format!("{}=3", world.backend());
        let mut run = world.run(&["--workers", &crew]);
        for kill in 1..=volume.kills {
            let pause = world.pause(200, 1500);
            assert!(runs_on(&mut run, pause), "the run was over before kill {kill}");
            run.kill();
            println!("killed after {pause:?}");
            run = world.run(&["--workers", &crew]);
        }
        world.let_end();
        let summary = run.wait_within(RUN_WITHIN).expect(0).json();
        check::complete(&world, &summary);
        check::at_rest(&world);
    }
}
