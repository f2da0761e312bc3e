//! What programs are made of, as a CycloneDX document: the crates that are linked or built for them, from cargo's own view and the lock file. Tests'
//! dependencies are not in what is handed out and not in the list.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};

/// Packages whose programs are handed out.
const ROOTS: [&str; 3] = ["roundtable-coordinator", "roundtable-worker", "orchctl"];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Deserialize)]
struct DependencyKind {
    kind: Option<String>,
}

#[derive(Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    checksum: Option<String>,
}

impl Package {
    fn purl(&self) -> String {
        format!("pkg:cargo/{}@{}", self.name, self.version)
    }
}

/// The document for `cargo metadata`'s answer and the text of `Cargo.lock`.
pub fn cyclonedx(metadata: &str, lock: &str) -> Result<Value> {
    let metadata: Metadata = serde_json::from_str(metadata).context("what cargo says of its packages cannot be read")?;
    let lock: Lock = toml::from_str(lock).context("the lock file cannot be read")?;
    let sums: BTreeMap<(String, String), String> =
        lock.package.into_iter().filter_map(|locked| Some(((locked.name, locked.version), locked.checksum?))).collect();
    let packages: BTreeMap<&str, &Package> = metadata.packages.iter().map(|package| (package.id.as_str(), package)).collect();
    let nodes: BTreeMap<&str, &Node> = metadata.resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
    let roots: Vec<&Package> = ROOTS
        .iter()
        .map(|root| metadata.packages.iter().find(|package| package.name == *root).with_context(|| format!("there is no package {root}")))
        .collect::<Result<_>>()?;
    let version = roots[0].version.clone();
    let (mut seen, mut waiting) = (BTreeSet::new(), roots.iter().map(|root| root.id.as_str()).collect::<Vec<_>>());
    let (mut components, mut dependencies) = (BTreeMap::new(), BTreeMap::new());
    while let Some(id) = waiting.pop() {
        if !seen.insert(id) {
            continue;
        }
        let (Some(package), Some(node)) = (packages.get(id), nodes.get(id)) else { bail!("cargo names {id} and does not say what it is") };
        let used: Vec<&str> =
            node.deps.iter().filter(|dependency| is_built(dependency)).map(|dependency| dependency.pkg.as_str()).collect();
        let names: BTreeSet<String> = used.iter().filter_map(|id| packages.get(id)).map(|package| package.purl()).collect();
        components.insert(package.purl(), component(package, &sums)?);
        dependencies.insert(package.purl(), json!({ "ref": package.purl(), "dependsOn": names }));
        waiting.extend(used);
    }
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": { "component": { "type": "application", "bom-ref": "roundtable", "name": "roundtable", "version": version } },
        "components": components.into_values().collect::<Vec<_>>(),
        "dependencies": dependencies.into_values().collect::<Vec<_>>(),
    }))
}

fn is_built(dependency: &Dependency) -> bool {
    dependency.dep_kinds.iter().any(|kind| kind.kind.as_deref() != Some("dev"))
}

fn component(package: &Package, sums: &BTreeMap<(String, String), String>) -> Result<Value> {
    let mut component =
        json!({ "type": "library", "bom-ref": package.purl(), "name": package.name, "version": package.version, "purl": package.purl() });
    if let Some(license) = &package.license {
        // Older manifests write `A/B` where SPDX has `A OR B`.
        component["licenses"] = json!([{ "expression": license.replace('/', " OR ") }]);
    }
    if package.source.is_some() {
        let sum = sums.get(&(package.name.clone(), package.version.clone()));
        let sum = sum.with_context(|| format!("{} {} has no checksum in the lock file", package.name, package.version))?;
        component["hashes"] = json!([{ "alg": "SHA-256", "content": sum }]);
    }
    Ok(component)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata() -> Value {
        let package = |name: &str, source: Option<&str>| json!({ "id": name, "name": name, "version": "1.0.0", "license": "MIT/Apache-2.0", "source": source });
        let uses = |name: &str, kind: Option<&str>| json!({ "pkg": name, "dep_kinds": [{ "kind": kind }] });
        json!({
            "packages": [
                package("roundtable-coordinator", None), package("roundtable-worker", None), package("orchctl", None),
                package("linked", Some("registry")), package("built", Some("registry")), package("tried", Some("registry")),
            ],
            "resolve": { "nodes": [
                { "id": "roundtable-coordinator", "deps": [uses("linked", None), uses("tried", Some("dev"))] },
                { "id": "roundtable-worker", "deps": [] },
                { "id": "orchctl", "deps": [uses("roundtable-coordinator", None)] },
                { "id": "linked", "deps": [uses("built", Some("build"))] },
                { "id": "built", "deps": [] },
                { "id": "tried", "deps": [] },
            ] },
        })
    }

    const LOCK: &str = "[[package]]\nname = \"linked\"\nversion = \"1.0.0\"\nchecksum = \"aa\"\n\
                        [[package]]\nname = \"built\"\nversion = \"1.0.0\"\nchecksum = \"bb\"\n";

    #[test]
    fn what_is_linked_or_built_is_listed_with_its_sum_and_what_tests_use_is_not() {
        let document = cyclonedx(&metadata().to_string(), LOCK).expect("it can be read");
        let names: Vec<&str> = document["components"].as_array().into_iter().flatten().filter_map(|each| each["name"].as_str()).collect();
        assert_eq!(names, ["built", "linked", "orchctl", "roundtable-coordinator", "roundtable-worker"]);
        let linked = &document["components"][1];
        assert_eq!((&linked["hashes"][0]["content"], &linked["licenses"][0]["expression"]), (&json!("aa"), &json!("MIT OR Apache-2.0")));
        assert_eq!(document["dependencies"][1], json!({ "ref": "pkg:cargo/linked@1.0.0", "dependsOn": ["pkg:cargo/built@1.0.0"] }));
    }

    #[test]
    fn a_crate_without_a_sum_is_an_error() {
        let error = cyclonedx(&metadata().to_string(), "package = []\n").expect_err("it has none");
        assert!(error.to_string().contains("linked 1.0.0"), "{error}");
    }
}
