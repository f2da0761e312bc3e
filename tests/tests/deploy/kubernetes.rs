//! The Kubernetes manifests: as typed objects of its API, which lose nothing of them, and as parts that fit each other.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{Container, PodTemplateSpec, Probe, Service};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::commands::check_command;
use crate::yaml::documents;

const FOLDER: &str = "deploy/kubernetes";

/// An object as its type reads it. What the type does not know is lost on the way back.
#[track_caller]
fn typed<T: Serialize + DeserializeOwned>(document: &Value) -> T {
    let typed: T = serde_json::from_value(document.clone()).unwrap_or_else(|error| panic!("{error}: {document:#}"));
    assert_eq!(serde_json::to_value(&typed).unwrap(), *document, "the API has no such field, or another form of it");
    typed
}

fn object<T: Serialize + DeserializeOwned>(file: &str, kind: &str) -> T {
    let documents = documents(&format!("{FOLDER}/{file}"));
    let document = documents.iter().find(|document| document["kind"] == kind);
    typed(document.unwrap_or_else(|| panic!("no {kind} in {file}")))
}

fn labels_of(template: &PodTemplateSpec) -> BTreeMap<String, String> {
    template.metadata.as_ref().and_then(|metadata| metadata.labels.clone()).unwrap_or_default()
}

fn container(template: &PodTemplateSpec) -> &Container {
    &template.spec.as_ref().unwrap().containers[0]
}

/// Whether every label is asked for where it is.
fn selects(selector: &BTreeMap<String, String>, labels: &BTreeMap<String, String>) -> bool {
    !selector.is_empty() && selector.iter().all(|(name, value)| labels.get(name) == Some(value))
}

fn arguments(container: &Container) -> Vec<&str> {
    container.args.iter().flatten().map(String::as_str).collect()
}

#[test]
fn every_object_is_one_of_the_api() {
    let mut count = 0;
    for file in std::fs::read_dir(crate::repository(FOLDER)).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        for document in documents(&format!("{FOLDER}/{name}")) {
            count += 1;
            match (document["apiVersion"].as_str(), document["kind"].as_str()) {
                (Some("v1"), Some("Service")) => drop(typed::<Service>(&document)),
                (Some("apps/v1"), Some("StatefulSet")) => drop(typed::<StatefulSet>(&document)),
                (Some("apps/v1"), Some("Deployment")) => drop(typed::<Deployment>(&document)),
                (Some("autoscaling/v2"), Some("HorizontalPodAutoscaler")) => drop(typed::<HorizontalPodAutoscaler>(&document)),
                other => panic!("{name}: {other:?} is checked by nothing"),
            }
        }
    }
    assert!(count >= 4, "{count}");
    let mut wrong = documents(&format!("{FOLDER}/worker.yaml")).remove(0);
    wrong["spec"]["template"]["spec"]["terminationGracePeriod"] = 5.into();
    assert!(std::panic::catch_unwind(|| typed::<Deployment>(&wrong)).is_err(), "a field that is not there would have been found");
}

#[test]
fn the_coordinator_is_one_with_a_volume_and_probes_that_it_answers() {
    let set: StatefulSet = object("coordinator.yaml", "StatefulSet");
    let spec = set.spec.unwrap();
    assert_eq!(spec.replicas, Some(1), "a second one would only wait for the data directory");
    assert!(selects(spec.selector.match_labels.as_ref().unwrap(), &labels_of(&spec.template)));
    let service: Service = object("coordinator.yaml", "Service");
    let service = service.spec.unwrap();
    assert!(selects(service.selector.as_ref().unwrap(), &labels_of(&spec.template)));
    let container = container(&spec.template);
    let mut command = arguments(container);
    check_command("coordinator", &command);
    command.retain(|word| word.starts_with("--http"));
    assert_eq!(command.len(), 3, "off loopback the page needs a certificate: {command:?}");
    let claims: Vec<Option<&str>> = spec.volume_claim_templates.iter().flatten().map(|claim| claim.metadata.name.as_deref()).collect();
    let mounts = container.volume_mounts.as_ref().unwrap();
    assert!(mounts.iter().any(|mount| mount.mount_path == "/var/lib/roundtable" && claims == [Some(mount.name.as_str())]), "{claims:?}");
    let path = |probe: &Option<Probe>| probe.as_ref().and_then(|probe| probe.http_get.as_ref()?.path.clone()).unwrap();
    assert_eq!(
        [&container.liveness_probe, &container.startup_probe, &container.readiness_probe].map(path),
        ["/healthz", "/healthz", "/readyz"]
    );
}

#[test]
fn workers_are_drained_before_they_are_stopped() {
    let deployment: Deployment = object("worker.yaml", "Deployment");
    let spec = deployment.spec.unwrap();
    assert!(selects(spec.selector.match_labels.as_ref().unwrap(), &labels_of(&spec.template)));
    let container = container(&spec.template);
    check_command("worker", &arguments(container));
    let hook = container.lifecycle.as_ref().unwrap().pre_stop.as_ref().unwrap().exec.as_ref().unwrap();
    let hook = hook.command.as_ref().unwrap().join(" ");
    assert!(hook.contains("kill -TERM 1") && hook.contains("timeout 10m"), "{hook}");
    // The time of the hook counts as well.
    assert!(spec.template.spec.as_ref().unwrap().termination_grace_period_seconds.unwrap() >= 600 + 30);
    let token = container.env.iter().flatten().find(|variable| variable.name == "ROUNDTABLE_TOKEN").unwrap();
    assert!(token.value.is_none() && token.value_from.is_some(), "a token is a secret");
}

#[test]
fn the_scaler_follows_a_figure_that_is_served() {
    let scaler: HorizontalPodAutoscaler = object("scale.yaml", "HorizontalPodAutoscaler");
    let spec = scaler.spec.unwrap();
    let deployment: Deployment = object("worker.yaml", "Deployment");
    assert_eq!(Some(spec.scale_target_ref.name), deployment.metadata.name);
    let metric = spec.metrics.unwrap().remove(0).external.unwrap().metric;
    let documents = std::fs::read_to_string(crate::repository("docs/metrics.md")).unwrap();
    assert!(documents.contains(&format!("| `{}{{backend}}`", metric.name)), "{}", metric.name);
    assert!(metric.selector.unwrap().match_labels.unwrap().contains_key("backend"));
}
