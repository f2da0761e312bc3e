//! Lease references and leases.

use roundtable_shared::{AttemptKey, AttemptNo, Lease, LeaseId, LeaseRef, Role, Seat};

use super::{WireError, optional, protocol_1};
use crate::v1;

impl From<&LeaseRef> for v1::LeaseRef {
    fn from(lease: &LeaseRef) -> Self {
        Self {
            run: lease.key.run.to_string(),
            unit: lease.key.unit.as_ref().map(ToString::to_string).unwrap_or_default(),
            attempt: lease.key.attempt.0,
            lease_id: lease.lease_id.to_string(),
        }
    }
}

impl TryFrom<v1::LeaseRef> for LeaseRef {
    type Error = WireError;

    fn try_from(lease: v1::LeaseRef) -> Result<Self, WireError> {
        if lease.run.is_empty() {
            return Err(WireError::Missing("lease.run"));
        }
        let lease_id = LeaseId::parse(&lease.lease_id).ok_or_else(|| WireError::invalid("lease.lease_id", &lease.lease_id))?;
        let key = AttemptKey { run: lease.run.into(), unit: optional(lease.unit).map(Into::into), attempt: AttemptNo(lease.attempt) };
        Ok(Self { key, lease_id })
    }
}

impl From<&Lease> for v1::Lease {
    fn from(lease: &Lease) -> Self {
        Self {
            lease: Some((&lease.lease).into()),
            seat: lease.seat.to_string(),
            role: lease.role.to_string(),
            backend: lease.backend.to_string(),
            pool: lease.pool.clone(),
            repository: lease.repository.clone(),
            base: lease.base.to_string(),
            start: lease.start.to_string(),
            prompt: lease.prompt.clone(),
            answer_schema: lease.answer_schema.clone().unwrap_or_default(),
            turn_data: Some((&lease.turn_data).into()),
            resume: lease.resume.as_ref().map(ToString::to_string).unwrap_or_default(),
            model: lease.model.clone().unwrap_or_default(),
            effort: lease.effort.clone().unwrap_or_default(),
            limits: Some(v1::Limits {
                wall_ms: lease.wall_ms,
                idle_ms: lease.idle_ms,
                output_bytes_max: lease.output_bytes_max,
                save_ms: lease.save_ms,
            }),
            setup: lease.setup.clone().unwrap_or_default(),
            check: lease.check.clone().unwrap_or_default(),
            has_attachments: lease.has_attachments,
            read_only: lease.read_only,
            switches: Some((&lease.switches).into()),
            ..Self::default()
        }
    }
}

/// A lease as that protocol says it.
pub fn lease_in(protocol: u32, lease: &Lease) -> v1::Lease {
    match protocol {
        1 => protocol_1::lease(lease),
        _ => lease.into(),
    }
}

impl TryFrom<v1::Lease> for Lease {
    type Error = WireError;

    fn try_from(mut lease: v1::Lease) -> Result<Self, WireError> {
        let turn_data = match lease.turn_data.take() {
            Some(data) => data.try_into()?,
            None => protocol_1::turn_data(&lease)?,
        };
        let switches = match lease.switches.take() {
            Some(switches) => switches.into(),
            None => protocol_1::switches(&lease)?,
        };
        let limits = lease.limits.ok_or(WireError::Missing("lease.limits"))?;
        Ok(Self {
            lease: lease.lease.ok_or(WireError::Missing("lease.lease"))?.try_into()?,
            seat: Seat::parse(&lease.seat).ok_or_else(|| WireError::invalid("lease.seat", &lease.seat))?,
            role: Role::parse(&lease.role).ok_or_else(|| WireError::invalid("lease.role", &lease.role))?,
            backend: lease.backend.into(),
            pool: lease.pool,
            repository: lease.repository,
            base: lease.base.into(),
            start: lease.start.into(),
            prompt: lease.prompt,
            answer_schema: optional(lease.answer_schema),
            turn_data,
            resume: optional(lease.resume).map(Into::into),
            model: optional(lease.model),
            effort: optional(lease.effort),
            wall_ms: limits.wall_ms,
            idle_ms: limits.idle_ms,
            output_bytes_max: limits.output_bytes_max,
            save_ms: limits.save_ms,
            setup: optional(lease.setup),
            check: optional(lease.check),
            has_attachments: lease.has_attachments,
            read_only: lease.read_only,
            switches,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;
    use roundtable_shared::{Switches, TurnData};

    use super::super::turn::tests::{switches, turn_data};
    use super::*;

    fn lease(turn_data: TurnData, switches: Switches) -> Lease {
        Lease {
            lease: LeaseRef {
                key: AttemptKey { run: "demo-abcdef".into(), unit: Some("2".into()), attempt: AttemptNo(3) },
                lease_id: LeaseId(7),
            },
            seat: Seat::Review(2),
            role: Role::Review,
            backend: "codex-review".into(),
            pool: "codex".into(),
            repository: "ab".repeat(20),
            base: "01".repeat(20).into(),
            start: "02".repeat(20).into(),
            prompt: "Look.".into(),
            answer_schema: Some("{}".into()),
            turn_data,
            resume: None,
            model: None,
            effort: Some("high".into()),
            wall_ms: 1,
            idle_ms: 2,
            output_bytes_max: 3,
            save_ms: 4,
            setup: None,
            check: None,
            has_attachments: true,
            read_only: true,
            switches,
        }
    }

    proptest! {
        #[test]
        fn a_lease_survives_the_wire_in_every_protocol(data in turn_data(), switches in switches()) {
            let lease = lease(data, switches);
            prop_assert_eq!(&Lease::try_from(v1::Lease::from(&lease)).unwrap(), &lease);
            prop_assert_eq!(Lease::try_from(protocol_1::lease(&lease)).unwrap(), lease);
        }
    }

    #[test]
    fn a_lease_that_does_not_say_what_its_turn_is_about_is_refused() {
        let whole = v1::Lease::from(&lease(TurnData::new("demo-abcdef", Role::Review), Switches::default()));
        let wire = v1::Lease { turn_data: None, ..whole.clone() };
        assert_eq!(Lease::try_from(wire), Err(WireError::Missing("lease.turn_data")));
        assert!(Lease::try_from(v1::Lease { switches: None, ..whole }).is_ok());
    }

    #[test]
    fn a_lease_reference_with_a_bad_id_is_refused() {
        let wire = v1::LeaseRef { run: "r".into(), unit: String::new(), attempt: 1, lease_id: "xyz".into() };
        assert_eq!(LeaseRef::try_from(wire), Err(WireError::Invalid { field: "lease.lease_id", value: "xyz".into() }));
    }
}
