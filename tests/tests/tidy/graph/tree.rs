//! The modules of a crate, from its root down, each with the file it is in. What is there under some condition only is there.

use std::collections::BTreeMap;

use super::parse::{Content, Module, Names, parse};

/// A crate's modules by their paths; those of one path stand in for each other.
pub struct Tree {
    modules: BTreeMap<Names, Vec<Placed>>,
}

/// A module in its place.
pub struct Placed {
    /// Its path from the root of the crate.
    pub path: Names,
    pub file: String,
    pub module: Module,
}

impl Tree {
    /// The crate whose root is that file.
    pub fn load(sources: &BTreeMap<&str, &str>, root: &str) -> Self {
        let mut tree = Self { modules: BTreeMap::new() };
        tree.add_file(sources, root, folder_of(root), Vec::new());
        tree
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Placed> {
        self.modules.values().flatten()
    }

    /// Those of that path.
    pub fn at(&self, path: &[String]) -> impl Iterator<Item = &Placed> {
        self.modules.get(path).into_iter().flatten()
    }

    /// A module that has a file; those below it are in the folder.
    fn add_file(&mut self, sources: &BTreeMap<&str, &str>, file: &str, folder: &str, path: Names) {
        let text = sources.get(file).unwrap_or_else(|| panic!("{file}: a module is declared, but there is no such file"));
        let module = parse(text).unwrap_or_else(|error| panic!("{file}: {error}"));
        self.add(sources, file, folder, path, module);
    }

    fn add(&mut self, sources: &BTreeMap<&str, &str>, file: &str, folder: &str, path: Names, mut module: Module) {
        for child in &mut module.children {
            let below = [path.as_slice(), std::slice::from_ref(&child.name)].concat();
            let own_folder = format!("{folder}{}/", child.name);
            match &mut child.content {
                Content::Here(module) => self.add(sources, file, &own_folder, below, std::mem::take(module)),
                Content::Apart { is_by_name, paths } => {
                    if *is_by_name {
                        let flat = format!("{folder}{}.rs", child.name);
                        let file = if sources.contains_key(&*flat) { flat } else { format!("{own_folder}mod.rs") };
                        self.add_file(sources, &file, &own_folder, below.clone());
                    }
                    for other in paths {
                        let other = format!("{}{other}", folder_of(file));
                        self.add_file(sources, &other, folder_of(&other), below.clone());
                    }
                }
            }
        }
        self.modules.entry(path.clone()).or_default().push(Placed { path, file: file.to_owned(), module });
    }
}

/// The folder of a file, with its `/`.
pub fn folder_of(file: &str) -> &str {
    &file[..file.rfind('/').map_or(0, |at| at + 1)]
}
