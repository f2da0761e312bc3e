//! The lease a worker names in a call: read, and looked up among those it was granted. What may be done under it is for each method.

use roundtable_proto::convert::status_of;
use roundtable_proto::v1;
use roundtable_shared::error::ErrorCode;
use roundtable_shared::{LeaseRef, WorkerId};
use tonic::Status;

use crate::driver::{KnownLease, Leases};

/// The lease and what is known of it; refused if it is not this worker's.
pub(super) fn known(leases: &Leases, worker: &WorkerId, wire: Option<v1::LeaseRef>) -> Result<(LeaseRef, KnownLease), Status> {
    let lease: LeaseRef = wire.ok_or_else(|| status_of(ErrorCode::InvalidInput, "field `lease` is missing"))?.try_into()?;
    match leases.of(worker, &lease) {
        Some(known) => Ok((lease, known)),
        None => Err(status_of(ErrorCode::Stale, format!("lease {} is not this worker's", lease.key))),
    }
}
