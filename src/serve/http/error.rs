//! Errors as HTTP answers.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;
use tonic::{Code, Status};

use crate::{
    Error,
    serve::{metrics, status},
};

/// What went wrong: `{"error": {"code": "INVALID_ARGUMENT", "message": "…"}}` with the HTTP status that belongs to the code.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    code: Code,
    message: String,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: Code, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    /// In the words of the Open Inference Protocol, whose `error` is the message itself; the code stands beside it.
    pub(super) fn oip(self) -> Response {
        let body = json!({ "error": self.message, "code": metrics::name(self.code) });
        self.answer(&body)
    }

    fn answer(&self, body: &serde_json::Value) -> Response {
        let mut response = (self.status, Json(body)).into_response();
        let hint = match self.code {
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

/// What is larger than allowed has a status of its own, 413; everything else has that of its gRPC code.
impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let too_large = matches!(error, Error::Limit { .. });
        let problem = Self::from(Status::from(error));
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
        self.answer(&json!({ "error": { "code": metrics::name(self.code), "message": self.message } }))
    }
}
