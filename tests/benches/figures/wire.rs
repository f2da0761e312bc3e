//! A bad link in virtual time, as TCP makes one of it: what is lost comes later, in order, or the connection is given up. Nothing here knows what is sent.

use roundtable_tests::plans::Dice;

/// One way, when nothing is lost.
const LATENCY_MS: u64 = 25;
/// After this a packet that was not acknowledged is sent again, and after twice as long the next time.
const RESENT_AFTER_MS: u64 = 300;
/// The same for the first packet of a connection.
const RESENT_AFTER_MS_AT_FIRST: u64 = 1_000;
/// Longest such pause.
const RESENT_AFTER_MS_MAX: u64 = 120_000;
/// How long TCP and TLS each may take to come about.
const SHAKEN_WITHIN_MS: u64 = 5_000;

/// When nothing passes at all.
#[derive(Clone, Copy, Debug)]
pub struct Outages {
    pub every_ms: u64,
    pub for_ms: u64,
}

/// The links of all workers.
pub struct Wire {
    dice: Dice,
    lost_percent: u64,
    outages: Option<Outages>,
    /// Outages of each worker begin at times of its own.
    offsets: Vec<u64>,
}

/// One direction of a connection: what is sent later does not come earlier.
#[derive(Clone, Copy, Default, Debug)]
pub struct Way {
    last_ms: u64,
}

impl Wire {
    pub fn new(seed: u64, workers: usize, lost_percent: u64, outages: Option<Outages>) -> Self {
        let mut dice = Dice::new(seed);
        let every_ms = outages.map_or(1, |outages| outages.every_ms.max(1));
        let offsets = (0..workers).map(|_| dice.within(&(0..=every_ms - 1))).collect();
        Self { dice, lost_percent, outages, offsets }
    }

    /// A number of the range.
    pub fn draw(&mut self, range: std::ops::RangeInclusive<u64>) -> u64 {
        self.dice.within(&range)
    }

    /// When what is sent now arrives.
    pub fn send(&mut self, worker: usize, now_ms: u64, way: &mut Way) -> u64 {
        way.last_ms = self.pass(worker, now_ms, RESENT_AFTER_MS).max(way.last_ms);
        way.last_ms
    }

    /// When a connection that is begun now stands, or when it is given up.
    pub fn connect(&mut self, worker: usize, now_ms: u64) -> Result<u64, u64> {
        let tcp_ms = self.round_trips(worker, now_ms, 1, RESENT_AFTER_MS_AT_FIRST)?;
        self.round_trips(worker, tcp_ms, 2, RESENT_AFTER_MS)
    }

    fn round_trips(&mut self, worker: usize, from_ms: u64, count: u32, resent_after_ms: u64) -> Result<u64, u64> {
        let end_ms = (0..2 * count).fold(from_ms, |at_ms, _| self.pass(worker, at_ms, resent_after_ms));
        let until_ms = from_ms + SHAKEN_WITHIN_MS;
        if end_ms <= until_ms { Ok(end_ms) } else { Err(until_ms) }
    }

    fn pass(&mut self, worker: usize, sent_ms: u64, resent_after_ms: u64) -> u64 {
        let (mut at_ms, mut pause_ms) = (sent_ms, resent_after_ms);
        while self.is_out(worker, at_ms) || self.dice.percent(self.lost_percent) {
            at_ms += pause_ms;
            pause_ms = (pause_ms * 2).min(RESENT_AFTER_MS_MAX);
        }
        at_ms + LATENCY_MS
    }

    fn is_out(&self, worker: usize, at_ms: u64) -> bool {
        self.outages.is_some_and(|outages| (at_ms + self.offsets[worker]) % outages.every_ms < outages.for_ms)
    }
}
