//! Structs of the core stay small: what belongs together has a name of its own, and a state that excludes another is a variant.

use syn::{Attribute, Item};

use crate::File;
use crate::rust::Violation;

const FIELDS_MAX: usize = 15;

/// Structs of the core with more fields than that, those in tests aside.
pub fn large_structs(file: &File) -> Vec<Violation> {
    if !file.path.starts_with("coordinator/core/src/") || !file.is_rust() {
        return Vec::new();
    }
    let parsed = syn::parse_file(&file.text).unwrap_or_else(|error| panic!("{}: {error}", file.path));
    let mut found = Vec::new();
    of_items(&parsed.items, &file.text, &mut found);
    found
}

fn of_items(items: &[Item], text: &str, found: &mut Vec<Violation>) {
    for item in items {
        match item {
            Item::Struct(item) if item.fields.len() > FIELDS_MAX => found.push(Violation {
                line: 1 + text.lines().position(|line| line.contains(&format!("struct {} ", item.ident))).unwrap_or_default(),
                subject: item.ident.to_string(),
                detail: format!("{} fields", item.fields.len()),
                size: item.fields.len() as u64,
            }),
            Item::Mod(item) if !item.attrs.iter().any(is_test) => {
                of_items(item.content.as_ref().map_or(&[], |(_, items)| items), text, found);
            }
            _ => {}
        }
    }
}

fn is_test(attribute: &Attribute) -> bool {
    let Ok(list) = attribute.meta.require_list() else { return false };
    list.path.is_ident("cfg") && list.tokens.to_string() == "test"
}

#[test]
fn fields_are_counted_outside_of_tests() {
    let fields = |count: usize| (0..count).map(|n| format!("f{n}: u8, ")).collect::<String>();
    let file = |path: &str, text: String| File { path: path.to_owned(), bytes: text.len() as u64, text };
    let large =
        |path: &str, text: String| large_structs(&file(path, text)).iter().map(|found| (found.line, found.size)).collect::<Vec<_>>();
    let core = "coordinator/core/src/a.rs";
    assert_eq!(large(core, format!("struct A {{ {} }}\nmod b {{\nstruct B {{ {} }} }}", fields(15), fields(16))), [(3, 16)]);
    assert_eq!(large(core, format!("#[cfg(test)]\nmod tests {{ struct A {{ {} }} }}", fields(16))), []);
    assert_eq!(large("worker/src/a.rs", format!("struct A {{ {} }}", fields(16))), []);
}
