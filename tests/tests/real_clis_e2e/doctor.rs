//! `worker doctor` and `orchctl doctor`: real probes of the real CLIs.

use roundtable_tests::rehearsal::{FILES, SCRIPT};
use serde_json::Value;

use crate::world::World;

/// What every probe's model does as it is asked.
const PROBE: &str = r#"{"units": {"probe": {"implement": [{"steps": [{"write": {"path": "roundtable-probe.txt", "text": "ok\n"}}]}]}}}"#;

fn checks(report: &Value) -> Vec<(&str, Option<bool>)> {
    report["checks"].as_array().unwrap().iter().map(|check| (check["check"].as_str().unwrap(), check["ok"].as_bool())).collect()
}

#[test]
#[ignore = "needs the agent CLIs: .ci/install-clis; .ci/run slow runs it"]
fn the_doctor_finds_all_three_well() {
    let world = World::open(PROBE, &FILES);
    let said = world.run("worker", &["doctor", "--json"]).expect(0).json();
    let reports = said.as_array().unwrap();
    assert_eq!(reports.iter().map(|report| report["backend"].as_str().unwrap()).collect::<Vec<_>>(), ["codex", "gemini", "opencode"]);
    let well = ["found", "version", "logged_in", "can_write", "does_not_prompt", "may_reach"].map(|check| (check, Some(true)));
    for report in reports {
        assert_eq!(checks(report), well, "{report:#}");
        assert!(report["version"].as_str().is_some_and(|version| version.contains('.')), "{report:#}");
    }
    let keys = ["codex-test-key", "gemini-test-key", "opencode-test-key"];
    assert!(keys.iter().all(|key| !said.to_string().contains(key)), "{said:#}");
    // The same question, asked where a run starts.
    let said = world.orchctl(&["doctor"]).expect(0).stdout;
    for cli in ["codex", "gemini", "opencode"] {
        assert!(said.lines().any(|line| line.contains(cli) && line.contains("able to write")), "{said}");
    }
    world.close();
}

#[test]
#[ignore = "needs the agent CLIs: .ci/install-clis; .ci/run slow runs it"]
fn the_doctor_says_who_is_logged_out_and_what_to_do() {
    let world = World::open_under("401", SCRIPT, &FILES);
    let output = world.run("worker", &["doctor"]).expect(1).out_has(&["codex login", "start", "GEMINI_API_KEY", "opencode auth login"]);
    assert_eq!(output.stdout.lines().filter(|line| line.contains("NO  logged_in")).count(), 3, "{}", output.stdout);
    world.orchctl(&["doctor"]).expect(1).out_has(&["codex login"]);
    // Without a call to a model nothing is known of logins, and nothing is wrong.
    world.run("worker", &["doctor", "--offline"]).expect(0).out_has(&["not asked: offline"]);
    world.close();
}
