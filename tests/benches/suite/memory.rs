//! What a unit that waits takes in memory: the resident set of a process that has read a plan and taken it on, by unit. A process for each, so that none
//! is helped by what another has left. Its floor is the plan's own text.

use std::process::Command;

use anyhow::{Context, bail, ensure};
use roundtable_shared::spec::Plan;

use crate::fleet::Fleet;
use crate::sessions::resident_kib;
use crate::shape::{self, Shape};
use crate::table::{Measured, Table};

/// Lines of details that each unit has where plans are wordy, and their length: about 1 KiB.
const DETAILS: usize = 16;
const DETAIL: &str = "  - Say what is wrong in the words of whoever has to mend it\n";

pub fn run(table: &mut Table, units: usize) -> anyhow::Result<()> {
    for shape in [Shape::Disjoint, Shape::OneFile] {
        for wordy in [false, true] {
            let mut floor = || Ok(vec![("a waiting unit", "bytes", text(shape, units, wordy).len() as f64 / units as f64)]);
            let mut ours = || of_process(shape, units, wordy);
            let words = if wordy { ", 1 KiB of text" } else { "" };
            table.take(&format!("memory, {}, {units}{words}", shape.as_str()), &mut [("text", &mut floor), ("ours", &mut ours)])?;
        }
    }
    Ok(())
}

fn of_process(shape: Shape, units: usize, wordy: bool) -> anyhow::Result<Measured> {
    let child = Command::new(std::env::current_exe()?).arg("--waiting").arg(format!("{}:{units}:{wordy}", shape.as_str())).output()?;
    ensure!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
    let kib: f64 = String::from_utf8_lossy(&child.stdout).trim().parse()?;
    Ok(vec![("a waiting unit", "bytes", kib * 1024.0 / units as f64)])
}

/// Is that process: says by how many KiB the plan has let it grow.
pub fn wait(what: &str) -> anyhow::Result<()> {
    let [shape, units, wordy] = what.split(':').collect::<Vec<_>>()[..] else { bail!("{what} is no plan") };
    let shape = Shape::ALL.into_iter().find(|known| known.as_str() == shape).context("no such shape")?;
    let before = resident_kib(std::process::id())?;
    let (spec, outline) = shape::read(text(shape, units.parse()?, wordy == "true"));
    let mut fleet = Fleet::new(1, 1, &Plan::default(), false);
    fleet.submit(spec, outline);
    println!("{}", resident_kib(std::process::id())?.saturating_sub(before));
    Ok(())
}

fn text(shape: Shape, units: usize, wordy: bool) -> String {
    let text = shape.text(units);
    if wordy { text.split_inclusive('\n').map(with_details).collect() } else { text }
}

fn with_details(line: &str) -> String {
    if line.starts_with("- [ ]") { format!("{line}{}", DETAIL.repeat(DETAILS)) } else { line.to_owned() }
}
