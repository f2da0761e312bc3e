//! The way back after a kill in the middle of a run: opening the log, the last snapshot and what came after it, and the first answer. Its floor is reading and
//! checking all rows.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use roundtable_coordinator::driver::{Driver, Parts};
use roundtable_core::command::Command;
use roundtable_runtime::clock::SystemClock;
use roundtable_store::log::SqliteOptions;
use roundtable_store::{Snapshots, SqliteLog};
use tokio::sync::{mpsc, watch};

use crate::control;
use crate::shape::Shape;
use crate::table::{Measured, Table};

pub fn run(table: &mut Table, units: usize, workers: u64, disk: &Path) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    for shape in [Shape::Disjoint, Shape::OneFile] {
        let (spec, outline) = shape.plan(units);
        let folder = tempfile::tempdir_in(disk)?;
        let store = folder.path().join("store.db");
        runtime.block_on(control::play(&store, &spec, &outline, workers, Some(units / 2)))?;
        let mut floor = || runtime.block_on(floor(&store));
        let mut ours = || {
            // Each from what the kill left, and from nothing that another start has added.
            let left = tempfile::tempdir_in(disk)?;
            copy(folder.path(), left.path())?;
            runtime.block_on(recover(&left.path().join("store.db")))
        };
        table.take(&format!("recovery, {}, {units}", shape.as_str()), &mut [("floor", &mut floor), ("ours", &mut ours)])?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            fs::create_dir(&to)?;
            copy(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), &to)?;
        }
    }
    Ok(())
}

async fn recover(store: &Path) -> anyhow::Result<Measured> {
    let began = Instant::now();
    let log = Arc::new(SqliteLog::open(store, SqliteOptions::default())?);
    let (effects, queue) = mpsc::channel(1);
    // What it owes is nobody's here.
    drop(queue);
    let snapshots = Snapshots::in_dir(&store.with_file_name("snapshots"));
    let (driver, links) = Driver::open(Parts { log, snapshots, clock: Arc::new(SystemClock), seed: 1, effects }).await?;
    let (stop, stopped) = watch::channel(false);
    let driver = tokio::spawn(driver.run(stopped));
    links.handle.command(Command::Tick).await?;
    let took = began.elapsed();
    stop.send_replace(true);
    driver.await??;
    Ok(vec![("start to first answer", "ms", took.as_secs_f64() * 1e3)])
}

async fn floor(store: &Path) -> anyhow::Result<Measured> {
    let began = Instant::now();
    let log = SqliteLog::open(store, SqliteOptions::default())?;
    let size = control::size_of(&log).await?;
    Ok(vec![("rows read", "ms", began.elapsed().as_secs_f64() * 1e3), ("rows", "rows", size.rows as f64)])
}
