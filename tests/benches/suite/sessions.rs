//! Sessions that do nothing but show that they are alive, with the real coordinator: memory and CPU of each. The floor of the memory is a bare stream with
//! certificates on both sides, held by a process of the same library.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use roundtable_runtime::identity::{Ca, ClientFile};
use roundtable_runtime::open_files;
use roundtable_tests::harness::{Cost, Sandbox};
use roundtable_tests::links::bare;
use roundtable_tests::links::idle::{self, Client, Crowd};
use tokio::runtime::Runtime;

use crate::table::{Measured, Table};

/// All must be there within this.
const WITHIN: Duration = Duration::from_secs(300);
/// Over so long their CPU is measured: several of every worker's signs of life.
const IDLE: Duration = Duration::from_secs(20);
/// More bare streams than anybody asks for.
const BARE_MAX: usize = 100_000;

pub fn run(table: &mut Table, count: usize) -> anyhow::Result<()> {
    open_files::allow_most()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut ours = || ours(&runtime, count);
    let mut floor = || floor(&runtime, count);
    table.take(&format!("sessions, {count} idle"), &mut [("floor", &mut floor), ("ours", &mut ours)])
}

fn ours(runtime: &Runtime, count: usize) -> anyhow::Result<Measured> {
    let sandbox = Sandbox::new();
    let coordinator = sandbox.serve();
    let address = ClientFile::read(sandbox.data_dir())?.context("the coordinator has written no client.json")?.address;
    let clients = idle::make(&Ca::open(&sandbox.data_dir().join("ca"))?, &address, count)?;
    let pid = coordinator.pid();
    let before = resident_kib(pid)?;
    let crowd = runtime.block_on(async { Crowd::begin(&clients) });
    let all = runtime.block_on(async { tokio::time::timeout(WITHIN, crowd.until(|here| *here == count)).await });
    all.context("the sessions were not all there in time")?;
    let (began, cpu) = (Instant::now(), Cost::of(&coordinator)?.own_ms);
    runtime.block_on(async { tokio::time::sleep(IDLE).await });
    let share = (Cost::of(&coordinator)?.own_ms - cpu) as f64 / (began.elapsed().as_secs_f64() * 10.0);
    let each = resident_kib(pid)?.saturating_sub(before) as f64 / count as f64;
    Ok(vec![("memory of each", "KiB", each), ("CPU of all", "% of one", share)])
}

fn floor(runtime: &Runtime, count: usize) -> anyhow::Result<Measured> {
    let folder = tempfile::tempdir()?;
    let wall = roundtable_runtime::clock::Clock::wall(&roundtable_runtime::clock::SystemClock);
    let ca = Ca::open_or_create(folder.path(), wall)?;
    let mut server = Command::new(std::env::current_exe()?)
        .arg("--bare-streams")
        .arg(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let measured = floor_of(runtime, &ca, &mut server, count);
    // It ends with its standard input.
    drop(server.stdin.take());
    server.wait()?;
    measured
}

fn floor_of(runtime: &Runtime, ca: &Ca, server: &mut Child, count: usize) -> anyhow::Result<Measured> {
    let mut address = String::new();
    BufReader::new(server.stdout.take().context("it has a standard output")?).read_line(&mut address)?;
    let clients = idle::make(ca, address.trim(), count)?;
    let before = resident_kib(server.id())?;
    let open = runtime.block_on(streams(&clients, address.trim().parse()?))?;
    ensure!(open.len() == count, "{} of {count} streams", open.len());
    let each = resident_kib(server.id())?.saturating_sub(before) as f64 / count as f64;
    Ok(vec![("memory of each", "KiB", each)])
}

async fn streams(clients: &[Arc<Client>], address: SocketAddr) -> anyhow::Result<Vec<impl Sized>> {
    let mut open = Vec::with_capacity(clients.len());
    for client in clients {
        open.push(bare::stream(&bare::connector(&client.credentials)?, address).await?);
    }
    Ok(open)
}

/// Is the other end of bare streams, in a process of its own, so that its memory can be told: says where on standard output, ends with standard input.
pub fn serve_bare(ca: &Path) -> anyhow::Result<()> {
    open_files::allow_most()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let server = bare::Server::listen(&Ca::open(ca)?, BARE_MAX).await?;
        println!("{}", server.address);
        let ended = tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
        tokio::select! {
            () = server.serve() => {}
            _ = ended => {}
        }
        Ok(())
    })
}

/// The resident set of a process.
pub fn resident_kib(pid: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}
