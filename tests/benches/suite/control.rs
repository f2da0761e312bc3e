//! The control plane: the driver over a durable log, workers whose agents end at once, a repository where everything fits, all in this process; no wire and
//! no git. Its floor is the same log that gets rows of that size and number with as many commits, and nothing else.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use roundtable_coordinator::driver::{Driver, Parts};
use roundtable_core::command::Command;
use roundtable_core::effect::Effect;
use roundtable_runtime::clock::SystemClock;
use roundtable_shared::WorkerId;
use roundtable_shared::spec::{Plan, Spec};
use roundtable_store::log::SqliteOptions;
use roundtable_store::{Log, LogReader, NewRow, Snapshots, SqliteLog};
use tokio::sync::{mpsc, watch};

use crate::shape::Shape;
use crate::stub::{self, Stub};
use crate::table::{Measured, Table, own_ms};

const SLOTS: u32 = 4;
/// Effects that wait for the stub of the shell.
const EFFECTS_MAX: usize = 4_096;
/// Rows read at once.
const ROWS: usize = 10_000;

/// What a run over a log came to.
pub struct Played {
    first_grant: Duration,
    /// From the first grant to the end.
    whole: Duration,
    /// CPU of this process for all of it, stubs included, milliseconds.
    cpu_ms: u64,
    log: LogSize,
}

/// What a log holds.
#[derive(Clone, Copy, Default)]
pub struct LogSize {
    pub rows: u64,
    bytes: u64,
    commits: u64,
}

pub fn run(table: &mut Table, units: usize, workers: u64, disk: &Path) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    for shape in [Shape::Disjoint, Shape::Chain, Shape::OneFile] {
        let (spec, outline) = shape.plan(units);
        let size = std::cell::Cell::new(LogSize::default());
        let mut ours = || {
            let folder = tempfile::tempdir_in(disk)?;
            let played = runtime.block_on(play(&folder.path().join("store.db"), &spec, &outline, workers, None))?;
            size.set(played.log);
            Ok(played.figures(units))
        };
        let mut floor = || {
            let folder = tempfile::tempdir_in(disk)?;
            runtime.block_on(floor(&folder.path().join("store.db"), size.get(), units))
        };
        table.take(&format!("control, {}, {units}", shape.as_str()), &mut [("ours", &mut ours), ("floor", &mut floor)])?;
    }
    Ok(())
}

impl Played {
    fn figures(&self, units: usize) -> Measured {
        let each = units as f64;
        vec![
            ("units a second", "1/s", each / self.whole.as_secs_f64()),
            ("CPU a unit", "us", self.cpu_ms as f64 * 1e3 / each),
            ("submit to first grant", "ms", self.first_grant.as_secs_f64() * 1e3),
            ("rows a unit", "rows", self.log.rows as f64 / each),
            ("log a unit", "bytes", self.log.bytes as f64 / each),
            ("commits a unit", "commits", self.log.commits as f64 / each),
        ]
    }
}

/// Plays a run of that plan over a new log; with `leave_after`, only until the branch was moved so often, as if killed then.
pub async fn play(store: &Path, spec: &Spec, outline: &Plan, workers: u64, leave_after: Option<usize>) -> anyhow::Result<Played> {
    let commits = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&commits);
    let count = Arc::new(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    let log = Arc::new(SqliteLog::open_timed(store, SqliteOptions::default(), count)?);
    let (effects, mut queue) = mpsc::channel(EFFECTS_MAX);
    let snapshots = Snapshots::in_dir(&store.with_file_name("snapshots"));
    let parts = Parts { log: Arc::clone(&log) as Arc<dyn Log>, snapshots, clock: Arc::new(SystemClock), seed: 1, effects };
    let (driver, links) = Driver::open(parts).await?;
    let (stop, stopped) = watch::channel(false);
    let driver = tokio::spawn(driver.run(stopped));
    let handle = links.handle;
    for session in 1..=workers {
        for command in stub::join(session, SLOTS) {
            handle.command(command).await?;
        }
    }
    let (spec, plan, mut stub) = (spec.clone(), outline.clone(), Stub::new(outline));
    let (cpu, began) = (own_ms()?, Instant::now());
    handle.command(stub.submit(spec, plan)).await?;
    let (mut first_grant, mut moved, mut arrived) = (None, 0, Vec::new());
    'run: while queue.recv_many(&mut arrived, EFFECTS_MAX).await > 0 {
        let mut played: BTreeMap<WorkerId, u64> = BTreeMap::new();
        for effect in arrived.drain(..) {
            if let Effect::Grant(grant) = effect {
                first_grant.get_or_insert_with(|| began.elapsed());
                for command in stub.play(&grant) {
                    handle.tell(command).await?;
                }
                played.insert(grant.granted.worker.clone(), grant.session);
                continue;
            }
            moved += usize::from(matches!(effect, Effect::MoveBranch { .. }));
            if leave_after.is_some_and(|most| moved > most) {
                break 'run;
            }
            if let Some(answer) = stub.shell(effect) {
                handle.tell(answer).await?;
            }
            // Every unit here moves the branch once, and no closing commit is made of nothing.
            if moved == outline.units.len() {
                break 'run;
            }
        }
        // All that these were known to hold has ended.
        for (worker, session) in played {
            handle.tell(stub::want(worker, session, SLOTS)).await?;
        }
    }
    // All that was told before is durable once this is answered.
    handle.command(Command::Tick).await?;
    let (whole, first_grant) = (began.elapsed(), first_grant.unwrap_or_default());
    let cpu_ms = own_ms()? - cpu;
    drop(queue);
    if leave_after.is_some() {
        driver.abort();
        drop(driver.await);
    } else {
        stop.send_replace(true);
        driver.await??;
    }
    let mut size = size_of(log.as_ref()).await?;
    size.commits = commits.load(Ordering::Relaxed);
    Ok(Played { first_grant, whole: whole.saturating_sub(first_grant), cpu_ms, log: size })
}

/// What a log holds, all of it read and checked; its commits are nobody's to tell.
pub async fn size_of(log: &dyn LogReader) -> anyhow::Result<LogSize> {
    let mut size = LogSize::default();
    loop {
        let rows = log.read(size.rows + 1, ROWS).await?;
        if rows.is_empty() {
            return Ok(size);
        }
        size.rows += rows.len() as u64;
        size.bytes += rows.iter().map(|row| row.body.len() as u64).sum::<u64>();
    }
}

/// As many rows of as many bytes in as many commits, each waited for.
async fn floor(store: &Path, size: LogSize, units: usize) -> anyhow::Result<Measured> {
    let log = SqliteLog::open(store, SqliteOptions::default())?;
    let (commits, rows) = (size.commits.max(1), size.rows);
    let body = "x".repeat(usize::try_from(size.bytes / rows.max(1))?);
    let began = Instant::now();
    let mut head = 0;
    for commit in 1..=commits {
        let until = rows * commit / commits;
        let row = || NewRow { at_ms: 1, run: Some("run".to_owned()), kind: "unit_moved".to_owned(), v: 1, body: body.clone() };
        let batch: Vec<NewRow> = (head..until).map(|_| row()).collect();
        if !batch.is_empty() {
            head = log.append(head, batch).await?.last_seq;
        }
    }
    Ok(vec![("units a second", "1/s", units as f64 / began.elapsed().as_secs_f64())])
}
