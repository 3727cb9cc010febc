//! `--time-budget`: a time with its unit, or `none`.

use std::{fmt, str::FromStr, time::Duration};

/// Units and their seconds, largest first.
const UNITS: [(&str, f64); 3] = [("h", 3600.0), ("min", 60.0), ("s", 1.0)];

/// A limit of time, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeBudget(pub(crate) Option<Duration>);

impl FromStr for TimeBudget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(None));
        }
        let split = text.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(text.len());
        let (number, unit) = (&text[..split], text[split..].trim());
        let factor = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, seconds)| *seconds);
        let factor = factor.or(unit.is_empty().then_some(1.0));
        let seconds = number.parse::<f64>().ok().zip(factor).map(|(number, factor)| number * factor);
        let time =
            seconds.filter(|seconds| *seconds > 0.0).and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let time = time.filter(|time| !time.is_zero());
        time.map(|time| Self(Some(time)))
            .ok_or_else(|| "give a time above 0 such as 90s, 2min or 1h, or none".to_owned())
    }
}

impl fmt::Display for TimeBudget {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(time) = self.0 else { return out.write_str("none") };
        let seconds = time.as_secs_f64();
        let whole = UNITS.into_iter().find(|(_, unit)| seconds % unit == 0.0);
        let (name, unit) = whole.unwrap_or(("s", 1.0));
        write!(out, "{}{name}", seconds / unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_unit_and_shown_in_the_largest_that_is_whole() {
        for (text, seconds, shown) in [
            ("90", 90.0, "90s"),
            ("90s", 90.0, "90s"),
            ("1.5min", 90.0, "90s"),
            ("2min", 120.0, "2min"),
            ("0.5 h", 1800.0, "30min"),
            ("1h", 3600.0, "1h"),
            ("0.25", 0.25, "0.25s"),
        ] {
            let found: TimeBudget = text.parse().unwrap();
            assert_eq!(found, TimeBudget(Some(Duration::from_secs_f64(seconds))), "{text}");
            assert_eq!(found.to_string(), shown);
        }
        assert_eq!("none".parse(), Ok(TimeBudget(None)));
        assert_eq!(TimeBudget(None).to_string(), "none");
        for wrong in [
            "",
            "0",
            "0s",
            "-1s",
            "2 m",
            "2 minutes",
            "min",
            "1.2.3s",
            "nan",
            "inf",
            "1e400",
            "99999999999999999999h",
            "0.0000000001s",
        ] {
            let error = wrong.parse::<TimeBudget>().unwrap_err();
            assert!(error.contains("such as 90s, 2min or 1h, or none"), "{wrong}: {error}");
        }
    }
}
