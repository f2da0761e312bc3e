//! Walks through the log: its hash chain, the fold, and what each fact may and may not do, by the core's own naive rules and by a ledger that knows nothing
//! of the core's state.

use std::path::Path;

use roundtable_coordinator::driver::decode_row;
use roundtable_coordinator::serve::open_reader;
use roundtable_core::invariants::{self, History, Violation};
use roundtable_core::{Core, Transition};
use roundtable_store::{LogReader, Row};

use super::ledger::Ledger;
use super::violation;

/// Rows read at once.
const ROWS_AT_ONCE: usize = 10_000;

type Walked = (Core, Ledger, Vec<Violation>);

/// All rows, first to last.
pub(super) fn walk(log_dir: &Path) -> Result<Walked, Vec<Violation>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| unreadable(&error))?.block_on(walk_on(log_dir))
}

async fn walk_on(log_dir: &Path) -> Result<Walked, Vec<Violation>> {
    let reader = open_reader(log_dir).map_err(|error| unreadable(&error))?;
    let (mut core, mut ledger, mut history, mut violations) = (Core::default(), Ledger::default(), History::default(), Vec::new());
    let mut last: Option<Row> = None;
    loop {
        let next = last.as_ref().map_or(1, |row| row.seq + 1);
        // Each row is checked against the hash chain when it is read.
        let rows = reader.read(next, ROWS_AT_ONCE).await.map_err(|error| unreadable(&error))?;
        if rows.is_empty() {
            break;
        }
        for row in rows {
            follows(last.as_ref(), &row, &mut violations);
            let transition: Transition = decode_row(&row).map_err(|error| unreadable(&error))?;
            violations.extend(history.before(&core.state, &transition));
            ledger.note(&core.state, &transition, &mut violations);
            core.replay(&transition);
            violations.extend(history.after(&core.state, &transition));
            last = Some(row);
        }
    }
    violations.extend(invariants::of_state(&core.state));
    if let Some(last) = last {
        ledger.head(last.seq, last.hash.to_string());
    }
    Ok((core, ledger, violations))
}

/// I12, I13: rows are numbered without a gap, and a term that has passed does not come again.
fn follows(before: Option<&Row>, row: &Row, violations: &mut Vec<Violation>) {
    let (seq, epoch) = before.map_or((0, 0), |before| (before.seq, before.epoch));
    if row.seq != seq + 1 {
        violations.push(violation("I13", format!("row {} comes after row {seq}", row.seq)));
    }
    if row.epoch < epoch {
        violations.push(violation("I12", format!("row {} is of epoch {}, the one before it of {epoch}", row.seq, row.epoch)));
    }
}

fn unreadable(error: &(impl std::fmt::Display + ?Sized)) -> Vec<Violation> {
    vec![violation("I13", format!("the log cannot be read: {error}"))]
}
