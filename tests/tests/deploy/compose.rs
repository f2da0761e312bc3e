//! The compose file: by the schema of its specification, and as one network of three services.

use serde_json::{Value, json};

use crate::commands::check_command;
use crate::yaml::{documents, words};

const FILE: &str = "deploy/compose.yaml";

/// What the specification allows: the names and types of its own schema, without a word of its text.
fn schema() -> jsonschema::Validator {
    let schema: Value = serde_json::from_str(include_str!("data/compose-spec.json")).unwrap();
    jsonschema::draft7::new(&schema).unwrap()
}

fn faults(document: &Value) -> Vec<String> {
    schema().iter_errors(document).map(|error| error.to_string()).collect()
}

#[test]
fn it_is_what_the_specification_says() {
    let document = documents(FILE).remove(0);
    let found = faults(&document);
    assert!(found.is_empty(), "{found:#?}");
    // It would have been found.
    for (pointer, wrong) in [("/services/worker-1/restart", json!(["always"])), ("/services/coordinator/networks", json!(7))] {
        let mut document = document.clone();
        *document.pointer_mut(pointer).unwrap() = wrong;
        assert!(!faults(&document).is_empty(), "{pointer}");
    }
    let mut document = document;
    document["services"]["worker-2"]["comand"] = json!("x");
    assert!(!faults(&document).is_empty(), "an unknown key");
}

#[test]
fn three_services_share_a_network_and_nothing_else() {
    let document = documents(FILE).remove(0);
    let services = document["services"].as_object().unwrap();
    assert_eq!(services.keys().collect::<Vec<_>>(), ["coordinator", "worker-1", "worker-2"]);
    let mut volumes: Vec<&str> = services.values().flat_map(|service| words(&service["volumes"])).collect();
    assert!(services.values().all(|service| words(&service["networks"]) == ["roundtable"]), "{document:#}");
    let count = volumes.len();
    volumes.sort_unstable();
    volumes.dedup();
    assert_eq!(volumes.len(), count, "each has a volume of its own: {volumes:?}");
    for volume in volumes {
        assert!(document["volumes"].get(volume.split(':').next().unwrap()).is_some(), "{volume}");
    }
    check_command("coordinator", &words(&services["coordinator"]["command"]));
    for worker in ["worker-1", "worker-2"] {
        check_command("worker", &words(&services[worker]["command"]));
        assert_eq!(services[worker]["environment"]["ROUNDTABLE_TOKEN"], "${ROUNDTABLE_TOKEN:-}", "no token is written down");
    }
}
