//! Rules for the manifests: versions in one place, lints everywhere, and the table of who may depend on whom.

use std::collections::BTreeSet;
use std::path::Path;

use toml::{Table, Value};

use crate::File;

/// For each crate: its path, which of ours it may use, and what from outside it must not use.
const TABLE: &[(&str, &str, &[&str], &[&str])] = &[
    ("roundtable-shared", "shared", &[], &["tokio", "tonic", "prost", "tracing", "rusqlite", "tempfile"]),
    ("roundtable-runtime", "shared/runtime", &["roundtable-shared"], &["prost", "rusqlite"]),
    ("roundtable-proto", "proto", &["roundtable-shared"], &["tokio", "rusqlite"]),
    ("roundtable-core", "coordinator/core", &["roundtable-shared"], &[]),
    ("roundtable-store", "coordinator/store", &["roundtable-shared", "roundtable-core"], &["tonic", "prost"]),
    (
        "roundtable-coordinator",
        "coordinator",
        &["roundtable-shared", "roundtable-runtime", "roundtable-proto", "roundtable-core", "roundtable-store"],
        &["rusqlite"],
    ),
    ("roundtable-worker", "worker", &["roundtable-shared", "roundtable-runtime", "roundtable-proto"], &["rusqlite"]),
    (
        "orchctl",
        "orchctl",
        &["roundtable-shared", "roundtable-runtime", "roundtable-proto", "roundtable-coordinator", "roundtable-worker"],
        &["rusqlite"],
    ),
    ("roundtable-tests", "tests", &["*"], &[]),
];

/// The core is held by a list of what it may use instead: async, clocks, randomness, IO and logs come in crates of any name.
const CORE_MAY_USE: [&str; 3] = ["roundtable-shared", "rpds", "serde"];

/// Violations of the house rules within the members' manifests.
pub fn member_violations(root: &Path, files: &[File]) -> Vec<String> {
    let workspace = load(root, "Cargo.toml");
    let members: BTreeSet<String> =
        workspace["workspace"]["members"].as_array().unwrap().iter().map(|member| member.as_str().unwrap().to_owned()).collect();
    let excluded: BTreeSet<&str> =
        workspace["workspace"].get("exclude").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let mut found = Vec::new();
    for file in files {
        let Some(dir) = file.path.strip_suffix("/Cargo.toml") else { continue };
        if !members.contains(dir) && !excluded.contains(dir) {
            found.push(format!("{dir}: neither a member of the workspace nor excluded from it"));
        }
    }
    found.extend(excluded.iter().flat_map(|dir| apart_violations(root, dir)));
    for member in &members {
        found.extend(manifest_violations(&load(root, &format!("{member}/Cargo.toml"))).into_iter().map(|what| format!("{member}: {what}")));
        if !TABLE.iter().any(|(_, path, ..)| path == member) {
            found.push(format!("{member}: not in the table of dependencies; add it to tidy/manifests.rs"));
        }
    }
    found
}

/// A workspace of its own takes what ours has in the same versions: it is built from the code that is shipped.
fn apart_violations(root: &Path, dir: &str) -> Vec<String> {
    let locked = |path: &str| -> BTreeSet<(String, String)> {
        let lock = load(root, path);
        let packages = lock["package"].as_array().into_iter().flatten();
        packages.map(|each| (each["name"].as_str().unwrap().to_owned(), each["version"].as_str().unwrap().to_owned())).collect()
    };
    let ours = locked("Cargo.lock");
    let other = |(name, version): &(String, String)| {
        let known: Vec<&str> = ours.iter().filter(|(known, _)| known == name).map(|(_, version)| version.as_str()).collect();
        (!known.is_empty() && !known.contains(&version.as_str()))
            .then(|| format!("{dir}: {name} is {version} in its Cargo.lock, and {} in ours; copy ours over it", known.join(", ")))
    };
    locked(&format!("{dir}/Cargo.lock")).iter().filter_map(other).collect()
}

/// Violations of the table between the crates.
pub fn table_violations(root: &Path) -> Vec<String> {
    let rows = TABLE.iter().flat_map(|(name, path, ours, banned)| {
        let manifest = load(root, &format!("{path}/Cargo.toml"));
        let mut found = dependency_violations(&manifest, ours, banned);
        if manifest["package"]["name"].as_str() != Some(name) {
            found.push(format!("its name is not {name}"));
        }
        if *name == "roundtable-core" {
            let beyond = dependencies(&manifest, &["dependencies"])
                .into_iter()
                .map(|(name, _)| name)
                .filter(|name| !CORE_MAY_USE.contains(&&**name));
            found.extend(beyond.map(|name| format!("the core must not use {name}")));
        }
        found.into_iter().map(move |what| format!("{path}: {what}"))
    });
    rows.collect()
}

fn manifest_violations(manifest: &Table) -> Vec<String> {
    let mut found = Vec::new();
    let inherits = |table: &str, key: &str| {
        manifest.get(table).and_then(|table| table.get(key)).and_then(|value| value.get("workspace")) == Some(&Value::Boolean(true))
    };
    if manifest.get("lints").and_then(|lints| lints.get("workspace")) != Some(&Value::Boolean(true)) {
        found.push("lacks `[lints] workspace = true`".to_owned());
    }
    for key in ["version", "edition", "rust-version", "license", "repository", "publish"] {
        if !inherits("package", key) {
            found.push(format!("lacks `{key}.workspace = true`"));
        }
    }
    if manifest["package"].get("description").is_none() {
        found.push("lacks a description".to_owned());
    }
    for (name, value) in dependencies(manifest, &["dependencies", "dev-dependencies", "build-dependencies"]) {
        let plain = value.as_table().is_some_and(|table| {
            table.get("workspace") == Some(&Value::Boolean(true))
                && table.keys().all(|key| ["workspace", "optional", "features"].contains(&&**key))
        });
        if !plain {
            found.push(format!("{name}: say `workspace = true`, the version is in the root manifest"));
        }
    }
    found
}

fn dependency_violations(manifest: &Table, ours: &[&str], banned: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (name, _) in dependencies(manifest, &["dependencies", "dev-dependencies", "build-dependencies"]) {
        let internal = TABLE.iter().any(|(known, ..)| **known == *name);
        if internal && !ours.contains(&&*name) && !ours.contains(&"*") {
            found.push(format!("must not depend on {name}"));
        }
    }
    for (name, _) in dependencies(manifest, &["dependencies", "build-dependencies"]) {
        if banned.contains(&&*name) {
            found.push(format!("must not use {name}"));
        }
    }
    found
}

/// Dependencies in the given sections, those for certain targets included.
fn dependencies(manifest: &Table, sections: &[&str]) -> Vec<(String, Value)> {
    let targets =
        manifest.get("target").and_then(Value::as_table).into_iter().flat_map(|targets| targets.values().filter_map(Value::as_table));
    let tables = std::iter::once(manifest).chain(targets);
    let entries = tables.flat_map(|table| sections.iter().filter_map(|section| table.get(*section)).filter_map(Value::as_table));
    entries.flatten().map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn load(root: &Path, path: &str) -> Table {
    std::fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}")).parse().unwrap()
}

#[test]
fn bad_manifests_are_found() {
    let bad: Table = r#"
        [package]
        name = "x"
        version = "1"
        [dependencies]
        roundtable-core.workspace = true
        serde = "1"
        [target.'cfg(unix)'.dependencies]
        tokio = { workspace = true, version = "1" }
        [dev-dependencies]
        rusqlite.workspace = true
    "#
    .parse()
    .unwrap();
    let found = manifest_violations(&bad);
    for part in ["[lints]", "version.workspace", "description", "serde: say", "tokio: say"] {
        assert!(found.iter().any(|line| line.contains(part)), "{part}: {found:?}");
    }
    assert!(!found.iter().any(|line| line.starts_with("rusqlite")));
    assert_eq!(dependency_violations(&bad, &[], &["tokio", "rusqlite"]), ["must not depend on roundtable-core", "must not use tokio"]);
    assert!(dependency_violations(&bad, &["roundtable-core"], &[]).is_empty());
}
