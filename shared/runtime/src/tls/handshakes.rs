//! Handshakes under way, bounded in all and per address. Whoever comes always begins: where there are too many, the one that has taken longest makes way, so
//! that connections which never say anything keep nobody out.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// The handshakes of a listener. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Handshakes {
    table: Arc<Mutex<Table>>,
    max: usize,
    per_address_max: usize,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    /// By number, so the oldest first.
    begun: BTreeMap<u64, (IpAddr, oneshot::Sender<()>)>,
    per_address: HashMap<IpAddr, usize>,
}

/// One of them; over when this is dropped.
#[derive(Debug)]
pub(super) struct Handshake {
    number: u64,
    table: Arc<Mutex<Table>>,
}

impl Handshakes {
    pub(super) fn new(max: usize, per_address_max: usize) -> Self {
        Self { table: Arc::default(), max: max.max(1), per_address_max: per_address_max.max(1) }
    }

    /// Begins one; what comes with it says when it has to make way.
    pub(super) fn begin(&self, address: IpAddr) -> (Handshake, oneshot::Receiver<()>) {
        let (sender, made_way) = oneshot::channel();
        let mut table = lock(&self.table);
        if table.per_address.get(&address).is_some_and(|count| *count >= self.per_address_max) {
            table.make_way(address);
        } else if table.begun.len() >= self.max {
            // Of equals the first: which one does not matter.
            let most = table.per_address.iter().max_by_key(|(_, count)| **count).map(|(address, _)| *address);
            most.into_iter().for_each(|address| table.make_way(address));
        }
        let number = table.next;
        table.next += 1;
        table.begun.insert(number, (address, sender));
        *table.per_address.entry(address).or_default() += 1;
        (Handshake { number, table: Arc::clone(&self.table) }, made_way)
    }
}

impl Table {
    /// Ends the oldest of an address.
    fn make_way(&mut self, address: IpAddr) {
        let oldest = self.begun.iter().find(|(_, (of, _))| *of == address).map(|(number, _)| *number);
        if let Some(sender) = oldest.and_then(|number| self.end(number)) {
            // It may have ended this moment.
            let _ = sender.send(());
        }
    }

    fn end(&mut self, number: u64) -> Option<oneshot::Sender<()>> {
        let (address, sender) = self.begun.remove(&number)?;
        if let Some(count) = self.per_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.per_address.remove(&address);
            }
        }
        Some(sender)
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        lock(&self.table).end(self.number);
    }
}

fn lock(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_oldest_of_the_address_with_most_makes_way() {
        let handshakes = Handshakes::new(4, 3);
        let (near, far): (IpAddr, IpAddr) = ([127, 0, 0, 1].into(), [10, 0, 0, 1].into());
        let (_far, mut far_made_way) = handshakes.begin(far);
        let mut held: Vec<_> = (0..3).map(|_| handshakes.begin(near)).collect();
        assert!(held.iter_mut().all(|(_, made_way)| made_way.try_recv().is_err()));
        // Its own bound, then that of all: those of the other address are left alone.
        held.push(handshakes.begin(near));
        assert!(held[0].1.try_recv().is_ok() && held[1].1.try_recv().is_err());
        let (_other, _) = handshakes.begin([10, 0, 0, 2].into());
        assert!(held[1].1.try_recv().is_ok() && far_made_way.try_recv().is_err());
        drop(held);
        let table = lock(&handshakes.table);
        assert_eq!((table.begun.len(), table.per_address.len()), (2, 2));
    }
}
