//! A provider that refuses costs seconds: one attempt at a time finds out whether it works again, and a success ends the wait.

use roundtable_core::Fact;
use roundtable_core::command::{Command, Now};
use roundtable_core::effect::Grant;
use roundtable_core::schedule::{Parked, explain, goes_on};
use roundtable_shared::time::WallMs;
use roundtable_shared::{BackendName, FailureKind, RunOptions, UnitId};

use crate::table::{Table, options, run_id};

const PLAN: &str = "- [ ] 1. Write a\n  - _writes: a.rs_\n- [ ] 2. Write b\n  - _writes: b.rs_\n- [ ] 3. Write c\n  - _writes: c.rs_\n\
                    - [ ] 4. Write d\n  - _writes: d.rs_\n";
const RATE: FailureKind = FailureKind::RateLimit { retry_after_ms: None };

fn table() -> Table {
    let mut table = Table::with(PLAN, options());
    table.join("host-a", &[("codex", 2)]);
    table.join("host-b", &[("codex", 2)]);
    table
}

/// Waits until something is granted, at most so long.
fn next_grants(table: &mut Table, within_s: u64) -> (u64, Vec<Grant>) {
    for second in 1..=within_s {
        table.pass(1_000);
        let grants = table.go();
        if !grants.is_empty() {
            return (second, grants);
        }
    }
    panic!("nothing is granted within {within_s} s");
}

fn waits(table: &Table, unit: &str) -> Vec<String> {
    let reasons = explain(&table.core.state, &table.core.fleet, &run_id(), &UnitId::from(unit), table.now);
    reasons.into_iter().map(|reason| format!("{} {}: {}", reason.kind.as_str(), reason.on, reason.text)).collect()
}

#[test]
fn a_refusal_without_a_reset_costs_seconds_and_one_attempt_probes() {
    let mut table = table();
    let grants = table.go();
    assert_eq!(grants.len(), 4);
    // A burst: all four are refused, and that is one park.
    for grant in &grants {
        table.breaks(grant, FailureKind::ProviderUnavailable);
    }
    assert!(table.go().is_empty());
    assert_eq!(table.log.iter().filter(|each| matches!(each.fact, Fact::BackendParked { .. })).count(), 1);
    let (waited, probe) = next_grants(&mut table, 16);
    assert!(waited <= 15, "the first probe comes within 15 s, not after {waited} s");
    assert_eq!(probe.len(), 1, "one attempt probes on the whole fleet");
    table.pass(5_000);
    assert!(table.go().is_empty(), "the others wait for what comes of it");
    let other = ["1", "2", "3", "4"].into_iter().find(|unit| probe[0].lease.key.unit != Some(UnitId::from(*unit))).expect("there are four");
    let probed = probe[0].lease.key.unit.clone().expect("it is a unit's");
    assert_eq!(waits(&table, other), [format!("parked codex: codex: no on host-a, unit {probed} tries it now")]);
    table.works(&probe[0], &["a.rs"]);
    assert!(table.go().len() >= 3, "a success frees the fleet at once");
    assert!(table.core.state.parks.is_empty());
}

#[test]
fn waits_double_with_each_probe_that_is_refused_up_to_the_limit() {
    let mut table = table();
    let grants = table.go();
    for grant in &grants {
        table.breaks(grant, RATE);
    }
    let mut longest = 15;
    let mut total = 0;
    for step in 0..9 {
        let (waited, probe) = next_grants(&mut table, 901);
        assert!(waited <= longest + 1, "wait {step} lasts {waited} s, at most {longest}");
        assert_eq!(probe.len(), 1);
        total += waited;
        longest = (longest * 2).min(900);
        table.breaks(&probe[0], RATE);
    }
    let steps = table.core.state.parks.values().map(|park| park.step).max();
    assert_eq!(steps, Some(9));
    assert!(total < 15 + 30 + 60 + 120 + 240 + 480 + 3 * 900, "with jitter they are shorter: {total}");
    let unit = |id: &str| table.unit(id).counters.clone();
    assert!(["1", "2", "3", "4"].iter().all(|id| unit(id).infra == 0), "no unit pays");
}

#[test]
fn a_probe_that_is_served_for_a_while_lets_the_others_go_on_and_the_step_stays() {
    let mut table = table();
    for grant in table.go() {
        table.breaks(&grant, RATE);
    }
    let (_, probe) = next_grants(&mut table, 16);
    table.pass(61_000);
    let others = table.go();
    assert_eq!(others.len(), 3);
    table.breaks(&others[0], RATE);
    let park = table.core.state.parks.values().next().cloned().expect("it is parked again");
    assert!(park.step == 1 && !park.answered, "{park:?}");
    table.works(&probe[0], &["a.rs"]);
    assert!(table.core.state.parks.is_empty());
}

#[test]
fn a_probe_whose_model_answers_lets_the_others_go_on_at_once() {
    let mut table = table();
    for grant in table.go() {
        table.breaks(&grant, FailureKind::ProviderUnavailable);
    }
    let (_, probe) = next_grants(&mut table, 16);
    let (worker, lease) = (probe[0].granted.worker.clone(), probe[0].lease.clone());
    table.send(Command::LeaseServed { worker, lease });
    assert_eq!(table.go().len(), 3);
    assert!(table.core.state.parks.values().all(|park| park.answered), "the step is kept until one has come to its end");
    table.works(&probe[0], &["a.rs"]);
    assert!(table.core.state.parks.is_empty());
}

#[test]
fn only_a_quota_starts_long_and_a_named_reset_is_kept() {
    let far = |kind: FailureKind| {
        (0..20_u64).map(move |seed| {
            let mut table = Table::seeded(seed, PLAN, options());
            table.join("w", &[("codex", 1)]);
            let grant = table.go().remove(0);
            table.breaks(&grant, kind.clone());
            let park = table.core.state.parks.values().next().cloned().expect("it is parked");
            park.until.since(table.now.wall)
        })
    };
    let rates: Vec<u64> = far(RATE).collect();
    assert!(rates.iter().all(|wait| (1_000..=15_000).contains(wait)), "{rates:?}");
    assert!(rates.iter().collect::<std::collections::BTreeSet<_>>().len() > 10, "they are spread: {rates:?}");
    let quotas: Vec<u64> = far(FailureKind::Quota { retry_after_ms: None }).collect();
    assert!(quotas.iter().all(|wait| *wait <= 900_000) && quotas.iter().any(|wait| *wait > 300_000), "{quotas:?}");
    assert!(far(FailureKind::RateLimit { retry_after_ms: Some(40_000) }).all(|wait| wait == 40_000));
}

#[test]
fn another_model_of_the_same_account_is_not_parked() {
    let mut table = table();
    for grant in table.go() {
        table.breaks(&grant, FailureKind::RateLimit { retry_after_ms: Some(600_000) });
    }
    assert!(table.go().is_empty());
    let models = [(BackendName::from("codex"), "other".to_owned())].into();
    table.act(roundtable_core::command::Act::Attach { options: Box::new(RunOptions { models, ..options() }), mode: None });
    assert_eq!(table.go().len(), 4);
}

#[test]
fn a_cli_that_is_not_logged_in_is_named_with_its_command_and_nothing_with_that_login_stands_in() {
    let mut table = Table::with("- [ ] 1. Write a\n  - _writes: a.rs_\n", options());
    table.join("host", &[("codex", 1), ("codex-review", 1)]);
    let grant = table.go_one("1");
    table.breaks(&grant, FailureKind::Auth);
    assert!(table.go().is_empty());
    let asked = table.run().people.decisions.values().next().cloned().expect("a person is asked");
    assert_eq!(asked.id.as_str(), "no-worker-codex");
    let text = "codex on this host is not logged in: `codex login`, then run again (no); units that need it wait";
    assert_eq!((asked.context.as_str(), asked.keywords), (text, vec!["wait".to_owned(), "abort".to_owned()]));
    // Somebody logs in, and runs again: the worker says hello anew.
    table.join("host", &[("codex", 1), ("codex-review", 1)]);
    let again = table.go_one("1");
    assert!(table.run().people.decisions.is_empty(), "it is offered again");
    table.works(&again, &["a.rs"]);
    let told: Vec<&str> = table.run().people.notices.iter().map(|notice| notice.text.as_str()).collect();
    assert_eq!(told.last(), Some(&"codex on this host is logged in again"), "{told:?}");
}

#[test]
fn it_is_told_in_how_long_a_park_ends_and_by_what_once_its_time_has_come() {
    let now = Now { mono_ms: 1, wall: WallMs(1_000_000) };
    let told = |ms: u64| goes_on(&Parked::Until(WallMs(ms)), now);
    let left = [(1, "again in 1 s"), (119_000, "again in 119 s"), (120_000, "again in 2 min"), (7_200_000, "again in 2 h")];
    for (ms, text) in left {
        assert_eq!(told(1_000_000 + ms), text);
    }
    assert_eq!(told(1_000_000), "again with the next attempt that needs it");
    assert_eq!(told(5_000), told(1_000_000));
}
