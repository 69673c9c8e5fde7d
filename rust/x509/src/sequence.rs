//! Certificates that stand one after another, with nothing in between: where each begins, and where each chain does.

use crate::certificate::Certificate;
use crate::der::Reader;

/// Cuts by the length that each element claims. What does not begin like an element, or ends too early, is the last piece, whole:
/// parsing refuses it.
pub fn split_certificates(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut reader = Reader::new(bytes, "certificate");
    std::iter::from_fn(move || {
        let rest = reader.rest();
        if rest.is_empty() {
            return None;
        }
        Some(reader.element().map_or_else(
            |_| {
                reader = Reader::new(&[], "certificate");
                rest
            },
            |element| element.der,
        ))
    })
}

/// Whether `above` could be the certificate next to `below` in a chain: it bears the name of `below`'s issuer. A self-issued certificate
/// is the top of its chain.
pub fn continues_chain(below: &[u8], above: &[u8]) -> bool {
    match (Certificate::parse(below), Certificate::parse(above)) {
        (Ok(below), Ok(above)) => !below.self_issued() && below.issuer == above.subject,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_cut_where_they_end_and_what_is_none_stays_whole() {
        let cut = |bytes: &'static [u8]| split_certificates(bytes).collect::<Vec<_>>();
        assert!(cut(&[]).is_empty());
        assert_eq!(cut(&[0x30, 1, 5, 0x30, 0]), [&[0x30, 1, 5][..], &[0x30, 0]]);
        assert_eq!(cut(&[0x30, 0, 0x30, 9, 1]), [&[0x30, 0][..], &[0x30, 9, 1]]);
        assert_eq!(cut(&[0x30, 0, 0x30]), [&[0x30, 0][..], &[0x30]]);
        assert_eq!(cut(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0]), [&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0][..]]);
    }

    #[test]
    fn what_is_no_certificate_continues_nothing() {
        assert!(!continues_chain(&[0x30, 0], &[0x30, 0]));
    }
}
