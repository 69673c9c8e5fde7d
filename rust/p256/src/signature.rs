//! ECDSA signatures as numbers. RFC 3279 §2.2.3: `SEQUENCE { r INTEGER, s INTEGER }`, in DER.
use crate::words::{self, N, Words};

/// A signature whose r and s are in 1..n: one that may be valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Signature {
    pub(crate) r: Words,
    pub(crate) s: Words,
}

impl Signature {
    /// Reads DER, strictly: minimal lengths and integers, nothing left over. `None` if it is something else, or r or s is out of
    /// range, in which case the signature is not valid under any key.
    pub fn from_der(der: &[u8]) -> Option<Self> {
        let (inside, []) = element(0x30, der)? else { return None };
        let (r, inside) = element(0x02, inside)?;
        let (s, []) = element(0x02, inside)? else { return None };
        Self::from_words(unsigned(r)?, unsigned(s)?)
    }

    /// From r and s, 32 bytes each, most significant first. `None` if one is out of range.
    pub fn from_scalars(r: &[u8; 32], s: &[u8; 32]) -> Option<Self> {
        Self::from_words(words::from_be_bytes(r), words::from_be_bytes(s))
    }

    fn from_words(r: Words, s: Words) -> Option<Self> {
        let fits = |scalar| scalar != [0; 4] && words::less(scalar, N);
        (fits(r) && fits(s)).then_some(Self { r, s })
    }
}

/// The contents of an element with this tag, and what follows. A signature has at most 70 octets of contents, and a length below 128
/// has one octet only in DER.
fn element(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&[found, length], rest) = der.split_first_chunk()?;
    if found != tag || length >= 0x80 {
        return None;
    }
    rest.split_at_checked(length.into())
}

/// The number of a minimal INTEGER (X.690 §8.3.2) that is not negative and below 2^256.
fn unsigned(contents: &[u8]) -> Option<Words> {
    let octets = match contents {
        [0x00, 0x80..=0xff, ..] => &contents[1..],
        [0x00] | [0x01..=0x7f, ..] => contents,
        _ => return None,
    };
    let mut number = [0; 32];
    let start = number.len().checked_sub(octets.len())?;
    number[start..].copy_from_slice(octets);
    Some(words::from_be_bytes(&number))
}
