//! The only reader of DER: bounded, minimal-form, borrowing. X.690 §8.1, §10.1, §11.
//!
//! It never recurses: a caller that wants the inside of a value makes another `Reader`, so nesting cannot exhaust the
//! stack, and nothing is allocated whatever a length claims.

/// What is wrong with the encoding of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DerFault {
    /// A length is indefinite, not minimal, or longer than four octets (X.690 §10.1).
    BadLength,
    /// The contents break the type's own DER rules (X.690 §8, §11).
    BadValue,
    /// Octets are left over inside a value that should have ended.
    TrailingData,
    /// The input ends inside a value.
    Truncated,
    /// Another type stands where this one was expected.
    UnexpectedTag,
}

/// Identifier octets (X.690 §8.1.2). Multi-octet tags occur nowhere in a certificate and are refused.
pub(crate) type Tag = u8;

pub(crate) const BOOLEAN: Tag = 0x01;
pub(crate) const INTEGER: Tag = 0x02;
pub(crate) const BIT_STRING: Tag = 0x03;
pub(crate) const OCTET_STRING: Tag = 0x04;
pub(crate) const NULL: Tag = 0x05;
pub(crate) const OID: Tag = 0x06;
pub(crate) const UTF8_STRING: Tag = 0x0c;
pub(crate) const PRINTABLE_STRING: Tag = 0x13;
pub(crate) const UTC_TIME: Tag = 0x17;
pub(crate) const GENERALIZED_TIME: Tag = 0x18;
pub(crate) const ENUMERATED: Tag = 0x0a;
pub(crate) const SEQUENCE: Tag = 0x30;
pub(crate) const SET: Tag = 0x31;

/// `[number]`, constructed.
pub(crate) const fn context(number: u8) -> Tag {
    0xa0 | number
}

/// `[number]`, primitive: an implicit tag on a simple type.
pub(crate) const fn implicit(number: u8) -> Tag {
    0x80 | number
}

/// Whether an identifier octet is one that DER knows here: of one octet, and for a universal type constructed exactly if the type is
/// (SEQUENCE, SET, EXTERNAL, EMBEDDED PDV): BER alone cuts strings in pieces (X.690 §10.2).
fn is_der_identifier(tag: Tag) -> bool {
    let universal = tag & 0xc0 == 0;
    let constructed = tag & 0x20 != 0;
    tag & 0x1f != 0x1f && (!universal || constructed == matches!(tag & 0x1f, 8 | 11 | 16 | 17))
}

/// One element: its tag, its contents, and the whole of its octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Element<'a> {
    pub(crate) tag: Tag,
    pub(crate) value: &'a [u8],
    pub(crate) der: &'a [u8],
}

/// Bytes that are not DER, or not the type expected. Small and free of allocation: a reader returns one at every step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    pub(crate) inside: &'static str,
    pub(crate) fault: DerFault,
}

/// Reads elements one after another. `inside` names what is being read, for errors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    inside: &'static str,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8], inside: &'static str) -> Self {
        Self { rest: bytes, inside }
    }

    /// The inside of the one element in `bytes`, which must be `tag`; nothing may follow it.
    pub(crate) fn only(bytes: &'a [u8], tag: Tag, inside: &'static str) -> Result<Self, Malformed> {
        let mut outer = Self::new(bytes, inside);
        let value = outer.value(tag)?;
        outer.finish()?;
        Ok(Self::new(value, inside))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// What has not been read yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn next_is(&self, tag: Tag) -> bool {
        self.rest.first() == Some(&tag)
    }

    #[inline]
    pub(crate) fn element(&mut self) -> Result<Element<'a>, Malformed> {
        let whole = self.rest;
        if whole.first().is_some_and(|tag| !is_der_identifier(*tag)) {
            return Err(self.fault(DerFault::UnexpectedTag));
        }
        // Nearly every length in a certificate is short: two octets decide.
        let (tag, length, after) = match *whole {
            [tag, length @ 0..=0x7f, ref after @ ..] => (tag, usize::from(length), after),
            [tag, first, ref after @ ..] => {
                let (length, after) = self.long_length(first, after)?;
                (tag, length, after)
            }
            _ => return Err(self.fault(DerFault::Truncated)),
        };
        let Some((value, rest)) = after.split_at_checked(length) else {
            return Err(self.fault(DerFault::Truncated));
        };
        let Some(der) = whole.get(..whole.len().saturating_sub(rest.len())) else {
            return Err(self.fault(DerFault::Truncated));
        };
        self.rest = rest;
        Ok(Element { tag, value, der })
    }

    #[inline]
    pub(crate) fn expect(&mut self, tag: Tag) -> Result<Element<'a>, Malformed> {
        if !self.is_empty() && !self.next_is(tag) {
            return Err(self.fault(DerFault::UnexpectedTag));
        }
        self.element()
    }

    /// The contents of the next element, which must be `tag`.
    #[inline]
    pub(crate) fn value(&mut self, tag: Tag) -> Result<&'a [u8], Malformed> {
        self.expect(tag).map(|element| element.value)
    }

    /// A reader of the inside of the next element, which must be `tag`.
    #[inline]
    pub(crate) fn inside(&mut self, tag: Tag, inside: &'static str) -> Result<Reader<'a>, Malformed> {
        self.value(tag).map(|value| Reader::new(value, inside))
    }

    #[inline]
    pub(crate) fn optional(&mut self, tag: Tag) -> Result<Option<&'a [u8]>, Malformed> {
        if self.next_is(tag) { self.value(tag).map(Some) } else { Ok(None) }
    }

    /// A BOOLEAN DEFAULT FALSE: only TRUE is ever written (X.690 §11.1, §11.5).
    pub(crate) fn default_false(&mut self) -> Result<bool, Malformed> {
        self.default_false_as(BOOLEAN)
    }

    /// The same under an implicit tag.
    pub(crate) fn default_false_as(&mut self, tag: Tag) -> Result<bool, Malformed> {
        match self.optional(tag)? {
            None => Ok(false),
            Some([0xff]) => Ok(true),
            Some(_) => Err(self.fault(DerFault::BadValue)),
        }
    }

    /// The contents of an INTEGER, minimal (X.690 §8.3.2); may be negative.
    pub(crate) fn integer(&mut self) -> Result<&'a [u8], Malformed> {
        self.integer_as(INTEGER)
    }

    /// The same under an implicit tag.
    pub(crate) fn integer_as(&mut self, tag: Tag) -> Result<&'a [u8], Malformed> {
        let value = self.value(tag)?;
        match value {
            [] => Err(self.fault(DerFault::BadValue)),
            [0x00, next, ..] if next & 0x80 == 0 => Err(self.fault(DerFault::BadValue)),
            [0xff, next, ..] if next & 0x80 != 0 => Err(self.fault(DerFault::BadValue)),
            _ => Ok(value),
        }
    }

    /// The octets of an INTEGER that must not be negative, without the sign octet.
    pub(crate) fn unsigned(&mut self) -> Result<&'a [u8], Malformed> {
        self.unsigned_as(INTEGER)
    }

    /// The same under an implicit tag.
    pub(crate) fn unsigned_as(&mut self, tag: Tag) -> Result<&'a [u8], Malformed> {
        match self.integer_as(tag)? {
            [first, ..] if first & 0x80 != 0 => Err(self.fault(DerFault::BadValue)),
            [0x00, rest @ ..] if !rest.is_empty() => Ok(rest),
            value => Ok(value),
        }
    }

    /// An INTEGER that counts something: not negative, and whatever does not fit is `u32::MAX`, more than any path can reach.
    pub(crate) fn count_as(&mut self, tag: Tag) -> Result<u32, Malformed> {
        let octets = self.unsigned_as(tag)?;
        let fold = |value: u32, &octet: &u8| value.checked_mul(256)?.checked_add(octet.into());
        Ok(octets.iter().try_fold(0, fold).unwrap_or(u32::MAX))
    }

    /// The octets of a BIT STRING that is a whole number of octets.
    pub(crate) fn bit_string_octets(&mut self) -> Result<&'a [u8], Malformed> {
        match self.value(BIT_STRING)? {
            [0x00, octets @ ..] => Ok(octets),
            _ => Err(self.fault(DerFault::BadValue)),
        }
    }

    /// An optional BIT STRING under an implicit tag, whatever it holds: padding zero (X.690 §11.2.1).
    pub(crate) fn optional_bit_string(&mut self, tag: Tag) -> Result<Option<&'a [u8]>, Malformed> {
        let bad = self.fault(DerFault::BadValue);
        let value = self.optional(tag)?;
        match value {
            None | Some([0]) => Ok(value),
            Some([unused @ 0..=7, .., last]) if last.trailing_zeros() >= u32::from(*unused) => Ok(value),
            Some(_) => Err(bad),
        }
    }

    /// The octets of a named-bit BIT STRING: padding zero, trailing zero bits removed (X.690 §11.2).
    pub(crate) fn named_bits(&mut self) -> Result<&'a [u8], Malformed> {
        self.named_bits_as(BIT_STRING)
    }

    /// The same under an implicit tag.
    pub(crate) fn named_bits_as(&mut self, tag: Tag) -> Result<&'a [u8], Malformed> {
        let bad = self.fault(DerFault::BadValue);
        let value = self.value(tag)?;
        let (&unused, octets) = value.split_first().ok_or(bad)?;
        let Some(&last) = octets.last() else {
            return if unused == 0 { Ok(octets) } else { Err(bad) };
        };
        // The last bit kept must be one, and every bit after it zero: exactly `unused` trailing zeros.
        if unused > 7 || last.trailing_zeros() != u32::from(unused) {
            return Err(bad);
        }
        Ok(octets)
    }

    /// The contents of an OBJECT IDENTIFIER: arcs minimal and complete (X.690 §8.19.2).
    pub(crate) fn oid(&mut self) -> Result<&'a [u8], Malformed> {
        self.oid_as(OID)
    }

    /// The same under an implicit tag.
    pub(crate) fn oid_as(&mut self, tag: Tag) -> Result<&'a [u8], Malformed> {
        let value = self.value(tag)?;
        let mut whole = !value.is_empty();
        // Most of those in a certificate have arcs of one octet only.
        if !value.is_ascii() {
            for &octet in value {
                if whole && octet == 0x80 {
                    return Err(self.fault(DerFault::BadValue));
                }
                whole = octet & 0x80 == 0;
            }
        }
        if whole { Ok(value) } else { Err(self.fault(DerFault::BadValue)) }
    }

    /// Nothing may be left.
    pub(crate) fn finish(self) -> Result<(), Malformed> {
        if self.is_empty() { Ok(()) } else { Err(self.fault(DerFault::TrailingData)) }
    }

    pub(crate) fn fault(&self, fault: DerFault) -> Malformed {
        Malformed { inside: self.inside, fault }
    }

    /// The length whose first octet, `first`, says that others follow: definite, minimal, at most four octets.
    #[inline(never)]
    fn long_length(&self, first: u8, after: &'a [u8]) -> Result<(usize, &'a [u8]), Malformed> {
        let count = usize::from(first & 0x7f);
        if !(1..=4).contains(&count) {
            return Err(self.fault(DerFault::BadLength));
        }
        let Some((octets, rest)) = after.split_at_checked(count) else {
            return Err(self.fault(DerFault::Truncated));
        };
        let length = octets.iter().fold(0u32, |length, &octet| (length << 8) | u32::from(octet));
        let minimal = octets.first() != Some(&0) && length >= 0x80;
        match usize::try_from(length) {
            Ok(length) if minimal => Ok((length, rest)),
            _ => Err(self.fault(DerFault::BadLength)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Element<'_>, Malformed> {
        let mut reader = Reader::new(bytes, "test");
        let element = reader.element()?;
        reader.finish().map(|()| element)
    }

    fn fault(bytes: &[u8]) -> DerFault {
        read(bytes).unwrap_err().fault
    }

    #[test]
    fn accepts_short_and_long_minimal_lengths() {
        assert_eq!(read(&[4, 2, 7, 8]).unwrap().value, [7, 8]);
        let mut long = vec![4, 0x81, 0x80];
        long.resize(3 + 0x80, 1);
        assert_eq!(read(&long).unwrap().value.len(), 0x80);
    }

    #[test]
    fn d01_rejects_ber_lengths() {
        assert_eq!(fault(&[0x30, 0x80, 0, 0]), DerFault::BadLength);
        assert_eq!(fault(&[4, 0x81, 0x7f]), DerFault::BadLength);
        assert_eq!(fault(&[4, 0x82, 0x00, 0x80]), DerFault::BadLength);
        assert_eq!(fault(&[4, 0x85, 1, 0, 0, 0, 0]), DerFault::BadLength);
    }

    #[test]
    fn d01_the_padding_of_a_bit_string_is_zero() {
        let read =
            |bytes: &[u8]| Reader::new(bytes, "test").optional_bit_string(implicit(1)).map(|value| value.is_some());
        assert_eq!(read(&[]), Ok(false));
        for good in [&[0x81, 1, 0][..], &[0x81, 2, 0, 1], &[0x81, 3, 1, 0xff, 0xfe], &[0x81, 2, 7, 0x80]] {
            assert_eq!(read(good), Ok(true), "{good:x?}");
        }
        for bad in [&[0x81, 0][..], &[0x81, 1, 1], &[0x81, 2, 8, 0], &[0x81, 2, 1, 1], &[0x81, 2, 7, 0xc0]] {
            assert_eq!(read(bad).unwrap_err().fault, DerFault::BadValue, "{bad:x?}");
        }
    }

    #[test]
    fn d11_rejects_length_bombs_without_reading() {
        assert_eq!(fault(&[4, 0x84, 0x7f, 0xff, 0xff, 0xff, 1, 2]), DerFault::Truncated);
        assert_eq!(fault(&[4, 0x84, 0xff, 0xff, 0xff, 0xff, 1, 2]), DerFault::Truncated);
        assert_eq!(fault(&[4, 0x88, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), DerFault::BadLength);
    }

    #[test]
    fn rejects_truncated_trailing_and_high_tags() {
        assert_eq!(fault(&[]), DerFault::Truncated);
        assert_eq!(fault(&[4]), DerFault::Truncated);
        assert_eq!(fault(&[4, 2, 1]), DerFault::Truncated);
        assert_eq!(fault(&[4, 0, 9]), DerFault::TrailingData);
        assert_eq!(fault(&[0x1f, 0x81, 1, 0]), DerFault::UnexpectedTag);
    }

    #[test]
    fn d01_rejects_constructed_strings_and_primitive_structures() {
        for tag in [0x23, 0x24, 0x2c, 0x33, 0x36, 0x22, 0x21, 0x26, 0x10, 0x11] {
            assert_eq!(fault(&[tag, 0]), DerFault::UnexpectedTag, "{tag:#x}");
        }
        for tag in [0x30, 0x31, 0x04, 0x0c, 0x80, 0xa0, 0x9e, 0xbe] {
            assert!(read(&[tag, 0]).is_ok(), "{tag:#x}");
        }
    }

    #[test]
    fn integers_are_minimal() {
        let integer = |bytes: &'static [u8]| Reader::new(bytes, "test").integer();
        assert_eq!(integer(&[2, 2, 0, 0x80]).unwrap(), [0, 0x80]);
        assert!(integer(&[2, 2, 0, 0x7f]).is_err());
        assert!(integer(&[2, 2, 0xff, 0x80]).is_err());
        assert!(integer(&[2, 0]).is_err());
        assert!(Reader::new(&[2, 1, 0x80], "test").unsigned().is_err());
        assert_eq!(Reader::new(&[2, 1, 0], "test").unsigned().unwrap(), [0]);
    }

    #[test]
    fn d15_named_bits_have_zero_padding_and_no_trailing_zero_bits() {
        let bits = |bytes: &'static [u8]| Reader::new(bytes, "test").named_bits();
        assert_eq!(bits(&[3, 2, 2, 0x04]).unwrap(), [0x04]);
        assert!(bits(&[3, 2, 9, 0x04]).is_err());
        assert!(bits(&[3, 2, 3, 0x04]).is_err(), "padding bit set");
        assert!(bits(&[3, 2, 1, 0x04]).is_err(), "trailing zero bit kept");
        assert!(bits(&[3, 1, 1]).is_err());
        assert!(bits(&[3, 0]).is_err());
        assert_eq!(bits(&[3, 1, 0]).unwrap(), []);
    }

    #[test]
    fn booleans_that_equal_their_default_are_not_written() {
        assert!(Reader::new(&[1, 1, 0xff], "test").default_false().unwrap());
        assert!(Reader::new(&[1, 1, 0], "test").default_false().is_err());
        assert!(Reader::new(&[1, 1, 1], "test").default_false().is_err());
    }

    #[test]
    fn object_identifiers_have_minimal_whole_arcs() {
        assert!(Reader::new(&[6, 2, 0x80, 1], "test").oid().is_err());
        assert!(Reader::new(&[6, 1, 0x81], "test").oid().is_err());
        assert!(Reader::new(&[6, 0], "test").oid().is_err());
        assert_eq!(Reader::new(&[6, 3, 0x55, 0x1d, 0x13], "test").oid().unwrap(), [0x55, 0x1d, 0x13]);
    }
}
