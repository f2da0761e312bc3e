//! Handshakes under way, bounded in all and per address. Where there are too many, who comes waits a moment, so that a fleet that comes back at once gets in
//! without work being thrown away. What has taken long makes way for whoever waits, the latest first: connections that never say anything keep nobody out.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

/// Connections that wait at once. Beyond that the one that has waited longest is given up.
const WAITING_MAX: usize = 2_048;
/// How often those that wait look for one under way that has taken too long.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What handshakes are held to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// At once, one at least.
    pub(super) max: usize,
    /// Of those, from one address.
    pub(super) per_address_max: usize,
    /// What one is given before it has to make way.
    pub(super) fair: Duration,
    /// How long a connection waits until it may begin.
    pub(super) wait_max: Duration,
}

/// The handshakes of a listener. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Handshakes {
    table: Arc<Mutex<Table>>,
    wait_max: Duration,
}

#[derive(Debug)]
struct Table {
    bounds: Bounds,
    next: u64,
    /// By number, so the oldest first.
    under_way: BTreeMap<u64, UnderWay>,
    per_address: HashMap<IpAddr, usize>,
    /// The latest last.
    waiting: Vec<Waiting>,
}

#[derive(Debug)]
struct UnderWay {
    address: IpAddr,
    since: Instant,
    make_way: oneshot::Sender<()>,
}

#[derive(Debug)]
struct Waiting {
    address: IpAddr,
    turn: oneshot::Sender<Begun>,
}

/// One that has begun, and what says that it has to make way.
pub(super) type Begun = (Handshake, oneshot::Receiver<()>);

/// One of them; over when this is dropped.
#[derive(Debug)]
pub(super) struct Handshake {
    number: u64,
    table: Arc<Mutex<Table>>,
}

impl Handshakes {
    pub(super) fn new(bounds: Bounds) -> Self {
        let bounds = Bounds { max: bounds.max.max(1), per_address_max: bounds.per_address_max.max(1), ..bounds };
        let table = Table { bounds, next: 0, under_way: BTreeMap::new(), per_address: HashMap::new(), waiting: Vec::new() };
        Self { table: Arc::new(Mutex::new(table)), wait_max: bounds.wait_max }
    }

    /// Begins one, as soon as there is room. `None`: none came free in time, or too many have come since.
    pub(super) async fn begin(&self, address: IpAddr) -> Option<Begun> {
        let mut turn = self.ask(address);
        let until = tokio::time::Instant::now() + self.wait_max;
        loop {
            tokio::select! {
                biased;
                begun = &mut turn => return begun.ok(),
                () = tokio::time::sleep_until(until) => return None,
                () = tokio::time::sleep(LOOK_EVERY) => admit(&self.table),
            }
        }
    }

    fn ask(&self, address: IpAddr) -> oneshot::Receiver<Begun> {
        let (turn, asked) = oneshot::channel();
        let mut table = lock(&self.table);
        if table.waiting.len() >= WAITING_MAX {
            table.waiting.remove(0);
        }
        table.waiting.push(Waiting { address, turn });
        drop(table);
        admit(&self.table);
        asked
    }
}

/// Lets begin whoever there is room for.
fn admit(table: &Arc<Mutex<Table>>) {
    let admitted = lock(table).admit(table);
    for (turn, begun) in admitted {
        // Who waited may have gone this moment; what is dropped here comes free for the next.
        drop(turn.send(begun));
    }
}

impl Table {
    fn admit(&mut self, own: &Arc<Mutex<Self>>) -> Vec<(oneshot::Sender<Begun>, Begun)> {
        let (now, mut admitted, mut full) = (Instant::now(), Vec::new(), Vec::new());
        let mut at = self.waiting.len();
        while at > 0 {
            at -= 1;
            let Waiting { address, turn } = &self.waiting[at];
            let (address, has_gone) = (*address, turn.is_closed());
            if has_gone {
                self.waiting.remove(at);
            } else if full.contains(&address) {
                // Others of its address wait too.
            } else if self.has_room(address, now) {
                let Waiting { turn, .. } = self.waiting.remove(at);
                admitted.push((turn, self.start(own, address, now)));
            } else if self.under_way.len() >= self.bounds.max {
                break;
            } else {
                full.push(address);
            }
        }
        admitted
    }

    /// Whether one of that address may begin now; one that has taken too long makes way for it.
    fn has_room(&mut self, address: IpAddr, now: Instant) -> bool {
        let is_full_of_it = self.per_address.get(&address).is_some_and(|count| *count >= self.bounds.per_address_max);
        if !is_full_of_it && self.under_way.len() < self.bounds.max {
            return true;
        }
        // Of the address that has most, and where there are too many of all, else the oldest of any.
        let most = self.per_address.iter().max_by_key(|(_, count)| **count).map(|(address, _)| *address);
        let of = if is_full_of_it { Some(address) } else { most };
        let of_it = self.under_way.iter().find(|(_, each)| Some(each.address) == of);
        let oldest = self.under_way.iter().next().filter(|_| !is_full_of_it);
        let is_long = |(_, each): &(&u64, &UnderWay)| now.saturating_duration_since(each.since) >= self.bounds.fair;
        let Some(number) = of_it.into_iter().chain(oldest).find(is_long).map(|(number, _)| *number) else { return false };
        if let Some(ended) = self.end(number) {
            // It may have ended this moment.
            let _ = ended.make_way.send(());
        }
        true
    }

    fn start(&mut self, own: &Arc<Mutex<Self>>, address: IpAddr, now: Instant) -> Begun {
        let (make_way, made_way) = oneshot::channel();
        let number = self.next;
        self.next += 1;
        self.under_way.insert(number, UnderWay { address, since: now, make_way });
        *self.per_address.entry(address).or_default() += 1;
        (Handshake { number, table: Arc::clone(own) }, made_way)
    }

    fn end(&mut self, number: u64) -> Option<UnderWay> {
        let ended = self.under_way.remove(&number)?;
        if let Some(count) = self.per_address.get_mut(&ended.address) {
            *count -= 1;
            if *count == 0 {
                self.per_address.remove(&ended.address);
            }
        }
        Some(ended)
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        drop(lock(&self.table).end(self.number));
        admit(&self.table);
    }
}

fn lock(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn handshakes(fair: Duration, wait_max: Duration) -> Handshakes {
        Handshakes::new(Bounds { max: 4, per_address_max: 3, fair, wait_max })
    }

    fn addresses() -> [IpAddr; 3] {
        [[127, 0, 0, 1].into(), [10, 0, 0, 1].into(), [10, 0, 0, 2].into()]
    }

    #[tokio::test]
    async fn what_has_taken_long_makes_way_the_oldest_of_the_address_with_most() {
        let handshakes = handshakes(Duration::ZERO, HOUR);
        let [near, far, other] = addresses();
        let (_far, mut far_made_way) = handshakes.begin(far).await.unwrap();
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(handshakes.begin(near).await.unwrap());
        }
        assert!(held.iter_mut().all(|(_, made_way)| made_way.try_recv().is_err()));
        // Its own bound, then that of all: those of the other address are left alone.
        held.push(handshakes.begin(near).await.unwrap());
        assert!(held[0].1.try_recv().is_ok() && held[1].1.try_recv().is_err());
        let (_other, _) = handshakes.begin(other).await.unwrap();
        assert!(held[1].1.try_recv().is_ok() && far_made_way.try_recv().is_err());
        drop(held);
        let table = lock(&handshakes.table);
        assert_eq!((table.under_way.len(), table.per_address.len(), table.waiting.len()), (2, 2, 0));
    }

    #[tokio::test]
    async fn who_is_at_it_is_left_alone_and_who_comes_waits_the_latest_first() {
        let handshakes = handshakes(HOUR, HOUR);
        let [near, far, _] = addresses();
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(handshakes.begin(near).await.unwrap());
        }
        let (mut first, mut second) = (pin!(handshakes.begin(near)), pin!(handshakes.begin(near)));
        let mut context = Context::from_waker(Waker::noop());
        assert!(first.as_mut().poll(&mut context).is_pending() && second.as_mut().poll(&mut context).is_pending());
        let _far = handshakes.begin(far).await.expect("another address does not wait for this one");
        assert!(held.iter_mut().all(|(_, made_way)| made_way.try_recv().is_err()));
        held.pop();
        let latest = second.await.unwrap();
        assert!(first.as_mut().poll(&mut context).is_pending());
        drop(latest);
        first.await.unwrap();
    }

    #[tokio::test]
    async fn who_waits_in_vain_is_given_up_and_takes_no_room() {
        let handshakes = handshakes(HOUR, Duration::from_millis(20));
        let [near, ..] = addresses();
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(handshakes.begin(near).await.unwrap());
        }
        assert!(handshakes.begin(near).await.is_none());
        held.pop();
        let _next = handshakes.begin(near).await.expect("there is room");
        let table = lock(&handshakes.table);
        assert_eq!((table.under_way.len(), table.waiting.len()), (3, 0));
    }
}
