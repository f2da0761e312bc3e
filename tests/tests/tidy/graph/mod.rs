//! Which file of a crate names an item of which other, tests left out. Between a module and those below it there are no edges.
//!
//! What must not be in such a graph is said by the rules: `circles` and `floors`.

mod parse;
mod resolve;
mod tree;

use std::collections::{BTreeMap, BTreeSet};

use crate::File;
use crate::source::{Source, words};
use parse::Names;
use resolve::definitions;
use tree::Tree;

/// Items of another file that are told of an edge.
const NAMES_TOLD: usize = 4;

/// The files of one crate.
pub struct Graph<'f> {
    /// The folder that they are in, with its `/`.
    folder: &'f str,
    /// The text of each, and the module that it holds.
    files: BTreeMap<String, (&'f str, Names)>,
    /// The items that a file names, by the file that defines them.
    edges: BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
}

impl<'f> Graph<'f> {
    /// Of the crate that has its root in that file.
    pub fn of(files: &'f [File], root: &'f str) -> Self {
        let rust = files.iter().filter(|file| file.is_rust());
        let sources: BTreeMap<&str, &'f str> = rust.map(|file| (file.path.as_str(), file.text.as_str())).collect();
        let tree = Tree::load(&sources, root);
        let mut graph = Self { folder: tree::folder_of(root), files: BTreeMap::new(), edges: BTreeMap::new() };
        for placed in tree.all() {
            // They come from the top down: a file is the uppermost module that it holds.
            graph.files.entry(placed.file.clone()).or_insert_with(|| (sources[placed.file.as_str()], placed.path.clone()));
        }
        for placed in tree.all() {
            // To hand on is not to use, and what is used of a module that is imported whole is named where it is used.
            let used = placed.module.imports.iter().filter(|import| !import.is_reexport && import.name.is_some());
            for path in used.map(|import| &import.path).chain(&placed.module.paths) {
                for definition in definitions(&tree, &placed.path, path) {
                    graph.add(&placed.file, definition.file, definition.item);
                }
            }
        }
        graph
    }

    fn add(&mut self, from: &str, to: &str, item: String) {
        let ((_, from_module), (_, to_module)) = (&self.files[from], &self.files[to]);
        if !from_module.starts_with(to_module) && !to_module.starts_with(from_module) {
            self.edges.entry(from.to_owned()).or_default().entry(to.to_owned()).or_default().insert(item);
        }
    }

    /// All files.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// A file within the crate's folder.
    pub fn short<'p>(&self, file: &'p str) -> &'p str {
        file.strip_prefix(self.folder).unwrap_or(file)
    }

    /// Files that define what a file names.
    pub fn named_by(&self, file: &str) -> impl Iterator<Item = &str> {
        self.edges.get(file).into_iter().flat_map(|to| to.keys().map(String::as_str))
    }

    /// What one file names of another, with the line where that begins: `:3 names X, Y`.
    pub fn told(&self, from: &str, to: &str) -> String {
        let names = &self.edges[from][to];
        let source = Source::new(self.files[from].0);
        // What was handed on by another name is not found.
        let first = names.iter().filter_map(|name| words(&source.code, name).next()).min();
        let line = first.map(|at| format!(":{}", source.line_of(at))).unwrap_or_default();
        let mut told: Vec<&str> = names.iter().map(String::as_str).take(NAMES_TOLD).collect();
        told.extend((names.len() > NAMES_TOLD).then_some("…"));
        format!("{line} names {}", told.join(", "))
    }
}

/// The file that each library and each program begins with, beside the folder of its package (`worker/`).
pub fn roots(files: &[File]) -> Vec<(&str, &str)> {
    let folders: Vec<&str> = files.iter().filter_map(|file| file.path.strip_suffix("Cargo.toml")).collect();
    let root = |path: &str| {
        folders.iter().copied().find(|folder| {
            let within = path.strip_prefix(folder).and_then(|path| path.strip_prefix("src/"));
            within.is_some_and(|path| {
                let program = path.strip_prefix("bin/").and_then(|path| path.strip_suffix(".rs"));
                ["lib.rs", "main.rs"].contains(&path) || program.is_some_and(|name| !name.contains('/'))
            })
        })
    };
    files.iter().filter_map(|file| Some((root(&file.path)?, file.path.as_str()))).collect()
}

/// Files of a crate below `a/src/`.
#[cfg(test)]
pub fn sources(sources: &[(&str, &str)]) -> Vec<File> {
    let file = |path: String, text: &str| File { path, bytes: 0, text: text.to_owned() };
    let manifest = file("a/Cargo.toml".to_owned(), "");
    std::iter::once(manifest).chain(sources.iter().map(|(path, text)| file(format!("a/src/{path}"), text))).collect()
}

/// The edges of such a crate, each as `from > to: names`.
#[cfg(test)]
fn edges(texts: &[(&str, &str)]) -> Vec<String> {
    let files = sources(texts);
    let graph = Graph::of(&files, "a/src/lib.rs");
    let edges = graph.edges.iter().flat_map(|(from, to)| to.iter().map(move |(to, names)| (from, to, names)));
    let told = edges.map(|(from, to, names)| format!("{from} > {to}: {}", names.iter().cloned().collect::<Vec<_>>().join(", ")));
    told.map(|edge| edge.replace("a/src/", "")).collect()
}

#[test]
fn items_are_found_where_they_are_defined() {
    let lib = ("lib.rs", "mod a; mod b; pub use b::inner::Deep as Shallow;");
    let b = ("b/mod.rs", "pub mod inner; mod hidden; pub use hidden::*; pub fn of_b() {} pub enum Kind { One }");
    let inner = ("b/inner.rs", "pub struct Deep; pub const LIMIT: u8 = 1; macro_rules! id { ($n:ident) => { pub struct $n; } } id!(Made);");
    let hidden = ("b/hidden.rs", "pub fn buried() {}");
    let found = |a: &str| edges(&[lib, ("a.rs", a), b, inner, hidden]);
    for (a, wanted) in [
        ("use crate::b::inner::Deep;", "b/inner.rs: Deep"),
        ("use crate::{b::inner::{self as i}}; fn f() -> u8 { i::LIMIT }", "b/inner.rs: LIMIT"),
        ("use crate::Shallow;", "b/inner.rs: Deep"),
        ("fn f() { crate::b::of_b() }", "b/mod.rs: of_b"),
        ("fn f() { super::b::buried() }", "b/hidden.rs: buried"),
        ("use super::b::*; fn f() { buried() }", "b/hidden.rs: buried"),
        ("fn f() { use crate::b; b::of_b() }", "b/mod.rs: of_b"),
        ("use crate::b::Kind::*; fn f() { One; String::new(); }", "b/mod.rs: Kind"),
        ("fn f() { assert!(matches!(x.buried, crate::b::Kind::One)) }", "b/mod.rs: Kind"),
        ("struct S { #[arg(value_parser = crate::b::buried)] a: u8 }", "b/hidden.rs: buried"),
        ("impl From<crate::b::inner::Made> for S { }", "b/inner.rs: Made"),
        ("mod within { use crate::b::of_b; }", "b/mod.rs: of_b"),
    ] {
        assert_eq!(found(a), [format!("a.rs > {wanted}")], "{a}");
    }
    for a in [
        "pub use crate::b::inner::Deep;",
        "pub(crate) use crate::b::*; fn f() { String::new(); }",
        "use crate::b; use std::b::of_b; use of_b::of_b;",
        "#[cfg(test)] use crate::b::of_b; #[test] fn f() { crate::b::of_b() } #[cfg(test)] mod tests { use crate::b::Kind; }",
        "impl S { #[cfg(test)] fn f() { crate::b::of_b() } }",
        "struct Deep; fn f() { Deep; self::Deep; let of_b = 1; of_b }",
    ] {
        assert_eq!(found(a), Vec::<String>::new(), "{a}");
    }
}

#[test]
fn between_a_module_and_those_below_it_there_are_no_edges() {
    let lib = ("lib.rs", "mod a; pub struct Top; fn f() { a::b::c::deep() }");
    let a = ("a/mod.rs", "pub mod b; pub mod d; pub struct Upper; fn f() { b::c::deep() }");
    let b = ("a/b.rs", "pub mod c; use super::Upper; use crate::Top;");
    let c = ("a/b/c.rs", "pub fn deep() -> crate::a::Upper { crate::a::d::cousin() }");
    assert_eq!(edges(&[lib, a, b, c, ("a/d.rs", "pub fn cousin() {}")]), ["a/b/c.rs > a/d.rs: cousin"]);
}

#[test]
fn either_file_of_a_module_counts() {
    let lib = ("lib.rs", "#[cfg_attr(not(x), path = \"e/absent.rs\")] mod e; mod a; mod b; #[path = \"e/odd.rs\"] mod named;");
    let e = [("e/mod.rs", "mod one; pub use one::f;"), ("e/one.rs", "pub fn f() {}"), ("e/absent.rs", "pub fn f() { crate::b::g() }")];
    let rest = [("a.rs", "use crate::e::f;"), ("b.rs", "pub fn g() {}"), ("e/odd.rs", "use crate::b::g;")];
    let all = [[lib].as_slice(), &e, &rest].concat();
    assert_eq!(edges(&all), ["a.rs > e/absent.rs: f", "a.rs > e/one.rs: f", "e/absent.rs > b.rs: g", "e/odd.rs > b.rs: g"]);
}
