//! The deadline of a gRPC call, from its `grpc-timeout` header.
//!
//! Tonic ends the call by it; the engine is told so that it does not work on a frame that cannot be done in time.

use std::time::{Duration, Instant};

use tonic::metadata::MetadataMap;

/// When the call must be answered, counted from now; `None` where the client set no deadline (or one that is malformed, which
/// tonic refuses by itself).
pub fn of(metadata: &MetadataMap) -> Option<Instant> {
    let timeout = parse(metadata.get("grpc-timeout")?.to_str().ok()?)?;
    Instant::now().checked_add(timeout)
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
