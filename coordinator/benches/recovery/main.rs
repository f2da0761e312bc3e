//! What a start costs by size of the log, and where: reading rows with their hash chain, decoding them, folding them; or reading a snapshot. Figures are
//! for comparing stages, sizes and builds on one machine (`docs/benchmarks.md`).
#![allow(missing_docs)]
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_macros,
    clippy::unwrap_used,
    reason = "what measures needs clock and output, and ends where it fails"
)]

#[path = "../../core/benches/control/fleet.rs"]
#[allow(dead_code)]
mod fleet;
#[path = "../../core/benches/control/shape.rs"]
#[allow(dead_code)]
mod shape;
#[path = "../../core/benches/control/stub.rs"]
#[allow(dead_code)]
mod stub;

use std::path::Path;
use std::time::{Duration, Instant};

use fleet::Fleet;
use roundtable_coordinator::driver::{decode_row, decode_state, encode_state, encode_transition};
use roundtable_core::{Core, Transition};
use roundtable_store::log::SqliteOptions;
use roundtable_store::snapshot::Label;
use roundtable_store::{Log, LogReader, Row, Snapshots, SqliteLog};
use shape::Shape;

/// Rows of one append, and of one read.
const ROWS: usize = 10_000;

fn main() {
    // cargo passes `--bench`; the rest are sizes.
    let sizes: Vec<usize> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![1_000] } else { sizes };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    println!("units  progress    rows  MiB  read ms  decode ms  fold ms | snapshot MiB  encode+sync ms  read+check ms  decode ms");
    for &size in &sizes {
        for (progress, steps) in [("waiting", 0), ("half", size * 5 / 2), ("done", usize::MAX)] {
            let (transitions, core) = transitions(size, steps);
            let dir = tempfile::tempdir().unwrap();
            runtime.block_on(measure(size, progress, &transitions, &core, dir.path()));
        }
    }
}

/// A plan of that size, played for so many steps.
fn transitions(units: usize, steps: usize) -> (Vec<Transition>, Core) {
    let (spec, outline) = Shape::Disjoint.plan(units);
    let mut fleet = Fleet::new(4, 4, &outline, false);
    fleet.log = Some(Vec::new());
    fleet.submit(spec, outline);
    fleet.schedule();
    let (mut longest, mut taken) = (Duration::ZERO, 0);
    while taken < steps && fleet.step(&mut longest) {
        taken += 1;
    }
    let transitions = fleet.log.take().unwrap();
    let mut core = Core::default();
    transitions.iter().for_each(|transition| core.replay(transition));
    (transitions, core)
}

async fn measure(units: usize, progress: &str, transitions: &[Transition], core: &Core, dir: &Path) {
    let ms = |began: Instant| began.elapsed().as_secs_f64() * 1e3;
    let log = SqliteLog::open(&dir.join("store.db"), SqliteOptions::default()).unwrap();
    let mut head = log.head().await.unwrap();
    for rows in transitions.chunks(ROWS) {
        let rows = rows.iter().map(|transition| encode_transition(transition).unwrap()).collect();
        let appended = log.append(head.seq, rows).await.unwrap();
        head = roundtable_store::Head { seq: appended.last_seq, hash: appended.head_hash };
    }
    let began = Instant::now();
    let mut rows: Vec<Row> = Vec::new();
    loop {
        let more = log.read(rows.len() as u64 + 1, ROWS).await.unwrap();
        if more.is_empty() {
            break;
        }
        rows.extend(more);
    }
    let read = ms(began);
    let began = Instant::now();
    let decoded: Vec<Transition> = rows.iter().map(|row| decode_row(row).unwrap()).collect();
    let decode = ms(began);
    let began = Instant::now();
    let mut folded = Core::default();
    decoded.iter().for_each(|transition| folded.replay(transition));
    let fold = ms(began);
    assert_eq!(&folded.state, &core.state);
    let bytes: usize = rows.iter().map(|row| row.body.len()).sum();

    let snapshots = Snapshots::in_dir(&dir.join("snapshots"));
    let label = Label { incarnation: log.incarnation(), head, codec: "bench".to_owned() };
    let began = Instant::now();
    let size = snapshots.write(&label, |out| encode_state(&core.state, out)).unwrap();
    let encode = ms(began);
    let began = Instant::now();
    let snapshot = snapshots.read(head.seq).unwrap();
    let load = ms(began);
    let began = Instant::now();
    let state = decode_state(snapshot.body()).unwrap();
    let restore = ms(began);
    assert!(state == core.state, "a snapshot is the state");
    println!(
        "{units:6} {progress:8} {:8} {:4} {read:8.0} {decode:10.0} {fold:8.0} | {:12.1} {encode:15.0} {load:14.0} {restore:10.0}",
        rows.len(),
        bytes >> 20,
        size as f64 / 1048576.0,
    );
}
