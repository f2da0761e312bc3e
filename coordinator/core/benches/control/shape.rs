//! Shapes of plans: who may meet whom.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use roundtable_shared::spec::{Plan, Spec};

/// A shape of a plan.
#[derive(Clone, Copy)]
pub enum Shape {
    /// Every unit writes a file of its own.
    Disjoint,
    /// Each unit depends on the one before it.
    Chain,
    /// Each unit writes four of as many files as there are units.
    Overlap,
    /// All write one file.
    OneFile,
    /// Globs of folders, ten units a folder.
    Globs,
}

impl Shape {
    pub const ALL: [Self; 5] = [Self::Disjoint, Self::Chain, Self::Overlap, Self::OneFile, Self::Globs];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disjoint => "disjoint",
            Self::Chain => "chain",
            Self::Overlap => "overlap",
            Self::OneFile => "one file",
            Self::Globs => "globs",
        }
    }

    /// A spec of that shape.
    pub fn plan(self, units: usize) -> (Spec, Plan) {
        read(self.text(units))
    }

    /// Its `tasks.md`.
    pub fn text(self, units: usize) -> String {
        let mut tasks = String::from("# Plan\n\n");
        for n in 1..=units {
            let _ = writeln!(tasks, "- [ ] {n}. Do step {n}\n  - _writes: {}_", self.writes(n, units));
            if let (Self::Chain, 2..) = (self, n) {
                let _ = writeln!(tasks, "  - _depends: {}_", n - 1);
            }
        }
        tasks
    }

    fn writes(self, n: usize, units: usize) -> String {
        match self {
            Self::Disjoint | Self::Chain => format!("src/d{}/f{n}.rs", n % 100),
            Self::Overlap => {
                // The same for every run: a file is met again after a while.
                let file = |k: usize| (n.wrapping_mul(2_654_435_761).wrapping_add(k * 40_503)) % units;
                format!("src/f{}.rs, src/f{}.rs, src/f{}.rs, src/f{}.rs", file(1), file(2), file(3), file(4))
            }
            Self::OneFile => "src/one.rs".to_owned(),
            Self::Globs => format!("src/g{}/*.rs", n / 10),
        }
    }
}

/// Reads a `tasks.md`.
pub fn read(tasks: String) -> (Spec, Plan) {
    let files = BTreeMap::from([("tasks.md".to_owned(), tasks.into_bytes())]);
    let (spec, outline, _) = Spec::read(&files, false).into_result().expect("the plan has no errors");
    (spec, outline)
}
