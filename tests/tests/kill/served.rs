//! Three kinds of processes: `coordinator serve`, `worker join`, `orchctl run`.

use std::time::Duration;

use roundtable_tests::harness::{Process, Signal};

use crate::Volume;
use crate::check;
use crate::world::{RUN_WITHIN, World, end, runs_on};

const WORKERS: usize = 3;

/// The processes.
struct Fleet {
    serve: Process,
    workers: Vec<Process>,
    run: Process,
}

impl Fleet {
    fn start(world: &World) -> Self {
        let serve = world.sandbox.serve();
        let workers = (0..WORKERS).map(|at| worker(world, at)).collect();
        let mut run = world.run(&[]);
        attached(&mut run);
        Self { serve, workers, run }
    }

    /// Kills one of them, lets the others be without it for a moment, and starts it again.
    fn strike(&mut self, world: &mut World) -> String {
        let absent = world.pause(0, 700);
        match world.dice.within(&(0..=(WORKERS as u64 + 2))) {
            0 | 1 => {
                kill(&mut self.serve);
                runs_on(&mut self.run, absent);
                self.serve = world.sandbox.serve();
                format!("serve, back after {absent:?}")
            }
            2 => {
                kill(&mut self.run);
                runs_on(&mut self.serve, absent);
                self.run = world.run(&[]);
                attached(&mut self.run);
                format!("run, back after {absent:?}")
            }
            which => {
                let at = usize::try_from(which).unwrap() - 3;
                kill(&mut self.workers[at]);
                runs_on(&mut self.run, absent);
                self.workers[at] = worker(world, at);
                format!("worker {at}, back after {absent:?}")
            }
        }
    }
}

fn worker(world: &World, at: usize) -> Process {
    let name = format!("w{at}");
    world.sandbox.worker(["--backend", &world.backend(), "--name", &name])
}

/// Waits until it follows the run, or has ended. One that finds nobody serving would serve itself, which is another test.
fn attached(run: &mut Process) {
    while run.is_running() && !run.stderr().contains(" unit") {
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn kill(process: &mut Process) {
    process.signal(Signal::KILL);
    while process.is_running() {
        std::thread::yield_now();
    }
}

#[test]
fn a_run_survives_kills_of_all_its_processes() {
    let volume = Volume::asked(11);
    for seed in &volume.seeds {
        println!("seed {seed}");
        let mut world = World::gated(volume.units, *seed);
        let mut fleet = Fleet::start(&world);
        for kill in 1..=volume.kills {
            let pause = world.pause(100, 900);
            assert!(runs_on(&mut fleet.run, pause), "the run was over before kill {kill}");
            println!("after {pause:?}: {}", fleet.strike(&mut world));
        }
        world.let_end();
        let Fleet { serve, workers, run } = fleet;
        let summary = run.wait_within(RUN_WITHIN).expect(0).json();
        check::complete(&world, &summary);
        workers.into_iter().for_each(end);
        end(serve);
        check::at_rest(&world);
    }
}

/// A frozen worker is not a dead one: when it thaws, what it did for others' seats is refused, and kept.
#[test]
#[ignore = "takes over a minute: .ci/run slow plays it"]
fn a_worker_that_was_frozen_for_too_long_changes_nothing() {
    let world = World::new(10, 5);
    let mut fleet = Fleet::start(&world);
    fleet.workers[0].wait_for_stderr("role=implement");
    let frozen = fleet.workers[0].pid();
    fleet.workers[0].signal(Signal::STOP);
    println!("froze {frozen}");
    let summary = fleet.run.wait_within(RUN_WITHIN).expect(0).json();
    fleet.workers[0].signal(Signal::CONT);
    check::all_but_time(&world, &summary);
    check::was_late(&world);
    fleet.workers.into_iter().for_each(end);
    end(fleet.serve);
    check::at_rest(&world);
}
