//! What one file says: its modules, and what each of them defines, imports and names. Test code is left out.
//!
//! What a name stands for is `resolve`'s. Calls of methods name nothing here: whose they are, only the compiler knows.

use std::collections::BTreeSet;

use syn::buffer::{Cursor, TokenBuffer};
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, ImplItem, Item, ItemMod, ItemUse, Lit, Macro, Meta, MetaNameValue, Path, Token, UseTree, Visibility};

/// A path, name by name.
pub type Names = Vec<String>;

/// A module, as far as its file tells.
#[derive(Default)]
pub struct Module {
    /// Items by their names.
    pub items: BTreeSet<String>,
    /// Names that are handed to macros where items stand: what these define is among them.
    pub expanded: BTreeSet<String>,
    /// What `use` brings in, also within functions.
    pub imports: Vec<Import>,
    /// Paths that the code names, besides those of `use`.
    pub paths: BTreeSet<Names>,
    /// The modules directly below it.
    pub children: Vec<Child>,
}

/// One name of a `use`.
pub struct Import {
    /// What it is called here; `None` for all that a module has.
    pub name: Option<String>,
    pub path: Names,
    /// It is handed on to others, and not (by this alone) used here.
    pub is_reexport: bool,
}

/// A module below another.
pub struct Child {
    pub name: String,
    pub content: Content,
}

/// Where a module is.
pub enum Content {
    /// In the same file.
    Here(Module),
    /// In a file of its own: the one that is called by its name, one that `path` says, or each under its own condition.
    Apart { is_by_name: bool, paths: Vec<String> },
}

/// Reads a file.
pub fn parse(text: &str) -> syn::Result<Module> {
    let file = syn::parse_file(text)?;
    Ok(if is_test(&file.attrs) { Module::default() } else { module(&file.items) })
}

fn module(items: &[Item]) -> Module {
    let mut reader = Reader::default();
    for item in items.iter().filter(|item| !is_test(attributes(item))) {
        reader.define(item);
        reader.visit_item(item);
    }
    reader.0
}

/// Gathers what a module says.
#[derive(Default)]
struct Reader(Module);

impl Reader {
    fn define(&mut self, item: &Item) {
        let name = match item {
            Item::Const(item) => &item.ident,
            Item::Enum(item) => &item.ident,
            Item::Fn(item) => &item.sig.ident,
            Item::Static(item) => &item.ident,
            Item::Struct(item) => &item.ident,
            Item::Trait(item) => &item.ident,
            Item::Type(item) => &item.ident,
            Item::Union(item) => &item.ident,
            Item::Macro(item) => match &item.ident {
                Some(name) => name,
                None => return self.0.expanded.extend(named_in(&TokenBuffer::new2(item.mac.tokens.clone())).into_iter().flatten()),
            },
            Item::Mod(item) => return self.0.children.push(child(item)),
            _ => return,
        };
        self.0.items.insert(name.to_string());
    }

    /// The names of a `use`, below what stands before them.
    fn import(&mut self, tree: &UseTree, before: &[String], is_reexport: bool) {
        let below = |name: String| before.iter().cloned().chain([name]).collect::<Names>();
        let (name, path) = match tree {
            UseTree::Path(tree) => return self.import(&tree.tree, &below(tree.ident.to_string()), is_reexport),
            UseTree::Group(group) => return group.items.iter().for_each(|tree| self.import(tree, before, is_reexport)),
            UseTree::Name(tree) if tree.ident == "self" => (before.last().cloned(), before.to_vec()),
            UseTree::Name(tree) => (Some(tree.ident.to_string()), below(tree.ident.to_string())),
            UseTree::Rename(tree) if tree.ident == "self" => (Some(tree.rename.to_string()), before.to_vec()),
            UseTree::Rename(tree) => (Some(tree.rename.to_string()), below(tree.ident.to_string())),
            // Variants of an enum, not items of a module: the enum is what is named.
            UseTree::Glob(_) if before.last().is_some_and(|name| name.starts_with(char::is_uppercase)) => {
                self.0.paths.insert(before.to_vec());
                return;
            }
            UseTree::Glob(_) => (None, before.to_vec()),
        };
        self.0.imports.push(Import { name, path, is_reexport });
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        // A module has a reader of its own.
        if !is_test(attributes(item)) && !matches!(item, Item::Mod(_)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        let attributes = match item {
            ImplItem::Const(item) => &item.attrs[..],
            ImplItem::Fn(item) => &item.attrs,
            ImplItem::Type(item) => &item.attrs,
            ImplItem::Macro(item) => &item.attrs,
            _ => &[],
        };
        if !is_test(attributes) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if item.leading_colon.is_none() {
            self.import(&item.tree, &[], !matches!(item.vis, Visibility::Inherited));
        }
    }

    fn visit_path(&mut self, path: &'ast Path) {
        if path.leading_colon.is_none() {
            self.0.paths.insert(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, invoked: &'ast Macro) {
        self.0.paths.extend(named_in(&TokenBuffer::new2(invoked.tokens.clone())));
        visit::visit_macro(self, invoked);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let Meta::List(list) = &attribute.meta {
            self.0.paths.extend(named_in(&TokenBuffer::new2(list.tokens.clone())));
        }
        visit::visit_attribute(self, attribute);
    }
}

fn child(item: &ItemMod) -> Child {
    let content = match &item.content {
        Some((_, items)) => Content::Here(module(items)),
        None => {
            let of_value = |value: &MetaNameValue| match &value.value {
                Expr::Lit(literal) if value.path.is_ident("path") => match &literal.lit {
                    Lit::Str(path) => Some(path.value()),
                    _ => None,
                },
                _ => None,
            };
            let always = item.attrs.iter().filter_map(|attribute| attribute.meta.require_name_value().ok().and_then(of_value));
            let always: Vec<String> = always.collect();
            let sometimes = item.attrs.iter().filter_map(|attribute| of_value(&conditional(attribute)?));
            Content::Apart { is_by_name: always.is_empty(), paths: always.iter().cloned().chain(sometimes).collect() }
        }
    };
    Child { name: item.ident.to_string(), content }
}

/// What of `cfg_attr(condition, name = value)` comes after the condition.
fn conditional(attribute: &Attribute) -> Option<MetaNameValue> {
    let list = attribute.meta.require_list().ok().filter(|list| list.path.is_ident("cfg_attr"))?;
    let parts = list.parse_args_with(syn::punctuated::Punctuated::<Meta, Token![,]>::parse_terminated).ok()?;
    parts.into_iter().nth(1)?.require_name_value().ok().cloned()
}

/// Paths within tokens that only a macro can read.
fn named_in(tokens: &TokenBuffer) -> Vec<Names> {
    let mut found = Vec::new();
    scan(tokens.begin(), &mut found);
    found
}

fn scan(mut at: Cursor<'_>, found: &mut Vec<Names>) {
    let mut before = None;
    while !at.eof() {
        if let Some((within, _, _, after)) = at.any_group() {
            scan(within, found);
            (at, before) = (after, None);
        } else if let Some((path, after)) = path(at) {
            // A field, a method, or a name that the macro replaces.
            let is_none = path.len() == 1 && matches!(before, Some('.' | '$'));
            found.extend((!is_none).then_some(path));
            (at, before) = (after, None);
        } else if let Some((mark, after)) = at.punct() {
            (at, before) = (after, Some(mark.as_char()));
        } else if let Some((_, after)) = at.token_tree() {
            (at, before) = (after, None);
        }
    }
}

/// The path that begins there.
fn path(at: Cursor<'_>) -> Option<(Names, Cursor<'_>)> {
    let (name, mut at) = at.ident()?;
    let mut names = vec![name.to_string()];
    while let Some((name, after)) = colon(at).and_then(colon).and_then(Cursor::ident) {
        names.push(name.to_string());
        at = after;
    }
    Some((names, at))
}

fn colon(at: Cursor<'_>) -> Option<Cursor<'_>> {
    at.punct().filter(|(mark, _)| mark.as_char() == ':').map(|(_, after)| after)
}

/// Whether what is marked so is there for tests alone.
fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::Path(path) => path.is_ident("test"),
        Meta::List(list) => list.path.is_ident("cfg") && list.parse_args::<Path>().is_ok_and(|condition| condition.is_ident("test")),
        Meta::NameValue(_) => false,
    })
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
