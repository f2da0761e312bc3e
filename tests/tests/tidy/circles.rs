//! No circles: where two files of a crate name each other, on whatever way, neither can be read without the other.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::File;
use crate::graph::{Graph, roots};

/// One line for each circle in a crate.
pub fn violations(files: &[File]) -> Vec<String> {
    roots(files).into_iter().flat_map(|(_, root)| circles(&Graph::of(files, root))).collect()
}

/// The shortest circle of each group of files between which one can go round.
fn circles(graph: &Graph<'_>) -> Vec<String> {
    let shortest: BTreeMap<&str, Vec<&str>> = graph.files().filter_map(|file| Some((file, round(graph, file)?))).collect();
    let mut left: BTreeSet<&str> = shortest.keys().copied().collect();
    let mut found = Vec::new();
    while let Some(first) = left.first().copied() {
        let ahead = reached(graph, first);
        let group: Vec<&str> = left.iter().copied().filter(|file| ahead.contains(file) && reached(graph, file).contains(first)).collect();
        left.retain(|file| !group.contains(file));
        let circle = group.iter().map(|file| &shortest[file]).min_by_key(|circle| circle.len());
        found.extend(circle.map(|circle| told(graph, circle, group.len())));
    }
    found
}

/// The circle's files in their order, each with what ties it to the next. The first is told in full, others from the crate's folder on.
fn told(graph: &Graph<'_>, circle: &[&str], group: usize) -> String {
    let next = circle.iter().skip(1).chain(&circle[..1]);
    let steps = circle.iter().zip(next).enumerate().map(|(at, (from, to))| {
        let name = if at == 0 { from } else { graph.short(from) };
        format!("{name}{} of {}", graph.told(from, to), graph.short(to))
    });
    let steps = steps.collect::<Vec<_>>().join("; ");
    if group > circle.len() { format!("{steps} (of {group} files that circles tie together)") } else { steps }
}

/// The shortest way from a file back to it.
fn round<'g>(graph: &'g Graph<'_>, start: &'g str) -> Option<Vec<&'g str>> {
    let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
    let mut open = VecDeque::from([start]);
    while let Some(file) = open.pop_front() {
        for next in graph.named_by(file) {
            if next == start {
                let mut way = vec![file];
                while let Some(before) = way.last().and_then(|file| came_from.get(file)) {
                    way.push(before);
                }
                way.reverse();
                return Some(way);
            }
            if !came_from.contains_key(next) {
                came_from.insert(next, file);
                open.push_back(next);
            }
        }
    }
    None
}

/// All files that a file names, also by way of others.
fn reached<'g>(graph: &'g Graph<'_>, start: &'g str) -> BTreeSet<&'g str> {
    let mut seen = BTreeSet::new();
    let mut open = vec![start];
    while let Some(file) = open.pop() {
        open.extend(graph.named_by(file).filter(|next| seen.insert(*next)));
    }
    seen
}

#[cfg(test)]
fn found(texts: &[(&str, &str)]) -> Vec<String> {
    violations(&crate::graph::sources(texts))
}

#[test]
fn circles_are_found_and_told() {
    let lib = ("lib.rs", "mod a;\nmod b;\npub use b::Y;");
    let (a, b) = (("a.rs", "//! A.\nuse crate::Y;\npub struct X;"), ("b.rs", "pub struct Y;\nfn f() {\n  super::a::X;\n}"));
    assert_eq!(found(&[lib, a, b]), ["a/src/a.rs:2 names Y of b.rs; b.rs:3 names X of a.rs"]);
    // The parent of one of them may name both, and be named by them.
    assert!(found(&[lib, a, ("b.rs", "pub struct Y;")]).is_empty());
    assert!(found(&[("main.rs", "mod a; pub struct Y; fn f() { a::X; }"), a]).is_empty());
}

#[test]
fn of_a_group_the_shortest_circle_is_told() {
    let file = |name: &'static str, text: &'static str| (name, text);
    let all = [
        file("main.rs", "mod a; mod b; mod c; mod d; mod e; mod f;"),
        file("a.rs", "pub fn a() { crate::b::b(); }"),
        file("b.rs", "pub fn b() { crate::c::c(); }"),
        file("c.rs", "pub fn c() { crate::a::a(); crate::d::d(); }"),
        file("d.rs", "pub fn d() { crate::c::c(); crate::e::e(); }"),
        file("e.rs", "pub fn e() { crate::f::f(); }"),
        file("f.rs", "pub fn f() { crate::e::e(); }"),
    ];
    assert_eq!(
        found(&all),
        [
            "a/src/c.rs:1 names d of d.rs; d.rs:1 names c of c.rs (of 4 files that circles tie together)",
            "a/src/e.rs:1 names f of f.rs; f.rs:1 names e of e.rs"
        ]
    );
}
