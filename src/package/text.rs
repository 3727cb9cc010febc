//! Texts with a fixed form: hashes, names, relative paths, times.

use std::time::{SystemTime, UNIX_EPOCH};

const LONGEST_NAME: usize = 128;
const LONGEST_PATH: usize = 240;

/// Refuses what is not 64 lower-case hexadecimal digits.
pub(crate) fn check_sha256(text: &str) -> Result<(), String> {
    if text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return Ok(());
    }
    Err(format!("`{text}` is not a SHA-256 (64 lower-case hexadecimal digits)"))
}

/// Refuses what is not so many lower-case hexadecimal digits.
pub(super) fn check_hex(text: &str, digits: usize) -> Result<(), String> {
    if text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return Ok(());
    }
    Err(format!("`{text}` is not {digits} lower-case hexadecimal digits"))
}

/// Refuses names that cannot be shown or used as a file's name.
pub(super) fn check_name(text: &str) -> Result<(), String> {
    if text.trim().is_empty() {
        return Err("it is empty".to_owned());
    }
    if text.len() > LONGEST_NAME {
        return Err(format!("it has {} bytes, at most {LONGEST_NAME} are allowed", text.len()));
    }
    if text.contains(|c: char| c.is_control() || c == '/' || c == '\\') || text.starts_with('.') {
        return Err(format!("{text:?} may not start with a dot or contain slashes or control characters"));
    }
    Ok(())
}

/// Refuses paths that could lead out of the folder they are relative to, on any system.
pub(super) fn check_relative_path(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    if text.len() > LONGEST_PATH {
        return Err(format!("it has {} bytes, at most {LONGEST_PATH} are allowed", text.len()));
    }
    if text.contains(|c: char| c.is_control() || matches!(c, '\\' | ':')) {
        return Err(format!("{text:?} may not contain backslashes, colons or control characters"));
    }
    if text.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(format!("`{text}` must be a path inside the package (relative, without `.` and `..`)"));
    }
    Ok(())
}

/// A time as RFC 3339 in UTC, to the second: `2026-03-14T15:09:26Z`. Times before 1970 are taken as 1970.
pub fn timestamp(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Years of 365.2425 days that begin in March, so that the leap day is a year's last.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = era * 400 + year + next_year;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Refuses what is not a date and time by RFC 3339.
pub(super) fn check_timestamp(text: &str) -> Result<(), String> {
    if is_rfc3339(text.as_bytes()).is_some() {
        return Ok(());
    }
    Err(format!("`{text}` is not a time by RFC 3339, such as 2026-03-14T15:09:26Z"))
}

fn is_rfc3339(text: &[u8]) -> Option<()> {
    let number = |from: usize, to: usize| -> Option<u32> {
        let digits = text.get(from..to)?;
        digits.iter().try_fold(0, |value, digit| digit.is_ascii_digit().then(|| value * 10 + u32::from(digit - b'0')))
    };
    let is = |at: usize, allowed: &[u8; 2]| allowed.contains(text.get(at)?).then_some(());
    let within = |value: u32, from: u32, to: u32| (from..=to).contains(&value).then_some(());

    let (year, month) = (number(0, 4)?, number(5, 7)?);
    for (position, separator) in [(4, b"--"), (7, b"--"), (10, b"Tt"), (13, b"::"), (16, b"::")] {
        is(position, separator)?;
    }
    within(month, 1, 12)?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    within(number(8, 10)?, 1, days)?;
    within(number(11, 13)?, 0, 23)?;
    within(number(14, 16)?, 0, 59)?;
    within(number(17, 19)?, 0, 60)?;
    let mut zone = 19;
    if text.get(zone) == Some(&b'.') {
        let digits = text[zone + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        within(digits as u32, 1, 9)?;
        zone += 1 + digits;
    }
    if is(zone, b"Zz").is_some() {
        return (text.len() == zone + 1).then_some(());
    }
    is(zone, b"+-")?;
    is(zone + 3, b"::")?;
    within(number(zone + 1, zone + 3)?, 0, 23)?;
    within(number(zone + 4, zone + 6)?, 0, 59)?;
    (text.len() == zone + 6).then_some(())
}
