//! How an attempt ended, and the report of it.

use roundtable_shared::{AttemptFacts, Failure, FailureKind, LeaseRef, LeftOut, Usage};

use super::WireError;
use crate::v1;
use crate::v1::failure::Kind;

impl From<&AttemptFacts> for v1::Outcome {
    fn from(facts: &AttemptFacts) -> Self {
        Self {
            failure: facts.failure.as_ref().map(Into::into),
            exit_code: facts.exit_code,
            answer: facts.answer.clone(),
            commit: facts.commit.as_ref().map(ToString::to_string),
            left_out: (!facts.left_out.is_empty())
                .then(|| v1::LeftOut { files: facts.left_out.files.clone(), count: facts.left_out.count }),
            done: facts.done.iter().map(ToString::to_string).collect(),
            agent_session: facts.agent_session.as_ref().map(ToString::to_string),
            usage: Some(facts.usage.into()),
            last_event_seq: facts.last_event_seq,
        }
    }
}

impl TryFrom<v1::Outcome> for AttemptFacts {
    type Error = WireError;

    fn try_from(outcome: v1::Outcome) -> Result<Self, WireError> {
        Ok(Self {
            failure: outcome.failure.map(TryInto::try_into).transpose()?,
            exit_code: outcome.exit_code,
            answer: outcome.answer,
            commit: outcome.commit.map(Into::into),
            // A number of none says nothing, and is not in the digest.
            left_out: outcome
                .left_out
                .map(|left| LeftOut { files: left.files, count: left.count })
                .filter(|left| !left.is_empty())
                .unwrap_or_default(),
            done: outcome.done.into_iter().map(Into::into).collect(),
            agent_session: outcome.agent_session.map(Into::into),
            usage: outcome.usage.map(Into::into).unwrap_or_default(),
            last_event_seq: outcome.last_event_seq,
        })
    }
}

impl From<&Failure> for v1::Failure {
    fn from(failure: &Failure) -> Self {
        let (mut exit_code, mut signal_number, mut retry_after) = (None, None, None);
        let kind = match &failure.kind {
            FailureKind::ExitStatus { code, signal } => {
                (exit_code, signal_number) = (*code, *signal);
                Kind::ExitStatus
            }
            FailureKind::RateLimit { retry_after_ms } => {
                retry_after = *retry_after_ms;
                Kind::RateLimit
            }
            FailureKind::Quota { retry_after_ms } => {
                retry_after = *retry_after_ms;
                Kind::Quota
            }
            FailureKind::Truncated => Kind::Truncated,
            FailureKind::TurnFailed => Kind::TurnFailed,
            FailureKind::BadAnswer => Kind::BadAnswer,
            FailureKind::WallLimit => Kind::WallLimit,
            FailureKind::IdleLimit => Kind::IdleLimit,
            FailureKind::OutputLimit => Kind::OutputLimit,
            FailureKind::Auth => Kind::Auth,
            FailureKind::Misconfigured => Kind::Misconfigured,
            FailureKind::ProviderUnavailable => Kind::ProviderUnavailable,
            FailureKind::ContextOverflow => Kind::ContextOverflow,
            FailureKind::Config => Kind::Config,
            FailureKind::Disk => Kind::Disk,
            FailureKind::Setup => Kind::Setup,
            FailureKind::Interrupted => Kind::Interrupted,
            FailureKind::Bug => Kind::Bug,
        };
        Self { kind: kind.into(), message: failure.message.clone(), exit_code, signal: signal_number, retry_after_ms: retry_after }
    }
}

impl TryFrom<v1::Failure> for Failure {
    type Error = WireError;

    fn try_from(failure: v1::Failure) -> Result<Self, WireError> {
        let v1::Failure { kind, message, exit_code, signal, retry_after_ms } = failure;
        let named = Kind::try_from(kind).map_err(|_| WireError::Unknown { field: "outcome.failure.kind", number: kind })?;
        let kind = match named {
            Kind::Unspecified => return Err(WireError::Missing("outcome.failure.kind")),
            Kind::ExitStatus => FailureKind::ExitStatus { code: exit_code, signal },
            Kind::RateLimit => FailureKind::RateLimit { retry_after_ms },
            Kind::Quota => FailureKind::Quota { retry_after_ms },
            Kind::Truncated => FailureKind::Truncated,
            Kind::TurnFailed => FailureKind::TurnFailed,
            Kind::BadAnswer => FailureKind::BadAnswer,
            Kind::WallLimit => FailureKind::WallLimit,
            Kind::IdleLimit => FailureKind::IdleLimit,
            Kind::OutputLimit => FailureKind::OutputLimit,
            Kind::Auth => FailureKind::Auth,
            Kind::Misconfigured => FailureKind::Misconfigured,
            Kind::ProviderUnavailable => FailureKind::ProviderUnavailable,
            Kind::ContextOverflow => FailureKind::ContextOverflow,
            Kind::Config => FailureKind::Config,
            Kind::Disk => FailureKind::Disk,
            Kind::Setup => FailureKind::Setup,
            Kind::Interrupted => FailureKind::Interrupted,
            Kind::Bug => FailureKind::Bug,
        };
        Ok(Self { kind, message })
    }
}

impl From<Usage> for v1::Usage {
    fn from(usage: Usage) -> Self {
        Self {
            input_tokens: usage.input_tokens,
            cached_input_tokens: usage.cached_input_tokens,
            output_tokens: usage.output_tokens,
            cost_usd: usage.cost_usd,
        }
    }
}

impl From<v1::Usage> for Usage {
    fn from(usage: v1::Usage) -> Self {
        Self {
            input_tokens: usage.input_tokens,
            cached_input_tokens: usage.cached_input_tokens,
            output_tokens: usage.output_tokens,
            cost_usd: usage.cost_usd,
        }
    }
}

/// The report of an outcome.
pub fn report(lease: &LeaseRef, facts: &AttemptFacts) -> v1::OutcomeReport {
    v1::OutcomeReport { lease: Some(lease.into()), outcome: Some(facts.into()), digest: facts.digest(), ..v1::OutcomeReport::default() }
}

/// The same as that protocol says it.
pub fn report_in(protocol: u32, lease: &LeaseRef, facts: &AttemptFacts) -> v1::OutcomeReport {
    match protocol {
        1 => super::protocol_1::report(lease, facts),
        _ => report(lease, facts),
    }
}

/// The facts of a report, whose digest is theirs.
pub fn facts_of(report: v1::OutcomeReport) -> Result<AttemptFacts, WireError> {
    let v1::OutcomeReport { outcome: Some(outcome), digest, .. } = report else {
        return super::protocol_1::facts_of(&report);
    };
    let facts = AttemptFacts::try_from(outcome)?;
    if facts.digest() == digest { Ok(facts) } else { Err(WireError::Digest) }
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;
    use roundtable_shared::{AttemptKey, AttemptNo, LeaseId};

    use super::*;

    fn kind() -> impl Strategy<Value = FailureKind> {
        prop_oneof![
            (any::<Option<i32>>(), any::<Option<i32>>()).prop_map(|(code, signal)| FailureKind::ExitStatus { code, signal }),
            any::<Option<u64>>().prop_map(|retry_after_ms| FailureKind::RateLimit { retry_after_ms }),
            any::<Option<u64>>().prop_map(|retry_after_ms| FailureKind::Quota { retry_after_ms }),
            proptest::sample::select(vec![
                FailureKind::Truncated,
                FailureKind::TurnFailed,
                FailureKind::BadAnswer,
                FailureKind::WallLimit,
                FailureKind::IdleLimit,
                FailureKind::OutputLimit,
                FailureKind::Auth,
                FailureKind::Misconfigured,
                FailureKind::ProviderUnavailable,
                FailureKind::ContextOverflow,
                FailureKind::Config,
                FailureKind::Disk,
                FailureKind::Setup,
                FailureKind::Interrupted,
                FailureKind::Bug,
            ]),
        ]
    }

    /// Any figures.
    pub(in crate::convert) fn usage() -> impl Strategy<Value = Usage> {
        let cost = any::<f64>().prop_filter("JSON has no other numbers", |cost| cost.is_finite());
        (any::<u64>(), any::<u64>(), any::<u64>(), option::of(cost)).prop_map(
            |(input_tokens, cached_input_tokens, output_tokens, cost_usd)| Usage {
                input_tokens,
                cached_input_tokens,
                output_tokens,
                cost_usd,
            },
        )
    }

    /// Any outcome.
    pub(in crate::convert) fn facts() -> impl Strategy<Value = AttemptFacts> {
        let failure = option::of((kind(), ".{0,8}").prop_map(|(kind, message)| Failure { kind, message }));
        let some = (vec(".{0,8}", 1..3), any::<u64>()).prop_map(|(files, count)| LeftOut { files, count });
        let left_out = prop_oneof![Just(LeftOut::default()), some];
        let ids = (option::of("[0-9a-f]{0,40}"), vec("[0-9.]{1,4}", 0..3), option::of(".{0,8}"));
        (failure, any::<Option<i32>>(), ".{0,12}", left_out, ids, usage(), any::<u64>()).prop_map(
            |(failure, exit_code, answer, left_out, (commit, done, agent_session), usage, last_event_seq)| AttemptFacts {
                failure,
                exit_code,
                answer,
                commit: commit.map(Into::into),
                left_out,
                done: done.into_iter().map(Into::into).collect(),
                agent_session: agent_session.map(Into::into),
                usage,
                last_event_seq,
            },
        )
    }

    fn lease() -> LeaseRef {
        let key = AttemptKey { run: "demo-abcdef".into(), unit: Some("2".into()), attempt: AttemptNo(3) };
        LeaseRef { key, lease_id: LeaseId(7) }
    }

    proptest! {
        #[test]
        fn an_outcome_survives_the_wire_with_its_digest(facts in facts()) {
            let report = report(&lease(), &facts);
            prop_assert_eq!(facts_of(report.clone()).unwrap(), facts.clone());
            let changed = v1::Outcome { last_event_seq: facts.last_event_seq ^ 1, ..report.outcome.clone().unwrap() };
            prop_assert_eq!(facts_of(v1::OutcomeReport { outcome: Some(changed), ..report }), Err(WireError::Digest));
        }

        /// A worker that has read an outcome from its disk tells the same digest as the one that wrote it.
        #[test]
        fn an_outcome_keeps_its_digest_on_disk(facts in facts()) {
            let text = serde_json::to_string(&facts).unwrap();
            let read: AttemptFacts = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(read.digest(), facts.digest());
        }
    }

    #[test]
    fn a_failure_of_a_kind_that_is_absent_or_of_a_later_release_is_refused() {
        let of_kind = |kind: i32| Failure::try_from(v1::Failure { kind, ..v1::Failure::default() });
        assert_eq!(of_kind(15).map(|failure| failure.kind), Ok(FailureKind::Disk));
        assert_eq!(of_kind(0), Err(WireError::Missing("outcome.failure.kind")));
        assert_eq!(of_kind(99), Err(WireError::Unknown { field: "outcome.failure.kind", number: 99 }));
    }
}
