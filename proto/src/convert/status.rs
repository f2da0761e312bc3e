//! Error codes to gRPC status and back: once, here.

use prost::Message;
use roundtable_shared::error::ErrorCode;
use tonic::{Code, Status};

use super::WireError;
use crate::v1;

/// The status of a refusal: the code mapped once, the code itself as structured detail so that the client gets it back exactly.
pub fn status_of(code: ErrorCode, message: impl Into<String>) -> Status {
    let message = message.into();
    let detail = v1::ErrorDetail { code: code_text(code).to_owned(), message: message.clone() };
    Status::with_details(grpc_code(code), message, detail.encode_to_vec().into())
}

/// The error code the other side itself gave; `None` for a status that something on the way there made up.
pub fn told_code_of(status: &Status) -> Option<ErrorCode> {
    v1::ErrorDetail::decode(status.details()).ok().and_then(|detail| parse_code(&detail.code))
}

/// The error code of a status received: from its detail, else from its gRPC code.
pub fn code_of(status: &Status) -> ErrorCode {
    if let Some(code) = told_code_of(status) {
        return code;
    }
    match status.code() {
        Code::InvalidArgument | Code::OutOfRange | Code::Unimplemented => ErrorCode::InvalidInput,
        Code::NotFound => ErrorCode::NotFound,
        Code::AlreadyExists | Code::FailedPrecondition => ErrorCode::Conflict,
        Code::Aborted => ErrorCode::Stale,
        Code::PermissionDenied | Code::Unauthenticated => ErrorCode::NotAuthorised,
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => ErrorCode::Unreachable,
        Code::ResourceExhausted => ErrorCode::Exhausted,
        Code::Ok | Code::Unknown | Code::Internal | Code::DataLoss => ErrorCode::Internal,
    }
}

/// The words of a status received.
pub fn message_of(status: &Status) -> String {
    status.message().to_owned()
}

impl From<WireError> for Status {
    fn from(error: WireError) -> Self {
        status_of(ErrorCode::InvalidInput, error.to_string())
    }
}

fn grpc_code(code: ErrorCode) -> Code {
    match code {
        ErrorCode::InvalidInput => Code::InvalidArgument,
        ErrorCode::NotFound => Code::NotFound,
        ErrorCode::Conflict => Code::FailedPrecondition,
        ErrorCode::Stale => Code::Aborted,
        ErrorCode::NotAuthorised => Code::PermissionDenied,
        ErrorCode::Unreachable => Code::Unavailable,
        ErrorCode::Exhausted => Code::ResourceExhausted,
        ErrorCode::Internal => Code::Internal,
    }
}

const CODES: [(ErrorCode, &str); 8] = [
    (ErrorCode::InvalidInput, "invalid_input"),
    (ErrorCode::NotFound, "not_found"),
    (ErrorCode::Conflict, "conflict"),
    (ErrorCode::Stale, "stale"),
    (ErrorCode::NotAuthorised, "not_authorised"),
    (ErrorCode::Unreachable, "unreachable"),
    (ErrorCode::Exhausted, "exhausted"),
    (ErrorCode::Internal, "internal"),
];

fn code_text(code: ErrorCode) -> &'static str {
    CODES.iter().find(|(each, _)| *each == code).map_or("internal", |(_, text)| text)
}

fn parse_code(text: &str) -> Option<ErrorCode> {
    CODES.iter().find(|(_, each)| *each == text).map(|(code, _)| *code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_survives_the_wire() {
        for (code, _) in CODES {
            let status = status_of(code, "why");
            assert_eq!((code_of(&status), told_code_of(&status)), (code, Some(code)));
            assert_eq!(told_code_of(&Status::new(grpc_code(code), "why")), None, "not told by us");
            assert_eq!(message_of(&status), "why");
        }
    }
}
