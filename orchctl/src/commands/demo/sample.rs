//! The demo's repository, spec and playbook.

/// Where the spec lies in the repository.
pub(super) const SPEC_DIR: &str = ".specs/word-report";

/// The repository's files.
pub(super) const FILES: [(&str, &str); 6] = [
    ("README.md", include_str!("sample/README.md")),
    ("wordreport/__init__.py", include_str!("sample/init.py")),
    ("AGENTS.md", include_str!("sample/AGENTS.md")),
    (".specs/word-report/tasks.md", include_str!("sample/tasks.md")),
    (".specs/word-report/requirements.md", include_str!("sample/requirements.md")),
    (".specs/word-report/design.md", include_str!("sample/design.md")),
];

/// What the scripted agents do.
pub(super) fn playbook() -> &'static str {
    include_str!("sample/playbook.json")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use roundtable_shared::spec::Spec;

    use super::*;

    #[test]
    fn the_sample_spec_is_clean() {
        let files: BTreeMap<String, Vec<u8>> = FILES
            .iter()
            .filter_map(|(path, text)| Some((path.strip_prefix(SPEC_DIR)?.trim_start_matches('/').to_owned(), text.as_bytes().to_vec())))
            .collect();
        let report = Spec::read(&files, true);
        assert!(report.problems.is_empty(), "{:?}", report.problems);
        assert_eq!(report.plan.units.len(), 5);
    }

    #[test]
    fn the_playbook_speaks_of_the_specs_units() {
        let playbook: serde_json::Value = serde_json::from_str(playbook()).unwrap();
        let units: Vec<&String> = playbook["units"].as_object().unwrap().keys().collect();
        assert_eq!(units, ["1", "2", "3", "4"]);
        assert_eq!(playbook["units"]["2"]["review"][0]["result"]["severity"], "critical");
    }
}
