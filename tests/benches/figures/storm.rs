//! A thousand workers at once: back after their coordinator was killed, held against a thousand bare handshakes in the same run; and what becomes of a run's
//! dispatch while all of them come again and again. The coordinator is the real program; the workers' links are real ones, in this process.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use roundtable_runtime::identity::{Ca, ClientFile};
use roundtable_runtime::open_files;
use roundtable_tests::harness::{Cost, Playbook, SpecText, wait_for};
use roundtable_tests::links::idle::{self, Crowd};
use rustix::process::{Resource, getrlimit};
use tokio::runtime::Runtime;

use crate::floor;
use crate::report::Report;
use crate::site::{Site, now_ms};

/// All must be there within this.
const WITHIN: Duration = Duration::from_secs(300);
/// How often the floor is measured; the median counts.
const FLOORS: usize = 3;

pub fn run(report: &mut Report) -> anyhow::Result<()> {
    let (count, units) = if report.is_quick() { (50, 100) } else { (1_000, 600) };
    report.begin("storm", &format!("{count} workers, mTLS, on one machine with their coordinator"));
    open_files_for(count)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut site = Site::new(&SpecText::parallel("storm", units));
    let address = ClientFile::read(site.sandbox.data_dir())?.context("the coordinator has written no client.json")?.address;
    let ca = Ca::open(&site.sandbox.data_dir().join("ca"))?;
    let clients = idle::make(&ca, &address, count)?;
    let mut floors = Vec::new();
    for _ in 0..FLOORS {
        floors.push(runtime.block_on(floor::handshakes(&ca, &clients))?);
    }
    floors.sort();
    let floor = floors[FLOORS / 2];
    report.tell(&format!("{count} bare handshakes, all at once, median of {FLOORS}"), format!("{:.2} s", floor.as_secs_f64()));

    let began = Instant::now();
    let mut crowd = runtime.block_on(async { Crowd::begin(&clients) });
    until(&runtime, &crowd, |here| *here == count)?;
    report.tell("all of them join for the first time, all at once", format!("{:.2} s", began.elapsed().as_secs_f64()));
    back_after_a_restart(report, &runtime, &mut site, &crowd, (address.as_str(), count, floor))?;
    let peak = Cost::of(&site.coordinator)?.peak_bytes;
    report.tell("the coordinator's largest resident set", format!("{} MiB", peak >> 20));
    dispatch(report, &runtime, &site, &mut crowd, count)
}

/// Kills the coordinator and starts it again.
fn back_after_a_restart(
    report: &mut Report,
    runtime: &Runtime,
    site: &mut Site,
    crowd: &Crowd,
    (address, count, floor): (&str, usize, Duration),
) -> anyhow::Result<()> {
    site.coordinator.signal(roundtable_tests::harness::Signal::KILL);
    until(runtime, crowd, |here| *here == 0)?;
    let killed = Instant::now();
    let mut served = site.sandbox.program("coordinator").args(["serve", "--listen", address]).start();
    served.wait_for_stderr("ready");
    let ready = Instant::now();
    site.coordinator = served;
    until(runtime, crowd, |here| *here == count)?;
    let back = ready.elapsed();
    report.tell("from the start of the coordinator's process until it serves", format!("{:.2} s", (ready - killed).as_secs_f64()));
    report.tell("from then until all are back, their pauses between tries included", format!("{:.2} s", back.as_secs_f64()));
    report.measured("as a ratio to the bare handshakes", back.as_secs_f64() / floor.as_secs_f64(), "", 3.0);
    Ok(())
}

/// How many leases are granted while all are here and idle, and while all come again and again.
fn dispatch(report: &mut Report, runtime: &Runtime, site: &Site, crowd: &mut Crowd, count: usize) -> anyhow::Result<()> {
    let window = if report.is_quick() { Duration::from_secs(3) } else { Duration::from_secs(8) };
    let worker = site.worker("real", &Playbook::new());
    let run = site.run();
    let is_working = || worker.stderr().contains("role=review").then_some(());
    wait_for("the run to be under way", || format!("{}\n{}", worker.said(), run.said()), is_working);
    let quiet_ms = now_ms();
    std::thread::sleep(window);
    let storm_ms = now_ms();
    let came = runtime.block_on(async {
        let (began, mut came) = (Instant::now(), 0);
        while let Some(left) = window.checked_sub(began.elapsed()) {
            crowd.come_again().await;
            if tokio::time::timeout(left, crowd.until(|here| *here == count)).await.is_ok() {
                came += 1;
            }
        }
        came
    });
    let end_ms = now_ms();
    let granted: Vec<u64> = site.grants().iter().map(|grant| grant.at_ms).collect();
    let within = |from: u64, to: u64| granted.iter().copied().filter(|at| (from..to).contains(at)).collect::<Vec<_>>();
    let (quiet, storm) = (within(quiet_ms, storm_ms), within(storm_ms, end_ms));
    ensure!(!quiet.is_empty(), "nothing was granted within {} s, without any storm\n{}", window.as_secs(), run.said());
    let per_s = |grants: &[u64], ms: u64| grants.len() as f64 * 1000.0 / ms.max(1) as f64;
    let (calm, stormy) = (per_s(&quiet, storm_ms - quiet_ms), per_s(&storm, end_ms - storm_ms));
    report.tell("one real worker: leases granted while all are here", format!("{calm:.1} a second"));
    report.tell(&format!("the same while all come again, {came} times in {} s", window.as_secs()), format!("{stormy:.1} a second"));
    let ends = [storm_ms].into_iter().chain(storm).chain([end_ms]).collect::<Vec<_>>();
    let longest = ends.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).max().unwrap_or(0);
    report.measured("longest time without a grant meanwhile", longest as f64 / 1000.0, " s", 5.0);
    Ok(())
}

fn until(runtime: &Runtime, crowd: &Crowd, wanted: impl FnMut(&usize) -> bool) -> anyhow::Result<()> {
    let waited = runtime.block_on(async { tokio::time::timeout(WITHIN, crowd.until(wanted)).await });
    waited.with_context(|| format!("the workers were not all there, or not all gone, within {} s", WITHIN.as_secs()))
}

/// Lets this process hold both ends of so many connections.
fn open_files_for(count: usize) -> anyhow::Result<()> {
    let wanted = 2 * count as u64 + 500;
    open_files::allow_most()?;
    let most = getrlimit(Resource::Nofile).current;
    ensure!(most.is_none_or(|most| most >= wanted), "{wanted} open files are needed, and this user may have {most:?}: ulimit -Hn");
    Ok(())
}
