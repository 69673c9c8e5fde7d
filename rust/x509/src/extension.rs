//! The extensions as named slices, and the few whose meaning a judgement needs. RFC 5280 §4.2.

use crate::der::{self, Reader};
use crate::error::Error;

/// Certificates in use carry fewer than twenty; the bound keeps the search for duplicates short.
const EXTENSIONS_COUNT_MAX: usize = 64;

/// The contents of each known extension's OCTET STRING, and the first unknown critical one.
///
/// Nothing is interpreted here: a rule that needs an extension parses it then.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extensions<'a> {
    pub(crate) authority_key_identifier: Option<&'a [u8]>,
    pub(crate) basic_constraints: Option<&'a [u8]>,
    pub(crate) certificate_policies: Option<Extension<'a>>,
    pub(crate) extended_key_usage: Option<&'a [u8]>,
    pub(crate) inhibit_any_policy: Option<&'a [u8]>,
    pub(crate) key_usage: Option<&'a [u8]>,
    pub(crate) name_constraints: Option<&'a [u8]>,
    pub(crate) policy_constraints: Option<&'a [u8]>,
    pub(crate) policy_mappings: Option<&'a [u8]>,
    pub(crate) subject_alt_name: Option<&'a [u8]>,
    pub(crate) subject_key_identifier: Option<&'a [u8]>,
    pub(crate) unknown_critical: Option<&'a [u8]>,
}

/// One Extension.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extension<'a> {
    pub(crate) oid: &'a [u8],
    pub(crate) critical: bool,
    pub(crate) value: &'a [u8],
}

impl<'a> Extensions<'a> {
    /// Reads the contents of `[3]`: SEQUENCE SIZE (1..MAX) OF Extension, each object identifier at most once (§4.2).
    pub(crate) fn parse(mut reader: Reader<'a>) -> Result<Self, Error> {
        let mut list = reader.inside(der::SEQUENCE, "extensions")?;
        reader.finish()?;
        let mut extensions = Self::default();
        let mut seen: Vec<&'a [u8]> = Vec::new();
        loop {
            let mut inside = list.inside(der::SEQUENCE, "extension")?;
            let oid = inside.oid()?;
            let critical = inside.default_false()?;
            let value = inside.value(der::OCTET_STRING)?;
            inside.finish()?;
            if seen.contains(&oid) {
                return Err(Error::DuplicateExtension);
            }
            if seen.len() >= EXTENSIONS_COUNT_MAX {
                return Err(Error::TooManyExtensions { limit: EXTENSIONS_COUNT_MAX });
            }
            seen.push(oid);
            extensions.keep(Extension { oid, critical, value });
            if list.is_empty() {
                return Ok(extensions);
            }
        }
    }

    fn keep(&mut self, extension: Extension<'a>) {
        let slot = match extension.oid {
            // id-ce, 2.5.29.*
            [0x55, 0x1d, 14] => &mut self.subject_key_identifier,
            [0x55, 0x1d, 15] => &mut self.key_usage,
            [0x55, 0x1d, 17] => &mut self.subject_alt_name,
            [0x55, 0x1d, 19] => &mut self.basic_constraints,
            [0x55, 0x1d, 30] => &mut self.name_constraints,
            [0x55, 0x1d, 32] => return self.certificate_policies = Some(extension),
            [0x55, 0x1d, 33] => &mut self.policy_mappings,
            [0x55, 0x1d, 35] => &mut self.authority_key_identifier,
            [0x55, 0x1d, 36] => &mut self.policy_constraints,
            [0x55, 0x1d, 37] => &mut self.extended_key_usage,
            [0x55, 0x1d, 54] => &mut self.inhibit_any_policy,
            // §4.2: an unrecognised extension may be ignored unless it is critical.
            oid => {
                if extension.critical && self.unknown_critical.is_none() {
                    self.unknown_critical = Some(oid);
                }
                return;
            }
        };
        *slot = Some(extension.value);
    }

    /// §4.2.1.9. Absent: not a CA.
    ///
    /// # Errors
    /// `Der` for a malformed value, `PathLenWithoutCa` for a path length where CA is not asserted.
    pub fn basic_constraints(&self) -> Result<BasicConstraints, Error> {
        let Some(value) = self.basic_constraints else {
            return Ok(BasicConstraints { ca: false, path_len: None });
        };
        let mut outer = Reader::new(value, "basicConstraints");
        let mut inside = outer.inside(der::SEQUENCE, "basicConstraints")?;
        outer.finish()?;
        let ca = inside.default_false()?;
        let path_len = if inside.is_empty() {
            None
        } else {
            let octets = inside.unsigned()?;
            // A path length that does not fit is no constraint that any path could reach.
            Some(
                octets
                    .iter()
                    .try_fold(0u32, |value, &octet| value.checked_mul(256)?.checked_add(octet.into()))
                    .unwrap_or(u32::MAX),
            )
        };
        inside.finish()?;
        // §4.2.1.9: pathLenConstraint is meaningful only if cA is asserted and keyUsage asserts keyCertSign.
        if path_len.is_some() && !ca { Err(Error::PathLenWithoutCa) } else { Ok(BasicConstraints { ca, path_len }) }
    }

    /// §4.2.1.3. Absent: `None`, every use allowed.
    ///
    /// # Errors
    /// `Der` for a malformed or empty bit string.
    pub fn key_usage(&self) -> Result<Option<KeyUsage>, Error> {
        let Some(value) = self.key_usage else { return Ok(None) };
        let mut outer = Reader::new(value, "keyUsage");
        let bits = outer.named_bits()?;
        // §4.2.1.3: when present, at least one bit must be set. Nine bits are named.
        let Some(&first) = bits.first().filter(|_| bits.len() <= 2) else {
            return Err(outer.fault(der::DerFault::BadValue));
        };
        outer.finish()?;
        Ok(Some(KeyUsage { first }))
    }

    /// Whether extendedKeyUsage (§4.2.1.12) allows `purpose`; absent allows everything. `any` says whether
    /// anyExtendedKeyUsage counts.
    pub(crate) fn allows_purpose(&self, purpose: &[u8], any: AnyPurpose) -> Result<bool, Error> {
        let Some(value) = self.extended_key_usage else { return Ok(true) };
        let mut outer = Reader::new(value, "extKeyUsage");
        let mut list = outer.inside(der::SEQUENCE, "extKeyUsage")?;
        outer.finish()?;
        let mut allowed = false;
        loop {
            let oid = list.oid()?;
            allowed |= oid == purpose || (any == AnyPurpose::Counts && oid == ANY_EXTENDED_KEY_USAGE);
            if list.is_empty() {
                return Ok(allowed);
            }
        }
    }
}

/// anyExtendedKeyUsage, 2.5.29.37.0.
const ANY_EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25, 0x00];

/// Whether anyExtendedKeyUsage stands for the purpose asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AnyPurpose {
    Counts,
    DoesNotCount,
}

/// Whether the subject is a CA, and how many intermediates may follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BasicConstraints {
    /// The cA boolean.
    pub ca: bool,
    /// The pathLenConstraint, capped at `u32::MAX`.
    pub path_len: Option<u32>,
}

/// What the key may be used for; only the bits that a path needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyUsage {
    first: u8,
}

impl KeyUsage {
    /// digitalSignature, bit 0.
    pub fn digital_signature(self) -> bool {
        self.first & 0x80 != 0
    }

    /// keyCertSign, bit 5.
    pub fn key_cert_sign(self) -> bool {
        self.first & 0x04 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn basic(value: &[u8]) -> Result<BasicConstraints, Error> {
        Extensions { basic_constraints: Some(value), ..Extensions::default() }.basic_constraints()
    }

    #[test]
    fn basic_constraints_are_read_strictly() {
        assert_eq!(basic(&[0x30, 0]), Ok(BasicConstraints { ca: false, path_len: None }));
        assert_eq!(basic(&[0x30, 3, 1, 1, 0xff]), Ok(BasicConstraints { ca: true, path_len: None }));
        assert_eq!(basic(&[0x30, 6, 1, 1, 0xff, 2, 1, 3]), Ok(BasicConstraints { ca: true, path_len: Some(3) }));
        let huge = [0x30, 10, 1, 1, 0xff, 2, 5, 1, 0, 0, 0, 0];
        assert_eq!(basic(&huge), Ok(BasicConstraints { ca: true, path_len: Some(u32::MAX) }));
        assert_eq!(basic(&[0x30, 3, 2, 1, 0]), Err(Error::PathLenWithoutCa));
        for bad in [&[0x30, 3, 1, 1, 0][..], &[0x30, 6, 1, 1, 0xff, 2, 1, 0x80], &[0x30, 0, 0], &[]] {
            assert!(matches!(basic(bad), Err(Error::Der { .. })), "{bad:?}");
        }
    }

    #[test]
    fn key_usage_must_assert_something() {
        let usage = |value: &'static [u8]| Extensions { key_usage: Some(value), ..Extensions::default() }.key_usage();
        assert!(usage(&[3, 2, 2, 0x04]).unwrap().unwrap().key_cert_sign());
        assert!(usage(&[3, 2, 7, 0x80]).unwrap().unwrap().digital_signature());
        assert!(usage(&[3, 1, 0]).is_err());
        assert!(usage(&[3, 4, 0, 1, 1, 1]).is_err());
        assert!(usage(&[3, 2, 7, 0x80, 0]).is_err());
    }

    #[test]
    fn extended_key_usage_is_not_empty() {
        let list = |value: &'static [u8]| {
            Extensions { extended_key_usage: Some(value), ..Extensions::default() }
                .allows_purpose(&[1], AnyPurpose::Counts)
        };
        assert_eq!(list(&[0x30, 3, 6, 1, 1]), Ok(true));
        assert_eq!(list(&[0x30, 3, 6, 1, 2]), Ok(false));
        assert_eq!(list(&[0x30, 6, 6, 4, 0x55, 0x1d, 0x25, 0x00]), Ok(true));
        assert!(list(&[0x30, 0]).is_err());
    }
}
