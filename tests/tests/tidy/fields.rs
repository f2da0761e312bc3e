//! Structs and variants of the core stay small: what belongs together has a name of its own, and a state that excludes another is a variant.

use proc_macro2::Ident;
use syn::visit::{self, Visit};
use syn::{Attribute, Fields, ItemEnum, ItemFn, ItemMod, ItemStruct};

use crate::File;
use crate::rust::Violation;

const FIELDS_MAX: usize = 15;

/// Structs and variants of the core with more fields than that, those in tests aside.
pub fn large_structs(file: &File) -> Vec<Violation> {
    if !file.path.starts_with("coordinator/core/src/") || !file.is_rust() {
        return Vec::new();
    }
    let parsed = syn::parse_file(&file.text).unwrap_or_else(|error| panic!("{}: {error}", file.path));
    let mut large = Large::default();
    large.visit_file(&parsed);
    large.0
}

#[derive(Default)]
struct Large(Vec<Violation>);

impl Large {
    fn judge(&mut self, subject: String, name: &Ident, fields: &Fields) {
        if fields.len() > FIELDS_MAX {
            let detail = format!("{} fields", fields.len());
            self.0.push(Violation { line: name.span().start().line, subject, detail, size: fields.len() as u64 });
        }
    }
}

impl<'ast> Visit<'ast> for Large {
    fn visit_item_struct(&mut self, item: &'ast ItemStruct) {
        self.judge(item.ident.to_string(), &item.ident, &item.fields);
    }

    fn visit_item_enum(&mut self, item: &'ast ItemEnum) {
        for variant in &item.variants {
            self.judge(format!("{}::{}", item.ident, variant.ident), &variant.ident, &variant.fields);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if !item.attrs.iter().any(is_test) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        if !item.attrs.iter().any(is_test) {
            visit::visit_item_fn(self, item);
        }
    }
}

/// `#[test]`, or `#[cfg(test)]`.
fn is_test(attribute: &Attribute) -> bool {
    let is_cfg = |list: &syn::MetaList| list.path.is_ident("cfg") && list.tokens.to_string() == "test";
    attribute.path().is_ident("test") || attribute.meta.require_list().is_ok_and(is_cfg)
}

#[test]
fn fields_are_counted_outside_of_tests() {
    let fields = |count: usize| (0..count).map(|n| format!("f{n}: u8, ")).collect::<String>();
    let file = |path: &str, text: String| File { path: path.to_owned(), bytes: text.len() as u64, text };
    let large = |path: &str, text: String| {
        let found = large_structs(&file(path, text));
        found.into_iter().map(|found| (found.line, found.subject, found.size)).collect::<Vec<_>>()
    };
    let found = |line: usize, subject: &str, size: u64| (line, subject.to_owned(), size);
    let core = "coordinator/core/src/a.rs";
    let nested = format!("struct A {{ {} }}\nmod b {{\nstruct A {{ {} }} }}", fields(15), fields(16));
    assert_eq!(large(core, nested), [found(3, "A", 16)], "the second of that name");
    assert_eq!(large(core, format!("// struct A is large\nstruct A<T> {{ {} t: T }}", fields(15))), [found(2, "A", 16)]);
    assert_eq!(large(core, format!("\n\nstruct A({});", "u8, ".repeat(17))), [found(3, "A", 17)]);
    assert_eq!(large(core, format!("enum A {{\nB,\n  C {{ {} }},\nD }}", fields(16))), [found(3, "A::C", 16)]);
    assert_eq!(large(core, format!("enum A {{ {} }}", (0..40).map(|n| format!("V{n}, ")).collect::<String>())), []);
    assert_eq!(large(core, format!("fn a() {{\nstruct B {{ {} }} }}", fields(16))), [found(2, "B", 16)]);
    assert_eq!(large(core, format!("#[cfg(test)]\nmod tests {{ struct A {{ {} }} }}", fields(16))), []);
    assert_eq!(large(core, format!("#[test]\nfn a() {{ struct A {{ {} }} }}", fields(16))), []);
    assert_eq!(large("worker/src/a.rs", format!("struct A {{ {} }}", fields(16))), []);
}
