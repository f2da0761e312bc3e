//! Floors of a crate: a table says which files lie below which, and nothing is named but what is below.

use crate::graph::Graph;

/// Floors from the bottom up. Each has entries that lie side by side: a file, or a folder with its `/`, within the crate's `src/`.
pub type Floors<'t> = &'t [&'t [&'t str]];

/// One line for each file that names what is not below it, each file without a floor, and each entry of the table without a file.
///
/// A file belongs to the longest entry that it is in: `decide/mod.rs` may lie above `decide/`. Within an entry files may name each other as they like.
pub fn violations(graph: &Graph<'_>, floors: Floors<'_>) -> Vec<String> {
    let entries: Vec<(usize, &str)> =
        floors.iter().enumerate().flat_map(|(floor, entries)| entries.iter().map(move |entry| (floor, *entry))).collect();
    let place = |file: &str| {
        let file = graph.short(file);
        let takes = |entry: &str| file == entry || entry.ends_with('/') && file.starts_with(entry);
        entries.iter().copied().filter(|(_, entry)| takes(entry)).max_by_key(|(_, entry)| entry.len())
    };
    let mut found = Vec::new();
    for (at, (floor, entry)) in entries.iter().enumerate() {
        if entries[..at].iter().any(|(_, other)| other == entry) {
            found.push(format!("the table has {entry} twice"));
        }
        if !graph.files().any(|file| place(file).is_some_and(|(_, own)| own == *entry)) {
            found.push(format!("the table has {entry} on floor {floor}, and no file is there"));
        }
    }
    for from in graph.files() {
        let Some((floor, entry)) = place(from) else {
            found.push(format!("{from}: on no floor; give it a place in the table"));
            continue;
        };
        for to in graph.named_by(from) {
            let where_it_is = match place(to) {
                Some((of_other, other)) if of_other == floor && other != entry => format!("beside it on floor {floor}"),
                Some((of_other, _)) if of_other > floor => format!("on floor {of_other}, above floor {floor}"),
                _ => continue,
            };
            found.push(format!("{from}{} of {}, which is {where_it_is}", graph.told(from, to), graph.short(to)));
        }
    }
    found
}

#[cfg(test)]
fn found(floors: Floors<'_>, texts: &[(&str, &str)]) -> Vec<String> {
    let files = crate::graph::sources(texts);
    violations(&Graph::of(&files, "a/src/lib.rs"), floors)
}

#[test]
fn only_what_is_below_may_be_named() {
    let lib = ("lib.rs", "mod base; mod left; mod right;");
    let left = ("left/mod.rs", "mod one; mod two;");
    let (one, two) = (("left/one.rs", "pub fn f() { super::two::g() }"), ("left/two.rs", "pub fn g() { crate::base::h() }"));
    let (base, right) = (("base.rs", "pub fn h() {}"), ("right.rs", "use crate::base::h;"));
    let floors: Floors<'_> = &[&["base.rs"], &["left/", "right.rs"], &["lib.rs"]];
    assert!(found(floors, &[lib, left, one, two, base, right]).is_empty());
    let up = ("base.rs", "pub fn h() {}\nuse crate::right::r;");
    let sideways = ("right.rs", "use crate::left::two::g;\npub fn r() {}");
    assert_eq!(
        found(floors, &[lib, left, one, two, up, sideways]),
        [
            "a/src/base.rs:2 names r of right.rs, which is on floor 1, above floor 0",
            "a/src/right.rs:1 names g of left/two.rs, which is beside it on floor 1"
        ]
    );
    // The longest entry counts.
    let apart: Floors<'_> = &[&["base.rs"], &["left/two.rs"], &["left/one.rs", "right.rs"], &["left/"], &["lib.rs"]];
    assert!(found(apart, &[lib, left, one, two, base, right]).is_empty());
    assert_eq!(found(apart, &[lib, left, one, ("left/two.rs", "use super::one::f;\npub fn g() {}"), base, right]).len(), 1);
}

#[test]
fn the_table_has_every_file_once_and_no_other() {
    let texts = [("lib.rs", "mod a; mod b;"), ("a.rs", ""), ("b.rs", "")];
    assert_eq!(found(&[&["a.rs"], &["lib.rs"]], &texts), ["a/src/b.rs: on no floor; give it a place in the table"]);
    assert_eq!(found(&[&["a.rs", "b.rs"], &["lib.rs", "b/"]], &texts), ["the table has b/ on floor 1, and no file is there"]);
    assert_eq!(found(&[&["a.rs", "b.rs"], &["lib.rs", "a.rs"]], &texts), ["the table has a.rs twice"]);
}
