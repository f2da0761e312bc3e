//! The coordinator dies the N-th time one of its threads makes something durable, and again, sixty times over the run of fifty units: whatever was on disk by then,
//! it goes on from there, and comes to what it would have come to. `ROUNDTABLE_TEST_CRASH_POINTS=all` plays each point alone, in a run of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use roundtable_runtime::clock::{Clock, SystemClock};
use roundtable_tests::harness::{Process, Signal, binary, wait_for};
use roundtable_tests::plans::Dice;
use rustix::process::{Pid, kill_process};

use crate::check;
use crate::world::{RUN_WITHIN, World, end};

const UNITS: usize = 50;
/// Deaths that are met in all.
const POINTS: usize = 60;
/// Runs over which they are spread at most: one has some five hundred syncs.
const RUNS_MAX: u64 = 4;
const WORKERS: usize = 2;
/// Longest life that is waited for: where its point is not met by then, it counts for nothing.
const LIFE_MAX: Duration = Duration::from_secs(8);
/// Syncs of one thread that a run's coordinator comes to at most, for the sweep.
const SWEEP_MAX: u32 = 400;
/// Points in a row that nobody meets any more end the sweep of a call.
const UNMET_MAX: u32 = 3;

/// Where a life ends: strace counts each thread's calls by itself, from the life's beginning.
#[derive(Clone, Copy, Debug)]
struct Point {
    call: &'static str,
    when: u32,
}

impl Point {
    /// Most syncs are those of the log and of events; the others keep files beside them, and git's objects.
    fn drawn(dice: &mut Dice) -> Self {
        let (call, last) = if dice.percent(85) { ("fdatasync", 18) } else { ("fsync", 2) };
        Self { call, when: u32::try_from(dice.within(&(1..=last))).unwrap() }
    }
}

/// A run that is under way, with its workers.
struct Night {
    world: World,
    workers: Vec<Process>,
    run: Process,
}

impl Night {
    /// Begun with an ordinary coordinator, which then dies too: who finds nobody serving would serve itself.
    fn begin(seed: u64) -> Self {
        let world = World::new(UNITS, seed);
        let served = world.sandbox.serve();
        let backend = format!("{}=3", world.backend());
        let workers = (0..WORKERS).map(|at| world.sandbox.worker(["--backend", &backend, "--name", &format!("w{at}")])).collect();
        let mut run = world.run(&[]);
        let until = Instant::now() + RUN_WITHIN;
        while run.is_running() && !run.stderr().contains(" unit") {
            assert!(Instant::now() < until, "it has not begun\n{}", run.said());
            std::thread::sleep(Duration::from_millis(5));
        }
        served.kill();
        Self { world, workers, run }
    }

    /// A coordinator that dies there. Whether it did, before the run was over.
    fn lives_until(&mut self, strace: &Path, point: Point, longest: Duration) -> bool {
        let mut life = traced(&self.world, strace, point);
        let until = Instant::now() + longest;
        while life.is_running() && self.run.is_running() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
        let died = !life.is_running();
        if !died {
            stop_traced(&self.world, life);
        }
        died
    }

    /// The rest of it, with an ordinary coordinator: it comes to its end, and to the right one.
    fn comes_to_its_end(self) {
        let Self { world, workers, run } = self;
        let served = world.sandbox.serve();
        let back = SystemClock.wall();
        let summary = run.wait_within(RUN_WITHIN).expect(0).json();
        check::all_but_time(&world, &summary);
        check::went_on(&world, &summary, back);
        workers.into_iter().for_each(end);
        end(served);
        check::at_rest(&world);
    }
}

#[test]
#[ignore = "takes two minutes and needs strace: .ci/run slow plays it"]
fn a_run_of_fifty_units_survives_its_coordinators_death_at_any_sync() {
    let strace = in_path("strace").expect("this test needs strace");
    if std::env::var("ROUNDTABLE_TEST_CRASH_POINTS").is_ok_and(|value| value == "all") {
        return sweep(&strace);
    }
    let first = crate::seeds(&[41])[0];
    let mut died = 0;
    for seed in first..first + RUNS_MAX {
        if died >= POINTS {
            break;
        }
        let (began, mut dice, before) = (Instant::now(), Dice::new(seed), died);
        let mut night = Night::begin(seed);
        while died < POINTS && night.run.is_running() {
            let point = Point::drawn(&mut dice);
            let met = night.lives_until(&strace, point, LIFE_MAX);
            println!("seed {seed}, {} {}: {}", point.call, point.when, if met { "died" } else { "not met" });
            died += usize::from(met);
        }
        night.comes_to_its_end();
        println!("seed {seed}: {} deaths, {:?}", died - before, began.elapsed());
    }
    assert!(died >= POINTS, "only {died} deaths in {RUNS_MAX} runs");
}

/// Each point alone: a run of its own, in which the coordinator dies there and nowhere else.
fn sweep(strace: &Path) {
    for call in ["fdatasync", "fsync"] {
        let mut unmet = 0;
        for when in 1..=SWEEP_MAX {
            let mut night = Night::begin(41);
            let met = night.lives_until(strace, Point { call, when }, RUN_WITHIN);
            println!("{call} {when}: {}", if met { "died" } else { "not met" });
            night.comes_to_its_end();
            unmet = if met { 0 } else { unmet + 1 };
            if unmet == UNMET_MAX {
                break;
            }
        }
    }
}

fn traced(world: &World, strace: &Path, point: Point) -> Process {
    let Point { call, when } = point;
    let mut command = Command::new(strace);
    command.args([
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        &format!("trace={call}"),
        "-e",
        &format!("inject={call}:signal=SIGKILL:when={when}"),
    ]);
    command.arg(binary("coordinator")).args(["serve", "--listen", "127.0.0.1:0"]);
    command.env_clear().env("PATH", world.sandbox.path("bin")).env("HOME", world.sandbox.path("home"));
    command.env("ROUNDTABLE_DATA_DIR", world.sandbox.data_dir());
    Process::start(command, &format!("coordinator serve, killed at {call} {when}"), Stdio::null())
}

/// A signal to the tracer would let go of the traced. It may still meet its point while it ends.
fn stop_traced(world: &World, mut served: Process) {
    // Before it is ready, the lock may name one that is dead.
    let until = Instant::now() + RUN_WITHIN;
    while served.is_running() && !served.stderr().contains("ready") {
        assert!(Instant::now() < until, "it is not ready\n{}", served.said());
        std::thread::sleep(Duration::from_millis(10));
    }
    let held = std::fs::read_to_string(world.sandbox.data_dir().join("lock")).unwrap();
    let held: serde_json::Value = serde_json::from_str(&held).unwrap();
    let pid = Pid::from_raw(i32::try_from(held["pid"].as_i64().unwrap()).unwrap()).unwrap();
    let _ = kill_process(pid, Signal::TERM);
    wait_for(
        "the coordinator to end",
        || served.said(),
        || std::fs::metadata(format!("/proc/{}", pid.as_raw_nonzero())).is_err().then_some(()),
    );
    served.wait_within(RUN_WITHIN);
}

fn in_path(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|dir| dir.join(name)).find(|file| file.is_file())
}
