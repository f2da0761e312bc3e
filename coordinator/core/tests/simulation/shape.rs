//! What kind of world a seed makes: fleet, options of its runs, how bad its agents, its network and its people are.

use std::collections::BTreeMap;

use roundtable_shared::{BackendName, BackendOffer, HazardRule, ManifestRule, Mode, RunLimits, RunOptions};

use crate::rng::Rng;

/// Of a thousand worlds, so many have up to 20 workers.
const LARGE: u64 = 40;

/// Chances per thousand.
#[derive(Clone, Debug, Default)]
pub struct Agents {
    pub fails: u64,
    pub garbage: u64,
    pub partial: u64,
    pub strays: u64,
    pub idle: u64,
    pub severe: u64,
    /// Checks that are red for no reason.
    pub red: u64,
    /// Works whose check is red, and pairs of them that are red together.
    pub red_works: u64,
    pub red_pairs: u64,
    pub conflicts: u64,
    pub halts: u64,
    pub holds: u64,
    pub wedges: u64,
    pub slow_start: u64,
    pub turn_ms_max: u64,
    pub reset_ms_max: u64,
    pub outages: Vec<Outage>,
}

/// A provider that refuses every turn for a while, milliseconds from the beginning.
#[derive(Clone, Debug)]
pub struct Outage {
    pub backend: &'static str,
    pub from_ms: u64,
    pub to_ms: u64,
}

/// Chances per thousand and, for the rest, weights among what goes wrong at intervals.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// A message is lost, and with it the link that carried it.
    pub lost: u64,
    pub twice: u64,
    pub late: u64,
    /// Frames of one stream overtake each other.
    pub reorders: bool,
    /// A batch is the last one of its coordinator.
    pub batch_crash: u64,
    /// A step of a worker is its last.
    pub worker_crash: u64,
    /// git or the disk fails an effect.
    pub effect_fails: u64,
    /// A commit, or a move of the branch, takes git seconds.
    pub slow_git: u64,
    /// Between two of the following; 0 = never.
    pub every_ms: u64,
    /// Weights: coordinator crash, coordinator stall, worker crash, freeze, partition, leave, backend out, drained by a person, drained on its host,
    /// coordinator restored from a backup.
    pub kinds: [u64; 10],
}

/// How people behave.
#[derive(Clone, Debug, Default)]
pub struct People {
    pub patience_ms_max: u64,
    pub meddles: u64,
}

#[derive(Clone, Debug)]
pub struct Shape {
    pub agents: Agents,
    pub faults: Faults,
    pub people: People,
    pub heal_ms: u64,
    pub heartbeat_ms: u64,
    pub tick_ms: u64,
    /// Many workers, and plans that keep them busy.
    pub is_large: bool,
    pub workers: Vec<Vec<BackendOffer>>,
    /// Of each worker.
    pub labels: Vec<BTreeMap<String, String>>,
    /// The worker that can prepare nothing, if one.
    pub broken: Option<usize>,
    pub runs: Vec<RunOptions>,
    /// Rows go through their stored form when they are read back.
    pub through_json: bool,
}

impl Shape {
    pub fn of(rng: &mut Rng) -> Self {
        let calm = rng.chance(150);
        let faults = if calm { Faults::default() } else { faults(rng) };
        let heal_ms = if calm { 0 } else { rng.range(120_000, 1_800_000) };
        let runs = (0..if rng.chance(200) { 2 } else { 1 }).map(|_| options(rng)).collect();
        let is_large = rng.chance(LARGE);
        let count = if is_large { *rng.pick(&[6, 10, 20, 20]) } else { rng.weighted(&[0, 3, 5, 3, 1]) };
        let workers: Vec<_> = (0..count).map(|_| offers(rng)).collect();
        let labels = workers.iter().map(|_| labels(rng)).collect();
        let broken = (!calm && rng.chance(200)).then(|| rng.below(workers.len() as u64) as usize);
        Self {
            broken,
            agents: agents(rng),
            faults,
            people: People { patience_ms_max: rng.tailed(1_000, 1_200_000), meddles: if rng.chance(500) { 0 } else { rng.range(1, 200) } },
            heal_ms,
            heartbeat_ms: if is_large { 15_000 } else { *rng.pick(&[5_000, 10_000, 15_000]) },
            tick_ms: if is_large { 2_000 } else { *rng.pick(&[1_000, 2_000, 2_000, 5_000]) },
            is_large,
            workers,
            labels,
            runs,
            through_json: rng.chance(60),
        }
    }
}

fn labels(rng: &mut Rng) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    if rng.chance(500) {
        labels.insert("gpu".to_owned(), "true".to_owned());
    }
    if rng.chance(700) {
        labels.insert("zone".to_owned(), (*rng.pick(&["a", "b"])).to_owned());
    }
    labels
}

fn agents(rng: &mut Rng) -> Agents {
    let mut some = |max: u64| if rng.chance(350) { 0 } else { rng.range(1, max) };
    let mut agents = Agents {
        fails: some(300),
        garbage: some(200),
        partial: some(300),
        strays: some(400),
        idle: some(150),
        severe: some(600),
        red: some(500),
        red_works: some(200),
        red_pairs: some(40),
        conflicts: some(300),
        halts: some(60),
        holds: some(200),
        wedges: some(8),
        slow_start: some(60),
        turn_ms_max: 0,
        reset_ms_max: 0,
        outages: Vec::new(),
    };
    // Half of the time what a check says is what its tree is.
    if rng.chance(500) {
        (agents.red, agents.fails) = (0, 0);
    }
    agents.turn_ms_max = *rng.pick(&[5_000, 60_000, 300_000]);
    agents.reset_ms_max = *rng.pick(&[10_000, 600_000, 40_000_000]);
    for _ in 0..rng.weighted(&[6, 3, 1]) {
        let from_ms = rng.tailed(0, 600_000);
        let lasts_ms = *rng.pick(&[2_000, 60_000, 600_000, 3_600_000]);
        let backend = *rng.pick(&["codex", "codex", "gemini", "opencode", "scripted", "codex-review"]);
        agents.outages.push(Outage { backend, from_ms, to_ms: from_ms + lasts_ms });
    }
    agents
}

fn faults(rng: &mut Rng) -> Faults {
    let mut some = |max: u64| if rng.chance(400) { 0 } else { rng.range(1, max) };
    let mut faults = Faults {
        lost: some(30),
        twice: some(80),
        late: some(80),
        reorders: false,
        batch_crash: some(20),
        worker_crash: some(20),
        effect_fails: some(120),
        slow_git: 0,
        every_ms: 0,
        kinds: [some(6), some(3), some(6), some(4), some(5), some(2), some(4), some(2), some(1), 0],
    };
    faults.kinds[9] = if rng.chance(200) { rng.range(1, 3) } else { 0 };
    faults.kinds[2] += 1;
    faults.slow_git = if rng.chance(400) { 900 } else { 0 };
    faults.reorders = rng.chance(400);
    faults.every_ms = if rng.chance(250) { 0 } else { rng.range(5_000, 120_000) };
    faults
}

fn options(rng: &mut Rng) -> RunOptions {
    let mode = *rng.pick(&[
        Mode::Deterministic,
        Mode::Deterministic,
        Mode::Deterministic,
        Mode::Deterministic,
        Mode::Llm,
        Mode::Llm,
        Mode::Llm,
        Mode::Legacy,
        Mode::Manual,
        Mode::Manual,
    ]);
    let limits = RunLimits {
        wall_ms: *rng.pick(&[120_000, 600_000, 7_200_000]),
        park_probe_ms: *rng.pick(&[30_000, 900_000]),
        wait_worker_ms: *rng.pick(&[5_000, 120_000]),
        no_worker_ms: *rng.pick(&[20_000, 600_000]),
        no_worker_ask_again_ms: *rng.pick(&[60_000, 3_600_000]),
        park_gone_ms: *rng.pick(&[60_000, 21_600_000]),
        consult_ms: *rng.pick(&[30_000, 300_000]),
        ..RunLimits::default()
    };
    let backend = |rng: &mut Rng, common: &str| {
        let other = *rng.pick(&["gemini", "opencode", "absent"]);
        BackendName::from(if rng.chance(800) { common } else { other })
    };
    RunOptions {
        mode,
        orchestrator_backend: backend(rng, "opencode"),
        assign_backend: backend(rng, "codex"),
        escalate_backend: backend(rng, "codex"),
        check: rng.chance(450).then(|| "make test".to_owned()),
        hazards: if rng.chance(300) { HazardRule::Writes } else { HazardRule::Ordered },
        manifest: if rng.chance(250) { ManifestRule::Strict } else { ManifestRule::Extend },
        max_iterations: *rng.pick(&[2, 50]),
        max_actions: *rng.pick(&[1, 6]),
        with_optional: rng.chance(300),
        only: if rng.chance(80) { vec!["1".to_owned(), "2".to_owned()] } else { Vec::new() },
        embedded: rng.chance(400),
        ignore_case: rng.chance(100),
        limits,
        ..RunOptions::default()
    }
}

fn offers(rng: &mut Rng) -> Vec<BackendOffer> {
    let account = if rng.chance(700) { "shared" } else { "" };
    let offer = |name: &str, pool: &str, slots: u64, serves_all: bool| BackendOffer {
        name: BackendName::from(name),
        pool: pool.to_owned(),
        slots: slots as u32,
        version: "1".to_owned(),
        account: account.to_owned(),
        serves_all,
        unavailable: String::new(),
    };
    let mut offers = Vec::new();
    if rng.chance(150) {
        offers.push(offer("scripted", "scripted", rng.range(1, 4), true));
    } else {
        if rng.chance(850) {
            let slots = rng.range(1, 3);
            offers.push(offer("codex", "codex", slots, false));
            if rng.chance(800) {
                offers.push(offer("codex-review", "codex", slots, false));
            }
        }
        if rng.chance(500) {
            offers.push(offer("gemini", "gemini", rng.range(1, 2), false));
        }
        if rng.chance(300) {
            offers.push(offer("opencode", "opencode", 1, false));
        }
    }
    if rng.chance(850) {
        offers.push(offer("check", "check", rng.range(1, 4), false));
    }
    if offers.is_empty() {
        offers.push(offer("gemini", "gemini", 1, false));
    }
    offers
}
