//! Clap parsers for bounded numbers on the command line. A value out of bounds is rejected with the option's name, the
//! value and the bounds.

use clap::builder::RangedU64ValueParser;
use std::{
    fmt::Display,
    ops::{Bound, RangeBounds},
    str::FromStr,
    time::Duration,
};

/// Maximum tokens, rows or columns: positions are 32-bit integers.
const MOST: u64 = i32::MAX as u64;

/// A count, from 0.
pub fn count() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(..=MOST)
}

/// A count, from 1.
pub fn size() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=MOST)
}

/// Rounds of a measurement; limited, as each is stored.
pub fn rounds() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=1_000_000)
}

/// A finite number within `range`.
pub fn float<T>(
    range: impl RangeBounds<T> + Clone + Send + Sync + 'static,
) -> impl Fn(&str) -> Result<T, String> + Clone
where
    T: FromStr<Err: Display> + PartialOrd + Display + Into<f64> + Copy,
{
    move |text| {
        let value: T = text.parse().map_err(|e: T::Err| e.to_string())?;
        if range.contains(&value) && value.into().is_finite() {
            return Ok(value);
        }
        let limit = |bound, at, past| match bound {
            Bound::Included(limit) => format!("{at} {limit}"),
            Bound::Excluded(limit) => format!("{past} {limit}"),
            Bound::Unbounded => "finite".to_owned(),
        };
        let low = limit(range.start_bound(), "at least", "more than");
        Err(format!("it must be {low} and {}", limit(range.end_bound(), "at most", "less than")))
    }
}

/// A time of at most a year, as 500ms or 2m.
///
/// # Errors
/// If it is malformed or longer.
pub fn time(text: &str) -> Result<Duration, String> {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
    match humantime::parse_duration(text) {
        Ok(time) if time <= YEAR => Ok(time),
        Ok(_) => Err("it must be at most a year".into()),
        Err(error) => Err(format!("{error}; write it as 500ms, 2s or 5m")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_have_bounds() {
        let share = float::<f32>(0.0..=1.0);
        assert_eq!(share("0.5"), Ok(0.5));
        for text in ["-0.1", "1.1", "NaN", "inf"] {
            assert_eq!(share(text), Err("it must be at least 0 and at most 1".into()), "{text}");
        }
        assert!(share("x").is_err());
        let tolerance = float::<f64>(0.0..);
        assert_eq!(tolerance("1e300"), Ok(1e300));
        for text in ["-1e-9", "nan", "1e999"] {
            assert_eq!(tolerance(text), Err("it must be at least 0 and finite".into()), "{text}");
        }
        let penalty = float::<f32>((Bound::Excluded(0.0), Bound::Unbounded));
        assert_eq!(penalty("0"), Err("it must be more than 0 and finite".into()));
    }

    #[test]
    fn times_have_bounds() {
        assert_eq!(time("2m"), Ok(Duration::from_secs(120)));
        assert!(time("584942417355y").is_err() && time("2").is_err() && time("-1s").is_err());
    }
}
