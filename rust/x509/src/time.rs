//! The two ASN.1 times to seconds since the epoch. RFC 5280 §4.1.2.5.

use std::fmt;

use crate::der::{self, Reader};
use crate::error::Error;

/// Seconds since 1970-01-01T00:00:00Z, UTC, without leap seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixSeconds(pub i64);

/// From when to when, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// First second in which the certificate may be used.
    pub not_before: UnixSeconds,
    /// Last second in which it may be used.
    pub not_after: UnixSeconds,
    /// A year before 2050 is written as `GeneralizedTime`, which §4.1.2.5 keeps for later ones.
    pub(crate) early_generalized: bool,
}

impl Validity {
    pub(crate) fn parse(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let mut inside = reader.inside(der::SEQUENCE, "validity")?;
        let not_before = Time::parse(&mut inside)?;
        let not_after = Time::parse(&mut inside)?;
        inside.finish()?;
        Ok(Self {
            not_before: not_before.at,
            not_after: not_after.at,
            early_generalized: not_before.early_generalized || not_after.early_generalized,
        })
    }
}

/// One `Time`, §4.1.2.5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Time {
    pub(crate) at: UnixSeconds,
    /// A year before 2050 that is written as `GeneralizedTime`: one instant then has two encodings.
    pub(crate) early_generalized: bool,
}

impl Time {
    /// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`, and nothing else (§4.1.2.5.1, §4.1.2.5.2).
    pub(crate) fn parse(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let element = reader.element()?;
        let (century_digits, rest) = match element.tag {
            der::UTC_TIME if element.value.len() == 13 => (None, element.value),
            der::GENERALIZED_TIME if element.value.len() == 15 => {
                let (head, rest) = element.value.split_at_checked(2).ok_or(Error::InvalidTime)?;
                (Some(two_digits(head)?), rest)
            }
            _ => return Err(Error::InvalidTime),
        };
        let [year @ .., m1, m2, d1, d2, h1, h2, n1, n2, s1, s2, b'Z'] = rest else {
            return Err(Error::InvalidTime);
        };
        let year = two_digits(year)?;
        let year = match century_digits {
            // §4.1.2.5.1: 50–99 is 19YY, 00–49 is 20YY.
            None if year >= 50 => year.saturating_add(1900),
            None => year.saturating_add(2000),
            Some(century) => century.saturating_mul(100).saturating_add(year),
        };
        let [month, day, hour, minute, second] =
            [[*m1, *m2], [*d1, *d2], [*h1, *h2], [*n1, *n2], [*s1, *s2]].map(|pair| two_digits(&pair));
        let at = civil_to_unix(year, month?, day?, hour?, minute?, second?)?;
        Ok(Self { at, early_generalized: century_digits.is_some() && year < 2050 })
    }
}

fn two_digits(digits: &[u8]) -> Result<i64, Error> {
    match digits {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => {
            let digit = |octet: &u8| i64::from(octet.saturating_sub(b'0'));
            Ok(digit(tens).saturating_mul(10).saturating_add(digit(ones)))
        }
        _ => Err(Error::InvalidTime),
    }
}

/// Seconds since the epoch of a proleptic Gregorian date. The arithmetic cannot overflow for years 0–9999.
#[expect(clippy::arithmetic_side_effects, reason = "every operand is bounded by the checks above it")]
fn civil_to_unix(year: i64, month: i64, day: i64, hour: i64, minute: i64, second: i64) -> Result<UnixSeconds, Error> {
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let days_in_month = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return Err(Error::InvalidTime),
    };
    if !(1..=days_in_month).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return Err(Error::InvalidTime);
    }
    // Count years from March, so that the leap day is the last of its year; 146,097 days make 400 years.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    Ok(UnixSeconds(days * 86_400 + hour * 3_600 + minute * 60 + second))
}

impl fmt::Display for UnixSeconds {
    /// `2026-11-23T18:25:00Z`; a bare number outside the years 0–9999.
    #[expect(clippy::arithmetic_side_effects, reason = "bounded by the range check of the first line")]
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !(-62_167_219_200..=253_402_300_799).contains(&self.0) {
            return write!(formatter, "{}", self.0);
        }
        let (days, seconds) = (self.0.div_euclid(86_400) + 719_468, self.0.rem_euclid(86_400));
        let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted + 2) / 5 + 1;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        let year = era * 400 + year_of_era + i64::from(month <= 2);
        let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        write!(formatter, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(tag: u8, text: &str) -> Result<UnixSeconds, Error> {
        let mut bytes = vec![tag, u8::try_from(text.len()).unwrap()];
        bytes.extend_from_slice(text.as_bytes());
        Time::parse(&mut Reader::new(&bytes, "test")).map(|time| time.at)
    }

    #[test]
    fn accepts_both_forms_and_the_pivot() {
        assert_eq!(time(der::UTC_TIME, "700101000000Z").unwrap(), UnixSeconds(0));
        assert_eq!(time(der::UTC_TIME, "000229235959Z").unwrap().to_string(), "2000-02-29T23:59:59Z");
        assert_eq!(time(der::UTC_TIME, "500101000000Z").unwrap().to_string(), "1950-01-01T00:00:00Z");
        assert_eq!(time(der::UTC_TIME, "491231235959Z").unwrap().to_string(), "2049-12-31T23:59:59Z");
        assert_eq!(time(der::GENERALIZED_TIME, "20500101000000Z").unwrap(), UnixSeconds(2_524_608_000));
        assert_eq!(time(der::GENERALIZED_TIME, "99991231235959Z").unwrap(), UnixSeconds(253_402_300_799));
    }

    #[test]
    fn d14_rejects_every_other_form() {
        for text in
            ["700101000000", "7001010000Z", "700101000000+0000", "701301000000Z", "700001000000Z", "700132000000Z"]
        {
            assert_eq!(time(der::UTC_TIME, text), Err(Error::InvalidTime), "{text}");
        }
        for text in
            ["990229000000Z", "700101240000Z", "700101006000Z", "700101000060Z", "70010100000 Z", "7001010000-1Z"]
        {
            assert_eq!(time(der::UTC_TIME, text), Err(Error::InvalidTime), "{text}");
        }
        for text in ["20500101000000.5Z", "205001010000Z", "20500101000000", "20500101000000+0000"] {
            assert_eq!(time(der::GENERALIZED_TIME, text), Err(Error::InvalidTime), "{text}");
        }
    }

    #[test]
    fn generalized_time_before_2050_is_noted() {
        let early = |text: &str| {
            let bytes = [&[der::GENERALIZED_TIME, 15], text.as_bytes()].concat();
            Time::parse(&mut Reader::new(&bytes, "test")).unwrap().early_generalized
        };
        assert!(early("20491231235959Z"));
        assert!(!early("20500101000000Z"));
    }

    #[test]
    fn every_day_of_four_centuries_comes_back_as_written() {
        let mut at = UnixSeconds(-631_152_000); // 1950-01-01
        while at.0 < 12_000_000_000 {
            let text = at.to_string();
            let digits: String = text.chars().filter(char::is_ascii_digit).collect();
            let field = |range: std::ops::Range<usize>| digits[range].parse::<i64>().unwrap();
            let back = civil_to_unix(field(0..4), field(4..6), field(6..8), field(8..10), field(10..12), field(12..14));
            assert_eq!(back, Ok(at), "{text}");
            at.0 += 86_400;
        }
    }
}
