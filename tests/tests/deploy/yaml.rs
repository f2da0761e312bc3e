//! Documents of YAML as values, aliases and merges resolved.

use serde::Deserialize;
use serde_json::Value;

use crate::repository;

/// All documents of a file of the repository.
pub fn documents(path: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(repository(path)).unwrap();
    let documents = serde_norway::Deserializer::from_str(&text).map(|document| {
        let mut value = serde_norway::Value::deserialize(document).unwrap_or_else(|error| panic!("{path}: {error}"));
        value.apply_merge().unwrap_or_else(|error| panic!("{path}: {error}"));
        serde_json::to_value(value).unwrap_or_else(|error| panic!("{path}: {error}"))
    });
    documents.collect()
}

/// The strings of a list.
pub fn words(list: &Value) -> Vec<&str> {
    let words = list.as_array().unwrap_or_else(|| panic!("{list} is no list"));
    words.iter().map(|word| word.as_str().unwrap_or_else(|| panic!("{word} is no string"))).collect()
}
