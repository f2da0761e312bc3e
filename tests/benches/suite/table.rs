//! Figures as they are taken, told and kept: median, least and most of what was measured in turn, with the share of the CPU that other work had meanwhile.

use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use roundtable_tests::harness::{Cost, machine_ms};

/// All figures of this run.
pub struct Table {
    repeats: usize,
    rows: Vec<Row>,
}

struct Row {
    part: String,
    figure: String,
    unit: &'static str,
    values: Vec<f64>,
    /// Of all CPUs, what neither this process nor its children used, while these were taken.
    foreign: f64,
}

/// What is measured of one thing, one figure after the other.
pub type Measured = Vec<(&'static str, &'static str, f64)>;

impl Table {
    pub fn new(repeats: usize) -> Self {
        println!("{:<34} {:<34} {:>12} {:>12} {:>12}  unit       others", "part", "figure", "median", "least", "most");
        Self { repeats, rows: Vec::new() }
    }

    /// Measures these things in turn, all of them so many times.
    pub fn take(&mut self, part: &str, things: &mut [(&str, &mut dyn FnMut() -> anyhow::Result<Measured>)]) -> anyhow::Result<()> {
        let mut rows: Vec<Row> = Vec::new();
        let (began, own, machine) = (Instant::now(), own_ms()?, machine_ms()?);
        for _ in 0..self.repeats {
            for (name, thing) in things.iter_mut() {
                for (figure, unit, value) in thing().with_context(|| format!("{part}, {name}"))? {
                    let figure = format!("{name}: {figure}");
                    match rows.iter_mut().find(|row| row.figure == figure) {
                        Some(row) => row.values.push(value),
                        None => rows.push(Row { part: part.to_owned(), figure, unit, values: vec![value], foreign: 0.0 }),
                    }
                }
            }
        }
        let cpus = std::thread::available_parallelism()?.get() as f64;
        let foreign = machine_ms()?.saturating_sub(machine).saturating_sub(own_ms()? - own) as f64;
        let share = foreign / (began.elapsed().as_secs_f64() * 1e3 * cpus).max(1.0);
        for mut row in rows {
            row.foreign = share;
            row.values.sort_by(f64::total_cmp);
            row.tell();
            self.rows.push(row);
        }
        Ok(())
    }

    /// Leaves all of it as CSV.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let mut file = std::fs::File::create(path).with_context(|| path.display().to_string())?;
        writeln!(file, "part,figure,unit,median,least,most,repeats,foreign_cpu")?;
        for row in &self.rows {
            let (median, least, most) = row.spread();
            let Row { part, figure, unit, values, foreign } = row;
            writeln!(file, "{part},{figure},{unit},{median},{least},{most},{},{foreign:.3}", values.len())?;
        }
        println!("as CSV: {}", path.display());
        Ok(())
    }
}

impl Row {
    fn spread(&self) -> (f64, f64, f64) {
        let at = |at: usize| self.values.get(at).copied().unwrap_or(f64::NAN);
        (at(self.values.len() / 2), at(0), at(self.values.len().saturating_sub(1)))
    }

    fn tell(&self) {
        let (median, least, most) = self.spread();
        let Self { part, figure, unit, foreign, .. } = self;
        println!("{part:<34} {figure:<34} {median:>12.2} {least:>12.2} {most:>12.2}  {unit:<10} {:3.0} %", foreign * 100.0);
    }
}

/// CPU time this process and the children it has waited for have used, milliseconds.
pub fn own_ms() -> anyhow::Result<u64> {
    let cost = Cost::of_pid(std::process::id())?;
    Ok(cost.own_ms + cost.children_ms)
}
