//! DER, written: ITU-T X.690 §8 and §10. Only what a certificate of ours holds.

pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(crate) const UTF8_STRING: u8 = 0x0c;
pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;
/// An explicit tag of a context, its contents constructed.
pub(crate) const fn context(number: u8) -> u8 {
    0xa0 | number
}
/// An implicit tag of a context, its contents primitive.
pub(crate) const fn primitive(number: u8) -> u8 {
    0x80 | number
}

/// One value: `tag`, its length in as few octets as it takes, `parts` one behind the other.
pub(crate) fn value(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut der = Vec::with_capacity(length + 6);
    der.push(tag);
    let octets = length.to_be_bytes();
    let needed = &octets[octets.iter().take_while(|octet| **octet == 0).count()..];
    match needed {
        [] => der.push(0),
        [short @ ..=0x7f] => der.push(*short),
        long => {
            der.push(0x80 | u8::try_from(long.len()).unwrap_or(0x7f));
            der.extend_from_slice(long);
        }
    }
    for part in parts {
        der.extend_from_slice(part);
    }
    der
}

/// A bit string of whole octets.
pub(crate) fn bit_string(octets: &[u8]) -> Vec<u8> {
    value(BIT_STRING, &[&[0], octets])
}

/// RFC 5280 §4.1.2.5: `UTCTime` up to 2049, `GeneralizedTime` from 2050. Seconds since 1970, UTC.
pub(crate) fn time(unix: i64) -> Vec<u8> {
    let (days, second) = (unix.div_euclid(86_400), unix.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let clock = format!("{month:02}{day:02}{:02}{:02}{:02}Z", second / 3_600, second / 60 % 60, second % 60);
    if (1950..2050).contains(&year) {
        value(UTC_TIME, &[format!("{:02}{clock}", year % 100).as_bytes()])
    } else {
        value(GENERALIZED_TIME, &[format!("{year:04}{clock}").as_bytes()])
    }
}

/// The Gregorian date, proleptic, of a count of days since 1970-01-01: eras of 400 years, years that begin in March.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_take_no_more_octets_than_needed() {
        let head = |size: usize| value(OCTET_STRING, &[&vec![7; size]])[..5.min(size + 2)].to_vec();
        assert_eq!(value(SEQUENCE, &[]), [0x30, 0]);
        assert_eq!(head(1), [4, 1, 7]);
        assert_eq!(head(127), [4, 127, 7, 7, 7]);
        assert_eq!(head(128), [4, 0x81, 128, 7, 7]);
        assert_eq!(head(256), [4, 0x82, 1, 0, 7]);
        assert_eq!(head(65_536), [4, 0x83, 1, 0, 0]);
    }

    #[test]
    fn times_are_written_as_rfc_5280_wants_them() {
        let written = |unix| (time(unix)[0], String::from_utf8(time(unix)[2..].to_vec()).unwrap());
        assert_eq!(written(0), (UTC_TIME, "700101000000Z".to_owned()));
        assert_eq!(written(951_782_399), (UTC_TIME, "000228235959Z".to_owned()));
        assert_eq!(written(951_782_400), (UTC_TIME, "000229000000Z".to_owned()));
        assert_eq!(written(2_524_607_999), (UTC_TIME, "491231235959Z".to_owned()));
        assert_eq!(written(2_524_608_000), (GENERALIZED_TIME, "20500101000000Z".to_owned()));
        assert_eq!(written(253_402_300_799), (GENERALIZED_TIME, "99991231235959Z".to_owned()));
    }
}
