//! Errors as HTTP answers.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use tonic::{Code, Status};
use utoipa::ToSchema;

use crate::serve::{metrics, oip::Failed, status};

/// What went wrong: `{"error": "text", "code": "INVALID_ARGUMENT"}` with the HTTP status that belongs to the code. The Open
/// Inference Protocol wants `error` to be the text itself; clients of the other routes get the same.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    code: Code,
    message: String,
}

impl Problem {
    /// What the answer's body says.
    pub(super) fn into_body(self) -> Error {
        Error { error: self.message, code: metrics::name(self.code) }
    }

    pub(super) fn new(status: StatusCode, code: Code, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }
}

/// What went wrong.
#[derive(Serialize, ToSchema)]
pub(super) struct Error {
    /// What was wrong, where, and what to do about it.
    error: String,
    /// gRPC's name of the kind of error, such as `INVALID_ARGUMENT`.
    code: &'static str,
}

/// What is larger than allowed has a status of its own, 413; everything else has that of its gRPC code.
impl From<crate::Error> for Problem {
    fn from(error: crate::Error) -> Self {
        let too_large = matches!(error, crate::Error::Limit { .. });
        let problem = Self::from(Status::from(error));
        if too_large { Self { status: StatusCode::PAYLOAD_TOO_LARGE, ..problem } } else { problem }
    }
}

/// As the error itself, with the image that it is about.
impl From<Failed> for Problem {
    fn from(failed: Failed) -> Self {
        let too_large = matches!(failed.error, crate::Error::Limit { .. });
        let problem = Self::from(Status::from(failed));
        if too_large { Self { status: StatusCode::PAYLOAD_TOO_LARGE, ..problem } } else { problem }
    }
}

impl From<Status> for Problem {
    fn from(status: Status) -> Self {
        let code = status.code();
        let http = StatusCode::from_u16(status::http(code)).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self::new(http, code, status.message())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, code) = (self.status, self.code);
        let mut response = (status, Json(self.into_body())).into_response();
        let hint = match code {
            Code::Unauthenticated => Some((header::WWW_AUTHENTICATE, "Bearer")),
            Code::ResourceExhausted | Code::Unavailable => Some((header::RETRY_AFTER, "1")),
            _ => None,
        };
        if let Some((name, value)) = hint {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }
}
