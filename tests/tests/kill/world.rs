//! A run's processes, each of which can be killed and started again.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use roundtable_tests::harness::{Output, Process, Repository, Sandbox, Signal, SpecText};
use roundtable_tests::plans::{Dice, Plan, Shape};

/// Turns are long enough for a kill to meet most of what happens, and short enough to be played often.
const TURN_MS: std::ops::RangeInclusive<u64> = 400..=1400;
/// Longest a run may take, whatever is done to it. What it may wait for at a time is checked on its events.
pub const RUN_WITHIN: Duration = Duration::from_secs(300);

pub struct World {
    pub sandbox: Sandbox,
    pub repository: Repository,
    pub plan: Plan,
    pub spec: PathBuf,
    pub playbook: PathBuf,
    pub dice: Dice,
}

impl World {
    /// A repository with a generated spec.
    pub fn new(units: usize, seed: u64) -> Self {
        let world = Self::gated(units, seed);
        world.let_end();
        world
    }

    /// The same, but its run does not end before it is let.
    pub fn gated(units: usize, seed: u64) -> Self {
        let sandbox = Sandbox::new();
        let mut plan = Plan::generate(Shape::Overlap, units, &TURN_MS, seed);
        plan.idempotent = true;
        plan.gate = Some(sandbox.path("gate"));
        let (repository, spec) = sandbox.project(&SpecText::of_tasks("plan", &plan.tasks_md()));
        let playbook = sandbox.path("playbook.json");
        std::fs::write(&playbook, plan.playbook().to_string()).unwrap();
        Self { sandbox, repository, plan, spec, playbook, dice: Dice::new(seed) }
    }

    /// The last unit may come to its end.
    pub fn let_end(&self) {
        std::fs::write(self.sandbox.path("gate"), "").unwrap();
    }

    pub fn backend(&self) -> String {
        format!("scripted:{}", self.playbook.display())
    }

    pub fn pause(&mut self, from_ms: u64, to_ms: u64) -> Duration {
        Duration::from_millis(self.dice.within(&(from_ms..=to_ms)))
    }

    /// `orchctl run`, attached.
    pub fn run(&self, more: &[&str]) -> Process {
        let run = self.sandbox.orchctl(self.repository.path(), ["run", "--mode", "deterministic", "--yes", "--json"]);
        run.args(more.iter().copied()).args(["--spec"]).path(&self.spec).start()
    }

    pub fn ask(&self, args: &[&str]) -> Output {
        self.sandbox.orchctl(self.repository.path(), args.iter().copied()).run()
    }
}

/// Waits so long, but not beyond the process's own end. Whether it still runs.
pub fn runs_on(process: &mut Process, pause: Duration) -> bool {
    let until = Instant::now() + pause;
    while process.is_running() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        // A fault's moment, not a condition.
        std::thread::sleep(left.min(Duration::from_millis(20)));
    }
    false
}

/// Asks it to end, and it does, well.
pub fn end(process: Process) {
    process.signal(Signal::TERM);
    process.wait_within(Duration::from_secs(30)).expect(0);
}
