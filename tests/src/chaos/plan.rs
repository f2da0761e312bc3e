//! What goes wrong, where and when, by a seed: pure, printable, the same for the same seed on any machine. Doing it is `faults`'.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::plans::Dice;

/// The host something happens to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum On {
    /// The coordinator's.
    Coordinator,
    /// That of a worker, from 0.
    Worker(usize),
    /// One that has never joined.
    Spare,
}

/// Which direction of a link is cut, seen from the host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// Nothing gets through at all.
    Both,
    /// What the host sends is lost.
    Out,
    /// What is sent to it is lost.
    In,
}

/// What is made durable by a sync.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Synced {
    /// Rows of the log.
    Log,
    /// Events of attempts at the coordinator.
    Segment,
    /// The audit log.
    Audit,
    /// Events of an attempt at its worker.
    Spool,
    /// The worker's word on how an attempt ended.
    Outcome,
    /// The key and certificate of a worker that comes in.
    Identity,
    /// Refs of the coordinator's repository.
    GitRef,
}

impl Synced {
    /// Every kind.
    pub const ALL: [Self; 7] = [Self::Log, Self::Segment, Self::Audit, Self::Spool, Self::Outcome, Self::Identity, Self::GitRef];

    fn words(self) -> &'static str {
        match self {
            Self::Log => "the log",
            Self::Segment => "a segment",
            Self::Audit => "the audit log",
            Self::Spool => "a spool",
            Self::Outcome => "an outcome",
            Self::Identity => "an identity",
            Self::GitRef => "a git ref",
        }
    }
}

/// What becomes of a sync.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Broken {
    /// The disk is broken.
    Eio,
    /// It is full.
    Enospc,
    /// It is the last thing the process does.
    Kill,
}

/// What is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// `kill -9` of the program.
    Kill,
    /// Everything on the host ends at once, agents too.
    PowerCut,
    /// SIGSTOP of the program.
    Stop,
    /// Everything on the host stands still.
    Freeze,
    /// The link is cut.
    Cut(Way),
    /// So many packets out of a hundred are lost, each way.
    Loss(u8),
    /// The link carries so many kilobits a second.
    Narrow(u32),
    /// All that is sent comes so late, with so much jitter, milliseconds.
    Late(u64, u64),
    /// Connections are reset.
    Reset,
    /// Connections stand still.
    Stall,
    /// The far side of connections is gone without a word.
    HalfOpen,
    /// One byte in so many arrives as another.
    Garble(u64),
    /// The disk under the program's data is full.
    Full,
    /// The n-th sync of something is broken.
    Sync(Synced, u32, Broken),
    /// The program is started with a clock that is so many minutes wrong.
    Clock(i64),
}

/// What is wrong where, and for how long: until it is healed, or until a killed program is started again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Where.
    pub on: On,
    /// What.
    pub trouble: Trouble,
    /// For how long.
    pub lasts: Duration,
}

/// A fault and its moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timed {
    /// So long after the one before it.
    pub after: Duration,
    /// What then happens.
    pub fault: Fault,
}

/// How fast faults follow each other and how long they last, milliseconds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pace {
    /// Pause before a fault.
    pub after_ms: RangeInclusive<u64>,
    /// How long one lasts.
    pub lasts_ms: RangeInclusive<u64>,
    /// So many out of a hundred last long enough for leases to be lost.
    pub long_percent: u64,
}

impl Pace {
    /// Seconds in all.
    pub const QUICK: Self = Self { after_ms: 100..=700, lasts_ms: 200..=1_500, long_percent: 0 };
    /// What the whole sweep takes its time for.
    pub const WIDE: Self = Self { after_ms: 200..=4_000, lasts_ms: 200..=9_000, long_percent: 6 };
    /// A fault every ten seconds.
    pub const SOAK: Self = Self { after_ms: 10_000..=10_000, lasts_ms: 500..=9_000, long_percent: 4 };
}

/// Longer than a silent worker keeps its leases.
const LONG_MS: RangeInclusive<u64> = 65_000..=80_000;

/// The faults of one world.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// What all follows from.
    pub seed: u64,
    /// In order.
    pub faults: Vec<Timed>,
}

impl Plan {
    /// The plan of a seed, for so many workers. Faults are dealt like cards, over all seeds: of consecutive plans with [`Plan::kinds`] faults together
    /// each kind is there.
    pub fn of(seed: u64, faults: usize, workers: usize, pace: &Pace) -> Self {
        let first = seed.wrapping_mul(faults as u64);
        let faults = (0..faults as u64).map(|at| deal(first.wrapping_add(at), workers, pace)).collect();
        Self { seed, faults }
    }

    /// How many kinds of faults there are.
    pub fn kinds() -> usize {
        DECK.len()
    }

    /// The hosts on which a disk is filled.
    pub fn fills(&self, on: On) -> bool {
        self.faults.iter().any(|timed| timed.fault.on == on && timed.fault.trouble == Trouble::Full)
    }
}

/// What a card is drawn with.
struct Draw<'p> {
    dice: Dice,
    workers: u64,
    pace: &'p Pace,
}

impl Draw<'_> {
    fn worker(&mut self) -> On {
        On::Worker(usize::try_from(self.dice.roll() % self.workers.max(1)).unwrap_or(0))
    }

    fn lasts(&mut self) -> Duration {
        let range = if self.dice.percent(self.pace.long_percent) { &LONG_MS } else { &self.pace.lasts_ms };
        Duration::from_millis(self.dice.within(range))
    }

    fn coordinator(&mut self, trouble: Trouble) -> Fault {
        // What the coordinator is without for long is everybody's outage, not a lost lease: its faults are never of the long kind.
        Fault { on: On::Coordinator, trouble, lasts: Duration::from_millis(self.dice.within(&self.pace.lasts_ms)) }
    }

    fn on_worker(&mut self, trouble: Trouble) -> Fault {
        Fault { on: self.worker(), trouble, lasts: self.lasts() }
    }

    fn number(&mut self, range: RangeInclusive<u64>) -> u64 {
        self.dice.within(&range)
    }

    fn sync(&mut self, what: Synced, of_at_most: u64) -> Fault {
        let how = [Broken::Eio, Broken::Enospc, Broken::Kill][usize::try_from(self.dice.roll() % 3).unwrap_or(0)];
        let which = u32::try_from(self.number(1..=of_at_most)).unwrap_or(1);
        let trouble = Trouble::Sync(what, which, how);
        match what {
            Synced::Log | Synced::Segment | Synced::Audit | Synced::GitRef => self.coordinator(trouble),
            Synced::Spool | Synced::Outcome => Fault { lasts: self.pause(), ..self.on_worker(trouble) },
            Synced::Identity => Fault { on: On::Spare, trouble, lasts: self.pause() },
        }
    }

    /// How long a program stays away that a sync has ended.
    fn pause(&mut self) -> Duration {
        Duration::from_millis(self.number(0..=500))
    }
}

/// Every kind of fault.
const DECK: &[fn(&mut Draw<'_>) -> Fault] = &[
    |draw| draw.on_worker(Trouble::Kill),
    |draw| draw.coordinator(Trouble::Kill),
    |draw| draw.on_worker(Trouble::PowerCut),
    |draw| draw.coordinator(Trouble::PowerCut),
    |draw| draw.on_worker(Trouble::Stop),
    |draw| draw.coordinator(Trouble::Stop),
    |draw| draw.on_worker(Trouble::Freeze),
    |draw| draw.on_worker(Trouble::Cut(Way::Both)),
    |draw| draw.on_worker(Trouble::Cut(Way::Out)),
    |draw| draw.on_worker(Trouble::Cut(Way::In)),
    |draw| draw.coordinator(Trouble::Cut(Way::Both)),
    |draw| {
        let percent = u8::try_from(draw.number(5..=35)).unwrap_or(10);
        draw.on_worker(Trouble::Loss(percent))
    },
    |draw| {
        let kilobits = u32::try_from(draw.number(64..=1024)).unwrap_or(64);
        draw.on_worker(Trouble::Narrow(kilobits))
    },
    |draw| {
        let (late, jitter) = (draw.number(20..=300), draw.number(0..=200));
        draw.on_worker(Trouble::Late(late, jitter))
    },
    |draw| draw.on_worker(Trouble::Reset),
    |draw| draw.on_worker(Trouble::Stall),
    |draw| draw.on_worker(Trouble::HalfOpen),
    |draw| {
        let every = draw.number(500..=20_000);
        draw.on_worker(Trouble::Garble(every))
    },
    |draw| draw.on_worker(Trouble::Full),
    |draw| draw.coordinator(Trouble::Full),
    |draw| {
        let minutes = i64::try_from(draw.number(6..=90)).unwrap_or(60);
        let minutes = if draw.dice.percent(50) { minutes } else { -minutes };
        draw.on_worker(Trouble::Clock(minutes))
    },
    |draw| draw.sync(Synced::Log, 8),
    |draw| draw.sync(Synced::Segment, 4),
    |draw| draw.sync(Synced::Audit, 1),
    |draw| draw.sync(Synced::Spool, 1),
    |draw| draw.sync(Synced::Outcome, 1),
    |draw| draw.sync(Synced::Identity, 8),
    |draw| draw.sync(Synced::GitRef, 1),
];

/// The fault at that place of the endless row of shuffled decks.
fn deal(place: u64, workers: usize, pace: &Pace) -> Timed {
    let cards = DECK.len() as u64;
    let (round, at) = (place / cards, place % cards);
    let mut order: Vec<usize> = (0..DECK.len()).collect();
    let mut shuffle = Dice::new(round ^ 0x005e_ed0f_cace);
    for last in (1..order.len()).rev() {
        order.swap(last, usize::try_from(shuffle.roll() % (last as u64 + 1)).unwrap_or(0));
    }
    let mut draw = Draw { dice: Dice::new(place ^ 0xc4a0_5000_0000), workers: workers as u64, pace };
    let after = Duration::from_millis(draw.number(pace.after_ms.clone()));
    let card = DECK[order[usize::try_from(at).unwrap_or(0)]];
    Timed { after, fault: card(&mut draw) }
}

impl fmt::Display for On {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Coordinator => f.write_str("coordinator"),
            Self::Worker(at) => write!(f, "worker {at}"),
            Self::Spare => f.write_str("a new worker"),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill => f.write_str("killed"),
            Self::PowerCut => f.write_str("without power"),
            Self::Stop => f.write_str("stopped"),
            Self::Freeze => f.write_str("frozen with its agents"),
            Self::Cut(Way::Both) => f.write_str("cut off"),
            Self::Cut(Way::Out) => f.write_str("not heard"),
            Self::Cut(Way::In) => f.write_str("hearing nothing"),
            Self::Loss(percent) => write!(f, "losing {percent} % of its packets"),
            Self::Narrow(kilobits) => write!(f, "behind {kilobits} kbit/s"),
            Self::Late(late, jitter) => write!(f, "{late} ms late, up to {jitter} ms more"),
            Self::Reset => f.write_str("reset"),
            Self::Stall => f.write_str("stalled"),
            Self::HalfOpen => f.write_str("half-open"),
            Self::Garble(every) => write!(f, "garbled, a byte in {every}"),
            Self::Full => f.write_str("on a full disk"),
            Self::Sync(what, which, how) => {
                let how = match how {
                    Broken::Eio => "refused with EIO",
                    Broken::Enospc => "refused with ENOSPC",
                    Broken::Kill => "the last thing done",
                };
                write!(f, "sync {which} of {} {how}", what.words())
            }
            Self::Clock(minutes) => write!(f, "{minutes:+} minutes wrong"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}, for {} ms", self.on, self.trouble, self.lasts.as_millis())
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}", self.seed)?;
        for Timed { after, fault } in &self.faults {
            write!(f, "\n  after {} ms, {fault}", after.as_millis())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn points(seeds: std::ops::Range<u64>, pace: &Pace) -> Vec<Fault> {
        seeds.flat_map(|seed| Plan::of(seed, 5, 2, pace).faults).map(|timed| timed.fault).collect()
    }

    /// Its name without numbers.
    fn kind(fault: &Fault) -> String {
        let trouble: String = fault.trouble.to_string().chars().filter(|c| !c.is_ascii_digit() && *c != '+' && *c != '-').collect();
        let what = match fault.trouble {
            Trouble::Sync(what, ..) => format!("sync of {what:?}"),
            _ => trouble,
        };
        format!("{} {what}", fault.on == On::Coordinator)
    }

    #[test]
    fn a_seed_is_a_plan() {
        for seed in [0, 1, 7, u64::MAX] {
            let plan = Plan::of(seed, 5, 2, &Pace::QUICK);
            assert_eq!(plan, Plan::of(seed, 5, 2, &Pace::QUICK));
            assert_eq!(plan.to_string().lines().count(), 6);
        }
        assert_ne!(points(1..2, &Pace::QUICK), points(2..3, &Pace::QUICK));
    }

    #[test]
    fn sixty_points_have_every_kind_and_every_sync() {
        for first in [0, 1, 12, 5000] {
            let points = points(first..first + 12, &Pace::QUICK);
            assert_eq!(points.len(), 60);
            let kinds: BTreeSet<String> = points.iter().map(kind).collect();
            assert_eq!(kinds.len(), Plan::kinds(), "{kinds:#?}");
            for what in Synced::ALL {
                assert!(points.iter().any(|fault| matches!(fault.trouble, Trouble::Sync(synced, ..) if synced == what)), "{what:?}");
            }
        }
    }

    #[test]
    fn each_sync_is_broken_in_every_way() {
        let points = points(0..200, &Pace::QUICK);
        for what in Synced::ALL {
            for how in [Broken::Eio, Broken::Enospc, Broken::Kill] {
                let is_it = |fault: &Fault| matches!(fault.trouble, Trouble::Sync(synced, _, broken) if (synced, broken) == (what, how));
                assert!(points.iter().any(is_it), "{what:?} {how:?}");
            }
        }
    }

    #[test]
    fn faults_keep_to_their_pace_and_hosts() {
        for fault in points(0..100, &Pace::QUICK) {
            assert!(fault.lasts <= Duration::from_millis(1_500), "{fault}");
            assert!(!matches!(fault.on, On::Worker(2..)), "{fault}");
        }
        let long = points(0..100, &Pace::WIDE).into_iter().filter(|fault| fault.lasts > Duration::from_secs(60)).count();
        assert!((5..100).contains(&long), "{long}");
    }

    #[test]
    fn it_reads_well() {
        let fault = |on, trouble| Fault { on, trouble, lasts: Duration::from_millis(300) }.to_string();
        assert_eq!(fault(On::Worker(1), Trouble::Clock(-30)), "worker 1: -30 minutes wrong, for 300 ms");
        let broken = Trouble::Sync(Synced::GitRef, 2, Broken::Enospc);
        assert_eq!(fault(On::Coordinator, broken), "coordinator: sync 2 of a git ref refused with ENOSPC, for 300 ms");
    }
}
