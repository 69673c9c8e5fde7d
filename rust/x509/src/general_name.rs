//! General names: the alternative names of a certificate, and what each kind must look like. RFC 5280 §4.2.1.6.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::der::{self, DerFault, Malformed, Reader};
use crate::error::Error;
use crate::extension::Extensions;
use crate::name::{Name, Text, brief};

/// One `GeneralName`. The octets of a string are as written: whether they are well-formed is asked by the rule that uses them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GeneralName<'a> {
    Rfc822(&'a [u8]),
    Dns(&'a [u8]),
    Directory(Name<'a>),
    Uri(&'a [u8]),
    Ip(&'a [u8]),
    /// A kind whose meaning is not known here: its name, and the contents.
    Other(&'static str, &'a [u8]),
}

impl<'a> GeneralName<'a> {
    pub(crate) fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let element = reader.element()?;
        // Which kinds are constructed follows from their types: a SEQUENCE, or a CHOICE that is tagged explicitly.
        Ok(match element.tag {
            0xa0 => {
                let mut inside = Reader::new(element.value, "otherName");
                inside.oid()?;
                let mut value = inside.inside(der::context(0), "otherName")?;
                inside.finish()?;
                value.element()?;
                value.finish()?;
                Self::Other("otherName", element.value)
            }
            0x81 => Self::Rfc822(element.value),
            0x82 => Self::Dns(element.value),
            0xa3 => Self::Other("x400Address", element.value),
            0xa4 => {
                let mut inside = Reader::new(element.value, "directoryName");
                let name = Name::parse(&mut inside)?;
                inside.finish()?;
                Self::Directory(name)
            }
            0xa5 => Self::Other("ediPartyName", element.value),
            0x86 => Self::Uri(element.value),
            0x87 => Self::Ip(element.value),
            0x88 => {
                Reader::new(element.der, "registeredID").oid_as(der::implicit(8))?;
                Self::Other("registeredID", element.value)
            }
            _ => return Err(reader.fault(DerFault::UnexpectedTag)),
        })
    }

    /// Whether both are of one kind, so that a constraint on one says something about the other.
    pub(crate) fn is_like(&self, other: &GeneralName<'_>) -> bool {
        match (self, other) {
            (Self::Other(kind, _), GeneralName::Other(other, _)) => kind == other,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }

    /// The contents.
    pub(crate) fn octets(&self) -> &'a [u8] {
        match self {
            Self::Rfc822(octets)
            | Self::Dns(octets)
            | Self::Uri(octets)
            | Self::Ip(octets)
            | Self::Other(_, octets) => octets,
            Self::Directory(name) => name.der(),
        }
    }

    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Rfc822(_) => "rfc822Name",
            Self::Dns(_) => "dNSName",
            Self::Directory(_) => "directoryName",
            Self::Uri(_) => "uniformResourceIdentifier",
            Self::Ip(_) => "iPAddress",
            Self::Other(kind, _) => kind,
        }
    }
}

impl fmt::Display for GeneralName<'_> {
    /// As openssl's configuration writes them; whatever is not printable is escaped.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rfc822(text) => write!(formatter, "email:{}", Text(text)),
            Self::Dns(text) => write!(formatter, "DNS:{}", Text(text)),
            Self::Directory(name) => write!(formatter, "dirName:{name}"),
            Self::Uri(text) => write!(formatter, "URI:{}", Text(text)),
            Self::Ip(octets) => match (address(octets), octets.split_at_checked(octets.len().div_euclid(2))) {
                (Some(address), _) => write!(formatter, "IP:{address}"),
                (None, Some((network, mask))) => match (address(network), address(mask)) {
                    (Some(network), Some(mask)) => write!(formatter, "IP:{network}/{mask}"),
                    _ => write!(formatter, "IP:{}", Raw(octets)),
                },
                (None, None) => write!(formatter, "IP:{}", Raw(octets)),
            },
            Self::Other(kind, contents) => write!(formatter, "{kind}:{}", Raw(contents)),
        }
    }
}

/// Octets as `#hex`, cut after the first sixteen.
struct Raw<'a>(&'a [u8]);

impl fmt::Display for Raw<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("#")?;
        self.0.iter().take(16).try_for_each(|octet| write!(formatter, "{octet:02x}"))?;
        formatter.write_str(if self.0.len() > 16 { "…" } else { "" })
    }
}

/// An address of four or sixteen octets.
pub(crate) fn address(octets: &[u8]) -> Option<IpAddr> {
    match octets.len() {
        4 => <[u8; 4]>::try_from(octets).ok().map(|octets| IpAddr::V4(Ipv4Addr::from(octets))),
        16 => <[u8; 16]>::try_from(octets).ok().map(|octets| IpAddr::V6(Ipv6Addr::from(octets))),
        _ => None,
    }
}

/// The alternative names of a certificate, one after another.
#[derive(Clone, Debug)]
pub(crate) struct GeneralNames<'a>(Reader<'a>);

impl<'a> GeneralNames<'a> {
    /// The next, or `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<GeneralName<'a>>, Malformed> {
        if self.0.is_empty() { Ok(None) } else { GeneralName::parse(&mut self.0).map(Some) }
    }

    /// `GeneralNames` from the contents of its SEQUENCE.
    pub(crate) fn of(contents: &'a [u8], inside: &'static str) -> Self {
        Self(Reader::new(contents, inside))
    }
}

impl<'a> Extensions<'a> {
    /// §4.2.1.6: SEQUENCE SIZE (1..MAX) OF `GeneralName`; without the extension, none.
    pub(crate) fn subject_alt_names(&self) -> Result<GeneralNames<'a>, Malformed> {
        let Some(value) = self.subject_alt_name else { return Ok(GeneralNames::of(&[], "subjectAltName")) };
        let list = Reader::only(value, der::SEQUENCE, "subjectAltName")?;
        if list.is_empty() { Err(list.fault(DerFault::BadValue)) } else { Ok(GeneralNames(list)) }
    }

    /// The alternative names, shown, for people.
    ///
    /// # Errors
    /// `Der` for a malformed extension.
    pub fn subject_alt_names_shown(&self) -> Result<Vec<String>, Error> {
        let mut names = self.subject_alt_names()?;
        let mut shown = Vec::new();
        while let Some(name) = names.next()? {
            shown.push(name.to_string());
        }
        Ok(shown)
    }

    /// That the extension, if any, is well-formed.
    pub(crate) fn check_subject_alt_names(&self) -> Result<(), Error> {
        let mut names = self.subject_alt_names()?;
        while let Some(name) = names.next()? {
            // An address is four octets or sixteen (§4.2.1.6); strings are IA5.
            let well_formed = match name {
                GeneralName::Ip(octets) => address(octets).is_some(),
                GeneralName::Rfc822(text) | GeneralName::Dns(text) | GeneralName::Uri(text) => text.is_ascii(),
                GeneralName::Directory(_) | GeneralName::Other(..) => true,
            };
            if !well_formed {
                return Err(Error::GeneralNameInvalid { name: brief(&name) });
            }
        }
        Ok(())
    }
}

/// Whether underscores may stand in a host name. RFC 1034 §3.5 and RFC 5280 §4.2.1.6 know none; names that people configure do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Underscores {
    Allow,
    Refuse,
}

/// RFC 1034 §3.5 as RFC 1123 §2.1 relaxes it: labels of 1–63 letters, digits and inner hyphens, at most 253 in all, no root dot. What
/// ends in a number is an address to whoever resolves it, not a name (RFC 3696 §2).
pub(crate) fn is_host_name(name: &[u8], underscores: Underscores) -> bool {
    let allowed = |octet: &u8| {
        octet.is_ascii_alphanumeric() || *octet == b'-' || (*octet == b'_' && underscores == Underscores::Allow)
    };
    let label = |label: &[u8]| {
        (1..=63).contains(&label.len())
            && label.iter().all(allowed)
            && label.first() != Some(&b'-')
            && label.last() != Some(&b'-')
    };
    let number = |label: &[u8]| label.iter().all(u8::is_ascii_digit);
    let mut labels = name.split(|octet| *octet == b'.');
    name.len() <= 253 && labels.clone().all(label) && !labels.next_back().is_some_and(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_follow_rfc_1123() {
        for good in ["a", "example.com", "1.example", "a-b.c", "xn--bcher-kva.example", "1.a1"] {
            assert!(is_host_name(good.as_bytes(), Underscores::Refuse), "{good}");
        }
        let long = "a".repeat(64);
        for bad in
            ["", ".", "a.", ".a", "a..b", "-a", "a-", "*.a", "a b", "é", "a\0b", "a_b", "192.0.2.1", "a.1", &long]
        {
            assert!(!is_host_name(bad.as_bytes(), Underscores::Refuse), "{bad}");
        }
        assert!(is_host_name(b"a_b.example", Underscores::Allow));
        assert!(!is_host_name("a.".repeat(127).as_bytes(), Underscores::Refuse));
    }

    #[test]
    fn names_are_shown_escaped() {
        assert_eq!(GeneralName::Dns(b"a\n\x1b[31m").to_string(), "DNS:a\\0A\\1B[31m");
        assert_eq!(GeneralName::Ip(&[192, 0, 2, 1]).to_string(), "IP:192.0.2.1");
        assert_eq!(GeneralName::Ip(&[192, 0, 2, 0, 255, 255, 255, 0]).to_string(), "IP:192.0.2.0/255.255.255.0");
        assert_eq!(GeneralName::Ip(&[1, 2, 3]).to_string(), "IP:#010203");
        assert_eq!(
            GeneralName::Other("registeredID", &[0x2a; 17]).to_string(),
            format!("registeredID:#{}…", "2a".repeat(16))
        );
    }

    #[test]
    fn alternative_names_are_not_empty_and_of_known_kinds() {
        let check = |value: &[u8]| {
            Extensions { subject_alt_name: Some(value), ..Extensions::default() }.check_subject_alt_names()
        };
        assert_eq!(check(&[0x30, 3, 0x82, 1, b'a']), Ok(()));
        // What nothing is compared with is read all the same: an object identifier, with one value where it has one.
        for good in [&[0xa0, 7, 6, 1, 0x2a, 0xa0, 2, 5, 0][..], &[0x88, 1, 0x2a]] {
            assert_eq!(check(&[&[0x30, u8::try_from(good.len()).unwrap()], good].concat()), Ok(()), "{good:x?}");
        }
        for bad in [
            &[0xa0, 3, 6, 1, 0x2a][..],
            &[0xa0, 5, 6, 1, 0x2a, 0xa0, 0],
            &[0xa0, 7, 4, 1, 0x2a, 0xa0, 2, 5, 0],
            &[0xa0, 7, 6, 1, 0x80, 0xa0, 2, 5, 0],
            &[0xa0, 7, 6, 1, 0x2a, 0xa1, 2, 5, 0],
            &[0xa0, 9, 6, 1, 0x2a, 0xa0, 4, 5, 0, 5, 0],
            &[0xa0, 9, 6, 1, 0x2a, 0xa0, 2, 5, 0, 5, 0],
            &[0x88, 0],
            &[0x88, 1, 0x80],
        ] {
            let value = [&[0x30, u8::try_from(bad.len()).unwrap()], bad].concat();
            assert!(matches!(check(&value), Err(Error::Der { .. })), "{bad:x?}");
        }
        assert!(matches!(check(&[0x30, 0]), Err(Error::Der { fault: DerFault::BadValue, .. })));
        assert!(matches!(check(&[0x30, 3, 0x85, 1, b'a']), Err(Error::Der { fault: DerFault::UnexpectedTag, .. })));
        assert!(matches!(check(b"example.com"), Err(Error::Der { .. })));
        assert!(matches!(check(&[0x30, 5, 0x87, 3, 1, 2, 3]), Err(Error::GeneralNameInvalid { .. })));
        assert!(matches!(check(&[0x30, 3, 0x82, 1, 0xe9]), Err(Error::GeneralNameInvalid { .. })));
    }
}
