//! Plans played in worlds of their own, some at a time, and what came of them.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::daemon::Daemon;
use super::faults;
use super::load::Done;
use super::plan::{Fault, Plan, Trouble};
use super::verdict;
use super::world::{Size, World};

/// How often programs are looked after.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long programs may take to be back when nothing goes wrong any more.
const BACK_WITHIN: Duration = Duration::from_secs(60);
/// How often a long one says how far it is.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// What came of one plan or more.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// Plans played.
    pub plans: usize,
    /// Faults by kind: how often played, how often met. A sync that never came was not broken.
    pub faults: BTreeMap<String, (usize, usize)>,
    /// Runs that came to their end.
    pub runs: usize,
    /// Their units, each integrated once.
    pub units: usize,
    /// Attempts that were lost.
    pub lost: usize,
    /// Late outcomes, each refused.
    pub late: usize,
    /// Attempts that went on from the work of another.
    pub resumed: usize,
    /// Decisions that had to be answered.
    pub answered: usize,
    /// Starts of programs beyond their first.
    pub restarts: usize,
    /// What it took together.
    pub took: Duration,
}

impl Report {
    /// Points played: faults.
    pub fn points(&self) -> usize {
        self.faults.values().map(|(played, _)| played).sum()
    }

    /// Kinds of faults that were never met.
    pub fn unmet(&self) -> Vec<&str> {
        self.faults.iter().filter(|(_, (_, met))| *met == 0).map(|(kind, _)| kind.as_str()).collect()
    }

    fn note(&mut self, fault: &Fault, is_met: bool) {
        let (played, met) = self.faults.entry(kind(fault)).or_default();
        *played += 1;
        *met += usize::from(is_met);
    }

    fn add(&mut self, other: Self) {
        self.plans += other.plans;
        for (kind, (played, met)) in other.faults {
            let entry = self.faults.entry(kind).or_default();
            *entry = (entry.0 + played, entry.1 + met);
        }
        self.runs += other.runs;
        self.units += other.units;
        self.lost += other.lost;
        self.late += other.late;
        self.resumed += other.resumed;
        self.answered += other.answered;
        self.restarts += other.restarts;
        self.took += other.took;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (kind, (played, met)) in &self.faults {
            let unmet = if met < played { format!(", {met} met") } else { String::new() };
            writeln!(f, "{played:>5} {kind}{unmet}")?;
        }
        writeln!(
            f,
            "{} plans, {} faults; {} runs with {} units: 0 lost, 0 integrated twice, 0 processes left",
            self.plans,
            self.points(),
            self.runs,
            self.units
        )?;
        write!(
            f,
            "{} attempts lost, {} late outcomes refused, {} gone on from, {} decisions answered, {} restarts; {} s of worlds",
            self.lost,
            self.late,
            self.resumed,
            self.answered,
            self.restarts,
            self.took.as_secs()
        )
    }
}

/// A fault's kind, as reports call it.
fn kind(fault: &Fault) -> String {
    let host = match fault.on {
        super::plan::On::Coordinator => "coordinator",
        super::plan::On::Worker(_) => "worker",
        super::plan::On::Spare => "newcomer",
    };
    let what = match fault.trouble {
        Trouble::Kill => "kill -9".to_owned(),
        Trouble::PowerCut => "power cut".to_owned(),
        Trouble::Stop => "SIGSTOP".to_owned(),
        Trouble::Freeze => "cgroup freeze".to_owned(),
        Trouble::Cut(way) => format!("link cut {way:?}"),
        Trouble::Loss(_) => "packet loss".to_owned(),
        Trouble::Narrow(_) => "narrow link".to_owned(),
        Trouble::Late(..) => "late link".to_owned(),
        Trouble::Reset => "reset".to_owned(),
        Trouble::Stall => "stall".to_owned(),
        Trouble::HalfOpen => "half-open".to_owned(),
        Trouble::Garble(_) => "garbled bytes".to_owned(),
        Trouble::Full => "full disk".to_owned(),
        Trouble::Sync(what, ..) => format!("broken sync of {what:?}"),
        Trouble::Clock(_) => "wrong clock".to_owned(),
    };
    format!("{host}: {what}")
}

/// Plays plans, `at_once` at a time. Says each as it goes; fails with the seeds that failed.
pub fn play_all(plans: impl IntoIterator<Item = Plan>, size: &Size, at_once: usize) -> Report {
    let waiting: Mutex<VecDeque<Plan>> = Mutex::new(plans.into_iter().collect());
    let total = Mutex::new(Report::default());
    let failed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                loop {
                    let Some(plan) = lock(&waiting).pop_front() else { return };
                    match catch_unwind(AssertUnwindSafe(|| play(&plan, size))) {
                        Ok(report) => lock(&total).add(report),
                        Err(_) => {
                            println!("FAILED: {plan}");
                            lock(&failed).push(plan.seed);
                        }
                    }
                }
            });
        }
    });
    let (total, failed) = (lock(&total).clone(), lock(&failed).clone());
    println!("{total}");
    assert!(failed.is_empty(), "seeds {failed:?} failed; what they said is above");
    total
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Plays one plan to its verdict.
pub fn play(plan: &Plan, size: &Size) -> Report {
    let began = Instant::now();
    let world = &World::new(plan, size);
    let is_over = AtomicBool::new(false);
    let mut report = Report { plans: 1, ..Report::default() };
    let (played, done) = thread::scope(|scope| {
        scope.spawn(|| look_after(world, &is_over, began));
        let load = scope.spawn(|| world.load.all());
        let faults: Vec<_> = plan
            .faults
            .iter()
            .map(|timed| {
                thread::sleep(timed.after);
                (timed.fault, scope.spawn(move || faults::play(world, &timed.fault)))
            })
            .collect();
        let played: Vec<(Fault, Ended<bool>)> = faults.into_iter().map(|(fault, thread)| (fault, thread.join())).collect();
        world.load.stop();
        let done: Ended<Vec<Done>> = load.join();
        all_run(world);
        is_over.store(true, Ordering::SeqCst);
        (played, done)
    });
    for (fault, ended) in played {
        let is_met = ended.unwrap_or_else(|panic| failed(plan, world, panic));
        println!("seed {}: {fault}{}", plan.seed, if is_met { "" } else { ": NOT MET" });
        report.note(&fault, is_met);
    }
    let done = done.unwrap_or_else(|panic| failed(plan, world, panic));
    report.answered = world.load.answered();
    report.restarts = world.daemons().map(|daemon| daemon.starts().saturating_sub(1)).sum();
    let summary = catch_unwind(AssertUnwindSafe(|| verdict::check(world, &done))).unwrap_or_else(|panic| failed(plan, world, panic));
    report.runs = summary.runs;
    report.units = summary.units;
    report.lost = summary.lost;
    report.late = summary.late;
    report.resumed = summary.resumed;
    report.took = began.elapsed();
    println!("seed {}: {} runs, {} units, {} s", plan.seed, report.runs, report.units, report.took.as_secs());
    report
}

type Ended<T> = thread::Result<T>;

fn failed(plan: &Plan, world: &World, panic: Box<dyn std::any::Any + Send>) -> ! {
    println!("{plan}\n{}", world.said());
    resume_unwind(panic)
}

/// Keeps programs running until all is over.
fn look_after(world: &World, is_over: &AtomicBool, began: Instant) {
    let mut said = began;
    while !is_over.load(Ordering::SeqCst) {
        world.daemons().for_each(Daemon::look);
        if said.elapsed() >= SAY_EVERY {
            said = Instant::now();
            println!("after {} s: {} runs", began.elapsed().as_secs(), world.load.done());
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// Waits until every program is at its work again, so that each can be asked to end: one that has only just been started ends otherwise.
fn all_run(world: &World) {
    let is_there = |daemon: &Daemon| daemon.pid().is_some() && (daemon.has_said("joined") || daemon.has_said("ready"));
    let until = Instant::now() + BACK_WITHIN;
    while !world.daemons().all(is_there) && Instant::now() < until {
        thread::sleep(LOOK_EVERY);
    }
}
