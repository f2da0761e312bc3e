//! The driver over a log in memory and a clock of its own.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use roundtable_core::command::{Act, Operate, RunSource, Submit, WorkerHello};
use roundtable_core::state::ParkKey;
use roundtable_runtime::clock::ManualClock;
use roundtable_shared::spec::Spec;
use roundtable_shared::time::WallMs;
use roundtable_shared::{BackendOffer, HeldLease, Introduction, Mode, Origin, RunOptions, WorkerId};
use roundtable_store::log::{Fault, LogFuture};
use roundtable_store::{Appended, Incarnation, Label, LogReader, MemoryDisk, MemoryLog, NewRow, Row};
use tokio::sync::Semaphore;

use super::*;

/// Nothing here takes longer, however slow the machine.
const SOON: Duration = Duration::from_secs(30);
const BEGAN: WallMs = WallMs(1_767_225_600_000);

/// A log in memory whose appends are counted, and wait for leave.
struct SlowLog {
    inner: MemoryLog,
    leave: Semaphore,
    /// Appends that were asked for, and those that had leave.
    asked: AtomicU64,
    appends: AtomicU64,
}

impl LogReader for SlowLog {
    fn read(&self, from_seq: u64, limit: usize) -> LogFuture<'_, Result<Vec<Row>, ReadError>> {
        self.inner.read(from_seq, limit)
    }

    fn head(&self) -> LogFuture<'_, Result<Head, ReadError>> {
        self.inner.head()
    }

    fn incarnation(&self) -> Incarnation {
        self.inner.incarnation()
    }
}

impl Log for SlowLog {
    fn append(&self, expected_seq: u64, rows: Vec<NewRow>) -> LogFuture<'_, Result<Appended, AppendError>> {
        Box::pin(async move {
            self.asked.fetch_add(1, Ordering::SeqCst);
            self.leave.acquire().await.unwrap().forget();
            // Whoever floods the queue gets to fill it again, as while a disk syncs.
            tokio::task::yield_now().await;
            self.appends.fetch_add(1, Ordering::SeqCst);
            self.inner.append(expected_seq, rows).await
        })
    }

    fn epoch(&self) -> u64 {
        self.inner.epoch()
    }
}

/// A driver that is open and does not run yet.
struct Rig {
    driver: Option<Driver>,
    links: Links,
    clock: ManualClock,
    disk: MemoryDisk,
    log: Arc<SlowLog>,
    effects: mpsc::Receiver<Effect>,
    shutdown: watch::Sender<bool>,
    /// Where its snapshots are, for a test of those.
    dir: Arc<tempfile::TempDir>,
}

const FREELY: usize = 1 << 20;

impl Rig {
    async fn over(disk: MemoryDisk, leave: usize) -> Self {
        Self::after(disk, leave, Arc::new(tempfile::tempdir().unwrap())).await
    }

    /// With the snapshots that another has left.
    async fn after(disk: MemoryDisk, leave: usize, dir: Arc<tempfile::TempDir>) -> Self {
        let clock = ManualClock::new(1_000_000, BEGAN);
        let log = Arc::new(SlowLog {
            inner: MemoryLog::open(&disk),
            leave: Semaphore::new(leave),
            asked: AtomicU64::new(0),
            appends: AtomicU64::new(0),
        });
        let (sender, effects) = mpsc::channel(64);
        let snapshots = Snapshots::in_dir(dir.path());
        let parts = Parts { log: Arc::clone(&log) as Arc<dyn Log>, snapshots, clock: Arc::new(clock.clone()), seed: 1, effects: sender };
        let (driver, links) = Driver::open(parts).await.unwrap();
        Self { driver: Some(driver), links, clock, disk, log, effects, shutdown: watch::channel(false).0, dir }
    }

    async fn new(leave: usize) -> Self {
        Self::over(MemoryDisk::default(), leave).await
    }

    /// It runs from here on.
    fn run(&mut self) -> tokio::task::JoinHandle<Result<(), DriverError>> {
        tokio::spawn(self.driver.take().unwrap().run(self.shutdown.subscribe()))
    }

    /// How many facts readers see.
    fn seq(&self) -> u64 {
        self.links.handle.read(|core, _| core.state.seq)
    }

    fn appends(&self) -> u64 {
        self.log.appends.load(Ordering::SeqCst)
    }

    /// Asks, in a task, and returns once the question is queued.
    async fn ask(&self, command: Command) -> tokio::task::JoinHandle<Result<Reply, HandleError>> {
        let handle = self.links.handle.clone();
        let asked = tokio::spawn(async move { handle.command(command).await });
        tokio::task::yield_now().await;
        asked
    }
}

/// A command that is always a fact: everything is paused, or goes on.
fn toggle(pauses: bool) -> Command {
    let act = if pauses { Act::Pause { note: None } } else { Act::Resume };
    Command::Operate(Operate { run: None, by: "ada".to_owned(), act })
}

fn hello(worker: &str, session: u64) -> Command {
    let introduction = Introduction {
        incarnation: 1,
        name: worker.to_owned(),
        version: String::new(),
        labels: BTreeMap::new(),
        backends: Vec::new(),
        held: Vec::new(),
        repositories: Vec::new(),
        origin: Origin::default(),
    };
    Command::WorkerHello(Box::new(WorkerHello { worker: WorkerId::from(worker), session, introduction }))
}

fn offer(name: &str, slots: u32) -> BackendOffer {
    BackendOffer {
        name: name.into(),
        pool: "p".to_owned(),
        slots,
        version: String::new(),
        account: String::new(),
        serves_all: true,
        unavailable: String::new(),
    }
}

/// A run of so many units that each write a file of their own.
fn submission(run: &str, units: usize) -> Command {
    let tasks: String = (1..=units).map(|n| format!("- [ ] {n}. Do step {n}\n  - _writes: src/f{n}.rs_\n")).collect();
    let files = BTreeMap::from([("tasks.md".to_owned(), format!("# Plan\n\n{tasks}").into_bytes())]);
    let (spec, outline, _) = Spec::read(&files, false).into_result().unwrap();
    Command::Submit(Box::new(Submit {
        run: run.into(),
        source: RunSource {
            repository: "root".to_owned(),
            git_dir: "git".to_owned(),
            spec_path: "spec".to_owned(),
            workdir: ".".to_owned(),
        },
        spec,
        outline,
        inputs_digest: String::new(),
        options: RunOptions { mode: Mode::Legacy, ..RunOptions::default() },
        base: "0123456789012345678901234567890123456789".into(),
        started_branch: None,
        fresh: false,
        tick_path: None,
        spec_paths: Vec::new(),
        mirror_paths: Vec::new(),
        imported: None,
        by: "ada".to_owned(),
    }))
}

async fn within<T>(what: &str, done: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, done).await.unwrap_or_else(|_| panic!("{what} did not come"))
}

#[tokio::test]
async fn a_park_is_lifted_on_time_under_traffic_that_never_pauses() {
    let disk = MemoryDisk::default();
    let park = ParkKey { backend: "codex".into(), account: "a".to_owned(), model: String::new() };
    let until = WallMs(BEGAN.0 + 5_000);
    let fact = Fact::BackendParked { park, until, known: true, reason: "429".to_owned(), worker: None, step: 0 };
    let parked = Transition { run: None, at: BEGAN, fact };
    MemoryLog::open(&disk).append(0, vec![encode_transition(&parked).unwrap()]).await.unwrap();
    let mut rig = Rig::over(disk, FREELY).await;
    // The queue is full before the driver first looks, and filled again whenever it appends.
    let floods: Vec<_> = (0..16)
        .map(|_| {
            let handle = rig.links.handle.clone();
            tokio::spawn(async move {
                for n in 0_u64.. {
                    if handle.tell(toggle(n.is_multiple_of(2))).await.is_err() {
                        return;
                    }
                }
            })
        })
        .collect();
    for _ in 0..QUEUE_MAX {
        tokio::task::yield_now().await;
    }
    rig.clock.advance(6_000);
    let _running = rig.run();
    let lifted = async {
        while !rig.links.handle.read(|core, _| core.state.parks.is_empty()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within("the end of the park", lifted).await;
    assert!(floods.iter().all(|flood| !flood.is_finished()), "the flood never paused");
    floods.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn what_is_queued_at_the_end_is_done_and_answered() {
    let mut rig = Rig::new(FREELY).await;
    let mut asked = Vec::new();
    for n in 0..3 {
        asked.push(rig.ask(toggle(n % 2 == 0)).await);
    }
    rig.shutdown.send_replace(true);
    within("the end", rig.run()).await.unwrap().unwrap();
    for answer in asked {
        assert!(matches!(answer.await.unwrap(), Ok(Reply::Done { unchanged: false, .. })), "what came before the end is done");
    }
    assert_eq!(rig.log.head().await.unwrap().seq, 3);
    assert!(matches!(rig.links.handle.command(toggle(true)).await, Err(HandleError::Stopped)), "what comes later is told so");
}

#[tokio::test]
async fn what_is_queued_together_is_one_append() {
    let mut rig = Rig::new(FREELY).await;
    let (first, second) = (rig.ask(toggle(true)).await, rig.ask(toggle(false)).await);
    let _running = rig.run();
    for asked in [first, second] {
        within("an answer", asked).await.unwrap().unwrap();
    }
    assert_eq!((rig.seq(), rig.appends()), (2, 1));
}

#[tokio::test]
async fn reads_wait_for_no_append_and_see_only_what_is_durable() {
    let mut rig = Rig::new(0).await;
    let _running = rig.run();
    let mut asked = rig.ask(toggle(true)).await;
    let waited = tokio::time::timeout(Duration::from_millis(200), &mut asked).await;
    assert!(waited.is_err(), "its append has no leave yet");
    assert_eq!(rig.seq(), 0);
    let viewed = rig.links.handle.view(|core, _| core.state.paused.is_some());
    assert!(!within("the view", viewed).await.unwrap(), "nor is it seen by one that takes its time");
    rig.log.leave.add_permits(1);
    within("the answer", asked).await.unwrap().unwrap();
    assert_eq!(rig.seq(), 1);
}

#[tokio::test]
async fn who_was_answered_reads_what_was_done() {
    let mut rig = Rig::new(FREELY).await;
    let _running = rig.run();
    for n in 0_u64..200 {
        let pauses = n.is_multiple_of(2);
        rig.links.handle.command(toggle(pauses)).await.unwrap();
        let read = rig.links.handle.read(|core, _| (core.state.paused.is_some(), core.state.seq));
        assert_eq!(read, (pauses, n + 1));
        assert_eq!(*rig.links.published.borrow(), n + 1);
    }
    // What is no fact is no less seen.
    rig.links.handle.command(hello("w", 7)).await.unwrap();
    rig.links.handle.command(Command::Want { worker: "w".into(), session: 7, pool: "codex".to_owned(), credits: 3 }).await.unwrap();
    assert_eq!(rig.links.handle.read(|core, _| core.fleet.workers[&WorkerId::from("w")].credits["codex"]), 3);
}

#[tokio::test]
async fn who_waits_for_facts_reads_them_once_they_are_told() {
    let mut rig = Rig::new(FREELY).await;
    let mut published = rig.links.published.clone();
    let _running = rig.run();
    let handle = rig.links.handle.clone();
    let flood = tokio::spawn(async move {
        for n in 0_u64..500 {
            handle.tell(toggle(n.is_multiple_of(2))).await.unwrap();
        }
    });
    while *published.borrow_and_update() < 500 {
        let told = *published.borrow();
        assert!(rig.seq() >= told, "{told} is told of");
        within("another batch", published.changed()).await.unwrap();
    }
    flood.await.unwrap();
}

#[tokio::test]
async fn who_carries_an_effect_out_reads_what_it_comes_of() {
    let mut rig = Rig::new(0).await;
    rig.log.leave.add_permits(FREELY);
    let _running = rig.run();
    let mut introduced = hello("w", 7);
    if let Command::WorkerHello(hello) = &mut introduced {
        hello.introduction.backends = vec![offer("scripted:play", 4)];
    }
    rig.links.handle.command(introduced).await.unwrap();
    rig.links.handle.command(Command::Want { worker: "w".into(), session: 7, pool: "p".to_owned(), credits: 4 }).await.unwrap();
    // No more workers are about to join.
    rig.clock.advance(10_000);
    rig.links.handle.command(submission("run", 3)).await.unwrap();
    let mut granted = Vec::new();
    while granted.len() < 3 {
        let Effect::Grant(grant) = within("a grant", rig.effects.recv()).await.unwrap() else { continue };
        let is_there = rig.links.handle.read(|core, _| core.state.current(&grant.lease).is_some());
        assert!(is_there, "{} is not published", grant.lease.key);
        assert!(rig.links.leases.of(&"w".into(), &grant.lease).is_some_and(|known| known.live));
        granted.push(grant.lease.key.unit.clone().unwrap());
    }
    assert_eq!(granted, ["1", "2", "3"].map(UnitId::from), "effects come in the order they were decided in");
}

#[tokio::test]
async fn views_that_take_long_keep_neither_commands_nor_reads() {
    let mut rig = Rig::new(FREELY).await;
    let _running = rig.run();
    let (go_on, begun) = (Arc::new(std::sync::Barrier::new(published::VIEWS_MAX + 1)), Arc::new(AtomicU64::new(0)));
    let view = |waits: bool| {
        let (handle, go_on, begun) = (rig.links.handle.clone(), Arc::clone(&go_on), Arc::clone(&begun));
        tokio::spawn(async move {
            let read = move |core: &Core, _: Now| {
                begun.fetch_add(1, Ordering::SeqCst);
                if waits {
                    go_on.wait();
                }
                core.state.seq
            };
            handle.view(read).await
        })
    };
    let long: Vec<_> = (0..published::VIEWS_MAX).map(|_| view(true)).collect();
    let all_begun = async {
        while begun.load(Ordering::SeqCst) < published::VIEWS_MAX as u64 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    within("the views", all_begun).await;
    let mut late = view(false);
    within("an answer", rig.links.handle.command(toggle(true))).await.unwrap();
    assert_eq!(rig.seq(), 1);
    let waited = tokio::time::timeout(Duration::from_millis(100), &mut late).await;
    assert!(waited.is_err() && begun.load(Ordering::SeqCst) == published::VIEWS_MAX as u64, "no more than so many at a time");
    let ended = tokio::task::spawn_blocking(move || go_on.wait());
    for viewed in long {
        assert_eq!(within("a view", viewed).await.unwrap().unwrap(), 0, "each sees one state from its begin to its end");
    }
    assert_eq!(within("the late view", late).await.unwrap().unwrap(), 1, "who had to wait sees the last one all the same");
    ended.await.unwrap();
}

#[tokio::test]
async fn a_view_that_panics_is_answered_so_and_nothing_else_ends() {
    let mut rig = Rig::new(FREELY).await;
    let _running = rig.run();
    for _ in 0..2 * published::VIEWS_MAX {
        let viewed = rig.links.handle.view(|core, _| assert_eq!(core.state.seq, u64::MAX));
        assert!(matches!(within("the view", viewed).await, Err(HandleError::Unread)));
    }
    within("an answer", rig.links.handle.command(toggle(true))).await.unwrap();
    assert_eq!(within("a view", rig.links.handle.view(|core, _| core.state.seq)).await.unwrap(), 1);
}

#[tokio::test]
async fn readiness_waits_for_a_batch_and_not_for_what_is_published_already() {
    let mut rig = Rig::new(0).await;
    let _running = rig.run();
    within("a tick", rig.links.handle.next_batch()).await.unwrap();
    let asked = rig.ask(toggle(true)).await;
    let hanging = async {
        while rig.log.asked.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    within("the append", hanging).await;
    let hangs = tokio::time::timeout(Duration::from_millis(3 * TICK_MS), rig.links.handle.next_batch()).await;
    assert!(hangs.is_err(), "an append that does not end is a driver that does not answer");
    rig.log.leave.add_permits(FREELY);
    within("the answer", asked).await.unwrap().unwrap();
    within("a tick", rig.links.handle.next_batch()).await.unwrap();
}

#[tokio::test]
async fn each_append_is_measured_before_it_is_answered() {
    let mut rig = Rig::new(FREELY).await;
    let _running = rig.run();
    for pauses in [true, false] {
        within("an answer", rig.ask(toggle(pauses)).await).await.unwrap().unwrap();
    }
    let measures = &rig.links.measures;
    assert_eq!((measures.append.cumulative()[Histogram::BOUNDS.len()], rig.appends()), (2, 2));
    assert_eq!(rig.links.handle.waiting(), 0);
}

#[tokio::test]
async fn what_changes_nothing_is_not_scheduled_for() {
    let mut rig = Rig::new(FREELY).await;
    let _running = rig.run();
    let (worker, session) = (WorkerId::from("w"), 7);
    rig.links.handle.command(hello("w", session)).await.unwrap();
    let handle = rig.links.handle.clone();
    let looks = || handle.read(|core: &Core, _| core.looks());
    let before = looks();
    for _ in 0..20 {
        let held: Vec<HeldLease> = Vec::new();
        rig.links.handle.command(Command::Heartbeat { worker: worker.clone(), session, held }).await.unwrap();
        rig.links.handle.tell(Command::Tick).await.unwrap();
    }
    rig.links.handle.command(Command::Tick).await.unwrap();
    assert_eq!(looks(), before, "signs of life, ticks and reads give nobody anything");
    rig.links.handle.command(Command::Want { worker, session, pool: "codex".to_owned(), credits: 1 }).await.unwrap();
    assert_eq!(looks(), before + 1);
}

#[tokio::test]
async fn nothing_is_seen_before_it_is_durable() {
    let mut rig = Rig::new(0).await;
    let _running = rig.run();
    let mut asked = rig.ask(toggle(true)).await;
    let waited = tokio::time::timeout(Duration::from_millis(300), &mut asked).await;
    assert!(waited.is_err() && rig.effects.try_recv().is_err() && *rig.links.published.borrow() == 0, "its append has no leave yet");
    rig.log.leave.add_permits(FREELY);
    within("the answer", asked).await.unwrap().unwrap();
    assert_eq!(*rig.links.published.borrow(), 1);
}

#[tokio::test]
async fn an_append_whose_result_is_unknown_ends_it_without_an_answer() {
    let mut rig = Rig::new(FREELY).await;
    rig.disk.fail_append(1, Fault::IoAfterWrite);
    let asked = rig.ask(toggle(true)).await;
    let ended = within("the end", rig.run()).await.unwrap();
    assert!(matches!(ended, Err(DriverError::Append(AppendError::Io { .. }))), "{ended:?}");
    assert!(matches!(asked.await.unwrap(), Err(HandleError::Stopped)));
    assert_eq!(*rig.links.published.borrow(), 0);
}

#[tokio::test]
async fn an_append_that_is_refused_is_tried_again_and_meanwhile_reads_and_heartbeats_are_served() {
    let mut rig = Rig::new(FREELY).await;
    let _running = rig.run();
    rig.links.handle.command(hello("w", 7)).await.unwrap();
    (1..=4).for_each(|nth| rig.disk.fail_append(nth, Fault::Full));
    let first = rig.ask(toggle(true)).await;
    let mut trouble = rig.links.trouble.clone();
    let said = within("the trouble", trouble.wait_for(Option::is_some)).await.unwrap().clone();
    assert_eq!(said.as_deref(), Some("No space left on device"));
    let paused = rig.links.handle.read(|core: &Core, _| core.state.paused.is_some());
    assert!(!paused, "what is not durable is not seen");
    let beat = Command::Heartbeat { worker: "w".into(), session: 7, held: Vec::new() };
    rig.clock.advance(1_500);
    assert!(matches!(rig.links.handle.command(beat).await, Ok(Reply::Heartbeat { .. })));
    let heard = rig.links.handle.read(|core: &Core, now| (now.mono_ms - core.fleet.workers[&WorkerId::from("w")].seen_ms, core.state.seq));
    assert_eq!(heard, (0, 0), "signs of life are seen all the same");
    let refused = rig.links.handle.command(toggle(false)).await;
    assert!(matches!(&refused, Err(HandleError::Rejected(why)) if why.text.contains("retrying, nothing is lost")), "{refused:?}");
    rig.links.handle.tell(Command::WorkerGone { worker: "w".into(), session: 7 }).await.unwrap();
    within("the answer", first).await.unwrap().unwrap();
    assert!(rig.links.trouble.borrow().is_none(), "it is over");
    within("what was kept", rig.links.handle.command(Command::Tick)).await.unwrap();
    let seen = rig.links.handle.read(|core: &Core, _| (core.state.seq, core.fleet.workers[&WorkerId::from("w")].connected));
    assert_eq!(seen, (1, false), "what nobody waited for was kept");
}

#[tokio::test]
async fn sessions_that_end_before_they_began_take_no_room_while_nothing_can_be_written() {
    let mut rig = Rig::new(FREELY).await;
    (1..=100).for_each(|nth| rig.disk.fail_append(nth, Fault::Full));
    let _asked = rig.ask(toggle(true)).await;
    let _running = rig.run();
    let mut trouble = rig.links.trouble.clone();
    within("the trouble", trouble.wait_for(Option::is_some)).await.unwrap();
    for session in 0..=hold::KEPT_MAX as u64 {
        let gone = Command::WorkerGone { worker: "w".into(), session };
        within("room in the queue", rig.links.handle.tell(gone)).await.unwrap();
    }
    let refused = within("an answer", rig.links.handle.command(toggle(false))).await;
    assert!(matches!(&refused, Err(HandleError::Rejected(_))), "{refused:?}");
    assert_eq!(rig.seq(), 0);
}

#[tokio::test]
async fn whoever_waits_while_nothing_can_be_written_is_told_to_ask_again_and_the_end_does_not_wait() {
    let mut rig = Rig::new(FREELY).await;
    (1..=100).for_each(|nth| rig.disk.fail_append(nth, Fault::Full));
    let asked = rig.ask(toggle(true)).await;
    let running = rig.run();
    let answer = within("an answer", asked).await.unwrap();
    assert!(matches!(&answer, Err(HandleError::Rejected(why)) if why.text.contains("as soon as it can be")), "{answer:?}");
    rig.shutdown.send_replace(true);
    let ended = within("the end", running).await.unwrap();
    assert!(matches!(ended, Err(DriverError::Append(AppendError::Full))), "{ended:?}");
}

/// So many facts, and the end.
async fn busy_until_the_end(rig: &mut Rig, facts: u64) {
    let running = rig.run();
    for n in 0..facts {
        rig.links.handle.tell(toggle(n.is_multiple_of(2))).await.unwrap();
    }
    rig.shutdown.send_replace(true);
    within("the end", running).await.unwrap().unwrap();
}

#[tokio::test]
async fn the_end_leaves_a_snapshot_and_the_next_start_reads_what_came_after_it() {
    let mut rig = Rig::new(FREELY).await;
    busy_until_the_end(&mut rig, 1_500).await;
    let (disk, dir) = (rig.disk.clone(), Arc::clone(&rig.dir));
    let head = rig.log.head().await.unwrap().seq;
    assert_eq!(Snapshots::in_dir(dir.path()).rows().unwrap(), [head]);
    // A few more, for which none is made.
    let mut rig = Rig::after(disk.clone(), FREELY, Arc::clone(&dir)).await;
    busy_until_the_end(&mut rig, 3).await;
    assert_eq!(Snapshots::in_dir(dir.path()).rows().unwrap(), [head]);
    let whole = fold(rig.log.as_ref()).await.unwrap();
    let recovered = recover(rig.log.as_ref(), &Snapshots::in_dir(dir.path())).await.unwrap();
    assert_eq!((recovered.rows, recovered.head, &recovered.core), (whole.head - head, whole.head, &whole.core));
    // The rows before are not read: it shows where they cannot be.
    assert!(disk.damage(7, |row| row.body.push(' ')));
    assert!(fold(rig.log.as_ref()).await.is_err());
    let rig = Rig::after(disk, FREELY, dir).await;
    assert_eq!(rig.driver.unwrap().core, whole.core);
}

#[tokio::test]
async fn a_snapshot_of_no_use_is_passed_over_and_the_log_says_the_same() {
    let mut rig = Rig::new(FREELY).await;
    busy_until_the_end(&mut rig, 40).await;
    let (log, whole) = (rig.log.as_ref(), fold(rig.log.as_ref()).await.unwrap());
    let at = async |seq: u64| {
        let mut core = Core::default();
        let rows = log.read(1, seq as usize).await.unwrap();
        rows.iter().for_each(|row| core.replay(&decode_row(row).unwrap()));
        (core.state, Head { seq, hash: rows.last().unwrap().hash })
    };
    let label = |head| Label { incarnation: log.incarnation(), head, codec: codec().to_owned() };
    let ((early, early_head), (late, late_head)) = (at(10).await, at(30).await);
    let damaged = [
        ("another store's", Label { incarnation: Incarnation([9; 16]), ..label(late_head) }, &late),
        ("another build's", Label { codec: "0.0.1".to_owned(), ..label(late_head) }, &late),
        ("of another row", label(Head { hash: early_head.hash, ..late_head }), &late),
        ("of rows that are not there", label(Head { seq: 4_000, ..late_head }), &late),
        ("with the state of another row", label(late_head), &early),
    ];
    for (what, wrong, state) in damaged {
        let dir = tempfile::tempdir().unwrap();
        let snapshots = Snapshots::in_dir(dir.path());
        for is_alone in [true, false] {
            if !is_alone {
                snapshots.write(&label(early_head), |out| encode_state(&early, out)).unwrap();
            }
            snapshots.write(&wrong, |out| encode_state(state, out)).unwrap();
            let recovered = recover(log, &snapshots).await.unwrap();
            assert_eq!(recovered.core, whole.core, "{what}");
            assert_eq!(recovered.rows, if is_alone { whole.head } else { whole.head - 10 }, "{what}");
        }
    }
    // Bytes that are no state, and some that are one, cut.
    let mut good = Vec::new();
    encode_state(&late, &mut good).unwrap();
    for cut in [0, 1, good.len() / 2, good.len() - 1] {
        let dir = tempfile::tempdir().unwrap();
        let snapshots = Snapshots::in_dir(dir.path());
        snapshots.write(&label(late_head), |out| std::io::Write::write_all(out, &good[..cut])).unwrap();
        let recovered = recover(log, &snapshots).await.unwrap();
        assert_eq!((recovered.core, recovered.rows), (whole.core.clone(), whole.head), "cut after {cut} bytes");
    }
}
