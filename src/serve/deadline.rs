//! The deadline of a gRPC call, from its `grpc-timeout` header.
//!
//! The deadline is computed when the call's headers arrive. The server answers `DEADLINE_EXCEEDED` shortly before the deadline,
//! because tonic ends the call at the deadline with `CANCELLED`.

use std::time::{Duration, Instant};

use tonic::{Request, codegen::http};

use super::origin::Origin;

/// How long before the call's deadline the server answers, so that the answer can still be sent.
const MARGIN: Duration = Duration::from_millis(2);

#[derive(Clone, Copy, Debug)]
struct Deadline(Instant);

/// Stores the call's deadline in the request, if the client set one. tonic refuses a malformed one.
pub fn note<B>(request: &mut http::Request<B>) {
    let timeout = request.headers().get("grpc-timeout").and_then(|value| parse(value.to_str().ok()?));
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout - MARGIN.min(timeout / 10)));
    if let Some(deadline) = deadline {
        request.extensions_mut().insert(Deadline(deadline));
    }
}

/// The deadline and the origin of a call.
pub fn of_call<T>(request: &Request<T>) -> (Option<Instant>, Origin) {
    let deadline = request.extensions().get().map(|Deadline(deadline)| *deadline);
    (deadline, Origin::of(request.metadata().as_ref(), request.extensions()))
}

/// gRPC over HTTP/2: at most eight digits and a unit.
fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(value * 3600)),
        "M" => Some(Duration::from_secs(value * 60)),
        "S" => Some(Duration::from_secs(value)),
        "m" => Some(Duration::from_millis(value)),
        "u" => Some(Duration::from_micros(value)),
        "n" => Some(Duration::from_nanos(value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_grpc_writes_them() {
        assert_eq!(parse("250m"), Some(Duration::from_millis(250)));
        assert_eq!(parse("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        assert_eq!(parse("7u"), Some(Duration::from_micros(7)));
        for malformed in ["", "m", "1", "1x", "-1S", "123456789S", "1.5S", "１S"] {
            assert_eq!(parse(malformed), None, "{malformed}");
        }
    }
}
