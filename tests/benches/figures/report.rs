//! Figures as they are told, and whether each is what was promised.

use std::fmt::Display;

pub struct Report {
    quick: bool,
    is_good: bool,
}

impl Report {
    pub fn new(quick: bool) -> Self {
        Self { quick, is_good: true }
    }

    pub fn is_quick(&self) -> bool {
        self.quick
    }

    pub fn is_good(&self) -> bool {
        self.is_good
    }

    /// What follows is of this.
    pub fn begin(&self, name: &str, what: &str) {
        println!("\n{name}: {what}");
    }

    /// A figure of which nothing is promised.
    pub fn tell(&self, what: &str, value: impl Display) {
        println!("  {what:<78} {value}");
    }

    /// One that was measured. A quick look on a machine that is busy with other things says nothing of it: then it is only told.
    pub fn measured(&mut self, what: &str, value: f64, unit: &str, most: f64) {
        let holds = value <= most;
        self.is_good &= holds || self.quick;
        self.judge(what, &format!("{value:.2}{unit}"), &format!("{most}{unit}"), holds);
    }

    /// One that no machine changes.
    pub fn counted(&mut self, what: &str, value: u64, unit: &str, most: u64) {
        let holds = value <= most;
        self.is_good &= holds;
        self.judge(what, &format!("{value}{unit}"), &format!("{most}{unit}"), holds);
    }

    fn judge(&self, what: &str, value: &str, most: &str, holds: bool) {
        let verdict = if holds { "holds" } else { "DOES NOT HOLD" };
        self.tell(what, format!("{value}   (at most {most}: {verdict})"));
    }
}
