//! Maps the crate's errors to gRPC statuses, and gRPC codes to HTTP statuses.

use tonic::{Code, Status};

use super::shown;
use crate::Error;

/// The gRPC code of an error. It tells a client what it can do.
pub fn code(error: &Error) -> Code {
    match error {
        Error::Frame { .. } | Error::Decode { .. } | Error::Parameter { .. } | Error::Data { .. } => {
            Code::InvalidArgument
        }
        // RESOURCE_EXHAUSTED would ask the client to try again, which does not help with a size.
        Error::Limit { .. } => Code::InvalidArgument,
        Error::NotFound(_) => Code::NotFound,
        Error::Overloaded(_) => Code::ResourceExhausted,
        Error::TimedOut { .. } => Code::DeadlineExceeded,
        Error::Cancelled => Code::Cancelled,
        Error::Unavailable { .. } => Code::Unavailable,
        Error::Package { .. } | Error::Network { .. } | Error::Device { .. } | Error::Library { .. } => {
            Code::FailedPrecondition
        }
        Error::NonFinite { .. } | Error::Training { .. } | Error::Io { .. } | Error::Internal { .. } => Code::Internal,
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        Self::new(code(&error), shown::text(&error))
    }
}

/// The HTTP status for a gRPC code, as gRPC's gateways map them.
pub fn http(code: Code) -> u16 {
    match code {
        Code::Ok => 200,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => 400,
        Code::Unauthenticated => 401,
        Code::PermissionDenied => 403,
        Code::NotFound => 404,
        Code::AlreadyExists | Code::Aborted => 409,
        Code::ResourceExhausted => 429,
        Code::Cancelled => 499,
        Code::Unimplemented => 501,
        Code::Unavailable => 503,
        Code::DeadlineExceeded => 504,
        Code::Unknown | Code::DataLoss | Code::Internal => 500,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_a_code_and_its_text() {
        let text = || "x".to_owned();
        let io = || std::io::Error::other("x");
        let reason = || crate::Reason::because("x", io());
        let cases = [
            (Error::frame(reason()), Code::InvalidArgument),
            (Error::decode(text(), reason()), Code::InvalidArgument),
            (Error::Limit { what: text(), found: 2, limit: 1, unit: "bytes" }, Code::InvalidArgument),
            (Error::parameter("epsilon", reason()), Code::InvalidArgument),
            (Error::library(reason()), Code::FailedPrecondition),
            (Error::device(text(), reason()), Code::FailedPrecondition),
            (Error::network(text(), reason()), Code::FailedPrecondition),
            (Error::NonFinite { what: text(), found: 1, total: 2 }, Code::Internal),
            (Error::package("x", reason()), Code::FailedPrecondition),
            (Error::data("x", reason()), Code::InvalidArgument),
            (Error::training(reason()), Code::Internal),
            (Error::Cancelled, Code::Cancelled),
            (Error::NotFound(text()), Code::NotFound),
            (Error::Overloaded(text()), Code::ResourceExhausted),
            (Error::TimedOut { stage: "x" }, Code::DeadlineExceeded),
            (Error::unavailable(reason()), Code::Unavailable),
            (Error::internal(reason()), Code::Internal),
            (Error::Io { action: "read", path: "x".into(), cause: io() }, Code::Internal),
        ];
        for (error, expected) in cases {
            let message = error.to_string();
            let status = Status::from(error);
            assert_eq!((status.code(), status.message()), (expected, message.as_str()));
        }
    }

    #[test]
    fn every_code_has_an_http_status() {
        for number in 0..=16 {
            let status = http(Code::from_i32(number));
            assert_eq!(number == 0, status == 200, "{number}: {status}");
        }
    }
}
