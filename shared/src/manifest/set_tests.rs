//! Tests of sets: a table for people, and properties against a naive model.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn set(entries: &[&str]) -> PathSet {
    PathSet::new(entries, false).unwrap()
}

#[test]
fn which_entries_conflict() {
    for (left, right, expected) in [
        ("src/a.rs", "src/a.rs", Some("src/a.rs")),
        ("src/a.rs", "./src//a.rs", Some("src/a.rs")),
        ("src/a.rs", "src\\a.rs", Some("src/a.rs")),
        ("src/a.rs", "src/b.rs", None),
        ("src/a", "src/ab", None),
        ("src/a", "src/a.b/c", None),
        ("src/api", "src/api/x.rs", Some("src/api/x.rs")),
        ("src/api/", "src/api/x.rs", Some("src/api/x.rs")),
        ("src/api/", "src/api", Some("src/api")),
        ("src/*.rs", "src/a.rs", Some("src/a.rs")),
        ("src/*.rs", "src/a/b.rs", None),
        ("src/**", "src/a/b.rs", Some("src/a/b.rs")),
        ("src/**", "src", Some("src/x")),
        ("src/**/b.rs", "src/b.rs", Some("src/b.rs")),
        ("**/b.rs", "b.rs", Some("b.rs")),
        ("**/b.rs", "docs", Some("docs/b.rs")),
        ("src/*.rs", "src/*.py", None),
        ("src/a*", "src/*b", Some("src/ab")),
        ("src/a?c", "src/[ab]?c", Some("src/axc")),
        ("src/[ab].rs", "src/[cd].rs", None),
        ("src/[!a].rs", "src/a.rs", None),
        ("src/[^a].rs", "src/b.rs", Some("src/b.rs")),
        ("*/x", "src", Some("src/x")),
        ("src/*/", "src/a/b/c", Some("src/a/b/c")),
        ("src/*", "src/a/b", None),
        ("a*b*c", "*b*d", None),
        (".", "deep/down/x", Some("deep/down/x")),
        ("app/[slug]/page.tsx", "app/[slug]/page.tsx", Some("app/[slug]/page.tsx")),
        ("app/[slug]/page.tsx", "app/s/page.tsx", Some("app/s/page.tsx")),
        ("caf\u{e9}", "cafe\u{301}/x", Some("caf\u{e9}/x")),
        ("SRC/a.py", "src/a.py", None),
        ("x[", "x[", Some("x[")),
        ("src/base.txt", "**/*.md", None),
        ("src/base.txt", "src/**/*.txt", Some("src/base.txt")),
        ("src/base.txt", "src/base.txt/x", Some("src/base.txt/x")),
        ("src/base.txt/", "**/*.md", Some("src/base.txt/.md")),
        ("src/base.txt", "src/base.txt/*.md", Some("src/base.txt/.md")),
        ("src/base", "**/*.md", Some("src/base/.md")),
        ("src/My.Core", "**/*.cs", Some("src/My.Core/.cs")),
        ("Makefile", "**/*.md", None),
        ("src/[a].txt", "**/*.md", None),
    ] {
        let (a, b) = (set(&[left]), set(&[right]));
        let found = a.first_conflict(&b).map(|conflict| conflict.path);
        assert_eq!(found.as_deref(), expected, "{left} vs {right}");
        assert_eq!(a.conflicts(&b), expected.is_some(), "{left} vs {right}");
        assert_eq!(b.conflicts(&a), expected.is_some(), "{right} vs {left}");
    }
}

#[test]
fn case_is_ignored_where_asked() {
    let folded = |entry: &str| PathSet::new(&[entry], true).unwrap();
    assert!(folded("SRC/a.py").conflicts(&folded("src/A.PY")));
    assert!(folded("SRC/[A-C].py").conflicts(&folded("src/b.py")));
    assert!(folded("Über/").covers("ÜBER/x"));
    assert!(!set(&["SRC/"]).covers("src/a.py"));
    assert!(set(&["SRC/"]).with_case(true).covers("src/a.py"));
}

#[test]
fn what_lies_below_a_file_is_covered_but_not_foreseen() {
    let paths = set(&["src/core.rs", "src/core.rs/known.md", "src/api", "docs/*.md"]);
    for path in ["src/core.rs", "src/core.rs/known.md", "src/api/x", "docs/a.md"] {
        assert!(paths.covers(path) && paths.foresees(path), "{path}");
    }
    assert!(paths.covers("src/core.rs/other.md") && !paths.foresees("src/core.rs/other.md"));
    assert!(!paths.covers("src") && !paths.foresees("src"));
    // The one known path below it meets globs as any other does.
    let known = set(&["src/core.rs", "src/core.rs/known.md"]);
    assert_eq!(known.first_conflict(&set(&["**/known.md"])).unwrap().path, "src/core.rs/known.md");
    assert!(!known.conflicts(&set(&["src/core.rs-*"])) && !set(&["src/core.rs"]).conflicts(&set(&["**/known.md"])));
}

#[test]
fn an_entry_that_covers_a_path_is_named() {
    let paths = set(&["src/api/", "docs/*.md", "Makefile", "src/api/v1/x.rs"]);
    assert_eq!(paths.covering("src/api/v1/x.rs"), Some("src/api/"));
    assert_eq!(paths.covering("docs/a.md"), Some("docs/*.md"));
    assert_eq!(paths.covering("docs/a/b.md"), None);
    assert_eq!(paths.covering("Makefile"), Some("Makefile"));
    assert_eq!(paths.covering("Makefile.am"), None);
    assert_eq!(paths.entries().len(), 4);
}

#[test]
fn a_set_is_stored_as_its_entries() {
    let paths = set(&["./a", "b/*.rs", "a"]);
    let json = serde_json::to_string(&paths).unwrap();
    assert_eq!(json, r#"["a","b/*.rs"]"#);
    assert_eq!(serde_json::from_str::<PathSet>(&json).unwrap(), paths);
    assert!(serde_json::from_str::<PathSet>(r#"["../x"]"#).is_err());
}

#[test]
fn long_wildcards_stay_quadratic() {
    let a = set(&[&"*a".repeat(2000)]);
    let b = set(&[&"*b".repeat(2000)]);
    assert!(!a.conflicts(&set(&[&"b".repeat(4000)])));
    assert!(!a.conflicts(&b));
    let deep = set(&[&format!("{}x", "**/a/".repeat(800))]);
    assert!(deep.conflicts(&deep));
}

/// The model: recursive, on characters, straight from the rules.
fn model_covers(entry: &str, path: &str) -> bool {
    if !entry.contains(['*', '?', '[']) {
        let entry = entry.trim_end_matches('/');
        return path == entry || path.strip_prefix(entry).is_some_and(|rest| rest.starts_with('/'));
    }
    let names: Vec<&str> = path.split('/').collect();
    let mut segments: Vec<&str> = entry.split('/').collect();
    if segments.last() == Some(&"") {
        segments.pop();
        return (1..=names.len()).any(|upto| model_segments(&segments, &names[..upto]));
    }
    model_segments(&segments, &names) || (!entry.contains(['*', '?']) && (path == entry || path.starts_with(&format!("{entry}/"))))
}

/// The same, but below a plain path only if it does not look like a file. The one such name here is `a.b`.
fn model_foresees(entry: &str, path: &str) -> bool {
    let looks_like_file = !entry.contains(['*', '?', '[']) && (entry == "a.b" || entry.ends_with("/a.b"));
    if looks_like_file { path == entry } else { model_covers(entry, path) }
}

fn model_segments(segments: &[&str], names: &[&str]) -> bool {
    match (segments.split_first(), names.split_first()) {
        (None, None) => true,
        (Some((&"**", [])), _) => !names.is_empty(),
        (Some((&"**", rest)), _) => (0..=names.len()).any(|skip| model_segments(rest, &names[skip..])),
        (Some((segment, rest)), Some((name, others))) => model_name(segment.as_bytes(), name.as_bytes()) && model_segments(rest, others),
        _ => false,
    }
}

fn model_name(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => (0..=name.len()).any(|skip| model_name(rest, &name[skip..])),
        (Some((b'?', rest)), Some((_, others))) => model_name(rest, others),
        (Some((b'[', rest)), Some((c, others))) => {
            let end = rest.iter().position(|b| *b == b']').unwrap();
            rest[..end].contains(c) && model_name(&rest[end + 1..], others)
        }
        (Some((own, rest)), Some((c, others))) => own == c && model_name(rest, others),
        _ => false,
    }
}

fn entry() -> impl Strategy<Value = String> {
    let name = prop::collection::vec(prop::sample::select(vec!["a", "b", "*", "?", "[ab]", "[b]"]), 1..4).prop_map(|parts| parts.concat());
    let plain = prop::sample::select(vec!["a", "b", "ab", "a.b"]).prop_map(str::to_owned);
    let segment = prop_oneof![3 => plain, 2 => name.prop_filter("two stars are one", |n| !n.contains("**")), 1 => Just("**".to_owned())];
    (prop::collection::vec(segment, 1..4), any::<bool>()).prop_map(|(segments, directory)| {
        let text = segments.join("/");
        if directory && !text.ends_with("**") { text + "/" } else { text }
    })
}

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "ab", "ba", "aab", "a.b", "c"]), 1..5).prop_map(|names| names.join("/"))
}

/// What an agent may call a file is claimed by that very name.
#[test]
fn a_claimed_name_covers_itself_however_odd() {
    for name in [
        "b ",
        " lead.txt",
        "back\\slash.txt",
        "dir /x",
        "tab\there",
        "new\nline",
        "ends\n",
        "[id].tsx",
        "a*b",
        "-x",
        "caf\u{e9}",
        "cafe\u{301}",
    ] {
        let claimed = PathSet::new(&[name], false).unwrap();
        assert!(claimed.covers(name), "{name:?}");
        let stored: PathSet = serde_json::from_str(&serde_json::to_string(&claimed).unwrap()).unwrap();
        assert!(stored.covers(name), "{name:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn covers_agrees_with_the_model(entries in prop::collection::vec(entry(), 1..4), path in path()) {
        let paths = PathSet::new(&entries, false).unwrap();
        let expected = entries.iter().any(|entry| model_covers(&normalise_entry(entry).unwrap(), &path));
        prop_assert_eq!(paths.covers(&path), expected);
        let foreseen = entries.iter().any(|entry| model_foresees(&normalise_entry(entry).unwrap(), &path));
        prop_assert_eq!(paths.foresees(&path), foreseen);
    }

    #[test]
    fn conflict_is_symmetric_and_its_path_lies_in_both(a in prop::collection::vec(entry(), 1..4), b in prop::collection::vec(entry(), 1..4)) {
        let (left, right) = (PathSet::new(&a, false).unwrap(), PathSet::new(&b, false).unwrap());
        prop_assert_eq!(left.conflicts(&right), right.conflicts(&left));
        let found = left.first_conflict(&right);
        prop_assert_eq!(found.is_some(), left.conflicts(&right));
        if let Some(conflict) = found {
            prop_assert!(left.covers(&conflict.path), "{:?}", conflict);
            prop_assert!(right.covers(&conflict.path), "{:?}", conflict);
        }
    }

    #[test]
    fn a_path_in_both_is_a_conflict(a in prop::collection::vec(entry(), 1..4), b in prop::collection::vec(entry(), 1..4), path in path()) {
        let (left, right) = (PathSet::new(&a, false).unwrap(), PathSet::new(&b, false).unwrap());
        if left.foresees(&path) && right.foresees(&path) {
            prop_assert!(left.conflicts(&right));
        }
    }

    #[test]
    fn any_text_compiles_or_is_refused(text in any::<String>(), path in any::<String>()) {
        if let Ok(paths) = PathSet::new(&[text], true) {
            let _ = paths.covers(&path);
            prop_assert!(paths.conflicts(&paths));
        }
    }
}
