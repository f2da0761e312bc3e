//! One seed: a plan, its hosts, their network, what is done to them; then everything is healed, the run must end well, and the history checker is asked.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use roundtable_runtime::clock::{Clock, ManualClock};
use roundtable_runtime::git::{GitProgram, Meanwhile};
use roundtable_runtime::identity::{Ca, Lifetime, PeerRole};
use roundtable_shared::time::WallMs;
use roundtable_shared::view::SubmitRequest;
use roundtable_shared::{Mode, RunOptions};
use roundtable_tests::history::{self, Summary};
use roundtable_tests::plans::{Dice, Plan, Shape};
use turmoil::{Builder, Sim};

use crate::faults::{self, Act};
use crate::git;
use crate::hosts::{self, COORDINATOR, Ended, Served, Wanted};
use crate::machine::Machine;
use crate::still;

/// What one step of the network is worth, milliseconds.
const TICK_MS: u64 = 20;
/// After the last fault everything must be over within this, in the simulation's time.
const OVER_WITHIN_MS: u64 = 900_000;
/// Once the run has ended, workers have this long to hand in what nobody waits for any more.
const DELIVERED_WITHIN_MS: u64 = 180_000;
/// Most units of a plan.
const UNITS: std::ops::RangeInclusive<u64> = 5..=20;
/// The time of day of the simulation goes ahead of the host's, which is the one that certificates are judged by: it begins so much behind.
const BEHIND_MS: u64 = 3 * 3_600_000;

/// What came of a seed.
pub struct Played {
    pub summary: Summary,
    /// What was done, with the simulation's times.
    pub trace: String,
    /// How many things that was.
    pub faults: usize,
    /// Tree of the run's branch in the end.
    pub tree: String,
    /// How long it was in the simulation.
    pub virtual_ms: u64,
    pub took: Duration,
}

/// The software of the coordinator's host.
pub type Coordinator = fn(Served) -> Ended;

/// Plays a seed twice: the same is done to the same hosts at the same times, and it comes to the same files by the same units.
pub fn play_twice(seed: u64) -> Result<Played, String> {
    let (one, two) = (play(seed, hosts::coordinator)?, play(seed, hosts::coordinator)?);
    let same = |played: &Played| {
        (played.trace.clone(), played.tree.clone(), played.summary.units, played.summary.integrated, played.summary.commits)
    };
    if same(&one) == same(&two) {
        Ok(one)
    } else {
        Err(format!("seed {seed} is not the same when it is played again: {:#?} {:#?}", same(&one), same(&two)))
    }
}

/// Plays a seed to its end; what went wrong otherwise.
pub fn play(seed: u64, coordinator: Coordinator) -> Result<Played, String> {
    let began = Instant::now();
    let mut dice = Dice::new(seed);
    let workers: Vec<String> = (1..=dice.within(&(2..=6))).map(|number| format!("worker-{number}")).collect();
    let units = dice.within(&UNITS).min(dice.within(&UNITS)).min(dice.within(&UNITS));
    let shape = if dice.percent(70) { Shape::Overlap } else { Shape::Disjoint };
    let turns = if dice.percent(30) { 1_000..=60_000 } else { 500..=12_000 };
    let plan = Arc::new(Plan::generate(shape, usize::try_from(units).unwrap_or(5), &turns, dice.roll()));
    let count = dice.within(&(3..=12));
    let acts = faults::draw(&mut dice, &workers, count);
    let latency_ms = [40, 100, 400][usize::try_from(dice.roll() % 3).unwrap_or(0)];
    let world = World::build(seed, &workers, &plan, dice.within(&(1..=2)))?;
    let played = world.play(coordinator, &acts, latency_ms, seed);
    let (virtual_ms, trace) = played.map_err(|why| format!("seed {seed}: {why}\n{}", told(&plan, &acts)))?;
    let checked = history::check(&world.data_dir, &world.repository());
    let summary = checked.map_err(|violations| format!("seed {seed}:\n{}{}", history::told(&violations), told(&plan, &acts)))?;
    let tree = world.expect_done(&plan, &summary).map_err(|why| format!("seed {seed}: {why}\n{}", told(&plan, &acts)))?;
    Ok(Played { summary, trace, faults: acts.len(), tree, virtual_ms, took: began.elapsed() })
}

fn told(plan: &Plan, acts: &[(u64, Act)]) -> String {
    let mut text = plan.tasks_md();
    for (at, act) in acts {
        let _ = writeln!(text, "{at:>7} {act}");
    }
    text
}

/// The disks of all hosts.
struct World {
    _home: tempfile::TempDir,
    data_dir: PathBuf,
    clock: ManualClock,
    program: GitProgram,
    root: String,
    machines: Vec<Arc<Machine>>,
    wanted: Wanted,
}

impl World {
    fn build(seed: u64, workers: &[String], plan: &Arc<Plan>, slots: u64) -> Result<Self, String> {
        let home = tempdir()?;
        let data_dir = home.path().join("coordinator");
        let clock = ManualClock::new(1_000_000, WallMs(roundtable_runtime::clock::SystemClock.wall().0 - BEHIND_MS));
        let ca = Ca::open_or_create(&data_dir.join("ca"), clock.wall()).map_err(|error| error.to_string())?;
        let mint = |role, name: &str| ca.mint_client(role, name, clock.wall(), Lifetime::WORKER).map_err(|error| error.to_string());
        let root = base(&data_dir)?;
        let machine = |name: &String| {
            let (dir, slots) = (home.path().join(name), u32::try_from(slots).unwrap_or(1));
            let credentials = mint(PeerRole::Worker, name)?;
            Ok::<_, String>(Arc::new(Machine::new(name.clone(), dir, clock.clone(), credentials, root.clone(), slots, Arc::clone(plan))))
        };
        let machines = workers.iter().map(machine).collect::<Result<Vec<_>, _>>()?;
        let request = request(&root, seed);
        let wanted = Wanted { credentials: mint(PeerRole::Operator, "ann")?, request, tasks: plan.tasks_md() };
        let program = program()?;
        Ok(Self { _home: home, data_dir, clock, program, root, machines, wanted })
    }

    fn repository(&self) -> PathBuf {
        self.data_dir.join("repos").join(format!("{}.git", self.root))
    }

    /// Until the run has ended and all is delivered; the simulation's time, and what was done.
    fn play(&self, coordinator: Coordinator, acts: &[(u64, Act)], latency_ms: u64, seed: u64) -> Result<(u64, String), String> {
        let mut builder = Builder::new();
        builder.rng_seed(seed).tick_duration(Duration::from_millis(TICK_MS)).simulation_duration(Duration::MAX).enable_tokio_io();
        builder.min_message_latency(Duration::from_millis(1)).max_message_latency(Duration::from_millis(latency_ms));
        builder.tcp_capacity(1_024);
        let mut sim = builder.build();
        let served = Served { data_dir: self.data_dir.clone(), clock: self.clock.clone(), program: self.program.clone() };
        sim.host(COORDINATOR, move || coordinator(served.clone()));
        for machine in &self.machines {
            let machine = Arc::clone(machine);
            sim.host(machine.name.clone(), move || hosts::worker(Arc::clone(&machine)));
        }
        sim.client("operator", hosts::operator(self.wanted.clone()));
        let (mut now, mut trace) = (0_u64, String::new());
        let mut down: BTreeSet<&str> = BTreeSet::new();
        let mut acts = acts.iter().peekable();
        let (mut healed_ms, mut ended_ms) = (0, None);
        loop {
            while let Some((at, act)) = acts.next_if(|(at, _)| *at <= now) {
                apply(&mut sim, act);
                match act {
                    Act::Crash(host) => drop(down.insert(host)),
                    Act::Start(host) => drop(down.remove(host.as_str())),
                    _ => {}
                }
                let _ = writeln!(trace, "{at} {act}");
                healed_ms = *at;
            }
            // Whoever looks after services starts them again.
            for machine in self.machines.iter().filter(|machine| !down.contains(machine.name.as_str())) {
                if !sim.is_host_running(machine.name.as_str()) {
                    sim.bounce(machine.name.as_str());
                }
            }
            let is_over = sim.step().map_err(|error| format!("after {now} ms: {error}"))?;
            now += TICK_MS;
            self.clock.advance(TICK_MS);
            if acts.peek().is_some() {
                continue;
            }
            if is_over {
                let ended = *ended_ms.get_or_insert(now);
                let held: usize = self.machines.iter().map(|machine| machine.held()).sum();
                if held == 0 {
                    break;
                }
                if now > ended.max(healed_ms) + DELIVERED_WITHIN_MS {
                    return Err(format!("{held} attempts are still held {DELIVERED_WITHIN_MS} ms after the run's end"));
                }
            } else if now > healed_ms + OVER_WITHIN_MS {
                return Err(format!("the run has not ended {OVER_WITHIN_MS} ms after the last fault"));
            }
        }
        Ok((now, trace))
    }

    /// I7, and each file as if the units had run one after the other; the tree of the branch.
    fn expect_done(&self, plan: &Plan, summary: &Summary) -> Result<String, String> {
        let mut wrong: Vec<String> = summary.open.clone();
        wrong.extend(summary.exits.iter().filter(|(_, exit)| **exit != 0).map(|(run, exit)| format!("run {run} ended with exit {exit}")));
        if summary.runs != 1 || summary.integrated != plan.units.len() || summary.commits != plan.units.len() {
            wrong.push(format!("{} runs, {} units, {} integrated", summary.runs, plan.units.len(), summary.integrated));
        }
        if !wrong.is_empty() {
            return Err(format!("not all is done: {wrong:?}"));
        }
        let repository = self.repository();
        let run = summary.exits.keys().next().map(ToString::to_string).unwrap_or_default();
        let branch = format!("refs/heads/roundtable/{run}");
        let expected = plan.files();
        let paths: Vec<String> = expected.keys().cloned().collect();
        let found = git::read(&repository, &branch, &paths)?;
        for (path, text) in paths.iter().zip(found) {
            if text.as_deref() != Some(expected[path].as_str()) {
                return Err(format!("{path} is {text:?} and not {:?}", expected[path]));
            }
        }
        let tree = git::git(&repository, &["rev-parse", &format!("{branch}^{{tree}}")], b"")?;
        Ok(String::from_utf8_lossy(&tree).trim().to_owned())
    }
}

fn apply(sim: &mut Sim<'_>, act: &Act) {
    match act {
        Act::Cut(a, b) => sim.partition(a.as_str(), b.as_str()),
        Act::CutOneWay(a, b) => sim.partition_oneway(a.as_str(), b.as_str()),
        Act::Hold(a, b) => sim.hold(a.as_str(), b.as_str()),
        Act::Mend(a, b) => sim.repair(a.as_str(), b.as_str()),
        Act::MendOneWay(a, b) => sim.repair_oneway(a.as_str(), b.as_str()),
        Act::Release(a, b) => sim.release(a.as_str(), b.as_str()),
        Act::Crash(host) => sim.crash(host.as_str()),
        Act::Start(host) => sim.bounce(host.as_str()),
        Act::Slow(a, b, ms) => sim.set_link_max_message_latency(a.as_str(), b.as_str(), Duration::from_millis(*ms)),
    }
}

/// A disk in memory, where there is one: syncs are not what is tested here.
fn tempdir() -> Result<tempfile::TempDir, String> {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.map_err(|error| error.to_string())
}

/// Files of a folder, with what is in them.
type Files = Vec<(PathBuf, Vec<u8>)>;

/// A repository with one commit, made once and written out for each seed; its key.
fn base(data_dir: &Path) -> Result<String, String> {
    static BASE: OnceLock<Result<(Files, String), String>> = OnceLock::new();
    let made = BASE.get_or_init(|| {
        let home = tempdir()?;
        git::init(home.path())?;
        let files = [("README.md".to_owned(), "# Sample\n".to_owned())];
        let root = git::commit(home.path(), None, "root", 1_767_225_600, "Start", &files)?;
        let mut found = Files::new();
        files_below(home.path(), home.path(), &mut found).map_err(|error| error.to_string())?;
        Ok((found, root))
    });
    let (files, root) = made.as_ref().map_err(Clone::clone)?;
    let dir = data_dir.join("repos").join(format!("{root}.git"));
    git::init(&dir)?;
    for (path, bytes) in files {
        let file = dir.join(path);
        let written = std::fs::create_dir_all(file.parent().unwrap_or(&dir)).and_then(|()| std::fs::write(&file, bytes));
        written.map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(root.clone())
}

fn files_below(root: &Path, dir: &Path, found: &mut Files) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            files_below(root, &path, found)?;
        } else if let Ok(name) = path.strip_prefix(root) {
            found.push((name.to_owned(), std::fs::read(&path)?));
        }
    }
    Ok(())
}

/// git, found once, under which the simulation's clock stands still.
fn program() -> Result<GitProgram, String> {
    static PROGRAM: Mutex<Option<GitProgram>> = Mutex::new(None);
    let mut program = PROGRAM.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(program) = program.as_ref() {
        return Ok(program.keeping(Meanwhile::new(still::keep)));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    let found = runtime.block_on(GitProgram::find()).map_err(|error| error.to_string())?;
    *program = Some(found.clone());
    Ok(found.keeping(Meanwhile::new(still::keep)))
}

fn request(root: &str, seed: u64) -> SubmitRequest {
    SubmitRequest {
        repository: root.to_owned(),
        git_dir: "/home/ann/sample/.git".to_owned(),
        spec_path: format!("/home/ann/sample/specs/seed-{seed}"),
        workdir: "/home/ann/sample".to_owned(),
        spec_in_repository: None,
        mirror_paths: Vec::new(),
        base: root.to_owned(),
        started_branch: Some("main".to_owned()),
        options: RunOptions { mode: Mode::Legacy, ..RunOptions::default() },
        mode_given: true,
        fresh: false,
        strict: false,
        dry_run: false,
        import: None,
        import_is_ours: false,
        import_is_trusted: false,
        top: "/home/ann/sample".to_owned(),
    }
}
