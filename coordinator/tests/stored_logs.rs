//! Logs as earlier releases wrote them, one folder for each form there was: they are opened, folded and told as on the day they were written.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::{Path, PathBuf};

use roundtable_coordinator::{offline, serve, view};
use roundtable_core::command::Now;
use roundtable_shared::time::WallMs;
use roundtable_store::log::SqliteOptions;
use roundtable_store::{Log, LogReader, SqliteLog};
use serde_json::Value;

/// What no later release may tell otherwise. Commands to go on with may change, and keys may be added.
const TOLD: [&str; 12] =
    ["run", "exit", "status", "spec", "branch", "base", "head", "accepted", "counts", "findings", "usage", "duration_ms"];

fn stored() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    assert!(!found.is_empty());
    found
}

/// A data directory with that log.
fn data_dir(stored: &Path) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(stored.join("store.db"), serve::store_path(dir.path())).unwrap();
    dir
}

#[tokio::test]
async fn each_is_told_as_it_was() {
    for stored in stored() {
        let dir = data_dir(&stored);
        let core = offline::fold(dir.path()).await.unwrap_or_else(|error| panic!("{}: {error}", stored.display()));
        let told: Value = serde_json::from_str(&std::fs::read_to_string(stored.join("summary.json")).unwrap()).unwrap();
        let run = core.state.run(&told["run"].as_str().unwrap().into()).expect("the run is there");
        let now = Now { mono_ms: 0, wall: WallMs(1_900_000_000_000) };
        let summary = serde_json::to_value(view::summary(&core.state, &core.fleet, now, run)).unwrap();
        for key in TOLD {
            assert_eq!(summary[key], told[key], "{}: {key}", stored.display());
        }
        let states = |summary: &Value| -> Vec<(String, String, u64)> {
            let of = |unit: &Value| (unit["id"].to_string(), unit["status"].to_string(), unit["attempts"].as_u64().unwrap());
            summary["units"].as_array().unwrap().iter().map(of).collect()
        };
        assert_eq!(states(&summary), states(&told), "{}", stored.display());
    }
}

#[tokio::test]
async fn each_is_gone_on_with() {
    for stored in stored() {
        let dir = data_dir(&stored);
        let log = SqliteLog::open(&serve::store_path(dir.path()), SqliteOptions::default()).unwrap();
        let head = log.head().await.unwrap();
        let last = log.read(head.seq, 1).await.unwrap().pop().unwrap();
        assert_eq!((last.seq, last.hash), (head.seq, head.hash));
        assert!(log.epoch() > last.epoch, "a new epoch deposes whoever wrote it");
        log.append(head.seq, Vec::new()).await.unwrap();
    }
}
