//! Plans out of nothing: 2 to 30 units with overlapping manifests, dependencies, folders and globs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use roundtable_shared::spec::{Plan, Spec};

use crate::rng::Rng;

const TITLES: [&str; 9] = [
    "Parse the input",
    "Store the ledger",
    "Review the interfaces",
    "Build the ui layout",
    "Check the auth tokens",
    "Refactor the core",
    "Write the docs",
    "Serve the list",
    "Export the report",
];

/// A spec that can be run.
pub fn spec(rng: &mut Rng, is_large: bool) -> (Spec, Plan) {
    for _ in 0..20 {
        let text = tasks(rng, is_large);
        let files = BTreeMap::from([
            ("tasks.md".to_owned(), text.into_bytes()),
            ("requirements.md".to_owned(), b"# Requirements\n".to_vec()),
            ("design.md".to_owned(), b"# Design\n".to_vec()),
        ]);
        if let Ok((spec, plan, _)) = Spec::read(&files, false).into_result() {
            return (spec, plan);
        }
    }
    panic!("twenty generated plans in a row have errors");
}

fn tasks(rng: &mut Rng, is_large: bool) -> String {
    let count = if is_large || rng.chance(300) { rng.range(10, 30) } else { rng.range(2, 9) };
    let areas = if is_large { count } else { rng.range(1, 2 + count) };
    let plain = !is_large && rng.chance(150);
    let mut order: Vec<u64> = (1..=count).collect();
    if rng.chance(300) {
        for at in (1..order.len()).rev() {
            order.swap(at, rng.below(at as u64 + 1) as usize);
        }
    }
    let mut text = String::from("# Plan\n\n");
    for id in 1..=count {
        unit(rng, &mut text, id, &order, areas, plain);
    }
    text
}

fn unit(rng: &mut Rng, text: &mut String, id: u64, order: &[u64], areas: u64, plain: bool) {
    let done = if rng.chance(40) { "x" } else { " " };
    let optional = if rng.chance(80) { "*" } else { "" };
    let checkpoint = id > 2 && rng.chance(70);
    let title = if checkpoint { "Checkpoint: all of it works" } else { rng.pick(&TITLES) };
    let _ = writeln!(text, "- [{done}]{optional} {id}. {title}");
    let subtasks = if rng.chance(500) { 0 } else { rng.range(1, 4) };
    for sub in 1..=subtasks {
        let optional = if rng.chance(150) { "*" } else { "" };
        let done = if rng.chance(60) { "x" } else { " " };
        let _ = writeln!(text, "  - [{done}]{optional} {id}.{sub} Step {sub}");
    }
    let place = order.iter().position(|other| *other == id).unwrap_or(0);
    if place > 0 && rng.chance(450) {
        let on: Vec<String> = (0..rng.range(1, 2)).map(|_| order[rng.below(place as u64) as usize].to_string()).collect();
        let _ = writeln!(text, "  - Depends on: {}", on.join(", "));
    }
    if rng.chance(100) {
        let _ = writeln!(text, "  - _requires: {}_", rng.pick(&["gpu", "zone=a", "gpu, zone=a"]));
    }
    if plain {
        return;
    }
    if rng.chance(if checkpoint { 100 } else { 850 }) {
        let entries: Vec<String> = (0..rng.range(1, 3)).map(|_| entry(rng, areas)).collect();
        let _ = writeln!(text, "  - _writes: {}_", entries.join(", "));
    }
    if rng.chance(350) {
        let entries: Vec<String> = (0..rng.range(1, 2)).map(|_| entry(rng, areas)).collect();
        let _ = writeln!(text, "  - _reads: {}_", entries.join(", "));
    }
}

fn entry(rng: &mut Rng, areas: u64) -> String {
    let (area, file) = (rng.below(areas), rng.below(4));
    match rng.below(20) {
        0 => format!("area{area}/"),
        1 => format!("area{area}/*.rs"),
        2 => format!("area{area}/**"),
        3 => format!("**/f{file}.rs"),
        4 => format!("area{area}/[fg]{file}.rs"),
        5 => "AGENTS.md".to_owned(),
        _ => format!("area{area}/f{file}.rs"),
    }
}

/// A path that an entry of a manifest covers.
pub fn a_path_of(entry: &str, rng: &mut Rng) -> String {
    let entry = entry.replace("[fg]", "f").replace("**/", "area0/").replace("**", "deep/f9.rs").replace('*', "f8");
    if entry.ends_with('/') { format!("{entry}f{}.rs", rng.below(4)) } else { entry }
}
