//! The open connections of a listener, so that those of a peer that is not welcome any more can be cut at once, whatever runs over them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::admission::{Admission, Admit};
use crate::identity::PeerIdentity;

/// Knows the connections of peers that were let in. Cheap to clone.
#[derive(Clone)]
pub struct Connections {
    table: Arc<Mutex<Table>>,
    admit: Admit,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    open: BTreeMap<u64, (PeerIdentity, oneshot::Sender<()>)>,
}

/// One of them; forgotten when this is dropped.
#[derive(Debug)]
pub(super) struct Listed {
    number: u64,
    table: Arc<Mutex<Table>>,
}

impl std::fmt::Debug for Connections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connections").field("open", &lock(&self.table).open.len()).finish_non_exhaustive()
    }
}

impl Connections {
    pub(super) fn new(admit: Admit) -> Self {
        Self { table: Arc::default(), admit }
    }

    /// Lists a connection; what comes with it says when it is to be cut.
    pub(super) fn list(&self, identity: PeerIdentity) -> (Listed, oneshot::Receiver<()>) {
        let (sender, cut) = oneshot::channel();
        let mut table = lock(&self.table);
        let number = table.next;
        table.next += 1;
        table.open.insert(number, (identity, sender));
        (Listed { number, table: Arc::clone(&self.table) }, cut)
    }

    /// Asks again whether each peer is welcome, and cuts the connections of those that are not. How many were cut.
    pub fn recheck(&self) -> usize {
        let unwelcome: Vec<_> = {
            let mut table = lock(&self.table);
            let numbers = table.open.iter().filter(|(_, (identity, _))| (self.admit)(identity) != Admission::Admitted);
            let numbers: Vec<u64> = numbers.map(|(number, _)| *number).collect();
            numbers.into_iter().filter_map(|number| table.open.remove(&number)).collect()
        };
        let count = unwelcome.len();
        for (identity, sender) in unwelcome {
            tracing::info!(peer = %identity, "connection cut: not admitted any more");
            // It may have ended this moment.
            let _ = sender.send(());
        }
        count
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        lock(&self.table).open.remove(&self.number);
    }
}

fn lock(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}
