//! Hellos, offers, held leases, reconciliation.

use std::collections::BTreeMap;

use roundtable_shared::{BackendOffer, HeldLease, Introduction, LABELS_MAX, LeasePhase, Origin, Reconciled, check_label};

use super::{WireError, word, words};
use crate::v1;

words!(LeasePhase as Phase, "held.phase", { Accepted, Preparing, Running, Ending, Reported });

/// Longest text a worker says of where it comes from.
const ORIGIN_CHARS_MAX: usize = 300;

impl From<&BackendOffer> for v1::BackendOffer {
    fn from(offer: &BackendOffer) -> Self {
        Self {
            name: offer.name.to_string(),
            pool: offer.pool.clone(),
            slots: offer.slots,
            version: offer.version.clone(),
            account: offer.account.clone(),
            serves_all: offer.serves_all,
            unavailable: offer.unavailable.clone(),
        }
    }
}

impl TryFrom<v1::BackendOffer> for BackendOffer {
    type Error = WireError;

    fn try_from(offer: v1::BackendOffer) -> Result<Self, WireError> {
        if offer.name.is_empty() {
            return Err(WireError::Missing("backend.name"));
        }
        let pool = if offer.pool.is_empty() { offer.name.clone() } else { offer.pool };
        Ok(Self {
            name: offer.name.into(),
            pool,
            slots: offer.slots,
            version: offer.version,
            account: offer.account,
            serves_all: offer.serves_all,
            unavailable: offer.unavailable,
        })
    }
}

impl From<&HeldLease> for v1::HeldLease {
    fn from(held: &HeldLease) -> Self {
        let phase = v1::Phase::from(held.phase).into();
        Self { lease: Some((&held.lease).into()), phase, last_event_seq: held.last_event_seq, waiting: held.waiting.clone() }
    }
}

impl TryFrom<v1::HeldLease> for HeldLease {
    type Error = WireError;

    fn try_from(held: v1::HeldLease) -> Result<Self, WireError> {
        let phase = word(held.phase)?;
        let lease = held.lease.ok_or(WireError::Missing("held.lease"))?.try_into()?;
        Ok(Self { lease, phase, last_event_seq: held.last_event_seq, waiting: held.waiting })
    }
}

impl From<&Introduction> for v1::Hello {
    fn from(introduction: &Introduction) -> Self {
        Self {
            protocol_min: *crate::PROTOCOL.start(),
            protocol_max: *crate::PROTOCOL.end(),
            incarnation: introduction.incarnation,
            name: introduction.name.clone(),
            version: introduction.version.clone(),
            labels: introduction.labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
            backends: introduction.backends.iter().map(Into::into).collect(),
            held: introduction.held.iter().map(Into::into).collect(),
            repositories: introduction.repositories.clone(),
            origin: Some(v1::Origin {
                workspace: introduction.origin.workspace.clone(),
                life: introduction.origin.life.clone(),
                place: introduction.origin.place.clone(),
            }),
            // The link's to say.
            store: String::new(),
        }
    }
}

impl TryFrom<v1::Hello> for Introduction {
    type Error = WireError;

    fn try_from(hello: v1::Hello) -> Result<Self, WireError> {
        Ok(Self {
            incarnation: hello.incarnation,
            name: hello.name,
            version: hello.version,
            labels: labels(hello.labels)?,
            backends: hello.backends.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            held: hello.held.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            repositories: hello.repositories,
            origin: hello.origin.map(origin).unwrap_or_default(),
        })
    }
}

/// What no worker of ours would say is refused: units are placed by it, and people are shown it.
fn labels(wire: std::collections::HashMap<String, String>) -> Result<BTreeMap<String, String>, WireError> {
    if wire.len() > LABELS_MAX {
        return Err(WireError::invalid("labels", &format!("{} of them, {LABELS_MAX} are taken", wire.len())));
    }
    let wrong = wire.iter().find(|(key, value)| check_label(key, value).is_err());
    match wrong {
        Some((key, value)) => Err(WireError::invalid("labels", &format!("{key}={value}"))),
        None => Ok(wire.into_iter().collect()),
    }
}

/// Bounded and tame: it is shown to other workers.
fn origin(wire: v1::Origin) -> Origin {
    let tame = |text: String| text.chars().filter(|c| !c.is_control()).take(ORIGIN_CHARS_MAX).collect();
    Origin { workspace: tame(wire.workspace), life: tame(wire.life), place: tame(wire.place) }
}

impl From<&Reconciled> for v1::Reconciled {
    fn from(reconciled: &Reconciled) -> Self {
        Self {
            lease: Some((&reconciled.lease).into()),
            keep: reconciled.keep,
            acked_seq: reconciled.acked_seq,
            reason: reconciled.reason.clone(),
        }
    }
}

impl TryFrom<v1::Reconciled> for Reconciled {
    type Error = WireError;

    fn try_from(reconciled: v1::Reconciled) -> Result<Self, WireError> {
        Ok(Self {
            lease: reconciled.lease.ok_or(WireError::Missing("reconciled.lease"))?.try_into()?,
            keep: reconciled.keep,
            acked_seq: reconciled.acked_seq,
            reason: reconciled.reason,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;
    use roundtable_shared::{AttemptKey, AttemptNo, LeaseId, LeaseRef};

    use super::*;

    fn lease() -> impl Strategy<Value = LeaseRef> {
        ("[a-z]{1,8}-[a-z2-7]{6}", proptest::option::of("[A-Z0-9.]{1,6}"), 1u32.., any::<u128>()).prop_map(|(run, unit, attempt, id)| {
            LeaseRef { key: AttemptKey { run: run.into(), unit: unit.map(Into::into), attempt: AttemptNo(attempt) }, lease_id: LeaseId(id) }
        })
    }

    fn phase() -> impl Strategy<Value = LeasePhase> {
        prop_oneof![
            Just(LeasePhase::Accepted),
            Just(LeasePhase::Preparing),
            Just(LeasePhase::Running),
            Just(LeasePhase::Ending),
            Just(LeasePhase::Reported)
        ]
    }

    fn offer() -> impl Strategy<Value = BackendOffer> {
        ("[a-z:/.-]{1,12}", "[a-z]{1,8}", any::<u32>(), ".{0,8}", ".{0,8}", any::<bool>(), ".{0,8}").prop_map(
            |(name, pool, slots, version, account, serves_all, unavailable)| BackendOffer {
                name: name.into(),
                pool,
                slots,
                version,
                account,
                serves_all,
                unavailable,
            },
        )
    }

    proptest! {
        #[test]
        fn an_introduction_survives_the_wire(
            incarnation: u64,
            name in ".{0,8}",
            offers in proptest::collection::vec(offer(), 0..4),
            held in proptest::collection::vec((lease(), phase(), any::<u64>()), 0..4),
            origin in ("[a-f0-9]{0,8}", "[a-f0-9]{0,8}", "[ -~]{0,8}"),
        ) {
            let held = held.into_iter().map(|(lease, phase, last_event_seq)| HeldLease { lease, phase, last_event_seq, waiting: format!("{phase:?}") });
            let held = held.collect();
            let introduction = Introduction {
                incarnation,
                name,
                version: "1".into(),
                labels: BTreeMap::from([("zone".to_owned(), "a".to_owned())]),
                backends: offers,
                held,
                repositories: vec!["ab".repeat(20)],
                origin: Origin { workspace: origin.0, life: origin.1, place: origin.2 },
            };
            let wire = v1::Hello::from(&introduction);
            prop_assert_eq!(Introduction::try_from(wire).unwrap(), introduction);
        }
    }

    #[test]
    fn labels_that_no_worker_of_ours_would_have_are_refused() {
        let of = |key: &str, value: &str| v1::Hello { labels: [(key.to_owned(), value.to_owned())].into(), ..Default::default() };
        assert!(Introduction::try_from(of("gpu", "a100")).is_ok());
        assert!(Introduction::try_from(of("gpu\u{1b}", "a100")).is_err());
        assert!(Introduction::try_from(of("gpu", "")).is_err());
        let many = (0..=LABELS_MAX).map(|n| (format!("k{n}"), "v".to_owned())).collect();
        assert!(Introduction::try_from(v1::Hello { labels: many, ..Default::default() }).is_err());
    }

    #[test]
    fn a_phase_that_is_absent_or_of_a_later_release_is_refused() {
        let of = |phase: i32| HeldLease::try_from(v1::HeldLease { lease: None, phase, ..Default::default() });
        assert_eq!(of(99), Err(WireError::Unknown { field: "held.phase", number: 99 }));
        assert_eq!(of(0), Err(WireError::Missing("held.phase")));
    }
}
