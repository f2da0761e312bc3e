//! Where what a path names is defined, however many times it was handed on.

use std::collections::BTreeSet;

use super::parse::Names;
use super::tree::{Placed, Tree};

/// Steps of one search: more is a circle of imports, which the compiler refuses.
const STEPS_MAX: usize = 200;

/// An item, by the file that defines it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Definition<'t> {
    pub file: &'t str,
    pub item: String,
}

/// What a path names that stands in the module `at`. Nothing if it is of another crate, or a module itself; more than one where conditions decide.
pub fn definitions<'t>(tree: &'t Tree, at: &[String], path: &[String]) -> BTreeSet<Definition<'t>> {
    let mut search = Search { tree, seen: BTreeSet::new(), found: BTreeSet::new() };
    search.begin(at, path);
    search.found
}

struct Search<'t> {
    tree: &'t Tree,
    /// Modules with what was looked for in them.
    seen: BTreeSet<(Names, Names)>,
    found: BTreeSet<Definition<'t>>,
}

impl<'t> Search<'t> {
    /// Takes what a path begins with.
    fn begin(&mut self, at: &[String], path: &[String]) {
        let (mut at, mut path) = (at.to_vec(), path);
        while let Some((first, rest)) = path.split_first() {
            match first.as_str() {
                "crate" => at.clear(),
                "super" => drop(at.pop()),
                "self" => {}
                _ => break,
            }
            path = rest;
        }
        self.follow(&at, path);
    }

    fn follow(&mut self, at: &[String], path: &[String]) {
        let Some((name, rest)) = path.split_first() else { return };
        if self.seen.len() < STEPS_MAX && self.seen.insert((at.to_vec(), path.to_vec())) {
            let tree = self.tree;
            tree.at(at).for_each(|module| self.look(module, name, rest));
        }
    }

    /// Looks for a name in a module, as the compiler would: what is defined or imported goes before what comes with all of another module.
    fn look(&mut self, placed: &'t Placed, name: &String, rest: &[String]) {
        let module = &placed.module;
        let is_child = module.children.iter().any(|child| child.name == *name);
        if is_child && !rest.is_empty() {
            return self.follow(&[placed.path.as_slice(), std::slice::from_ref(name)].concat(), rest);
        }
        if module.items.contains(name) {
            return self.find(placed, name);
        }
        let before = self.found.len();
        for import in module.imports.iter().filter(|import| import.name.as_ref() == Some(name)) {
            // One that begins with its own name, which is no module here, is of another crate.
            if is_child || import.path.first() != Some(name) {
                self.begin(&placed.path, &[&import.path, rest].concat());
            }
        }
        if self.found.len() > before {
            return;
        }
        if module.expanded.contains(name) {
            return self.find(placed, name);
        }
        for import in module.imports.iter().filter(|import| import.name.is_none()) {
            self.begin(&placed.path, &[&import.path, std::slice::from_ref(name), rest].concat());
        }
    }

    fn find(&mut self, placed: &'t Placed, name: &str) {
        self.found.insert(Definition { file: &placed.file, item: name.to_owned() });
    }
}
