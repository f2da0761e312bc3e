//! The clock of a simulated host stands still while somebody outside the simulation works: git, the log's thread. A blocking task keeps tokio's paused clock
//! from going on by itself; here one is begun that only waits until it is let go.

use std::sync::Arc;
use std::sync::mpsc;

use roundtable_store::log::LogFuture;
use roundtable_store::{AppendError, Appended, Head, Incarnation, Log, LogReader, NewRow, ReadError, Row};

/// The clock goes on once this is dropped. To be called on the host's runtime.
pub fn keep() -> Box<dyn Send> {
    let (kept, let_go) = mpsc::sync_channel::<()>(0);
    tokio::task::spawn_blocking(move || let_go.recv());
    Box::new(kept)
}

/// A log whose appends take no time of the simulation.
pub fn log(log: Arc<dyn Log>) -> Arc<dyn Log> {
    Arc::new(Still(log))
}

struct Still(Arc<dyn Log>);

impl LogReader for Still {
    fn read(&self, from_seq: u64, limit: usize) -> LogFuture<'_, Result<Vec<Row>, ReadError>> {
        Box::pin(async move {
            let _still = keep();
            self.0.read(from_seq, limit).await
        })
    }

    fn head(&self) -> LogFuture<'_, Result<Head, ReadError>> {
        self.0.head()
    }

    fn incarnation(&self) -> Incarnation {
        self.0.incarnation()
    }
}

impl Log for Still {
    fn append(&self, expected_seq: u64, rows: Vec<NewRow>) -> LogFuture<'_, Result<Appended, AppendError>> {
        Box::pin(async move {
            let _still = keep();
            self.0.append(expected_seq, rows).await
        })
    }

    fn epoch(&self) -> u64 {
        self.0.epoch()
    }
}
