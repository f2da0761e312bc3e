//! What people do is recorded before it is done, and a refusal before it is told. Which methods are commands is said here; the others are looks.

use roundtable_proto::convert::{code_of, message_of, status_of};
use roundtable_runtime::tls::PeerInfo;
use roundtable_shared::error::ErrorCode;
use roundtable_store::AuditError;
use tonic::{Request, Status};

use crate::audit::{Act, Audit, Caller};

/// Commands of people: the methods whose handlers go through [`record`].
pub(super) const MANAGE: &str = "Admission/Manage";
pub(super) const UPLOAD: &str = "Control/PutRepositoryPack";
pub(super) const SUBMIT: &str = "Control/Submit";
pub(super) const OPERATE: &str = "Control/Operate";
pub(super) const ENROL_WORKER: &str = "Control/EnrolWorker";
pub(super) const SHUTDOWN: &str = "Control/Shutdown";

/// Who calls: from the certificate and the socket.
pub(super) fn caller<T>(request: &Request<T>) -> Result<Caller, Status> {
    let caller = request.extensions().get::<PeerInfo>().map(Caller::of);
    caller.ok_or_else(|| status_of(ErrorCode::NotAuthorised, "this connection has no identity"))
}

/// Records the act, does it, and records its refusal if it is refused. What cannot be recorded is not done.
pub(super) async fn record<T>(
    audit: &Audit,
    caller: &Caller,
    act: Act,
    doing: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    let number = audit.command(caller, &act).await.map_err(|error| unrecorded(&error))?;
    let done = doing.await;
    if let Err(status) = &done {
        audit.refused(caller, &act, number, code_of(status), &message_of(status)).await;
    }
    done
}

/// Why nothing was done.
fn unrecorded(error: &AuditError) -> Status {
    match error {
        AuditError::Refused { .. } => status_of(
            ErrorCode::Exhausted,
            format!(
                "nothing was done, because it could not be recorded: {error}; free some space on the coordinator's disk, then try again"
            ),
        ),
        _ => status_of(ErrorCode::Unreachable, format!("nothing was done, because it could not be recorded: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use roundtable_runtime::identity::PeerRole;

    use super::*;
    use crate::grpc::POLICY;

    const COMMANDS: [&str; 6] = [MANAGE, UPLOAD, SUBMIT, OPERATE, ENROL_WORKER, SHUTDOWN];
    /// What people may call and what changes nothing, but for a folder made for what comes and a younger certificate.
    const LOOKS: [&str; 6] =
        ["Admission/Renew", "Control/Info", "Control/OpenRepository", "Control/Query", "Control/Watch", "Control/FetchRun"];

    fn of_people(roles: &[PeerRole]) -> bool {
        roles.iter().any(|role| *role != PeerRole::Worker)
    }

    #[test]
    fn whatever_people_may_call_is_a_command_or_a_look() {
        let mut callable = BTreeSet::new();
        for (method, roles) in POLICY {
            if of_people(roles) {
                callable.extend(method.strip_prefix("/roundtable.v1."));
            }
        }
        let known: BTreeSet<&str> = COMMANDS.into_iter().chain(LOOKS).collect();
        assert_eq!(callable, known);
    }
}
