//! What processes have used: CPU time and memory, as the kernel counts them.

use std::path::PathBuf;

use anyhow::{Context, ensure};

use super::Process;

/// What a process has used so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cost {
    /// CPU time of its own, milliseconds.
    pub own_ms: u64,
    /// CPU time of the processes it has waited for, and theirs.
    pub children_ms: u64,
    /// Its largest resident set, bytes.
    pub peak_bytes: u64,
}

impl Cost {
    /// Asks the kernel.
    pub fn of(process: &Process) -> anyhow::Result<Self> {
        Self::of_pid(process.pid())
    }

    /// The same of any process of this user.
    pub fn of_pid(pid: u32) -> anyhow::Result<Self> {
        let folder = PathBuf::from(format!("/proc/{pid}"));
        let stat = std::fs::read_to_string(folder.join("stat"))?;
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        ensure!(fields.len() > 14, "{} has another form than expected", folder.join("stat").display());
        let ticks = |at: usize| fields[at].parse::<u64>().unwrap_or(0);
        let status = std::fs::read_to_string(folder.join("status"))?;
        let peak_kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse::<u64>().ok());
        Ok(Self {
            own_ms: ticks_ms(ticks(11) + ticks(12)),
            children_ms: ticks_ms(ticks(13) + ticks(14)),
            peak_bytes: peak_kib.context("no VmHWM")? * 1024,
        })
    }
}

/// CPU time all processes of the machine have used so far, milliseconds.
pub fn machine_ms() -> anyhow::Result<u64> {
    let stat = std::fs::read_to_string("/proc/stat")?;
    let fields: Vec<u64> = stat.lines().next().unwrap_or_default().split_whitespace().filter_map(|field| field.parse().ok()).collect();
    ensure!(fields.len() > 7, "/proc/stat has another form than expected");
    // user, nice, system; then idle, iowait, irq, softirq.
    Ok(ticks_ms(fields[..3].iter().sum::<u64>() + fields[5] + fields[6]))
}

fn ticks_ms(ticks: u64) -> u64 {
    ticks * 1000 / rustix::param::clock_ticks_per_second().max(1)
}
