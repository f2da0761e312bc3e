//! What changed between two statuses, as a person wants to hear it.

use std::collections::{BTreeMap, BTreeSet};

use roundtable_shared::view::{ParkView, StatusView, UnitView, Word};
use roundtable_shared::{Role, UnitState};

use crate::output::paint::Style;
use crate::output::status::{decisions_wait, nobody_has, nobody_offers, parked};
use crate::output::text::backend;
use crate::output::units::{Group, activity, group, reason};
use crate::reach::Reach;

/// A piece of news.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Change {
    /// In a line; a notice's whole text.
    pub(super) text: String,
    /// A notice: told in full.
    pub(super) is_notice: bool,
    /// Whether a person should look.
    pub(super) is_problem: bool,
    pub(super) style: Style,
}

/// One change per unit whose state differs, then decisions and notices that are new. Without an earlier status everything that has begun is new.
pub(super) fn changes(before: Option<&StatusView>, now: &StatusView, reach: &Reach) -> Vec<Change> {
    let earlier: BTreeMap<&str, &UnitView> =
        before.map(|status| status.units.iter().map(|unit| (unit.id.as_str(), unit)).collect()).unwrap_or_default();
    let (mut news, begins) = (Vec::new(), Word::from(UnitState::NotStarted));
    for unit in now.units.iter().filter(|unit| unit.runs) {
        let known = earlier.get(unit.id.as_str()).map_or(&begins, |unit| &unit.status);
        if *known != unit.status && !is_derived(known, unit) {
            news.push(of_unit(unit));
        }
    }
    let asked = before.map_or(0, |status| status.decisions);
    if now.decisions > asked {
        let text = format!("! {}: orchctl decisions {}", decisions_wait(now.decisions), now.run);
        news.push(Change { text, is_notice: false, is_problem: true, style: Style::Problem });
    }
    let known = before.map(|status| status.problems.as_slice()).unwrap_or_default();
    for problem in now.problems.iter().filter(|problem| !known.contains(problem)) {
        news.push(Change { text: problem.clone(), is_notice: true, is_problem: true, style: Style::Problem });
    }
    let waited_for = before.map(|status| status.missing.as_slice()).unwrap_or_default();
    for backend in now.missing.iter().filter(|backend| !waited_for.contains(backend)) {
        news.push(Change { text: nobody_offers(backend, reach), is_notice: true, is_problem: false, style: Style::Warning });
    }
    let lacked = before.map(|status| status.missing_labels.as_slice()).unwrap_or_default();
    for lacking in now.missing_labels.iter().filter(|lacking| !lacked.contains(lacking)) {
        let text = format!("{}: `{}`", nobody_has(lacking), reach.join_with(&lacking.labels, &lacking.backend));
        news.push(Change { text, is_notice: true, is_problem: false, style: Style::Warning });
    }
    let parked_before = before.map(|status| status.parks.as_slice()).unwrap_or_default();
    news.extend(of_parks(parked_before, now));
    let known = before.map(|status| status.notices.as_slice()).unwrap_or_default();
    for notice in fresh(known, &now.notices) {
        news.push(Change { text: notice.clone(), is_notice: true, is_problem: false, style: Style::Warning });
    }
    news
}

/// Providers that refuse, each time anew, and those that do no longer: once for all accounts of a backend, when the last of them goes on.
fn of_parks(before: &[ParkView], now: &StatusView) -> Vec<Change> {
    let note = |text| Change { text, is_notice: true, is_problem: false, style: Style::Warning };
    let is_same = |one: &ParkView, other: &ParkView| one.backend == other.backend && one.model == other.model;
    let is_known = |park: &ParkView| before.iter().any(|known| is_same(known, park) && known.until == park.until);
    let refused = now.parks.iter().filter(|park| !is_known(park)).map(|park| note(parked(park)));
    let is_over = |known: &&ParkView| now.exit.is_none() && !now.parks.iter().any(|park| is_same(park, known));
    let over: BTreeSet<&str> = before.iter().filter(is_over).map(|known| known.backend.as_str()).collect();
    // Whether it is served shows only where it was probed; a reset that its provider named is believed.
    refused.chain(over.into_iter().map(|known| note(format!("{} takes work again", backend(known))))).collect()
}

/// Blocked by an upstream unit, and free again: the upstream unit is the news.
fn is_derived(known: &Word<UnitState>, unit: &UnitView) -> bool {
    let is_held_up = unit.status == UnitState::Blocked && unit.blocked_by.is_some();
    is_held_up || (*known == UnitState::Blocked && unit.status == UnitState::NotStarted)
}

fn of_unit(unit: &UnitView) -> Change {
    let group = group(unit);
    if group == Group::Live {
        // How long it has been at it is always nothing here.
        let doing = activity(&UnitView { running_ms: None, ..unit.clone() });
        let why = sent_back(unit).map(|why| format!(", {why}")).unwrap_or_default();
        let text = format!("{} unit {} {doing}{why}: {}", group.mark(), unit.id, unit.title);
        return Change { text, is_notice: false, is_problem: false, style: group.style() };
    }
    let about = match group {
        Group::Problem | Group::Out => reason(unit),
        Group::Waiting if unit.status == UnitState::Blocked => reason(unit),
        Group::Waiting | Group::Done | Group::Live => String::new(),
    };
    let about = if about.is_empty() { unit.title.clone() } else { about };
    let is_problem = group == Group::Problem;
    Change {
        text: format!("{} unit {} {}: {about}", group.mark(), unit.id, unit.status),
        is_notice: false,
        is_problem,
        style: group.style(),
    }
}

/// Why a fix is under way, where a review asked for it.
fn sent_back(unit: &UnitView) -> Option<String> {
    let severity = unit.last_severity.as_ref().and_then(Word::known).filter(|severity| severity.must_fix())?;
    (unit.role == Some(Role::Fix.into())).then(|| format!("for a {severity} finding"))
}

/// Notices that were not there before. Only the last ones are told, so the new ones are what follows the longest overlap.
fn fresh<'a>(known: &[String], now: &'a [String]) -> &'a [String] {
    let overlap = (0..=known.len().min(now.len())).rev().find(|n| known[known.len() - n..] == now[..*n]);
    &now[overlap.unwrap_or(0)..]
}

#[cfg(test)]
mod tests {
    use roundtable_shared::Severity;

    use super::*;
    use crate::output::status::samples::status;

    fn texts(before: Option<&StatusView>, now: &StatusView) -> Vec<String> {
        changes(before, now, &Reach::default()).into_iter().map(|change| change.text).collect()
    }

    #[test]
    fn only_what_is_new_is_news() {
        let before = status();
        assert!(texts(Some(&before), &before).is_empty());
        let mut now = status();
        now.units[2].status = UnitState::PendingReview.into();
        now.units[2].worker = None;
        now.notices.push("one more".into());
        now.decisions = 2;
        now.missing.push("gemini".into());
        now.problems.push("the data directory cannot be written".into());
        assert_eq!(
            texts(Some(&before), &now),
            [
                "· unit 3 pending_review: Command line",
                "! 2 decisions wait: orchctl decisions query-tool-k3f9qa",
                "the data directory cannot be written",
                "nobody offers gemini yet: `worker join --backend gemini`",
                "one more"
            ]
        );
    }

    #[test]
    fn a_refusal_is_told_each_time_and_its_end_once() {
        let park = |until: &str| ParkView {
            backend: "codex".into(),
            cause: "429 Too Many Requests".into(),
            worker: Some("host-b".into()),
            until: until.into(),
            goes_on: "again in 12 s".into(),
            units_waiting: 2,
            ..ParkView::default()
        };
        let parks = |parks: Vec<ParkView>| StatusView { parks, ..status() };
        let (none, first, later) = (parks(vec![]), parks(vec![park("1")]), parks(vec![park("2")]));
        let said = ["codex: 429 Too Many Requests on host-b, again in 12 s; 2 units wait"];
        assert_eq!(texts(Some(&none), &first), said);
        assert!(texts(Some(&first), &first).is_empty());
        assert_eq!(texts(Some(&first), &later), said);
        assert_eq!(texts(Some(&later), &none), ["codex takes work again"]);
        // Two accounts are two parks, and one backend.
        let both = parks(vec![park("1"), park("2")]);
        assert_eq!(texts(Some(&none), &both).len(), 2);
        assert!(texts(Some(&both), &first).is_empty(), "the other account still waits");
        assert_eq!(texts(Some(&both), &none), ["codex takes work again"]);
        let ended = StatusView { exit: Some(1), ..none.clone() };
        assert!(texts(Some(&later), &ended).is_empty(), "a run that has ended waits for nobody");
    }

    #[test]
    fn a_first_look_tells_what_has_begun() {
        let news = texts(None, &status());
        assert!(news.contains(&"● unit 3 implement by codex on host-1: Command line".to_owned()), "{news:?}");
        assert!(news.contains(&"! unit 2 blocked: the third fix still has critical findings".to_owned()), "{news:?}");
        assert!(!news.iter().any(|line| line.contains("unit 4") || line.contains("unit 6")), "{news:?}");
    }

    #[test]
    fn a_fix_says_what_it_is_for() {
        let mut now = status();
        let unit = &mut now.units[2];
        (unit.role, unit.last_severity) = (Some(Role::Fix.into()), Some(Severity::Critical.into()));
        assert!(texts(None, &now).contains(&"● unit 3 fix by codex on host-1, for a critical finding: Command line".to_owned()));
    }

    #[test]
    fn notices_that_slide_out_are_not_told_again() {
        let list = |range: std::ops::Range<u32>| range.map(|n| n.to_string()).collect::<Vec<_>>();
        assert_eq!(fresh(&list(0..50), &list(2..52)), ["50", "51"]);
        assert_eq!(fresh(&list(0..50), &list(60..62)), ["60", "61"]);
        assert!(fresh(&list(0..3), &list(0..3)).is_empty());
    }
}
