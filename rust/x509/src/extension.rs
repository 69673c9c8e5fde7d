//! The extensions as named slices, and the few whose meaning a judgement needs. RFC 5280 §4.2.

use crate::der::{self, DerFault, Malformed, Reader};
use crate::error::Error;

/// Certificates in use carry fewer than twenty; the bound keeps the search for duplicates short.
const EXTENSIONS_COUNT_MAX: usize = 64;

/// The contents of each known extension's OCTET STRING, which of them are critical, and the first unknown critical one.
///
/// Nothing is interpreted here: a rule that needs an extension parses it then.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extensions<'a> {
    pub(crate) authority_info_access: Option<&'a [u8]>,
    pub(crate) authority_key_identifier: Option<&'a [u8]>,
    pub(crate) basic_constraints: Option<&'a [u8]>,
    pub(crate) certificate_policies: Option<&'a [u8]>,
    pub(crate) crl_distribution_points: Option<&'a [u8]>,
    pub(crate) extended_key_usage: Option<&'a [u8]>,
    pub(crate) inhibit_any_policy: Option<&'a [u8]>,
    pub(crate) key_usage: Option<&'a [u8]>,
    pub(crate) name_constraints: Option<&'a [u8]>,
    pub(crate) policy_constraints: Option<&'a [u8]>,
    pub(crate) policy_mappings: Option<&'a [u8]>,
    pub(crate) subject_alt_name: Option<&'a [u8]>,
    pub(crate) subject_key_identifier: Option<&'a [u8]>,
    pub(crate) unknown_critical: Option<&'a [u8]>,
    pub(crate) critical: Known,
    pub(crate) all: &'a [u8],
}

/// A set of known extensions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Known(u16);

impl Known {
    pub(crate) const AUTHORITY_INFO_ACCESS: Self = Self(1);
    pub(crate) const AUTHORITY_KEY_IDENTIFIER: Self = Self(1 << 1);
    pub(crate) const BASIC_CONSTRAINTS: Self = Self(1 << 2);
    pub(crate) const CERTIFICATE_POLICIES: Self = Self(1 << 3);
    pub(crate) const CRL_DISTRIBUTION_POINTS: Self = Self(1 << 4);
    pub(crate) const EXTENDED_KEY_USAGE: Self = Self(1 << 5);
    pub(crate) const INHIBIT_ANY_POLICY: Self = Self(1 << 6);
    pub(crate) const KEY_USAGE: Self = Self(1 << 7);
    pub(crate) const NAME_CONSTRAINTS: Self = Self(1 << 8);
    pub(crate) const POLICY_CONSTRAINTS: Self = Self(1 << 9);
    pub(crate) const POLICY_MAPPINGS: Self = Self(1 << 10);
    pub(crate) const SUBJECT_ALT_NAME: Self = Self(1 << 11);
    pub(crate) const SUBJECT_KEY_IDENTIFIER: Self = Self(1 << 12);
}

/// One Extension.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extension<'a> {
    pub(crate) oid: &'a [u8],
    pub(crate) critical: bool,
    pub(crate) value: &'a [u8],
}

impl<'a> Extension<'a> {
    pub(crate) fn parse(list: &mut Reader<'a>) -> Result<Self, Malformed> {
        let mut inside = list.inside(der::SEQUENCE, "extension")?;
        let oid = inside.oid()?;
        let critical = inside.default_false()?;
        let value = inside.value(der::OCTET_STRING)?;
        inside.finish()?;
        Ok(Self { oid, critical, value })
    }
}

impl<'a> Extensions<'a> {
    /// Reads the contents of `[3]`: SEQUENCE SIZE (1..MAX) OF Extension, each object identifier at most once (§4.2).
    pub(crate) fn parse(mut reader: Reader<'a>) -> Result<Self, Error> {
        let mut list = reader.inside(der::SEQUENCE, "extensions")?;
        reader.finish()?;
        let mut extensions = Self { all: list.rest(), ..Self::default() };
        let mut unknown: Vec<&'a [u8]> = Vec::new();
        let mut count = 0usize;
        loop {
            let extension = Extension::parse(&mut list)?;
            count = count.saturating_add(1);
            if count > EXTENSIONS_COUNT_MAX {
                return Err(Error::TooManyExtensions { limit: EXTENSIONS_COUNT_MAX });
            }
            if let Some((slot, bit)) = extensions.slot(extension.oid) {
                if slot.replace(extension.value).is_some() {
                    return Err(Error::DuplicateExtension);
                }
                if extension.critical {
                    extensions.critical.0 |= bit.0;
                }
            } else {
                if unknown.contains(&extension.oid) {
                    return Err(Error::DuplicateExtension);
                }
                unknown.push(extension.oid);
                // §4.2: an unrecognised extension may be ignored unless it is critical.
                if extension.critical && extensions.unknown_critical.is_none() {
                    extensions.unknown_critical = Some(extension.oid);
                }
            }
            if list.is_empty() {
                return Ok(extensions);
            }
        }
    }

    /// Where a known extension is kept.
    fn slot(&mut self, oid: &[u8]) -> Option<(&mut Option<&'a [u8]>, Known)> {
        Some(match oid {
            // id-ce, 2.5.29.*
            [0x55, 0x1d, 14] => (&mut self.subject_key_identifier, Known::SUBJECT_KEY_IDENTIFIER),
            [0x55, 0x1d, 15] => (&mut self.key_usage, Known::KEY_USAGE),
            [0x55, 0x1d, 17] => (&mut self.subject_alt_name, Known::SUBJECT_ALT_NAME),
            [0x55, 0x1d, 19] => (&mut self.basic_constraints, Known::BASIC_CONSTRAINTS),
            [0x55, 0x1d, 30] => (&mut self.name_constraints, Known::NAME_CONSTRAINTS),
            [0x55, 0x1d, 31] => (&mut self.crl_distribution_points, Known::CRL_DISTRIBUTION_POINTS),
            [0x55, 0x1d, 32] => (&mut self.certificate_policies, Known::CERTIFICATE_POLICIES),
            [0x55, 0x1d, 33] => (&mut self.policy_mappings, Known::POLICY_MAPPINGS),
            [0x55, 0x1d, 35] => (&mut self.authority_key_identifier, Known::AUTHORITY_KEY_IDENTIFIER),
            [0x55, 0x1d, 36] => (&mut self.policy_constraints, Known::POLICY_CONSTRAINTS),
            [0x55, 0x1d, 37] => (&mut self.extended_key_usage, Known::EXTENDED_KEY_USAGE),
            [0x55, 0x1d, 54] => (&mut self.inhibit_any_policy, Known::INHIBIT_ANY_POLICY),
            // id-pe-authorityInfoAccess, 1.3.6.1.5.5.7.1.1
            [0x2b, 6, 1, 5, 5, 7, 1, 1] => (&mut self.authority_info_access, Known::AUTHORITY_INFO_ACCESS),
            _ => return None,
        })
    }

    /// Whether a known extension is there and marked critical.
    pub(crate) fn is_critical(&self, extension: Known) -> bool {
        self.critical.0 & extension.0 != 0
    }

    /// Every extension in the order written: object identifier, whether it is critical, contents of its OCTET STRING.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], bool, &'a [u8])> {
        let mut list = Reader::new(self.all, "extensions");
        // The list was read once when the certificate was parsed; it cannot fail now.
        std::iter::from_fn(move || {
            let extension = Extension::parse(&mut list).ok()?;
            Some((extension.oid, extension.critical, extension.value))
        })
    }

    /// §4.2.1.9. Absent: not a CA.
    ///
    /// # Errors
    /// `Der` for a malformed value, `PathLenWithoutCa` for a path length where CA is not asserted.
    pub fn basic_constraints(&self) -> Result<BasicConstraints, Error> {
        let Some(value) = self.basic_constraints else {
            return Ok(BasicConstraints { ca: false, path_len: None });
        };
        let mut inside = Reader::only(value, der::SEQUENCE, "basicConstraints")?;
        let ca = inside.default_false()?;
        let path_len = if inside.is_empty() { None } else { Some(inside.count_as(der::INTEGER)?) };
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
            return Err(outer.fault(DerFault::BadValue).into());
        };
        outer.finish()?;
        Ok(Some(KeyUsage { first }))
    }

    /// Whether extendedKeyUsage (§4.2.1.12) allows `purpose`; `None` when there is none. `any` says whether
    /// anyExtendedKeyUsage counts.
    pub(crate) fn allows_purpose(&self, purpose: &[u8], any: AnyPurpose) -> Result<Option<bool>, Error> {
        let Some(value) = self.extended_key_usage else { return Ok(None) };
        let mut list = Reader::only(value, der::SEQUENCE, "extKeyUsage")?;
        let mut allowed = false;
        loop {
            let oid = list.oid()?;
            allowed |= oid == purpose || (any == AnyPurpose::Counts && oid == ANY_EXTENDED_KEY_USAGE);
            if list.is_empty() {
                return Ok(Some(allowed));
            }
        }
    }

    /// §4.2.1.2.
    pub(crate) fn subject_key_identifier(&self) -> Result<Option<&'a [u8]>, Error> {
        let Some(value) = self.subject_key_identifier else { return Ok(None) };
        let mut outer = Reader::new(value, "subjectKeyIdentifier");
        let identifier = outer.value(der::OCTET_STRING)?;
        outer.finish()?;
        Ok(Some(identifier))
    }

    /// §4.2.1.1.
    pub(crate) fn authority_key_identifier(&self) -> Result<Option<AuthorityKeyIdentifier<'a>>, Error> {
        let Some(value) = self.authority_key_identifier else { return Ok(None) };
        let mut inside = Reader::only(value, der::SEQUENCE, "authorityKeyIdentifier")?;
        let key_identifier = inside.optional(der::implicit(0))?;
        let issuer = inside.optional(der::context(1))?;
        let serial_number =
            if inside.next_is(der::implicit(2)) { Some(inside.integer_as(der::implicit(2))?) } else { None };
        inside.finish()?;
        Ok(Some(AuthorityKeyIdentifier { key_identifier, issuer, serial_number }))
    }

    /// §4.2.2.1: SEQUENCE SIZE (1..MAX) OF SEQUENCE { method, location }. Pointers are never followed (`trust.md` §7); a malformed
    /// extension says that the issuer does not know what it signs.
    pub(crate) fn check_authority_info_access(&self) -> Result<(), Error> {
        let Some(value) = self.authority_info_access else { return Ok(()) };
        let mut list = Reader::only(value, der::SEQUENCE, "authorityInfoAccess")?;
        loop {
            let mut access = list.inside(der::SEQUENCE, "accessDescription")?;
            access.oid()?;
            access.element()?;
            access.finish()?;
            if list.is_empty() {
                return Ok(());
            }
        }
    }
}

/// anyExtendedKeyUsage, 2.5.29.37.0.
pub(crate) const ANY_EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25, 0x00];

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

/// Whose key signed the certificate, as it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AuthorityKeyIdentifier<'a> {
    pub(crate) key_identifier: Option<&'a [u8]>,
    pub(crate) issuer: Option<&'a [u8]>,
    pub(crate) serial_number: Option<&'a [u8]>,
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

    /// cRLSign, bit 6.
    pub fn crl_sign(self) -> bool {
        self.first & 0x02 != 0
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
        assert!(usage(&[3, 2, 1, 0x06]).unwrap().unwrap().crl_sign());
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
        assert_eq!(list(&[0x30, 3, 6, 1, 1]), Ok(Some(true)));
        assert_eq!(list(&[0x30, 3, 6, 1, 2]), Ok(Some(false)));
        assert_eq!(list(&[0x30, 6, 6, 4, 0x55, 0x1d, 0x25, 0x00]), Ok(Some(true)));
        assert!(list(&[0x30, 0]).is_err());
        assert_eq!(Extensions::default().allows_purpose(&[1], AnyPurpose::Counts), Ok(None));
    }

    #[test]
    fn key_identifiers_are_read_strictly() {
        let authority = |value: &'static [u8]| {
            Extensions { authority_key_identifier: Some(value), ..Extensions::default() }.authority_key_identifier()
        };
        assert_eq!(authority(&[0x30, 3, 0x80, 1, 7]).unwrap().unwrap().key_identifier, Some(&[7][..]));
        assert_eq!(authority(&[0x30, 0]).unwrap().unwrap().key_identifier, None);
        assert!(authority(&[0x30, 4, 0x82, 2, 0, 1]).is_err());
        assert!(authority(&[0x30, 3, 0xa0, 1, 7]).is_err());
        assert!(authority(&[0x30, 3, 0x80, 1, 7, 0]).is_err());
        let subject = |value: &'static [u8]| {
            Extensions { subject_key_identifier: Some(value), ..Extensions::default() }.subject_key_identifier()
        };
        assert_eq!(subject(&[4, 1, 7]), Ok(Some(&[7][..])));
        assert!(subject(&[4, 1, 7, 0]).is_err());
    }
}
